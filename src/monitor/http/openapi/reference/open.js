/** Opens Swagger UI on the document of this server. The token typed into "Authorize" is forgotten with the page. */
SwaggerUIBundle({
  // Seen from this script, whatever path a proxy serves it under, and whether the page's own ends with a slash.
  url: new URL("../../openapi.json", document.currentScript.src).href,
  dom_id: "#reference",
  deepLinking: true,
  docExpansion: "none",
  persistAuthorization: false,
  validatorUrl: null,
});
