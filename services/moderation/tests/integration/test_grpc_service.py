"""One replica in this process: a real gRPC server, a real NATS server, SQLite, and a clock of our own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import grpc
import grpc.aio
import nats
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from nats.aio.client import Client

from chassis.nats_connection import NatsSettings
from moderation.bootstrap import serving
from moderation.config import Config
from moderation.domain.admission import Now
from salon.moderation.v1 import moderation_pb2 as pb, moderation_pb2_grpc as pb_grpc

pytestmark = pytest.mark.integration

SUBJECT = "salon.v1.moderation.sanction"
ADMITTED = pb.Verdict.DECISION_ADMITTED
REPEATED = pb.Verdict.DECISION_REPEATED
RATE_LIMITED = pb.Verdict.DECISION_RATE_LIMITED
SANCTIONED = pb.Verdict.DECISION_SANCTIONED
Eventually: TypeAlias = Callable[..., Awaitable[None]]


class Nats(Protocol):
    url: str

    def start(self) -> None: ...

    def stop(self) -> None: ...


class Clock:
    """Time stands still until told."""

    def __init__(self) -> None:
        self.ms = 1_800_000_000_000

    def now(self) -> Now:
        return Now(self.ms * 1_000_000, self.ms)

    def advance(self, seconds: float) -> None:
        self.ms += int(seconds * 1000)


class Edge:
    """What an edge does with a replica: one Admit stream, and calls."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.stub = pb_grpc.ModerationServiceStub(channel)
        self.channel = channel
        self._stream: Any = None

    async def open(self) -> pb.Limits:
        self._stream = self.stub.Admit()
        first: pb.AdmitResponse = await self._stream.read()
        assert not first.verdicts
        return first.limits

    async def ask(self, request: pb.AdmitRequest) -> list[pb.Verdict]:
        await self._stream.write(request)
        async with asyncio.timeout(60):
            response: pb.AdmitResponse = await self._stream.read()
        return list(response.verdicts)

    async def say(self, who: pb.Speaker, count: int = 1, *, slug: str = "live", nonce: str = "") -> list[int]:
        checks = [pb.MessageCheck(id=n, speaker=who, slug=slug, life=1, nonce=nonce) for n in range(count)]
        return [v.decision for v in await self.ask(pb.AdmitRequest(messages=checks))]

    async def arrive(self, who: pb.Speaker, *, slug: str = "live", final: bool = True) -> pb.Verdict:
        check = pb.ArrivalCheck(id=7, speaker=who, slug=slug, final=final)
        return (await self.ask(pb.AdmitRequest(checks=[check])))[0]

    async def act(self, action: pb.Action.ValueType, *, by: pb.Speaker | None = None, **fields: Any) -> pb.ActResponse:
        request = pb.ActRequest(moderator=by or ADMIN, action=action, scope=pb.SCOPE_ROOM, slug="live")
        for name, value in fields.items():
            setattr(request, name, value)
        return await self.stub.Act(request, timeout=60)


def user(user_id: int = 5, *, address: str = "10.0.0.5", rank: pb.Rank.ValueType = pb.RANK_USER) -> pb.Speaker:
    return pb.Speaker(
        user_id=user_id, username=f"user_{user_id}", address=address, rank=rank, connection=f"e:{user_id}"
    )


def anonymous(address: str = "10.0.0.5", connection: str = "e:100") -> pb.Speaker:
    return pb.Speaker(username=f"Anonymous_{address}", address=address, rank=pb.RANK_ANONYMOUS, connection=connection)


ADMIN = user(1, address="10.0.0.1", rank=pb.RANK_ADMIN)
MODERATOR = user(2, address="10.0.0.2", rank=pb.RANK_MODERATOR)


@asynccontextmanager
async def edge_of(url: str, directory: Path, clock: Clock) -> AsyncIterator[Edge]:
    config = Config(port=0, database_url=f"sqlite://{directory}/m.sqlite3", nats=NatsSettings(url))
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(serving(config, clock=clock.now))
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{port}"))
        edge = Edge(channel)
        await edge.open()
        yield edge


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def edge(nats_server: Nats, migrated_folder: Path, clock: Clock) -> AsyncIterator[Edge]:
    async with edge_of(nats_server.url, migrated_folder, clock) as found:
        yield found


