"""API keys, and authentication by them and by tokens."""
