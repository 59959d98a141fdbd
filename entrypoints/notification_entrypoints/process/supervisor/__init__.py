"""Several processes that serve the same: their supervisor, and how it speaks for all of them."""
