"""What moderation counts, for Prometheus."""

from collections.abc import Callable, Iterable

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge

from chassis.metrics import ServiceMetrics
from moderation.domain.verdict import Decision, Verdict


class Metrics:
    """Everything that is counted."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.registry = registry
        self.service = ServiceMetrics("moderation", registry)
        """Calls, and dependencies that are up."""
        verdicts = Counter("salon_moderation_verdicts", "Answers to checks.", ["decision"], registry=registry)
        self._verdicts = {d: verdicts.labels(d.name.lower()) for d in Decision}
        self._ready = Gauge("salon_moderation_ready", "1: database and NATS answer.", registry=registry)
        self._in_force = Gauge("salon_moderation_sanctions_in_force", "Sanctions in memory.", registry=registry)
        self._waiting = Gauge("salon_moderation_sightings_waiting", "Sightings not written yet.", registry=registry)
        self._lost = Gauge("salon_moderation_sightings_lost", "Sightings lost for want of room.", registry=registry)

    def count(self, verdicts: Iterable[Verdict]) -> None:
        """Answers that were given together."""
        for verdict in verdicts:
            self._verdicts[verdict.decision].inc()

    def watch(
        self,
        *,
        is_ready: Callable[[], bool],
        in_force: Callable[[], int],
        waiting: Callable[[], int],
        lost: Callable[[], int],
    ) -> None:
        """Read these when asked for."""
        self._ready.set_function(is_ready)
        self._in_force.set_function(in_force)
        self._waiting.set_function(waiting)
        self._lost.set_function(lost)
