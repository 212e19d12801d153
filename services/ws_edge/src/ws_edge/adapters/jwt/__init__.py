"""Tokens and the keys that they are verified with."""
