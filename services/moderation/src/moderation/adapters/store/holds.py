"""Held messages: questions and changes in the transaction that is open."""

from collections.abc import Sequence
from typing import Any

from tortoise.expressions import F, Q
from tortoise.queryset import QuerySet

from moderation.adapters.store.rows import rfc3339, storable
from moderation.adapters.store.tables import CONNECTION_LENGTH, NAME_LENGTH, HoldRow, OutboxRow
from moderation.domain.erasures import LogRef
from moderation.domain.holds import (
    MOST_OF_ROOM,
    NONCES_KNOWN_MS,
    WAITS_MS,
    HeldMessage,
    Hold,
    HoldOrder,
    HoldState,
    HoldStep,
    demand_place,
)
from moderation.domain.people import Speaker, Target
from moderation.domain.sanctions import Sanction

HOLDS_AT_ONCE = 100
_STATES = [int(state) for state in HoldState]


async def earlier_hold(order: HoldOrder, *, now_ms: int) -> Hold | None:
    """The same message, where its author has sent it before."""
    message = order.message
    if not message.nonce:
        return None
    author = message.author
    rows = HoldRow.filter(user_id=author.user_id, nonce=message.nonce, life=order.log.life)
    if not author.user_id:
        rows = rows.filter(connection=author.connection)
    row = await _understood(rows.filter(held_at_ms__gt=now_ms - NONCES_KNOWN_MS)).order_by("-id").first()
    return None if row is None else _from_row(row)


async def demand_room(order: HoldOrder, *, now_ms: int) -> None:
    """Raises HoldFull where no other message may wait there. What has expired waits no longer."""
    target = order.message.target
    waiting = HoldRow.filter(decided_at_ms__isnull=True, held_at_ms__gt=now_ms - WAITS_MS)
    of_author = await waiting.filter(user_id=target.user_id, **_name(target)).count()
    demand_place(of_author, await waiting.filter(slug=order.slug).limit(MOST_OF_ROOM).count())


async def insert_hold(order: HoldOrder, *, now_ms: int) -> Hold:
    """Have it wait."""
    message = order.message
    author = message.author
    row = HoldRow(
        slug=order.slug,
        log_partition=order.log.partition,
        room_id=order.log.room_id,
        life=order.log.life,
        user_id=author.user_id,
        username=storable(author.username)[:NAME_LENGTH],
        connection=author.connection[:CONNECTION_LENGTH],
        address="" if author.user_id else author.address,
        rank=author.rank,
        role=message.role,
        text=storable(message.text),
        nonce=message.nonce,
        number=message.number,
        reply_to=message.reply_to,
        rule_id=order.rule_id,
        rule_name=order.rule_name,
        state=int(HoldState.WAITING),
        held_at_ms=now_ms,
    )
    await row.save()
    return _from_row(row)


async def find_hold(hold_id: int) -> Hold | None:
    """One, in whatever state."""
    row = await _understood(HoldRow.filter(id=hold_id)).first()
    return None if row is None else _from_row(row)


async def write_decision(decided: Hold, action_id: int | None) -> None:
    """What became of it. Its text and its author's address go: the audit log has them."""
    await HoldRow.filter(id=decided.id).update(
        state=int(decided.state),
        decided_by=decided.decided_by,
        decided_at_ms=decided.decided_at_ms,
        action_id=action_id,
        text="",
        address="",
    )


async def waiting_of(ban: Sanction, first: int, *, now_ms: int) -> list[Hold]:
    """What waits of whom a ban is aimed at, where it holds, and of anonymous people at its addresses."""
    mine = Q(user_id=ban.target.user_id, **_name(ban.target))
    if ban.addresses:
        mine |= Q(user_id=0, address__in=sorted(ban.addresses))
    rows = HoldRow.filter(mine, decided_at_ms__isnull=True, held_at_ms__gt=now_ms - WAITS_MS)
    if ban.slug is not None:
        rows = rows.filter(slug=ban.slug)
    return [_from_row(row) for row in await _understood(rows).order_by("id").limit(first)]


async def are_holds_late(now_ms: int) -> bool:
    """Whether there is anything for expire_holds to do."""
    return await _late(now_ms).exists()


