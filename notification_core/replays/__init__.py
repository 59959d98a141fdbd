"""Delivering stored events again."""
