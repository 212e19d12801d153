"""The parts of the adapters that need no network: headers, homes, carried admissions, the lease, reading the stream."""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import accumulate, count
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from msgspec.structs import replace
from nats.js.api import ClusterInfo, StreamConfig, StreamInfo, StreamState
from structlog.testing import capture_logs

from salon.events.v1 import events_pb2
from salon.moderation.v1.moderation_pb2 import CarriedAdmission
from ws_edge.adapters.grpc import batches, lease as lease_module
from ws_edge.adapters.grpc.batches import OwedQueue
from ws_edge.adapters.grpc.carried_admissions import CarriedAdmissions
from ws_edge.adapters.grpc.homes import choose, choose_behind_names, is_literal, look_up, split
from ws_edge.adapters.grpc.lease import EdgeLease, Holdings
from ws_edge.adapters.nats import replies
from ws_edge.adapters.nats.events import read_number, read_status, read_text, read_trace_header, to_milliseconds
from ws_edge.adapters.nats.replies import NatsHistory
from ws_edge.adapters.nats.stream import LogStream
from ws_edge.errors import BusUnavailable, RoomsOutdated, RoomsUnavailable
from ws_edge.ports import GATHER_OWED_S, LogResumption
from ws_edge.protocol.identity import ConnectionId, Identity, Life, MessageId, Rank, RoomId, Slug, Speaker, UserId
from ws_edge.protocol.log import LogRef, entry_id
from ws_edge.protocol.rooms import HeldConnection

HEADERS = (
    b"NATS/1.0\r\nNats-Stream: SALON_LOG_0\r\nNats-Sequence: 42\r\n"
    b"Nats-Time-Stamp: 2026-11-23T21:46:36.25Z\r\nNats-Last-Sequence: 7\r\n\r\n"
)


def speaker(
    user_id: int | None = 5, *, address: str = "10.0.0.1", connection: str = "e:1", name: str = "ana"
) -> Speaker:
    rank = Rank.ANONYMOUS if user_id is None else Rank.USER
    user = None if user_id is None else UserId(user_id)
    return Speaker(Identity(user, name, None, (), rank, None), address, connection)


@pytest.mark.parametrize(
    ("timestamp", "expected"),
    [
        ("2026-11-23T21:46:36.254123456Z", "2026-11-23T21:46:36.254Z"),
        ("2026-11-23T21:46:36.999999999Z", "2026-11-23T21:46:36.999Z"),
        ("2026-11-23T21:46:36.254Z", "2026-11-23T21:46:36.254Z"),
        ("2026-11-23T21:46:36.25Z", "2026-11-23T21:46:36.250Z"),
        ("2026-11-23T21:46:36.2Z", "2026-11-23T21:46:36.200Z"),
        ("2026-11-23T21:46:36.000001Z", "2026-11-23T21:46:36.000Z"),
        ("2026-11-23T21:46:36Z", "2026-11-23T21:46:36.000Z"),
    ],
)
def test_times_have_exactly_three_digits_of_milliseconds(timestamp: str, expected: str) -> None:
    assert to_milliseconds(timestamp) == expected


def test_the_last_sequence_is_not_taken_for_the_sequence() -> None:
    assert read_number(HEADERS, b"Nats-Sequence: ") == 42
    assert read_number(HEADERS, b"Nats-Last-Sequence: ") == 7
    assert read_text(HEADERS, b"Nats-Time-Stamp: ") == "2026-11-23T21:46:36.25Z"
    with pytest.raises(ValueError, match="not found"):
        read_number(HEADERS, b"Nats-Subject: ")


def test_a_status_line_is_told_from_a_message() -> None:
    assert read_status(HEADERS) == 0
    assert read_status(b"") == 0
    assert read_status(b"NATS/1.0 404 Message Not Found\r\n\r\n") == 404
    assert read_status(b"NATS/1.0 503\r\n\r\n") == 503


def test_a_trace_is_read_where_it_is_one() -> None:
    trace = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert read_trace_header(b"NATS/1.0\r\na: b\r\ntraceparent: %b\r\n\r\n" % trace) == trace.decode()
    for headers in (
        b"",
        HEADERS,
        b"NATS/1.0\r\ntraceparent: %b" % trace,
        b"NATS/1.0\r\ntraceparent: %b-x\r\n\r\n" % trace,
        b"NATS/1.0\r\nx-traceparent: %b\r\n\r\n" % trace,
        b"NATS/1.0\r\ntraceparent: \xff\xfe\r\n\r\n",
    ):
        assert read_trace_header(headers) is None


def test_only_the_keys_of_a_replica_that_went_move() -> None:
    three = ["10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"]
    keys = [f"u:{number}" for number in range(600)]
    before = {key: choose(key, three) for key in keys}
    after = {key: choose(key, three[:2]) for key in keys}
    assert all(after[key] == before[key] for key in keys if before[key] != three[2])
    assert all(150 < count < 250 for count in Counter(before.values()).values())
    assert before == {key: choose(key, reversed(three)) for key in keys}
    assert choose("u:1", []) is None


