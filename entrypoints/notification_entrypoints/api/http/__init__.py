"""Requests and responses as HTTP has them."""
