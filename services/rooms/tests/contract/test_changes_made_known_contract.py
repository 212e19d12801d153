"""What a committed transaction did is made known, whatever becomes of the next one: on SQLite and on PostgreSQL."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from chassis.database import Database, Session
from chassis.errors import DatabaseUnavailable
from rooms.adapters.store import leases as lease_store
from rooms.adapters.store.leases import TortoiseLeases
from rooms.domain.membership import Arrival, JoinPlan, RoomRef, plan_joins
from rooms.domain.people import EdgeId
from rooms.domain.presence import Changes
from rooms.domain.rooms import RoomPolicy, SlugState
from rooms.ports import Removed
from rooms.usecases import leases, membership

if TYPE_CHECKING:
    from services.rooms.tests.contract.conftest import Replica

EDGES = [EdgeId(letter * 32) for letter in "abc"]


class FailingForOneEdge(TortoiseLeases):
    """A store in which the removal of the second edge fails."""

    async def _remove_part(self, session: Session, edge: EdgeId, now_ms: int) -> Removed:
        removed = await super()._remove_part(session, edge, now_ms)
        if edge == EDGES[1]:
            raise DatabaseUnavailable
        return removed


def keys(told: Sequence[Changes]) -> list[str]:
    return [p.key for changes in told for change in changes.presence for p in (*change.joined, *change.left)]


async def put_expired_edges_in(replica: "Replica") -> None:
    await replica.enter(1, "a", 1, EdgeId("f" * 32))
    for number, edge in enumerate(EDGES, 10):
        await replica.enter(1, "a", number, edge)
        await replica.heartbeat_late(edge)


async def test_an_edge_whose_removal_fails_holds_up_neither_other_edges_nor_rooms_and_is_removed_later(
    replica: "Replica",
) -> None:
    await put_expired_edges_in(replica)
    await replica.create("unused", 7)
    replica.later(days=2)
    failing = replace(replica.ports, leases=FailingForOneEdge(replica.database, RoomPolicy()))
    replica.heard.clear()
    await leases.sweep(failing)
    told = replica.heard
    assert keys(told) == ["u:10", "u:12"]
    assert [ended.slug for changes in told for ended in changes.ended] == ["unused"]
    assert keys([await replica.sweep()]) == ["u:11"]


async def test_a_sweep_ends_where_the_database_is_away_and_what_was_swept_before_is_told(
    replica: "Replica", monkeypatch: pytest.MonkeyPatch
) -> None:
    await put_expired_edges_in(replica)

    async def is_away(_: Database) -> bool:
        return False

    monkeypatch.setattr(Database, "is_alive", is_away)
    failing = replace(replica.ports, leases=FailingForOneEdge(replica.database, RoomPolicy()))
    replica.heard.clear()
    with pytest.raises(DatabaseUnavailable):
        await leases.sweep(failing)
    assert keys(replica.heard) == ["u:10"]


async def test_what_a_sync_registered_is_told_though_what_it_does_not_name_cannot_be_forgotten(
    replica: "Replica", monkeypatch: pytest.MonkeyPatch
) -> None:
    entered = await replica.enter(1, "a", 7)
    await replica.enter(2, "a", 8)
    await replica.leave(1)

    async def fail(*_: object, **__: object) -> Changes:
        raise DatabaseUnavailable

    monkeypatch.setattr(lease_store, "remove_connections", fail)
    replica.heard.clear()
    with pytest.raises(DatabaseUnavailable):
        await leases.sync(
            replica.ports, EdgeId("e" * 32), [replica.held(1, entered, 7)], first=True, last=True, ordinal=1
        )
    assert keys(replica.heard) == ["u:7"]


async def test_who_got_in_is_told_though_the_round_for_the_others_fails(
    replica: "Replica", monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds: list[int] = []

    def first_of_them(
        states: Mapping[RoomRef, SlugState], arrivals: Sequence[Arrival], policy: RoomPolicy, *, uses_partitions: bool
    ) -> JoinPlan:
        rounds.append(len(arrivals))
        if len(rounds) > 1:
            raise DatabaseUnavailable
        return plan_joins(states, arrivals[:1], policy, uses_partitions=uses_partitions)

    monkeypatch.setattr(membership, "plan_joins", first_of_them)
    with pytest.raises(DatabaseUnavailable):
        await replica.join_all([replica.arrival(1, "a", 7), replica.arrival(2, "a", 8)])
    assert rounds == [2, 1]
    assert keys(replica.heard) == ["u:7"]
