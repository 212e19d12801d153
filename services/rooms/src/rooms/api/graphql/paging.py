"""List arguments, clamped."""

from rooms.api.graphql.errors import Code, Refusal

LIST_LIMIT = 100
LIST_DEFAULT = 50


def clamp_first(first: int | None) -> int:
    """At most 100; null is the default. Raises Refusal when it asks for nothing or less."""
    if first is None:
        return LIST_DEFAULT
    if first < 1:
        raise Refusal(Code.INVALID, "first must be at least 1")
    return min(first, LIST_LIMIT)
