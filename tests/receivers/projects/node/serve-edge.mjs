// Runs the edge worker as its platform would: a Request in, a Response out.
import { createServer } from "node:http";
import worker from "./compiled/receiver-edge.js";

createServer(async (incoming, outgoing) => {
  const chunks = [];
  for await (const chunk of incoming) chunks.push(chunk);
  const { method, url, headers } = incoming;
  const request = new Request(`http://127.0.0.1${url}`, { method, headers, body: Buffer.concat(chunks) });
  const response = await worker.fetch(request, process.env);
  outgoing.writeHead(response.status).end(await response.text());
}).listen(Number(process.env.PORT), "127.0.0.1");
