"""The bus on a real nats-server."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import nats
import pytest
import structlog
from nats.aio.client import Client
from nats.aio.transport import TcpTransport
from nats_world import EDGE, LIFE, OTHER_EDGE, ROOM, Listener, eventually, open_bus, say, speaker
from real_nats import NatsServer
from structlog.contextvars import get_contextvars, merge_contextvars

from salon.events.v1 import events_pb2 as events
from salon.moderation.v1 import moderation_pb2 as moderation
from ws_edge.adapters.nats.bus import NatsBus
from ws_edge.adapters.nats.stream import STREAM
from ws_edge.errors import BusUnavailable
from ws_edge.protocol.identity import ConnectionId, Life, MessageId, Rank, RoomId, Slug, UserId
from ws_edge.protocol.rooms import Participant, PresenceChanged, StoredMessage, TypingChanged
from ws_edge.protocol.sanctions import Action, Sanction, SanctionEvent, Scope

pytestmark = pytest.mark.integration


@pytest.fixture
def server(nats_server: NatsServer) -> NatsServer:
    return nats_server


@pytest.fixture
async def worker() -> Listener:
    return Listener()


@pytest.fixture
async def service(server: NatsServer) -> AsyncIterator[Client]:
    """What another service says on NATS; closed whatever becomes of the test."""
    client = await nats.connect(server.url)
    yield client
    await client.close()


@pytest.fixture
async def bus(server: NatsServer, worker: Listener) -> AsyncIterator[NatsBus]:
    bus = open_bus(server)
    bus.listen(worker)
    await bus.start()
    assert bus.is_connected
    yield bus
    await bus.stop()


@pytest.fixture
async def other(server: NatsServer) -> AsyncIterator[NatsBus]:
    bus = open_bus(server, OTHER_EDGE)
    bus.listen(Listener())
    await bus.start()
    yield bus
    await bus.stop()


async def test_a_message_comes_back_stored_with_id_time_and_token(bus: NatsBus) -> None:
    room = Listener()
    await bus.subscribe(ROOM, LIFE, room)
    say(bus, "Hello 🎈", token=77, nonce="n-1")
    (message,) = await room.hears(1)
    assert message == StoredMessage(
        MessageId(1), MessageId(0), message.at, "Hello 🎈", UserId(5), "ana", EDGE, token=77, nonce="n-1", role="user"
    )
    assert len(message.at) == len("2026-01-02T03:04:05.678Z")
    assert message.at.endswith("Z")


async def test_all_edges_see_one_order_with_rising_ids_and_each_rooms_own_chain(bus: NatsBus, other: NatsBus) -> None:
    here, there, elsewhere = Listener(), Listener(), Listener()
    await bus.subscribe(ROOM, LIFE, here)
    await other.subscribe(ROOM, LIFE, there)
    await bus.subscribe(RoomId(9), Life(3), elsewhere)
    for number in range(50):
        say(bus, f"a{number}")
        say(other, f"b{number}")
        say(bus, f"c{number}", room=RoomId(9), life=Life(3))
    assert await here.hears(100) == await there.hears(100)
    for heard in (here.heard, await elsewhere.hears(50)):
        assert [m.prev_id for m in heard] == [0] + [m.id for m in heard[:-1]]
        assert [m.id for m in heard] == sorted({m.id for m in heard})
    assert [m.text for m in here.heard if m.text[0] == "a"] == [f"a{number}" for number in range(50)]


async def test_another_life_of_the_room_hears_nothing_of_this_one(bus: NatsBus) -> None:
    old, new = Listener(), Listener()
    await bus.subscribe(ROOM, LIFE, old)
    await bus.subscribe(ROOM, Life(3), new)
    say(bus, "old")
    say(bus, "new", life=Life(3))
    assert [m.text for m in await old.hears(1)] == ["old"]
    assert [(m.text, m.prev_id) for m in await new.hears(1)] == [("new", 0)]


async def test_a_repeated_nonce_is_not_delivered_again_and_its_sender_is_told_the_id(bus: NatsBus) -> None:
    room, repeated = Listener(), asyncio.Queue[MessageId]()
    await bus.subscribe(ROOM, LIFE, room)
    for _ in range(2):
        say(bus, "once", nonce="n", duplicate=repeated.put_nowait)
    assert await asyncio.wait_for(repeated.get(), 30) == 1
    # The same nonce of somebody else, and in another life, is another message.
    say(bus, "other user", nonce="n", who=speaker(6), duplicate=repeated.put_nowait)
    say(bus, "anonymous", nonce="n", who=speaker(None), duplicate=repeated.put_nowait)
    say(bus, "anonymous too", nonce="n", who=speaker(None, f"{EDGE}:2"), duplicate=repeated.put_nowait)
    say(bus, "other life", nonce="n", life=Life(3), duplicate=repeated.put_nowait)
    say(bus, "same user elsewhere", nonce="n", who=speaker(5, f"{OTHER_EDGE}:9"), duplicate=repeated.put_nowait)
    assert await asyncio.wait_for(repeated.get(), 30) == 1
    assert [m.text for m in await room.hears(4)] == ["once", "other user", "anonymous", "anonymous too"]
    assert repeated.empty()


async def test_typing_reaches_the_rooms_members_on_every_edge(bus: NatsBus, other: NatsBus) -> None:
    room = Listener()
    await other.subscribe(ROOM, LIFE, room)
    changes = [
        TypingChanged("u:5", UserId(5), "ana", True, EDGE, ConnectionId(7), 1_800_000_000_123),
        TypingChanged(f"c:{EDGE}:8", None, "Anonymous_10.0.0.1", False, EDGE, ConnectionId(8), 1_800_000_000_124),
    ]
    for change in changes:
        bus.publish_typing(ROOM, LIFE, change)
    assert await room.hears(2) == changes


async def test_presence_deletion_sanction_and_broadcast_reach_their_listeners(
    server: NatsServer, bus: NatsBus, other: NatsBus, worker: Listener, service: Client
) -> None:
    room = Listener()
    await bus.subscribe(ROOM, LIFE, room)
    presence = events.Presence(
        version=4,
        connection_count=3,
        crowded=True,
        joined=[events.Person(key="u:5", user_id=5, username="ana", version=3)],
        left=[events.Person(key="c:x:1", username="Anonymous_10.0.0.1")],
        joined_count=2,
        left_count=1,
        at_ms=9,
        first_version=2,
    )
    await service.publish("salon.v1.live.1.2.presence", presence.SerializeToString())
    assert await room.hears(1) == [
        PresenceChanged(
            2,
            4,
            3,
            True,
            (Participant("u:5", UserId(5), "ana", version=3),),
            (Participant("c:x:1", None, "Anonymous_10.0.0.1"),),
            2,
            1,
            9,
        )
    ]
    deleted = events.RoomDeleted(room_id=1, life=2, slug="x")
    await service.publish("salon.v1.rooms.deleted", deleted.SerializeToString())
    sanction = moderation.Sanction(
        id=11,
        action=moderation.ACTION_BAN,
        target_user_id=5,
        addresses=["10.0.0.1"],
        scope=moderation.SCOPE_ROOM,
        slug="x",
        moderator_rank=moderation.RANK_ADMIN,
        expires_at_ms=1_800_000_000_500,
    )
    event = moderation.SanctionEvent(
        event_id=3,
        action=moderation.ACTION_BAN,
        target_user_id=5,
        moderator_user_id=1,
        duration_minutes=60,
        scope=moderation.SCOPE_ROOM,
        slug="x",
        at_ms=9,
        imposed=[sanction],
        lifted_ids=[10],
    )
    await service.publish("salon.v1.moderation.sanction", event.SerializeToString())
    await service.flush()
    await worker.hears(2)
    other.publish_broadcast(b'{"free":"text"}')
    addresses = frozenset({"10.0.0.1"})
    imposed = Sanction(11, Action.BAN, UserId(5), None, addresses, Slug("x"), Rank.ADMIN, 1_800_000_000.5)
    assert await worker.hears(3) == [
        ("deleted", 2),
        SanctionEvent(3, Action.BAN, UserId(5), None, UserId(1), 60, Scope.ROOM, Slug("x"), 9, (imposed,), (10,)),
        b'{"free":"text"}',
    ]


@pytest.mark.parametrize(
    ("header", "trace"),
    [
        ({"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}, True),
        ({"traceparent": "00-abc-def-01", "other": "x"}, False),
        ({"traceparent": "é"}, False),
        (None, False),
    ],
)
async def test_sanctions_and_deletions_are_applied_and_logged_under_the_trace_of_who_published(
    bus: NatsBus, worker: Listener, service: Client, header: dict[str, str] | None, *, trace: bool
) -> None:
    held: list[str | None] = []
    worker.on_event = lambda: held.append(get_contextvars().get("trace"))
    sanction = moderation.SanctionEvent(
        event_id=3, action=moderation.ACTION_UNBAN, target_user_id=5, scope=moderation.SCOPE_ROOM, slug="x"
    )
    with structlog.testing.capture_logs(processors=[merge_contextvars]) as logs:
        await service.publish("salon.v1.moderation.sanction", sanction.SerializeToString(), headers=header)
        await service.publish("salon.v1.rooms.deleted", events.RoomDeleted(life=2).SerializeToString(), headers=header)
        await service.publish("salon.v1.broadcast", b"{}", headers=header)
        await worker.hears(3)
    expected = header["traceparent"] if header and trace else None
    assert held == [expected, expected, None]
    assert [(e["event"], e.get("event_id"), e.get("life"), e.get("trace")) for e in logs] == [
        ("sanction_received", 3, None, expected),
        ("room_deleted", None, 2, expected),
    ]


async def test_malformed_events_and_failing_listeners_stop_nothing(
    server: NatsServer, bus: NatsBus, worker: Listener, service: Client
) -> None:
    room = Listener()
    await bus.subscribe(ROOM, LIFE, room)
    for subject in ("salon.v1.room.1.2.message", "salon.v1.live.1.2.typing", "salon.v1.live.1.2.presence"):
        await service.publish(subject, b"\xff\xff\xff")
    await service.publish("salon.v1.live.1.2.message", b"")  # not from the stream: no headers
    await service.publish("salon.v1.live.1.2.unknown", b"")
    await service.publish("salon.v1.moderation.sanction", moderation.SanctionEvent(action=99).SerializeToString())  # type: ignore[arg-type]  # a later version's
    await service.flush()
    room.fails = True
    say(bus, "one")
    await room.hears(1)
    room.fails = False
    say(bus, "two")
    assert [m.text for m in await room.hears(2)] == ["one", "two"]
    assert worker.heard == []


async def test_subscriptions_of_one_turn_share_one_confirmation_that_follows_them(bus: NatsBus) -> None:
    written: list[bytes] = []
    transport = bus._wire._transport
    assert transport is not None
    write = transport.write

    def look_on(payload: bytes) -> Any:
        written.append(payload)
        return write(payload)

    transport.write = look_on  # type: ignore[method-assign]  # looks on
    rooms = [Listener() for _ in range(20)]
    await asyncio.gather(*(bus.subscribe(RoomId(number), LIFE, room) for number, room in enumerate(rooms)))
    (wire,) = written
    assert wire.count(b"SUB salon.v1.live.") == 20
    assert wire.count(b"PING\r\n") == 1
    assert wire.endswith(b"PING\r\n")


async def test_after_unsubscribing_nothing_is_heard(bus: NatsBus) -> None:
    gone, room = Listener(), Listener()
    unsubscribe = await bus.subscribe(ROOM, LIFE, gone)
    await bus.subscribe(ROOM, LIFE, room)
    unsubscribe()
    unsubscribe()
    say(bus, "hello")
    await room.hears(1)
    assert gone.heard == []


async def test_a_subscriber_that_gives_up_takes_its_subscription_along_and_harms_nobody(bus: NatsBus) -> None:
    room = Listener()
    waiting = asyncio.create_task(bus.subscribe(ROOM, LIFE, room))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    others = Listener()
    await bus.subscribe(ROOM, LIFE, others)
    say(bus, "hello")
    await others.hears(1)
    assert room.heard == []


async def test_a_bus_that_starts_before_nats_comes_up_with_it(server: NatsServer) -> None:
    server.stop()
    bus, worker = open_bus(server), Listener()
    bus.listen(worker)
    starting = asyncio.create_task(bus.start())
    await asyncio.sleep(0)
    with pytest.raises(BusUnavailable):
        say(bus, "no")
    with pytest.raises(BusUnavailable):
        bus.publish_broadcast(b"no")
    with pytest.raises(BusUnavailable):
        await bus.subscribe(ROOM, LIFE, Listener())
    with pytest.raises(BusUnavailable):
        await bus.last_message_id(ROOM, LIFE)
    assert not bus.is_connected
    server.start()
    await starting
    await eventually(lambda: bus.is_connected)
    bus.publish_broadcast(b"yes")
    assert await worker.hears(1) == [b"yes"]
    await bus.stop()


async def test_after_a_restart_of_nats_everything_goes_on_and_the_worker_is_told_once(
    server: NatsServer, bus: NatsBus, worker: Listener
) -> None:
    room = Listener()
    await bus.subscribe(ROOM, LIFE, room)
    say(bus, "before")
    await room.hears(1)
    server.stop()
    await eventually(lambda: not bus.is_connected)
    for _ in range(3):
        with pytest.raises(BusUnavailable):
            say(bus, "lost")
    with pytest.raises(BusUnavailable):
        await bus.message(MessageId(1))
    server.start()
    assert await worker.hears(1) == ["restored"]
    assert bus.is_connected
    say(bus, "after")
    assert [(m.text, m.id, m.prev_id) for m in await room.hears(2)] == [("before", 1, 0), ("after", 2, 1)]
    # What belongs to the worker stands again as well.
    bus.publish_broadcast(b"all")
    assert await worker.hears(2) == ["restored", b"all"]


async def test_a_subscription_under_way_fails_at_once_when_the_connection_is_lost(
    server: NatsServer, bus: NatsBus
) -> None:
    waiting = asyncio.create_task(bus.subscribe(ROOM, LIFE, Listener()))
    await asyncio.sleep(0)
    await bus._went_down()
    with pytest.raises(BusUnavailable, match="the connection was lost"):  # and not: was not confirmed in time
        await waiting


async def test_a_connection_that_nats_closed_for_good_is_opened_anew(bus: NatsBus, worker: Listener) -> None:
    room = Listener()
    await bus.subscribe(ROOM, LIFE, room)
    worker.fails = True  # which must not keep the next interruption from being mended
    await bus._wire.close()
    assert await worker.hears(1) == ["restored"]
    worker.fails = False
    await bus._wire.close()
    assert await worker.hears(2) == ["restored"] * 2
    say(bus, "again")
    assert [m.text for m in await room.hears(1)] == ["again"]


@pytest.fixture
def break_writes(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Has uvloop's words for a transport that is closed come of every write, from now on or no longer."""
    write, writelines = TcpTransport.write, TcpTransport.writelines
    is_broken = False

    def switch(broken: bool) -> None:
        nonlocal is_broken
        is_broken = broken

    def or_break(method: Any) -> Any:
        def run(transport: TcpTransport, payload: Any) -> None:
            if is_broken:
                raise RuntimeError("unable to perform operation on <TCPTransport closed=True>")
            method(transport, payload)

        return run

    monkeypatch.setattr(TcpTransport, "write", or_break(write))
    monkeypatch.setattr(TcpTransport, "writelines", or_break(writelines))
    return switch


