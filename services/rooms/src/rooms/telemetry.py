"""What rooms counts, for Prometheus."""

from prometheus_client import Counter

from chassis.metrics import ServiceMetrics

SERVICE = ServiceMetrics("rooms")
"""Calls, and dependencies that are up."""
JOINS = Counter("salon_rooms_joins_total", "Joins by result", ["result"])
SWEPT = Counter("salon_rooms_swept_total", "Lives that the sweeper ended")
EVENTS = Counter("salon_rooms_events_total", "Events for NATS by kind and what became of them", ["kind", "outcome"])
