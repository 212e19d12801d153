"""The rooms and moderation services over gRPC."""
