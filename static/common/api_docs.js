// Draws the API's description with Swagger UI; a file of its own, for the policy forbids inline scripts.
const root = document.querySelector("#api-docs");

SwaggerUIBundle({
  domNode: root,
  url: root.dataset.schema,
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  validatorUrl: null,
  onComplete: nameWhatHasNoName,
});

// What Swagger UI leaves out: names of parts of the page, and a level of headings.
function nameWhatHasNoName() {
  root.querySelector("#servers")?.setAttribute("aria-label", "Server");
  for (const [part, label] of [[".information-container", "About"], [".schemes-server-container", "Server"]]) {
    root.querySelector(part)?.setAttribute("role", "region");
    root.querySelector(part)?.setAttribute("aria-label", label);
  }
  for (const heading of root.querySelectorAll("h3.opblock-tag, h4")) {
    heading.setAttribute("aria-level", "2");
  }
}
