<?php
// Receive webhooks in PHP 8.1 or newer: `php -S 127.0.0.1:8080 receiver.php`, with KEYS_URL set.
// Needs the extensions sodium and posix, which PHP brings, and no packages.

declare(strict_types=1);

const TOLERANCE = 300; // seconds that a timestamp may be from this clock, either way
const KEYS_MAX_AGE = 300; // seconds after which the keys are read again
const KEYS_MIN_AGE = 10; // seconds in which they are not, whatever key a request names

/** Tells whether one signature of the request is valid, of whichever scheme. */
function is_genuine(string $body, array $headers, string $keysUrl, array $secrets): bool
{
    $keys = trusted_keys($keysUrl, $headers['x-3dverse-signature-key-id'] ?? '');
    return is_own($body, $headers, $keys) || is_standard($body, $headers, $keys, $secrets);
}

/** Hex of Ed25519 over the timestamp and the body. */
function is_own(string $body, array $headers, array $keys): bool
{
    $timestamp = $headers['x-3dverse-signature-timestamp'] ?? '';
    $signature = $headers['x-3dverse-signature'] ?? '';
    return preg_match('/^[0-9a-f]{128}$/D', $signature)
        && is_fresh($timestamp)
        && is_by_key(hex2bin($signature), $timestamp . $body, $keys);
}

/** Standard Webhooks: v1a is Ed25519, v1 is HMAC-SHA256. */
function is_standard(string $body, array $headers, array $keys, array $secrets): bool
{
    $id = $headers['webhook-id'] ?? '';
    $timestamp = $headers['webhook-timestamp'] ?? '';
    // With a dot in the id, another part of the signed bytes could pass for the timestamp.
    if (!preg_match('/^[A-Za-z0-9_-]+$/D', $id) || !is_fresh($timestamp)) {
        return false;
    }
    $signed = "$id.$timestamp.$body";
    foreach (array_slice(explode(' ', $headers['webhook-signature'] ?? ''), 0, 5) as $entry) {
        [$version, $text] = explode(',', $entry, 2) + ['', ''];
        $signature = base64_decode($text, true);
        if ($signature === false) {
            continue;
        }
        if ($version === 'v1a' && is_by_key($signature, $signed, $keys)) {
            return true;
        }
        foreach ($version === 'v1' ? $secrets : [] as $secret) {
            $raw = base64_decode(preg_replace('/^whsec_/', '', $secret));
            // hash_equals: its duration does not depend on how much of a forged one is right.
            if (hash_equals(hash_hmac('sha256', $signed, $raw, true), $signature)) {
                return true;
            }
        }
    }
    return false;
}

function is_by_key(string $signature, string $signed, array $keys): bool
{
    if (strlen($signature) !== SODIUM_CRYPTO_SIGN_BYTES) {
        return false;
    }
    foreach ($keys as $key) {
        if (sodium_crypto_sign_verify_detached($signature, $signed, base64_decode($key))) {
            return true;
        }
    }
    return false;
}

function is_fresh(string $timestamp): bool
{
    return preg_match('/^[0-9]{10}$/D', $timestamp) && abs(time() - (int) $timestamp) <= TOLERANCE;
}

/**
 * Returns the keys to trust now, in base64 by their ids. They are kept in a file between requests,
 * and read again when they are old or a request names a new one. Throws if there are none.
 */
function trusted_keys(string $url, string $keyId): array
{
    $file = fopen(folder() . '/keys-' . hash('sha256', $url), 'c+');
    flock($file, LOCK_EX);
    $cached = json_decode(stream_get_contents($file), true) ?? ['read_at' => 0, 'keys' => []];
    $age = time() - $cached['read_at'];
    if ($age > KEYS_MAX_AGE || ($age > KEYS_MIN_AGE && !isset($cached['keys'][$keyId]))) {
        $read = read_keys($url); // if they cannot be read, those that are known stay in use
        $cached = ['read_at' => time(), 'keys' => $read ?? $cached['keys']];
        rewind($file);
        ftruncate($file, 0);
        fwrite($file, json_encode($cached));
    }
    fclose($file); // and gives back the lock
    return $cached['keys'] ?: throw new RuntimeException("there are no keys at $url");
}

function read_keys(string $url): ?array
{
    $text = @file_get_contents($url, false, stream_context_create(['http' => ['timeout' => 5]]));
    $set = json_decode((string) $text, true);
    if (!isset($set['keys'])) {
        error_log("$url cannot be read");
        return null;
    }
    $keys = [];
    foreach ($set['keys'] as $key) {
        $keys[$key['kid']] = strtr($key['x'], '-_', '+/');
    }
    return $keys;
}

/** Stores an id; tells whether it was new. Yours is a table, in the transaction of the effect. */
function remember(string $eventId): bool
{
    $file = @fopen(folder() . '/event-' . hash('sha256', $eventId), 'x'); // fails if it exists
    return $file !== false && fclose($file);
}

/** Returns a folder of this user alone: whoever writes there chooses which keys are trusted. */
function folder(): string
{
    $folder = sys_get_temp_dir() . '/webhooks-' . posix_geteuid();
    if (!is_dir($folder)) {
        mkdir($folder, 0700);
    }
    if (fileowner($folder) !== posix_geteuid() || (fileperms($folder) & 0077)) {
        throw new RuntimeException("$folder is open to other users");
    }
    return $folder;
}

function respond(int $status, string $text): void
{
    http_response_code($status);
    header('Content-Type: text/plain');
    echo $text;
}

$body = file_get_contents('php://input');
$secrets = array_filter(explode(' ', (string) getenv('SIGNING_SECRETS')));
try {
    $headers = array_change_key_case(getallheaders());
    if (!is_genuine($body, $headers, (string) getenv('KEYS_URL'), $secrets)) {
        respond(401, 'The signature is invalid, or older than five minutes.');
        return;
    }
    $event = json_decode($body, true);
    if (!remember($event['id'])) {
        respond(200, 'duplicate');
        return;
    }
    error_log("processed {$event['type']} {$event['id']}"); // your own work
    respond(200, 'processed');
} catch (Throwable $error) {
    error_log($error->getMessage());
    respond(503, 'try again');
}
