"use strict";

const METHODS = ["get", "post", "put", "patch", "delete"];

// Swagger UI does not follow references in the parameters that a path's operations share, so each
// operation is given its own.
function withOwnParameters(description) {
  for (const path of Object.values(description.paths)) {
    const shared = path.parameters ?? [];
    for (const operation of METHODS.map((method) => path[method]).filter(Boolean)) {
      operation.parameters = [...shared, ...(operation.parameters ?? [])];
    }
    delete path.parameters;
  }
  return description;
}

async function show() {
  const answer = await fetch("openapi.json");
  window.ui = SwaggerUIBundle({
    spec: withOwnParameters(await answer.json()),
    dom_id: "#reference",
    deepLinking: true,
    defaultModelsExpandDepth: 0,
    validatorUrl: null, // it would send the document to a service elsewhere
  });
}

show();