def test_behind_a_name_that_comes_back_with_another_address_are_the_same_keys() -> None:
    keys = [f"u:{number}" for number in range(600)]
    before = {"a:1": ["10.0.0.1:1"], "b:1": ["10.0.0.2:1"], "c:1": ["10.0.0.3:1", "10.0.0.4:1"]}
    after = {"c:1": ["10.0.0.4:1", "10.0.0.9:1"], "a:1": ["10.0.0.7:1"], "b:1": ["10.0.0.2:1"]}
    for key in keys:
        old, new = choose_behind_names(key, before), choose_behind_names(key, after)
        if old == "10.0.0.1:1":
            assert new == "10.0.0.7:1"
        elif old == "10.0.0.2:1":
            assert new == old
        elif old == "10.0.0.4:1":
            assert new in (old, "10.0.0.9:1")
    counts = Counter(choose_behind_names(key, before) for key in keys)
    assert all(count > 60 for count in counts.values())
    assert len(counts) == 4
    without_a = before | {"a:1": []}
    for key in keys:
        if choose_behind_names(key, before) != "10.0.0.1:1":
            assert choose_behind_names(key, without_a) == choose_behind_names(key, before)
    assert choose_behind_names("u:1", {"a:1": []}) is None


def test_a_carried_admission_is_told_once_to_each_stream_that_does_not_know_it() -> None:
    carried = CarriedAdmissions()
    carried.note(speaker(), Life(3), "n", 1, stream=1, now_s=100.0, window_s=10.0)
    carried.note(speaker(6), Life(3), "", 1, stream=None, now_s=104.0, window_s=10.0)

    def told(stream: int, now_s: float) -> list[tuple[int, int, bool, str]]:
        carried.homes_changed()
        found: list[CarriedAdmission] = []
        while (key := carried.next_behind()) is not None:
            assert carried.is_behind(key)
            found += carried.owed_to(key, stream, now_s=now_s, window_s=10.0)
            assert not carried.is_behind(key)
        return [(c.speaker.user_id, c.age_ms, c.counts, c.nonce) for c in found]

    assert told(1, 105.0) == [(6, 1000, True, "")]
    assert told(2, 106.0) == [(5, 6000, True, "n"), (6, 2000, True, "")]
    assert told(2, 106.0) == []


def test_beyond_the_window_only_nonces_are_carried_and_for_two_minutes() -> None:
    carried = CarriedAdmissions()
    carried.note(speaker(), Life(3), "n", 1, stream=None, now_s=100.0, window_s=10.0)
    carried.note(speaker(), Life(3), "", 1, stream=None, now_s=100.0, window_s=10.0)
    found = carried.owed_to("u:5", 1, now_s=110.0, window_s=10.0)
    assert [(c.nonce, c.life, c.counts) for c in found] == [("n", 3, False)]
    assert carried.owed_to("u:5", 2, now_s=220.0, window_s=10.0) == []
    carried.homes_changed()
    assert (len(carried), carried.next_behind()) == (0, None)


def test_of_too_many_admissions_the_oldest_are_forgotten() -> None:
    carried = CarriedAdmissions(limit=3)
    for number in range(1, 6):
        carried.note(speaker(number), Life(3), "n", 1, stream=None, now_s=100.0, window_s=10.0)
    assert [number for number in range(1, 6) if knows(carried, number, 100.0)] == [3, 4, 5]
    for number in range(6, 11):
        carried.note(speaker(number), Life(3), "n", 1, stream=None, now_s=111.0, window_s=10.0)
    assert [number for number in range(1, 11) if knows(carried, number, 111.0)] == [3, 4, 5, 8, 9, 10]


def knows(carried: CarriedAdmissions, user_id: int, now_s: float) -> bool:
    return bool(carried.owed_to(f"u:{user_id}", round(now_s), now_s=now_s, window_s=10.0))


@given(
    notes=st.lists(st.tuples(st.integers(1, 4), st.sampled_from(["", "n"]), st.sampled_from([0.0, 1.0, 7.0, 60.0]))),
    wait_s=st.sampled_from([0.0, 5.0, 11.0, 121.0]),
)
def test_by_home_as_much_is_found_as_by_looking_at_everything(
    notes: list[tuple[int, str, float]], wait_s: float
) -> None:
    carried, now_s, all_notes = CarriedAdmissions(limit=1000), 1000.0, []
    for user_id, nonce, pause_s in notes:
        now_s += pause_s
        all_notes.append((now_s, user_id, nonce))
        carried.note(speaker(user_id), Life(3), nonce, 1, stream=None, now_s=now_s, window_s=10.0)
    now_s += wait_s
    expected = {
        user_id: [
            (round((now_s - at_s) * 1000), nonce, at_s > now_s - 10.0)
            for at_s, of, nonce in all_notes
            if of == user_id and (at_s > now_s - 10.0 or (nonce and at_s > now_s - 120.0))
        ]
        for user_id in range(1, 5)
    }
    found = {
        user_id: [(c.age_ms, c.nonce, c.counts) for c in carried.owed_to(f"u:{user_id}", 1, now_s=now_s, window_s=10.0)]
        for user_id in range(1, 5)
    }
    assert found == expected


