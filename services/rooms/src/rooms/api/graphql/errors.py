"""What a client reads when a request fails: our refusals with their code, requests that are wrong, masked text for the rest.

Refusal(code)           a field said no; text and code are ours and public
GraphQLError            the request is wrong (syntax, validation, variables): code INVALID
anything else           a defect: INTERNAL_TEXT outside, a traceback in the log
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from graphql import GraphQLError

INTERNAL_TEXT = "Internal error"


class Code(StrEnum):
    """extensions.code, the whole list of the contract."""

    UNAUTHENTICATED = "UNAUTHENTICATED"
    FORBIDDEN = "FORBIDDEN"
    NOT_FOUND = "NOT_FOUND"
    CONFLICT = "CONFLICT"
    INVALID = "INVALID"
    UNAVAILABLE = "UNAVAILABLE"


class Refusal(Exception):
    """A field's own no, fit to be read by anyone."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def format_error(error: GraphQLError) -> dict[str, Any]:
    """The error as it stands in the answer; never the text of an unexpected exception."""
    message, code = _public(error)
    body: dict[str, Any] = {"message": message}
    if error.locations:
        body["locations"] = [location.formatted for location in error.locations]
    if error.path:
        body["path"] = error.path
    return body | {"extensions": {"code": code}}


def plain_error(code: Code, message: str) -> Mapping[str, Any]:
    """An error that belongs to no place in the document."""
    return {"message": message, "extensions": {"code": code}}


def unexpected_cause(error: GraphQLError) -> Exception | None:
    """The exception behind an error that is neither a refusal nor the client's mistake."""
    cause = _root(error)
    return None if cause is None or isinstance(cause, Refusal) else cause


def _public(error: GraphQLError) -> tuple[str, Code]:
    cause = _root(error)
    if cause is None:
        return error.message, Code.INVALID
    if isinstance(cause, Refusal):
        return cause.message, cause.code
    # The contract has no code for defects; to the client it is a service that could not answer.
    return INTERNAL_TEXT, Code.UNAVAILABLE


def _root(error: GraphQLError) -> Exception | None:
    cause: Exception | None = error
    while isinstance(cause, GraphQLError):
        cause = cause.original_error
    return cause
