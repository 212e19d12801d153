"""The rooms adapter against a server by hand."""

# ruff: noqa: N802 - gRPC names its methods so

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import grpc.aio
import pytest

from chassis.traces import hold_trace, read_trace
from salon.rooms.v1 import rooms_pb2 as pb
from salon.rooms.v1.rooms_pb2_grpc import RoomsServiceServicer, add_RoomsServiceServicer_to_server
from tools.ports import held_port
from ws_edge import ports
from ws_edge.adapters.grpc import batches, lease
from ws_edge.adapters.grpc.rooms import GrpcRooms
from ws_edge.errors import RoomsUnavailable
from ws_edge.ports import ChangedEmotes, GraphQLAnswer, JoinRefusal, LogResumption, ReadEmotes
from ws_edge.protocol.identity import ConnectionId, Identity, Life, Rank, RoomId, Slug, UserId
from ws_edge.protocol.references import ById, BySlug, ByVideo
from ws_edge.protocol.rooms import HeldConnection, Joined, Membership, Participant, RoomSnapshot

pytestmark = pytest.mark.integration

EDGE = "e" * 32
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ANA = Identity(UserId(5), "ana", None, ("moderator",), Rank.MODERATOR, None)
ANONYMOUS = Identity(None, "Anonymous_10.0.0.1", None, (), Rank.ANONYMOUS, None)

Context = Any


