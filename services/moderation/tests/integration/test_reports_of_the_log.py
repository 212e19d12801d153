"""A report reads its message in the room's log, with what stands around it. Real NATS, real databases."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Protocol

import pytest
from room_log import LOG, MODERATOR, OTHER, Clock, Room, connection_to, delete, open_room, pin, ports_of

from chassis.database import Database
from chassis.tasks import end_tasks
from moderation.domain.commands import Receipt
from moderation.domain.erasures import LogRef
from moderation.domain.people import Moderator, Rank, Target
from moderation.domain.reports import NEIGHBOURS, Neighbours, ReportCategory, ReportOrder
from moderation.errors import MessageNotFound, NotPermitted
from moderation.ports import Ports
from moderation.usecases.execute import execute, finish
from moderation.usecases.reports import list_reports, slug_of_report
from salon.events.v1 import events_pb2 as pb

pytestmark = pytest.mark.integration
BOB = Moderator(6, Rank.USER)


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


def order(
    message_id: int, *, by: Moderator = BOB, log: LogRef | None = LOG, target: Target | None = None
) -> ReportOrder:
    return ReportOrder(by, "bob", "live", log, message_id, target, ReportCategory.SPAM, "")


async def neighbours_of(receipt: Receipt) -> Neighbours:
    assert receipt.report is not None
    assert receipt.report.message is not None
    return receipt.report.message.neighbours


async def test_it_keeps_the_message_and_the_ids_around_it_without_what_is_no_message(room: Room, ports: Ports) -> None:
    ids = [await room.say(f"m{number}") for number in range(4)]
    await room.put(pb.LogEntry(room_cleared=pb.RoomCleared(up_to_id=1)))
    ids += [await room.say(f"m{number}") for number in range(4, 13)]
    middle = await execute(ports, order(ids[6]))
    assert middle.report is not None
    assert middle.report.message is not None
    assert (middle.report.message.id, middle.report.message.text) == (ids[6], "m6")
    assert (middle.report.target, middle.report.target_username) == (Target(5, ""), "user_5")
    assert await neighbours_of(middle) == Neighbours(tuple(ids[1:6]), tuple(ids[7:12]))
    assert len(ids[1:6]) == NEIGHBOURS
    assert await neighbours_of(await execute(ports, order(ids[0]))) == Neighbours((), tuple(ids[1:6]))
    assert await neighbours_of(await execute(ports, order(ids[-1]))) == Neighbours(tuple(ids[-6:-1]), ())
    assert len(await list_reports(ports, MODERATOR, "live", None, first=9, before_id=None)) == 3
    assert await slug_of_report(ports, middle.report.id) == "live"
    with pytest.raises(NotPermitted):
        await list_reports(ports, BOB, "live", None, first=9, before_id=None)
    with pytest.raises(NotPermitted):
        await list_reports(ports, MODERATOR, None, None, first=9, before_id=None)


async def test_what_is_not_there_or_ones_own_is_not_reported(room: Room, ports: Ports) -> None:
    mine, others = await room.say("mine", 6), await room.say("theirs")
    for refused in (order(mine), order(0, target=Target(6, "")), order(others, by=Moderator(0, Rank.ANONYMOUS))):
        with pytest.raises(NotPermitted):
            await execute(ports, refused)
    for missing in (order(others + 256), order(others, log=OTHER), order(others, log=None)):
        with pytest.raises(MessageNotFound):
            await execute(ports, missing)
    await execute(ports, delete(others))
    with pytest.raises(MessageNotFound):
        await execute(ports, order(others))
    assert await list_reports(ports, MODERATOR, "live", None, first=9, before_id=None) == []


async def test_what_is_pinned_may_be_reported_where_the_log_has_let_go_of_it(room: Room, ports: Ports) -> None:
    pinned = await room.say("read this")
    await execute(ports, pin(pinned))
    await ports.log.erase(LOG, pinned, overwrite=False)
    receipt = await execute(ports, order(pinned))
    assert await neighbours_of(receipt) == Neighbours()
    assert (await execute(ports, order(pinned))).repeated
