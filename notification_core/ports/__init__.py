"""The ports: what the core asks of the world, one module a port."""
