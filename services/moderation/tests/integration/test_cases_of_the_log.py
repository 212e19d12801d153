"""A case has the messages that the log still has. Real NATS, real databases."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Protocol

import pytest
from room_log import ANA, LOG, MODERATOR, OTHER, Clock, Room, connection_to, delete, open_room, ports_of

from chassis.database import Database
from chassis.tasks import end_tasks
from moderation.domain import cases
from moderation.domain.cases import AddNote, NoteOrder
from moderation.domain.people import Moderator, Rank, Target
from moderation.domain.visits import Visit
from moderation.errors import NoteNotFound, NotPermitted
from moderation.ports import Ports
from moderation.usecases.cases import get_case, slug_of_note
from moderation.usecases.execute import execute, finish
from moderation.usecases.refresh import write

pytestmark = pytest.mark.integration
GUEST = Target(0, "Anonymous_10.0.0.5")


class Nats(Protocol):
    url: str


@pytest.fixture
async def room(nats_server: Nats) -> AsyncIterator[Room]:
    found = await open_room(nats_server.url)
    yield found
    await found.client.close()


@pytest.fixture
async def ports(nats_server: Nats, room: Room, database: Database) -> AsyncIterator[Ports]:
    connection = connection_to(nats_server.url)
    running = asyncio.create_task(connection.run())
    subject = ports_of(database, connection, Clock(lambda: time.time_ns() // 1_000_000))
    async with asyncio.timeout(30):
        while not connection.is_connected:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)
    yield subject
    await finish(subject)
    await end_tasks([running, *subject.outbox_work])


async def texts(ports: Ports, target: Target = ANA, reader: Moderator = MODERATOR) -> list[str]:
    messages = (await get_case(ports, reader, "live", target, LOG, token_rank=Rank.USER)).messages
    assert messages is not None
    return [message.text for message in messages]


async def test_their_messages_that_are_not_gone_newest_first(
    room: Room, ports: Ports, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await texts(ports) == []
    ids = [await room.say(f"a{number}") for number in range(3)]
    await room.say("another", 6)
    await room.say("guest", 0)
    assert await texts(ports) == ["a2", "a1", "a0"]
    assert await texts(ports, GUEST) == ["guest"]
    await execute(ports, delete(ids[1]))
    assert await texts(ports) == ["a2", "a0"]
    monkeypatch.setattr("moderation.usecases.cases.MESSAGES_SHOWN", 1)
    assert await texts(ports) == ["a2"]
    assert (await get_case(ports, MODERATOR, "live", ANA, None, token_rank=Rank.USER)).messages == []
    assert (await get_case(ports, MODERATOR, "live", ANA, OTHER, token_rank=Rank.USER)).messages == []
    assert cases.MESSAGES_SHOWN == 100


async def test_who_reads_and_what_is_not_for_who_it_is_about(room: Room, ports: Ports) -> None:
    receipt = await execute(ports, NoteOrder(AddNote(MODERATOR, "mo", "live", ANA, "watch out")))
    assert receipt.note is not None
    assert (await get_case(ports, MODERATOR, "live", ANA, LOG, token_rank=Rank.USER)).notes == [receipt.note]
    assert (await get_case(ports, Moderator(5, Rank.ADMIN), "live", ANA, LOG, token_rank=Rank.USER)).notes == []
    assert await slug_of_note(ports, receipt.note.id) == "live"
    with pytest.raises(NoteNotFound):
        await slug_of_note(ports, receipt.note.id + 1)
    for nobody in (Moderator(5, Rank.USER), Moderator(0, Rank.ADMIN)):
        with pytest.raises(NotPermitted):
            await get_case(ports, nobody, "live", ANA, LOG, token_rank=Rank.USER)
    with pytest.raises(NotPermitted):
        await execute(ports, NoteOrder(AddNote(Moderator(5, Rank.ADMIN), "ana", "live", ANA, "I am fine")))


async def test_without_nats_the_rest_is_there(nats_server: Nats, database: Database) -> None:
    ports = ports_of(database, connection_to(nats_server.url), Clock(lambda: time.time_ns() // 1_000_000))
    ports.visits.put(Visit(5, "live", "ana"), 1_000)
    await write(ports)
    found = await get_case(ports, MODERATOR, "live", ANA, LOG, token_rank=Rank.USER)
    assert (found.messages, found.seen.names) == (None, ("ana",))
