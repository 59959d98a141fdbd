"""Signers by other libraries than the core's."""
