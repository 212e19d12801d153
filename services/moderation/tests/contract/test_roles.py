"""The roles of rooms in the database, on SQLite and on PostgreSQL."""

import asyncio

import pytest

from chassis.database import Database
from moderation.adapters.store.tables import AuditRow, RoomRolesRow
from moderation.domain.erasures import NO_ORIGIN, Origin
from moderation.domain.people import Moderator, Rank, Target
from moderation.domain.roles import (
    MOST_HOLDERS,
    MOST_SLUGS_OF_OWNER,
    RoleCommand,
    RoleHolder,
    RoleOrder,
    RoomRole,
    RoomRoles,
)
from moderation.errors import TooManyRoles
from moderation.ports import Kept, Store

pytestmark = pytest.mark.integration
MODERATOR, VIP = RoomRole.MODERATOR, RoomRole.VIP


def order(
    user_id: int, role: RoomRole | None, *, slug: str = "live", owner: int = 9, origin: Origin = NO_ORIGIN
) -> RoleOrder:
    return RoleOrder(
        RoleCommand(Moderator(9, Rank.OWNER), slug, Target(user_id, ""), None, role, owner, "thanks"), origin
    )


async def test_a_role_is_kept_by_slug_with_its_audit_row(store: Store) -> None:
    first = await store.set_role(order(5, MODERATOR), now_ms=1_000)
    second = await store.set_role(order(4, VIP), now_ms=1_000)
    held = RoomRoles("live", 1_001, 9, (RoleHolder(4, VIP, 9, 1_000), RoleHolder(5, MODERATOR, 9, 1_000)))
    assert (first.roles, second.roles) == (RoomRoles("live", 1_000, 9, held.holders[1:]), held)
    assert await store.roles_of(["live", "other"]) == [held]
    assert await store.roles_of([]) == []
    assert await store.kept_of(["other", "live"], holds_since_ms=0, now_ms=1_000) == {Kept.ROLES}
    taken = await store.set_role(order(5, None), now_ms=2_000)
    assert taken.roles == RoomRoles("live", 2_000, 9, held.holders[:1])
    audit = await AuditRow.get(id=taken.action_id)
    assert (audit.action, audit.slug, audit.reason, audit.target_user_id) == (26, "live", "thanks", 5)
    assert (audit.moderator_user_id, audit.moderator_rank) == (9, 6)
    assert audit.details == {"version": 2_000, "owner": 9, "before": "moderator", "after": None}


async def test_versions_rise_over_all_slugs(store: Store) -> None:
    receipts = await asyncio.gather(*(store.set_role(order(5, VIP, slug=f"s{n}"), now_ms=1_000) for n in range(5)))
    versions = sorted(receipt.roles.version for receipt in receipts if receipt.roles is not None)
    assert versions == [1_000, 1_001, 1_002, 1_003, 1_004]


async def test_roles_of_the_former_owners_room_do_not_survive_a_change_of_owner(store: Store) -> None:
    await store.set_role(order(5, MODERATOR), now_ms=1_000)
    receipt = await store.set_role(order(4, VIP, owner=8), now_ms=2_000)
    assert receipt.roles == RoomRoles("live", 2_000, 8, (RoleHolder(4, VIP, 9, 2_000),))
    gone = await store.set_role(order(5, None, owner=8), now_ms=3_000)
    audit = await AuditRow.get(id=gone.action_id)
    assert audit.details == {"version": 3_000, "owner": 8, "before": None, "after": None}


async def test_whoever_claims_a_slug_wipes_no_role_that_an_admin_gave_while_nobody_owned_it(store: Store) -> None:
    given = (await store.set_role(order(5, MODERATOR, owner=0), now_ms=1_000)).roles
    assert given is not None
    claimed = await store.set_role(order(4, VIP, owner=8), now_ms=2_000)
    held = (RoleHolder(4, VIP, 9, 2_000),)
    assert claimed.roles == RoomRoles("live", 2_000, 8, held, given.holders)
    assert await store.roles_of(["live"]) == [claimed.roles]
    for n in range(MOST_SLUGS_OF_OWNER):
        await RoomRolesRow(slug=f"s{n}", version=3_000 + n, owner=8, roles=[]).save(force_create=True)
    await store.set_role(order(4, VIP, slug="s0", owner=8), now_ms=4_000)
    assert await store.roles_of(["live"]) == [RoomRoles("live", 2_000, 0, given.holders)]
    back = await store.set_role(order(6, VIP, owner=0), now_ms=5_000)
    assert back.roles is not None
    assert [holder.user_id for holder in back.roles.holders] == [5, 6]


async def test_a_repeated_nonce_changes_nothing_and_is_told_what_there_is(store: Store) -> None:
    origin = Origin("", 0, "n1")
    first = await store.set_role(order(5, VIP, origin=origin), now_ms=1_000)
    again = await store.set_role(order(5, MODERATOR, origin=origin), now_ms=2_000)
    assert (again.action_id, again.repeated, again.roles) == (first.action_id, True, first.roles)
    assert [roles.holders[0].role for roles in await store.roles_of(["live"])] == [VIP]


async def test_too_many_roles_change_nothing_and_leave_no_row(store: Store) -> None:
    full = [[user, 2, 9, 0] for user in range(100, 100 + MOST_HOLDERS)]
    await RoomRolesRow(slug="live", version=1, owner=9, roles=full).save(force_create=True)
    with pytest.raises(TooManyRoles):
        await store.set_role(order(5, VIP), now_ms=1_000)
    assert await AuditRow.all().count() == 0
    assert [roles.version for roles in await store.roles_of(["live"])] == [1]


async def test_roles_of_a_later_version_are_left_out(store: Store) -> None:
    await RoomRolesRow(slug="live", version=1, owner=9, roles=[[4, 7, 9, 0], [5, 1, 9, 0]]).save(force_create=True)
    assert await store.roles_of(["live"]) == [RoomRoles("live", 1, 9, (RoleHolder(5, MODERATOR, 9, 0),))]


async def test_of_the_rooms_that_somebody_once_had_the_roles_of_100_are_kept(store: Store, database: Database) -> None:
    for number in range(MOST_SLUGS_OF_OWNER):
        row = RoomRolesRow(slug=f"old{number}", version=1 + number, owner=9, roles=[])
        await row.save(force_create=True)
    await RoomRolesRow(slug="others", version=0, owner=8, roles=[]).save(force_create=True)
    await store.set_role(order(5, VIP, owner=0, slug="nobodys"), now_ms=500)
    assert await RoomRolesRow.filter(owner=9).count() == MOST_SLUGS_OF_OWNER
    await store.set_role(order(5, VIP), now_ms=1_000)
    assert await RoomRolesRow.filter(owner=9).count() == MOST_SLUGS_OF_OWNER
    assert not await RoomRolesRow.exists(slug="old0")
    assert await RoomRolesRow.exists(slug="others")
