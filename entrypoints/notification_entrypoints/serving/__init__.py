"""Serving HTTP, shutting down, and tuning the interpreter."""
