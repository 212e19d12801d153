"""The message stream on a real nats-server: what it is made with, what becomes of it, and that its ids always go on."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import nats
import pytest
import structlog
from nats.aio.client import Client
from nats_world import EDGE, LIFE, LOG, OTHER_EDGE, ROOM, Listener, Memory, eventually, open_bus, say
from real_nats import NatsServer

from ws_edge.adapters.nats.bus import NatsBus
from ws_edge.adapters.nats.stream import DEFAULT_MAX_BYTES, LogStream
from ws_edge.errors import BusUnavailable
from ws_edge.ports import Incident, LogMemory, LogResumption
from ws_edge.protocol.identity import RoomId
from ws_edge.protocol.log import LogRef

pytestmark = pytest.mark.integration

STREAM = "SALON_LOG_0"
NOON_S = 1_800_000_000.0
NOON = 18_000_000_000_000
"""The same as a sequence."""
OpenBus = Callable[..., Awaitable[NatsBus]]


@pytest.fixture
def server(nats_server: NatsServer) -> NatsServer:
    return nats_server


@pytest.fixture
async def memory() -> Memory:
    return Memory()


@pytest.fixture
async def opened(server: NatsServer, memory: Memory) -> AsyncIterator[OpenBus]:
    """Opens edges that share what rooms remembers."""
    buses: list[NatsBus] = []

    async def opened(edge: str = EDGE, worker: Listener | None = None, **how: Any) -> NatsBus:
        bus = open_bus(server, edge, **{"memory": memory, **how})
        bus.listen(worker or Listener())
        buses.append(bus)
        await bus.start()
        return bus

    yield opened
    for bus in buses:
        await bus.stop()


@pytest.fixture
async def service(server: NatsServer) -> AsyncIterator[Client]:
    """An operator's tool."""
    client = await nats.connect(server.url)
    yield client
    await client.close()


async def restarted(server: NatsServer, *buses: NatsBus, change: Callable[[], None] = lambda: None) -> None:
    """Stop the server, do something to its files, and start it again."""
    server.stop()
    await eventually(lambda: not any(bus.is_connected for bus in buses))
    change()
    server.start()
    await eventually(lambda: all(bus.is_connected for bus in buses))


async def heard_after(room: Listener, bus: NatsBus, text: str) -> list[Any]:
    """Say it, and wait until it is heard."""
    number = len(room.heard)
    say(bus, text)
    return await room.hears(number + 1)


async def test_a_worker_that_looks_at_the_stream_while_another_one_purges_it_has_the_same_epoch(
    service: Client, memory: Memory
) -> None:
    def stream(of: LogMemory) -> LogStream:
        return LogStream(0, of, max_bytes=0, replicas=0, seen=lambda: 0, unix_s=lambda: 0.0)

    first = stream(memory)
    await first.ensure(service.jsm())
    memory.highest = 500  # so much was given out, and the stream has lost it

    class Overtaken:
        """Answers, and has the other worker purge the stream before this one looks at it."""

        is_first = True

        async def resume_log(self, partition: int, seen: int, *, behind: int = 0) -> LogResumption:
            found = await memory.resume_log(partition, seen, behind=behind)
            if self.is_first:
                self.is_first = False
                await first.ensure(service.jsm())
            return found

    second = stream(Overtaken())
    await second.ensure(service.jsm())
    assert first.epoch == second.epoch
    assert memory.resumed


async def test_a_worker_that_had_heard_of_nothing_that_was_lost_learns_of_it_from_where_the_stream_begins(
    service: Client, memory: Memory
) -> None:
    quiet, other = (LogStream(0, memory, max_bytes=0, replicas=0, seen=lambda: 0, unix_s=lambda: 0.0) for _ in range(2))
    await quiet.ensure(service.jsm())
    await other.ensure(service.jsm())
    assert (await quiet.is_whole(service.jsm()), quiet.is_verified) == (True, True)
    memory.highest = 500  # the other one has heard of so much, and an operator has put back less
    await other.ensure(service.jsm())
    assert other.epoch != quiet.epoch
    assert (await quiet.is_whole(service.jsm()), quiet.is_verified) == (True, False)
    await quiet.ensure(service.jsm())
    assert other.epoch == quiet.epoch
    assert (await quiet.is_whole(service.jsm()), quiet.is_verified) == (True, True)


