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

// Nor does it show which scope an operation needs: the document says so in a place for programs.
function withScopes(description) {
  for (const path of Object.values(description.paths)) {
    for (const operation of METHODS.map((method) => path[method]).filter(Boolean)) {
      const scope = operation.security[0]?.bearer[0];
      const everywhere = operation["x-environments"] === "all" ? ", for all environments" : "";
      const needed = scope ? `Needs the scope \`${scope}\`${everywhere}.` : "Needs no credential.";
      operation.description = `${operation.description}\n\n${needed}`;
    }
  }
  return description;
}

async function show() {
  const answer = await fetch("openapi.json");
  window.ui = SwaggerUIBundle({
    spec: withScopes(withOwnParameters(await answer.json())),
    dom_id: "#reference",
    deepLinking: true,
    defaultModelsExpandDepth: 0,
    validatorUrl: null, // it would send the document to a service elsewhere
  });
}

show();
