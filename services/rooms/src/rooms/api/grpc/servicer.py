"""The RoomsService of the contract on the use cases."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import grpc.aio

from chassis.errors import DatabaseUnavailable
from rooms.api.grpc import convert
from rooms.api.in_flight import InFlight
from rooms.domain.membership import JoinRefusal
from rooms.domain.people import Life, Rank, Slug, UserId, Viewer
from rooms.ports import Ports
from rooms.usecases import blocks, emotes, leases, membership, queries
from salon.rooms.v1 import rooms_pb2 as pb, rooms_pb2_grpc

CALLS_AT_ONCE = 500
"""Also those that no caller waits for any more; GraphQL has a limit of its own."""
Execute = Callable[[str, bytes, str, Viewer | None, Ports, bool], Awaitable[tuple[bytes, int]]]
_T = TypeVar("_T")
if TYPE_CHECKING:  # at run time the class takes no parameters
    _Context = grpc.aio.ServicerContext[Any, Any]


SERVICE = pb.DESCRIPTOR.services_by_name["RoomsService"].full_name


class RoomsServicer(rooms_pb2_grpc.RoomsServiceServicer):
    """Changes go on to their end when the caller gives up: a transaction that commits has its events published.

    `away` is set while the database does not answer: what waits for it then is refused, whatever becomes of it.
    `count_joins` hears the results of each batch.
    """

    def __init__(
        self, ports: Ports, execute: Execute, *, away: asyncio.Event, count_joins: Callable[[Iterable[str]], None]
    ) -> None:
        self._ports = ports
        self._execute = execute
        self._away = away
        self._count_joins = count_joins
        self.in_flight = InFlight(CALLS_AT_ONCE)
        """To be finished before the ports are closed."""

    async def Resolve(self, request: pb.ResolveRequest, context: "_Context") -> pb.ResolveResponse:  # noqa: N802 - the contract's name
        """Slugs in the order of the references."""
        convert.check_batch(len(request.refs))
        slugs = await self._answer(
            membership.resolve(self._ports, [convert.ref_from_proto(ref) for ref in request.refs])
        )
        return pb.ResolveResponse(slugs=slugs)

    async def Join(self, request: pb.JoinRequest, context: "_Context") -> pb.JoinResponse:  # noqa: N802 - the contract's name
        """Outcomes in the order of the items."""
        convert.check_batch(len(request.items))
        edge = convert.edge_from_proto(request.edge)
        arrivals = [convert.arrival_from_proto(item) for item in request.items]
        user_ids = [arrival.person.user_id for arrival in arrivals]
        users = {user_id for user_id in user_ids if user_id is not None}
        blocked = await self._answer(blocks.read_blocked_of_joining(self._ports, users, most=convert.BLOCKED_AT_ONCE))
        uses_partitions = request.log_version >= 1
        outcomes = await self._answer(membership.join(self._ports, edge, arrivals, uses_partitions=uses_partitions))
        owner_rank = self._ports.policy.owner_rank
        self._count_joins(outcome.value if isinstance(outcome, JoinRefusal) else "joined" for outcome in outcomes)
        return convert.joins_to_proto(user_ids, outcomes, owner_rank, blocked)

    async def Leave(self, request: pb.LeaveRequest, context: "_Context") -> pb.LeaveResponse:  # noqa: N802 - the contract's name
        """Answers once it is committed."""
        convert.check_batch(len(request.connections))
        convert.check_batch(len(request.away))
        edge = convert.edge_from_proto(request.edge)
        connections = [convert.connection_from_proto(number) for number in request.connections]
        away = frozenset(convert.connection_from_proto(number) for number in request.away)
        await self._answer(membership.leave(self._ports, edge, connections, away=away))
        return pb.LeaveResponse()

    async def ChangeRanks(self, request: pb.ChangeRanksRequest, context: "_Context") -> pb.ChangeRanksResponse:  # noqa: N802 - the contract's name
        """Answers once it is committed, or changes nothing because the edge has gone on without it."""
        convert.check_batch(len(request.changes))
        edge = convert.edge_from_proto(request.edge)
        ranks = dict(convert.rank_from_proto(change) for change in request.changes)
        ordinal = convert.ordinal_from_proto(request.ordinal)
        await self._answer(membership.change_ranks(self._ports, edge, ranks, ordinal=ordinal))
        return pb.ChangeRanksResponse()

    async def Heartbeat(self, request: pb.HeartbeatRequest, context: "_Context") -> pb.HeartbeatResponse:  # noqa: N802 - the contract's name
        """Whether the edge's memberships stand."""
        sequences = convert.sequences_from_proto(request.positions)
        lease = await self._answer(leases.heartbeat(self._ports, convert.edge_from_proto(request.edge), sequences))
        return pb.HeartbeatResponse(registered=lease.registered, connection_count=lease.connection_count)

    async def ResumeLog(self, request: pb.ResumeLogRequest, context: "_Context") -> pb.ResumeLogResponse:  # noqa: N802 - the contract's name
        """Up to where the sequences of a partition were given out."""
        partition, sequence = convert.position_from_proto(request.seen)
        behind = convert.sequence_from_proto(request.behind, "behind")
        found = await self._answer(leases.resume_log(self._ports, partition, sequence, behind=behind))
        position = found.position
        return pb.ResumeLogResponse(
            highest_sequence=position.highest, purge_to=found.purge_to, resumed=position.resumed
        )

    async def Sync(self, request: pb.SyncRequest, context: "_Context") -> pb.SyncResponse:  # noqa: N802 - the contract's name
        """The connections that are lost."""
        convert.check_batch(len(request.held))
        held = [convert.held_from_proto(one) for one in request.held]
        edge = convert.edge_from_proto(request.edge)
        ordinal = convert.ordinal_from_proto(request.ordinal)
        lost = await self._answer(
            leases.sync(self._ports, edge, held, first=request.first, last=request.last, ordinal=ordinal)
        )
        return pb.SyncResponse(lost=lost)

    async def Release(self, request: pb.ReleaseRequest, context: "_Context") -> pb.ReleaseResponse:  # noqa: N802 - the contract's name
        """Answers once it is committed."""
        await self._answer(leases.release(self._ports, convert.edge_from_proto(request.edge)))
        return pb.ReleaseResponse()

    async def ListParticipants(  # noqa: N802 - the contract's name
        self, request: pb.ListParticipantsRequest, context: "_Context"
    ) -> pb.ListParticipantsResponse:
        """One life as it is now."""
        life = Life(request.life)
        found = await self._answer(queries.list_announced(self._ports, [life]))
        return convert.snapshot_to_proto(found[life])

    async def ReadLives(self, request: pb.ReadLivesRequest, context: "_Context") -> pb.ReadLivesResponse:  # noqa: N802 - the contract's name
        """Several lives as they are at one moment."""
        convert.check_batch(len(request.lives))
        lives = [Life(life) for life in dict.fromkeys(request.lives)]
        found = await self._answer(queries.list_announced(self._ports, lives)) if lives else {}
        return convert.snapshots_to_proto([found[life] for life in lives])

    async def FindConnected(  # noqa: N802 - the contract's name
        self, request: pb.FindConnectedRequest, context: "_Context"
    ) -> pb.FindConnectedResponse:
        """The highest rank somebody is connected with, and whether the room is theirs."""
        user_id = UserId(request.user_id) if request.user_id else None
        slug = Slug(convert.text_from_proto(request.slug)) if request.slug else None
        username = convert.text_from_proto(request.username)
        rank = await self._answer(queries.connected_rank(self._ports, user_id, username, slug))
        owns = self._ports.policy.owner_rank is Rank.OWNER and await self._answer(
            queries.is_owner(self._ports, user_id, slug)
        )
        return convert.connected_to_proto(rank, owns=owns)

    async def GetStats(self, request: pb.GetStatsRequest, context: "_Context") -> pb.GetStatsResponse:  # noqa: N802 - the contract's name
        """Open connections of every room."""
        rooms = await self._answer(queries.count_connections(self._ports))
        return pb.GetStatsResponse(
            total_connections=sum(rooms.values()), rooms={int(room_id): count for room_id, count in rooms.items()}
        )

    async def ReadEmotes(self, request: pb.ReadEmotesRequest, context: "_Context") -> pb.ReadEmotesResponse:  # noqa: N802 - the contract's name
        """The emotes of slugs, or of the first of them."""
        slugs = convert.slugs_from_proto(request.slugs)
        reading = emotes.read_emotes(self._ports, slugs, most=convert.EMOTES_AT_ONCE)
        return convert.emotes_to_proto(slugs, await self._answer(reading))

    async def FindChangedEmotes(  # noqa: N802 - the contract's name
        self, request: pb.FindChangedEmotesRequest, context: "_Context"
    ) -> pb.FindChangedEmotesResponse:
        """The slugs whose emotes have changed."""
        after = request.after if request.HasField("after") else None
        found = await self._answer(emotes.find_changed(self._ports, after))
        return pb.FindChangedEmotesResponse(version=found.version, slugs=found.slugs, has_more=found.has_more)

    async def ListBlocked(self, request: pb.ListBlockedRequest, context: "_Context") -> pb.ListBlockedResponse:  # noqa: N802 - the contract's name
        """Whom users have blocked, in the order of the request."""
        user_ids = convert.user_ids_from_proto(request.user_ids)
        found = await self._answer(blocks.read_blocked(self._ports, user_ids))
        return pb.ListBlockedResponse(blocked=[pb.Blocked(user_ids=blocked) for blocked in found])

    async def ExecuteGraphQL(  # noqa: N802 - the contract's name
        self, request: pb.ExecuteGraphQLRequest, context: "_Context"
    ) -> pb.ExecuteGraphQLResponse:
        """The HTTP answer to one GraphQL request."""
        viewer = convert.viewer_from_proto(request.viewer) if request.HasField("viewer") else None
        body, status = await self._execute(
            request.query, request.variables_json, request.operation_name, viewer, self._ports, request.allow_mutation
        )
        return pb.ExecuteGraphQLResponse(body=body, http_status=status)

    async def _answer(self, work: Coroutine[Any, Any, _T]) -> _T:
        """The result of a use case, which goes on to its end when the caller's deadline cancels the waiting; for no
        longer than the database answers. Raises TooManyInFlight, DatabaseUnavailable."""
        task, away = self.in_flight.begin(_name(work), work), asyncio.create_task(self._away.wait())
        try:
            await asyncio.wait({task, away}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            away.cancel()
        if not task.done():
            raise DatabaseUnavailable
        return task.result()


def _name(work: Coroutine[Any, Any, Any]) -> str:
    """Of the use case, for the log."""
    return getattr(work, "__qualname__", "call")
