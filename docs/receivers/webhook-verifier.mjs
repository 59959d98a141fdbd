// Verify webhook requests with the environment's keys: Node.js 18 or newer, without packages.
import { createHmac, createPublicKey, timingSafeEqual, verify } from "node:crypto";

const TOLERANCE = 300; // seconds that a timestamp may be from this clock, either way
const KEYS_MAX_AGE = 300; // seconds after which the keys are read again
const KEYS_MIN_AGE = 10; // seconds in which they are not, whatever key a request names

/** The request is not genuine, or too old: respond with 401. */
export class Rejected extends Error {}

/** Verifies requests by the key set at a URL and by signing secrets (`whsec_…`). */
export class WebhookVerifier {
  #keys;
  #secrets;

  /**
   * @param {string | undefined} keysUrl
   * @param {string[]} secrets
   */
  constructor(keysUrl, secrets = []) {
    if (!keysUrl && secrets.length === 0) throw new Error("Set KEYS_URL, or SIGNING_SECRETS.");
    this.#keys = keysUrl ? new KeySet(keysUrl) : undefined;
    this.#secrets = secrets.map((each) => Buffer.from(each.replace(/^whsec_/, ""), "base64"));
  }

  /**
   * Return the event of a genuine request; throw `Rejected` for any other, and another error if
   * there are no keys: respond with 503 then, and the request is repeated.
   * @param {Buffer} body the raw bytes, not parsed
   * @param {Record<string, string | string[] | undefined>} headers with their names in lower case
   * @returns {Promise<{ id: string, type: string, data: unknown }>}
   */
  async verify(body, headers) {
    const field = (/** @type {string} */ name) => String(headers[name] ?? "");
    const keys = (await this.#keys?.trusted(field("x-3dverse-signature-key-id"))) ?? [];
    // One valid signature is enough, of whichever scheme.
    if (!isOwn(body, field, keys) && !isStandard(body, field, keys, this.#secrets)) {
      throw new Rejected("The signature is invalid, or older than five minutes.");
    }
    return JSON.parse(body.toString());
  }
}

/**
 * Hex of Ed25519 over the timestamp and the body.
 * @param {Buffer} body
 * @param {(name: string) => string} field
 * @param {import("node:crypto").KeyObject[]} keys
 */
function isOwn(body, field, keys) {
  const timestamp = field("x-3dverse-signature-timestamp");
  const signature = Buffer.from(field("x-3dverse-signature"), "hex");
  const signed = Buffer.concat([Buffer.from(timestamp), body]);
  return isFresh(timestamp) && keys.some((key) => verify(null, signed, key, signature));
}

/**
 * Standard Webhooks: `v1a` is Ed25519, `v1` is HMAC-SHA256.
 * @param {Buffer} body
 * @param {(name: string) => string} field
 * @param {import("node:crypto").KeyObject[]} keys
 * @param {Buffer[]} secrets
 */
function isStandard(body, field, keys, secrets) {
  const [id, timestamp] = [field("webhook-id"), field("webhook-timestamp")];
  // With a dot in the id, another part of the signed bytes could pass for the timestamp.
  if (!/^[\w-]+$/.test(id) || !isFresh(timestamp)) return false;
  const signed = Buffer.concat([Buffer.from(`${id}.${timestamp}.`), body]);
  const entries = field("webhook-signature").split(" ").slice(0, 5);
  return entries.some((entry) => {
    const [version, text = ""] = entry.split(",");
    const signature = Buffer.from(text, "base64");
    if (version === "v1a") return keys.some((key) => verify(null, signed, key, signature));
    return version === "v1" && secrets.some((secret) => {
      const digest = createHmac("sha256", secret).update(signed).digest();
      return digest.length === signature.length && timingSafeEqual(digest, signature);
    });
  });
}

/** @param {string} timestamp ten digits of unix seconds */
function isFresh(timestamp) {
  return /^[0-9]{10}$/.test(timestamp) && Math.abs(Date.now() / 1000 - Number(timestamp)) <= TOLERANCE;
}

/** The environment's public keys by their ids, read again when a request names a new one. */
class KeySet {
  #url;
  /** @type {Map<string, import("node:crypto").KeyObject>} */
  #keys = new Map();
  #readAt = -Infinity;
  /** @type {Promise<void> | undefined} */
  #reading;

  /** @param {string} url */
  constructor(url) {
    this.#url = url;
  }

  /**
   * Return the keys to trust now, for a request that names this one.
   * @param {string} keyId
   */
  async trusted(keyId) {
    const age = performance.now() / 1000 - this.#readAt;
    if (age > KEYS_MAX_AGE || (age > KEYS_MIN_AGE && !this.#keys.has(keyId))) {
      this.#readAt = performance.now() / 1000;
      // If they cannot be read, those that are known stay in use.
      this.#reading = this.#read().catch((error) => console.error(`${this.#url}: ${error}`));
    }
    await this.#reading; // also of another request
    if (this.#keys.size === 0) throw new Error(`There are no keys at ${this.#url}.`);
    return [...this.#keys.values()];
  }

  async #read() {
    const response = await fetch(this.#url, { signal: AbortSignal.timeout(5000) });
    if (!response.ok) throw new Error(`status ${response.status}`);
    const { keys } = await response.json();
    const loaded = keys.map((/** @type {import("node:crypto").JsonWebKey & { kid: string }} */ jwk) => [
      jwk.kid,
      createPublicKey({ key: jwk, format: "jwk" }),
    ]);
    this.#keys = new Map(loaded);
  }
}
