"""Sanctions, audit and sightings in SQLite or PostgreSQL."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import wraps
from typing import ParamSpec, TypeVar

from tortoise.expressions import Q, Subquery
from tortoise.functions import Max

from chassis.database import Database, within
from chassis.outages import retry_on_conflict
from moderation.adapters import retention
from moderation.adapters.rows import audit_row, follow_row, sanction_of, sanction_row
from moderation.adapters.store import DEADLINE_S
from moderation.adapters.tables import SanctionAddressRow, SanctionRow, SightingRow
from moderation.domain.order import Change, Order
from moderation.domain.people import Target
from moderation.domain.sanction import ADDRESSES_HELD, Sanction, SanctionEvent, held_addresses
from moderation.domain.sightings import Sighting
from moderation.ports import Asked

_ORDER_LOCK = 0x5A10_0002
_T = TypeVar("_T")
_P = ParamSpec("_P")


def _answered(attempt: Callable[_P, Awaitable[_T]]) -> Callable[_P, Coroutine[None, None, _T]]:
    """A method that is one transaction: run again where it lost to another one, all attempts within one deadline."""

    @wraps(attempt)
    async def run(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        async with within(DEADLINE_S):
            return await retry_on_conflict(lambda: attempt(*args, **kwargs))

    return run


class TortoiseStore:
    """The port Store, on a database that its owner opens and closes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # Orders wait here, one a replica for the lock of all replicas: each that waited there would hold one of the few
        # connections, and reading would wait for orders as well.
        self._ordering = asyncio.Lock()

    @_answered
    async def change(
        self, order: Order, addresses: frozenset[str], decide: Callable[[list[Sanction]], Change], *, now_ms: int
    ) -> SanctionEvent:
        """Orders go one by one over all replicas: rare as they are, and their event ids rise as they are committed."""
        async with self._ordering, self._database.transaction() as session:
            await session.lock(_ORDER_LOCK)
            change = decide(await _standing(order.target, addresses, now_ms))
            lifted_ids = tuple(s.id for s in change.lifted)
            if lifted_ids:
                await SanctionRow.filter(id__in=lifted_ids).update(lifted_at_ms=now_ms)
            # Whoever bans again to make it longer must not let go of the addresses that the ban was following; where
            # they are too many, those of the last hour come first.
            replaced = (sorted(s.addresses) for s in change.lifted if s.target == order.target)
            followed = held_addresses(sorted(addresses), *replaced)
            imposed = (await _insert(order, followed, now_ms),) if change.imposes else ()
            audit = audit_row(order, imposed, lifted_ids, now_ms)
            await audit.save()
            return SanctionEvent(
                event_id=audit.id,
                action=order.action,
                target=order.target,
                moderator_user_id=order.moderator.user_id,
                duration_minutes=order.duration_minutes,
                scope=order.scope,
                slug=order.slug,
                at_ms=now_ms,
                imposed=imposed,
                lifted_ids=lifted_ids,
            )

    @_answered
    async def follow(self, sanction_id: int, address: str, *, now_ms: int) -> SanctionEvent | None:
        """Under the lock of orders, so that no event tells of a sanction after it was lifted."""
        async with self._ordering, self._database.transaction() as session:
            await session.lock(_ORDER_LOCK)
            sanction = await _find(sanction_id)
            if sanction is None or not sanction.is_in_force(now_ms) or not sanction.may_follow_to(address):
                return None
            await SanctionAddressRow(sanction_id=sanction_id, address=address).save()
            sanction = replace(sanction, addresses=sanction.addresses | {address})
            audit = follow_row(sanction, address, now_ms)
            await audit.save()
            return SanctionEvent(
                event_id=audit.id,
                action=sanction.kind,
                target=sanction.target,
                moderator_user_id=sanction.moderator_user_id,
                duration_minutes=0,
                scope=sanction.scope,
                slug=sanction.slug or "",
                at_ms=now_ms,
                imposed=(sanction,),
                silent=True,
            )

    @_answered
    async def find(self, sanction_id: int) -> Sanction | None:
        async with self._database.transaction():
            return await _find(sanction_id)

    @_answered
    async def in_force(self, asked: Asked, *, now_ms: int) -> list[Sanction]:
        where = _in_force(now_ms) & _reach(asked) & _aim(asked.targets)
        async with self._database.transaction():
            rows = await SanctionRow.filter(where).order_by("id")
            return await _with_addresses(rows) if asked.addresses else [sanction_of(row, frozenset()) for row in rows]

    @_answered
    async def standing(self, *, after_id: int, first: int, now_ms: int) -> list[Sanction]:
        where = _in_force(now_ms) & Q(id__gt=after_id)
        async with self._database.transaction():
            return await _with_addresses(await SanctionRow.filter(where).order_by("id").limit(first))

    @_answered
    async def page(
        self, slug: str | None, *, only_in_force: bool, first: int, before_id: int | None, now_ms: int
    ) -> list[Sanction]:
        where = _in_force(now_ms) if only_in_force else Q()
        if slug is not None:
            where &= Q(slug=slug)
        if before_id is not None:
            where &= Q(id__lt=before_id)
        async with self._database.transaction():
            return await _with_addresses(await SanctionRow.filter(where).order_by("-id").limit(first))

    @_answered
    async def seen_addresses(self, target: Target, slug: str | None, *, since_ms: int) -> list[str]:
        where = Q(user_id=target.user_id, name=target.username, seen_at_ms__gte=since_ms)
        if slug is not None:
            where &= Q(slug=slug)
        async with self._database.transaction():
            seen = SightingRow.filter(where).annotate(last_ms=Max("seen_at_ms")).group_by("address")
            newest = await seen.order_by("-last_ms").limit(ADDRESSES_HELD).values_list("address", flat=True)
            return [str(address) for address in newest]

    @_answered
    async def write_sightings(self, sightings: Mapping[Sighting, int]) -> None:
        # Sorted, so that two replicas that write the same rows take their locks in the same order.
        rows = [SightingRow(**s._asdict(), seen_at_ms=at_ms) for s, at_ms in sorted(sightings.items())]
        async with self._database.transaction():
            await SightingRow.bulk_create(
                rows, on_conflict=["user_id", "name", "slug", "address"], update_fields=["seen_at_ms"]
            )

    async def forget_sightings(self, before_ms: int) -> None:
        """See Store."""
        await self._in_parts(lambda: retention.forget_sightings(before_ms))

    async def end_expired(self, before_ms: int) -> None:
        """See Store."""
        await self._in_parts(lambda: retention.end_expired(before_ms))

    async def erase_evidence(self, before_ms: int, *, now_ms: int) -> None:
        """See Store."""
        await self._in_parts(lambda: retention.erase_evidence_of_sanctions(before_ms, now_ms))
        await self._in_parts(lambda: retention.erase_evidence_of_audit(before_ms, now_ms))

    async def delete_history(self, before_ms: int) -> None:
        """See Store."""
        await self._in_parts(lambda: retention.delete_sanctions(before_ms))
        await self._in_parts(lambda: retention.delete_audit(before_ms))

    async def _in_parts(self, part: Callable[[], Awaitable[bool]]) -> None:
        """A part at a time, each a transaction within the deadline, however much has come together."""
        while await self._answer(part):
            pass

    @_answered
    async def _answer(self, part: Callable[[], Awaitable[bool]]) -> bool:
        async with self._database.transaction():
            return await part()