class FakeRooms:
    """Answers heartbeats from a list, and writes down what is synced."""

    def __init__(self, *answers: tuple[bool, int] | None) -> None:
        self._answers = list(answers)
        self.synced: list[tuple[int, bool, bool]] = []
        self.lost: list[ConnectionId] = []
        self.fails_at: int | None = None

    async def heartbeat(self) -> tuple[bool, int]:
        answer = self._answers.pop(0)
        if answer is None:
            raise RoomsUnavailable("away")
        return answer

    async def sync(self, part: Sequence[HeldConnection], *, first: bool, last: bool) -> list[ConnectionId]:
        if self.fails_at == len(self.synced):
            self.fails_at = None
            raise RoomsUnavailable("away")
        self.synced.append((len(part), first, last))
        return self.lost


def held(count: int) -> list[HeldConnection]:
    identity = speaker().identity
    return [
        HeldConnection(ConnectionId(number), RoomId(1), Life(2), Slug("x"), identity) for number in range(1, count + 1)
    ]


def lease(rooms: FakeRooms, *, holds: int, owes: int = 0) -> tuple[EdgeLease, list[ConnectionId]]:
    lost: list[ConnectionId] = []
    return EdgeLease(
        rooms,
        locks=(asyncio.Lock(), asyncio.Lock()),
        held=lambda: held(holds),
        holdings=lambda: Holdings(holds, owed=owes),
        lost=lost.append,
    ), lost


async def beat(edge_lease: EdgeLease) -> None:
    """One heartbeat, and the sync that it shows the need of."""
    await edge_lease.beat()
    await edge_lease.sync()


async def test_an_expired_lease_is_answered_with_everything_held_in_parts_of_a_thousand() -> None:
    rooms = FakeRooms((False, 0))
    rooms.lost = [ConnectionId(9)]
    edge_lease, lost = lease(rooms, holds=2500)
    await beat(edge_lease)
    assert rooms.synced == [(1000, True, False), (1000, False, False), (500, False, True)]
    assert lost == [9, 9, 9]


async def test_a_lease_of_nothing_is_opened_with_one_empty_part() -> None:
    rooms = FakeRooms((False, 0))
    edge_lease, _ = lease(rooms, holds=0)
    await beat(edge_lease)
    assert rooms.synced == [(0, True, True)]


async def test_a_count_that_differs_twice_in_a_row_is_synced_and_once_is_not() -> None:
    rooms = FakeRooms((True, 4), (True, 3), (True, 4), (True, 2))
    edge_lease, _ = lease(rooms, holds=3)
    for _ in range(3):
        await beat(edge_lease)
    assert rooms.synced == []
    await beat(edge_lease)
    assert rooms.synced == [(3, True, True)]


async def test_leaves_that_are_still_owed_may_be_counted_or_not() -> None:
    rooms = FakeRooms((True, 3), (True, 4), (True, 5), (True, 3))
    edge_lease, _ = lease(rooms, holds=3, owes=2)
    for _ in range(4):
        await beat(edge_lease)
    assert rooms.synced == []


async def test_a_heartbeat_that_finds_all_in_order_counts_what_is_held_and_does_not_list_it() -> None:
    listed: list[bool] = []

    def list_held() -> list[HeldConnection]:
        listed.append(True)
        return held(3)

    edge_lease = EdgeLease(
        FakeRooms((True, 3), (False, 3)),
        locks=(asyncio.Lock(), asyncio.Lock()),
        held=list_held,
        holdings=lambda: Holdings(3),
        lost=lambda connection: None,
    )
    await beat(edge_lease)
    assert listed == []
    await beat(edge_lease)
    assert listed == [True]


async def test_a_sync_that_broke_off_begins_again_though_the_lease_stands_by_then() -> None:
    rooms = FakeRooms((False, 0), (True, 1000))
    rooms.fails_at = 1
    edge_lease, _ = lease(rooms, holds=1500)
    with pytest.raises(RoomsUnavailable):
        await beat(edge_lease)
    await beat(edge_lease)
    assert rooms.synced == [(1000, True, False), (1000, True, False), (500, False, True)]


@pytest.mark.parametrize(
    ("before", "after", "counted", "is_suspicious"),
    [
        (Holdings(3, joining=1, joins=1), Holdings(4, joins=1), 4, False),
        (Holdings(3, joining=1, joins=1), Holdings(4, joins=1), 5, True),
        (Holdings(3), Holdings(4, joins=1), 4, False),
        (Holdings(3), Holdings(2, owed=1, leaves=1), 2, False),
        (Holdings(3), Holdings(2, owed=1, leaves=1), 1, True),
    ],
)
async def test_who_comes_or_goes_during_a_heartbeat_may_be_counted_or_not(
    before: Holdings, after: Holdings, counted: int, is_suspicious: bool
) -> None:
    moments = [before, after] * 2
    rooms = FakeRooms((True, counted), (True, counted))
    edge_lease = EdgeLease(
        rooms,
        locks=(asyncio.Lock(), asyncio.Lock()),
        held=list,
        holdings=lambda: moments.pop(0),
        lost=lambda connection: None,
    )
    await beat(edge_lease)
    await beat(edge_lease)
    assert bool(rooms.synced) is is_suspicious


