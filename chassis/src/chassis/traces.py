"""The trace that work belongs to: W3C's `traceparent`, carried as `trace` by every line of the log meanwhile.

A call to another service, or an event, carries the trace on under TRACE_HEADER with a span of its own.
"""

import re
import secrets
from contextlib import AbstractContextManager, nullcontext

from structlog.contextvars import bound_contextvars, get_contextvars

TRACE_HEADER = "traceparent"
_TRACEPARENT = re.compile("00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_TRACE_END = len("00-") + 32
_SPAN_END = _TRACE_END + len("-") + 16


def read_trace(header: str | bytes | None) -> str | None:
    """What somebody sent, if it is a traceparent: it lands in the log, so nothing else is taken."""
    return header if isinstance(header, str) and _TRACEPARENT.fullmatch(header) else None


def begin_trace() -> str:
    """A new trace. Flag 01: it is recorded, in the log."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


def hold_trace(trace: str | None) -> AbstractContextManager[None]:
    """The block's work belongs to this trace; None: to the one that is held already, if any."""
    return nullcontext() if trace is None else bound_contextvars(trace=trace)


def next_trace() -> str:
    """For a call to somebody else: the held trace with a span of the call's own, or a new trace."""
    return _next_span() or begin_trace()


def trace_headers() -> dict[str, str]:
    """Headers of an event or metadata of a call: the held trace with a new span; empty where none is held."""
    trace = _next_span()
    return {} if trace is None else {TRACE_HEADER: trace}


def _next_span() -> str | None:
    held: str | None = get_contextvars().get("trace")
    return None if held is None else f"{held[:_TRACE_END]}-{secrets.token_hex(8)}{held[_SPAN_END:]}"
