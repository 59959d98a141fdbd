// Receive webhooks in an edge worker, by the Web Crypto API: Cloudflare Workers, Deno, Bun, Vercel.
// One file without packages; KEYS_URL and SIGNING_SECRETS are variables of the worker.

interface Environment {
  KEYS_URL: string;
  SIGNING_SECRETS?: string;
}

interface Event {
  id: string;
  type: string;
  data: unknown;
}

const TOLERANCE = 300; // seconds that a timestamp may be from this clock, either way
const KEYS_MAX_AGE = 300; // seconds after which the keys are read again
const KEYS_MIN_AGE = 10; // seconds in which they are not, whatever key a request names
const processed = new Set<string>(); // yours is a table: other instances do not share a variable

export default {
  async fetch(request: Request, environment: Environment): Promise<Response> {
    if (request.method !== "POST") return new Response("POST only", { status: 405 });
    try {
      const body = new Uint8Array(await request.arrayBuffer());
      if (!(await isGenuine(body, request.headers, environment))) {
        return new Response("The signature is invalid, or older than five minutes.", { status: 401 });
      }
      const event: Event = JSON.parse(new TextDecoder().decode(body));
      if (processed.has(event.id)) return new Response("duplicate");
      processed.add(event.id);
      console.log("processed", event.type, event.id); // your own work
      return new Response("processed");
    } catch (error) {
      console.error(error);
      return new Response("try again", { status: 503 });
    }
  },
};

/** Tell whether one signature of the request is valid, of whichever scheme. */
async function isGenuine(body: Uint8Array, headers: Headers, environment: Environment): Promise<boolean> {
  const field = (name: string) => headers.get(name) ?? "";
  const keys = await trustedKeys(environment.KEYS_URL, field("X-3dverse-Signature-Key-Id"));
  const isByKey = async (signature: Bytes, signed: Bytes) => {
    for (const key of keys) if (await crypto.subtle.verify("Ed25519", key, signature, signed)) return true;
    return false;
  };

  // X-3dverse-Signature: hex of Ed25519 over the timestamp and the body.
  const ownTimestamp = field("X-3dverse-Signature-Timestamp");
  const own = fromHex(field("X-3dverse-Signature"));
  if (isFresh(ownTimestamp) && (await isByKey(own, concat(ownTimestamp, body)))) return true;

  // Standard Webhooks: v1a is Ed25519, v1 is HMAC-SHA256, which subtle.verify compares safely.
  const [id, timestamp] = [field("webhook-id"), field("webhook-timestamp")];
  // With a dot in the id, another part of the signed bytes could pass for the timestamp.
  if (!/^[\w-]+$/.test(id) || !isFresh(timestamp)) return false;
  const signed = concat(`${id}.${timestamp}.`, body);
  const secrets = (environment.SIGNING_SECRETS ?? "").split(" ").filter(Boolean);
  for (const entry of field("webhook-signature").split(" ").slice(0, 5)) {
    const [version, text = ""] = entry.split(",");
    const signature = fromBase64(text);
    if (version === "v1a" && (await isByKey(signature, signed))) return true;
    if (version !== "v1") continue;
    for (const secret of secrets) {
      const hmac = { name: "HMAC", hash: "SHA-256" };
      const raw = fromBase64(secret.replace(/^whsec_/, ""));
      const key = await crypto.subtle.importKey("raw", raw, hmac, false, ["verify"]);
      if (await crypto.subtle.verify("HMAC", key, signature, signed)) return true;
    }
  }
  return false;
}

let keys = new Map<string, CryptoKey>();
let readAt = -Infinity;

/** Return the keys to trust now: read again when they are old, or a request names a new one. */
async function trustedKeys(url: string, keyId: string): Promise<CryptoKey[]> {
  const age = Date.now() / 1000 - readAt;
  // While there are none, each request reads them: workers cannot wait for another request's fetch.
  if (keys.size === 0 || age > KEYS_MAX_AGE || (age > KEYS_MIN_AGE && !keys.has(keyId))) {
    readAt = Date.now() / 1000;
    // If they cannot be read, those that are known stay in use.
    await readKeys(url).catch((error) => console.error(`${url}: ${error}`));
  }
  if (keys.size === 0) throw new Error(`There are no keys at ${url}.`);
  return [...keys.values()];
}

async function readKeys(url: string): Promise<void> {
  const response = await fetch(url, { signal: AbortSignal.timeout(5000) });
  if (!response.ok) throw new Error(`status ${response.status}`);
  const found = new Map<string, CryptoKey>();
  const set = (await response.json()) as { keys: { kid: string; x: string }[] };
  for (const { kid, x } of set.keys) {
    const raw = fromBase64(x.replaceAll("-", "+").replaceAll("_", "/"));
    found.set(kid, await crypto.subtle.importKey("raw", raw, "Ed25519", false, ["verify"]));
  }
  keys = found;
}

type Bytes = Uint8Array<ArrayBuffer>;

function isFresh(timestamp: string): boolean {
  return /^[0-9]{10}$/.test(timestamp) && Math.abs(Date.now() / 1000 - Number(timestamp)) <= TOLERANCE;
}

function concat(text: string, body: Uint8Array): Bytes {
  const head = new TextEncoder().encode(text);
  const all = new Uint8Array(head.length + body.length);
  all.set(head);
  all.set(body, head.length);
  return all;
}

function fromHex(text: string): Bytes {
  return Uint8Array.from(text.match(/../g) ?? [], (byte) => parseInt(byte, 16));
}

/** Return the bytes, none for what is not base64. */
function fromBase64(text: string): Bytes {
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch {
    return new Uint8Array();
  }
}