async def test_a_subscription_over_a_transport_that_is_closed_fails_at_once(
    bus: NatsBus, break_writes: Callable[[bool], None]
) -> None:
    break_writes(True)
    with pytest.raises(BusUnavailable, match="the connection was lost"):
        await bus.subscribe(ROOM, LIFE, Listener())


async def test_a_bus_whose_transport_closes_while_it_connects_tries_again(
    server: NatsServer, break_writes: Callable[[bool], None]
) -> None:
    bus = open_bus(server)
    bus.listen(Listener())
    break_writes(True)
    with structlog.testing.capture_logs() as lines:
        starting = asyncio.create_task(bus.start())
        await eventually(lambda: any(line["event"] == "nats_error" for line in lines))
    break_writes(False)
    await starting
    await eventually(lambda: bus.is_connected)
    await bus.stop()


async def test_a_bus_whose_transport_is_closed_stops(bus: NatsBus, break_writes: Callable[[bool], None]) -> None:
    transport = bus._wire._transport
    assert transport is not None
    await bus._wire._send_command(b"PING\r\n")
    break_writes(True)
    await bus.stop()
    assert transport._io_writer.is_closing()  # type: ignore[attr-defined]  # nats-py's own


def flood(bus: NatsBus) -> int:
    """Publishes without ever yielding; how many were taken."""
    for published in range(20_000):
        try:
            say(bus, "x" * 1000)
        except BusUnavailable:
            return published
    return 20_000


