"""The server for health, metrics and status."""