async def test_a_mismatch_is_not_forgotten_for_a_heartbeat_during_which_somebody_came() -> None:
    quiet, joining = Holdings(3), Holdings(3, joining=1)
    moments = [quiet, quiet, joining, joining, quiet, quiet]
    rooms = FakeRooms((True, 4), (True, 4), (True, 4))
    edge_lease = EdgeLease(
        rooms,
        locks=(asyncio.Lock(), asyncio.Lock()),
        held=lambda: held(3),
        holdings=lambda: moments.pop(0),
        lost=lambda connection: None,
    )
    await beat(edge_lease)
    await beat(edge_lease)
    assert rooms.synced == []
    await beat(edge_lease)
    assert rooms.synced == [(3, True, True)]


async def test_what_is_owed_while_a_sync_is_under_way_is_owed_another_one() -> None:
    rooms = FakeRooms((True, 0))
    edge_lease, _ = lease(rooms, holds=0)
    edge_lease.owe_sync()
    original = rooms.sync

    async def sync(part: Sequence[HeldConnection], *, first: bool, last: bool) -> list[ConnectionId]:
        if not rooms.synced:
            edge_lease.owe_sync()
        return await original(part, first=first, last=last)

    rooms.sync = sync  # type: ignore[method-assign]
    for _ in range(3):
        await edge_lease.sync()
    assert rooms.synced == [(0, True, True)] * 2


async def test_a_leave_that_always_fails_is_alone_in_the_end_and_the_others_go_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batches, "_FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(batches, "_LONGEST_PAUSE_S", 0.002)
    committed: set[int] = set()
    news = asyncio.Event()

    async def leave(batch: Collection[ConnectionId]) -> None:
        if 13 in batch:
            raise RoomsUnavailable("always")
        committed.update(batch)
        news.set()

    leaves: OwedQueue[None] = OwedQueue("leaves", leave, limit=500, lock=asyncio.Lock(), overflowed=lambda: None)
    for number in range(1, 1201):
        leaves.owe(ConnectionId(number), None)
    running = asyncio.create_task(leaves.run())
    async with asyncio.timeout(30):
        while len(committed) < 1199:
            news.clear()
            await news.wait()
    running.cancel()
    assert committed == set(range(1, 1201)) - {13}
    assert len(leaves) == 1


async def test_a_service_of_before_is_asked_again_every_30_seconds_and_named_in_the_log_once_each_time_it_begins() -> (
    None
):
    answers: list[Exception | None] = [RoomsOutdated(), RoomsOutdated(), RoomsUnavailable("away"), RoomsOutdated()]
    answers += [None, RoomsOutdated(), None]
    pauses: list[float] = []
    told = asyncio.Event()

    async def tell(batch: Mapping[ConnectionId, Rank]) -> None:
        answer = answers.pop(0)
        if answer is not None:
            raise answer
        told.set()

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.sleep(0)

    ranks = OwedQueue("ranks", tell, limit=10, lock=asyncio.Lock(), overflowed=lambda: None, sleep=sleep)
    running = asyncio.create_task(ranks.run())
    with capture_logs() as lines:
        for _ in range(2):
            ranks.owe(ConnectionId(7), Rank.ADMIN)
            async with asyncio.timeout(30):
                await told.wait()
            told.clear()
    running.cancel()
    assert [pause for pause in pauses if pause != GATHER_OWED_S] == [30.0, 30.0, 0.1, 30.0, 30.0]
    assert lines == [{"event": "rooms_outdated", "log_level": "warning", "what": "ranks", "retry_s": 30.0}] * 2


