"""Live deliveries, verified by the published libraries of other languages; ``nox -s receivers``."""
