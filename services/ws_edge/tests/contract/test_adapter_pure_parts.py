"""The parts of the adapters that need no network: headers, homes, carried admissions, the lease."""

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest

from ws_edge.adapters.carried_admissions import CarriedAdmissions
from ws_edge.adapters.edge_lease import EdgeLease
from ws_edge.adapters.grpc_moderation import target_home
from ws_edge.adapters.leave_queue import LeaveQueue
from ws_edge.adapters.nats_headers import read_number, read_status, read_text, read_trace_header, to_milliseconds
from ws_edge.adapters.rendezvous import choose
from ws_edge.adapters.replica_addresses import is_literal, look_up, split
from ws_edge.adapters.request_batches import BatchFailed
from ws_edge.ports import HeldConnection, ModerationRequest
from ws_edge.protocol.identity import ConnectionId, Identity, Life, Rank, RoomId, Slug, Speaker, UserId
from ws_edge.protocol.sanction import Action, Scope

HEADERS = (
    b"NATS/1.0\r\nNats-Stream: SALON_MESSAGES\r\nNats-Sequence: 42\r\n"
    b"Nats-Time-Stamp: 2026-11-23T21:46:36.25Z\r\nNats-Last-Sequence: 7\r\n\r\n"
)


def speaker(user_id: int | None = 5, *, address: str = "10.0.0.1", connection: str = "e:1") -> Speaker:
    rank = Rank.ANONYMOUS if user_id is None else Rank.USER
    user = None if user_id is None else UserId(user_id)
    return Speaker(Identity(user, "ana", None, (), rank, None), address, connection)