class Service:
    """What the rooms service remembers of one worker. Its calls fail now and then: they never take effect, or did and
    are not answered, or do when their caller has given up and goes on."""

    def __init__(self, chance: Random) -> None:
        self.members: dict[ConnectionId, Rank] = {}
        self._stale: set[ConnectionId] = set()
        self._chance = chance
        self._sent = count(1)
        self._come_to = 0
        self._late: set[asyncio.Task[None]] = set()
        self.failing = 0.3

    async def join(self, connection: ConnectionId) -> None:
        await self._perform(lambda: self.members.update({connection: Rank.USER}))

    async def leave(self, batch: Collection[ConnectionId]) -> None:
        await self._perform(lambda: self._remove(batch))

    async def change_ranks(self, ranks: Mapping[ConnectionId, Rank]) -> None:
        await self._perform_in_order(lambda: self.members.update({c: ranks[c] for c in ranks if c in self.members}))

    async def heartbeat(self) -> tuple[bool, int]:
        await self._perform(lambda: None)
        return True, len(self.members)

    async def sync(self, part: Sequence[HeldConnection], *, first: bool, last: bool) -> list[ConnectionId]:
        def register() -> None:
            if first:
                self._stale = set(self.members)
            named = {one.connection: one.identity.rank for one in part}
            self._stale -= named.keys()
            self.members |= named
            if last:
                self._remove(self._stale)

        await self._perform_in_order(register)
        return []

    async def come_to_rest(self) -> None:
        """From now on no call fails, and none that was given up takes effect any more."""
        self.failing = 0.0
        await asyncio.gather(*self._late)

    def _remove(self, connections: Collection[ConnectionId]) -> None:
        for connection in connections:
            self.members.pop(connection, None)

    async def _perform_in_order(self, effect: Callable[[], None]) -> None:
        """Unless a later one has taken effect already."""
        ordinal = next(self._sent)

        def unless_superseded() -> None:
            if ordinal > self._come_to:
                self._come_to = ordinal
                effect()

        await self._perform(unless_superseded)

    async def _perform(self, effect: Callable[[], None]) -> None:
        await asyncio.sleep(0)
        if self._chance.random() < self.failing / 3:
            raise RoomsUnavailable("not arrived")
        if self._chance.random() < self.failing / 3:
            late = asyncio.create_task(self._perform_late(effect))
            self._late.add(late)
            late.add_done_callback(self._late.discard)
            raise RoomsUnavailable("no answer in time")
        effect()
        await asyncio.sleep(0)
        if self._chance.random() < self.failing / 3:
            raise RoomsUnavailable("answer lost")

    async def _perform_late(self, effect: Callable[[], None]) -> None:
        for _ in range(self._chance.randrange(100)):
            await asyncio.sleep(0)
        effect()


class Visits:
    """The edge's half: people come, get other ranks, and most go again, through the queues and the lease."""

    def __init__(self, service: Service, chance: Random) -> None:
        joins_lock, leaves_lock, ranks_lock = asyncio.Lock(), asyncio.Lock(), asyncio.Lock()
        self.inside: dict[ConnectionId, HeldConnection] = {}
        self._service, self._chance, self._joins_lock = service, chance, joins_lock
        self._joining = self._joins = 0
        self.lease = EdgeLease(
            service,
            locks=(ranks_lock, leaves_lock, joins_lock),
            held=self._held,
            holdings=self._holdings,
            lost=lambda connection: None,
            sleep=lambda seconds: asyncio.sleep(0),
        )
        owed = partial(OwedQueue, limit=4, overflowed=self.lease.owe_sync, capacity=chance.choice((5, 1000)))
        self.leaves: OwedQueue[None] = owed("leaves", service.leave, lock=leaves_lock)
        self.ranks: OwedQueue[Rank] = owed("ranks", service.change_ranks, lock=ranks_lock)

    def _held(self) -> Iterator[HeldConnection]:
        return (self.inside[number] for number in list(self.inside) if number in self.inside)

    @property
    def present(self) -> dict[ConnectionId, Rank]:
        return {number: one.identity.rank for number, one in self.inside.items()}

    def _holdings(self) -> Holdings:
        return Holdings(len(self.inside), self._joining, len(self.leaves), self._joins, self.leaves.owed_ever)

    async def visit(self, one: HeldConnection) -> None:
        self._joining += 1
        self._joins += 1
        try:
            async with self._joins_lock:
                await self._service.join(one.connection)
        except RoomsUnavailable:
            self.leaves.owe(one.connection, None)
            return
        finally:
            self._joining -= 1
        self.inside[one.connection] = one
        stays = self._chance.random() < 0.3
        # Those who stay go on when nobody comes or goes any more, and no sync makes up for a rank that is wrong.
        for _ in range(self._chance.randrange(50 if stays else 4)):
            await self._while()
            rank = self._chance.choice((Rank.USER, Rank.MODERATOR, Rank.ADMIN))
            self.inside[one.connection] = replace(one, identity=replace(one.identity, rank=rank))
            self.ranks.owe(one.connection, rank)
        if not stays:
            await self._while()
            del self.inside[one.connection]
            self.leaves.owe(one.connection, None)

    async def _while(self) -> None:
        for _ in range(self._chance.randrange(20)):
            await asyncio.sleep(0)


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_is_lost_and_forgotten_on_the_way_in_the_end_those_are_members_who_are_inside_with_their_ranks(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_module, "_PART_SIZE", 3)
    for name in ("GATHER_OWED_S", "_FIRST_PAUSE_S", "_LONGEST_PAUSE_S"):
        monkeypatch.setattr(batches, name, 0.0)
    chance = Random(seed)
    service = Service(chance)
    edge = Visits(service, chance)
    duties = (edge.lease.run(), edge.lease.run_syncs(), edge.leaves.run(), edge.ranks.run())
    running = [asyncio.create_task(work) for work in duties]
    async with asyncio.TaskGroup() as visits:
        for one in held(80):
            visits.create_task(edge.visit(one))
            for _ in range(chance.randrange(3)):
                await asyncio.sleep(0)
    await service.come_to_rest()
    async with asyncio.timeout(10):
        while service.members != edge.present:  # noqa: ASYNC110 - many small steps that nobody announces
            await asyncio.sleep(0)
    for _ in range(100):
        await asyncio.sleep(0)
    assert service.members == edge.present
    for task in running:
        task.cancel()


