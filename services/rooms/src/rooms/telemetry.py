"""What rooms counts, for Prometheus."""

from collections.abc import Iterable

from prometheus_client import REGISTRY, CollectorRegistry, Counter

from chassis.metrics import ServiceMetrics


class Metrics:
    """Everything that is counted."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.registry = registry
        self.service = ServiceMetrics("rooms", registry)
        """Calls, and dependencies that are up."""
        self._joins = Counter("salon_rooms_joins", "Joins by result", ["result"], registry=registry)
        self._swept = Counter("salon_rooms_swept", "Lives that the sweeper ended", registry=registry)
        about = "Events for NATS by kind and what became of them"
        self._events = Counter("salon_rooms_events", about, ["kind", "outcome"], registry=registry)

    def joined(self, results: Iterable[str]) -> None:
        """Answers to joins: `joined`, or why not."""
        for result in results:
            self._joins.labels(result).inc()

    def swept(self, lives: int) -> None:
        """Lives that a sweep ended."""
        self._swept.inc(lives)

    def event(self, kind: str, outcome: str) -> None:
        """`kind`: presence, deleted, emotes, purge; `outcome`: published, lost; of a purge also failed, to be
        tried again."""
        self._events.labels(kind, outcome).inc()
