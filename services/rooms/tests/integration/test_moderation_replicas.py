"""The Moderation port on replicas that answer, hang and refuse."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
import pytest

from chassis.traces import hold_trace
from rooms.adapters.moderation import GrpcModeration
from rooms.api.graphql.execute import DEADLINE_S
from rooms.domain.people import Rank, Slug, UserId, Viewer
from rooms.domain.sanctions import Target
from rooms.errors import InvalidInput, ModerationUnavailable, NotPermitted, Refusal, SanctionNotFound
from salon.moderation.v1 import moderation_pb2 as pb, moderation_pb2_grpc

pytestmark = pytest.mark.integration
ADMIN = Viewer(UserId(1), "admin", Rank.ADMIN)
LIVE, ANA = Slug("live"), Target(UserId(5), None)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@dataclass
class Replica(moderation_pb2_grpc.ModerationServiceServicer):
    """Answers with nothing, refuses with a status, or hangs."""

    status: grpc.StatusCode | None = None
    hangs: bool = False
    asked: int = 0
    listed: list[pb.ListActiveRequest] = field(default_factory=list)
    traces: list[str | None] = field(default_factory=list)

    async def ListActive(self, request: pb.ListActiveRequest, context: Any) -> pb.ListActiveResponse:  # noqa: N802 - the contract's name
        await self._meet(context)
        self.listed.append(request)
        return pb.ListActiveResponse()

    async def LiftSanction(self, request: pb.LiftSanctionRequest, context: Any) -> pb.LiftSanctionResponse:  # noqa: N802 - the contract's name
        await self._meet(context)
        return pb.LiftSanctionResponse()

    async def ListSanctions(self, request: pb.ListSanctionsRequest, context: Any) -> pb.ListSanctionsResponse:  # noqa: N802 - the contract's name
        await self._meet(context)
        return pb.ListSanctionsResponse()

    async def Act(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        raise AssertionError("rooms imposes nothing")

    async def Execute(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        raise AssertionError("rooms has no commands")

    def Admit(self, request_iterator: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        raise AssertionError("rooms admits nobody")

    async def _meet(self, context: Any) -> None:
        self.asked += 1
        self.traces.append(dict(context.invocation_metadata()).get("traceparent"))
        if self.hangs:
            await asyncio.Event().wait()
        if self.status is not None:
            await context.abort(self.status, "the words of the replica")


Start = Callable[..., Awaitable[GrpcModeration]]
"""Takes the replicas; `is_one_target`: they are several addresses of one target, as where a name has several."""


@pytest.fixture
async def ask() -> AsyncIterator[Start]:
    """The port on these replicas."""
    servers: list[grpc.aio.Server] = []
    ports: list[GrpcModeration] = []

    async def start(*replicas: Replica, is_one_target: bool = False) -> GrpcModeration:
        addresses = []
        for replica in replicas:
            server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
            moderation_pb2_grpc.add_ModerationServiceServicer_to_server(replica, server)
            addresses.append(f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}")
            await server.start()
            servers.append(server)
        ports.append(GrpcModeration([f"ipv4:{','.join(addresses)}"] if is_one_target else addresses))
        return ports[-1]

    yield start
    for port in ports:
        await port.close()
    for server in servers:
        await server.stop(0)


async def test_all_replicas_are_tried_within_the_deadline_of_a_graphql_request(ask: Start) -> None:
    replicas = [Replica(hangs=True) for _ in range(3)]
    moderation = await ask(*replicas)
    began = time.monotonic()
    with pytest.raises(ModerationUnavailable):
        await moderation.list_active([LIVE], [ANA])
    assert time.monotonic() - began < DEADLINE_S
    assert [replica.asked for replica in replicas] == [1, 1, 1]


async def test_the_replica_that_answered_last_is_asked_first(ask: Start) -> None:
    hanging, good = Replica(hangs=True), Replica()
    moderation = await ask(hanging, good)
    for _ in range(3):
        assert await moderation.list_active([LIVE], [ANA]) == []
    assert (hanging.asked, good.asked) == (1, 3)


@pytest.mark.parametrize("is_one_target", [True, False])
async def test_a_replica_that_is_away_makes_no_call_fail(ask: Start, is_one_target: bool) -> None:
    replicas = [Replica(status=grpc.StatusCode.UNAVAILABLE), Replica(), Replica()]
    moderation = await ask(*replicas, is_one_target=is_one_target)
    for _ in range(6):
        assert await moderation.list_active([LIVE], [ANA]) == []
    assert sum(len(replica.listed) for replica in replicas) == 6


async def test_replicas_behind_one_name_share_the_calls(ask: Start) -> None:
    replicas = [Replica(), Replica()]
    moderation = await ask(*replicas, is_one_target=True)
    async with asyncio.timeout(60):
        while not all(replica.asked for replica in replicas):
            await moderation.list_active([LIVE], [ANA])


@pytest.mark.parametrize(
    ("status", "refusal"),
    [
        (grpc.StatusCode.NOT_FOUND, SanctionNotFound),
        (grpc.StatusCode.PERMISSION_DENIED, NotPermitted),
        (grpc.StatusCode.INVALID_ARGUMENT, InvalidInput),
    ],
)
async def test_a_refusal_is_final_and_no_outage(ask: Start, status: grpc.StatusCode, refusal: type[Refusal]) -> None:
    refusing, other = Replica(status=status), Replica()
    moderation = await ask(refusing, other)
    with pytest.raises(refusal) as told:
        await moderation.lift_sanction(5, ADMIN)
    assert "replica" not in str(told.value)
    assert other.asked == 0


async def test_every_call_carries_the_trace_it_belongs_to_with_a_span_of_its_own_and_none_where_there_is_none(
    ask: Start,
) -> None:
    away, replica = Replica(status=grpc.StatusCode.UNAVAILABLE), Replica()
    moderation = await ask(away, replica)
    with hold_trace(TRACE):
        await moderation.list_active([LIVE], [ANA])
        await moderation.list_sanctions(slug=None, active=False, first=1, before_id=None)
        await moderation.lift_sanction(5, ADMIN)
    carried = [*away.traces, *replica.traces]
    assert [str(trace)[:36] for trace in carried] == [TRACE[:36]] * 4
    assert len({TRACE, *carried}) == 5
    await moderation.list_active([LIVE], [ANA])
    assert replica.traces[3:] == [None]


async def test_only_what_is_aimed_at_the_people_asked_for_is_read_without_addresses_and_in_parts(ask: Start) -> None:
    replica = Replica()
    moderation = await ask(replica)
    people = [Target(UserId(number), None) for number in range(1, 1_500)]
    await moderation.list_active([LIVE], [*people, Target(None, "Anonymous_3f2a")])
    first, second = replica.listed
    assert [len(first.target_user_ids), len(second.target_user_ids)] == [1_000, 499]
    assert [list(first.target_usernames), list(second.target_usernames)] == [[], ["Anonymous_3f2a"]]
    assert all(list(r.slugs) == ["live"] and r.without_addresses for r in replica.listed)
    await moderation.list_active([LIVE], [])
    assert len(replica.listed) == 2
