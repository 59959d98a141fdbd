// Receive webhooks in C#, with ASP.NET Core 8 or newer: `dotnet run`, with KEYS_URL set.
// dotnet new web; dotnet add package NSec.Cryptography; this file in the place of Program.cs.

using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Microsoft.AspNetCore.WebUtilities;
using NSec.Cryptography;

var keys = new KeySet(Environment.GetEnvironmentVariable("KEYS_URL")!);
var secrets = (Environment.GetEnvironmentVariable("SIGNING_SECRETS") ?? "")
    .Split(' ', StringSplitOptions.RemoveEmptyEntries)
    .Select(secret => Convert.FromBase64String(secret.StartsWith("whsec_") ? secret[6..] : secret))
    .ToArray();
var processed = new ConcurrentDictionary<string, bool>(); // yours is a table
var app = WebApplication.CreateBuilder(args).Build();

app.MapPost("/webhooks", async (HttpRequest request) =>
{
    using var buffer = new MemoryStream();
    await request.Body.CopyToAsync(buffer);
    var body = buffer.ToArray();
    string Field(string name) => request.Headers[name].ToString();
    try
    {
        var trusted = await keys.TrustedAsync(Field("X-3dverse-Signature-Key-Id"));
        if (!Verification.IsGenuine(body, Field, trusted, secrets))
        {
            return Results.Text("The signature is invalid, or older than five minutes.", statusCode: 401);
        }
    }
    catch (InvalidOperationException error)
    {
        app.Logger.LogError("{Message}", error.Message);
        return Results.Text("try again", statusCode: 503);
    }
    using var document = JsonDocument.Parse(body);
    var id = document.RootElement.GetProperty("id").GetString()!;
    if (!processed.TryAdd(id, true)) return Results.Text("duplicate");
    app.Logger.LogInformation("processed {Id}", id); // your own work
    return Results.Text("processed");
});
app.Run($"http://127.0.0.1:{Environment.GetEnvironmentVariable("PORT") ?? "8080"}");

static class Verification
{
    const long Tolerance = 300; // seconds that a timestamp may be from this clock, either way

    /// <summary>Tells whether one signature is valid, of whichever scheme.</summary>
    public static bool IsGenuine(
        byte[] body, Func<string, string> field, IReadOnlyCollection<PublicKey> keys, byte[][] secrets) =>
        IsOwn(body, field, keys) || IsStandard(body, field, keys, secrets);

    // Hex of Ed25519 over the timestamp and the body.
    static bool IsOwn(byte[] body, Func<string, string> field, IEnumerable<PublicKey> keys)
    {
        var timestamp = field("X-3dverse-Signature-Timestamp");
        var signature = field("X-3dverse-Signature");
        return Regex.IsMatch(signature, "^[0-9a-f]{128}\\z")
            && IsFresh(timestamp)
            && IsByKey(Convert.FromHexString(signature), Concat(timestamp, body), keys);
    }

    // Standard Webhooks: v1a is Ed25519, v1 is HMAC-SHA256.
    static bool IsStandard(
        byte[] body, Func<string, string> field, IReadOnlyCollection<PublicKey> keys, byte[][] secrets)
    {
        var (id, timestamp) = (field("webhook-id"), field("webhook-timestamp"));
        // With a dot in the id, another part of the signed bytes could pass for the timestamp.
        if (!Regex.IsMatch(id, "^[A-Za-z0-9_-]+\\z") || !IsFresh(timestamp)) return false;
        var signed = Concat($"{id}.{timestamp}.", body);
        foreach (var entry in field("webhook-signature").Split(' ').Take(5))
        {
            var parts = entry.Split(',', 2);
            var signature = new byte[64];
            if (parts.Length != 2 || !Convert.TryFromBase64String(parts[1], signature, out var length)) continue;
            Array.Resize(ref signature, length);
            if (parts[0] == "v1a" && IsByKey(signature, signed, keys)) return true;
            if (parts[0] == "v1" && secrets.Any(secret => CryptographicOperations.FixedTimeEquals(
                HMACSHA256.HashData(secret, signed), signature))) return true;
        }
        return false;
    }

    static bool IsByKey(byte[] signature, byte[] signed, IEnumerable<PublicKey> keys) =>
        keys.Any(key => SignatureAlgorithm.Ed25519.Verify(key, signed, signature));

    static bool IsFresh(string timestamp) =>
        Regex.IsMatch(timestamp, "^[0-9]{10}\\z")
        && Math.Abs(DateTimeOffset.UtcNow.ToUnixTimeSeconds() - long.Parse(timestamp)) <= Tolerance;

    static byte[] Concat(string text, byte[] body) => [.. Encoding.UTF8.GetBytes(text), .. body];
}

/// <summary>The environment's public keys by their ids, read again when a request names a new one.</summary>
class KeySet(string url)
{
    static readonly TimeSpan MaxAge = TimeSpan.FromMinutes(5); // after which they are read again
    static readonly TimeSpan MinAge = TimeSpan.FromSeconds(10); // in which they are not, in any case

    readonly HttpClient client = new() { Timeout = TimeSpan.FromSeconds(5) };
    readonly SemaphoreSlim gate = new(1);
    Dictionary<string, PublicKey> keys = [];
    long? readAt;

    /// <summary>Returns the keys to trust now, for a request that names this one.</summary>
    public async Task<IReadOnlyCollection<PublicKey>> TrustedAsync(string keyId)
    {
        await gate.WaitAsync();
        try
        {
            var age = readAt is { } then ? TimeSpan.FromMilliseconds(Environment.TickCount64 - then) : TimeSpan.MaxValue;
            if (age > MaxAge || (age > MinAge && !keys.ContainsKey(keyId)))
            {
                readAt = Environment.TickCount64;
                try
                {
                    keys = await ReadAsync();
                }
                catch (Exception error) // the keys that are known stay in use
                {
                    Console.Error.WriteLine($"{url}: {error.Message}");
                }
            }
            if (keys.Count == 0) throw new InvalidOperationException($"There are no keys at {url}.");
            return keys.Values.ToArray();
        }
        finally
        {
            gate.Release();
        }
    }

    async Task<Dictionary<string, PublicKey>> ReadAsync()
    {
        using var set = JsonDocument.Parse(await client.GetByteArrayAsync(url));
        return set.RootElement.GetProperty("keys").EnumerateArray().ToDictionary(
            key => key.GetProperty("kid").GetString()!,
            key => PublicKey.Import(
                SignatureAlgorithm.Ed25519,
                WebEncoders.Base64UrlDecode(key.GetProperty("x").GetString()!),
                KeyBlobFormat.RawPublicKey));
    }
}
