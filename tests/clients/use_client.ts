// A client that openapi-typescript and openapi-fetch make of the document: it creates a webhook,
// publishes an event, and prints what the API says became of it. Arguments: API, environment.
import createClient from "openapi-fetch";
import type { paths } from "./generated.js";

const [api, environment] = process.argv.slice(2);
if (api === undefined || environment === undefined) throw new Error("Give API and ENVIRONMENT");

const client = createClient<paths>({ baseUrl: api });
const path = { environment_id: environment };

const created = await client.POST("/environments/{environment_id}/webhooks", {
  params: { path },
  body: { name: "TypeScript", url: "https://example.com/hook", events: ["job-completed"] },
});
if (created.data === undefined) throw new Error(JSON.stringify(created.error));

const published = await client.POST("/environments/{environment_id}/events", {
  params: { path },
  body: {
    event: "job-completed",
    event_id: "from-typescript",
    data: {
      job_id: "0b9a4c1e-6f43-4a55-8a4b-6e3cf2f3c001",
      pipeline_id: "7d0a2c34-6c1f-4c7e-9a57-2f7a3f0f6f10",
      status: "succeeded",
    },
  },
});
if (published.data === undefined) throw new Error(JSON.stringify(published.error));

const deliveries = await client.GET("/webhooks/{webhook_id}/deliveries", {
  params: { path: { webhook_id: created.data.webhook_id }, query: { limit: 10 } },
});
if (deliveries.data === undefined) throw new Error(JSON.stringify(deliveries.error));

const refused = await client.GET("/webhooks/{webhook_id}", {
  params: { path: { webhook_id: environment } },
});
if (refused.error === undefined) throw new Error("There is no such webhook");
console.log(deliveries.data.map((delivery) => delivery.event_id).join(), refused.error.error_code);
