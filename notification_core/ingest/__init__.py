"""Storing events with their deliveries."""