async def events_of(url: str) -> tuple[Client, asyncio.Queue[pb.SanctionEvent]]:
    queue: asyncio.Queue[pb.SanctionEvent] = asyncio.Queue(100)
    client = await nats.connect(url, connect_timeout=5, max_reconnect_attempts=20, reconnect_time_wait=0.1)

    async def receive(message: Any) -> None:
        queue.put_nowait(pb.SanctionEvent.FromString(message.data))

    await client.subscribe(SUBJECT, cb=receive)
    await client.flush()
    return client, queue


async def health_of(edge: Edge, service: str = "") -> int:
    stub = health_pb2_grpc.HealthStub(edge.channel)  # type: ignore[no-untyped-call]  # not typed
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=60)
    return int(answer.status)


async def is_ready(edge: Edge) -> bool:
    return await health_of(edge) == health_pb2.HealthCheckResponse.SERVING


async def test_the_first_answer_on_a_stream_carries_the_limits(edge: Edge) -> None:
    assert await edge.open() == pb.Limits(messages_per_window=10, window_ms=10_000, messages_per_address=100)


async def test_ten_messages_in_ten_seconds_are_admitted_and_the_next_one_told_when(edge: Edge, clock: Clock) -> None:
    assert await edge.say(user(), 11) == [ADMITTED] * 10 + [RATE_LIMITED]
    clock.advance(4)
    check = pb.MessageCheck(id=1, speaker=user(), slug="other", life=9)
    (verdict,) = await edge.ask(pb.AdmitRequest(messages=[check]))
    assert verdict == pb.Verdict(id=1, decision=RATE_LIMITED, retry_after_ms=6_000)
    clock.advance(6)
    assert await edge.say(user()) == [ADMITTED]


async def test_the_same_nonce_is_free_and_recognised(edge: Edge) -> None:
    assert await edge.say(user(), nonce="n") == [ADMITTED]
    assert await edge.say(user(), 20, nonce="n") == [REPEATED] * 20
    assert await edge.say(user(), 10) == [ADMITTED] * 9 + [RATE_LIMITED]


async def test_an_empty_request_is_answered_as_well(edge: Edge) -> None:
    assert await edge.ask(pb.AdmitRequest()) == []


async def test_a_muted_user_is_refused_from_the_moment_the_moderator_is_answered(edge: Edge) -> None:
    await edge.arrive(user())
    done = await edge.act(pb.ACTION_MUTE, by=MODERATOR, target_user_id=5, target_rank=pb.RANK_USER, reason="spam")
    assert done.permitted
    assert await edge.say(user()) == [SANCTIONED]
    assert await edge.say(user(), slug="elsewhere") == [ADMITTED]
    assert (await edge.arrive(user())).decision == ADMITTED
    assert (await edge.act(pb.ACTION_UNMUTE, by=MODERATOR, target_user_id=5)).permitted
    assert await edge.say(user()) == [ADMITTED]


async def test_a_banned_user_does_not_get_in_and_is_told_until_when(edge: Edge, clock: Clock) -> None:
    await edge.act(pb.ACTION_BAN, target_user_id=5, duration_minutes=60)
    clock.advance(60 * 59)
    verdict = await edge.arrive(user(), final=False)
    assert (verdict.decision, verdict.retry_after_ms) == (SANCTIONED, 60_000)
    assert await edge.say(user()) == [SANCTIONED]
    clock.advance(60)
    assert (await edge.arrive(user())).decision == ADMITTED


async def test_a_permanent_ban_everywhere_has_no_end_and_no_room(edge: Edge, clock: Clock) -> None:
    await edge.act(pb.ACTION_BAN, target_user_id=5, scope=pb.SCOPE_EVERYWHERE)
    clock.advance(10**7)
    verdict = await edge.arrive(user(), slug="anywhere")
    assert (verdict.decision, verdict.retry_after_ms) == (SANCTIONED, 0)


