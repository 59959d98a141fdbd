"""Encrypting stored secrets, and re-encrypting them."""
