"""The HTTP API: a document, and what answers its operations."""
