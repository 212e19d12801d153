"""rooms.adapters.nats: what becomes of events while NATS is away."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from nats.errors import MaxPayloadError

from chassis.nats_connection import NatsSettings
from rooms.adapters import nats as nats_events
from rooms.adapters.nats import NatsEvents
from rooms.domain.people import Life, ParticipantKey, RoomId, Slug
from rooms.domain.presence import Announced, PresenceChanged
from rooms.domain.rooms import LifeEnded
from salon.events.v1.events_pb2 import Presence


class Link:
    """A client of NATS that is connected or not, and remembers what it was given."""

    def __init__(self) -> None:
        self.is_connected = True
        self.max_payload = 65536
        self.published: list[tuple[str, int]] = []
        self.events: list[Presence] = []

    async def publish(self, subject: str, payload: bytes, headers: dict[str, str] | None = None) -> None:
        if len(payload) > self.max_payload:
            raise MaxPayloadError
        kind = subject.rpartition(".")[2]
        self.events += [Presence.FromString(payload)] if kind == "presence" else []
        self.published.append((subject, Presence.FromString(payload).version if kind == "presence" else 0))


class Rig:
    """NatsEvents on such a link."""

    def __init__(self) -> None:
        self.link = Link()
        self.events = NatsEvents(NatsSettings("nats://nowhere").access)
        self.events._connection.client = self.link  # type: ignore[assignment]
        self.work = asyncio.create_task(self.events._publish_all())

    async def settle(self) -> None:
        """Everything that was told has been tried."""
        await self.events._outgoing.join()

    async def come_back(self) -> None:
        """NATS is there again."""
        self.link.is_connected = True
        self.events._publish_lost()
        await self.settle()


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    rig = Rig()
    yield rig
    rig.work.cancel()
    await asyncio.gather(rig.work, return_exceptions=True)


def change(life: int, version: int) -> PresenceChanged:
    return PresenceChanged(
        room_id=RoomId(7),
        life=Life(life),
        first_version=version,
        version=version,
        connection_count=1,
        crowded=False,
        joined=(),
        left=(),
        joined_count=0,
        left_count=0,
        at_ms=0,
    )


async def test_the_last_presence_event_of_a_room_that_was_lost_is_told_when_nats_is_back(rig: Rig) -> None:
    rig.link.is_connected = False
    for version in (3, 4, 5):
        rig.events.publish_presence(change(1, version))
    rig.events.publish_presence(change(2, 9))
    await rig.settle()
    assert rig.link.published == []
    await rig.come_back()
    assert rig.link.published == [("salon.v1.live.7.1.presence", 5), ("salon.v1.live.7.2.presence", 9)]
    await rig.come_back()
    assert len(rig.link.published) == 2


async def test_the_last_presence_event_of_a_room_that_a_full_queue_lost_is_told_behind_the_queue(
    rig: Rig,
) -> None:
    rig.events._outgoing = asyncio.Queue(2)
    for version in (1, 2, 3, 4):
        rig.events.publish_presence(change(1, version))
    rig.work.cancel()
    rig.work = asyncio.create_task(rig.events._publish_all())
    await rig.settle()
    assert [version for _, version in rig.link.published] == [1, 2, 4]


async def test_deletions_are_not_told_late(rig: Rig) -> None:
    rig.link.is_connected = False
    rig.events.publish_room_deleted(LifeEnded(RoomId(7), Life(1), Slug("live")))
    await rig.settle()
    await rig.come_back()
    assert rig.link.published == []


async def test_no_more_rooms_are_lost_an_event_than_the_bound_allows(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nats_events, "_ROOMS_LOST", 2)
    rig.link.is_connected = False
    for life in (1, 2, 3):
        rig.events.publish_presence(change(life, 1))
    await rig.settle()
    await rig.come_back()
    assert [subject for subject, _ in rig.link.published] == [
        "salon.v1.live.7.2.presence",
        "salon.v1.live.7.3.presence",
    ]


def crowd(number: int) -> tuple[Announced, ...]:
    """People of which every second one came with two connections."""
    return tuple(Announced(ParticipantKey(f"u:{n}"), None, "x" * 200, 3 * n // 2 + 11) for n in range(number))


async def test_a_change_that_is_larger_than_nats_takes_is_told_in_parts_that_follow_on_each_other(rig: Rig) -> None:
    people = crowd(1000)
    last = people[-1].version + 7
    large = replace(change(1, last), first_version=11, joined=people, joined_count=1000, connection_count=1600)
    rig.events.publish_presence(large)
    await rig.settle()
    told = rig.link.events
    assert len(told) > 1
    assert [event.first_version for event in told] == [11, *(event.version + 1 for event in told[:-1])]
    assert told[-1].version == last
    assert [p.key for event in told for p in event.joined] == [p.key for p in people]
    assert all(event.first_version <= p.version <= event.version for event in told for p in event.joined)
    assert sum(event.joined_count for event in told) == 1000
    assert {event.connection_count for event in told} == {1600}


async def test_many_who_leave_at_once_are_told_in_parts_that_follow_on_each_other(rig: Rig) -> None:
    people = crowd(900)
    large = replace(change(1, 911), first_version=12, left=people, left_count=950, crowded=True)
    rig.events.publish_presence(large)
    await rig.settle()
    told = rig.link.events
    assert len(told) > 1
    assert [event.first_version for event in told] == [12, *(event.version + 1 for event in told[:-1])]
    assert all(event.version - event.first_version + 1 == len(event.left) for event in told)
    assert told[-1].version == 911
    assert [p.key for event in told for p in event.left] == [p.key for p in people]
    assert (sum(event.left_count for event in told), sum(event.joined_count for event in told)) == (950, 0)


async def test_an_event_that_nats_refuses_for_its_size_is_not_tried_for_ever(rig: Rig) -> None:
    rig.link.max_payload = 10
    rig.events.publish_presence(replace(change(1, 1), joined=crowd(1), joined_count=1))
    await rig.settle()
    await rig.come_back()
    assert (rig.link.published, rig.events._lost) == ([], {})