async def test_a_name_stands_for_its_addresses_of_one_kind() -> None:
    assert split("[::1]:50052") == ("::1", 50052)
    assert [is_literal(a) for a in ("127.0.0.1:1", "[::1]:1", "moderation:1")] == [True, True, False]
    assert await look_up("127.0.0.1:50052") == ["127.0.0.1:50052"]
    assert await look_up("[::1]:50052") == ["[::1]:50052"]
    assert await look_up("localhost:50052") == ["127.0.0.1:50052"]
    assert await look_up("nobody.invalid:1") is None


async def test_a_defect_ends_neither_the_heartbeats_nor_the_leaves() -> None:
    beats, sent = 0, asyncio.Event()

    class Calls:
        async def heartbeat(self) -> tuple[bool, int]:
            nonlocal beats
            beats += 1
            raise ZeroDivisionError

        async def sync(self, part: Sequence[HeldConnection], *, first: bool, last: bool) -> list[ConnectionId]:
            return []

    async def sleep(_seconds: float) -> None:
        await asyncio.sleep(0)
        if beats == 3:
            raise asyncio.CancelledError

    lease = EdgeLease(
        Calls(),
        locks=(asyncio.Lock(), asyncio.Lock()),
        held=list,
        holdings=lambda: Holdings(0),
        lost=lambda connection: None,
        sleep=sleep,
    )
    with pytest.raises(asyncio.CancelledError):
        await lease.run()

    batches: list[list[ConnectionId]] = []

    async def leave(batch: Collection[ConnectionId]) -> None:
        batches.append(list(batch))
        if len(batches) == 1:
            raise ZeroDivisionError
        sent.set()

    leaves: OwedQueue[None] = OwedQueue("leaves", leave, limit=10, lock=asyncio.Lock(), overflowed=lambda: None)
    running = asyncio.create_task(leaves.run())
    leaves.owe(ConnectionId(7), None)
    async with asyncio.timeout(30):
        await sent.wait()
    running.cancel()
    assert batches == [[7], [7]]


class FakeStream:
    """Answers every question of NatsHistory with what the test says, by the kind of the question."""

    def __init__(self, batch: list[tuple[bytes, bytes]], single: tuple[bytes, bytes] = (b"", b"")) -> None:
        self.batch = batch
        self.single = single
        self.history = NatsHistory(self._ask, "inbox")

    def _ask(self, subject: str, reply: str, payload: bytes) -> None:
        query = json.loads(payload)
        answers = [self.single]
        if "STREAM.INFO" in subject:
            answers = [(b"", b"{}")]
        elif "next_by_subj" in query:
            answers = [*self.batch, (b"NATS/1.0 204 EOB\r\n\r\n", b"")]
        elif "multi_last" in query:
            answers = [(b"NATS/1.0 404 No Results\r\n\r\n", b"")]
        for headers, body in answers:
            asyncio.get_running_loop().call_soon(self.history.receive, reply.encode(), headers, body)


LOG = LogRef(RoomId(1), Life(2))
SAID = events_pb2.LogEntry(message=events_pb2.ChatMessage(text="said", user_id=1)).SerializeToString()


def entry(sequence: int, subject: str = "salon.v1.log.0.1.2", payload: bytes = b"") -> tuple[bytes, bytes]:
    headers = (
        f"NATS/1.0\r\nNats-Subject: {subject}\r\nNats-Sequence: {sequence}\r\n"
        "Nats-Time-Stamp: 2026-01-02T03:04:05.1Z\r\n\r\n"
    )
    return headers.encode(), payload


async def test_what_is_read_is_put_in_order_and_what_belongs_elsewhere_is_left_out() -> None:
    foreign = [entry(6, "salon.v1.log.0.1.3"), entry(4), entry(8, payload=b"\xff")]
    stream = FakeStream([entry(9), entry(7), *foreign, entry(5)])
    read = await stream.history.entries_after(LOG, entry_id(4, 0), limit=9)
    assert [(one.id, one.prev_id) for one in read] == [(256 * a, 256 * b) for a, b in ((5, 4), (7, 5), (8, 7), (9, 8))]


async def test_the_last_id_is_the_leaders_and_0_only_where_it_says_that_there_is_none() -> None:
    answers = {
        b'{"message":{"subject":"s","seq":7}}': 7,
        b'{"error":{"code":404,"err_code":10037,"description":"no message found"}}': 0,
    }
    for payload, expected in answers.items():
        stream = FakeStream([], (b"", payload))
        assert await stream.history.last_id(LOG) == expected * 256
    unavailable = [
        (b"", b'{"error":{"code":404,"err_code":10059,"description":"stream not found"}}'),
        (b"NATS/1.0 503\r\n\r\n", b""),
    ]
    for answer in unavailable:
        with pytest.raises(BusUnavailable):
            await FakeStream([], answer).history.last_id(LOG)


