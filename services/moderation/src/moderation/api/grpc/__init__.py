"""The gRPC face of the service: each call is converted, asks one use case, and is converted back."""
