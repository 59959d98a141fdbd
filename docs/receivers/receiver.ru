# Receive webhooks in Ruby, with Rack: `puma receiver.ru`, with KEYS_URL set. In Rails, call the
# verifier with request.raw_post and request.headers.env. Needs Ruby 3.0 or newer.

require "json"
require "net/http"
require "openssl"
require "set"

# Verifies requests by the key set at a URL and by signing secrets (whsec_…).
class WebhookVerifier
  TOLERANCE = 300 # seconds that a timestamp may be from this clock, either way

  # The request is not genuine, or too old: respond with 401.
  class Rejected < StandardError; end

  def initialize(keys_url, secrets = [])
    @keys = KeySet.new(URI(keys_url))
    @secrets = secrets.map { |secret| secret.delete_prefix("whsec_").unpack1("m") }
  end

  # Returns the event of a genuine request, of which `body` is the raw one and `env` Rack's
  # environment. Raises Rejected for any other, and another error if there are no keys: respond
  # with 503 then, and the request is repeated.
  def verify(body, env)
    field = ->(name) { env["HTTP_#{name.upcase.tr("-", "_")}"].to_s }
    keys = @keys.trusted(field["X-3dverse-Signature-Key-Id"])
    # One valid signature is enough, of whichever scheme.
    unless own?(body, field, keys) || standard?(body, field, keys)
      raise Rejected, "The signature is invalid, or older than five minutes."
    end
    JSON.parse(body)
  end

  private

  # Hex of Ed25519 over the timestamp and the body.
  def own?(body, field, keys)
    timestamp, signature = field["X-3dverse-Signature-Timestamp"], field["X-3dverse-Signature"]
    return false unless signature.match?(/\A[0-9a-f]{128}\z/) && fresh?(timestamp)
    by_key?([signature].pack("H*"), timestamp + body, keys)
  end

  # Standard Webhooks: v1a is Ed25519, v1 is HMAC-SHA256.
  def standard?(body, field, keys)
    id, timestamp = field["webhook-id"], field["webhook-timestamp"]
    # With a dot in the id, another part of the signed bytes could pass for the timestamp.
    return false unless id.match?(/\A[\w-]+\z/) && fresh?(timestamp)
    signed = "#{id}.#{timestamp}.".b + body
    field["webhook-signature"].split(" ").first(5).any? do |entry|
      version, text = entry.split(",", 2)
      signature = text.to_s.unpack1("m")
      case version
      when "v1a" then by_key?(signature, signed, keys)
      when "v1" then by_secret?(signature, signed)
      end
    end
  end

  def by_key?(signature, signed, keys)
    signature.bytesize == 64 && keys.any? { |key| key.verify(nil, signature, signed) }
  end

  def by_secret?(signature, signed)
    @secrets.any? do |secret|
      # In constant time; the digest's length is no secret.
      OpenSSL.secure_compare(OpenSSL::HMAC.digest("SHA256", secret, signed), signature)
    end
  end

  def fresh?(timestamp)
    timestamp.match?(/\A[0-9]{10}\z/) && (Time.now.to_i - timestamp.to_i).abs <= TOLERANCE
  end

  # The environment's public keys by their ids, read again when a request names a new one.
  class KeySet
    MAX_AGE = 300 # seconds after which the keys are read again
    MIN_AGE = 10 # seconds in which they are not, whatever key a request names
    PREFIX = ["302a300506032b6570032100"].pack("H*") # of a key in the form that OpenSSL reads

    def initialize(url)
      @url, @keys, @mutex = url, {}, Mutex.new
      @read_at = -Float::INFINITY
    end

    # Returns the keys to trust now, for a request that names this one.
    def trusted(key_id)
      @mutex.synchronize do
        now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
        age = now - @read_at
        if age > MAX_AGE || (age > MIN_AGE && !@keys.key?(key_id))
          @read_at = now
          begin
            @keys = read
          rescue StandardError => error # the keys that are known stay in use
            warn "#{@url}: #{error.message}"
          end
        end
        raise IOError, "There are no keys at #{@url}." if @keys.empty?
        @keys.values
      end
    end

    private

    def read
      options = { use_ssl: @url.scheme == "https", open_timeout: 5, read_timeout: 5 }
      response = Net::HTTP.start(@url.host, @url.port, **options) { |http| http.get(@url.request_uri) }
      response.value # raises unless it is a success
      JSON.parse(response.body)["keys"].to_h do |key|
        raw = key["x"].tr("-_", "+/").unpack1("m")
        [key["kid"], OpenSSL::PKey.read(PREFIX + raw)]
      end
    end
  end
end

MOST = 2 * 1024 * 1024 # bytes; an event has up to 1 MiB
VERIFIER = WebhookVerifier.new(ENV.fetch("KEYS_URL"), ENV.fetch("SIGNING_SECRETS", "").split)
PROCESSED = Set.new # yours is a table, written in the transaction of the effect
LOCK = Mutex.new

# Processes an event once, however often it is delivered.
receive = lambda do |env|
  body = env["rack.input"].read(MOST + 1).to_s.b
  next [413, {}, ["too large"]] if body.bytesize > MOST
  event = VERIFIER.verify(body, env)
  is_new = LOCK.synchronize { PROCESSED.add?(event["id"]) }
  next [200, {}, ["duplicate"]] unless is_new
  puts "processed #{event["type"]} #{event["id"]}" # your own work
  [200, {}, ["processed"]]
rescue WebhookVerifier::Rejected => error
  [401, {}, [error.message]]
rescue StandardError => error
  warn error.message
  [503, {}, ["try again"]]
end

map("/webhooks") { run receive }
