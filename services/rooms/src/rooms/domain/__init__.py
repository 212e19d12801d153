"""The rules of rooms: values and decisions, without I/O."""
