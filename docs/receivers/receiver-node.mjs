// Receive webhooks with Node.js alone: `node receiver-node.mjs`, with KEYS_URL set.
import { createServer } from "node:http";
import { Rejected, WebhookVerifier } from "./webhook-verifier.mjs";

const { KEYS_URL, SIGNING_SECRETS = "", PORT = "8080" } = process.env;
const verifier = new WebhookVerifier(KEYS_URL, SIGNING_SECRETS.split(" ").filter(Boolean));
const processed = new Set(); // yours is a table, written in the transaction of the effect
const MOST = 2 * 1024 ** 2; // bytes; an event has up to 1 MiB

const server = createServer(async (request, response) => {
  const respond = (status, text) => response.writeHead(status).end(text);
  try {
    const chunks = [];
    let length = 0;
    for await (const chunk of request) {
      length += chunk.length;
      if (length > MOST) return respond(413, "too large");
      chunks.push(chunk);
    }
    const event = await verifier.verify(Buffer.concat(chunks), request.headers);
    if (processed.has(event.id)) return respond(200, "duplicate");
    processed.add(event.id);
    console.log("processed", event.type, event.id); // your own work
    respond(200, "processed");
  } catch (error) {
    if (error instanceof Rejected) return respond(401, error.message);
    console.error(error);
    respond(503, "try again");
  }
});
server.listen(Number(PORT), "127.0.0.1");
