// Receive webhooks in Go, with the standard library alone: `go run receiver.go`, with KEYS_URL set.
package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	tolerance  = 5 * time.Minute  // that a timestamp may be from this clock, either way
	keysMaxAge = 5 * time.Minute  // after which the keys are read again
	keysMinAge = 10 * time.Second // in which they are not, whatever key a request names
	most       = 2 << 20          // bytes; an event has up to 1 MiB
)

// errRejected is of a request that is not genuine, or too old: respond with 401.
var errRejected = errors.New("the signature is invalid, or older than five minutes")

// Event is the body of a request.
type Event struct {
	ID   string          `json:"id"`
	Type string          `json:"type"`
	Data json.RawMessage `json:"data"`
}

// Verifier verifies requests by a key set and by signing secrets.
type Verifier struct {
	keys    *KeySet
	secrets [][]byte
}

// Verify returns the event of a genuine request; body is the raw one. Any error but errRejected
// says that there are no keys: respond with 503 then, and the request is repeated.
func (v *Verifier) Verify(body []byte, header http.Header) (Event, error) {
	var event Event
	keys, err := v.keys.Trusted(header.Get("X-3dverse-Signature-Key-Id"))
	if err != nil {
		return event, err
	}
	// One valid signature is enough, of whichever scheme.
	if !isOwn(body, header, keys) && !isStandard(body, header, keys, v.secrets) {
		return event, errRejected
	}
	return event, json.Unmarshal(body, &event)
}

// isOwn verifies hex of Ed25519 over the timestamp and the body.
func isOwn(body []byte, header http.Header, keys []ed25519.PublicKey) bool {
	timestamp := header.Get("X-3dverse-Signature-Timestamp")
	signature, err := hex.DecodeString(header.Get("X-3dverse-Signature"))
	return err == nil && isFresh(timestamp) && isByKey(signature, append([]byte(timestamp), body...), keys)
}

// With a dot in the id, another part of the signed bytes could pass for the timestamp.
var isID = regexp.MustCompile(`^[A-Za-z0-9_-]+$`).MatchString

// isStandard verifies Standard Webhooks: v1a is Ed25519, v1 is HMAC-SHA256.
func isStandard(body []byte, header http.Header, keys []ed25519.PublicKey, secrets [][]byte) bool {
	id, timestamp := header.Get("webhook-id"), header.Get("webhook-timestamp")
	if !isID(id) || !isFresh(timestamp) {
		return false
	}
	signed := append([]byte(id+"."+timestamp+"."), body...)
	for _, entry := range strings.SplitN(header.Get("webhook-signature"), " ", 6) {
		version, text, _ := strings.Cut(entry, ",")
		signature, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			continue
		}
		if version == "v1a" && isByKey(signature, signed, keys) {
			return true
		}
		for _, secret := range secrets {
			digest := hmac.New(sha256.New, secret)
			digest.Write(signed)
			if version == "v1" && hmac.Equal(digest.Sum(nil), signature) {
				return true
			}
		}
	}
	return false
}

func isByKey(signature, signed []byte, keys []ed25519.PublicKey) bool {
	for _, key := range keys {
		if ed25519.Verify(key, signed, signature) {
			return true
		}
	}
	return false
}

var isTenDigits = regexp.MustCompile(`^[0-9]{10}$`).MatchString

func isFresh(timestamp string) bool {
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	return err == nil && isTenDigits(timestamp) && time.Since(time.Unix(seconds, 0)).Abs() <= tolerance
}

// KeySet has the environment's public keys by their ids. They are read again when they are old, or
// when a request names a new one.
type KeySet struct {
	url    string
	mutex  sync.Mutex
	keys   map[string]ed25519.PublicKey
	readAt time.Time
}

// Trusted returns the keys to trust now, for a request that names this one.
func (k *KeySet) Trusted(keyID string) ([]ed25519.PublicKey, error) {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	_, isKnown := k.keys[keyID]
	if age := time.Since(k.readAt); age > keysMaxAge || (age > keysMinAge && !isKnown) {
		k.readAt = time.Now()
		keys, err := readKeys(k.url)
		if err != nil { // the keys that are known stay in use
			log.Print(err)
		} else {
			k.keys = keys
		}
	}
	if len(k.keys) == 0 {
		return nil, errors.New("there are no keys at " + k.url)
	}
	trusted := make([]ed25519.PublicKey, 0, len(k.keys))
	for _, key := range k.keys {
		trusted = append(trusted, key)
	}
	return trusted, nil
}

func readKeys(url string) (map[string]ed25519.PublicKey, error) {
	client := http.Client{Timeout: 5 * time.Second}
	response, err := client.Get(url)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, errors.New(url + ": " + response.Status)
	}
	var set struct {
		Keys []struct{ Kid, X string }
	}
	if err := json.NewDecoder(response.Body).Decode(&set); err != nil {
		return nil, err
	}
	keys := map[string]ed25519.PublicKey{}
	for _, key := range set.Keys {
		raw, err := base64.RawURLEncoding.DecodeString(key.X)
		if err != nil || len(raw) != ed25519.PublicKeySize {
			return nil, errors.New(url + ": the key " + key.Kid + " is not one of Ed25519")
		}
		keys[key.Kid] = raw
	}
	return keys, nil
}

func main() {
	verifier := &Verifier{keys: &KeySet{url: os.Getenv("KEYS_URL")}}
	for _, secret := range strings.Fields(os.Getenv("SIGNING_SECRETS")) {
		raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
		if err != nil {
			log.Fatal("SIGNING_SECRETS are whsec_ and base64, separated by spaces")
		}
		verifier.secrets = append(verifier.secrets, raw)
	}
	var processed sync.Map // yours is a table, written in the transaction of the effect

	http.HandleFunc("POST /webhooks", func(w http.ResponseWriter, r *http.Request) {
		var body bytes.Buffer
		if _, err := io.Copy(&body, http.MaxBytesReader(w, r.Body, most)); err != nil {
			http.Error(w, "too large", http.StatusRequestEntityTooLarge)
			return
		}
		event, err := verifier.Verify(body.Bytes(), r.Header)
		if errors.Is(err, errRejected) {
			http.Error(w, err.Error(), http.StatusUnauthorized)
		} else if err != nil {
			log.Print(err)
			http.Error(w, "try again", http.StatusServiceUnavailable)
		} else if _, isDuplicate := processed.LoadOrStore(event.ID, true); isDuplicate {
			io.WriteString(w, "duplicate")
		} else {
			log.Print("processed ", event.Type, " ", event.ID) // your own work
			io.WriteString(w, "processed")
		}
	})
	port := os.Getenv("PORT")
	if port == "" {
		port = "8080"
	}
	log.Fatal(http.ListenAndServe("127.0.0.1:"+port, nil))
}
