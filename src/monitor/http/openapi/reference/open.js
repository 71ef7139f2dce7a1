/** Opens Swagger UI on the document of this server. The token typed into "Authorize" is forgotten with the page. */
SwaggerUIBundle({
  url: "/schema/openapi.json",
  dom_id: "#reference",
  deepLinking: true,
  docExpansion: "none",
  persistAuthorization: false,
  validatorUrl: null,
});
