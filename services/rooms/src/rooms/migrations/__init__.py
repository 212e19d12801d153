"""The history of the tables, applied at the start of the service."""
