"""One worker with its duties, and several of them on one port."""
