"""What ports.py asks for, over the wire."""
