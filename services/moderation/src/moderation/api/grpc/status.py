"""Exceptions to status codes: the one place, and nothing of the inside gets out."""

import grpc

from moderation.api.grpc.convert import BadRequest
from moderation.domain.order import NotPermitted
from moderation.ports import StoreUnavailable
from moderation.usecases.desk import SanctionNotFound


def status_of(problem: Exception) -> tuple[grpc.StatusCode, str]:
    """The code and the text for the caller; INTERNAL is a mistake of ours, to be logged."""
    match problem:
        case BadRequest():
            return grpc.StatusCode.INVALID_ARGUMENT, f"bad {problem}"
        case NotPermitted():
            return grpc.StatusCode.PERMISSION_DENIED, "not permitted"
        case SanctionNotFound():
            return grpc.StatusCode.NOT_FOUND, "no such sanction"
        case StoreUnavailable():
            return grpc.StatusCode.UNAVAILABLE, "database away"
        case _:
            return grpc.StatusCode.INTERNAL, "internal error"