async def test_publishing_faster_than_the_loop_turns_is_refused_and_not_piled_up(bus: NatsBus) -> None:
    room = Listener()
    await bus.subscribe(ROOM, LIFE, room)
    published = flood(bus)
    assert 7_000 < published < 9_000
    await room.hears(published)
    say(bus, "goes on")
    await room.hears(published + 1)


async def test_messages_after_an_id_come_in_order_and_stay_within_the_limit(server: NatsServer, bus: NatsBus) -> None:
    room = Listener()
    await bus.subscribe(ROOM, LIFE, room)
    for number in range(10):
        say(bus, f"m{number}", token=number, nonce=f"n{number}")
        say(bus, "elsewhere", room=RoomId(9))
    stored = await room.hears(10)
    assert await bus.messages_after(ROOM, LIFE, MessageId(0), limit=100) == stored
    assert await bus.messages_after(ROOM, LIFE, stored[3].id, limit=3) == stored[4:7]
    assert await bus.messages_after(ROOM, LIFE, stored[-1].id, limit=3) == []
    assert await bus.messages_after(ROOM, Life(99), MessageId(0), limit=3) == []
    assert await bus.last_message_id(ROOM, LIFE) == stored[-1].id
    assert await bus.last_message_id(ROOM, Life(99)) == 0
    assert await bus.message(stored[4].id) == stored[4]
    assert await bus.message(stored[0].id) == stored[0]
    assert await bus.message(MessageId(10_000)) is None


