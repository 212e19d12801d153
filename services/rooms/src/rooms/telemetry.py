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


def configure_logs(*, is_production: bool) -> None:
    """One line an event on stderr: JSON in production, readable elsewhere."""
    renderer = (
        structlog.processors.JSONRenderer()
        if is_production
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info if is_production else _unchanged,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def _unchanged(_logger: object, _name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return event


def serve_metrics(host: str, port: int) -> WSGIServer:
    """Prometheus' text format over HTTP, from a thread; the caller shuts it down."""
    server, _thread = start_http_server(port, host, registry=REGISTRY)
    return server