def _in_force(now_ms: int) -> Q:
    return Q(lifted_at_ms__isnull=True) & (Q(expires_at_ms__isnull=True) | Q(expires_at_ms__gt=now_ms))


def _reach(asked: Asked) -> Q:
    if not asked.everywhere:
        return Q(slug__in=list(asked.slugs))
    return Q(slug__isnull=True) | Q(slug__in=list(asked.slugs)) if asked.slugs else Q(slug__isnull=True)


def _aim(targets: Sequence[Target]) -> Q:
    """None are all. Users and names each with the columns of one index."""
    if not targets:
        return Q()
    users = [target.user_id for target in targets if target.user_id]
    names = [target.username for target in targets if not target.user_id]
    at_users = Q(target_user_id__in=users)
    at_names = Q(target_user_id=0, target_username__in=names)
    return at_users | at_names if users and names else at_users if users else at_names


async def _standing(target: Target, addresses: frozenset[str], now_ms: int) -> list[Sanction]:
    """Of an anonymous target by its name and by its addresses, each with an index of its own."""
    mine = Q(target_user_id=target.user_id) & _in_force(now_ms)
    found = {row.id: row for row in await SanctionRow.filter(mine, target_username=target.username)}
    if not target.user_id and addresses:
        held = SanctionAddressRow.filter(address__in=sorted(addresses)).values("sanction_id")
        found |= {row.id: row for row in await SanctionRow.filter(mine, id__in=Subquery(held))}
    return await _with_addresses(found[sanction_id] for sanction_id in sorted(found))


async def _insert(order: Order, addresses: frozenset[str], now_ms: int) -> Sanction:
    row = sanction_row(order, now_ms)
    await row.save()
    await SanctionAddressRow.bulk_create([SanctionAddressRow(sanction_id=row.id, address=a) for a in sorted(addresses)])
    return sanction_of(row, addresses)


async def _find(sanction_id: int) -> Sanction | None:
    found = await _with_addresses(await SanctionRow.filter(id=sanction_id))
    return found[0] if found else None


async def _with_addresses(rows: Iterable[SanctionRow]) -> list[Sanction]:
    rows = list(rows)
    addresses: dict[int, set[str]] = {row.id: set() for row in rows}
    for start in range(0, len(rows), 500):  # databases limit the number of values in one question
        ids = [row.id for row in rows[start : start + 500]]
        held = SanctionAddressRow.filter(sanction_id__in=ids)
        for sanction_id, address in await held.values_list("sanction_id", "address"):
            addresses[sanction_id].add(address)
    return [sanction_of(row, frozenset(addresses[row.id])) for row in rows]
