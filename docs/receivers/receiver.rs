// Receive webhooks in Rust, with axum and ring: `cargo run`, with KEYS_URL set.
// cargo add axum ring base64 hex serde_json; cargo add tokio -F full; cargo add ureq -F json

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::{routing::post, Router};
use base64::prelude::{Engine, BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use ring::{hmac, signature};
use serde_json::Value;

const TOLERANCE: u64 = 300; // seconds that a timestamp may be from this clock, either way
const KEYS_MAX_AGE: Duration = Duration::from_secs(300); // after which the keys are read again
const KEYS_MIN_AGE: Duration = Duration::from_secs(10); // in which they are not, in any case
const MOST: usize = 2 << 20; // bytes; an event has up to 1 MiB

type Error = Box<dyn std::error::Error + Send + Sync>;
type Key = signature::UnparsedPublicKey<Vec<u8>>;

/// Verifies requests by the key set at a URL and by signing secrets (`whsec_…`).
struct Verifier {
    keys: Mutex<KeySet>,
    secrets: Vec<hmac::Key>,
}

impl Verifier {
    /// Tells whether one signature is valid, of whichever scheme; `body` is the raw one. An error
    /// says that there are no keys: respond with 503 then, and the request is repeated.
    fn is_genuine(&self, body: &[u8], headers: &HeaderMap) -> Result<bool, Error> {
        let key_id = field(headers, "x-3dverse-signature-key-id");
        let keys = self.keys.lock().unwrap().trusted(key_id)?;
        Ok(is_own(body, headers, &keys) || self.is_standard(body, headers, &keys))
    }

    /// Standard Webhooks: v1a is Ed25519, v1 is HMAC-SHA256.
    fn is_standard(&self, body: &[u8], headers: &HeaderMap, keys: &[Key]) -> bool {
        let (id, timestamp) = (field(headers, "webhook-id"), field(headers, "webhook-timestamp"));
        // With a dot in the id, another part of the signed bytes could pass for the timestamp.
        if id.is_empty() || id.contains('.') || !is_fresh(timestamp) {
            return false;
        }
        let signed = [format!("{id}.{timestamp}.").as_bytes(), body].concat();
        let entries = field(headers, "webhook-signature").split(' ').take(5);
        entries.filter_map(|entry| entry.split_once(',')).any(|(version, text)| {
            let Ok(signature) = BASE64_STANDARD.decode(text) else {
                return false;
            };
            match version {
                "v1a" => is_by_key(&signature, &signed, keys),
                // ring compares in constant time.
                "v1" => self.secrets.iter().any(|key| hmac::verify(key, &signed, &signature).is_ok()),
                _ => false,
            }
        })
    }
}

/// Hex of Ed25519 over the timestamp and the body.
fn is_own(body: &[u8], headers: &HeaderMap, keys: &[Key]) -> bool {
    let timestamp = field(headers, "x-3dverse-signature-timestamp");
    let Ok(signature) = hex::decode(field(headers, "x-3dverse-signature")) else {
        return false;
    };
    is_fresh(timestamp) && is_by_key(&signature, &[timestamp.as_bytes(), body].concat(), keys)
}

fn is_by_key(signature: &[u8], signed: &[u8], keys: &[Key]) -> bool {
    keys.iter().any(|key| key.verify(signed, signature).is_ok())
}

fn is_fresh(timestamp: &str) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let is_ten_digits = timestamp.len() == 10 && timestamp.bytes().all(|byte| byte.is_ascii_digit());
    is_ten_digits && timestamp.parse::<u64>().is_ok_and(|then| now.abs_diff(then) <= TOLERANCE)
}

fn field<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
}

/// The environment's public keys by their ids, read again when a request names a new one.
struct KeySet {
    url: String,
    keys: HashMap<String, Key>,
    read_at: Option<Instant>,
}

impl KeySet {
    /// Returns the keys to trust now, for a request that names this one.
    fn trusted(&mut self, key_id: &str) -> Result<Vec<Key>, Error> {
        let age = self.read_at.map_or(Duration::MAX, |then| then.elapsed());
        if age > KEYS_MAX_AGE || (age > KEYS_MIN_AGE && !self.keys.contains_key(key_id)) {
            self.read_at = Some(Instant::now());
            match self.read() {
                Ok(keys) => self.keys = keys,
                Err(error) => eprintln!("{}: {error}", self.url), // the known ones stay in use
            }
        }
        if self.keys.is_empty() {
            return Err(format!("there are no keys at {}", self.url).into());
        }
        Ok(self.keys.values().cloned().collect())
    }

    fn read(&self) -> Result<HashMap<String, Key>, Error> {
        let request = ureq::get(&self.url).config().timeout_global(Some(Duration::from_secs(5)));
        let set: Value = request.build().call()?.body_mut().read_json()?;
        let mut found = HashMap::new();
        for key in set["keys"].as_array().ok_or("not a key set")? {
            let (Some(id), Some(x)) = (key["kid"].as_str(), key["x"].as_str()) else {
                return Err("a key without kid or x".into());
            };
            let raw = BASE64_URL_SAFE_NO_PAD.decode(x)?;
            found.insert(id.to_owned(), Key::new(&signature::ED25519, raw));
        }
        Ok(found)
    }
}

struct Receiver {
    verifier: Verifier,
    processed: Mutex<HashSet<String>>, // yours is a table, written in the transaction of the effect
}

impl Receiver {
    /// Processes an event once, however often it is delivered.
    fn receive(&self, body: &[u8], headers: &HeaderMap) -> Result<(StatusCode, &'static str), Error> {
        if !self.verifier.is_genuine(body, headers)? {
            let why = "The signature is invalid, or older than five minutes.";
            return Ok((StatusCode::UNAUTHORIZED, why));
        }
        let event: Value = serde_json::from_slice(body)?;
        let id = event["id"].as_str().ok_or("an event without id")?;
        if !self.processed.lock().unwrap().insert(id.to_owned()) {
            return Ok((StatusCode::OK, "duplicate"));
        }
        println!("processed {} {id}", event["type"]); // your own work
        Ok((StatusCode::OK, "processed"))
    }
}

async fn handle(
    State(receiver): State<Arc<Receiver>>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, &'static str) {
    // In a thread of its own, since it may read the keys.
    let received = tokio::task::spawn_blocking(move || receiver.receive(&body, &headers)).await;
    received.map_err(Error::from).and_then(|response| response).unwrap_or_else(|error| {
        eprintln!("{error}");
        (StatusCode::SERVICE_UNAVAILABLE, "try again")
    })
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let variable = |name| std::env::var(name).unwrap_or_default();
    let mut secrets = Vec::new();
    for secret in variable("SIGNING_SECRETS").split_whitespace() {
        let raw = BASE64_STANDARD.decode(secret.trim_start_matches("whsec_"))?;
        secrets.push(hmac::Key::new(hmac::HMAC_SHA256, &raw));
    }
    let keys = KeySet { url: std::env::var("KEYS_URL")?, keys: HashMap::new(), read_at: None };
    let verifier = Verifier { keys: Mutex::new(keys), secrets };
    let receiver = Arc::new(Receiver { verifier, processed: Mutex::default() });
    let app = Router::new()
        .route("/webhooks", post(handle))
        .layer(DefaultBodyLimit::max(MOST))
        .with_state(receiver);
    let port = variable("PORT").parse().unwrap_or(8080);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    Ok(axum::serve(listener, app).await?)
}
