"""The stores of every SQL database."""
