// Receive webhooks in Java 17 or newer: `java -cp 'libs/*' Receiver.java`, with KEYS_URL set.
// Needs com.fasterxml.jackson.core:jackson-databind, and the JDK.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.sun.net.httpserver.Headers;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.MessageDigest;
import java.security.PublicKey;
import java.security.Signature;
import java.security.spec.X509EncodedKeySpec;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collection;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

public class Receiver {
  static final int MOST = 2 << 20; // bytes; an event has up to 1 MiB
  static final ObjectMapper JSON = new ObjectMapper();
  // Yours is a table, written in the transaction of the effect.
  static final Set<String> PROCESSED = ConcurrentHashMap.newKeySet();

  public static void main(String[] arguments) throws IOException {
    Map<String, String> variables = System.getenv();
    List<byte[]> secrets = new ArrayList<>();
    for (String secret : variables.getOrDefault("SIGNING_SECRETS", "").split(" ")) {
      if (!secret.isEmpty()) secrets.add(Base64.getDecoder().decode(secret.replaceFirst("^whsec_", "")));
    }
    Verifier verifier = new Verifier(new KeySet(URI.create(variables.get("KEYS_URL"))), secrets);
    int port = Integer.parseInt(variables.getOrDefault("PORT", "8080"));
    HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", port), 0);
    server.createContext("/webhooks", exchange -> receive(exchange, verifier));
    server.setExecutor(Executors.newFixedThreadPool(8));
    server.start();
  }

  /** Processes an event once, however often it is delivered. */
  static void receive(HttpExchange exchange, Verifier verifier) throws IOException {
    byte[] body = exchange.getRequestBody().readNBytes(MOST + 1);
    if (body.length > MOST) {
      respond(exchange, 413, "too large");
      return;
    }
    try {
      if (!verifier.isGenuine(body, exchange.getRequestHeaders())) {
        respond(exchange, 401, "The signature is invalid, or older than five minutes.");
        return;
      }
    } catch (IOException | GeneralSecurityException error) {
      System.err.println(error);
      respond(exchange, 503, "try again");
      return;
    }
    JsonNode event = JSON.readTree(body);
    if (!PROCESSED.add(event.get("id").asText())) {
      respond(exchange, 200, "duplicate");
      return;
    }
    System.out.println("processed " + event.get("type").asText() + " " + event.get("id").asText()); // your own work
    respond(exchange, 200, "processed");
  }

  static void respond(HttpExchange exchange, int status, String text) throws IOException {
    byte[] body = text.getBytes(StandardCharsets.UTF_8);
    exchange.sendResponseHeaders(status, body.length);
    exchange.getResponseBody().write(body);
    exchange.close();
  }

  /** Verifies requests by a key set and by signing secrets. */
  static class Verifier {
    static final long TOLERANCE = 300; // seconds that a timestamp may be from this clock, either way

    final KeySet keySet;
    final List<byte[]> secrets;

    Verifier(KeySet keySet, List<byte[]> secrets) {
      this.keySet = keySet;
      this.secrets = secrets;
    }

    /**
     * Tells whether one signature is valid, of whichever scheme; body is the raw one. Throws an
     * IOException if there are no keys: respond with 503 then, and the request is repeated.
     */
    boolean isGenuine(byte[] body, Headers headers) throws IOException, GeneralSecurityException {
      Collection<PublicKey> keys = keySet.trusted(field(headers, "X-3dverse-Signature-Key-Id"));
      return isOwn(body, headers, keys) || isStandard(body, headers, keys);
    }

    /** Hex of Ed25519 over the timestamp and the body. */
    boolean isOwn(byte[] body, Headers headers, Collection<PublicKey> keys) throws GeneralSecurityException {
      String timestamp = field(headers, "X-3dverse-Signature-Timestamp");
      String signature = field(headers, "X-3dverse-Signature");
      if (!signature.matches("[0-9a-f]{128}") || !isFresh(timestamp)) return false;
      return isByKey(HexFormat.of().parseHex(signature), concat(timestamp, body), keys);
    }