@pytest.mark.parametrize(
    ("by", "action", "fields"),
    [
        (user(9), pb.ACTION_MUTE, {}),
        (anonymous("10.0.0.9"), pb.ACTION_MUTE, {}),
        (MODERATOR, pb.ACTION_BAN, {}),
        (MODERATOR, pb.ACTION_UNBAN, {}),
        (MODERATOR, pb.ACTION_MUTE, {"scope": pb.SCOPE_EVERYWHERE}),
        (MODERATOR, pb.ACTION_MUTE, {"target_rank": pb.RANK_MODERATOR}),
        (ADMIN, pb.ACTION_BAN, {"target_rank": pb.RANK_SUPERUSER}),
        (ADMIN, pb.ACTION_MUTE, {"target_user_id": 1}),
    ],
)
async def test_what_the_role_table_forbids_is_answered_with_not_permitted(
    edge: Edge, by: pb.Speaker, action: pb.Action.ValueType, fields: dict[str, Any]
) -> None:
    done = await edge.act(action, by=by, **{"target_user_id": 5, **fields})
    assert not done.permitted
    assert not done.HasField("event")
    assert await edge.say(user()) == [ADMITTED]


async def test_a_muted_user_who_drops_the_token_is_still_muted(edge: Edge) -> None:
    await edge.arrive(user(address="10.0.0.5"))
    done = await edge.act(pb.ACTION_MUTE, target_user_id=5)
    assert list(done.event.imposed[0].addresses) == ["10.0.0.5"]
    assert await edge.say(anonymous("10.0.0.5")) == [SANCTIONED]
    assert await edge.say(anonymous("10.0.0.6")) == [ADMITTED]
    assert await edge.say(user(6, address="10.0.0.5")) == [ADMITTED]


async def test_only_addresses_of_that_room_and_the_last_hour_are_followed(edge: Edge, clock: Clock) -> None:
    await edge.arrive(user(address="10.0.0.50"))
    clock.advance(3_601)
    await edge.arrive(user(address="10.0.0.51"), slug="elsewhere")
    await edge.ask(pb.AdmitRequest(sightings=[pb.Sighting(speaker=user(address="10.0.0.52"), slug="live")]))
    await asyncio.sleep(0.7)  # some are written, some may still be in memory
    done = await edge.act(pb.ACTION_MUTE, target_user_id=5)
    assert list(done.event.imposed[0].addresses) == ["10.0.0.52"]


async def test_a_sanction_follows_its_user_to_a_new_address_and_tells_silently(edge: Edge, nats_server: Nats) -> None:
    client, events = await events_of(nats_server.url)
    try:
        done = await edge.act(pb.ACTION_MUTE, target_user_id=5)
        async with asyncio.timeout(60):
            assert await events.get() == done.event
            await edge.arrive(user(address="2001:db8:1:2::/64"))
            assert await edge.say(anonymous("2001:db8:1:2::/64")) == [SANCTIONED]
            followed = await events.get()
    finally:
        await client.close()
    assert followed.silent
    assert followed.event_id > done.event.event_id
    assert list(followed.imposed[0].addresses) == ["2001:db8:1:2::/64"]
    listed = await edge.stub.ListActive(pb.ListActiveRequest(slugs=["live"]), timeout=60)
    assert list(listed.sanctions) == list(followed.imposed)


async def test_an_anonymous_target_is_held_by_the_address_in_the_name(edge: Edge) -> None:
    done = await edge.act(pb.ACTION_BAN, target_username="Anonymous_10.0.0.77")
    assert (done.event.target_user_id, done.event.target_username) == (0, "Anonymous_10.0.0.77")
    assert (await edge.arrive(anonymous("10.0.0.77", "e:1"))).decision == SANCTIONED
    assert (await edge.arrive(user(address="10.0.0.77"))).decision == ADMITTED


async def test_an_anonymous_target_with_a_hidden_address_is_found_where_it_was_seen(edge: Edge) -> None:
    hidden = pb.Speaker(username="Anonymous_3f2a", address="10.0.0.88", rank=pb.RANK_ANONYMOUS, connection="e:1")
    await edge.arrive(hidden)
    done = await edge.act(pb.ACTION_MUTE, target_username="Anonymous_3f2a")
    assert list(done.event.imposed[0].addresses) == ["10.0.0.88"]
    assert await edge.say(anonymous("10.0.0.88", "e:2")) == [SANCTIONED]


