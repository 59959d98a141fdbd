"""How events and their messages are written."""
