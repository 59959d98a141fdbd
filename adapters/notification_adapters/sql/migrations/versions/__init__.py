"""One module a step; expand first, contract in a later version."""
