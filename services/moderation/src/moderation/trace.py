"""The trace that work belongs to: W3C's `traceparent`, which every line of the log carries as `trace` meanwhile."""

import re
import secrets
from contextlib import AbstractContextManager, nullcontext

from structlog.contextvars import bound_contextvars, get_contextvars

TRACE_HEADER = "traceparent"
_TRACEPARENT = re.compile("00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_TRACE_END = len("00-") + 32
_SPAN_END = _TRACE_END + len("-") + 16


def hold_trace(header: str | bytes | None) -> AbstractContextManager[None]:
    """Everything inside of the block belongs to what the caller sent; it would land in the log, so whatever is no
    traceparent is ignored."""
    if isinstance(header, str) and _TRACEPARENT.fullmatch(header):
        return bound_contextvars(trace=header)
    return nullcontext()


def trace_headers() -> dict[str, str]:
    """What goes along to others: the trace that is held, with a span of its own; nothing where none is held."""
    held: str | None = get_contextvars().get("trace")
    if held is None:
        return {}
    return {TRACE_HEADER: f"{held[:_TRACE_END]}-{secrets.token_hex(8)}{held[_SPAN_END:]}"}
