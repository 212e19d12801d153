"""Logs: one JSON object a line on stdout, libraries' records included."""

import asyncio
import logging
import sys
import traceback
from typing import Any

import structlog
from structlog.typing import FilteringBoundLogger

SUMMARY_INTERVAL_S = 5.0
_TALKATIVE = {"httpx": logging.WARNING, "asyncpg.pool": logging.ERROR}
"""From which level on libraries are heard that log a line for each request, or a traceback a second of an outage."""


def configure_logging(service: str) -> None:
    """Set up structlog and the standard library's logging; every line carries `service`."""
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
    for library, level in _TALKATIVE.items():
        logging.getLogger(library).setLevel(level)
    structlog.contextvars.bind_contextvars(service=service)


def place_of(exception: BaseException) -> str:
    """File, line and function of where it was raised: what may be logged of one whose words may be a client's."""
    frames = traceback.extract_tb(exception.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno} {frames[-1].name}" if frames else "?"


class LogSummary:
    """For what may happen thousands of times a second: the first time is logged at once, from then on one line with
    the count for each interval of 5 s in which it happened."""

    def __init__(self, log: FilteringBoundLogger, event: str) -> None:
        self._log = log
        self._event = event
        self._count = 0
        self._fields: dict[str, Any] = {}
        self._is_waiting = False

    def note(self, **fields: Any) -> None:
        """It happened once more; of the fields, the last ones are shown. Needs a running event loop."""
        self._count += 1
        self._fields = fields
        if not self._is_waiting:
            self._log_count()

    def _log_count(self) -> None:
        self._is_waiting = self._count > 0
        if self._is_waiting:
            self._log.warning(self._event, count=self._count, **self._fields)
            self._count = 0
            asyncio.get_running_loop().call_later(SUMMARY_INTERVAL_S, self._log_count)
