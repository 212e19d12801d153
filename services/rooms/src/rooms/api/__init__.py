"""The service's faces."""