    /** Standard Webhooks: v1a is Ed25519, v1 is HMAC-SHA256. */
    boolean isStandard(byte[] body, Headers headers, Collection<PublicKey> keys)
        throws GeneralSecurityException {
      String id = field(headers, "webhook-id");
      String timestamp = field(headers, "webhook-timestamp");
      // With a dot in the id, another part of the signed bytes could pass for the timestamp.
      if (!id.matches("[A-Za-z0-9_-]+") || !isFresh(timestamp)) return false;
      byte[] signed = concat(id + "." + timestamp + ".", body);
      for (String entry : field(headers, "webhook-signature").split(" ", 6)) {
        String[] parts = entry.split(",", 2);
        if (parts.length != 2) continue;
        byte[] signature;
        try {
          signature = Base64.getDecoder().decode(parts[1]);
        } catch (IllegalArgumentException error) {
          continue;
        }
        if (parts[0].equals("v1a") && isByKey(signature, signed, keys)) return true;
        if (parts[0].equals("v1") && isBySecret(signature, signed)) return true;
      }
      return false;
    }

    boolean isByKey(byte[] signature, byte[] signed, Collection<PublicKey> keys)
        throws GeneralSecurityException {
      if (signature.length != 64) return false;
      for (PublicKey key : keys) {
        Signature verification = Signature.getInstance("Ed25519");
        verification.initVerify(key);
        verification.update(signed);
        if (verification.verify(signature)) return true;
      }
      return false;
    }

    boolean isBySecret(byte[] signature, byte[] signed) throws GeneralSecurityException {
      for (byte[] secret : secrets) {
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(secret, "HmacSHA256"));
        if (MessageDigest.isEqual(mac.doFinal(signed), signature)) return true; // in constant time
      }
      return false;
    }

    static boolean isFresh(String timestamp) {
      if (!timestamp.matches("[0-9]{10}")) return false;
      return Math.abs(System.currentTimeMillis() / 1000 - Long.parseLong(timestamp)) <= TOLERANCE;
    }

    static String field(Headers headers, String name) {
      String value = headers.getFirst(name);
      return value == null ? "" : value;
    }

    static byte[] concat(String text, byte[] body) {
      ByteArrayOutputStream all = new ByteArrayOutputStream();
      all.writeBytes(text.getBytes(StandardCharsets.UTF_8));
      all.writeBytes(body);
      return all.toByteArray();
    }
  }

  /** The environment's public keys by their ids, read again when a request names a new one. */
  static class KeySet {
    static final Duration MAX_AGE = Duration.ofMinutes(5); // after which they are read again
    static final Duration MIN_AGE = Duration.ofSeconds(10); // in which they are not, in any case
    // What comes before the 32 bytes of a key in the form that Java reads.
    static final byte[] PREFIX = HexFormat.of().parseHex("302a300506032b6570032100");

    final URI url;
    final HttpClient client = HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(5)).build();
    Map<String, PublicKey> keys = Map.of();
    long readAt = System.nanoTime() - MAX_AGE.toNanos() - 1;

    KeySet(URI url) {
      this.url = url;
    }

    /** Returns the keys to trust now, for a request that names this one. */
    synchronized Collection<PublicKey> trusted(String keyId) throws IOException {
      long age = System.nanoTime() - readAt;
      if (age > MAX_AGE.toNanos() || (age > MIN_AGE.toNanos() && !keys.containsKey(keyId))) {
        readAt = System.nanoTime();
        try {
          keys = read();
        } catch (IOException | GeneralSecurityException error) { // those that are known stay in use
          System.err.println(url + ": " + error);
        } catch (InterruptedException error) {
          Thread.currentThread().interrupt();
        }
      }
      if (keys.isEmpty()) throw new IOException("There are no keys at " + url);
      return keys.values();
    }

    Map<String, PublicKey> read() throws IOException, GeneralSecurityException, InterruptedException {
      HttpRequest request = HttpRequest.newBuilder(url).timeout(Duration.ofSeconds(5)).build();
      var response = client.send(request, BodyHandlers.ofByteArray());
      if (response.statusCode() != 200) throw new IOException("status " + response.statusCode());
      Map<String, PublicKey> found = new HashMap<>();
      for (JsonNode key : JSON.readTree(response.body()).get("keys")) {
        ByteArrayOutputStream encoded = new ByteArrayOutputStream();
        encoded.writeBytes(PREFIX);
        encoded.writeBytes(Base64.getUrlDecoder().decode(key.get("x").asText()));
        X509EncodedKeySpec form = new X509EncodedKeySpec(encoded.toByteArray());
        found.put(key.get("kid").asText(), KeyFactory.getInstance("Ed25519").generatePublic(form));
      }
      return found;
    }
  }
}
