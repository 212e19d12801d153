"""The trace that work belongs to: W3C's `traceparent`, which every line of the log carries as `trace` meanwhile."""

import re
import secrets
from contextlib import AbstractContextManager, nullcontext

from structlog.contextvars import bound_contextvars, get_contextvars

TRACE_HEADER = "traceparent"
_TRACEPARENT = re.compile("00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_TRACE_END = len("00-") + 32
_SPAN_END = _TRACE_END + len("-") + 16


def read_trace(header: str | None) -> str | None:
    """What somebody sent, if it is one: it would land in the log, so nothing else is taken."""
    return header if header is not None and _TRACEPARENT.fullmatch(header) else None


def begin_trace() -> str:
    """A trace that nobody has begun before. Flag 01: it is recorded, in the log."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


def hold_trace(trace: str | None) -> AbstractContextManager[None]:
    """Everything inside of the block belongs to it; None: to whatever it belonged to before."""
    return nullcontext() if trace is None else bound_contextvars(trace=trace)


def next_trace() -> str:
    """For a call to somebody else: the trace that is held, with a span of the call's own, or a new one."""
    held: str | None = get_contextvars().get("trace")
    if held is None:
        return begin_trace()
    return f"{held[:_TRACE_END]}-{secrets.token_hex(8)}{held[_SPAN_END:]}"
