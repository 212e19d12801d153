"""Which sanctions, policies, pins, warnings and roles there are, and what was done, from the database, which is right
even where events were missed."""

import asyncio
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace

from moderation.domain.audit import (
    EVERYWHERE,
    ROWS_OF_A_CALL,
    AuditQuery,
    AuditRecord,
    Verification,
    may_read,
    may_read_addresses,
    may_verify,
)
from moderation.domain.holds import TOLD_FOR_MS, Hold, may_read_held
from moderation.domain.people import Moderator
from moderation.domain.pins import RoomPin
from moderation.domain.policy import RoomPolicy
from moderation.domain.revocations import Revocation
from moderation.domain.roles import RoleHolder, RoomRoles
from moderation.domain.sanctions import Sanction
from moderation.domain.undo import MOST_UNDONE, may_undo_everywhere
from moderation.domain.warnings import RoomWarning
from moderation.errors import NotPermitted
from moderation.ports import Kept, Ports, SanctionQuery

LARGEST_PAGE = 100
REVOCATIONS_A_PAGE = 2_000
MOST_HOLDS = 5_000
"""Of one answer to an edge."""
_VERIFIED_AT_ONCE = 50
"""Rows of one question: messages are judged in between."""


@dataclass(frozen=True, slots=True)
class Active:
    """What holds in some slugs; of what was not asked for, nothing."""

    sanctions: Sequence[Sanction] = ()
    """Of everywhere too where that was asked for; the oldest first."""
    policies: Sequence[RoomPolicy] = ()
    pins: Sequence[RoomPin] = ()
    warnings: Sequence[RoomWarning] | None = ()
    """None: there are too many to tell."""
    roles: Sequence[RoomRoles] = ()
    holds: Sequence[Hold] = ()
    """The newest MOST_HOLDS."""


async def list_active(ports: Ports, query: SanctionQuery, wanted: Set[Kept]) -> Active:
    """What is in force, and what is wanted besides. Most slugs have nothing, which one statement says of all of them: a
    kind that they have nothing of is not read. Raises DatabaseUnavailable."""
    store, slugs, now_ms = ports.store, query.slugs, ports.clock().wall_ms
    since_ms = now_ms - TOLD_FOR_MS
    kept = wanted & await store.kept_of(slugs, holds_since_ms=since_ms, now_ms=now_ms) if slugs else set()
    return Active(
        policies=await store.policies_of(slugs) if Kept.POLICY in kept else (),
        pins=await store.pins_of(slugs) if Kept.PIN in kept else (),
        warnings=await store.open_warnings(slugs) if Kept.WARNINGS in kept else (),
        roles=await store.roles_of(slugs) if Kept.ROLES in kept else (),
        holds=await store.holds_of(slugs, since_ms=since_ms, first=MOST_HOLDS) if Kept.HOLDS in kept else (),
        sanctions=await store.in_force(query, now_ms=now_ms) if query.everywhere or Kept.SANCTIONS in kept else (),
    )


async def list_role_holders(
    ports: Ports, slug: str, *, first: int, after_user_id: int, user_id: int
) -> tuple[int, list[RoleHolder], list[RoleHolder]]:
    """Whose room it was when the roles were given, a page of who has one, and one of who has one where nobody owns it,
    by user id, of 0 to LARGEST_PAGE whatever `first` says; `user_id`: of that one alone, 0: of all. Raises
    DatabaseUnavailable."""
    found = await ports.store.roles_of([slug])
    if not found:
        return 0, [], []

    def page(holders: Sequence[RoleHolder]) -> list[RoleHolder]:
        meant = [h for h in holders if h.user_id > after_user_id and user_id in (0, h.user_id)]
        return meant[: min(max(first, 0), LARGEST_PAGE)]

    return found[0].owner, page(found[0].holders), page(found[0].of_nobody)


async def list_revocations(ports: Ports, after_version: int, *, first: int) -> list[Revocation]:
    """The next ones after a version, of 0 to REVOCATIONS_A_PAGE whatever `first` says. Raises DatabaseUnavailable."""
    first = min(max(first, 0), REVOCATIONS_A_PAGE)
    if not first:  # Tortoise takes a limit of 0 for none
        return []
    return await ports.store.revocations_after(after_version, first=first, now_ms=ports.clock().wall_ms)


async def list_held(ports: Ports, reader: Moderator, slug: str, *, first: int, before_id: int | None) -> list[Hold]:
    """A page of what waits in a slug, as list_history, with the texts. Raises NotPermitted, DatabaseUnavailable."""
    if not may_read_held(reader):
        raise NotPermitted
    first, now_ms = min(max(first, 0), LARGEST_PAGE), ports.clock().wall_ms
    found = await ports.store.held(slug, first=first, before_id=before_id, now_ms=now_ms)
    return [hold for hold in found if reader.may_know(hold.held_at_ms)]


async def list_history(
    ports: Ports, slug: str | None, *, only_in_force: bool, first: int, before_id: int | None
) -> list[Sanction]:
    """A page, newest first, of 0 to LARGEST_PAGE sanctions whatever `first` says; slug None: of every room and
    everywhere; before_id None: from the newest on. Raises DatabaseUnavailable."""
    return await ports.store.history(
        slug,
        only_in_force=only_in_force,
        first=min(max(first, 0), LARGEST_PAGE),
        before_id=before_id,
        now_ms=ports.clock().wall_ms,
    )


async def list_audit(
    ports: Ports, reader: Moderator, query: AuditQuery, *, first: int, before_id: int | None
) -> list[tuple[AuditRecord, int | None]]:
    """A page of what was done, as list_history, each row with the one that undoes it; without addresses for whom these
    are not meant. Raises NotPermitted, DatabaseUnavailable."""
    if reader.user_id == 0 or not may_read(reader.rank, query.slug):
        raise NotPermitted
    query = query._replace(since_ms=reader.owned_since_ms)
    found = await ports.store.audit_log(query, first=min(max(first, 0), LARGEST_PAGE), before_id=before_id)
    if may_read_addresses(reader.rank):
        return found
    return [
        (record if record.followed_address is None else replace(record, followed_address=""), undone_by)
        for record, undone_by in found
    ]


async def verify_audit(ports: Ports, reader: Moderator, slug: str | None, *, after_id: int) -> Verification:
    """Check the next ROWS_OF_A_CALL rows of a chain; slug None: of what holds everywhere. Raises NotPermitted,
    DatabaseUnavailable."""
    if reader.user_id == 0 or not may_verify(reader.rank):
        raise NotPermitted
    chain, found = EVERYWHERE if slug is None else slug, Verification(0, after_id, more=True)
    while found.more and found.checked < ROWS_OF_A_CALL:
        part = await ports.store.verify_part(chain, found.last_id, first=_VERIFIED_AT_ONCE)
        found = part._replace(checked=found.checked + part.checked, unchained=found.unchained + part.unchained)
        await asyncio.sleep(0)
    return found


async def list_undoable(
    ports: Ports, reader: Moderator, actor_user_id: int, *, since_ms: int, before_id: int | None
) -> tuple[list[AuditRecord], int, int]:
    """See Store.undoable: of the next MOST_UNDONE. Raises NotPermitted, DatabaseUnavailable."""
    if not may_undo_everywhere(reader):
        raise NotPermitted
    return await ports.store.undoable(actor_user_id, since_ms, before_id, first=MOST_UNDONE)
