"""Texts of callers as every database takes them."""

from moderation.errors import MalformedRequest


def text_from_proto(raw: str, longest: int, field: str) -> str:
    """Raises MalformedRequest, which names the field, where it has more than `longest` characters."""
    if len(raw) > longest:
        raise MalformedRequest(field)
    return storable(raw)


def storable(raw: str) -> str:
    """PostgreSQL cannot hold the character 0, and nobody can see it."""
    return raw.replace("\0", "\N{REPLACEMENT CHARACTER}")
