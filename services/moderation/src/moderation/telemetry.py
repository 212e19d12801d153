"""Logs and metrics: what an operator sees."""

import logging
import sys
from collections.abc import Callable, Iterable

import structlog
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, start_http_server

from moderation.domain.verdict import Decision, Verdict


def configure_logging(service: str) -> None:
    """Everything that is logged becomes one JSON line on stdout, libraries' records included."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.EventRenamer("event"),
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    logging.captureWarnings(True)
    structlog.contextvars.bind_contextvars(service=service)


class Metrics:
    """Everything that is counted."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._registry = registry
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

    def serve(self, host: str, port: int) -> Callable[[], None]:
        """Answer on a port, in a thread of its own; returns what ends it. Raises OSError."""
        server, thread = start_http_server(port, host, self._registry)

        def stop() -> None:
            server.shutdown()
            server.server_close()
            thread.join()

        return stop