async def test_a_new_stream_begins_at_the_clock(opened: OpenBus) -> None:
    bus = await opened(unix_s=NOON_S)
    room = Listener()
    await bus.subscribe(LOG, room)
    (message,) = await heard_after(room, bus, "first")
    assert (message.id, message.prev_id) == (NOON * 256, 0)
    assert bus.highest_sequences == {0: NOON}


async def test_a_new_stream_begins_above_what_is_remembered_where_that_is_higher(
    opened: OpenBus, memory: Memory
) -> None:
    memory.highest = NOON + 77
    bus = await opened(unix_s=NOON_S)
    room = Listener()
    await bus.subscribe(LOG, room)
    assert (await heard_after(room, bus, "first"))[0].id == (NOON + 78) * 256


@pytest.mark.parametrize("unix_s", [0.0, NOON_S])
async def test_edges_that_bring_it_to_its_settings_and_a_restart_leave_everything_there(
    server: NatsServer, opened: OpenBus, service: Client, unix_s: float
) -> None:
    bus = await opened(unix_s=unix_s)
    room = Listener()
    await bus.subscribe(LOG, room)
    for number in range(5):
        say(bus, f"m{number}")
    stored = list(await room.hears(5))
    stream = service.jetstream()
    for edge in (EDGE, OTHER_EDGE):
        config = (await stream.stream_info(STREAM)).config
        await stream.update_stream(name=STREAM, subjects=config.subjects, max_msgs_per_subject=9)  # to be corrected
        await opened(edge, unix_s=unix_s + 1000)
        assert (await stream.stream_info(STREAM)).config.max_msgs_per_subject == 20_000
    await restarted(server, bus)
    assert await bus.entries_after(LOG, stored[0].id, limit=100) == stored[1:]
    last = (await heard_after(room, bus, "next"))[-1]
    assert (last.id, last.prev_id) == (stored[-1].id + 256, stored[-1].id)


async def test_after_its_files_were_lost_all_members_hear_the_next_message_with_a_higher_id(
    server: NatsServer, opened: OpenBus, memory: Memory
) -> None:
    incidents: list[Incident] = []
    bus, other = await opened(unix_s=NOON_S, incidents=incidents), await opened(OTHER_EDGE, unix_s=NOON_S)
    here, there = Listener(), Listener()
    await bus.subscribe(LOG, here)
    await other.subscribe(LOG, there)
    for number in range(3):
        say(bus, f"m{number}")
    before = list(await here.hears(3))
    await there.hears(3)
    epoch = bus.epoch(LOG)
    await restarted(server, bus, other, change=server.lose_files)
    say(other, "after")
    (heard,) = (await here.hears(4))[3:]
    assert (await there.hears(4))[3:] == [heard]
    assert (heard.text, heard.prev_id) == ("after", 0)
    assert heard.id > before[-1].id
    assert bus.epoch(LOG) == other.epoch(LOG) != epoch
    assert incidents == [Incident.STREAM_BEGAN_ANEW]
    assert memory.highest >= before[-1].id // 256


async def test_after_an_older_state_was_put_back_ids_go_on_above_all_that_was_given_out(
    server: NatsServer, opened: OpenBus, tmp_path: Path
) -> None:
    incidents: list[Incident] = []
    bus, other = await opened(incidents=incidents), await opened(OTHER_EDGE, incidents=incidents)
    here, there = Listener(), Listener()
    await bus.subscribe(LOG, here)
    await other.subscribe(LOG, there)
    await heard_after(here, bus, "kept")
    await there.hears(1)
    await restarted(server, bus, other, change=lambda: server.save(tmp_path / "older"))
    await heard_after(here, bus, "lost")
    before = (await heard_after(here, bus, "lost too"))[-1]
    await there.hears(3)  # or the last one is lost with the server
    epoch = bus.epoch(LOG)
    await restarted(server, bus, other, change=lambda: server.restore(tmp_path / "older"))
    say(bus, "after")
    heard = (await here.hears(4))[-1]
    assert (await there.hears(4))[-1] == heard
    assert (heard.text, heard.prev_id) == ("after", 0)
    assert heard.id > before.id
    assert bus.epoch(LOG) == other.epoch(LOG) != epoch
    assert Incident.STREAM_BEGAN_ANEW in incidents