async def expire_holds(now_ms: int) -> list[Hold]:
    """A part of those that nobody has decided about in time, as they are since."""
    rows = await _late(now_ms).order_by("held_at_ms").limit(HOLDS_AT_ONCE)
    expired = [hold.after(HoldStep.EXPIRE, 0, hold.expires_at_ms) for hold in map(_from_row, rows)]
    await HoldRow.filter(id__in=[hold.id for hold in expired]).update(
        state=int(HoldState.EXPIRED), decided_by=0, decided_at_ms=F("held_at_ms") + WAITS_MS, text="", address=""
    )
    return expired


async def holds_of(slugs: Sequence[str], since_ms: int, first: int) -> list[Hold]:
    """See Store."""
    if not slugs:
        return []
    rows = HoldRow.filter(Q(decided_at_ms__isnull=True) | Q(decided_at_ms__gte=since_ms), slug__in=list(slugs))
    return [_from_row(row) for row in await _understood(rows).order_by("-id").limit(first)]


async def held(slug: str, first: int, before_id: int | None, now_ms: int) -> list[Hold]:
    """See Store."""
    rows = HoldRow.filter(slug=slug, decided_at_ms__isnull=True, held_at_ms__gt=now_ms - WAITS_MS)
    if before_id is not None:
        rows = rows.filter(id__lt=before_id)
    return [_from_row(row) for row in await _understood(rows).order_by("-id").limit(first)]


async def entry_of(hold_id: int) -> int:
    """Of a message that was allowed: its entry; 0: the log does not have it yet, or that is not known any more."""
    row = await HoldRow.get_or_none(id=hold_id)
    if row is None or row.action_id is None:
        return 0
    work = await OutboxRow.get_or_none(action_id=row.action_id)
    return (work.entry_id if work else None) or 0


async def open_holds(slug: str, first: int, since_ms: int = 0) -> list[dict[str, Any]]:
    """What waits in a slug since then, newest first, as moderators are shown it."""
    rows = HoldRow.filter(slug=slug, decided_at_ms__isnull=True, held_at_ms__gte=since_ms)
    return [shown_held(_from_row(row)) for row in await _understood(rows).order_by("-id").limit(first)]


def shown_held(hold: Hold) -> dict[str, Any]:
    """One that waits, in the words of frames."""
    author = hold.message.author
    return {
        "hold_id": hold.id,
        "user_id": author.user_id or None,
        "username": author.username,
        "message": hold.message.text,
        "reply_to": hold.message.reply_to or None,
        "rule": hold.rule_name or None,
        "held_at": rfc3339(hold.held_at_ms),
        "expires_at": rfc3339(hold.expires_at_ms),
    }


def shown_decision(hold: Hold) -> dict[str, Any]:
    """What became of one, in the words of frames."""
    return {"hold_id": hold.id, "state": hold.state.name.lower(), "decided_by": hold.decided_by or None}


def values_of(message: HeldMessage) -> dict[str, Any]:
    """A message as the outbox keeps it."""
    author = message.author
    return {
        "author": [author.user_id, storable(author.username), author.connection],
        "text": storable(message.text),
        "nonce": message.nonce,
        "role": message.role,
        "reply_to": message.reply_to,
    }


def message_from_values(values: dict[str, Any]) -> HeldMessage:
    """The other way."""
    user_id, username, connection = values["author"]
    author = Speaker(user_id, username, "", 0, connection)
    return HeldMessage(author, values["text"], values["nonce"], 0, values["role"], values["reply_to"])


def _name(target: Target) -> dict[str, str]:
    return {} if target.user_id else {"username": target.username}


def _late(now_ms: int) -> QuerySet[HoldRow]:
    return _understood(HoldRow.filter(decided_at_ms__isnull=True, held_at_ms__lte=now_ms - WAITS_MS))


def _understood(rows: QuerySet[HoldRow]) -> QuerySet[HoldRow]:
    """Without those of a state that only a later version knows."""
    return rows.filter(state__in=_STATES)


def _from_row(row: HoldRow) -> Hold:
    author = Speaker(row.user_id, row.username, row.address, row.rank, row.connection)
    return Hold(
        id=row.id,
        slug=row.slug,
        log=LogRef(row.log_partition, row.room_id, row.life),
        message=HeldMessage(author, row.text, row.nonce, row.number, row.role, row.reply_to),
        held_at_ms=row.held_at_ms,
        rule_id=row.rule_id,
        rule_name=row.rule_name,
        state=HoldState(row.state),
        decided_by=row.decided_by,
        decided_at_ms=row.decided_at_ms,
    )
