"""Several processes that serve the same: their supervisor, and its ops server for all of them."""
