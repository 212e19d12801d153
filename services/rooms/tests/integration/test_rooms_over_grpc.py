"""The whole service in this process: its gRPC face, a real database file and a real NATS server."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import nats
import pytest
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from nats.aio.client import Client
from nats.js.api import StreamConfig

from chassis.database import Database
from chassis.errors import DatabaseUnavailable
from chassis.grpc_server import GrpcServer
from chassis.nats_connection import NatsSettings
from rooms.adapters.store.blocks import TortoiseBlocks
from rooms.adapters.store.catalog import TortoiseCatalog
from rooms.adapters.store.leases import TortoiseLeases
from rooms.adapters.store.log_positions import TortoiseLogPositions
from rooms.api.grpc import convert
from rooms.bootstrap import serving
from rooms.config import Config
from rooms.domain.log_position import MARGIN
from rooms.domain.people import ConnectionId
from rooms.domain.presence import Changes
from rooms.domain.rooms import Room
from rooms.ports import Ports
from rooms.usecases import leases, membership
from salon.events.v1 import events_pb2
from salon.rooms.v1 import rooms_pb2 as pb, rooms_pb2_grpc

if TYPE_CHECKING:
    from real_nats import NatsServer

pytestmark = pytest.mark.integration
EDGE = "e" * 32
OTHER_EDGE = "f" * 32
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@dataclass
class World:
    """The service and those around it."""

    channel: grpc.aio.Channel
    rooms: "rooms_pb2_grpc.RoomsServiceAsyncStub"
    nats_server: "NatsServer"
    bus: Client

    async def join(
        self, connection: int, slug: str, user_id: int, edge: str = EDGE, *, log_version: int = 1
    ) -> pb.JoinOutcome:
        item = pb.JoinItem(
            connection=connection,
            ref=pb.RoomRef(slug=slug),
            person=pb.Person(user_id=user_id, username="ana", rank=pb.RANK_USER),
        )
        request = pb.JoinRequest(edge=edge, items=[item], log_version=log_version)
        return (await self.rooms.Join(request)).outcomes[0]

    async def graphql(self, query: str, viewer: pb.Person | None = None) -> str:
        request = pb.ExecuteGraphQLRequest(query=query, viewer=viewer, allow_mutation=True)
        return (await self.rooms.ExecuteGraphQL(request)).body.decode()

    async def health(self, name: str) -> int:
        stub = health_pb2_grpc.HealthStub(self.channel)  # type: ignore[no-untyped-call] # generated
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=name))
        return int(answer.status)

    async def until_health(self, name: str, status: int) -> None:
        async with asyncio.timeout(60):
            while await self.health(name) != status:  # noqa: ASYNC110 - health is polled by its nature
                await asyncio.sleep(0.05)


@pytest.fixture
def config(tmp_path: Path, nats_server: "NatsServer") -> Config:
    return Config(
        port=0, database_url=f"sqlite://{tmp_path}/rooms.sqlite3", nats=NatsSettings(nats_server.url), lease_seconds=1,
        moderation_addresses=("127.0.0.1:1",),
    )  # fmt: skip


@pytest.fixture
async def world(config: Config, nats_server: "NatsServer") -> AsyncIterator[World]:
    bus = await nats.connect(nats_server.url, allow_reconnect=False)
    async with serving(config) as port, grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        found = World(channel, rooms_pb2_grpc.RoomsServiceStub(channel), nats_server, bus)
        await found.until_health("nats", health_pb2.HealthCheckResponse.SERVING)
        yield found
    if not bus.is_closed:
        await bus.close()


async def next_presence(heard: Any, *, after: int) -> events_pb2.Presence:
    """The next event of a later version: that of a join may come after its answer, and after a subscription."""
    while True:
        event = events_pb2.Presence.FromString((await heard.next_msg(3)).data)
        if event.version > after:
            return event


async def test_presence_is_published_for_joins_and_leaves_in_version_order(world: World) -> None:
    first = await world.join(1, "a", 7)
    heard = await world.bus.subscribe(f"salon.v1.live.{first.room_id}.{first.life}.presence")
    await world.bus.flush()
    await world.join(2, "a", 8)
    await world.rooms.Leave(pb.LeaveRequest(edge=EDGE, connections=[2]))
    events = [await next_presence(heard, after=1), await next_presence(heard, after=1)]
    assert [(e.version, e.connection_count) for e in events] == [(2, 2), (3, 1)]
    assert [[p.key for p in e.joined] for e in events] == [["u:8"], []]
    assert [[p.key for p in e.left] for e in events] == [[], ["u:8"]]


async def test_connections_that_the_server_closed_are_not_counted_and_are_told_as_left_only_if_they_stay_away(
    world: World,
) -> None:
    first = await world.join(1, "a", 7)
    heard = await world.bus.subscribe(f"salon.v1.live.{first.room_id}.{first.life}.presence")
    await world.join(2, "a", 8)
    await world.rooms.Leave(pb.LeaveRequest(edge=EDGE, connections=[2, 9], away=[2, 9]))
    came, went = await next_presence(heard, after=1), await next_presence(heard, after=2)
    assert ([p.user_id for p in came.joined], len(went.left), went.connection_count) == ([8], 0, 1)
    await world.join(3, "a", 8, OTHER_EDGE)
    back = await next_presence(heard, after=3)
    assert (len(back.joined), back.joined_count, back.connection_count) == (0, 0, 2)


async def test_an_edge_that_dies_without_a_word_is_swept_with_its_user_left(world: World) -> None:
    first = await world.join(1, "a", 7)
    heard = await world.bus.subscribe(f"salon.v1.live.{first.room_id}.{first.life}.presence")
    await world.join(1, "a", 8, OTHER_EDGE)
    joined = await next_presence(heard, after=1)
    assert [p.user_id for p in joined.joined] == [8]
    async with asyncio.timeout(60):
        while (await world.rooms.Heartbeat(pb.HeartbeatRequest(edge=EDGE))).registered:
            try:
                left = events_pb2.Presence.FromString((await heard.next_msg(0.3)).data)
                break
            except nats.errors.TimeoutError:
                continue
    assert [p.user_id for p in left.left] == [8]


async def test_the_messages_of_edges_of_before_are_purged_with_their_life_and_no_others(world: World) -> None:
    stream = world.bus.jetstream()
    await stream.add_stream(StreamConfig(name="SALON_MESSAGES", subjects=["salon.v1.room.>"]))
    first = await world.join(1, "a", 7, log_version=0)
    for life in (first.life, first.life + 1):
        await stream.publish(f"salon.v1.room.{first.room_id}.{life}.message", b"x")
    await world.rooms.Leave(pb.LeaveRequest(edge=EDGE, connections=[1]))
    async with asyncio.timeout(60):
        while (await stream.stream_info("SALON_MESSAGES")).state.messages > 1:  # noqa: ASYNC110 - a purge tells nobody
            await asyncio.sleep(0.02)
    await stream.get_last_msg("SALON_MESSAGES", f"salon.v1.room.{first.room_id}.{first.life + 1}.message")


async def test_a_log_is_there_for_who_comes_back_to_its_life_and_is_purged_after_that_also_after_a_restart(
    config: Config, nats_server: "NatsServer", tmp_path: Path
) -> None:
    bus = await nats.connect(nats_server.url, allow_reconnect=False)
    stream = bus.jetstream()
    await stream.add_stream(StreamConfig(name="SALON_LOG_0", subjects=["salon.v1.log.0.>"]))

    async def stored() -> int:
        return (await stream.stream_info("SALON_LOG_0")).state.messages

    async with serving(config) as port, grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        rooms = rooms_pb2_grpc.RoomsServiceStub(channel)

        async def join(connection: int, revive_life: int = 0) -> pb.JoinOutcome:
            person = pb.Person(user_id=7, username="ana", rank=pb.RANK_USER)
            item = pb.JoinItem(connection=connection, ref=pb.RoomRef(slug="a"), person=person, revive_life=revive_life)
            return (await rooms.Join(pb.JoinRequest(edge=EDGE, items=[item], log_version=1))).outcomes[0]

        first = await join(1)
        subjects = [f"salon.v1.log.0.{first.room_id}.{life}" for life in (first.life, first.life + 1)]
        for subject in subjects:
            await stream.publish(subject, b"x")
            await stream.publish(f"{subject}.erasures", b"x")
            await stream.publish(f"{subject}.barred.1.2", b"x")
        await rooms.Leave(pb.LeaveRequest(edge=EDGE, connections=[1]))
        assert (await join(2, first.life)).life == first.life
        assert await stored() == 6
        await rooms.Leave(pb.LeaveRequest(edge=EDGE, connections=[2]))
    with closing(sqlite3.connect(tmp_path / "rooms.sqlite3")) as database, database:
        (dormant,) = database.execute("UPDATE dormant_log SET purge_after_ms = 1 RETURNING life").fetchall()
    assert dormant == (first.life,)
    async with serving(config), asyncio.timeout(60):
        while await stored() > 3:  # noqa: ASYNC110 - a purge tells nobody
            await asyncio.sleep(0.02)
    for subject in (subjects[1], f"{subjects[1]}.erasures", f"{subjects[1]}.barred.1.2"):
        await stream.get_last_msg("SALON_LOG_0", subject)
    await bus.close()


async def test_an_edge_of_before_and_one_of_now_do_not_share_a_life(config: Config) -> None:
    async with (
        serving(replace(config, lease_seconds=60)) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        rooms = rooms_pb2_grpc.RoomsServiceStub(channel)
        person = pb.Person(user_id=7, username="ana", rank=pb.RANK_USER)

        async def join(connection: int, edge: str, *, log_version: int) -> pb.JoinOutcome:
            item = pb.JoinItem(connection=connection, ref=pb.RoomRef(slug="a"), person=person)
            request = pb.JoinRequest(edge=edge, items=[item], log_version=log_version)
            return (await rooms.Join(request)).outcomes[0]

        async def sync(edge: str, life: int, room_id: int, partition: int | None) -> list[int]:
            held = pb.HeldConnection(
                connection=1, room_id=room_id, life=life, slug="a", person=person, partition=partition
            )
            return list((await rooms.Sync(pb.SyncRequest(edge=edge, held=[held], first=True, last=True))).lost)

        before = await join(1, EDGE, log_version=0)
        assert (before.result, before.HasField("partition")) == (pb.JoinOutcome.RESULT_JOINED, False)
        now = await join(1, OTHER_EDGE, log_version=1)
        assert (now.room_id, now.life > before.life, now.HasField("partition")) == (before.room_id, True, True)
        assert (await join(2, EDGE, log_version=0)).result == pb.JoinOutcome.RESULT_UNAVAILABLE
        async with asyncio.timeout(60):
            while (await rooms.Heartbeat(pb.HeartbeatRequest(edge=EDGE))).connection_count:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.02)
        assert await sync(EDGE, before.life, before.room_id, None) == [1]
        assert await sync(OTHER_EDGE, now.life, now.room_id, now.partition) == []
        over = await rooms.ListParticipants(pb.ListParticipantsRequest(life=before.life))
        assert over == pb.ListParticipantsResponse()
        assert list((await rooms.GetStats(pb.GetStatsRequest())).rooms.values()) == [1]


async def test_several_lives_are_read_in_one_answer_and_the_last_ones_left_out_where_people_are_too_many(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = [
        pb.JoinItem(
            connection=number,
            ref=pb.RoomRef(slug=slug),
            person=pb.Person(user_id=number, username="ana", rank=pb.RANK_USER),
        )
        for number, slug in enumerate("aab", start=1)
    ]
    joined = (await world.rooms.Join(pb.JoinRequest(edge=EDGE, items=items, log_version=1))).outcomes
    lives = [joined[0].life, joined[2].life]
    asked = pb.ReadLivesRequest(lives=[*lives, lives[0], 10**9])
    found = (await world.rooms.ReadLives(asked)).lives
    assert [[shown.key for shown in life.participants] for life in found] == [["u:1", "u:2"], ["u:3"], []]
    assert found[0] == await world.rooms.ListParticipants(pb.ListParticipantsRequest(life=lives[0]))
    assert not (await world.rooms.ReadLives(pb.ReadLivesRequest())).lives
    monkeypatch.setattr(convert, "_PEOPLE_AT_ONCE", 2)
    assert (await world.rooms.ReadLives(asked)).lives == found[:1]
    monkeypatch.setattr(convert, "_PEOPLE_AT_ONCE", 1)
    assert (await world.rooms.ReadLives(asked)).lives == found[:1]
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await world.rooms.ReadLives(pb.ReadLivesRequest(lives=range(1, 1002)))
    assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_an_anonymous_participant_who_comes_back_keeps_the_key_of_before(world: World) -> None:
    async def join(connection: int, person: pb.Person, key: str = "") -> pb.JoinOutcome:
        item = pb.JoinItem(connection=connection, ref=pb.RoomRef(slug="a"), person=person, participant_key=key)
        return (await world.rooms.Join(pb.JoinRequest(edge=EDGE, items=[item], log_version=1))).outcomes[0]

    key = f"c:{OTHER_EDGE}:12"
    first = await join(1, pb.Person(username="Anonymous_1"), key)
    await join(2, pb.Person(username="Anonymous_1"))
    await join(3, pb.Person(user_id=7, username="ana", rank=pb.RANK_USER), key)
    there = await world.rooms.ListParticipants(pb.ListParticipantsRequest(life=first.life))
    assert [shown.key for shown in there.participants] == [key, f"c:{EDGE}:2", "u:7"]
    for malformed in ("u:7", "c:x:1", f"c:{EDGE}:0", f"c:{EDGE}:1\n", f"c:{EDGE}:{10**19}"):
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await join(4, pb.Person(username="Anonymous_1"), malformed)
        assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_key_of_before_holds_in_its_own_life_alone_and_with_it_the_name(world: World) -> None:
    async def join(connection: int, life: int, name: str = "Anonymous_first") -> pb.JoinOutcome:
        item = pb.JoinItem(
            connection=connection,
            ref=pb.RoomRef(slug="a"),
            person=pb.Person(username=f"Anonymous_{connection}"),
            participant_key=f"c:{OTHER_EDGE}:12",
            participant_life=life,
            participant_username=name,
        )
        return (await world.rooms.Join(pb.JoinRequest(edge=EDGE, items=[item], log_version=1))).outcomes[0]

    first = await join(1, 999)
    await join(2, first.life)
    await join(3, first.life + 1)
    there = await world.rooms.ListParticipants(pb.ListParticipantsRequest(life=first.life))
    assert [(shown.key, shown.username) for shown in there.participants] == [
        (f"c:{EDGE}:1", "Anonymous_1"),
        (f"c:{OTHER_EDGE}:12", "Anonymous_first"),
        (f"c:{EDGE}:3", "Anonymous_3"),
    ]
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await join(4, -1)
    assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_partition_that_cannot_be_is_refused(world: World) -> None:
    person = pb.Person(user_id=7, username="ana", rank=pb.RANK_USER)
    held = pb.HeldConnection(connection=1, room_id=1, life=1, slug="a", person=person, partition=256)
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await world.rooms.Sync(pb.SyncRequest(edge=EDGE, held=[held], first=True, last=True))
    assert refusal.value.details() == "partition: from 0 to 255"


async def test_deletechatroom_tells_every_edge_and_forgets_the_members(world: World) -> None:
    first = await world.join(1, "a", 7)
    heard = await world.bus.subscribe("salon.v1.rooms.deleted")
    await world.bus.flush()
    admin = pb.Person(user_id=1, username="root", rank=pb.RANK_ADMIN)
    answer = await world.graphql(f"mutation {{ deleteChatRoom(id: {first.room_id}) }}", admin)
    assert answer == '{"data":{"deleteChatRoom":true}}'
    event = events_pb2.RoomDeleted.FromString((await heard.next_msg(3)).data)
    assert (event.room_id, event.life, event.slug) == (first.room_id, first.life, "a")
    over = await world.rooms.ListParticipants(pb.ListParticipantsRequest(life=first.life))
    assert over == pb.ListParticipantsResponse(deleted=True)
    assert (await world.rooms.GetStats(pb.GetStatsRequest())).total_connections == 0


async def test_events_carry_the_trace_of_the_call_that_made_them_and_none_without_one(world: World) -> None:
    heard = await world.bus.subscribe("salon.v1.>")
    await world.bus.flush()
    first = await world.join(1, "a", 7)
    admin = pb.Person(user_id=1, username="root", rank=pb.RANK_ADMIN)
    delete = pb.ExecuteGraphQLRequest(
        query=f"mutation {{ deleteChatRoom(id: {first.room_id}) }}", viewer=admin, allow_mutation=True
    )
    await world.rooms.ExecuteGraphQL(delete, metadata=(("traceparent", TRACE),))
    item = pb.JoinItem(connection=2, ref=pb.RoomRef(slug="b"), person=pb.Person(username="x"))
    await world.rooms.Join(pb.JoinRequest(edge=EDGE, items=[item]), metadata=(("traceparent", TRACE),))
    untraced, deleted, joined = [await heard.next_msg(3) for _ in range(3)]
    assert [message.subject.rpartition(".")[2] for message in (untraced, deleted, joined)] == [
        "presence", "deleted", "presence",
    ]  # fmt: skip
    assert untraced.headers is None
    spans = set()
    for message in (deleted, joined):
        assert message.headers is not None
        assert list(message.headers) == ["traceparent"]
        assert message.headers["traceparent"].startswith(TRACE[:36])
        spans.add(message.headers["traceparent"])
    assert len({TRACE, *spans}) == 3


async def test_joins_go_on_while_nats_is_away_and_health_says_so(world: World) -> None:
    world.nats_server.stop()
    await world.until_health("nats", health_pb2.HealthCheckResponse.NOT_SERVING)
    assert (await world.join(1, "a", 7)).result == pb.JoinOutcome.RESULT_JOINED
    assert await world.health("") == health_pb2.HealthCheckResponse.SERVING
    world.nats_server.start()
    await world.until_health("nats", health_pb2.HealthCheckResponse.SERVING)


async def test_an_unknown_video_is_not_found_and_a_known_one_has_one_room(world: World) -> None:
    item = pb.JoinItem(connection=1, ref=pb.RoomRef(video_id=42), person=pb.Person(username="Anonymous_1"))
    request = pb.JoinRequest(edge=EDGE, items=[item], log_version=1)
    assert (await world.rooms.Join(request)).outcomes[0].result == pb.JoinOutcome.RESULT_NOT_FOUND
    admin = pb.Person(user_id=1, username="root", rank=pb.RANK_ADMIN)
    await world.graphql('mutation { registerVideo(id: 42, title: "A film") { id } }', admin)
    outcome = (await world.rooms.Join(request)).outcomes[0]
    assert (outcome.result, outcome.slug) == (pb.JoinOutcome.RESULT_JOINED, "video-42")
    assert (await world.join(2, "video-42", 7)).life == outcome.life


async def test_resolve_names_slugs_and_creates_nothing(world: World) -> None:
    first = await world.join(1, "a", 7)
    refs = [pb.RoomRef(room_id=first.room_id), pb.RoomRef(room_id=5), pb.RoomRef(slug="b"), pb.RoomRef(video_id=3)]
    answer = await world.rooms.Resolve(pb.ResolveRequest(refs=refs))
    assert list(answer.slugs) == ["a", "5", "b", "video-3"]
    assert len((await world.rooms.GetStats(pb.GetStatsRequest())).rooms) == 1


async def test_find_connected_tells_the_highest_rank(world: World) -> None:
    await world.join(1, "a", 7)
    found = await world.rooms.FindConnected(pb.FindConnectedRequest(user_id=7, slug="a"))
    assert found.rank == pb.RANK_USER
    nobody = await world.rooms.FindConnected(pb.FindConnectedRequest(user_id=8))
    assert nobody.rank == pb.RANK_UNSPECIFIED


async def test_the_owner_of_a_room_is_told_with_joins_and_found_by_slug(world: World) -> None:
    ana = pb.Person(user_id=7, username="ana", rank=pb.RANK_USER)
    await world.graphql('mutation { createChatRoom(name: "a", slug: "a") { id } }', ana)
    outcome = await world.join(1, "a", 8)
    assert (outcome.owner_user_id, outcome.owner_rank) == (7, pb.RANK_OWNER)
    assert outcome.owned_since_ms > 0
    away = await world.rooms.FindConnected(pb.FindConnectedRequest(user_id=7, slug="a"))
    assert away == pb.FindConnectedResponse(owner=True)
    await world.join(2, "a", 7)
    here = await world.rooms.FindConnected(pb.FindConnectedRequest(user_id=7, slug="a"))
    assert here == pb.FindConnectedResponse(rank=pb.RANK_MODERATOR, owner=True)
    anywhere = await world.rooms.FindConnected(pb.FindConnectedRequest(user_id=7))
    assert anywhere == pb.FindConnectedResponse(rank=pb.RANK_USER)
    nobodys = await world.join(3, "b", 7)
    assert (nobodys.owner_user_id, nobodys.owned_since_ms) == (0, 0)


async def test_a_changed_rank_is_found_in_place_of_the_one_of_the_join(world: World) -> None:
    await world.join(1, "a", 7)
    changes = [pb.RankChange(connection=1, rank=rank) for rank in (pb.RANK_MODERATOR, pb.RANK_ADMIN)]
    await world.rooms.ChangeRanks(pb.ChangeRanksRequest(edge=EDGE, changes=changes))
    assert (await world.rooms.FindConnected(pb.FindConnectedRequest(user_id=7, slug="a"))).rank == pb.RANK_ADMIN


async def test_what_an_edge_gave_up_changes_no_rank_after_what_it_sent_later(world: World) -> None:
    membership = await world.join(1, "a", 7)
    change = [pb.RankChange(connection=1, rank=pb.RANK_ADMIN)]
    await world.rooms.ChangeRanks(pb.ChangeRanksRequest(edge=EDGE, changes=change, ordinal=2))
    held = pb.HeldConnection(
        connection=1,
        room_id=membership.room_id,
        life=membership.life,
        slug="a",
        person=pb.Person(user_id=7, username="user7", rank=pb.RANK_USER),
        partition=membership.partition,
    )
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await world.rooms.Sync(pb.SyncRequest(edge=EDGE, held=[held], first=True, last=True, ordinal=1))
    assert refusal.value.code() is grpc.StatusCode.UNAVAILABLE
    assert (await world.rooms.FindConnected(pb.FindConnectedRequest(user_id=7, slug="a"))).rank == pb.RANK_ADMIN
    await world.rooms.Sync(pb.SyncRequest(edge=EDGE, held=[held], first=True, last=True, ordinal=4))
    await world.rooms.ChangeRanks(pb.ChangeRanksRequest(edge=EDGE, changes=change, ordinal=3))
    assert (await world.rooms.FindConnected(pb.FindConnectedRequest(user_id=7, slug="a"))).rank == pb.RANK_USER


@pytest.mark.parametrize(
    "bad",
    [
        pb.ChangeRanksRequest(edge="x"),
        pb.ChangeRanksRequest(edge=EDGE, ordinal=-1),
        pb.ChangeRanksRequest(edge=EDGE, ordinal=2**53),
        pb.ChangeRanksRequest(edge=EDGE, changes=[pb.RankChange(connection=0, rank=pb.RANK_USER)]),
        pb.ChangeRanksRequest(edge=EDGE, changes=[pb.RankChange(connection=1, rank=pb.RANK_ANONYMOUS)]),
        pb.ChangeRanksRequest(edge=EDGE, changes=[pb.RankChange(connection=1)]),
        pb.ChangeRanksRequest(edge=EDGE, changes=[pb.RankChange(connection=1, rank=pb.RANK_USER)] * 1001),
    ],
)
async def test_a_change_of_rank_that_cannot_be_is_refused(world: World, bad: pb.ChangeRanksRequest) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await world.rooms.ChangeRanks(bad)
    assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("edge", ["", "EEEE", "e" * 31])
async def test_a_malformed_request_is_refused_with_the_name_of_the_field(world: World, edge: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await world.rooms.Heartbeat(pb.HeartbeatRequest(edge=edge))
    assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert refusal.value.details() == "edge: 32 hexadecimal digits"


async def test_an_exceptions_text_never_reaches_the_caller(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise ValueError("the secret of the house")

    monkeypatch.setattr("rooms.api.grpc.servicer.queries.connected_rank", fail)
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await world.rooms.FindConnected(pb.FindConnectedRequest(user_id=7))
    assert (refusal.value.code(), refusal.value.details()) == (grpc.StatusCode.INTERNAL, "internal error")


async def test_a_name_with_the_character_0_does_not_become_the_name_without_it(world: World) -> None:
    person = pb.Person(username="Anonymous\0_1")
    item = pb.JoinItem(connection=1, ref=pb.RoomRef(slug="a"), person=person)
    joined = (await world.rooms.Join(pb.JoinRequest(edge=EDGE, items=[item]))).outcomes[0]
    there = await world.rooms.ListParticipants(pb.ListParticipantsRequest(life=joined.life))
    assert [shown.username for shown in there.participants] == ["Anonymous\N{REPLACEMENT CHARACTER}_1"]
    ranks = [
        (await world.rooms.FindConnected(pb.FindConnectedRequest(username=name, slug="a"))).rank
        for name in ("Anonymous\0_1", "Anonymous_1")
    ]
    assert ranks == [pb.RANK_ANONYMOUS, pb.RANK_UNSPECIFIED]


async def test_a_sync_that_its_edge_gave_up_is_refused_as_such_and_not_as_a_database_that_is_away(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark_stale = TortoiseLeases.mark_stale
    stands, may_go_on = asyncio.Event(), asyncio.Event()

    async def stopping(*args: Any, **kwargs: Any) -> ConnectionId | None:
        if not stands.is_set():
            stands.set()
            await may_go_on.wait()
        return await mark_stale(*args, **kwargs)

    monkeypatch.setattr(TortoiseLeases, "mark_stale", stopping)
    given_up = world.rooms.Sync(pb.SyncRequest(edge=EDGE, first=True, last=True))
    await stands.wait()
    await world.rooms.Sync(pb.SyncRequest(edge=EDGE, first=True))
    may_go_on.set()
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await given_up
    said = (refusal.value.code(), refusal.value.details())
    assert said == (grpc.StatusCode.UNAVAILABLE, "the edge has gone on without this sync")


async def test_sanctions_are_unavailable_while_moderation_is_away(world: World) -> None:
    moderator = pb.Person(user_id=3, username="mo", rank=pb.RANK_MODERATOR)
    assert '"code":"UNAVAILABLE"' in await world.graphql("{ sanctions { id } }", moderator)


async def test_the_service_starts_while_nats_is_away(config: Config) -> None:
    async with (
        serving(replace(config, nats=NatsSettings("nats://127.0.0.1:1"))) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        stub = rooms_pb2_grpc.RoomsServiceStub(channel)
        assert (await stub.GetStats(pb.GetStatsRequest())).total_connections == 0


async def test_an_execution_that_nobody_waits_for_is_finished_before_the_database_is_closed(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, stopping, order = asyncio.Event(), asyncio.Event(), list[str]()
    stop, close = GrpcServer.stop, Database.close

    async def stop_server(server: GrpcServer, grace_s: float) -> None:
        await stop(server, grace_s)
        stopping.set()

    async def close_database(database: Database) -> None:
        order.append("closed")
        await close(database)

    async def list_rooms(*_: object, **__: object) -> list[Room]:
        begun.set()
        await stopping.wait()
        order.append("finished")
        return []

    monkeypatch.setattr(GrpcServer, "stop", stop_server)
    monkeypatch.setattr(Database, "close", close_database)
    monkeypatch.setattr(TortoiseCatalog, "list_rooms", list_rooms)
    async with serving(config) as port, grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        request = pb.ExecuteGraphQLRequest(query="{ chatRooms { id } }")
        call = rooms_pb2_grpc.RoomsServiceStub(channel).ExecuteGraphQL(request)
        await begun.wait()
        call.cancel()
    assert order == ["finished", "closed"]


async def test_work_that_never_ends_does_not_keep_the_service_from_ending(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = asyncio.Semaphore(0)

    async def hang(*_: object, **__: object) -> None:
        begun.release()
        await asyncio.Event().wait()

    monkeypatch.setattr("rooms.bootstrap._FINISH_S", 0.1)
    monkeypatch.setattr(TortoiseCatalog, "list_rooms", hang)
    monkeypatch.setattr("rooms.api.grpc.servicer.queries.connected_rank", hang)
    with structlog.testing.capture_logs() as lines:
        async with (
            asyncio.timeout(60),
            serving(config) as port,
            grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
        ):
            rooms = rooms_pb2_grpc.RoomsServiceStub(channel)
            query = pb.ExecuteGraphQLRequest(query="query myRooms { chatRooms { id } }", operation_name="myRooms")
            call, execution = rooms.FindConnected(pb.FindConnectedRequest()), rooms.ExecuteGraphQL(query)
            for _ in (call, execution):
                await begun.acquire()
            call.cancel()
            execution.cancel()
    (named,) = [line["calls"] for line in lines if line["event"] == "calls_not_ended"]
    assert len(named) == 2
    assert "myRooms" in named


async def test_calls_beyond_what_the_database_keeps_waiting_are_refused_at_once(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, proceed = asyncio.Semaphore(0), asyncio.Event()

    async def wait(*_: object) -> None:
        begun.release()
        await proceed.wait()

    monkeypatch.setattr("rooms.api.grpc.servicer.CALLS_AT_ONCE", 2)
    monkeypatch.setattr("rooms.api.grpc.servicer.queries.connected_rank", wait)
    async with serving(config) as port, grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        rooms = rooms_pb2_grpc.RoomsServiceStub(channel)
        for _ in range(2):
            call = rooms.FindConnected(pb.FindConnectedRequest(user_id=7))
            await begun.acquire()
            call.cancel()  # the work goes on, and counts
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await rooms.GetStats(pb.GetStatsRequest())
        assert refusal.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        proceed.set()
        assert (await rooms.GetStats(pb.GetStatsRequest())).total_connections == 0


async def test_no_more_calls_are_open_at_once_than_the_server_allows(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chassis.grpc_server.CALLS_AT_ONCE", 1)
    async with serving(config) as port, grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())  # type: ignore[no-untyped-call] # generated
        await watch.read()
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await rooms_pb2_grpc.RoomsServiceStub(channel).GetStats(pb.GetStatsRequest())
        assert refusal.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        watch.cancel()


async def test_a_sweep_that_is_under_way_at_the_end_finds_the_database_open(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, swept = asyncio.Event(), asyncio.Event()
    sweep = leases.sweep

    async def slow_sweep(ports: Ports) -> Changes:
        begun.set()
        await asyncio.sleep(0.2)
        changes = await sweep(ports)
        swept.set()
        return changes

    monkeypatch.setattr(leases, "sweep", slow_sweep)
    async with serving(config):
        await begun.wait()
    assert swept.is_set()


@pytest.mark.parametrize(("sent", "held"), [(TRACE, TRACE), ("00-abc-def-01", None), (f"{TRACE}-{'x' * 1000}", None)])
async def test_the_callers_trace_is_in_what_is_logged_about_its_call_and_nothing_else_is(
    world: World, monkeypatch: pytest.MonkeyPatch, sent: str, held: str | None
) -> None:
    seen: list[str | None] = []

    async def fail(*_: object, **__: object) -> None:
        seen.append(structlog.contextvars.get_contextvars().get("trace"))  # what every line of the log carries
        raise ValueError("no")

    monkeypatch.setattr(membership, "join", fail)
    item = pb.JoinItem(connection=1, ref=pb.RoomRef(slug="a"), person=pb.Person(username="x"))
    with pytest.raises(grpc.aio.AioRpcError):
        await world.rooms.Join(pb.JoinRequest(edge=EDGE, items=[item]), metadata=(("traceparent", sent),))
    assert seen == [held]
    assert "trace" not in structlog.contextvars.get_contextvars()


async def test_no_edge_is_swept_when_the_database_was_away_for_longer_than_a_lease_and_comes_back(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_away = True
    is_alive, sweep = Database.is_alive, leases.sweep
    away_at: list[float] = []
    swept_at: list[float] = []

    async def answers(database: Database) -> bool:
        if is_away:
            away_at.append(time.monotonic())
        return not is_away and await is_alive(database)

    async def noted_sweep(ports: Ports) -> Changes:
        swept_at.append(time.monotonic())
        return await sweep(ports)

    monkeypatch.setattr(Database, "is_alive", answers)
    monkeypatch.setattr(leases, "sweep", noted_sweep)
    lease_s = 2  # eight times as long as from one look at the database to the next
    async with serving(replace(config, lease_seconds=lease_s)), asyncio.timeout(60):
        await asyncio.sleep(1.1 * lease_s)
        assert swept_at == []
        is_away = False
        while not swept_at:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.05)
    assert swept_at[0] - away_at[-1] >= lease_s


async def test_what_dead_edges_held_at_a_restart_ends_a_lease_after_it(config: Config) -> None:
    item = pb.JoinItem(connection=1, ref=pb.RoomRef(slug="a"), person=pb.Person(username="x"))
    async with serving(config) as port, grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        await rooms_pb2_grpc.RoomsServiceStub(channel).Join(pb.JoinRequest(edge=EDGE, items=[item]))
    async with serving(config) as port, grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        rooms = rooms_pb2_grpc.RoomsServiceStub(channel)
        assert (await rooms.GetStats(pb.GetStatsRequest())).total_connections == 1
        async with asyncio.timeout(60):
            while (await rooms.GetStats(pb.GetStatsRequest())).total_connections:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.05)


def position(sequence: int, partition: int = 0) -> pb.LogPosition:
    return pb.LogPosition(partition=partition, highest_sequence=sequence)


async def test_a_heartbeat_tells_how_far_the_log_has_come_and_an_edge_is_told_when_it_asks(world: World) -> None:
    for sequence in (41, 40):
        await world.rooms.Heartbeat(pb.HeartbeatRequest(edge=EDGE, positions=[position(sequence)]))
    await world.rooms.Heartbeat(pb.HeartbeatRequest(edge=EDGE))  # an edge of before
    answer = await world.rooms.ResumeLog(pb.ResumeLogRequest(seen=position(7)))
    assert answer == pb.ResumeLogResponse(highest_sequence=41)
    decided = await world.rooms.ResumeLog(pb.ResumeLogRequest(seen=position(7), behind=41))
    assert decided == pb.ResumeLogResponse(highest_sequence=41 + MARGIN, purge_to=41 + MARGIN + 1, resumed=41 + MARGIN)


async def test_a_lease_is_renewed_also_where_the_position_of_the_log_cannot_be_stored(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def is_away(*_: object) -> None:
        raise DatabaseUnavailable

    await world.rooms.Sync(pb.SyncRequest(edge=EDGE, first=True, last=True))
    monkeypatch.setattr(TortoiseLogPositions, "remember", is_away)
    assert (await world.rooms.Heartbeat(pb.HeartbeatRequest(edge=EDGE, positions=[position(1)]))).registered


@pytest.mark.parametrize("bad", [position(1, partition=256), position(-1), position(2**53)])
async def test_a_position_that_cannot_be_is_refused(world: World, bad: pb.LogPosition) -> None:
    for call in (
        world.rooms.Heartbeat(pb.HeartbeatRequest(edge=EDGE, positions=[bad])),
        world.rooms.ResumeLog(pb.ResumeLogRequest(seen=bad)),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await call
        assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_edges_read_emotes_and_hear_that_they_have_changed(world: World) -> None:
    admin = pb.Person(user_id=9, username="admin", rank=pb.RANK_ADMIN)
    save = 'mutation {{ saveEmote(name: "{0}", url: "https://cdn.example/{0}.png"{1}) {{ name }} }}'
    heard = await world.bus.subscribe("salon.v1.rooms.emotes")
    await world.bus.flush()
    version = (await world.rooms.FindChangedEmotes(pb.FindChangedEmotesRequest())).version
    assert "errors" not in await world.graphql(save.format("a", ', slug: "live"'), admin)
    assert "errors" not in await world.graphql(save.format("b", ""), admin)
    told = [events_pb2.EmotesChanged.FromString((await heard.next_msg(3)).data).slug for _ in range(2)]
    assert told == ["live", ""]
    changed = await world.rooms.FindChangedEmotes(pb.FindChangedEmotesRequest(after=version))
    assert (changed.version, list(changed.slugs), changed.has_more) == (version + 2, ["live", ""], False)
    answer = await world.rooms.ReadEmotes(pb.ReadEmotesRequest(slugs=["", "none", "live", "live"]))
    assert answer == pb.ReadEmotesResponse(
        catalogs=[
            pb.EmoteCatalog(slug="", emotes=[pb.Emote(name="b", url="https://cdn.example/b.png")]),
            pb.EmoteCatalog(slug="live", emotes=[pb.Emote(name="a", url="https://cdn.example/a.png")]),
        ]
    )


def _insert_emotes(config: Config, slugs: list[str]) -> None:
    row = (
        "INSERT INTO emote (slug, name, url, alt, created_by, created_ms) VALUES (?, ?, 'https://a.example', '', 1, 1)"
    )
    with closing(sqlite3.connect(config.database_url.removeprefix("sqlite://"), timeout=60)) as database, database:
        database.executemany(row, [(slug, f"e{number}") for slug in slugs for number in range(500)])


async def test_an_answer_with_many_emotes_names_what_is_to_be_asked_for_again(world: World, config: Config) -> None:
    slugs = [f"s{number}" for number in range(6)]
    # In a thread: the service in this process may hold the database's lock, and needs the loop to let go of it.
    await asyncio.to_thread(_insert_emotes, config, slugs)
    first = await world.rooms.ReadEmotes(pb.ReadEmotesRequest(slugs=slugs))
    assert [catalog.slug for catalog in first.catalogs] == slugs[:4]
    assert list(first.unread) == slugs[4:]
    rest = await world.rooms.ReadEmotes(pb.ReadEmotesRequest(slugs=first.unread))
    assert ([catalog.slug for catalog in rest.catalogs], list(rest.unread)) == (slugs[4:], [])


async def test_edges_read_whom_users_have_blocked(world: World) -> None:
    ana = pb.Person(user_id=7, username="ana", rank=pb.RANK_USER)
    for number in (5, 6):
        assert "true" in await world.graphql(f"mutation {{ block(userId: {number}) }}", ana)
    answer = await world.rooms.ListBlocked(pb.ListBlockedRequest(user_ids=[8, 7]))
    assert [list(each.user_ids) for each in answer.blocked] == [[], [6, 5]]
    guest = pb.Person(username="guest", rank=pb.RANK_ANONYMOUS)
    people = {1: ana, 2: pb.Person(user_id=8, username="ben", rank=pb.RANK_USER), 3: guest}
    items = [pb.JoinItem(connection=n, ref=pb.RoomRef(slug="live"), person=person) for n, person in people.items()]
    items.append(pb.JoinItem(connection=4, ref=pb.RoomRef(slug="123"), person=ana))
    joined = await world.rooms.Join(pb.JoinRequest(edge="e" * 32, items=items, log_version=1))
    told = [list(each.blocked.user_ids) if each.HasField("blocked") else None for each in joined.outcomes]
    assert told == [[6, 5], [], None, None]


async def test_blocks_that_cannot_be_read_keep_nobody_out(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise DatabaseUnavailable("a statement took too long")

    monkeypatch.setattr(TortoiseBlocks, "for_joins", fail)
    ana = pb.Person(user_id=7, username="ana", rank=pb.RANK_USER)
    item = pb.JoinItem(connection=1, ref=pb.RoomRef(slug="live"), person=ana)
    (outcome,) = (await world.rooms.Join(pb.JoinRequest(edge="e" * 32, items=[item], log_version=1))).outcomes
    assert (outcome.result, outcome.HasField("blocked")) == (pb.JoinOutcome.RESULT_JOINED, False)


@pytest.mark.parametrize("user_ids", [[0], [2**53], list(range(1, 102))])
async def test_malformed_questions_for_blocks_are_refused(world: World, user_ids: list[int]) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await world.rooms.ListBlocked(pb.ListBlockedRequest(user_ids=user_ids))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