class SlowMemory(Memory):
    """An edge that is told where the stream goes on and is slow to do it; or slow to ask."""

    def __init__(self, memory: Memory, *, is_slow_to_ask: bool) -> None:
        super().__init__()
        self._memory = memory
        self._is_slow_to_ask = is_slow_to_ask
        self.waits, self.goes_on = asyncio.Event(), asyncio.Event()

    async def resume_log(self, partition: int, seen: int, *, behind: int = 0) -> LogResumption:
        if behind and self._is_slow_to_ask:
            await self._wait()
        answer = await self._memory.resume_log(partition, seen, behind=behind)
        if behind and not self._is_slow_to_ask:
            await self._wait()
        return answer

    async def _wait(self) -> None:
        self.waits.set()
        await self.goes_on.wait()


@pytest.mark.parametrize("is_slow_to_ask", [True, False])
async def test_two_edges_that_find_it_behind_delete_nothing_that_was_stored_after_the_first_purge(
    opened: OpenBus, memory: Memory, *, is_slow_to_ask: bool
) -> None:
    maker = await opened()
    say(maker, "of before")
    await maker.stop()
    memory.highest = 50
    slow = SlowMemory(memory, is_slow_to_ask=is_slow_to_ask)
    starting = asyncio.ensure_future(opened(memory=slow))
    await slow.waits.wait()
    quick = await opened(OTHER_EDGE)
    room = Listener()
    await quick.subscribe(LOG, room)
    stored = [(await heard_after(room, quick, text))[-1] for text in ("one", "two")]
    memory.highest = max(memory.highest, quick.highest_sequences[0])  # told with a heartbeat
    slow.goes_on.set()
    late = await starting
    await eventually(lambda: late.is_connected)
    assert await late.entries_after(LOG, stored[0].id, limit=9) == stored[1:]
    assert (await heard_after(room, late, "three"))[-1].prev_id == stored[-1].id > 50 * 256


async def test_a_stream_that_is_deleted_under_connected_edges_is_made_again_and_ids_go_on(
    opened: OpenBus, service: Client
) -> None:
    worker = Listener()
    bus, other = await opened(worker=worker), await opened(OTHER_EDGE)
    here, there = Listener(), Listener()
    await bus.subscribe(LOG, here)
    await other.subscribe(LOG, there)
    for number in range(3):
        say(bus, f"m{number}")
    before = (await here.hears(3))[-1]
    await service.jetstream().delete_stream(STREAM)
    say(bus, "lost", nonce="n")  # whose refusal shows it at once
    assert await worker.hears(1) == ["restored"]
    await eventually(lambda: other.is_connected)
    heard = (await heard_after(here, bus, "after"))[-1]
    assert (await there.hears(4))[-1] == heard
    assert (heard.text, heard.prev_id) == ("after", 0)
    assert heard.id > before.id


async def test_an_older_stream_that_is_put_in_its_place_under_connected_edges_goes_on_above(
    opened: OpenBus, service: Client
) -> None:
    worker = Listener()
    bus = await opened(worker=worker)
    room = Listener()
    await bus.subscribe(LOG, room)
    for number in range(20):
        say(bus, f"m{number}")
    before = (await room.hears(20))[-1]
    stream = service.jetstream()
    config = (await stream.stream_info(STREAM)).config
    await stream.delete_stream(STREAM)
    config.first_seq = 5
    await stream.add_stream(config)
    say(bus, "with an id that was given out already")
    assert await worker.hears(1) == ["restored"]
    assert (await heard_after(room, bus, "after"))[-1].id > before.id


async def test_while_rooms_is_away_an_edge_goes_on_by_what_it_knows_and_asks_later(
    server: NatsServer, opened: OpenBus, memory: Memory
) -> None:
    bus = await opened(unix_s=NOON_S)
    room = Listener()
    await bus.subscribe(LOG, room)
    before = (await heard_after(room, bus, "before"))[-1]
    memory.is_away = True
    await restarted(server, bus, change=server.lose_files)
    assert (await heard_after(room, bus, "after"))[-1].id > before.id
    memory.asked.clear()
    memory.is_away = False
    await eventually(lambda: bool(memory.asked))
    assert bus.is_connected
    assert (await heard_after(room, bus, "still there"))[-1].prev_id == room.heard[-2].id


