"""The trace of a sanction: from the call into the event, and from the event into the log of those who hear it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc.aio
import nats
import pytest
from nats.aio.client import Client
from structlog.contextvars import get_contextvars

from chassis.nats_connection import NatsSettings
from moderation.adapters.nats import SUBJECT, NatsEvents
from moderation.api.grpc.convert import decode_event
from moderation.bootstrap import serving
from moderation.config import Config
from salon.moderation.v1 import moderation_pb2 as pb, moderation_pb2_grpc as pb_grpc

pytestmark = pytest.mark.integration

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
REQUEST = pb.ActRequest(
    moderator=pb.Speaker(user_id=1, username="admin", address="10.0.0.1", rank=pb.RANK_ADMIN, connection="e:1"),
    action=pb.ACTION_MUTE,
    target_user_id=5,
    scope=pb.SCOPE_ROOM,
    slug="live",
)


@pytest.fixture
async def bus(nats_server: Any) -> AsyncIterator[Client]:
    """What others say and hear on NATS."""
    client = await nats.connect(nats_server.url, connect_timeout=5, max_reconnect_attempts=20, reconnect_time_wait=0.1)
    yield client
    await client.close()


async def test_an_event_carries_the_trace_of_the_call_that_made_it_where_that_had_a_valid_one(
    bus: Client, nats_server: Any, migrated_folder: Path
) -> None:
    heard = await bus.subscribe(SUBJECT)
    await bus.flush()
    config = Config(port=0, database_url=f"sqlite://{migrated_folder}/m.sqlite3", nats=NatsSettings(nats_server.url))
    async with (
        serving(config) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        stub = pb_grpc.ModerationServiceStub(channel)
        await stub.Act(REQUEST, timeout=60, metadata=(("traceparent", TRACE),))
        await stub.Act(REQUEST, timeout=60, metadata=(("traceparent", "00-abc-def-01"),))
        await stub.Act(REQUEST, timeout=60)
        traced, malformed, untraced = [await heard.next_msg(60) for _ in range(3)]
    assert traced.headers is not None
    carried = traced.headers["traceparent"]
    assert (carried[:36], carried[-3:], len(carried)) == (TRACE[:36], "-01", len(TRACE))
    assert carried != TRACE
    assert (malformed.headers, untraced.headers) == (None, None)


async def test_another_replica_applies_an_event_under_its_trace_and_a_malformed_one_stops_nothing(
    bus: Client, nats_server: Any
) -> None:
    held: asyncio.Queue[str | None] = asyncio.Queue()
    connected = asyncio.Event()
    events = NatsEvents(
        NatsSettings(nats_server.url).access,
        encode=lambda _: b"",
        encode_warnings=lambda _: b"",
        encode_roles=lambda _: b"",
        encode_revocation=lambda _: b"",
        encode_feed=lambda _: b"",
        encode_holds=lambda _: b"",
        decode=decode_event,
        received=lambda _: held.put_nowait(get_contextvars().get("trace")),
        restored=connected.set,
    )
    payload = pb.SanctionEvent(
        event_id=1, action=pb.ACTION_UNMUTE, target_user_id=5, scope=pb.SCOPE_ROOM, slug="live", moderator_user_id=1
    ).SerializeToString()
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(events.run())
        await connected.wait()
        for headers in ({"traceparent": TRACE}, {"traceparent": f"{TRACE}-x"}, {"traceparent": "é"}, None):
            await bus.publish(SUBJECT, payload, headers=headers)
        assert [await held.get() for _ in range(4)] == [TRACE, None, None, None]
        running.cancel()
