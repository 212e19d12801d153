"""Steps of the database schema, applied in order at the start."""
