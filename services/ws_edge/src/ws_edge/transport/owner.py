"""Calls into the owner of a connection."""

from collections.abc import Callable
from typing import ParamSpec

import structlog

log = structlog.get_logger(__name__)

P = ParamSpec("P")


def succeeds(call: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> bool:
    """Whether the owner took it. One client's fault must not reach the others: it is logged, and that is all."""
    try:
        call(*args, **kwargs)
    except Exception as failure:
        log.error("receiver_failed", call=getattr(call, "__name__", "?"), exc_info=failure)  # noqa: TRY400  exc_info
        return False
    return True
