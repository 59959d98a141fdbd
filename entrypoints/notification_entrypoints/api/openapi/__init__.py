"""The API's document, and what is read from it."""
