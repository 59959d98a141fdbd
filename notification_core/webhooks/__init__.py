"""Managing webhooks and testing them."""
