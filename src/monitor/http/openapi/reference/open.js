/** Opens Swagger UI on the document of this server. The token typed into "Authorize" is forgotten with the page. */
SwaggerUIBundle({
  // Beside this page, whatever path a proxy serves it under.
  url: new URL("openapi.json", location.href).href,
  dom_id: "#reference",
  deepLinking: true,
  docExpansion: "none",
  persistAuthorization: false,
  validatorUrl: null,
});