async def test_messages_before_an_id_come_in_order_and_stay_within_the_limit(bus: NatsBus) -> None:
    room = Listener()
    await bus.subscribe(ROOM, LIFE, room)
    for number in range(10):
        say(bus, f"m{number}", token=number)
        say(bus, "elsewhere", room=RoomId(9))
    stored = await room.hears(10)
    ids = [message.id for message in stored]

    async def read(before: MessageId | None, limit: int) -> list[MessageId]:
        return [message.id for message in await bus.messages_before(ROOM, LIFE, before, limit=limit)]

    assert await read(None, 100) == ids
    assert await read(None, 3) == ids[-3:]
    assert await read(stored[5].id, 3) == ids[2:5]
    assert await read(MessageId(stored[5].id + 1), 2) == ids[4:6]
    assert await read(stored[0].id, 3) == []
    assert await read(MessageId(2**53 - 1), 1) == ids[-1:]
    assert await bus.messages_before(ROOM, Life(99), None, limit=3) == []


async def test_what_answers_and_who_speaks_is_stored_with_a_message(bus: NatsBus) -> None:
    room = Listener()
    await bus.subscribe(ROOM, LIFE, room)
    admin = speaker()
    admin = replace(admin, identity=replace(admin.identity, rank=Rank.ADMIN))
    bus.publish_message(ROOM, LIFE, admin, "yes", token=1, nonce="", reply_to=MessageId(40), duplicate=lambda _: None)
    (message,) = await room.hears(1)
    assert (message.reply_to, message.role) == (40, "admin")
    assert await bus.messages_after(ROOM, LIFE, MessageId(0), limit=1) == [message]


