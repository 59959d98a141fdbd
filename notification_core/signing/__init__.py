"""Signing requests, verifying signatures, and the keys for both."""
