"""Leases of edges: expiry, registering again and release, on SQLite and on PostgreSQL."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from rooms.domain.leases import Lease
from rooms.domain.membership import Membership
from rooms.domain.people import ConnectionId, EdgeId, Life, Rank, RoomId, Slug, UserId
from rooms.domain.rooms import RoomPolicy
from rooms.errors import SyncSuperseded

if TYPE_CHECKING:
    from services.rooms.tests.contract.conftest import Replica

MakeReplica = Callable[[str, RoomPolicy], Awaitable["Replica"]]
EDGE = EdgeId("e" * 32)
OTHER_EDGE = EdgeId("f" * 32)


async def test_an_expired_edge_has_its_connections_removed_with_their_user_left(replica: "Replica") -> None:
    await replica.enter(1, "a", 7)
    await replica.enter(1, "a", 8, OTHER_EDGE)
    await replica.enter(2, "b", 7)
    await replica.heartbeat_late()
    changes = await replica.sweep()
    assert [[p.key for p in change.left] for change in changes.presence] == [["u:7"]]
    assert [end.slug for end in changes.ended] == ["b"]
    assert await replica.leases.renew(EDGE) == Lease(False, 0)
    assert await replica.leases.renew(OTHER_EDGE) == Lease(True, 1)


async def test_a_heartbeat_keeps_what_was_not_swept_yet(replica: "Replica") -> None:
    await replica.enter(1, "a", 7)
    await replica.heartbeat_late()
    assert await replica.leases.renew(EDGE) == Lease(True, 1)
    assert (await replica.sweep()).ended == ()


async def test_a_join_renews_the_lease(replica: "Replica") -> None:
    await replica.enter(1, "a", 7)
    await replica.heartbeat_late()
    await replica.enter(2, "a", 8)
    assert (await replica.sweep()).presence == ()


async def test_an_edge_that_was_cut_off_registers_again_and_keeps_room_id_and_life(replica: "Replica") -> None:
    membership = await replica.enter(1, "a", 7)
    await replica.heartbeat_late()
    await replica.sweep()
    lost, changes = await replica.sync(replica.held(1, membership, 7))
    assert lost == []
    assert [p.key for p in changes.presence[0].joined] == ["u:7"]
    assert changes.presence[0].version > membership.version + 1
    again = await replica.enter(2, "a", 8)
    assert (again.room_id, again.life, again.connection_count) == (membership.room_id, membership.life, 2)
    assert await replica.leases.renew(EDGE) == Lease(True, 2)


async def test_a_life_that_was_registered_again_is_never_given_to_another_room(replica: "Replica") -> None:
    membership = await replica.enter(1, "a", 7)
    other = replace(membership, life=Life(membership.life + 50), slug=Slug("b"), room_id=RoomId(4))
    lost, _ = await replica.sync(replica.held(1, membership, 7), replica.held(2, other, 8))
    assert lost == []
    assert (await replica.enter(3, "c", 7)).life > membership.life + 50


async def test_connections_are_lost_whose_slug_lives_under_another_life(replica: "Replica") -> None:
    membership = await replica.enter(1, "a", 7)
    await replica.heartbeat_late()
    await replica.sweep()
    other = await replica.enter(1, "a", 8, OTHER_EDGE)
    lost, _ = await replica.sync(replica.held(1, membership, 7))
    assert lost == [1]
    assert (await replica.snapshot(other.life)).connection_count == 1


async def test_what_a_sync_does_not_name_in_any_part_is_forgotten(replica: "Replica") -> None:
    memberships = [await replica.enter(n, "a", n) for n in (1, 2, 3)]
    await replica.sync(replica.held(1, memberships[0], 1), last=False)
    assert await replica.leases.renew(EDGE) == Lease(True, 3)
    lost, changes = await replica.sync(replica.held(3, memberships[2], 3), first=False)
    assert lost == []
    assert [p.user_id for change in changes.presence for p in change.left] == [2]
    assert await replica.leases.renew(EDGE) == Lease(True, 2)


async def test_a_connection_that_is_registered_under_another_life_is_lost_and_removed(replica: "Replica") -> None:
    membership = await replica.enter(1, "a", 7)
    other = replace(membership, life=Life(membership.life + 1))
    lost, changes = await replica.sync(replica.held(1, other, 7))
    assert lost == [1]
    assert [end.life for end in changes.ended] == [membership.life]


async def test_a_sync_that_changes_nothing_tells_nothing(replica: "Replica") -> None:
    membership = await replica.enter(1, "a", 7)
    assert (await replica.sync(replica.held(1, membership, 7)))[1].presence == ()


async def test_a_sync_brings_the_ranks_of_now_also_of_those_who_are_registered_already(replica: "Replica") -> None:
    memberships = [await replica.enter(n, "a", n, rank=Rank.MODERATOR) for n in (1, 2, 3)]
    held = [replica.held(n, membership, n) for n, membership in enumerate(memberships, start=1)]
    ranks = [Rank.ADMIN, Rank.USER, Rank.MODERATOR]
    for is_swept in (False, True):
        if is_swept:
            await replica.heartbeat_late()
            await replica.sweep()
        now = [replace(one, person=replace(one.person, rank=rank)) for one, rank in zip(held, ranks, strict=True)]
        assert (await replica.sync(*now))[0] == []
        assert [await replica.memberships.connected_rank(UserId(n), "", None) for n in (1, 2, 3)] == ranks


async def test_a_change_of_rank_that_comes_after_a_later_sync_changes_nothing(replica: "Replica") -> None:
    membership = await replica.enter(1, "a", 7)
    for is_swept in (False, True):
        if is_swept:
            await replica.heartbeat_late()
            await replica.sweep()
        await replica.sync(replica.held(1, membership, 7), ordinal=2)
        await replica.change_ranks({1: Rank.ADMIN}, ordinal=1)
        assert await replica.rank(7) is Rank.USER


async def test_a_sync_that_comes_after_a_later_change_of_rank_changes_nothing_also_in_another_replica(
    fresh_database: str, make_replica: MakeReplica
) -> None:
    replica = await make_replica(fresh_database, RoomPolicy())
    other = replica if fresh_database.startswith("sqlite") else await make_replica(fresh_database, RoomPolicy())
    membership = await replica.enter(1, "a", 7)
    await replica.enter(2, "a", 8)
    await replica.change_ranks({1: Rank.ADMIN}, ordinal=3)
    held = replica.held(1, membership, 7)
    for is_first in (True, False):
        with pytest.raises(SyncSuperseded):
            await other.sync(held, first=is_first, ordinal=2)
    assert [await replica.rank(number) for number in (7, 8)] == [Rank.ADMIN, Rank.USER]
    await other.sync(held, ordinal=4)
    assert [await replica.rank(number) for number in (7, 8)] == [Rank.USER, None]


async def test_a_deleted_room_does_not_come_back_with_a_sync(replica: "Replica") -> None:
    membership = await replica.enter(1, "a", 7)
    await replica.catalog.delete_room(await replica.found(membership.slug))
    assert (await replica.sync(replica.held(1, membership, 7)))[0] == [ConnectionId(1)]
    assert (await replica.memberships.stats()) == {}


async def test_a_room_that_was_deleted_while_it_was_dead_does_not_come_back_with_the_sync_of_an_edge_that_was_cut_off(
    replica: "Replica",
) -> None:
    await replica.create("a", 7)
    membership = await replica.enter(1, "a", 7)
    await replica.heartbeat_late()
    await replica.sweep()
    room = await replica.found("a")
    assert room.life is None
    assert await replica.catalog.delete_room(room) is None
    assert (await replica.sync(replica.held(1, membership, 7)))[0] == [ConnectionId(1)]
    assert (await replica.memberships.stats()) == {}
    assert await replica.catalog.find_room(slug=Slug("a")) is None


async def test_a_life_after_the_deletion_comes_back_with_a_sync(replica: "Replica") -> None:
    await replica.create("a", 7)
    await replica.catalog.delete_room(await replica.found("a"))
    membership = await replica.enter(1, "a", 7)
    await replica.heartbeat_late()
    await replica.sweep()
    assert (await replica.sync(replica.held(1, membership, 7)))[0] == []
    assert (await replica.enter(2, "a", 8)).life == membership.life


async def test_what_was_deleted_is_remembered_for_a_day(replica: "Replica") -> None:
    await replica.create("a", 7)
    room = await replica.found("a")
    assert room.life is not None
    await replica.catalog.delete_room(room)
    async with replica.database.session() as session:
        (row,) = await session.fetch("SELECT slug, deleted_ms FROM deleted_slug")
    deleted = datetime.fromtimestamp(row["deleted_ms"] / 1000, UTC)
    await replica.sweep(deleted + timedelta(hours=23, minutes=59))
    async with replica.database.session() as session:
        assert await session.fetch("SELECT slug FROM deleted_slug") != []
    assert (await replica.snapshot(room.life)).deleted
    await replica.sweep(deleted + timedelta(days=1, seconds=1))
    async with replica.database.session() as session:
        assert await session.fetch("SELECT slug FROM deleted_slug") == []
    assert not (await replica.snapshot(room.life)).deleted


async def test_registering_and_leaving_cost_in_proportion_to_what_an_edge_holds(replica: "Replica") -> None:
    """Comparing each of 6000 with each of 6000 takes ten times as long as joining does, and more."""
    before_joins = time.monotonic()
    parts = [range(first, first + 1000) for first in range(1, 6001, 1000)]
    held = [
        [
            replica.held(number, membership, None)
            for number, membership in zip(
                part, await replica.join_all([replica.arrival(n, "a", None) for n in part]), strict=True
            )
            if isinstance(membership, Membership)
        ]
        for part in parts
    ]
    before = time.monotonic()
    joining_s = before - before_joins
    for place, part in enumerate(held):
        is_last = place == len(held) - 1
        lost, _ = await replica.sync(*part, first=place == 0, last=is_last)
        assert lost == []
    for numbers in parts:
        await replica.leave(*numbers)
    assert time.monotonic() - before < 5 * joining_s
    assert await replica.memberships.stats() == {}


async def test_release_drops_everything_of_an_edge(replica: "Replica") -> None:
    await replica.enter(1, "a", 7)
    await replica.enter(2, "b", 8)
    changes = await replica.release()
    assert sorted(end.slug for end in changes.ended) == ["a", "b"]
    assert await replica.leases.renew(EDGE) == Lease(False, 0)
