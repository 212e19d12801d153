"""The bus over NATS and JetStream."""
