// verify.mjs SECRET ID TIMESTAMP SIGNATURE < body: ends with 0 if the request is genuine, else 1.
import { readFileSync } from "node:fs";
import { Webhook } from "standardwebhooks";

const [secret, id, timestamp, signature] = process.argv.slice(2);
const headers = { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": signature };
try {
  new Webhook(secret).verify(readFileSync(0), headers);
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
