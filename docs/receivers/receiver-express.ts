// Receive webhooks with Express, in TypeScript: `npm install express`, with KEYS_URL set.
import express from "express";
import { Rejected, WebhookVerifier } from "./webhook-verifier.mjs";

const { KEYS_URL, SIGNING_SECRETS = "", PORT = "8080" } = process.env;
const verifier = new WebhookVerifier(KEYS_URL, SIGNING_SECRETS.split(" ").filter(Boolean));
const processed = new Set<string>(); // yours is a table, written in the transaction of the effect
const app = express();

// express.raw leaves the body as it came: express.json() before it would parse it.
app.post("/webhooks", express.raw({ type: "*/*", limit: "2mb" }), async (request, response) => {
  try {
    const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
    const event = await verifier.verify(body, request.headers);
    if (processed.has(event.id)) return void response.send("duplicate");
    processed.add(event.id);
    console.log("processed", event.type, event.id); // your own work
    response.send("processed");
  } catch (error) {
    if (error instanceof Rejected) return void response.status(401).send(error.message);
    console.error(error);
    response.status(503).send("try again");
  }
});
app.listen(Number(PORT), "127.0.0.1");
