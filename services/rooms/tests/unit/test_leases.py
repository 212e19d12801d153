"""Leases do not run while nobody could renew them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import structlog

from rooms.domain.leases import Outage, Syncs
from rooms.domain.people import EdgeId, Life, RoomId, Slug
from rooms.domain.presence import Changes
from rooms.domain.rooms import LifeEnded
from rooms.ports import Parted, Ports
from rooms.usecases import leases

LEASE_S = 10


@dataclass
class Abandoned:
    """Leases and events in memory: no edge, and one room that nobody is in."""

    is_alive: bool = True
    published: list[Changes] = field(default_factory=list)

    async def is_answering(self) -> bool:
        return self.is_alive

    async def expired(self) -> list[EdgeId]:
        return []

    async def end_away(self, *, now: datetime) -> Parted:
        return Parted(Changes(), is_last=True)

    async def end_abandoned(self, *, now: datetime) -> Changes:
        return Changes(ended=(LifeEnded(RoomId(1), Life(2), Slug("a")),))

    def publish(self, changes: Changes) -> None:
        self.published.append(changes)


def ports_at(elapsed_s: Mapping[str, float], world: Any) -> Ports:
    """Ports of a service that started at 0; `elapsed_s["now"]` is the time that has passed."""
    return Ports(
        catalog=world,
        memberships=world,
        leases=world,
        log=world,
        dormant=world,
        emotes=world,
        blocks=world,
        videos=world,
        events=world,
        moderation=world,
        clock=lambda: datetime(2025, 11, 27, tzinfo=UTC),
        elapsed_s=lambda: elapsed_s["now"],
        outage=Outage(LEASE_S, now_s=0),
    )


def test_the_newest_sync_of_an_edge_is_the_one_that_began_last_until_it_ends() -> None:
    syncs, edge, other = Syncs(), EdgeId("e" * 32), EdgeId("f" * 32)
    assert syncs.newest(edge) is None
    syncs.begin(edge)
    first = syncs.newest(edge)
    syncs.begin(edge)
    assert syncs.newest(edge) not in (None, first)
    assert syncs.newest(other) is None
    syncs.end(edge)
    syncs.end(other)
    assert syncs.newest(edge) is None


def test_the_first_sweep_comes_a_full_lease_after_the_start() -> None:
    outage = Outage(10, now_s=100)
    assert not outage.is_over(now_s=109.9)
    assert outage.is_over(now_s=110)


def test_after_the_database_was_away_the_first_sweep_comes_a_full_lease_after_it_was_missed_last() -> None:
    outage = Outage(10, now_s=0)
    assert outage.is_over(now_s=50)
    for second in range(50, 80):
        outage.note(now_s=second)
    assert not outage.is_over(now_s=88)
    assert outage.is_over(now_s=89)


async def test_nothing_is_swept_until_a_lease_after_the_database_answered_again() -> None:
    world, elapsed_s = Abandoned(is_alive=False), {"now": 50.0}
    ports = ports_at(elapsed_s, world)
    assert not await leases.is_database_answering(ports)
    elapsed_s["now"] += LEASE_S - 0.1
    world.is_alive = True
    assert await leases.is_database_answering(ports)
    assert await leases.sweep_if_due(ports) == Changes()
    assert world.published == []
    elapsed_s["now"] += 0.1
    assert len((await leases.sweep_if_due(ports)).ended) == 1
    assert len([changes for changes in world.published if changes.ended]) == 1


async def test_what_a_sweep_changed_is_a_line_in_the_log() -> None:
    ports = ports_at({"now": LEASE_S}, Abandoned())
    with structlog.testing.capture_logs() as logs:
        await leases.sweep_if_due(ports)
    assert logs == [{"event": "swept", "log_level": "info", "rooms_changed": 0, "rooms_ended": 1}]


async def test_a_service_that_has_just_started_sweeps_nothing_for_the_length_of_a_lease() -> None:
    elapsed_s = {"now": 100.0}  # migrations took their time
    ports = ports_at(elapsed_s, Abandoned())
    leases.note_outage(ports)
    elapsed_s["now"] += LEASE_S - 0.1
    assert await leases.sweep_if_due(ports) == Changes()
