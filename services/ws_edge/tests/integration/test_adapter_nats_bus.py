"""The bus on a real nats-server."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable
from typing import Any

import nats
import pytest
import structlog
from msgspec.structs import replace
from nats.aio.client import Client
from nats.aio.transport import TcpTransport
from nats_world import EDGE, LIFE, LOG, OTHER_EDGE, ROOM, Listener, eventually, open_bus, say, speaker
from real_nats import NatsServer
from structlog.contextvars import get_contextvars, merge_contextvars

from salon.events.v1 import events_pb2 as events
from salon.events.v1.events_pb2 import ReactionCount, Reactions
from salon.moderation.v1 import moderation_pb2 as moderation
from ws_edge.adapters.nats.bus import NatsBus
from ws_edge.adapters.nats.events import decode_reactions
from ws_edge.adapters.nats.stream import LOG_LIMIT
from ws_edge.adapters.nats.wire import UNSENT_LIMIT_BYTES
from ws_edge.errors import BusUnavailable
from ws_edge.protocol.identity import ConnectionId, Life, MessageId, Rank, RoomId, Slug, UserId
from ws_edge.protocol.log import LogRef, StoredMessage, UnknownEntry, entry_id
from ws_edge.protocol.reactions import Reacted, ReactionSums
from ws_edge.protocol.revocations import Revocation
from ws_edge.protocol.roles import RoomRole, RoomRoles
from ws_edge.protocol.rooms import Participant, PresenceChanged, TypingChanged
from ws_edge.protocol.sanctions import Action, Sanction, SanctionEvent, Scope
from ws_edge.protocol.warnings import RoomWarning

pytestmark = pytest.mark.integration

STREAM = "SALON_LOG_0"
OTHER_LIFE, ELSEWHERE = LogRef(ROOM, Life(3)), LogRef(RoomId(9), LIFE)


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
    await bus.subscribe(LOG, room)
    say(bus, "Hello 🎈", token=77, nonce="n-1")
    (message,) = await room.hears(1)
    assert message == StoredMessage(
        MessageId(256), MessageId(0), message.at, "Hello 🎈", UserId(5), "ana", EDGE, token=77, nonce="n-1", role="user"
    )
    assert len(message.at) == len("2026-01-02T03:04:05.678Z")
    assert message.at.endswith("Z")


async def test_all_edges_see_one_order_with_rising_ids_and_each_rooms_own_chain(bus: NatsBus, other: NatsBus) -> None:
    here, there, elsewhere = Listener(), Listener(), Listener()
    await bus.subscribe(LOG, here)
    await other.subscribe(LOG, there)
    await bus.subscribe(ELSEWHERE, elsewhere)
    for number in range(50):
        say(bus, f"a{number}")
        say(other, f"b{number}")
        say(bus, f"c{number}", log=ELSEWHERE)
    assert await here.hears(100) == await there.hears(100)
    for heard in (here.heard, await elsewhere.hears(50)):
        assert [m.prev_id for m in heard] == [0] + [m.id for m in heard[:-1]]
        assert [m.id for m in heard] == sorted({m.id for m in heard})
    assert [m.text for m in here.heard if m.text[0] == "a"] == [f"a{number}" for number in range(50)]


async def test_another_life_of_the_room_hears_nothing_of_this_one(bus: NatsBus) -> None:
    old, new = Listener(), Listener()
    await bus.subscribe(LOG, old)
    await bus.subscribe(OTHER_LIFE, new)
    say(bus, "old")
    say(bus, "new", log=OTHER_LIFE)
    assert [m.text for m in await old.hears(1)] == ["old"]
    assert [(m.text, m.prev_id) for m in await new.hears(1)] == [("new", 0)]


async def test_a_repeated_nonce_is_not_delivered_again_and_its_sender_is_told_the_id(bus: NatsBus) -> None:
    room, repeated = Listener(), asyncio.Queue[MessageId]()
    await bus.subscribe(LOG, room)
    for _ in range(2):
        say(bus, "once", nonce="n", duplicate=repeated.put_nowait)
    assert await asyncio.wait_for(repeated.get(), 30) == 256
    # The same nonce of somebody else, and in another life, is another message.
    say(bus, "other user", nonce="n", who=speaker(6), duplicate=repeated.put_nowait)
    say(bus, "anonymous", nonce="n", who=speaker(None), duplicate=repeated.put_nowait)
    say(bus, "anonymous too", nonce="n", who=speaker(None, f"{EDGE}:2"), duplicate=repeated.put_nowait)
    say(bus, "other life", nonce="n", log=OTHER_LIFE, duplicate=repeated.put_nowait)
    say(bus, "same user elsewhere", nonce="n", who=speaker(5, f"{OTHER_EDGE}:9"), duplicate=repeated.put_nowait)
    assert await asyncio.wait_for(repeated.get(), 30) == 256
    assert [m.text for m in await room.hears(4)] == ["once", "other user", "anonymous", "anonymous too"]
    assert repeated.empty()


async def test_typing_reaches_the_rooms_members_on_every_edge(bus: NatsBus, other: NatsBus) -> None:
    room = Listener()
    await other.subscribe(LOG, room)
    changes = [
        TypingChanged("u:5", UserId(5), "ana", True, EDGE, ConnectionId(7), 1_800_000_000_123),
        TypingChanged(f"c:{EDGE}:8", None, "Anonymous_10.0.0.1", False, EDGE, ConnectionId(8), 1_800_000_000_124),
    ]
    for change in changes:
        bus.publish_typing(LOG, change)
    assert await room.hears(2) == changes


async def test_reactions_reach_the_rooms_members_on_every_other_edge(bus: NatsBus, other: NatsBus) -> None:
    here, there = Listener(), Listener()
    await bus.subscribe(LOG, here)
    await other.subscribe(LOG, there)
    sums = ReactionSums()
    sums.add("❤️", None, 12)
    sums.add(":Kappa:", MessageId(42))
    bus.publish_reactions(LOG, sums)
    bus.publish_returned(LOG, "c:last", 1)
    reacted = [Reacted("❤️", None, 12), Reacted(":Kappa:", MessageId(42), 1)]
    assert await there.hears(2) == [reacted, ("returned", "c:last", 1)]
    assert await here.hears(1) == [("returned", "c:last", 1)]


async def test_of_reactions_no_more_are_read_than_an_edge_sends(bus: NatsBus, service: Client) -> None:
    room = Listener()
    await bus.subscribe(LOG, room)
    odd = [
        ReactionCount(emoji="❤️", count=0),
        ReactionCount(emoji="", count=1),
        ReactionCount(emoji="x" * 103, count=1),
        ReactionCount(emoji="❤️", count=1, message_id=-1),
    ]
    assert decode_reactions(Reactions(edge=OTHER_EDGE, counts=odd).SerializeToString()) == (OTHER_EDGE, [])
    many = Reactions(edge=OTHER_EDGE, counts=[ReactionCount(emoji=f":{n}:", count=1) for n in range(1000)])
    await service.publish("salon.v1.live.1.2.reactions", many.SerializeToString())
    (reacted,) = await room.hears(1)
    assert len(reacted) == 300


async def test_a_change_of_emotes_reaches_every_edge(bus: NatsBus, worker: Listener, service: Client) -> None:
    await service.publish("salon.v1.rooms.emotes", events.EmotesChanged(slug="live").SerializeToString())
    await service.publish("salon.v1.rooms.emotes", events.EmotesChanged().SerializeToString())
    assert await worker.hears(2) == [("emotes", "live"), ("emotes", "")]


async def test_who_came_back_is_told_to_the_rooms_members_on_every_edge(bus: NatsBus, other: NatsBus) -> None:
    here, there = Listener(), Listener()
    await bus.subscribe(LOG, here)
    await other.subscribe(LOG, there)
    bus.publish_returned(LOG, f"c:{EDGE}:8", 7)
    for room in (here, there):
        assert await room.hears(1) == [("returned", f"c:{EDGE}:8", 7)]


async def test_presence_deletion_sanction_and_broadcast_reach_their_listeners(
    server: NatsServer, bus: NatsBus, other: NatsBus, worker: Listener, service: Client
) -> None:
    room = Listener()
    await bus.subscribe(LOG, room)
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
    told = moderation.RoomRoles(slug="x", version=4, owner_user_id=9, moderators=[5], vips=[6])
    await service.publish("salon.v1.moderation.roles", told.SerializeToString())
    await service.flush()
    await worker.hears(3)
    other.publish_broadcast(b'{"free":"text"}')
    addresses = frozenset({"10.0.0.1"})
    imposed = Sanction(11, Action.BAN, UserId(5), None, addresses, Slug("x"), Rank.ADMIN, 1_800_000_000.5)
    assert await worker.hears(4) == [
        ("deleted", 2),
        SanctionEvent(3, Action.BAN, UserId(5), None, UserId(1), 60, Scope.ROOM, Slug("x"), 9, (imposed,), (10,)),
        (Slug("x"), RoomRoles(4, UserId(9), {UserId(5): RoomRole.MODERATOR, UserId(6): RoomRole.VIP})),
        b'{"free":"text"}',
    ]


async def test_warnings_are_heard_as_they_are_since_a_change(worker: Listener, bus: NatsBus, service: Client) -> None:
    told = moderation.Warning(
        id=17, slug="x", target_user_id=5, reason="No", moderator_rank=moderation.RANK_MODERATOR, open=True
    )
    await service.publish("salon.v1.moderation.warning", b"\xff")
    await service.publish("salon.v1.moderation.warning", moderation.WarningEvent(warnings=[told]).SerializeToString())
    await service.flush()
    assert await worker.hears(1) == [[RoomWarning(17, Slug("x"), UserId(5), None, "No", Rank.MODERATOR, 0)]]


async def test_revoked_tokens_are_heard(worker: Listener, bus: NatsBus, service: Client) -> None:
    told = [
        moderation.TokenRevocation(user_id=5, before_ms=1_500, until_ms=9_000, version=3),
        moderation.TokenRevocation(jti="a", until_ms=9_000, version=4),
    ]
    await service.publish("salon.v1.moderation.tokens", b"\xff")
    event = moderation.RevocationEvent(revocations=told)
    await service.publish("salon.v1.moderation.tokens", event.SerializeToString())
    await service.flush()
    expected = [Revocation(UserId(5), "", 1.5, 9.0, 3), Revocation(None, "a", 0.0, 9.0, 4)]
    assert await worker.hears(1) == [expected]


async def test_how_far_the_moderators_feeds_have_come_is_heard_by_slug(
    worker: Listener, bus: NatsBus, service: Client
) -> None:
    heads = [moderation.FeedReached.Head(slug="x", event_id=7), moderation.FeedReached.Head(slug="y", event_id=8)]
    await service.publish("salon.v1.moderation.feed", b"\xff")
    await service.publish("salon.v1.moderation.feed", moderation.FeedReached(heads=heads).SerializeToString())
    await service.flush()
    assert await worker.hears(1) == [{"x": 7, "y": 8}]


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
    await bus.subscribe(LOG, room)
    for subject in ("salon.v1.log.0.1.2", "salon.v1.live.1.2.typing", "salon.v1.live.1.2.presence"):
        await service.publish(subject, b"\xff\xff\xff")
    await service.publish("salon.v1.live.1.2.message", b"")  # not from the stream: no headers
    await service.publish("salon.v1.live.1.2.unknown", b"")
    await service.publish("salon.v1.moderation.sanction", moderation.SanctionEvent(action=99).SerializeToString())  # type: ignore[arg-type]  # a later version's
    await service.flush()
    assert isinstance((await room.hears(1))[0], UnknownEntry)  # it is stored, and has its place
    room.fails = True
    say(bus, "one")
    await room.hears(2)
    room.fails = False
    say(bus, "two")
    assert [m.text for m in (await room.hears(3))[1:]] == ["one", "two"]
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
    await asyncio.gather(*(bus.subscribe(LogRef(RoomId(number), LIFE), room) for number, room in enumerate(rooms)))
    (wire,) = written
    assert wire.count(b"SUB salon.v1.live.") == 20
    assert wire.count(b"PING\r\n") == 1
    assert wire.endswith(b"PING\r\n")


async def test_after_unsubscribing_nothing_is_heard(bus: NatsBus) -> None:
    gone, room = Listener(), Listener()
    unsubscribe = await bus.subscribe(LOG, gone)
    await bus.subscribe(LOG, room)
    unsubscribe()
    unsubscribe()
    say(bus, "hello")
    await room.hears(1)
    assert gone.heard == []


async def test_a_subscriber_that_gives_up_takes_its_subscription_along_and_harms_nobody(bus: NatsBus) -> None:
    room = Listener()
    waiting = asyncio.create_task(bus.subscribe(LOG, room))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    others = Listener()
    await bus.subscribe(LOG, others)
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
        await bus.subscribe(LOG, Listener())
    with pytest.raises(BusUnavailable):
        await bus.last_id(LOG)
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
    await bus.subscribe(LOG, room)
    say(bus, "before")
    await room.hears(1)
    server.stop()
    await eventually(lambda: not bus.is_connected)
    for _ in range(3):
        with pytest.raises(BusUnavailable):
            say(bus, "lost")
    with pytest.raises(BusUnavailable):
        await bus.entry(LOG, MessageId(256))
    server.start()
    assert await worker.hears(1) == ["restored"]
    assert bus.is_connected
    say(bus, "after")
    assert [(m.text, m.id, m.prev_id) for m in await room.hears(2)] == [("before", 256, 0), ("after", 512, 256)]
    # What belongs to the worker stands again as well.
    bus.publish_broadcast(b"all")
    assert await worker.hears(2) == ["restored", b"all"]


async def test_a_subscription_under_way_fails_at_once_when_the_connection_is_lost(
    server: NatsServer, bus: NatsBus
) -> None:
    waiting = asyncio.create_task(bus.subscribe(LOG, Listener()))
    await asyncio.sleep(0)
    await bus._went_down()
    with pytest.raises(BusUnavailable, match="the connection was lost"):  # and not: was not confirmed in time
        await waiting


async def test_a_connection_that_nats_closed_for_good_is_opened_anew(bus: NatsBus, worker: Listener) -> None:
    room = Listener()
    await bus.subscribe(LOG, room)
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
        await bus.subscribe(LOG, Listener())


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
    await bus.subscribe(LOG, room)
    published = flood(bus)
    assert 7_000 < published < 9_000
    await room.hears(published)
    say(bus, "goes on")
    await room.hears(published + 1)


async def test_what_was_read_behind_the_error_that_ended_a_connection_is_not_part_of_the_next_one(bus: NatsBus) -> None:
    room = Listener()
    await bus.subscribe(LOG, room)
    await bus._wire._ps.parse(b"MSG salon.v1.broadcast 1 5000\r\nbeg")
    await bus._went_down()
    link = bus._link_number
    await bus._came_up()
    await eventually(lambda: bus.is_connected)
    say(bus, "goes on")
    (heard,) = await room.hears(1)
    assert isinstance(heard, StoredMessage)
    assert (heard.text, bus._link_number) == ("goes on", link)


async def fill(bus: NatsBus) -> int:
    """Publishes, each time as much as is written in one turn; how many were taken."""
    for published in range(12_000):
        try:
            say(bus, "x" * 4000)
        except BusUnavailable:
            return published
        if published % 25 == 0:
            await eventually(lambda: bus._wire._turn_bytes == 0)
    return 12_000


async def test_what_nats_does_not_read_counts_as_well_and_publishing_goes_on_when_it_does(
    server: NatsServer, bus: NatsBus
) -> None:
    room = Listener()
    await bus.subscribe(LOG, room)
    assert server._process is not None
    server._process.send_signal(signal.SIGSTOP)
    try:
        published = await fill(bus)
    finally:
        server._process.send_signal(signal.SIGCONT)
    assert UNSENT_LIMIT_BYTES < published * 4000 < 48_000_000
    await room.hears(published)
    say(bus, "goes on")
    await room.hears(published + 1)


async def test_messages_after_an_id_come_in_order_and_stay_within_the_limit(server: NatsServer, bus: NatsBus) -> None:
    room = Listener()
    await bus.subscribe(LOG, room)
    for number in range(10):
        say(bus, f"m{number}", token=number, nonce=f"n{number}")
        say(bus, "elsewhere", log=ELSEWHERE)
    stored = await room.hears(10)
    assert await bus.entries_after(LOG, MessageId(0), limit=100) == stored
    assert await bus.entries_after(LOG, stored[3].id, limit=3) == stored[4:7]
    assert await bus.entries_after(LOG, stored[-1].id, limit=3) == []
    assert await bus.entries_after(LogRef(ROOM, Life(99)), MessageId(0), limit=3) == []
    assert await bus.last_id(LOG) == stored[-1].id
    assert await bus.last_id(LogRef(ROOM, Life(99))) == 0
    assert await bus.entry(LOG, stored[4].id) == stored[4]
    assert await bus.entry(LOG, stored[0].id) == stored[0]
    assert await bus.entry(LOG, MessageId(256 * 10_000)) is None
    assert await bus.entry(LOG, MessageId(stored[0].id + 1)) is None  # of another partition
    assert await bus.entry(ELSEWHERE, stored[0].id) is None  # of another log


async def test_messages_before_an_id_come_in_order_and_stay_within_the_limit(bus: NatsBus) -> None:
    room = Listener()
    await bus.subscribe(LOG, room)
    for number in range(10):
        say(bus, f"m{number}", token=number)
        say(bus, "elsewhere", log=ELSEWHERE)
    stored = await room.hears(10)
    ids = [message.id for message in stored]

    async def read(before: MessageId | None, limit: int) -> list[MessageId]:
        return [message.id for message in await bus.messages_before(LOG, before, limit=limit)]

    assert await read(None, 100) == ids
    assert await read(None, 3) == ids[-3:]
    assert await read(stored[5].id, 3) == ids[2:5]
    assert await read(MessageId(stored[5].id + 1), 2) == ids[4:6]
    assert await read(stored[0].id, 3) == []
    assert await read(MessageId(2**53 - 1), 1) == ids[-1:]
    assert await bus.messages_before(LogRef(ROOM, Life(99)), None, limit=3) == []


async def test_what_answers_and_who_speaks_is_stored_with_a_message(bus: NatsBus) -> None:
    room = Listener()
    await bus.subscribe(LOG, room)
    admin = speaker()
    admin = replace(admin, identity=replace(admin.identity, rank=Rank.ADMIN))
    bus.publish_message(LOG, admin, "yes", token=1, nonce="", reply_to=MessageId(40), duplicate=lambda _: None)
    (message,) = await room.hears(1)
    assert (message.reply_to, message.role) == (40, "admin")
    assert await bus.entries_after(LOG, MessageId(0), limit=1) == [message]


async def test_a_message_from_before_roles_were_told_is_a_users_or_nobodys(bus: NatsBus, service: Client) -> None:
    room = Listener()
    await bus.subscribe(LOG, room)
    for user_id in (7, 0):
        old = events.ChatMessage(text="old", user_id=user_id, username="ana", edge=EDGE, token=1)
        await service.publish("salon.v1.log.0.1.2", events.LogEntry(message=old).SerializeToString())
    assert [(m.role, m.reply_to) for m in await room.hears(2)] == [("user", None), (None, None)]


async def test_the_epoch_is_the_same_on_every_edge_and_another_one_for_each_life(bus: NatsBus, other: NatsBus) -> None:
    assert bus.epoch(LOG) == other.epoch(LOG)
    assert bus.epoch(LOG) != bus.epoch(OTHER_LIFE)


async def test_deleted_messages_are_left_out_of_what_is_read(server: NatsServer, bus: NatsBus, service: Client) -> None:
    room = Listener()
    await bus.subscribe(LOG, room)
    for number in range(5):
        say(bus, f"m{number}")
    await room.hears(5)
    await service.publish("salon.v1.log.0.1.2", b"\xff")
    await service.jetstream().delete_msg(STREAM, 3)
    read = await bus.entries_after(LOG, entry_id(1, 0), limit=100)
    assert [(m.id // 256, m.prev_id // 256) for m in read] == [(2, 1), (4, 2), (5, 4), (6, 5)]
    assert isinstance(read[-1], UnknownEntry)  # what nobody of ours wrote keeps its place
    assert await bus.entry(LOG, entry_id(3, 0)) is None
    assert isinstance(await bus.entry(LOG, entry_id(6, 0)), UnknownEntry)


async def test_a_log_keeps_its_last_20000_entries(bus: NatsBus, service: Client) -> None:
    room = Listener()
    await bus.subscribe(LOG, room)
    for part in range(1, 21):
        for number in range(1000):
            say(bus, f"m{number}")
        await room.hears(part * 1000)
    for number in range(10):
        say(bus, f"m{number}")
    await room.hears(LOG_LIMIT + 10)
    read = await bus.entries_after(LOG, MessageId(0), limit=3)
    assert [m.id // 256 for m in read] == [11, 12, 13]
    # The message before the first one is not kept any more: a gap is not to look closed.
    read = await bus.entries_after(LOG, entry_id(5, 0), limit=1)
    assert [(m.id // 256, m.prev_id // 256) for m in read] == [(11, 10)]
    read = await bus.entries_after(LOG, entry_id(11, 0), limit=1)
    assert [(m.id // 256, m.prev_id // 256) for m in read] == [(12, 11)]


async def test_each_partition_has_a_stream_whose_ids_are_its_own(bus: NatsBus, other: NatsBus) -> None:
    logs = [LogRef(RoomId(10 + partition), LIFE, partition) for partition in (0, 1, 255)]
    here, there = Listener(), Listener()
    for log in logs:
        await bus.subscribe(log, here)
        await other.subscribe(log, there)
    for number in range(3):
        for log in logs:
            say(other, f"{log.partition}.{number}", log=log)
    heard = await here.hears(9)
    assert sorted(m.id for m in heard) == sorted(256 * sequence + p for sequence in (1, 2, 3) for p in (0, 1, 255))
    assert len(await there.hears(9)) == 9
    for log in logs:
        mine = [m for m in heard if m.id % 256 == log.partition]
        assert [m.text for m in mine] == [f"{log.partition}.{number}" for number in range(3)]
        assert [m.prev_id for m in mine] == [0, *(m.id for m in mine[:-1])]
        assert await bus.entries_after(log, mine[0].id, limit=9) == mine[1:]
        assert await bus.entry(log, mine[2].id) == mine[2]
        assert await bus.last_id(log) == mine[2].id
        assert [m.id for m in await bus.messages_before(log, mine[2].id, limit=9)] == [m.id for m in mine[:2]]
    assert len({bus.epoch(log) for log in logs}) == 3
    assert [bus.epoch(log) for log in logs] == [other.epoch(log) for log in logs]
    assert bus.highest_sequences == {0: 3, 1: 3, 255: 3}


async def test_an_entry_of_a_later_version_has_its_place_and_no_content(bus: NatsBus, service: Client) -> None:
    room = Listener()
    await bus.subscribe(LOG, room)
    say(bus, "before")
    await room.hears(1)
    await service.publish("salon.v1.log.0.1.2", bytes.fromhex("f2070401020304"))  # field 126
    await room.hears(2)
    say(bus, "after")
    before, unknown, after = await room.hears(3)
    assert isinstance(unknown, UnknownEntry)
    assert (unknown.prev_id, after.prev_id) == (before.id, unknown.id)
    assert await bus.entries_after(LOG, MessageId(0), limit=9) == [before, unknown, after]


async def test_what_takes_messages_back_is_read_from_beside_the_log_and_is_no_entry(
    bus: NatsBus, service: Client
) -> None:
    room = Listener()
    await bus.subscribe(LOG, room)
    assert await bus.erasures(LOG) == []
    deleted = events.MessageDeleted(message_id=256, user_id=5, username="ana", moderator_user_id=9, message_key="k")
    cleared = events.RoomCleared(up_to_id=768, moderator_user_id=9, message_keys=["a", "b"])
    for entry in (events.LogEntry(message_deleted=deleted), events.LogEntry(room_cleared=cleared)):
        await service.jetstream().publish("salon.v1.log.0.1.2.erasures", entry.SerializeToString())
    found = await bus.erasures(LOG)
    assert [type(one).__name__ for one in found] == ["MessageDeleted", "RoomCleared"]
    assert [one.message_keys for one in found] == [("k",), ("a", "b")]
    assert await bus.last_id(LOG) == 0
    say(bus, "the only one")
    assert [m.text for m in await room.hears(1)] == ["the only one"]
    assert await bus.erasures(ELSEWHERE) == []


async def test_the_stream_has_the_settings_of_the_contract(server: NatsServer, bus: NatsBus, service: Client) -> None:
    reply = await service.request(f"$JS.API.STREAM.INFO.{STREAM}")
    config = json.loads(reply.data)["config"]
    assert config["subjects"] == ["salon.v1.log.0.>"]
    assert config["republish"] == {
        "src": "salon.v1.log.0.*.*",
        "dest": "salon.v1.live.{{wildcard(1)}}.{{wildcard(2)}}.log",
    }
    assert (config["storage"], config["max_msgs_per_subject"], config["allow_direct"]) == ("file", 20_000, True)
    assert (config["max_age"], config["duplicate_window"]) == (86_400 * 10**9, 120 * 10**9)


async def test_an_existing_stream_is_corrected_and_keeps_what_the_operator_chose(
    server: NatsServer, service: Client
) -> None:
    await service.jetstream().add_stream(
        name=STREAM, subjects=["salon.v1.log.0.*.*"], max_msgs_per_subject=7, max_bytes=10_000_000, description="ours"
    )
    buses = [open_bus(server) for _ in range(3)]
    for bus in buses:
        bus.listen(Listener())
    await asyncio.gather(*(bus.start() for bus in buses))
    assert all(bus.is_connected for bus in buses)
    config = (await service.jetstream().stream_info(STREAM)).config
    assert (config.subjects, config.max_msgs_per_subject) == (["salon.v1.log.0.>"], 20_000)
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
