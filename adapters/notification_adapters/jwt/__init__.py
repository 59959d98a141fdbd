"""JSON Web Tokens (RFC 7519) as credentials, checked with the published keys of their issuer."""