async def test_an_edge_that_rooms_has_told_nothing_yet_waits_for_it(opened: OpenBus, memory: Memory) -> None:
    memory.is_away = True
    bus = await opened()
    assert not bus.is_connected
    memory.is_away = False
    await eventually(lambda: bus.is_connected)


@pytest.mark.parametrize(
    ("present", "setting", "expected"),
    [
        (None, 0, DEFAULT_MAX_BYTES),
        (None, 5_000_000, 5_000_000),
        (-1, 0, DEFAULT_MAX_BYTES),
        (-1, 5_000_000, 5_000_000),
        (10_000_000, 0, 10_000_000),
        (10_000_000, 5_000_000, 5_000_000),
    ],
)
async def test_its_limit_in_bytes_is_the_setting_else_the_operators_else_the_default(
    opened: OpenBus, service: Client, present: int | None, setting: int, expected: int
) -> None:
    stream = service.jetstream()
    if present is not None:
        await stream.add_stream(name=STREAM, subjects=["salon.v1.log.0.>"], max_bytes=present)
    await opened(max_bytes=setting)
    config = (await stream.stream_info(STREAM)).config
    assert (config.max_bytes, config.discard) == (expected, "old")


async def test_when_it_is_full_the_oldest_go_and_nobody_is_refused(opened: OpenBus, service: Client) -> None:
    incidents: list[Incident] = []
    bus = await opened(max_bytes=1024 * 1024, incidents=incidents)
    room = Listener()
    await bus.subscribe(LOG, room)
    for start in range(0, 1500, 100):
        for number in range(start, start + 100):
            say(bus, "x" * 5000, nonce=f"n{number}")
        await room.hears(start + 100)
    assert [m.prev_id for m in room.heard] == [0, *(m.id for m in room.heard[:-1])]
    state = (await service.jetstream().stream_info(STREAM)).state
    assert state.bytes <= 1024 * 1024
    assert (state.last_seq, state.first_seq > 1000) == (1500, True)
    assert incidents == []


async def test_a_server_with_less_room_than_it_wants_is_told_of_and_an_edge_comes_up_once_there_is_a_stream() -> None:
    server = NatsServer(max_file="2M")
    server.start()
    bus = open_bus(server, max_bytes=4 * 1024 * 1024)
    bus.listen(Listener())
    try:
        with structlog.testing.capture_logs() as logs:
            await bus.start()
            assert not bus.is_connected
            assert bus.is_stream_refused
        (refused,) = [line for line in logs if line["event"] == "stream_refused"]
        assert refused["log_level"] == "error"
        assert "insufficient storage resources available" in refused["reason"]
        assert refused["max_bytes"] == 4 * 1024 * 1024
        client = await nats.connect(server.url)
        await client.jetstream().add_stream(name=STREAM, subjects=["salon.v1.log.0.>"], max_bytes=1024 * 1024)
        await client.close()
        await eventually(lambda: bus.is_connected)
        assert not bus.is_stream_refused
    finally:
        await bus.stop()
        server.close()


async def test_a_limit_that_the_server_has_no_room_for_leaves_a_stream_that_works_as_it_is() -> None:
    server = NatsServer(max_file="2M")
    server.start()
    modest, greedy = open_bus(server, max_bytes=1024 * 1024), open_bus(server, max_bytes=4 * 1024 * 1024)
    try:
        with structlog.testing.capture_logs() as logs:
            for bus in (modest, greedy):
                bus.listen(Listener())
                await bus.start()
                assert bus.is_connected
        (refused,) = [line for line in logs if line["event"] == "stream_limit_refused"]
        assert (refused["max_bytes"], refused["kept"]) == (4 * 1024 * 1024, 1024 * 1024)
        assert not greedy.is_stream_refused
        room = Listener()
        await greedy.subscribe(LOG, room)
        await heard_after(room, greedy, "goes on")
    finally:
        await modest.stop()
        await greedy.stop()
        server.close()


async def test_more_copies_than_there_are_servers_leave_a_stream_that_works_as_it_is(opened: OpenBus) -> None:
    await opened()
    with structlog.testing.capture_logs() as logs:
        demanding = await opened(OTHER_EDGE, replicas=3)
    (refused,) = [line for line in logs if line["event"] == "stream_limit_refused"]
    assert refused["replicas"] == 3
    assert demanding.is_connected
    assert not demanding.is_stream_refused
    room = Listener()
    await demanding.subscribe(LOG, room)
    await heard_after(room, demanding, "goes on")


