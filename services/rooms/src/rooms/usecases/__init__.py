"""What the service does, one function a use case: load, ask the domain, save."""
