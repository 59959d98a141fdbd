"""Claiming deliveries, sending them and writing their results."""
