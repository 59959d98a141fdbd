#!/usr/bin/env bash
# Verify a captured request by hand, with openssl 3, curl and jq:
#
#   KEYS_URL=https://…/jwks.json bash verify.sh headers.txt body.json
#
# headers.txt has a header in each line, body.json the body byte for byte. It prints each signature
# that is valid, and ends with 0 if there is one. It is for looking into a problem, not for a server:
# a secret is visible in the list of processes, and comparing in a shell takes no constant time.
set -euo pipefail
headers=$1 body=$2 tolerance=300
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

field() { # NAME: the value of a header, in any case
  awk -v name="$1" 'tolower(substr($0, 1, length(name) + 1)) == tolower(name) ":" {
    sub(/^[^:]*:[ \t]*/, ""); sub(/\r$/, ""); print; exit }' "$headers"
}

is_fresh() { # TIMESTAMP
  [[ $1 =~ ^[0-9]{10}$ ]] && local age=$(($(date +%s) - $1)) && ((age <= tolerance && -age <= tolerance))
}

# Each key of the set as PEM: twelve bytes say that it is one of Ed25519, then the key itself.
curl --silent --show-error --fail --max-time 5 "$KEYS_URL" |
  jq -r '.keys[] | [.kid, .x] | @tsv' |
  while IFS=$'\t' read -r kid x; do
    { printf '\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00'
      printf '%s=' "$x" | tr -- '-_' '+/' | openssl base64 -d -A
    } | openssl pkey -pubin -inform DER -out "$work/$kid.pem"
  done

is_by_key() { # the signature is in $work/signature, what is signed in $work/signed
  local key
  for key in "$work"/*.pem; do
    openssl pkeyutl -verify -rawin -pubin -inkey "$key" \
      -in "$work/signed" -sigfile "$work/signature" >"$work/output" 2>&1 && return
  done
  return 1
}

is_by_secret() { # SIGNATURE in base64
  local secret raw
  for secret in ${SIGNING_SECRETS:-}; do
    raw=$(printf %s "${secret#whsec_}" | openssl base64 -d -A | od -An -v -tx1 | tr -d ' \n')
    [[ $(openssl dgst -sha256 -mac HMAC -macopt "hexkey:$raw" -binary "$work/signed" |
      openssl base64 -A) == "$1" ]] && return
  done
  return 1
}

valid=0
found() { echo "$1 is valid"; valid=1; }

# X-3dverse-Signature: hex of Ed25519 over the timestamp and the body.
timestamp=$(field X-3dverse-Signature-Timestamp) signature=$(field X-3dverse-Signature)
if is_fresh "$timestamp" && [[ $signature =~ ^[0-9a-f]{128}$ ]]; then
  printf %b "$(printf %s "$signature" | sed 's/../\\x&/g')" >"$work/signature"
  { printf %s "$timestamp"; cat "$body"; } >"$work/signed"
  if is_by_key; then found X-3dverse-Signature; fi
fi

# Standard Webhooks: v1a is Ed25519, v1 is HMAC-SHA256. With a dot in the id, another part of the
# signed bytes could pass for the timestamp.
id=$(field webhook-id) timestamp=$(field webhook-timestamp)
if is_fresh "$timestamp" && [[ $id =~ ^[A-Za-z0-9_-]+$ ]]; then
  { printf %s "$id.$timestamp."; cat "$body"; } >"$work/signed"
  for entry in $(field webhook-signature | tr -cd 'A-Za-z0-9+/=, '); do
    text=${entry#*,}
    printf %s "$text" | openssl base64 -d -A >"$work/signature"
    case $entry in
      v1a,*) if is_by_key; then found v1a; fi ;;
      v1,*) if is_by_secret "$text"; then found v1; fi ;;
    esac
  done
fi

if ((valid == 0)); then echo "no signature is valid, and at most $tolerance seconds old" >&2; fi
exit $((1 - valid))