@pytest.mark.parametrize(
    ("timestamp", "expected"),
    [
        ("2026-11-23T21:46:36.254123456Z", "2026-11-23T21:46:36.254Z"),
        ("2026-11-23T21:46:36.999999999Z", "2026-11-23T21:46:36.999Z"),
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


@pytest.mark.parametrize(
    ("user_id", "username", "home"),
    [
        (7, None, "u:7"),
        (None, "Anonymous_192.168.1.10", "a:192.168.1.10"),
        (None, "Anonymous_2001:db8:1:2:3::4", "a:2001:db8:1:2::/64"),
        (None, "Anonymous_2001:db8:1:2::/64", "a:2001:db8:1:2::/64"),
        (None, "Anonymous_5f3c9a", "Anonymous_5f3c9a"),
        (None, "somebody", "somebody"),
    ],
)
def test_an_action_goes_to_the_home_of_its_target(user_id: int | None, username: str | None, home: str) -> None:
    target = None if user_id is None else UserId(user_id)
    request = ModerationRequest(
        speaker(1), Action.BAN, target, username, None, Scope.ROOM, Slug("x"), duration_minutes=0, reason=""
    )
    assert target_home(request) == home


def test_a_carried_admission_is_told_once_to_each_stream_that_does_not_know_it() -> None:
    carried = CarriedAdmissions()
    carried.note(speaker(), Life(3), "n", stream=1, now_s=100.0, window_s=10.0)
    carried.note(speaker(6), Life(3), "", stream=None, now_s=104.0, window_s=10.0)
    homes = {"u:5": 1, "u:6": 1}

    def told(now_s: float) -> list[tuple[int, int, int, bool, str]]:
        found = carried.untold(homes.get, now_s=now_s, window_s=10.0)
        return [(stream, c.speaker.user_id, c.age_ms, c.counts, c.nonce) for stream, c in found]

    assert told(105.0) == [(1, 6, 1000, True, "")]
    homes = {"u:5": 2, "u:6": 2}
    assert told(106.0) == [(2, 5, 6000, True, "n"), (2, 6, 2000, True, "")]
    assert told(106.0) == []


def test_beyond_the_window_only_nonces_are_carried_and_for_two_minutes() -> None:
    carried = CarriedAdmissions()
    carried.note(speaker(), Life(3), "n", stream=None, now_s=100.0, window_s=10.0)
    carried.note(speaker(), Life(3), "", stream=None, now_s=100.0, window_s=10.0)
    found = list(carried.untold(lambda home: 1, now_s=110.0, window_s=10.0))
    assert [(c.nonce, c.life, c.counts) for _, c in found] == [("n", 3, False)]
    assert list(carried.untold(lambda home: 2, now_s=220.0, window_s=10.0)) == []


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
            raise BatchFailed("away")
        return answer

    async def sync(self, part: Sequence[HeldConnection], *, first: bool, last: bool) -> list[ConnectionId]:
        if self.fails_at == len(self.synced):
            self.fails_at = None
            raise BatchFailed("away")
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
        wire=asyncio.Lock(),
        held=lambda: held(holds),
        held_count=lambda: holds,
        owed_leaves=lambda: owes,
        lost=lost.append,
    ), lost


async def test_an_expired_lease_is_answered_with_everything_held_in_parts_of_a_thousand() -> None:
    rooms = FakeRooms((False, 0))
    rooms.lost = [ConnectionId(9)]
    edge_lease, lost = lease(rooms, holds=2500)
    await edge_lease.beat()
    assert rooms.synced == [(1000, True, False), (1000, False, False), (500, False, True)]
    assert lost == [9, 9, 9]


async def test_a_lease_of_nothing_is_opened_with_one_empty_part() -> None:
    rooms = FakeRooms((False, 0))
    edge_lease, _ = lease(rooms, holds=0)
    await edge_lease.beat()
    assert rooms.synced == [(0, True, True)]


async def test_a_count_that_differs_twice_in_a_row_is_synced_and_once_is_not() -> None:
    rooms = FakeRooms((True, 4), (True, 3), (True, 4), (True, 2))
    edge_lease, _ = lease(rooms, holds=3)
    for _ in range(3):
        await edge_lease.beat()
    assert rooms.synced == []
    await edge_lease.beat()
    assert rooms.synced == [(3, True, True)]


async def test_leaves_that_are_still_owed_may_be_counted_or_not() -> None:
    rooms = FakeRooms((True, 3), (True, 4), (True, 5), (True, 3))
    edge_lease, _ = lease(rooms, holds=3, owes=2)
    for _ in range(4):
        await edge_lease.beat()
    assert rooms.synced == []


async def test_a_heartbeat_that_finds_all_in_order_counts_what_is_held_and_does_not_list_it() -> None:
    listed: list[bool] = []

    def list_held() -> list[HeldConnection]:
        listed.append(True)
        return held(3)

    edge_lease = EdgeLease(
        FakeRooms((True, 3), (False, 3)),
        wire=asyncio.Lock(),
        held=list_held,
        held_count=lambda: 3,
        owed_leaves=lambda: 0,
        lost=lambda connection: None,
    )
    await edge_lease.beat()
    assert listed == []
    await edge_lease.beat()
    assert listed == [True]


async def test_a_sync_that_broke_off_begins_again_though_the_lease_stands_by_then() -> None:
    rooms = FakeRooms((False, 0), (True, 1000))
    rooms.fails_at = 1
    edge_lease, _ = lease(rooms, holds=1500)
    with pytest.raises(BatchFailed):
        await edge_lease.beat()
    await edge_lease.beat()
    assert rooms.synced == [(1000, True, False), (1000, True, False), (500, False, True)]


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
        wire=asyncio.Lock(),
        held=list,
        held_count=lambda: 0,
        owed_leaves=lambda: 0,
        lost=lambda connection: None,
        sleep=sleep,
    )
    with pytest.raises(asyncio.CancelledError):
        await lease.run()

    batches: list[list[ConnectionId]] = []

    async def leave(batch: Sequence[ConnectionId]) -> None:
        batches.append(list(batch))
        if len(batches) == 1:
            raise ZeroDivisionError
        sent.set()

    leaves = LeaveQueue(leave, limit=10, wire=asyncio.Lock())
    running = asyncio.create_task(leaves.run())
    leaves.add(ConnectionId(7))
    async with asyncio.timeout(5):
        await sent.wait()
    running.cancel()
    assert batches == [[7], [7]]