async def test_messages_that_the_stream_does_not_take_are_counted_each_and_logged_together(
    opened: OpenBus, service: Client
) -> None:
    incidents: list[Incident] = []
    bus = await opened(incidents=incidents)
    with structlog.testing.capture_logs() as logs:
        await service.jetstream().delete_stream(STREAM)
        for number in range(200):
            say(bus, "lost", nonce=f"n{number}")
        await eventually(lambda: incidents.count(Incident.MESSAGE_NOT_STORED) == 200)
    lines = [line for line in logs if line["event"] == "message_not_stored"]
    assert [line["count"] for line in lines] == [1]


async def test_a_partition_whose_stream_cannot_be_made_again_leaves_the_others_and_recovers_by_itself(
    opened: OpenBus, service: Client
) -> None:
    worker, here, there = Listener(), Listener(), Listener()
    bus = await opened(worker=worker)
    away = LogRef(RoomId(9), LIFE, 1)
    await bus.subscribe(LOG, here)
    await bus.subscribe(away, there)
    stream = service.jetstream()
    await stream.delete_stream("SALON_LOG_1")
    await stream.add_stream(name="OTHER", subjects=["salon.v1.log.1.>"])  # takes its place
    await eventually(lambda: bus.is_stream_refused)
    with pytest.raises(BusUnavailable):
        say(bus, "refused", log=away)
    with pytest.raises(BusUnavailable):
        say(bus, "refused", log=away, nonce="n")
    with pytest.raises(BusUnavailable):
        await bus.last_id(away)
    assert bus.is_connected
    assert (await heard_after(here, bus, "goes on"))[-1].id == await bus.last_id(LOG)
    assert worker.heard == []
    await stream.delete_stream("OTHER")
    assert await worker.hears(1) == ["restored"]
    assert not bus.is_stream_refused
    say(bus, "after", log=away)
    assert (await there.hears(1))[-1].id == await bus.last_id(away)


async def test_a_further_partition_that_the_server_has_no_room_for_is_told_of_until_there_is_room() -> None:
    server = NatsServer(max_file="3M")
    server.start()
    bus = open_bus(server, max_bytes=1024 * 1024)
    bus.listen(Listener())
    try:
        await bus.start()
        client = await nats.connect(server.url)
        await client.jetstream().add_stream(name="OTHER", subjects=["other"], max_bytes=1024 * 1024)
        with structlog.testing.capture_logs() as logs:
            with pytest.raises(BusUnavailable):
                await bus.subscribe(LogRef(ROOM, LIFE, 7), Listener())
            assert bus.is_stream_refused
        (refused,) = [line for line in logs if line["event"] == "stream_refused"]
        assert (refused["partition"], refused["max_bytes"]) == (7, 1024 * 1024)
        assert bus.is_connected
        await client.jetstream().delete_stream("OTHER")
        await client.close()
        await eventually(lambda: not bus.is_stream_refused)
        await bus.subscribe(LogRef(ROOM, LIFE, 7), Listener())
        assert await bus.last_id(LogRef(ROOM, LIFE, 7)) == 0
    finally:
        await bus.stop()
        server.close()


@pytest.mark.parametrize("setting", [0, 1024 * 1024 * 1024 * 1024])
async def test_a_stream_for_whose_limit_there_is_no_room_is_made_with_a_smaller_one(setting: int) -> None:
    server = NatsServer(max_file="200M")
    server.start()
    bus = open_bus(server, max_bytes=setting)
    bus.listen(Listener())
    try:
        with structlog.testing.capture_logs() as logs:
            await bus.start()
        assert bus.is_connected
        assert not bus.is_stream_refused
        refused = next(line for line in logs if line["event"] == "stream_limit_refused")
        assert (refused["max_bytes"], refused["kept"]) == (setting or DEFAULT_MAX_BYTES, 128 * 1024 * 1024)
        room = Listener()
        await bus.subscribe(LOG, room)
        await heard_after(room, bus, "goes on")
    finally:
        await bus.stop()
        server.close()
