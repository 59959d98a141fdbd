"""One server process, and the supervisor of several."""