class StreamOfReplicas:
    """A log of messages at these sequences, on replicas of which the next answers come from one that has the first
    `had`, as often as `lags`."""

    def __init__(
        self,
        sequences: Sequence[int] = range(1, 11),
        *,
        had: int = 0,
        lags: int = 0,
        info: dict[str, Any] | None = None,
        others: Collection[int] = (),
    ) -> None:
        self.sequences = sequences
        self.others = others
        self.given = 0
        self.info = info or {}
        self.infos = 0
        self.had = had
        self.lags = lags
        self.asked = 0
        self.history = NatsHistory(self.ask, "_INBOX.x")

    def ask(self, subject: str, reply: str, payload: bytes) -> None:
        query = json.loads(payload)
        self.asked += 1
        if "MSG.GET" in subject:
            answers = [(b"", b'{"message":{"seq":%d}}' % self.sequences[-1])]
        elif "STREAM.INFO" in subject:
            self.infos += 1
            answers = [(b"", json.dumps(self.info).encode())]
        else:
            self.lags -= 1
            kept = self.sequences[: self.had] if self.lags >= 0 else self.sequences
            found = [sequence for sequence in kept if sequence >= query["seq"]][: query["batch"]]
            self.given += len(found)
            answers = [entry(sequence, payload=b"" if sequence in self.others else SAID) for sequence in found]
            answers.append((b"NATS/1.0 204 EOB\r\n\r\n", b""))
        for headers, body in answers:
            asyncio.get_running_loop().call_soon(self.history.receive, reply.encode(), headers, body)


