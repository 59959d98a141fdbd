"""Settings, and values read from them."""
