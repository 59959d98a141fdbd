"""How long a test waits for what is to come."""

PATIENCE = 100.0
"""Seconds. Waiting ends with its condition, so a long patience costs only the test that fails: on a
machine that does many things at once, a start may take a minute."""
