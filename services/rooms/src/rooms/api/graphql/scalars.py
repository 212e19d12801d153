"""The two scalars of the contract: integers that JavaScript holds exactly, and times as the socket writes them."""

from datetime import UTC, datetime
from typing import NewType

import strawberry
from graphql import GraphQLError
from strawberry.types.scalar import ScalarDefinition

LARGEST_SAFE_INT = 2**53 - 1

SafeInt = NewType("SafeInt", int)
"""An integer below 2^53, a JSON number."""


def _serialize_safe_int(value: object) -> int:
    # A ValueError here is a defect of ours: it is masked and logged, unlike what a client sends.
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > LARGEST_SAFE_INT:
        raise ValueError(f"not a SafeInt: {value!r}")
    return value


def _parse_safe_int(value: object) -> SafeInt:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > LARGEST_SAFE_INT:
        raise GraphQLError("SafeInt must be an integer below 2^53")
    return SafeInt(value)


def _serialize_time(value: datetime) -> str:
    """RFC 3339 in UTC with milliseconds and Z."""
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _parse_time(value: object) -> datetime:
    raise GraphQLError("DateTime is not an input of this schema")


SCALARS: dict[object, ScalarDefinition] = {
    SafeInt: strawberry.scalar(
        name="SafeInt",
        description="An integer below 2^53, a JSON number.",
        serialize=_serialize_safe_int,
        parse_value=_parse_safe_int,
    ),
    datetime: strawberry.scalar(
        name="DateTime",
        description="RFC 3339 in UTC with milliseconds and Z.",
        serialize=_serialize_time,
        parse_value=_parse_time,
    ),
}