@pytest.mark.parametrize("lags", range(4))
@pytest.mark.parametrize(("before", "ids"), [(None, [8, 9, 10]), (MessageId(10 * 256), [7, 8, 9])])
async def test_a_page_of_history_has_every_message_of_its_range_or_is_unavailable_where_replicas_lag(
    lags: int, before: MessageId | None, ids: list[int]
) -> None:
    stream = StreamOfReplicas(had=5, lags=lags)
    try:
        page = await stream.history.messages_before(LOG, before, limit=3)
    except BusUnavailable:
        assert lags
    else:
        assert [message.id // 256 for message in page] == ids


@settings(max_examples=200)
@given(
    begin=st.integers(1, 10**13),
    gaps=st.lists(st.sampled_from([1, 2, 50, 1000, 10**6]), min_size=1, max_size=120),
    repeats=st.integers(1, 8),
    limit=st.integers(1, 20),
    data=st.data(),
)
def test_a_page_of_history_is_right_and_read_in_few_questions_however_its_messages_lie(
    begin: int, gaps: list[int], repeats: int, limit: int, data: st.DataObject
) -> None:
    sequences = list(accumulate(gaps * repeats, initial=begin))
    before = data.draw(st.none() | st.sampled_from(sequences).map(lambda each: MessageId(256 * each)))
    others = data.draw(st.sets(st.sampled_from(sequences)))
    page, asked, _ = asyncio.run(page_of(sequences, before, limit, others))
    below = [each for each in sequences if each not in others and (before is None or each < before // 256)]
    assert page == below[-limit:]
    assert asked <= 250  # what it mostly costs is the next test


@pytest.mark.parametrize(
    ("sequences", "before", "others", "asked", "replies"),
    [
        pytest.param(range(1, 20_001), 10_000, (), 4, 60, id="a busy room, an older page"),
        pytest.param(range(1, 20_001), None, (), 4, 60, id="a busy room, the newest page"),
        pytest.param(range(1, 2_000_001, 100), 1_000_000, (), 8, 500, id="a room of which every hundredth entry is"),
        pytest.param(range(1, 20_001), None, range(61, 20_001), 80, 25_000, id="nothing but deletions for long"),
        pytest.param([*range(10**6, 10**6 + 20_000), 10**9], None, (), 40, 2_500, id="a burst of long ago"),
    ],
)
async def test_a_page_of_history_costs(
    sequences: Sequence[int], before: int | None, others: Sequence[int], asked: int, replies: int
) -> None:
    at = None if before is None else MessageId(256 * before)
    page, was_asked, was_given = await page_of(sequences, at, 50, set(others))
    assert page == [each for each in sequences if each not in others and (before is None or each < before)][-50:]
    assert was_asked <= asked
    assert was_given <= replies


async def page_of(
    sequences: Sequence[int], before: MessageId | None, limit: int, others: Collection[int]
) -> tuple[list[int], int, int]:
    """A page, and how many questions and replies it took; `others` are no messages."""
    stream = StreamOfReplicas(sequences, others=others)
    page = await stream.history.messages_before(LOG, before, limit=limit)
    return [message.id // 256 for message in page], stream.asked, stream.given


def silent_for(*seconds: float) -> dict[str, Any]:
    """What a leader says that has not heard of each of the others for so long."""
    return {"cluster": {"leader": "n1", "replicas": [{"name": "n", "active": int(each * 1e9)} for each in seconds]}}


@pytest.mark.parametrize("info", [{}, {"cluster": {"leader": "n1"}}, silent_for(0.1, 90.0), silent_for(0.1, 9, 0.2, 9)])
async def test_a_leader_that_hears_of_a_majority_is_believed(info: dict[str, Any]) -> None:
    assert await StreamOfReplicas(info=info).history.last_id(LOG) == 2560


@pytest.mark.parametrize(
    "info", [silent_for(3.1, 3.1), silent_for(0.1, 9, 9, 9), {"cluster": {"replicas": [{"name": "n"}]}}, {"error": {}}]
)
async def test_a_leader_that_the_others_may_have_deposed_is_not_believed(
    info: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers with what it had for up to 13 s after another one began to store (decision 29)."""
    monkeypatch.setattr(replies, "_LEADER_TRIES", 1)
    monkeypatch.setattr(replies, "_LEADER_PAUSE_S", 0.0)
    stream = StreamOfReplicas(info=info)
    with pytest.raises(BusUnavailable):
        await stream.history.last_id(LOG)
    with pytest.raises(BusUnavailable):
        await stream.history.entry(LOG, entry_id(7, 0))
    assert stream.infos == 2


async def test_a_leader_is_asked_of_the_others_once_for_all_answers_of_as_long_as_they_elect_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_s = 100.0
    monkeypatch.setattr("ws_edge.adapters.nats.replies.time.monotonic", lambda: now_s)
    stream = StreamOfReplicas(info=silent_for(1.0, 1.0))
    await asyncio.gather(*(stream.history.last_id(LOG) for _ in range(100)))
    now_s = 101.9
    await stream.history.last_id(LOG)
    assert stream.infos == 1
    now_s = 102.1
    monkeypatch.setattr(replies, "_LEADER_PAUSE_S", 0.0)
    stream.info = silent_for(4.0, 4.0)
    with pytest.raises(BusUnavailable):
        await stream.history.last_id(LOG)
    assert stream.infos == 1 + replies._LEADER_TRIES


async def test_a_leader_that_was_elected_just_now_is_believed_once_it_has_heard_of_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = StreamOfReplicas(info=silent_for(9.0, 9.0))

    async def hear(_: float) -> None:
        stream.info = silent_for(0.1, 9.0)

    monkeypatch.setattr("ws_edge.adapters.nats.replies.asyncio.sleep", hear)
    assert await stream.history.last_id(LOG) == 2560
    assert stream.infos == 2


async def test_what_a_replica_that_is_cut_off_does_not_answer_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replies, "_DEADLINES_S", (0.01, 0.01, 30.0))
    stream = StreamOfReplicas()
    asked: list[str] = []

    def ask(subject: str, reply: str, payload: bytes) -> None:
        asked.append(subject)
        if len(asked) > 2:
            stream.ask(subject, reply, payload)

    stream.history = NatsHistory(ask, "_INBOX.x")
    assert await stream.history.last_id(LOG) == 2560
    assert asked == ["$JS.API.STREAM.MSG.GET.SALON_LOG_0"] * 3 + ["$JS.API.STREAM.INFO.SALON_LOG_0"]


async def test_a_question_that_nobody_answers_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replies, "_DEADLINES_S", (0.01, 0.01))
    with pytest.raises(BusUnavailable):
        await NatsHistory(lambda *_: None, "_INBOX.x").last_id(LOG)


NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


class FakeManager:
    """JetStream's API with one stream, led by somebody since some time."""

    def __init__(self) -> None:
        self.info = StreamInfo(
            config=StreamConfig(name="SALON_LOG_0"),
            state=StreamState(messages=0, bytes=0, first_seq=1, last_seq=0, consumer_count=0),
            cluster=ClusterInfo(leader="n1", leader_since=NOON),
            created=NOON,
        )

    def lead(self, leader: str | None, since: datetime = NOON) -> None:
        self.info.cluster = ClusterInfo(leader=leader, leader_since=since)

    async def stream_info(self, name: str) -> StreamInfo:
        return self.info

    async def update_stream(self, config: StreamConfig) -> StreamInfo:
        self.info.config = config
        return self.info


class FakeMemory:
    async def resume_log(self, partition: int, seen: int, *, behind: int = 0) -> LogResumption:
        return LogResumption(0, 0, 0)


Look = Callable[[LogStream, Any], Awaitable[bool]]


@pytest.mark.parametrize("look", [LogStream.is_whole, LogStream.ensure], ids=["looked at", "seen to"])
async def test_a_stream_that_is_led_anew_says_so_once_whoever_looks_first(look: Look) -> None:
    stream = LogStream(0, FakeMemory(), max_bytes=0, replicas=0, seen=lambda: 0, unix_s=lambda: 0.0)
    manager: Any = FakeManager()
    await stream.ensure(manager)
    await look(stream, manager)
    assert not stream.take_new_leader()
    manager.lead(None)  # an election is under way
    await look(stream, manager)
    assert not stream.take_new_leader()
    for leader, since in (("n2", NOON), ("n2", NOON + timedelta(seconds=1))):  # another one, and the same one again
        manager.lead(leader, since)
        await look(stream, manager)
        await stream.is_whole(manager)
        assert stream.take_new_leader()
        assert not stream.take_new_leader()
    manager.info.cluster = None
    await look(stream, manager)
    assert not stream.take_new_leader()
