"""Kafka: events from its topics, and messages to them."""