async def test_a_message_from_before_roles_were_told_is_a_users_or_nobodys(bus: NatsBus, service: Client) -> None:
    room = Listener()
    await bus.subscribe(ROOM, LIFE, room)
    for user_id in (7, 0):
        old = events.ChatMessage(text="old", user_id=user_id, username="ana", edge=EDGE, token=1)
        await service.publish("salon.v1.room.1.2.message", old.SerializeToString())
    assert [(m.role, m.reply_to) for m in await room.hears(2)] == [("user", None), (None, None)]


async def test_the_epoch_is_the_same_on_every_edge_and_another_one_for_each_life(bus: NatsBus, other: NatsBus) -> None:
    assert bus.epoch(LIFE) == other.epoch(LIFE)
    assert bus.epoch(LIFE) != bus.epoch(Life(LIFE + 1))


async def test_deleted_messages_are_left_out_of_what_is_read(server: NatsServer, bus: NatsBus, service: Client) -> None:
    room = Listener()
    await bus.subscribe(ROOM, LIFE, room)
    for number in range(5):
        say(bus, f"m{number}")
    await room.hears(5)
    await service.publish("salon.v1.room.1.2.message", b"\xff")
    await service.jetstream().delete_msg(STREAM, 3)
    read = await bus.messages_after(ROOM, LIFE, MessageId(1), limit=100)
    assert [(m.id, m.prev_id) for m in read] == [(2, 1), (4, 2), (5, 4)]
    assert await bus.message(MessageId(3)) is None
    assert await bus.message(MessageId(6)) is None