async def test_a_replaced_replica_keeps_windows_nonces_and_sanctions(
    nats_server: Nats, migrated_folder: Path, clock: Clock
) -> None:
    async with edge_of(nats_server.url, migrated_folder, clock) as edge:
        assert await edge.say(user(), 10) == [ADMITTED] * 10
        await edge.act(pb.ACTION_MUTE, target_user_id=6)
    clock.advance(3)
    async with edge_of(nats_server.url, migrated_folder, clock) as edge:
        carried = [
            pb.CarriedAdmission(speaker=user(), age_ms=3_000, life=1, nonce=f"n{n}", counts=True) for n in range(10)
        ]
        check = pb.MessageCheck(id=1, speaker=user(), slug="live", life=1)
        (verdict,) = await edge.ask(pb.AdmitRequest(carried=carried, messages=[check]))
        assert (verdict.decision, verdict.retry_after_ms) == (RATE_LIMITED, 7_000)
        assert await edge.say(user(), nonce="n4") == [REPEATED]
        assert await edge.say(user(6)) == [SANCTIONED]


async def test_an_edge_that_comes_back_to_the_same_replica_is_not_counted_twice(edge: Edge, clock: Clock) -> None:
    await edge.say(user(), 6)
    clock.advance(1)
    await edge.open()
    carried = [pb.CarriedAdmission(speaker=user(), age_ms=990, life=1, counts=True) for _ in range(6)]
    await edge.ask(pb.AdmitRequest(carried=carried))
    assert await edge.say(user(), 5) == [ADMITTED] * 4 + [RATE_LIMITED]


async def test_sightings_outlive_the_replica_that_saw_them(
    nats_server: Nats, migrated_folder: Path, clock: Clock
) -> None:
    async with edge_of(nats_server.url, migrated_folder, clock) as edge:
        await edge.arrive(user(address="10.0.0.90"))
    async with edge_of(nats_server.url, migrated_folder, clock) as edge:
        done = await edge.act(pb.ACTION_MUTE, target_user_id=5)
    assert list(done.event.imposed[0].addresses) == ["10.0.0.90"]


async def test_imposing_again_replaces_and_tells_which(edge: Edge) -> None:
    first = await edge.act(pb.ACTION_MUTE, target_user_id=5)
    again = await edge.act(pb.ACTION_MUTE, target_user_id=5, duration_minutes=1)
    assert list(again.event.lifted_ids) == [first.event.imposed[0].id]
    verdict = (await edge.ask(pb.AdmitRequest(messages=[pb.MessageCheck(id=1, speaker=user(), slug="live", life=1)])))[
        0
    ]
    assert verdict.retry_after_ms == 60_000


async def test_a_sanction_is_lifted_by_its_id_and_told_to_all(edge: Edge, nats_server: Nats, clock: Clock) -> None:
    sanction = (await edge.act(pb.ACTION_BAN, target_user_id=5)).event.imposed[0]
    client, events = await events_of(nats_server.url)
    try:
        clock.advance(1)
        lifted = await edge.stub.LiftSanction(pb.LiftSanctionRequest(id=sanction.id, moderator=ADMIN), timeout=60)
        async with asyncio.timeout(60):
            event = await events.get()
    finally:
        await client.close()
    assert lifted.sanction.lifted_at_ms == clock.ms
    assert (event.action, list(event.lifted_ids), event.slug) == (pb.ACTION_UNBAN, [sanction.id], "live")
    assert (await edge.arrive(user())).decision == ADMITTED
    again = await edge.stub.LiftSanction(pb.LiftSanctionRequest(id=sanction.id, moderator=ADMIN), timeout=60)
    assert again == lifted


@pytest.mark.parametrize(
    ("sanction_id", "by", "code"),
    [(99, ADMIN, grpc.StatusCode.NOT_FOUND), (1, MODERATOR, grpc.StatusCode.PERMISSION_DENIED)],
)
async def test_a_sanction_that_may_not_be_lifted_is_refused_by_code(
    edge: Edge, sanction_id: int, by: pb.Speaker, code: grpc.StatusCode
) -> None:
    await edge.act(pb.ACTION_BAN, target_user_id=5)
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await edge.stub.LiftSanction(pb.LiftSanctionRequest(id=sanction_id, moderator=by), timeout=60)
    assert refusal.value.code() == code


