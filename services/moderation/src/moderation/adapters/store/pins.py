"""The pins of rooms: questions and changes in the transaction that is open."""

from collections.abc import Sequence
from typing import Any

from moderation.adapters.store.tables import PinRow
from moderation.domain.erasures import Erasure, LoggedMessage
from moderation.domain.pins import PinAction, PinCommand, RoomPin
from moderation.domain.policy import next_version

_ROWS_AT_ONCE = 100
"""Each with the text of a message."""
_FIELDS = frozenset(LoggedMessage._fields)


async def pin_of(slug: str) -> RoomPin | None:
    """What is known of a slug's pin."""
    row = await PinRow.get_or_none(slug=slug)
    return None if row is None else _from_row(row)


async def pins_of(slugs: Sequence[str]) -> list[RoomPin]:
    """See Store."""
    return [_from_row(row) for row in await PinRow.filter(slug__in=list(slugs))] if slugs else []


async def write_pin(command: PinCommand, life: int, message: LoggedMessage | None, *, now_ms: int) -> int:
    """Put a message, or none, in place of what is pinned; the version since then. One at a time over all replicas."""
    version = await _next(now_ms)
    is_pinned = command.action is PinAction.PIN and message is not None
    values = {
        "life": life,
        "version": version,
        "message": _values_of(message) if is_pinned and message is not None else None,
        "moderator_user_id": command.moderator.user_id,
        "changed_at_ms": now_ms,
    }
    if not await PinRow.filter(slug=command.slug).update(**values):
        await PinRow(slug=command.slug, **values).save(force_create=True)
    return version


async def end_pin(slug: str, erasure: Erasure, *, now_ms: int) -> None:
    """Where what is pinned there is taken back, nothing is from now on, and its text is gone from here."""
    known = await pin_of(slug)
    if known is not None and known.is_ended_by(erasure):
        await _end(slug, now_ms)


async def end_pins(before_ms: int, now_ms: int) -> bool:
    """End a part of the pins that are older; whether there may be more."""
    old = PinRow.filter(message__isnull=False, changed_at_ms__lt=before_ms)
    slugs = [row.slug for row in await old.limit(_ROWS_AT_ONCE).only("slug")]
    for slug in slugs:
        await _end(slug, now_ms)
    return len(slugs) == _ROWS_AT_ONCE


async def pinned_of(user_id: int, after: str) -> tuple[list[str], str | None]:
    """In which of the next slugs a message of a user is pinned; behind which slug to go on, None: that was all. There
    is one pin a room at most: all are looked at."""
    rows = await PinRow.filter(message__isnull=False, slug__gt=after).order_by("slug").limit(_ROWS_AT_ONCE)
    found = [row.slug for row in rows if _is_of(user_id, row)]
    return found, rows[-1].slug if len(rows) == _ROWS_AT_ONCE else None


async def end_pins_of(user_id: int, slugs: Sequence[str], now_ms: int) -> None:
    """End these, as far as they still are of that user. Under the lock of commands."""
    for row in await PinRow.filter(slug__in=list(slugs), message__isnull=False):
        if _is_of(user_id, row):
            await _end(row.slug, now_ms)


def _is_of(user_id: int, row: PinRow) -> bool:
    return (row.message or {}).get("user_id") == user_id


async def forget_pins(before_ms: int) -> None:
    """Delete what is known of slugs where nothing is pinned since then."""
    await PinRow.filter(message__isnull=True, changed_at_ms__lt=before_ms).delete()


async def _end(slug: str, now_ms: int) -> None:
    await PinRow.filter(slug=slug).update(message=None, version=await _next(now_ms), changed_at_ms=now_ms)


async def _next(now_ms: int) -> int:
    newest = await PinRow.all().order_by("-version").only("version").first()
    return next_version(0 if newest is None else newest.version, now_ms)


def _values_of(message: LoggedMessage) -> dict[str, Any]:
    """PostgreSQL cannot hold the character 0."""
    return {
        name: value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value
        for name, value in message._asdict().items()
    }


def _message_from(values: dict[str, Any]) -> LoggedMessage | None:
    """Without what a later version has added; None: one has left out what this one needs. A row that cannot be read
    would keep this version from all others that it asks for."""
    known = {name: values[name] for name in LoggedMessage._fields if name in values}
    return LoggedMessage(**known) if known.keys() | LoggedMessage._field_defaults.keys() >= _FIELDS else None


def _from_row(row: PinRow) -> RoomPin:
    message = None if row.message is None else _message_from(row.message)
    return RoomPin(row.slug, row.life, row.version, message, row.moderator_user_id, row.changed_at_ms)
