"""What a client reads when a request fails.

rooms.errors.Refusal             a field said no: its own text and code, both public
chassis.errors.DatabaseUnavailable UNAVAILABLE; operators see it in health and metrics
GraphQLError                    the request is wrong (syntax, validation, variables): its text, INVALID
anything else                   a defect: INTERNAL_TEXT outside, a traceback in the log
"""

from typing import Any

from graphql import GraphQLError

from chassis.errors import DatabaseUnavailable
from rooms.errors import InvalidInput, Refusal, ServiceUnavailable

INTERNAL_TEXT = "Internal error"


def format_error(error: GraphQLError) -> dict[str, Any]:
    """The error as it stands in the answer; never the text of an unexpected exception."""
    message, code = _public(error)
    body: dict[str, Any] = {"message": message}
    if error.locations:
        body["locations"] = [location.formatted for location in error.locations]
    if error.path:
        body["path"] = error.path
    return body | {"extensions": {"code": code}}


def format_refusal(refusal: Refusal) -> dict[str, Any]:
    """A refusal that belongs to no place in the document."""
    return {"message": str(refusal), "extensions": {"code": refusal.code}}


def unexpected_cause(error: GraphQLError) -> Exception | None:
    """The exception behind an error that is neither a refusal nor the client's mistake."""
    cause = _root(error)
    return None if cause is None or isinstance(cause, (Refusal, DatabaseUnavailable)) else cause


def _public(error: GraphQLError) -> tuple[str, str]:
    cause = _root(error)
    if cause is None:
        return error.message, InvalidInput.code
    if isinstance(cause, Refusal):
        return str(cause), cause.code
    if isinstance(cause, DatabaseUnavailable):
        return ServiceUnavailable.text, ServiceUnavailable.code
    # The contract has no code for defects; to the client it is a service that could not answer.
    return INTERNAL_TEXT, ServiceUnavailable.code


def _root(error: GraphQLError) -> Exception | None:
    cause: Exception | None = error
    while isinstance(cause, GraphQLError):
        cause = cause.original_error
    return cause
