// Draws the API's description with Swagger UI; a file of its own, for the policy forbids inline scripts.
const root = document.querySelector("#api-docs");

SwaggerUIBundle({
  domNode: root,
  url: root.dataset.schema,
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  validatorUrl: null,
});
