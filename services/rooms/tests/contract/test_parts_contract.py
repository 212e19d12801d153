"""What grows with the connections of an edge or the visitors of a room is done in parts, each a short transaction: on
SQLite and on PostgreSQL."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from chassis.database import Row, Session
from chassis.errors import DatabaseUnavailable
from chassis.outages import retry_on_conflict
from rooms.domain.leases import Lease
from rooms.domain.membership import Membership
from rooms.domain.people import EdgeId, Rank, Slug
from rooms.domain.presence import Changes
from rooms.errors import SyncSuperseded

if TYPE_CHECKING:
    from services.rooms.tests.contract.conftest import Replica

EDGE, OTHER_EDGE = EdgeId("e" * 32), EdgeId("f" * 32)
PART = 1000
MANY = 3000


@pytest.fixture(autouse=True)
def bounded_statements(monkeypatch: pytest.MonkeyPatch) -> None:
    """No statement touches more rows than a part has."""
    fetch = Session.fetch

    async def counting(session: Session, sql: str, *values: object) -> list[Row]:
        if sql.startswith(("DELETE", "UPDATE")) and "RETURNING" not in sql:
            sql += " RETURNING 1 AS one"
        rows = await fetch(session, sql, *values)
        assert not sql.startswith(("DELETE", "UPDATE")) or len(rows) <= PART, sql
        return rows

    monkeypatch.setattr(Session, "fetch", counting)


async def enter_many(replica: "Replica", slug: str = "a", edge: EdgeId = EDGE) -> Membership:
    """MANY people, one connection each."""
    outcome: object = None
    for start in range(1, MANY, PART):
        arrivals = [replica.arrival(number, slug, number) for number in range(start, start + PART)]
        outcome = (await replica.join_all(arrivals, edge))[-1]
    assert isinstance(outcome, Membership)
    return outcome


async def reap_all(replica: "Replica") -> None:
    for _ in range(10):
        await replica.leases.reap(now=replica.now)


def left(changes: Changes) -> int:
    return sum(change.left_count for change in changes.presence)


async def test_an_edge_with_many_connections_expires(replica: "Replica") -> None:
    await enter_many(replica)
    await replica.enter(1, "a", 10_000, OTHER_EDGE)
    await replica.heartbeat_late()
    changes = await replica.sweep()
    assert left(changes) == MANY
    assert [change.connection_count for change in changes.presence] == [2001, 1001, 1]
    versions = [(change.first_version, change.version) for change in changes.presence]
    assert all(after[0] == before[1] + 1 for before, after in pairwise(versions))
    assert await replica.leases.renew(EDGE) == Lease(False, 0)
    assert await replica.leases.renew(OTHER_EDGE) == Lease(True, 1)


async def test_an_edge_that_is_released_with_many_connections_leaves_nothing(replica: "Replica") -> None:
    await enter_many(replica)
    changes = await replica.release()
    assert left(changes) == MANY - PART  # the last part ends the room
    assert [ended.slug for ended in changes.ended] == ["a"]
    assert await replica.rows("connection") == 0
    await reap_all(replica)
    assert await replica.rows("participant") == 0
    assert await replica.rows("ended_life") == 0


async def test_an_edge_of_which_a_part_was_removed_registers_again(
    replica: "Replica", monkeypatch: pytest.MonkeyPatch
) -> None:
    membership = await enter_many(replica)
    await replica.enter(1, "a", 10_000, OTHER_EDGE)
    await replica.heartbeat_late()
    remove_part, parts = replica.leases._remove_part, list[int]()

    async def failing_at_the_third(*args: object) -> object:
        parts.append(1)
        if len(parts) == 3:
            raise DatabaseUnavailable
        return await remove_part(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(replica.leases, "_remove_part", failing_at_the_third)
    assert left(await replica.sweep()) == 2 * PART
    assert not (await replica.leases.renew(EDGE)).registered
    for start in range(1, MANY, PART):
        held = [replica.held(number, membership, number) for number in range(start, start + PART)]
        lost, _ = await replica.sync(*held, first=start == 1, last=start + PART > MANY)
        assert lost == []
    assert await replica.leases.renew(EDGE) == Lease(True, MANY)
    assert (await replica.snapshot(membership.life)).connection_count == MANY + 1


async def test_a_sync_forgets_many_connections(replica: "Replica") -> None:
    membership = await enter_many(replica)
    lost, changes = await replica.sync(replica.held(3, membership, 3))
    assert lost == []
    assert left(changes) == MANY - 1
    assert await replica.leases.renew(EDGE) == Lease(True, 1)


@pytest.mark.parametrize("given_up_at", ["marking", "registering", "forgetting"])
async def test_a_sync_that_was_given_up_undoes_nothing_of_the_one_after_it(
    replica: "Replica", monkeypatch: pytest.MonkeyPatch, given_up_at: str
) -> None:
    monkeypatch.setattr("rooms.adapters.store.leases.PART", 1)
    monkeypatch.setattr("rooms.adapters.store.connections.PART", 1)
    memberships = [await replica.enter(number, "a", number) for number in range(1, 5)]
    held = [replica.held(number, membership, number) for number, membership in enumerate(memberships, 1)]
    stands, may_go_on = asyncio.Event(), asyncio.Event()
    # Four parts are marked and an end is found, then one is registered.
    stop_at = {"marking": 2, "registering": 6, "forgetting": 7}[given_up_at]
    transactions: list[int] = []

    async def stopping(attempt: Callable[[], Awaitable[object]]) -> object:
        transactions.append(1)
        if len(transactions) == stop_at:
            stands.set()
            await may_go_on.wait()
        return await retry_on_conflict(attempt)

    monkeypatch.setattr("chassis.outages.retry_on_conflict", stopping)
    old = replace(held[0], person=replace(held[0].person, rank=Rank.MODERATOR))
    given_up = asyncio.create_task(replica.sync(old))
    await stands.wait()
    await replica.sync(*held[:2], last=False)
    may_go_on.set()
    with pytest.raises(SyncSuperseded):
        await given_up
    lost, changes = await replica.sync(*held[2:], first=False)
    assert (lost, changes) == ([], Changes())
    assert await replica.leases.renew(EDGE) == Lease(True, 4)
    assert await replica.rank(1) is Rank.USER


async def test_the_last_leave_of_a_room_with_many_visitors_removes_them_later(replica: "Replica") -> None:
    await enter_many(replica)
    for start in range(1, MANY, PART):
        await replica.leave(*range(start, start + PART))
    assert await replica.catalog.find_room(slug=Slug("a")) is None
    assert await replica.rows("participant") == MANY
    await reap_all(replica)
    assert await replica.rows("participant") == 0
    assert await replica.rows("ended_life") == 0


async def test_a_room_that_is_deleted_has_its_connections_removed_later(replica: "Replica") -> None:
    await enter_many(replica)
    await replica.catalog.delete_room(await replica.found("a"))
    assert await replica.memberships.stats() == {}
    await replica.leave(1, 2, 3)
    assert await replica.leases.renew(EDGE) == Lease(True, MANY - 3)
    await reap_all(replica)
    assert await replica.leases.renew(EDGE) == Lease(True, 0)
    assert await replica.rows("participant") == 0


async def test_a_connection_of_a_room_that_was_deleted_joins_before_it_is_reaped_and_stays(replica: "Replica") -> None:
    deleted = await replica.enter(1, "a", 7)
    await replica.catalog.delete_room(await replica.found("a"))
    again = await replica.enter(1, "a", 7)
    assert again.life > deleted.life
    await reap_all(replica)
    assert (await replica.snapshot(again.life)).connection_count == 1
    assert (await replica.leave(1)).ended[0].life == again.life


async def test_a_connection_of_a_room_that_was_deleted_is_lost_when_its_edge_registers_it_again(
    replica: "Replica",
) -> None:
    membership = await replica.enter(1, "a", 7)
    await replica.catalog.delete_room(await replica.found("a"))
    lost, _ = await replica.sync(replica.held(1, membership, 7))
    assert lost == [1]
    assert await replica.leases.renew(EDGE) == Lease(True, 0)


async def test_a_life_that_is_registered_again_before_it_was_reaped_keeps_its_people(replica: "Replica") -> None:
    membership = await replica.enter(1, "a", 7)
    await replica.enter(2, "a", 8)
    await replica.leave(1, 2)
    lost, _ = await replica.sync(replica.held(1, membership, 7))
    assert lost == []
    await reap_all(replica)
    people = await replica.catalog.list_participants([membership.life], first=10, after=None)
    assert [(p.key, p.connection_count) for p in people[membership.life]] == [("u:7", 1), ("u:8", 0)]


async def test_a_life_that_an_older_replica_registers_again_is_not_reaped(replica: "Replica") -> None:
    """It knows nothing of the mark."""
    membership = await replica.enter(1, "a", 7)
    async with replica.database.session() as session:
        await session.fetch("INSERT INTO ended_life (life, reap_after_ms) VALUES ($1, 0)", membership.life)
    await reap_all(replica)
    assert (await replica.snapshot(membership.life)).connection_count == 1
    assert await replica.rows("ended_life") == 0


async def test_memberships_without_a_lease_and_people_without_a_room_are_found_and_removed(replica: "Replica") -> None:
    await replica.enter(1, "a", 7)
    await replica.enter(1, "a", 8, OTHER_EDGE)
    await replica.enter(2, "b", 9, OTHER_EDGE)
    async with replica.database.session() as session:
        await session.fetch("DELETE FROM edge_lease WHERE edge = $1", EDGE)
        await session.fetch("DELETE FROM room WHERE slug = $1", "b")
    await reap_all(replica)
    assert await replica.rows("participant") == 3, "they may be about to be registered again"
    replica.later(seconds=61)
    await reap_all(replica)
    assert await replica.rows("participant") == 2
    await replica.heartbeat_late()
    changes = await replica.sweep()
    assert [p.key for change in changes.presence for p in change.left] == ["u:7"]