async def test_the_history_is_paged_newest_first_and_clamped(edge: Edge) -> None:
    for number in range(3):
        await edge.act(pb.ACTION_MUTE, target_user_id=10 + number)

    async def page(**fields: Any) -> Sequence[int]:
        found = await edge.stub.ListSanctions(pb.ListSanctionsRequest(**fields), timeout=60)
        return [s.target_user_id for s in found.sanctions]

    assert await page(first=2_000_000_000) == [12, 11, 10]
    assert await page(first=2) == [12, 11]
    assert await page(first=2, before_id=2) == [10]
    assert await page(first=-1) == []
    assert await page(first=5, slug="elsewhere") == []


async def test_a_request_that_cannot_be_meant_is_an_invalid_argument(edge: Edge) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await edge.act(pb.ACTION_MUTE, target_user_id=5, duration_minutes=-1)
    assert (refusal.value.code(), refusal.value.details()) == (grpc.StatusCode.INVALID_ARGUMENT, "bad duration_minutes")


async def test_more_than_a_thousand_slugs_are_refused_rather_than_cut(edge: Edge) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await edge.stub.ListActive(pb.ListActiveRequest(slugs=["s"] * 1_001), timeout=60)
    assert refusal.value.details() == "bad slugs"
    assert not (await edge.stub.ListActive(pb.ListActiveRequest(slugs=["s"] * 1_000), timeout=60)).sanctions


async def test_without_nats_all_goes_on_but_readiness_and_it_reconnects(
    edge: Edge, nats_server: Nats, eventually: Eventually
) -> None:
    async def is_not_ready() -> bool:
        return not await is_ready(edge)

    await eventually(lambda: is_ready(edge))
    nats_server.stop()
    await eventually(is_not_ready)
    assert await health_of(edge, "live") == health_pb2.HealthCheckResponse.SERVING
    assert (await edge.act(pb.ACTION_MUTE, target_user_id=5)).permitted
    assert await edge.say(user()) == [SANCTIONED]
    nats_server.start()
    await eventually(lambda: is_ready(edge))


async def test_reflection_names_the_service(edge: Edge) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(edge.channel)  # type: ignore[no-untyped-call]  # not typed
    call = stub.ServerReflectionInfo()
    await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
    answer = await call.read()
    assert "salon.moderation.v1.ModerationService" in [s.name for s in answer.list_services_response.service]
    await call.done_writing()


async def test_who_asks_about_a_room_is_not_told_all_that_holds_everywhere_with_all_its_addresses(edge: Edge) -> None:
    for user_id in range(10, 30):
        for n in range(20):
            await edge.arrive(user(user_id, address=f"10.{user_id}.0.{n}"))
        await edge.act(pb.ACTION_BAN, target_user_id=user_id, scope=pb.SCOPE_EVERYWHERE)
    await edge.act(pb.ACTION_MUTE, target_user_id=10)
    slugs = ["live"]

    async def told(**fields: Any) -> pb.ListActiveResponse:
        return await edge.stub.ListActive(pb.ListActiveRequest(slugs=slugs, **fields), timeout=60)

    everything = await told()
    assert len(everything.sanctions) == 21
    room = await told(room_only=True)
    assert [s.target_user_id for s in room.sanctions] == [10]
    people = await told(target_user_ids=[10, 99], target_usernames=["Anonymous_3f2a"], without_addresses=True)
    assert [(s.target_user_id, s.scope, len(s.addresses)) for s in people.sanctions] == [
        (10, pb.SCOPE_EVERYWHERE, 0),
        (10, pb.SCOPE_ROOM, 0),
    ]
    assert everything.ByteSize() > 5_000
    assert people.ByteSize() < 200


async def test_who_asks_about_more_than_a_thousand_targets_is_refused(edge: Edge) -> None:
    request = pb.ListActiveRequest(target_user_ids=range(1, 1_001), target_usernames=["Anonymous_1"])
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await edge.stub.ListActive(request, timeout=60)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
