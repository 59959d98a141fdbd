"""OpenTelemetry: spans, and where they go. Importing this brings its API; the SDK is apart."""