async def test_a_room_keeps_its_last_500_messages(bus: NatsBus) -> None:
    room = Listener()
    await bus.subscribe(ROOM, LIFE, room)
    for number in range(510):
        say(bus, f"m{number}")
    await room.hears(510)
    read = await bus.messages_after(ROOM, LIFE, MessageId(0), limit=1000)
    assert [m.id for m in read] == list(range(11, 511))
    # The message before the first one is not kept any more: a gap is not to look closed.
    read = await bus.messages_after(ROOM, LIFE, MessageId(5), limit=1)
    assert [(m.id, m.prev_id) for m in read] == [(11, 10)]
    read = await bus.messages_after(ROOM, LIFE, MessageId(11), limit=1)
    assert [(m.id, m.prev_id) for m in read] == [(12, 11)]


async def test_the_stream_has_the_settings_of_the_contract(server: NatsServer, bus: NatsBus, service: Client) -> None:
    reply = await service.request(f"$JS.API.STREAM.INFO.{STREAM}")
    config = json.loads(reply.data)["config"]
    assert config["subjects"] == ["salon.v1.room.*.*.message"]
    assert config["republish"] == {
        "src": "salon.v1.room.*.*.message",
        "dest": "salon.v1.live.{{wildcard(1)}}.{{wildcard(2)}}.message",
    }
    assert (config["storage"], config["max_msgs_per_subject"], config["allow_direct"]) == ("file", 500, True)
    assert (config["max_age"], config["duplicate_window"]) == (86_400 * 10**9, 120 * 10**9)


async def test_an_existing_stream_is_corrected_and_keeps_what_the_operator_chose(
    server: NatsServer, service: Client
) -> None:
    await service.jetstream().add_stream(
        name=STREAM, subjects=["salon.v1.room.>"], max_msgs_per_subject=7, max_bytes=10_000_000, description="ours"
    )
    buses = [open_bus(server) for _ in range(3)]
    for bus in buses:
        bus.listen(Listener())
    await asyncio.gather(*(bus.start() for bus in buses))
    assert all(bus.is_connected for bus in buses)
    config = (await service.jetstream().stream_info(STREAM)).config
    assert (config.subjects, config.max_msgs_per_subject) == (["salon.v1.room.*.*.message"], 500)
    assert (config.max_bytes, config.description) == (10_000_000, "ours")
    assert config.republish is not None
    await asyncio.gather(*(bus.stop() for bus in buses))


async def test_workers_that_start_together_make_one_stream(server: NatsServer) -> None:
    buses = [open_bus(server) for _ in range(5)]
    for bus in buses:
        bus.listen(Listener())
    await asyncio.gather(*(bus.start() for bus in buses))
    assert all(bus.is_connected for bus in buses)
    await asyncio.gather(*(bus.stop() for bus in buses))


async def test_stopping_closes_the_connection_also_when_nats_answers_nothing_any_more(
    server: NatsServer, bus: NatsBus
) -> None:
    transport = bus._wire._transport
    assert transport is not None
    assert server._process is not None
    server._process.send_signal(signal.SIGSTOP)
    await bus.stop()
    assert transport._io_writer.is_closing()  # type: ignore[attr-defined]  # nats-py's own
