"""The rules of moderation: plain objects, no I/O, the time is an argument."""
