"""What operators see: structured logs, one line an event, and Prometheus metrics."""

import logging
import sys
from collections.abc import Callable

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest


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
    """The edge's metrics. Implements Meter."""

    def __init__(self, worker: str) -> None:
        self._registry = CollectorRegistry()
        self._worker = worker
        self._refused = Counter(
            "salon_ws_edge_frames_refused", "Frames answered with an error", ["code"], registry=self._registry
        )
        self._posted = Counter("salon_ws_edge_messages_published", "Messages published", registry=self._registry)
        self._closed = Counter(
            "salon_ws_edge_connections_closed", "Connections that the edge closed", ["code"], registry=self._registry
        )

    def watch(self, name: str, about: str, read: Callable[[], float]) -> None:
        """A gauge that is read when it is asked for."""
        gauge = Gauge(f"salon_ws_edge_{name}", about, ["worker"], registry=self._registry)
        gauge.labels(self._worker).set_function(read)

    def refused(self, code: str) -> None:
        """A frame was refused."""
        self._refused.labels(code).inc()

    def posted(self) -> None:
        """A message was published."""
        self._posted.inc()

    def closed(self, code: int) -> None:
        """The edge closed a connection."""
        self._closed.labels(str(code)).inc()

    def render(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self._registry)