class FakeRooms(RoomsServiceServicer):
    """Joins everybody to room 1, and writes down every request but heartbeats."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.traces: dict[type[Any], str] = {}
        self.news = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.under_way = 0
        self.most_under_way = 0
        self.registered = True
        self.count = 0
        self.outcomes: list[pb.JoinOutcome] | None = None
        self.positions: list[list[pb.LogPosition]] = []
        self.remembers_the_log = True
        self.beats = 0
        self.leaves_answer = asyncio.Event()
        self.leaves_answer.set()
        self.knows_ranks = True
        self.knows_emotes = True
        self.reads_lives = True
        self.ranks_answer = asyncio.Event()
        self.ranks_answer.set()

    async def _take(self, request: Any, context: Context) -> None:
        self._note_trace(request, context)
        self.requests.append(request)
        self.news.set()
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await self.may_answer.wait()
        self.under_way -= 1

    def _note_trace(self, request: Any, context: Context) -> None:
        (trace,) = (value for key, value in context.invocation_metadata() if key == "traceparent")
        self.traces[type(request)] = trace

    async def hears(self, kind: type[Any], count: int = 1) -> list[Any]:
        async with asyncio.timeout(30):
            while len(found := [r for r in self.requests if isinstance(r, kind)]) < count:
                self.news.clear()
                await self.news.wait()
        return found

    async def Join(self, request: pb.JoinRequest, context: Context) -> pb.JoinResponse:
        await self._take(request, context)
        joined = [
            pb.JoinOutcome(
                result=pb.JoinOutcome.RESULT_JOINED, room_id=1, life=2, connection_count=item.connection, partition=0
            )
            for item in request.items
        ]
        return pb.JoinResponse(outcomes=joined if self.outcomes is None else self.outcomes)

    async def Leave(self, request: pb.LeaveRequest, context: Context) -> pb.LeaveResponse:
        await self._take(request, context)
        await self.leaves_answer.wait()
        return pb.LeaveResponse()

    async def ChangeRanks(self, request: pb.ChangeRanksRequest, context: Context) -> pb.ChangeRanksResponse:
        await self._take(request, context)
        if not self.knows_ranks:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "an older service")
        await self.ranks_answer.wait()
        return pb.ChangeRanksResponse()

    async def Heartbeat(self, request: pb.HeartbeatRequest, context: Context) -> pb.HeartbeatResponse:
        assert request.edge == EDGE
        self._note_trace(request, context)
        self.positions.append(list(request.positions))
        self.beats += 1
        self.news.set()
        return pb.HeartbeatResponse(registered=self.registered, connection_count=self.count)

    async def ResumeLog(self, request: pb.ResumeLogRequest, context: Context) -> pb.ResumeLogResponse:
        if not self.remembers_the_log:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "an older service")
        await self._take(request, context)
        purge_to = 42 if request.behind else 0
        return pb.ResumeLogResponse(highest_sequence=41, purge_to=purge_to, resumed=40)

    async def Sync(self, request: pb.SyncRequest, context: Context) -> pb.SyncResponse:
        await self._take(request, context)
        return pb.SyncResponse(lost=[request.held[0].connection] if request.held else [])

    async def Release(self, request: pb.ReleaseRequest, context: Context) -> pb.ReleaseResponse:
        await self._take(request, context)
        return pb.ReleaseResponse()

    async def Resolve(self, request: pb.ResolveRequest, context: Context) -> pb.ResolveResponse:
        await self._take(request, context)
        return pb.ResolveResponse(slugs=[str(ref).strip().replace(" ", "") for ref in request.refs])

    async def ListParticipants(
        self, request: pb.ListParticipantsRequest, context: Context
    ) -> pb.ListParticipantsResponse:
        await self._take(request, context)
        people = [
            pb.Participant(key="u:5", user_id=5, username="ana", version=4),
            pb.Participant(key="c:x:1", username="b"),
        ]
        if request.life == 8:
            return pb.ListParticipantsResponse(deleted=True)
        return pb.ListParticipantsResponse(version=9, connection_count=3, crowded=True, participants=people)

    async def ReadLives(self, request: pb.ReadLivesRequest, context: Context) -> pb.ReadLivesResponse:
        """As many as fit: two."""
        await self._take(request, context)
        if not self.reads_lives:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "an older service")
        over = {8: pb.ListParticipantsResponse(deleted=True)}
        there = [
            over.get(life, pb.ListParticipantsResponse(version=life, connection_count=3)) for life in request.lives
        ]
        return pb.ReadLivesResponse(lives=there[:2])

    async def FindConnected(self, request: pb.FindConnectedRequest, context: Context) -> pb.FindConnectedResponse:
        await self._take(request, context)
        if request.user_id == 9:
            return pb.FindConnectedResponse(rank=pb.RANK_MODERATOR, owner=True)
        if request.user_id == 8:
            return pb.FindConnectedResponse(owner=True)
        return pb.FindConnectedResponse(rank=pb.RANK_ADMIN if request.user_id else pb.RANK_UNSPECIFIED)

    async def GetStats(self, request: pb.GetStatsRequest, context: Context) -> pb.GetStatsResponse:
        self._note_trace(request, context)
        return pb.GetStatsResponse(total_connections=10, rooms={1: 8, 2: 2})

    async def ReadEmotes(self, request: pb.ReadEmotesRequest, context: Context) -> pb.ReadEmotesResponse:
        await self._take(request, context)
        if not self.knows_emotes:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "an older service")
        first, *rest = request.slugs
        emote = pb.Emote(name="Kappa", url=f"https://cdn.example/{first}")
        return pb.ReadEmotesResponse(catalogs=[pb.EmoteCatalog(slug=first, emotes=[emote])], unread=rest)

    async def FindChangedEmotes(
        self, request: pb.FindChangedEmotesRequest, context: Context
    ) -> pb.FindChangedEmotesResponse:
        await self._take(request, context)
        if not self.knows_emotes:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "an older service")
        return pb.FindChangedEmotesResponse(version=7, slugs=["", "live"] if request.HasField("after") else [])

    async def ListBlocked(self, request: pb.ListBlockedRequest, context: Context) -> pb.ListBlockedResponse:
        await self._take(request, context)
        if not self.knows_emotes:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "an older service")
        return pb.ListBlockedResponse(blocked=[pb.Blocked(user_ids=[number, 1]) for number in request.user_ids])

    async def ExecuteGraphQL(self, request: pb.ExecuteGraphQLRequest, context: Context) -> pb.ExecuteGraphQLResponse:
        await self._take(request, context)
        return pb.ExecuteGraphQLResponse(body=b'{"data":{}}', http_status=200)


class Service:
    """A server that can go and come back on its port."""

    def __init__(self) -> None:
        self.rooms = FakeRooms()
        self.port = held_port()
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        add_RoomsServiceServicer_to_server(self.rooms, self._server)
        self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(None)
            self._server = None


class Worker:
    """Implements MembershipListener."""

    def __init__(self) -> None:
        self.held: list[HeldConnection] = []
        self.lost: list[ConnectionId] = []
        self.log_sequences: dict[int, int] = {}

    def held_connections(self) -> Iterable[HeldConnection]:
        return list(self.held)

    def held_count(self) -> int:
        return len(self.held)

    def membership_lost(self, connection: ConnectionId) -> None:
        self.lost.append(connection)


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    service = Service()
    await service.start()
    yield service
    await service.stop()


@pytest.fixture
async def worker() -> Worker:
    return Worker()


def open_rooms(service: Service, worker: Worker) -> GrpcRooms:
    rooms = GrpcRooms(f"127.0.0.1:{service.port}", EDGE)
    rooms.listen(worker, log_sequences=lambda: worker.log_sequences)
    return rooms


@pytest.fixture
async def rooms(service: Service, worker: Worker) -> AsyncIterator[GrpcRooms]:
    rooms = open_rooms(service, worker)
    await rooms.start()
    await eventually(lambda: rooms.is_connected)
    yield rooms
    service.rooms.may_answer.set()
    await rooms.stop()


async def eventually(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not is_so():  # noqa: ASYNC110 - what is waited for here announces itself to nobody
            await asyncio.sleep(0.005)


def join(rooms: GrpcRooms, connection: int, identity: Identity = ANA) -> asyncio.Task[Joined | JoinRefusal]:
    ref = BySlug(Slug("live"))
    return asyncio.create_task(rooms.join(ConnectionId(connection), ref, identity))


async def test_a_join_carries_who_and_where_and_gives_the_membership(service: Service, rooms: GrpcRooms) -> None:
    service.rooms.outcomes = [
        pb.JoinOutcome(
            result=pb.JoinOutcome.RESULT_JOINED,
            room_id=1,
            life=2,
            slug="live",
            connection_count=3,
            version=4,
            crowded=True,
            partition=5,
        )
    ]
    joined = await rooms.join(ConnectionId(7), ByVideo(42), ANA)
    assert joined == Joined(Membership(RoomId(1), Life(2), Slug("live"), 3, 4, True, 5), None)
    assert service.rooms.requests == [
        pb.JoinRequest(
            log_version=1,
            edge=EDGE,
            items=[
                pb.JoinItem(
                    connection=7,
                    ref=pb.RoomRef(video_id=42),
                    person=pb.Person(user_id=5, username="ana", rank=pb.RANK_MODERATOR),
                )
            ],
        )
    ]


@pytest.mark.parametrize(
    ("told", "blocked"),
    [(None, None), (pb.Blocked(), ()), (pb.Blocked(user_ids=[6, 5]), (UserId(6), UserId(5)))],
)
async def test_whom_a_user_has_blocked_comes_with_the_answer_to_their_join(
    service: Service, rooms: GrpcRooms, told: pb.Blocked | None, blocked: tuple[UserId, ...] | None
) -> None:
    service.rooms.outcomes = [pb.JoinOutcome(result=pb.JoinOutcome.RESULT_JOINED, partition=0, blocked=told)]
    joined = await join(rooms, 7)
    assert isinstance(joined, Joined)
    assert joined.blocked == blocked


@pytest.mark.parametrize(
    ("result", "refusal"),
    [
        (pb.JoinOutcome.RESULT_NOT_FOUND, JoinRefusal.NOT_FOUND),
        (pb.JoinOutcome.RESULT_ACCESS_DENIED, JoinRefusal.ACCESS_DENIED),
        (pb.JoinOutcome.RESULT_UNAVAILABLE, JoinRefusal.UNAVAILABLE),
        (pb.JoinOutcome.RESULT_UNSPECIFIED, JoinRefusal.UNAVAILABLE),
        (99, JoinRefusal.UNAVAILABLE),
    ],
)
async def test_a_refused_join_says_why(service: Service, rooms: GrpcRooms, result: Any, refusal: JoinRefusal) -> None:
    service.rooms.outcomes = [pb.JoinOutcome(result=result)]
    assert await rooms.join(ConnectionId(7), ById(RoomId(1)), ANONYMOUS) is refusal


async def test_joins_travel_in_batches_of_up_to_500_one_at_a_time(service: Service, rooms: GrpcRooms) -> None:
    answers = await asyncio.gather(*(join(rooms, number) for number in range(1, 1201)))
    # Everybody has their own answer.
    assert [a.membership.connection_count for a in answers if isinstance(a, Joined)] == list(range(1, 1201))
    sizes = [len(request.items) for request in service.rooms.requests]
    assert sum(sizes) == 1200
    assert max(sizes) == 500
    assert len(sizes) <= 5
    assert service.rooms.most_under_way == 1


async def test_a_leave_never_overtakes_its_join(service: Service, rooms: GrpcRooms) -> None:
    service.rooms.may_answer.clear()
    joining = join(rooms, 7)
    await service.rooms.hears(pb.JoinRequest)
    joining.cancel()
    rooms.leave(ConnectionId(7))
    other = join(rooms, 8)
    await asyncio.sleep(0.05)
    assert [type(request) for request in service.rooms.requests] == [pb.JoinRequest]
    service.rooms.may_answer.set()
    (leave,) = await service.rooms.hears(pb.LeaveRequest)
    assert leave == pb.LeaveRequest(edge=EDGE, connections=[7])
    assert isinstance(await other, Joined)


async def test_a_join_that_is_not_sent_yet_when_its_leave_comes_is_left_out_and_owes_no_leave(
    service: Service, rooms: GrpcRooms
) -> None:
    service.rooms.may_answer.clear()
    first = join(rooms, 1)
    await service.rooms.hears(pb.JoinRequest)
    second, third = join(rooms, 2), join(rooms, 3)
    await asyncio.sleep(0)
    rooms.leave(ConnectionId(2))
    await asyncio.sleep(0.05)
    service.rooms.may_answer.set()
    await asyncio.gather(first, third)
    with pytest.raises(RoomsUnavailable):
        await second
    rooms.leave(ConnectionId(3))
    await service.rooms.hears(pb.LeaveRequest)
    told = [
        ("join", [item.connection for item in request.items])
        if isinstance(request, pb.JoinRequest)
        else ("leave", list(request.connections))
        for request in service.rooms.requests
        if isinstance(request, pb.JoinRequest | pb.LeaveRequest)
    ]
    assert told == [("join", [1]), ("join", [3]), ("leave", [3])]
    await eventually(lambda: len(rooms._leaves) == 0)


async def test_a_join_that_was_given_up_before_it_was_sent_is_left_out(service: Service, rooms: GrpcRooms) -> None:
    service.rooms.may_answer.clear()
    first, second, third = join(rooms, 1), None, None
    await service.rooms.hears(pb.JoinRequest)
    second, third = join(rooms, 2), join(rooms, 3)
    await asyncio.sleep(0)
    second.cancel()
    service.rooms.may_answer.set()
    await asyncio.gather(first, third)
    assert [[i.connection for i in request.items] for request in service.rooms.requests] == [[1], [3]]


async def test_leaves_are_tried_until_a_restarted_service_has_committed_them(
    service: Service, rooms: GrpcRooms
) -> None:
    await service.stop()
    for number in (1, 2, 3):
        rooms.leave(ConnectionId(number))
    with pytest.raises(RoomsUnavailable):
        await asyncio.wait_for(join(rooms, 4), 4)  # a join that waits for the service has 5 s
    await asyncio.sleep(0.3)
    await service.start()
    await eventually(lambda: len(rooms._leaves) == 0)
    leaves = await service.rooms.hears(pb.LeaveRequest)
    assert sorted(connection for leave in leaves for connection in leave.connections) == [1, 2, 3]


async def changed_ranks(service: Service, count: int) -> list[list[tuple[int, int]]]:
    """What each of so many requests named."""
    heard = await service.rooms.hears(pb.ChangeRanksRequest, count)
    assert all(request.edge == EDGE for request in heard)
    return [[(change.connection, change.rank) for change in request.changes] for request in heard]


async def test_ranks_that_change_are_told_together_and_of_a_connection_only_the_newest(
    service: Service, rooms: GrpcRooms
) -> None:
    for connection, rank in ((7, Rank.ADMIN), (8, Rank.MODERATOR), (7, Rank.USER)):
        rooms.change_rank(ConnectionId(connection), rank)
    assert await changed_ranks(service, 1) == [[(7, pb.RANK_USER), (8, pb.RANK_MODERATOR)]]


async def test_an_owner_is_told_in_words_that_a_service_of_before_knows_and_asked_for_by_slug(
    rooms: GrpcRooms, service: Service
) -> None:
    rooms.change_rank(ConnectionId(7), Rank.OWNER)
    assert await changed_ranks(service, 1) == [[(7, pb.RANK_MODERATOR)]]
    assert await rooms.connected_rank(UserId(9), None, Slug("live")) is Rank.OWNER
    assert await rooms.connected_rank(UserId(8), None, Slug("live")) is None
    asked = [await rooms.is_owner(UserId(number), Slug("live")) for number in (9, 8, 5)]
    assert asked == [True, True, False]


async def test_a_rank_that_changes_while_the_one_before_is_under_way_is_told_after_it(
    service: Service, rooms: GrpcRooms
) -> None:
    service.rooms.may_answer.clear()
    rooms.change_rank(ConnectionId(7), Rank.ADMIN)
    await service.rooms.hears(pb.ChangeRanksRequest)
    rooms.change_rank(ConnectionId(7), Rank.USER)
    service.rooms.may_answer.set()
    assert await changed_ranks(service, 2) == [[(7, pb.RANK_ADMIN)], [(7, pb.RANK_USER)]]


async def test_what_carries_ranks_is_numbered_in_the_order_in_which_it_is_sent(
    service: Service, worker: Worker, rooms: GrpcRooms
) -> None:
    worker.held = [HeldConnection(ConnectionId(n), RoomId(1), Life(2), Slug("live"), ANA) for n in range(1, 1002)]
    rooms.change_rank(ConnectionId(7), Rank.ADMIN)
    await service.rooms.hears(pb.ChangeRanksRequest)
    service.rooms.registered = False
    await rooms._lease.beat()
    await service.rooms.hears(pb.SyncRequest, 2)
    rooms.change_rank(ConnectionId(7), Rank.USER)
    await service.rooms.hears(pb.ChangeRanksRequest, 2)
    carriers = [one for one in service.rooms.requests if isinstance(one, pb.ChangeRanksRequest | pb.SyncRequest)]
    assert [one.ordinal for one in carriers] == [1, 2, 3, 4]


async def test_ranks_are_told_until_a_restarted_service_has_committed_them(service: Service, rooms: GrpcRooms) -> None:
    await service.stop()
    for rank in (Rank.USER, Rank.ADMIN):
        rooms.change_rank(ConnectionId(7), rank)
    with pytest.raises(RoomsUnavailable):
        await rooms.stats()
    await service.start()
    assert await changed_ranks(service, 1) == [[(7, pb.RANK_ADMIN)]]


async def test_a_service_of_before_that_takes_no_ranks_is_told_again_until_one_of_now_answers(
    service: Service, rooms: GrpcRooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "_OUTDATED_PAUSE_S", 0.05)
    service.rooms.knows_ranks = False
    rooms.change_rank(ConnectionId(7), Rank.ADMIN)
    await service.rooms.hears(pb.ChangeRanksRequest)
    assert isinstance(await join(rooms, 1), Joined)
    rooms.leave(ConnectionId(1))
    await service.rooms.hears(pb.LeaveRequest)
    told = len(await service.rooms.hears(pb.ChangeRanksRequest))
    service.rooms.knows_ranks = True
    assert (await changed_ranks(service, told + 1))[-1] == [(7, pb.RANK_ADMIN)]


async def test_a_sync_waits_for_ranks_that_are_under_way(service: Service, worker: Worker, rooms: GrpcRooms) -> None:
    service.rooms.may_answer.clear()
    rooms.change_rank(ConnectionId(7), Rank.ADMIN)
    await service.rooms.hears(pb.ChangeRanksRequest)
    service.rooms.registered = False
    await rooms._lease.beat()
    await asyncio.sleep(0.05)
    assert [type(request) for request in service.rooms.requests] == [pb.ChangeRanksRequest]
    service.rooms.may_answer.set()
    await service.rooms.hears(pb.SyncRequest)


async def test_of_ranks_beyond_the_limit_a_sync_tells_those_that_are_held_instead(
    service: Service, worker: Worker, rooms: GrpcRooms
) -> None:
    await service.stop()
    worker.held = [HeldConnection(ConnectionId(1), RoomId(1), Life(2), Slug("live"), ANA)]
    for number in range(1, 10_002):
        rooms.change_rank(ConnectionId(number), Rank.MODERATOR)
    await service.start()
    (sync,) = await service.rooms.hears(pb.SyncRequest)
    assert [(one.connection, one.person.rank) for one in sync.held] == [(1, pb.RANK_MODERATOR)]
    assert not [request for request in service.rooms.requests if isinstance(request, pb.ChangeRanksRequest)]


async def test_heartbeats_do_not_wait_for_joins_and_leaves_that_hang(
    service: Service, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "_INTERVAL_S", 0.02)
    rooms = open_rooms(service, worker)
    await rooms.start()
    await eventually(lambda: rooms.is_connected)
    rooms.leave(ConnectionId(1))
    service.rooms.may_answer.clear()
    joining = join(rooms, 2)
    await service.rooms.hears(pb.JoinRequest)
    earlier = service.rooms.beats
    await eventually(lambda: service.rooms.beats >= earlier + 3)
    service.rooms.may_answer.set()
    await joining
    await rooms.stop()


async def test_a_join_does_not_wait_for_leaves_that_hang(service: Service, rooms: GrpcRooms) -> None:
    service.rooms.leaves_answer.clear()
    rooms.leave(ConnectionId(1))
    await service.rooms.hears(pb.LeaveRequest)
    # The leaves have 5 s.
    assert isinstance(await asyncio.wait_for(join(rooms, 2), 4), Joined)
    service.rooms.leaves_answer.set()


@pytest.mark.parametrize("owes_sync", [False, True])
async def test_leaves_do_not_wait_for_ranks_that_hang_also_where_a_sync_waits_for_these(
    service: Service, rooms: GrpcRooms, owes_sync: bool
) -> None:
    service.rooms.ranks_answer.clear()
    rooms.change_rank(ConnectionId(1), Rank.ADMIN)
    await service.rooms.hears(pb.ChangeRanksRequest)
    if owes_sync:
        service.rooms.registered = False
        await rooms._lease.beat()
        await asyncio.sleep(0.05)
    rooms.leave(ConnectionId(1))
    # The ranks have 5 s.
    await asyncio.wait_for(service.rooms.hears(pb.LeaveRequest), 4)
    assert not [request for request in service.rooms.requests if isinstance(request, pb.SyncRequest)]
    service.rooms.ranks_answer.set()


async def test_who_was_sent_away_is_told_by_an_edge_that_stops_while_ranks_hang(
    service: Service, worker: Worker
) -> None:
    rooms = open_rooms(service, worker)
    await rooms.start()
    await eventually(lambda: rooms.is_connected)
    service.rooms.ranks_answer.clear()
    rooms.change_rank(ConnectionId(8), Rank.ADMIN)
    await service.rooms.hears(pb.ChangeRanksRequest)
    rooms.note_away(ConnectionId(7))
    rooms.leave(ConnectionId(7))
    await rooms.stop()
    (leave,) = await service.rooms.hears(pb.LeaveRequest)
    assert list(leave.away) == [7]
    service.rooms.ranks_answer.set()


async def test_of_leaves_beyond_the_limit_a_sync_says_what_is_held_instead(
    service: Service, worker: Worker, rooms: GrpcRooms
) -> None:
    await service.stop()
    worker.held = [HeldConnection(ConnectionId(20_000), RoomId(1), Life(2), Slug("live"), ANA)]
    for number in range(1, 10_002):
        rooms.leave(ConnectionId(number))
    rooms.leave(ConnectionId(10_002))
    await service.start()
    (sync,) = await service.rooms.hears(pb.SyncRequest)
    assert ([one.connection for one in sync.held], sync.first, sync.last) == ([20_000], True, True)
    # What came after it was forgotten is told one by one again.
    assert [list(leave.connections) for leave in await service.rooms.hears(pb.LeaveRequest)] == [[10_002]]


async def test_a_restarted_service_is_found_again(service: Service, rooms: GrpcRooms) -> None:
    await service.stop()
    await asyncio.sleep(0.5)
    await service.start()
    async with asyncio.timeout(15):  # by default gRPC gives a connection 20 s
        while True:
            try:
                await rooms.stats()
            except RoomsUnavailable:
                await asyncio.sleep(0.02)
            else:
                return


async def test_an_answer_in_part_is_no_answer(service: Service, rooms: GrpcRooms) -> None:
    service.rooms.outcomes = []
    with pytest.raises(RoomsUnavailable):
        await join(rooms, 1)
    service.rooms.outcomes = None
    assert isinstance(await join(rooms, 2), Joined)


async def test_an_expired_lease_is_registered_again_and_the_lost_are_told(service: Service, worker: Worker) -> None:
    service.rooms.registered = False
    worker.held = [HeldConnection(ConnectionId(7), RoomId(1), Life(2), Slug("live"), ANA)]
    rooms = open_rooms(service, worker)
    await rooms.start()
    (sync,) = await service.rooms.hears(pb.SyncRequest)
    person = pb.Person(user_id=5, username="ana", rank=pb.RANK_MODERATOR)
    held = pb.HeldConnection(connection=7, room_id=1, life=2, slug="live", person=person, partition=0)
    assert sync == pb.SyncRequest(edge=EDGE, held=[held], first=True, last=True, ordinal=1)
    await eventually(lambda: worker.lost == [7])
    await rooms.stop()


async def test_stopping_releases_everything_and_refuses_who_waits(service: Service, worker: Worker) -> None:
    rooms = open_rooms(service, worker)
    await rooms.start()
    await eventually(lambda: rooms.is_connected)
    service.rooms.may_answer.clear()
    sent, queued = join(rooms, 1), None
    await service.rooms.hears(pb.JoinRequest)
    queued = join(rooms, 2)
    await asyncio.sleep(0)
    stopping = asyncio.create_task(rooms.stop())
    for waiting in (sent, queued):
        with pytest.raises(RoomsUnavailable):
            await waiting
    assert await service.rooms.hears(pb.ReleaseRequest) == [pb.ReleaseRequest(edge=EDGE)]
    service.rooms.may_answer.set()
    await stopping
    with pytest.raises(RoomsUnavailable):
        await join(rooms, 3)
    with pytest.raises(RoomsUnavailable):
        await rooms.stats()


async def test_stopping_does_not_wait_for_a_service_that_hangs(service: Service, worker: Worker) -> None:
    rooms = open_rooms(service, worker)
    await rooms.start()
    service.rooms.may_answer.clear()
    await asyncio.wait_for(rooms.stop(), 4)  # the release has 2 s, joins have 5
    service.rooms.may_answer.set()


async def test_a_call_that_the_closing_channel_ends_is_unavailable_and_ends_no_task(
    service: Service, rooms: GrpcRooms
) -> None:
    service.rooms.may_answer.clear()
    reading = asyncio.create_task(rooms.snapshot(Life(2)))
    await service.rooms.hears(pb.ReadLivesRequest)
    assert rooms._channel is not None
    await rooms._channel.close()
    with pytest.raises(RoomsUnavailable):
        await reading


async def test_a_call_whose_caller_is_cancelled_stays_cancelled(service: Service, rooms: GrpcRooms) -> None:
    service.rooms.may_answer.clear()
    reading = asyncio.create_task(rooms.snapshot(Life(2)))
    await service.rooms.hears(pb.ReadLivesRequest)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading


async def test_references_of_one_turn_are_resolved_together(service: Service, rooms: GrpcRooms) -> None:
    slugs = await asyncio.gather(
        rooms.resolve(ById(RoomId(7))), rooms.resolve(BySlug(Slug("live"))), rooms.resolve(ByVideo(42))
    )
    assert list(slugs) == ["room_id:7", 'slug:"live"', "video_id:42"]
    assert len(service.rooms.requests) == 1


async def test_emotes_are_told_with_what_is_to_be_asked_for_again(service: Service, rooms: GrpcRooms) -> None:
    read = await rooms.emotes([Slug("live"), Slug("other")])
    assert read == ReadEmotes({Slug("live"): {"Kappa": "https://cdn.example/live"}}, (Slug("other"),))
    assert [list(request.slugs) for request in service.rooms.requests] == [["live", "other"]]


async def test_it_is_asked_what_emotes_have_changed(service: Service, rooms: GrpcRooms) -> None:
    assert await rooms.changed_emotes(None) == ChangedEmotes(7)
    assert await rooms.changed_emotes(0) == ChangedEmotes(7, (Slug(""), Slug("live")))
    assert [request.HasField("after") for request in service.rooms.requests] == [False, True]


async def test_blocks_of_those_who_come_at_once_are_asked_for_together(service: Service, rooms: GrpcRooms) -> None:
    found = await asyncio.gather(*(rooms.blocked_by(UserId(number)) for number in range(10, 140)))
    assert found == [(number, 1) for number in range(10, 140)]
    assert [len(request.user_ids) for request in service.rooms.requests] == [100, 30]


async def test_a_service_of_before_says_nothing_of_emotes_and_blocks(service: Service, rooms: GrpcRooms) -> None:
    service.rooms.knows_emotes = False
    assert await rooms.emotes([Slug("live")]) is None
    assert await rooms.changed_emotes(5) == ChangedEmotes(0)
    assert await rooms.blocked_by(UserId(5)) is None


async def test_rooms_that_open_at_once_are_asked_about_together_and_again_where_not_all_fit(
    service: Service, rooms: GrpcRooms
) -> None:
    found = await asyncio.gather(*(rooms.snapshot(Life(life)) for life in (5, 8, 6, 5)))
    assert found == [
        RoomSnapshot(5, 3, False, ()),
        RoomSnapshot(0, 0, False, (), deleted=True),
        RoomSnapshot(6, 3, False, ()),
        RoomSnapshot(5, 3, False, ()),
    ]
    assert [list(request.lives) for request in service.rooms.requests] == [[5, 8, 6], [6]]


async def test_what_comes_while_a_question_is_under_way_goes_together(service: Service, rooms: GrpcRooms) -> None:
    service.rooms.may_answer.clear()
    first = asyncio.create_task(rooms.snapshot(Life(1)))
    await service.rooms.hears(pb.ReadLivesRequest)
    others = [asyncio.create_task(rooms.snapshot(Life(life))) for life in (2, 3)]
    await asyncio.sleep(0)
    service.rooms.may_answer.set()
    assert [snapshot.version for snapshot in await asyncio.gather(first, *others)] == [1, 2, 3]
    assert [list(request.lives) for request in service.rooms.requests] == [[1], [2, 3]]


async def test_a_service_of_before_is_asked_about_each_life_once_and_about_all_at_a_time(
    service: Service, rooms: GrpcRooms
) -> None:
    service.rooms.reads_lives = False
    found = await asyncio.gather(*(rooms.snapshot(Life(life)) for life in (2, 8, 2)))
    assert [snapshot.deleted for snapshot in found] == [False, True, False]
    lives, *each = service.rooms.requests
    assert lives == pb.ReadLivesRequest(lives=[2, 8])
    assert sorted(request.life for request in each) == [2, 8]


async def test_what_comes_alone_is_asked_at_once(
    service: Service, rooms: GrpcRooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports, "_LONGEST_GATHER_S", 3_600.0)
    monkeypatch.setattr(ports, "_GATHER_A_QUESTION_S", 3_600.0)
    assert (await rooms.snapshot(Life(5))).version == 5
    assert (await rooms.snapshot(Life(6))).version == 6


async def test_behind_a_batch_of_several_the_next_one_is_gathered_unless_it_is_full(
    service: Service, rooms: GrpcRooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports, "_LONGEST_GATHER_S", 3_600.0)
    monkeypatch.setattr(ports, "_GATHER_A_QUESTION_S", 3_600.0)
    await asyncio.gather(*(rooms.blocked_by(UserId(number)) for number in range(1, 201)))
    assert [len(request.user_ids) for request in service.rooms.requests] == [100, 100]
    with pytest.raises(RoomsUnavailable):
        await rooms.blocked_by(UserId(5))
    assert len(service.rooms.requests) == 2


async def test_reads_are_translated(service: Service, rooms: GrpcRooms) -> None:
    people = (Participant("u:5", UserId(5), "ana", version=4), Participant("c:x:1", None, "b"))
    service.rooms.reads_lives = False  # a service of before
    assert await rooms.snapshot(Life(2)) == RoomSnapshot(9, 3, True, people)
    assert await rooms.snapshot(Life(8)) == RoomSnapshot(0, 0, False, (), deleted=True)
    assert await rooms.connected_rank(UserId(5), None, Slug("live")) is Rank.ADMIN
    assert await rooms.connected_rank(None, "Anonymous_10.0.0.1", None) is None
    assert await rooms.stats() == {1: 8, 2: 2}
    assert service.rooms.requests == [
        pb.ReadLivesRequest(lives=[2]),
        pb.ListParticipantsRequest(life=2),
        pb.ReadLivesRequest(lives=[8]),
        pb.ListParticipantsRequest(life=8),
        pb.FindConnectedRequest(user_id=5, slug="live"),
        pb.FindConnectedRequest(username="Anonymous_10.0.0.1"),
    ]


async def test_graphql_is_passed_on_with_its_viewer(service: Service, rooms: GrpcRooms) -> None:
    answer = await rooms.execute_graphql("{a}", b'{"x":1}', "Q", ANA, allow_mutation=True)
    assert answer == GraphQLAnswer(b'{"data":{}}', 200)
    await rooms.execute_graphql("{a}", b"", "", None, allow_mutation=False)
    viewer = pb.Person(user_id=5, username="ana", rank=pb.RANK_MODERATOR)
    assert service.rooms.requests == [
        pb.ExecuteGraphQLRequest(
            query="{a}", variables_json=b'{"x":1}', operation_name="Q", viewer=viewer, allow_mutation=True
        ),
        pb.ExecuteGraphQLRequest(query="{a}"),
    ]
    assert not service.rooms.requests[1].HasField("viewer")


async def test_a_call_carries_the_trace_it_belongs_to_with_a_span_of_its_own(
    service: Service, rooms: GrpcRooms
) -> None:
    with hold_trace(TRACE):
        await rooms.execute_graphql("{a}", b"", "", None, allow_mutation=False)
        await rooms.connected_rank(UserId(5), None, None)
        await rooms.stats()
    kinds = (pb.ExecuteGraphQLRequest, pb.FindConnectedRequest, pb.GetStatsRequest)
    carried = [service.rooms.traces[kind] for kind in kinds]
    assert [(trace[:36], trace[-3:]) for trace in carried] == [(TRACE[:36], "-01")] * 3
    assert len({TRACE, *carried}) == 4


async def test_batches_and_heartbeats_which_are_nobodys_alone_have_traces_of_their_own(
    service: Service, rooms: GrpcRooms
) -> None:
    with hold_trace(TRACE):
        await join(rooms, 1)
        await rooms.resolve(BySlug(Slug("live")))
        rooms.leave(ConnectionId(1))
        await service.rooms.hears(pb.LeaveRequest)
    await rooms.snapshot(Life(2))
    kinds = (pb.HeartbeatRequest, pb.JoinRequest, pb.ResolveRequest, pb.LeaveRequest, pb.ReadLivesRequest)
    carried = [service.rooms.traces[kind] for kind in kinds]
    assert [read_trace(trace) for trace in carried] == carried
    assert len({TRACE[:35], *(trace[:35] for trace in carried)}) == 6


async def test_a_service_that_hangs_is_unavailable_after_the_deadline(service: Service, rooms: GrpcRooms) -> None:
    service.rooms.may_answer.clear()
    started_at_s = asyncio.get_running_loop().time()
    with pytest.raises(RoomsUnavailable):
        await rooms.snapshot(Life(2))
    assert asyncio.get_running_loop().time() - started_at_s < 4  # joins have 5 s


async def test_heartbeats_tell_how_far_the_log_has_come(service: Service, worker: Worker, rooms: GrpcRooms) -> None:
    assert service.rooms.positions == [[]]
    worker.log_sequences = {0: 17, 3: 5}
    await rooms.heartbeat()
    assert service.rooms.positions[-1] == [
        pb.LogPosition(partition=0, highest_sequence=17),
        pb.LogPosition(partition=3, highest_sequence=5),
    ]


async def test_what_is_remembered_of_the_log_is_asked_for(service: Service, rooms: GrpcRooms) -> None:
    assert await rooms.resume_log(3, 7) == LogResumption(41, 0, 40)
    assert await rooms.resume_log(3, 7, behind=41) == LogResumption(41, 42, 40)
    seen = pb.LogPosition(partition=3, highest_sequence=7)
    assert await service.rooms.hears(pb.ResumeLogRequest, 2) == [
        pb.ResumeLogRequest(seen=seen),
        pb.ResumeLogRequest(seen=seen, behind=41),
    ]


async def test_a_service_of_before_remembers_nothing_of_the_log(service: Service, rooms: GrpcRooms) -> None:
    service.rooms.remembers_the_log = False
    assert await rooms.resume_log(3, 7) == LogResumption(7, 0)
    assert await rooms.resume_log(3, 7, behind=7) == LogResumption(7, 8)
    await service.stop()
    with pytest.raises(RoomsUnavailable):
        await rooms.resume_log(3, 7)


async def test_a_service_of_before_that_knows_no_partition_lets_nobody_into_a_log_of_now(
    service: Service, rooms: GrpcRooms
) -> None:
    service.rooms.outcomes = [pb.JoinOutcome(result=pb.JoinOutcome.RESULT_JOINED, room_id=1, life=2, slug="live")]
    assert await join(rooms, 1) is JoinRefusal.UNAVAILABLE


async def test_who_was_sent_away_is_named_as_away_in_the_leave_also_where_the_edge_stops_at_once(
    service: Service, worker: Worker
) -> None:
    rooms = open_rooms(service, worker)
    await rooms.start()
    await eventually(lambda: rooms.is_connected)
    for number in (7, 8):
        await join(rooms, number)
    rooms.leave(ConnectionId(8))
    rooms.note_away(ConnectionId(7))
    rooms.leave(ConnectionId(7))
    await rooms.stop()
    (leave,) = await service.rooms.hears(pb.LeaveRequest)
    assert (sorted(leave.connections), list(leave.away)) == ([7, 8], [7])
    assert isinstance(service.rooms.requests[-1], pb.ReleaseRequest)
