"""Code that verifies requests, to copy into a receiver, with the environment's keys in it."""

from collections.abc import Mapping
from typing import Any, Final

_PYTHON: Final = '''\
# pip install cryptography
import time

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

KEYS = [{keys}]


def is_genuine(body: bytes, headers) -> bool:
    """Tell whether a request is ours. `body` is what came, before any parsing."""
    timestamp = headers.get("{timestamp}", "")
    for key in KEYS:
        try:
            signature = bytes.fromhex(headers.get("{signature}", ""))
            Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)).verify(
                signature, timestamp.encode() + body
            )
            return abs(time.time() - int(timestamp)) <= {tolerance}
        except (InvalidSignature, ValueError):
            continue
    return False
'''
_NODE: Final = """\
import {{ createPublicKey, verify }} from "node:crypto";

// Each key as its DER form, of which the first twelve bytes say that it is one of Ed25519.
const keys = [{keys}].map((hex) => createPublicKey({{
  key: Buffer.from("302a300506032b6570032100" + hex, "hex"), format: "der", type: "spki",
}}));

// `body` is a Buffer of what came, before any parsing.
export function isGenuine(body, headers) {{
  const timestamp = headers["{timestamp}"] ?? "";
  const signature = Buffer.from(headers["{signature}"] ?? "", "hex");
  const signed = Buffer.concat([Buffer.from(timestamp), body]);
  const age = Math.abs(Date.now() / 1000 - Number(timestamp));
  return age <= {tolerance} && keys.some((key) => verify(null, signed, key, signature));
}}
"""
_GO: Final = """\
package receiver

import (
	"crypto/ed25519"
	"encoding/hex"
	"net/http"
	"strconv"
	"time"
)

var keys = []string{{{keys}}}

// IsGenuine tells whether a request is ours. body is what came, before any parsing.
func IsGenuine(body []byte, header http.Header) bool {{
	timestamp := header.Get("{timestamp}")
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil || time.Since(time.Unix(seconds, 0)).Abs() > {tolerance}*time.Second {{
		return false
	}}
	signature, _ := hex.DecodeString(header.Get("{signature}"))
	for _, key := range keys {{
		raw, _ := hex.DecodeString(key)
		if ed25519.Verify(raw, append([]byte(timestamp), body...), signature) {{
			return true
		}}
	}}
	return false
}}
"""
_SHELL: Final = """\
# request.http is a request as it came: headers, an empty line, the body.
notification-management verify --key {whpk} request.http
"""
LANGUAGES: Final = {"python": "Python", "node": "JavaScript (Node)", "go": "Go", "shell": "Shell"}


def verification_code(settings: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the code by language, for an environment's settings as the API shows them."""
    key = settings["public_verification_key"]
    form = key["signature"]
    values = {
        "keys": ", ".join(f'"{each["hex"]}"' for each in settings["verification_keys"]),
        "whpk": key["whpk"],
        "tolerance": form["tolerance_seconds"],
    }
    named = {"signature": form["header"], "timestamp": form["timestamp_header"]}
    # Node has the names of headers in lower case.
    lower = {name: text.lower() for name, text in named.items()}
    return {
        "python": _PYTHON.format(**values, **named),
        "node": _NODE.format(**values, **lower),
        "go": _GO.format(**values, **named),
        "shell": _SHELL.format(**values),
    }
