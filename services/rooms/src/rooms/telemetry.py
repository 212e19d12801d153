"""Logs and metrics of the process."""

import logging
import sys
from wsgiref.simple_server import WSGIServer

import structlog
from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.exposition import start_http_server

CALLS = Counter("salon_rooms_calls_total", "gRPC calls by method and status", ["method", "status"])
CALL_SECONDS = Histogram("salon_rooms_call_seconds", "Duration of gRPC calls", ["method"])
JOINS = Counter("salon_rooms_joins_total", "Joins by result", ["result"])
SWEPT = Counter("salon_rooms_swept_total", "Lives that the sweeper ended")
EVENTS = Counter("salon_rooms_events_total", "Events for NATS by kind and what became of them", ["kind", "outcome"])
HEALTHY = Gauge("salon_rooms_dependency_up", "Whether a dependency answers", ["dependency"])


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
    logging.getLogger("httpx").setLevel(logging.WARNING)  # else a line for each video that is looked up
    structlog.contextvars.bind_contextvars(service=service)


def serve_metrics(host: str, port: int) -> WSGIServer:
    """Prometheus' text format over HTTP, from a thread; the caller shuts it down."""
    server, _thread = start_http_server(port, host, registry=REGISTRY)
    return server
