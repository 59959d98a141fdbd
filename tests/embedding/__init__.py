"""Hosts that need frameworks of their own, run as they stand: ``python -m tests.embedding``."""
