"""Tools for concurrent work that know nothing of webhooks."""
