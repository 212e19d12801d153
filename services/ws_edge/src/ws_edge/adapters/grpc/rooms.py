"""The rooms service over gRPC."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from itertools import count, starmap
from typing import TypeVar

import grpc
import grpc.aio

from chassis.grpc_channel import open_channel
from chassis.grpc_security import GrpcSecurity
from chassis.tasks import Tasks
from salon.rooms.v1 import rooms_pb2 as pb
from salon.rooms.v1.rooms_pb2_grpc import RoomsServiceStub
from ws_edge.adapters.grpc.batches import OwedQueue, RequestBatches
from ws_edge.adapters.grpc.calls import call
from ws_edge.adapters.grpc.convert import (
    blocked_from_proto,
    held_to_proto,
    join_item_to_proto,
    outcome_from_proto,
    person_to_proto,
    rank_change_to_proto,
    rank_from_proto,
    ref_to_proto,
    snapshot_from_proto,
)
from ws_edge.adapters.grpc.lease import EdgeLease, Holdings
from ws_edge.errors import NeverSent, RoomsOutdated, RoomsUnavailable
from ws_edge.ports import ChangedEmotes, GraphQLAnswer, JoinRefusal, LogResumption, MembershipListener, ReadEmotes
from ws_edge.protocol.identity import ConnectionId, Identity, Life, Rank, Slug, UserId
from ws_edge.protocol.references import RoomRef
from ws_edge.protocol.resume_text import FormerParticipant
from ws_edge.protocol.rooms import HeldConnection, Joined, RoomSnapshot

Q = TypeVar("Q")
A = TypeVar("A")

_BATCH_LIMIT = 500
_USERS_LIMIT = 100
"""Of the contract: of each of them up to 1000 others come back."""
_LIVES_LIMIT = 100
"""Of each of them all participants come back."""
_JOIN_DEADLINE_S = 5.0
_DEADLINE_S = 2.0
_GRAPHQL_DEADLINE_S = 10.0
_RELEASE_DEADLINE_S = 2.0
_LEAVES_DEADLINE_S = 2.0
"""At the end of a drain."""
_LOG_VERSION = 1
"""Of the contract: this edge keeps messages in salon.v1.log."""


class GrpcRooms:
    """Implements Rooms and LogMemory. Call `listen` once, then `start`."""

    def __init__(self, address: str, edge: str, security: GrpcSecurity | None = None) -> None:
        self._address = address
        self._edge = edge
        self._security = security or GrpcSecurity()
        self._listener: MembershipListener | None = None
        self._log_sequences: Callable[[], Mapping[int, int]] = dict
        # Apart: leaves that take all of their time must not hold up joins, nor ranks leaves.
        joins_lock, leaves_lock, ranks_lock = asyncio.Lock(), asyncio.Lock(), asyncio.Lock()
        self._joins = RequestBatches(self._send_joins, limit=_BATCH_LIMIT, deadline_s=_JOIN_DEADLINE_S, lock=joins_lock)
        self._resolves = RequestBatches(self._send_resolves, limit=_BATCH_LIMIT, deadline_s=_DEADLINE_S)
        self._blocked = RequestBatches(self._send_blocked, limit=_USERS_LIMIT, deadline_s=_DEADLINE_S)
        self._snapshots = RequestBatches(self._send_snapshots, limit=_LIVES_LIMIT, deadline_s=_DEADLINE_S)
        self._lease = EdgeLease(
            self,
            locks=(ranks_lock, leaves_lock, joins_lock),
            held=lambda: self._listening.held_connections(),
            holdings=self._count_holdings,
            lost=lambda connection: self._listening.membership_lost(connection),
        )
        self._leaves: OwedQueue[None] = OwedQueue(
            "leaves", self._send_leaves, limit=_BATCH_LIMIT, lock=leaves_lock, overflowed=self._leaves_forgotten
        )
        self._ranks: OwedQueue[Rank] = OwedQueue(
            "ranks", self._send_ranks, limit=_BATCH_LIMIT, lock=ranks_lock, overflowed=self._lease.owe_sync
        )
        # One request that carries ranks at a time, and its number: what was given up may be carried out late.
        self._ordinals = count(1)
        self._away: set[ConnectionId] = set()
        """Those whose leave is owed, and who are expected to come back."""
        self._join_count = 0
        # Joins without an outcome, and whether a leave waits for it: the queues alone would let one overtake the other.
        self._joining: dict[ConnectionId, bool] = {}
        # The same for the batch that is under way: whoever asked for a join may have stopped waiting for it.
        self._sent: dict[ConnectionId, bool] = {}
        self._channel: grpc.aio.Channel | None = None
        self._tasks = Tasks()

    @property
    def is_connected(self) -> bool:
        """The last heartbeat was answered."""
        return self._lease.is_alive

    def listen(self, listener: MembershipListener, *, log_sequences: Callable[[], Mapping[int, int]]) -> None:
        """Who holds the memberships, and the highest sequence of each partition of the log that this worker has seen;
        before start, once."""
        self._listener = listener
        self._log_sequences = log_sequences

    @property
    def _listening(self) -> MembershipListener:
        assert self._listener is not None
        return self._listener

    async def start(self) -> None:
        """Open the channel; the service may come up later."""
        self._channel = open_channel(self._address, self._security)
        self._stub = RoomsServiceStub(self._channel)
        self._tasks.spawn(self._joins.run(), "rooms joins")
        self._tasks.spawn(self._resolves.run(), "rooms resolves")
        self._tasks.spawn(self._blocked.run(), "rooms blocks")
        self._tasks.spawn(self._snapshots.run(), "rooms snapshots")
        self._tasks.spawn(self._leaves.run(), "rooms leaves")
        self._tasks.spawn(self._ranks.run(), "rooms ranks")
        self._tasks.spawn(self._lease.run(), "rooms lease")
        self._tasks.spawn(self._lease.run_syncs(), "rooms syncs")

    async def stop(self) -> None:
        """Say who was sent away, then drop every other membership of this worker with one call, and close; who still
        waits is refused."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_LEAVES_DEADLINE_S if self._away else 0):
                await self._leaves.wait_empty()
        await self._tasks.stop()
        self._joins.close()
        self._resolves.close()
        self._blocked.close()
        self._snapshots.close()
        if self._channel is not None:
            with suppress(RoomsUnavailable):
                request = pb.ReleaseRequest(edge=self._edge)
                await call(self._stub.Release, request, _RELEASE_DEADLINE_S, RoomsUnavailable)
            await self._channel.close()

    async def resolve(self, ref: RoomRef) -> Slug:
        """See ports.Rooms."""
        return await self._resolves.ask(ref_to_proto(ref))

    async def join(
        self,
        connection: ConnectionId,
        ref: RoomRef,
        identity: Identity,
        *,
        revive: Life | None = None,
        former: FormerParticipant | None = None,
    ) -> Joined | JoinRefusal:
        """See ports.Rooms."""
        item = join_item_to_proto(connection, ref, identity, revive, former)
        self._joining[connection] = False
        self._join_count += 1
        try:
            return await self._joins.ask(item, is_wanted=lambda: not self._joining[connection])
        except NeverSent:
            self._joining[connection] = False  # there is nothing to take back
            raise
        finally:
            if self._joining.pop(connection):
                self._owe_leave(connection)

    def note_away(self, connection: ConnectionId) -> None:
        """See ports.Rooms."""
        self._away.add(connection)

    def leave(self, connection: ConnectionId) -> None:
        """See ports.Rooms."""
        if connection in self._joining:
            self._joining[connection] = True
        else:
            self._owe_leave(connection)

    def change_rank(self, connection: ConnectionId, rank: Rank) -> None:
        """See ports.Rooms."""
        self._ranks.owe(connection, rank)

    async def snapshot(self, life: Life) -> RoomSnapshot:
        """See ports.Rooms."""
        return await self._snapshots.ask(life)

    async def connected_rank(self, user_id: UserId | None, username: str | None, slug: Slug | None) -> Rank | None:
        """See ports.Rooms."""
        request = pb.FindConnectedRequest(user_id=user_id or 0, username=username or "", slug=slug or "")
        answer = await call(self._stub.FindConnected, request, _DEADLINE_S, RoomsUnavailable)
        return rank_from_proto(answer)

    async def is_owner(self, user_id: UserId, slug: Slug) -> bool:
        """See ports.Rooms."""
        request = pb.FindConnectedRequest(user_id=user_id, slug=slug)
        return (await call(self._stub.FindConnected, request, _DEADLINE_S, RoomsUnavailable)).owner

    async def stats(self) -> Mapping[int, int]:
        """See ports.Rooms."""
        answer = await call(self._stub.GetStats, pb.GetStatsRequest(), _DEADLINE_S, RoomsUnavailable)
        return dict(answer.rooms)

    async def emotes(self, slugs: Sequence[Slug]) -> ReadEmotes | None:
        """See ports.Rooms."""
        try:
            answer = await _call_of_now(self._stub.ReadEmotes, pb.ReadEmotesRequest(slugs=slugs), _DEADLINE_S)
        except RoomsOutdated:
            return None
        if len(answer.unread) >= len(slugs):
            raise RoomsUnavailable("emotes were read in no part")
        found = {Slug(each.slug): {emote.name: emote.url for emote in each.emotes} for each in answer.catalogs}
        return ReadEmotes(found, tuple(Slug(slug) for slug in answer.unread))

    async def changed_emotes(self, after: int | None) -> ChangedEmotes:
        """See ports.Rooms."""
        request = pb.FindChangedEmotesRequest(after=after)
        try:
            answer = await _call_of_now(self._stub.FindChangedEmotes, request, _DEADLINE_S)
        except RoomsOutdated:
            return ChangedEmotes(0)  # lower than any that a service of now has told: then all are read again
        return ChangedEmotes(answer.version, tuple(Slug(slug) for slug in answer.slugs), answer.has_more)

    async def blocked_by(self, user_id: UserId) -> tuple[UserId, ...] | None:
        """See ports.Rooms."""
        return await self._blocked.ask(user_id)

    async def execute_graphql(
        self, query: str, variables_json: bytes, operation_name: str, viewer: Identity | None, *, allow_mutation: bool
    ) -> GraphQLAnswer:
        """See ports.Rooms."""
        request = pb.ExecuteGraphQLRequest(
            query=query,
            variables_json=variables_json,
            operation_name=operation_name,
            viewer=None if viewer is None else person_to_proto(viewer),
            allow_mutation=allow_mutation,
        )
        answer = await call(self._stub.ExecuteGraphQL, request, _GRAPHQL_DEADLINE_S, RoomsUnavailable)
        return GraphQLAnswer(body=answer.body, http_status=answer.http_status)

    async def resume_log(self, partition: int, seen: int, *, behind: int = 0) -> LogResumption:
        """See ports.LogMemory."""
        position = pb.LogPosition(partition=partition, highest_sequence=seen)
        request = pb.ResumeLogRequest(seen=position, behind=behind)
        try:
            answer = await _call_of_now(self._stub.ResumeLog, request, _DEADLINE_S)
        except RoomsOutdated:
            return LogResumption(seen, behind + 1 if behind else 0)  # it remembers nothing
        return LogResumption(answer.highest_sequence, answer.purge_to, answer.resumed)

    async def heartbeat(self) -> tuple[bool, int]:
        """See lease.LeaseCalls."""
        seen = self._log_sequences().items()
        positions = [pb.LogPosition(partition=partition, highest_sequence=sequence) for partition, sequence in seen]
        request = pb.HeartbeatRequest(edge=self._edge, positions=positions)
        answer = await call(self._stub.Heartbeat, request, _DEADLINE_S, RoomsUnavailable)
        return answer.registered, answer.connection_count

    async def sync(self, part: Sequence[HeldConnection], *, first: bool, last: bool) -> list[ConnectionId]:
        """See lease.LeaseCalls."""
        held, ordinal = map(held_to_proto, part), next(self._ordinals)
        request = pb.SyncRequest(edge=self._edge, held=held, first=first, last=last, ordinal=ordinal)
        answer = await call(self._stub.Sync, request, _JOIN_DEADLINE_S, RoomsUnavailable)
        return [ConnectionId(connection) for connection in answer.lost]

    def _owe_leave(self, connection: ConnectionId) -> None:
        if connection in self._sent:
            self._sent[connection] = True
        else:
            self._leaves.owe(connection, None)

    def _count_holdings(self) -> Holdings:
        return Holdings(
            held=self._listening.held_count(),
            joining=len(self._joining) + len(self._sent),
            owed=len(self._leaves),
            joins=self._join_count,
            leaves=self._leaves.owed_ever,
        )

    async def _send_joins(self, items: Sequence[pb.JoinItem]) -> Sequence[Joined | JoinRefusal]:
        self._sent = {ConnectionId(item.connection): False for item in items}
        request = pb.JoinRequest(edge=self._edge, items=items, log_version=_LOG_VERSION)
        try:
            answer = await call(self._stub.Join, request, _JOIN_DEADLINE_S, RoomsUnavailable)
        finally:
            sent, self._sent = self._sent, {}
            for connection, owes_leave in sent.items():
                if owes_leave:
                    self._leaves.owe(connection, None)
        return [outcome_from_proto(outcome) for outcome in answer.outcomes]

    async def _send_blocked(self, user_ids: Sequence[UserId]) -> Sequence[tuple[UserId, ...] | None]:
        request = pb.ListBlockedRequest(user_ids=user_ids)
        try:
            answer = await _call_of_now(self._stub.ListBlocked, request, _DEADLINE_S)
        except RoomsOutdated:
            return [None] * len(user_ids)
        return [blocked_from_proto(each) for each in answer.blocked]

    async def _send_snapshots(self, lives: Sequence[Life]) -> Sequence[RoomSnapshot]:
        """One question for all who ask for the same life."""
        asked = list(dict.fromkeys(lives))
        found: dict[Life, RoomSnapshot] = {}
        while left := asked[len(found) :]:
            try:
                answer = await _call_of_now(self._stub.ReadLives, pb.ReadLivesRequest(lives=left), _DEADLINE_S)
            except RoomsOutdated:
                found |= zip(left, await asyncio.gather(*map(self._snapshot_of_before, left)), strict=True)
                break
            if not answer.lives:
                raise RoomsUnavailable("no life was read")
            found |= zip(left, map(snapshot_from_proto, answer.lives), strict=False)
        return [found[life] for life in lives]

    async def _snapshot_of_before(self, life: Life) -> RoomSnapshot:
        request = pb.ListParticipantsRequest(life=life)
        return snapshot_from_proto(await call(self._stub.ListParticipants, request, _DEADLINE_S, RoomsUnavailable))

    async def _send_leaves(self, connections: Collection[ConnectionId]) -> None:
        away = [connection for connection in connections if connection in self._away]
        request = pb.LeaveRequest(edge=self._edge, connections=connections, away=away)
        await call(self._stub.Leave, request, _JOIN_DEADLINE_S, RoomsUnavailable)
        self._away.difference_update(away)

    async def _send_ranks(self, ranks: Mapping[ConnectionId, Rank]) -> None:
        changes, ordinal = starmap(rank_change_to_proto, ranks.items()), next(self._ordinals)
        request = pb.ChangeRanksRequest(edge=self._edge, changes=changes, ordinal=ordinal)
        await _call_of_now(self._stub.ChangeRanks, request, _JOIN_DEADLINE_S)

    def _leaves_forgotten(self) -> None:
        """The sync that follows has the service take them for gone."""
        self._away.clear()
        self._lease.owe_sync()

    async def _send_resolves(self, refs: Sequence[pb.RoomRef]) -> Sequence[Slug]:
        answer = await call(self._stub.Resolve, pb.ResolveRequest(refs=refs), _DEADLINE_S, RoomsUnavailable)
        return [Slug(slug) for slug in answer.slugs]


async def _call_of_now(method: "grpc.aio.UnaryUnaryMultiCallable[Q, A]", request: Q, deadline_s: float) -> A:
    """The answer to what a service of before does not know. Raises RoomsOutdated, RoomsUnavailable."""
    try:
        return await call(method, request, deadline_s, RoomsUnavailable)
    except RoomsUnavailable as reason:
        if reason.args == (grpc.StatusCode.UNIMPLEMENTED.name,):
            raise RoomsOutdated(*reason.args) from reason
        raise
