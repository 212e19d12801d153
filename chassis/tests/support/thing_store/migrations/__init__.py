"""Of the one table."""
