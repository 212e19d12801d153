"""Deletions, purges and clears in the log of a room: real NATS, real databases."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol, TypeAlias

import pytest
from room_log import (
    OTHER,
    Clock,
    Room,
    connection_to,
    delete,
    open_room,
    ports_of,
)

from chassis.database import Database
from moderation.adapters.store.tables import AuditRow, OutboxRow
from moderation.domain.people import Moderator, Rank, Target
from moderation.errors import MessageNotFound, NotPermitted
from moderation.ports import Ports
from moderation.usecases.execute import execute
from salon.events.v1 import events_pb2 as pb

pytestmark = pytest.mark.integration
Eventually: TypeAlias = Callable[..., Awaitable[None]]
ANONYMOUS = Target(0, "Anonymous_10.0.0.5")


class Nats(Protocol):
    url: str

    def start(self) -> None: ...

    def stop(self) -> None: ...


@pytest.fixture
def clock() -> Clock:
    return Clock(lambda: time.time_ns() // 1_000_000)


@pytest.fixture
async def room(nats_server: Nats) -> AsyncIterator[Room]:
    found = await open_room(nats_server.url)
    yield found
    await found.client.close()


@pytest.fixture
async def ports(database: Database, nats_server: Nats, clock: Clock, eventually: Eventually) -> AsyncIterator[Ports]:
    """One replica, whose connection stands."""
    connection = connection_to(nats_server.url)
    running = asyncio.create_task(connection.run())

    async def is_connected() -> bool:
        return connection.is_connected

    await eventually(is_connected)
    yield ports_of(database, connection, clock)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def audit() -> AuditRow:
    return await AuditRow.all().order_by("-id").first() or AuditRow()


async def test_a_deletion_is_an_entry_and_then_its_text_is_gone(ports: Ports, room: Room) -> None:
    await room.say("before")
    message_id = await room.say("bad words", username="ana")
    await room.say("after")
    receipt = await execute(ports, delete(message_id, nonce="n1"))
    entries = await room.entries()
    assert await room.texts() == ["before", "after"]
    told = entries[receipt.entry_id]
    assert list(entries)[-1] == receipt.entry_id
    deleted = pb.MessageDeleted(
        message_id=message_id,
        user_id=5,
        username="ana",
        moderator_user_id=2,
        message_key=told.message_deleted.message_key,
    )
    assert told.message_deleted == deleted
    assert deleted.message_key.startswith("key")
    assert told.origin == pb.CommandOrigin(edge="e" * 32, token=9, nonce="n1", action_id=receipt.action_id)
    assert await room.erasures() == [told]
    row = await audit()
    assert (row.id, row.action, row.message_id, row.message_text) == (receipt.action_id, 5, message_id, "bad words")
    assert (row.target_user_id, row.moderator_user_id, row.reason, row.slug) == (5, 2, "spam", "live")
    assert (await OutboxRow.get(action_id=receipt.action_id)).done_at_ms is not None


async def test_what_was_deleted_before_is_not_there(ports: Ports, room: Room) -> None:
    message_id = await room.say("bad words")
    await execute(ports, delete(message_id))
    with pytest.raises(MessageNotFound):
        await execute(ports, delete(message_id))
    assert await AuditRow.all().count() == 1


async def test_only_a_message_of_that_log_can_be_deleted(ports: Ports, room: Room) -> None:
    message_id = await room.say("here")
    receipt = await execute(ports, delete(message_id))
    elsewhere = await Room(room.client, OTHER).say("there")
    for wrong in (elsewhere, receipt.entry_id, elsewhere + 1, 3, 1 << 52):
        with pytest.raises(MessageNotFound):
            await execute(ports, delete(wrong))
    with pytest.raises(MessageNotFound):
        await execute(ports, delete(elsewhere, log=None))
    assert await Room(room.client, OTHER).texts() == ["there"]


async def test_an_author_may_delete_what_they_said_within_ten_minutes(ports: Ports, room: Room, clock: Clock) -> None:
    ana = Moderator(5, Rank.USER)
    first, second = await room.say("first"), await room.say("second")
    clock.ahead_ms = 590_000
    receipt = await execute(ports, delete(first, ana, target_rank=Rank.USER))
    assert (await room.entries())[receipt.entry_id].message_deleted.moderator_user_id == 0
    clock.ahead_ms = 610_000
    with pytest.raises(NotPermitted):
        await execute(ports, delete(second, ana, target_rank=Rank.USER))
    with pytest.raises(NotPermitted):
        await execute(ports, delete(second, Moderator(6, Rank.USER)))
    assert await room.texts() == ["second"]
