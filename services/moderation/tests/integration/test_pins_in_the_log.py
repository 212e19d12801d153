"""A pin: decided, told in the room's log without the text, and gone with its message. Real NATS, real databases."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol, TypeAlias

import pytest
from room_log import (
    ADMIN,
    LOG,
    OTHER,
    STREAM,
    Clock,
    Room,
    api,
    ban_with_purge,
    clear,
    connection_to,
    delete,
    open_room,
    pin,
    ports_of,
    purge,
    undo,
    unpin,
)

from chassis.database import Database
from chassis.tasks import end_tasks
from moderation.adapters.log import NatsLog
from moderation.adapters.store.tables import AuditRow, OutboxRow, PinRow
from moderation.domain.commands import Order, OutboxItem
from moderation.domain.people import Moderator, Rank
from moderation.errors import LogUnavailable, MessageNotFound, MessageWanted, NothingToUndo, NotPermitted
from moderation.ports import Ports
from moderation.usecases import outbox
from moderation.usecases.execute import execute
from moderation.usecases.outbox import keep_working
from salon.events.v1 import events_pb2 as pb

pytestmark = pytest.mark.integration
Eventually: TypeAlias = Callable[..., Awaitable[None]]
USER = Moderator(7, Rank.USER)
MODERATOR_ID = 2


class Nats(Protocol):
    url: str

    def start(self) -> None: ...

    def stop(self) -> None: ...


@pytest.fixture
async def room(nats_server: Nats) -> AsyncIterator[Room]:
    found = await open_room(nats_server.url)
    yield found
    await found.client.close()


@pytest.fixture
async def replicas(database: Database, nats_server: Nats, room: Room) -> AsyncIterator[list[Ports]]:
    """Two on one database, connected."""
    clock = Clock(lambda: time.time_ns() // 1_000_000)
    connections = [connection_to(nats_server.url) for _ in range(2)]
    running = [asyncio.create_task(connection.run()) for connection in connections]
    found = [ports_of(database, connection, clock) for connection in connections]
    async with asyncio.timeout(30):
        while not all(connection.is_connected for connection in connections):  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)
    yield found
    await end_tasks([*running, *(task for ports in found for task in ports.outbox_work)])


async def told(room: Room) -> list[tuple[str, int]]:
    """Kind and message of each entry about the pin."""
    found: list[tuple[str, int]] = []
    for entry in (await room.entries()).values():
        kind = entry.WhichOneof("entry") or ""
        if kind.endswith("pinned"):
            found.append((kind, getattr(entry, kind).message_id))
    return found


async def all_done(replicas: list[Ports], eventually: Eventually) -> None:
    """What their outbox has still to do."""

    async def nothing_waits() -> bool:
        return (await replicas[0].outbox.backlog()).waiting == 0

    working = [asyncio.create_task(keep_working(ports)) for ports in replicas]
    try:
        await eventually(nothing_waits)
    finally:
        await end_tasks(working)


async def pinned(ports: Ports) -> str | None:
    """The text that is kept."""
    (known,) = await ports.store.pins_of(["live"])
    return None if known.message is None else known.message.text


async def test_the_room_is_told_once_by_the_id_of_the_message_and_nothing_is_erased(
    replicas: list[Ports], room: Room
) -> None:
    message_id = await room.say("be kind")
    receipt = await execute(replicas[0], pin(message_id, nonce="n1"))
    ((entry_id, entry),) = [(i, e) for i, e in (await room.entries()).items() if e.WhichOneof("entry") != "message"]
    (known,) = await replicas[1].store.pins_of(["live"])
    assert receipt.entry_id == entry_id
    assert entry.message_pinned == pb.MessagePinned(
        message_id=message_id, version=known.version, moderator_user_id=MODERATOR_ID
    )
    assert entry.origin == pb.CommandOrigin(edge="e" * 32, token=9, nonce="n1", action_id=receipt.action_id)
    assert known.message == await replicas[1].log.find(LOG, message_id)
    again = await execute(replicas[1], pin(message_id, nonce="n1"))
    assert (again.action_id, again.entry_id, again.repeated) == (receipt.action_id, entry_id, True)
    await execute(replicas[1], unpin(message_id))
    assert await told(room) == [("message_pinned", message_id), ("message_unpinned", message_id)]
    assert (await room.texts(), await room.erasures(), await pinned(replicas[0])) == (["be kind"], [], None)


async def test_an_undone_pin_is_told_like_any_other_with_what_was_pinned_before(
    replicas: list[Ports], room: Room
) -> None:
    """Read in the log anew, where it can be."""
    here, there = replicas
    rules, abuse = await room.say("be kind"), await room.say("bad words")
    first = await execute(here, pin(rules))
    second = await execute(here, pin(abuse))
    undone = await execute(there, undo(second.action_id, nonce="n1"))
    assert undone.undone is not None
    assert (undone.undone.brings_entry, undone.undone.not_undone) == (True, ())
    entry = (await room.entries())[undone.entry_id]
    assert (entry.message_pinned.message_id, entry.message_pinned.moderator_user_id) == (rules, ADMIN.user_id)
    assert entry.origin == pb.CommandOrigin(edge="e" * 32, token=9, nonce="n1", action_id=undone.action_id)
    assert await pinned(here) == "be kind"
    await execute(here, undo(undone.action_id))
    await execute(here, delete(abuse))
    assert await pinned(here) is None
    third = await execute(here, pin(await room.say("another")))
    gone = await execute(here, undo(third.action_id))
    assert (await pinned(here), gone.undone and gone.undone.not_undone) == (None, ())
    with pytest.raises(NothingToUndo):
        await execute(here, undo(first.action_id))
    assert [kind for kind, _ in await told(room)] == ["message_pinned"] * 5 + ["message_unpinned"]


async def test_what_was_pinned_before_and_was_taken_back_since_is_not_pinned_again(
    replicas: list[Ports], room: Room
) -> None:
    here, there = replicas
    rules, abuse = await room.say("be kind"), await room.say("bad words")
    await execute(here, pin(rules))
    second = await execute(here, pin(abuse))
    await execute(there, delete(rules))
    undone = await execute(there, undo(second.action_id))
    assert undone.undone is not None
    assert (await pinned(here), undone.undone.not_undone) == (None, ("pin",))
    assert (await told(room))[-1] == ("message_unpinned", abuse)
    assert "be kind" not in str(await PinRow.all().values())


async def test_a_pin_that_changes_faster_than_it_is_read_is_left_as_it_is(replicas: list[Ports], room: Room) -> None:
    ports, asked = replicas[0], list[int]()

    async def never_enough(*_: object, **__: object) -> None:
        asked.append(len(asked) + 1)
        raise MessageWanted(asked[-1])

    ports.store.undo = never_enough  # type: ignore[method-assign, assignment]
    with pytest.raises(LogUnavailable):
        await execute(ports, undo(1))
    assert asked == [1, 2, 3, 4, 5]


async def test_a_change_that_fails_by_a_defect_again_and_again_keeps_the_later_ones_no_longer(
    replicas: list[Ports], room: Room, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "RETRY_LONGEST_S", 0.001)
    monkeypatch.setattr(outbox, "LOOK_EVERY_S", 0.01)
    first, second = await room.say("be kind"), await room.say("or not")
    here, append = replicas[0], NatsLog.append

    async def fails(log: NatsLog, item: OutboxItem, **values: Any) -> int:
        if item.change.last_id == first:
            raise ValueError("what this version cannot write")
        return await append(log, item, **values)

    monkeypatch.setattr(NatsLog, "append", fails)
    assert (await execute(here, pin(first))).entry_id == 0
    await execute(here, pin(second))
    await all_done(replicas, eventually)
    assert await told(room) == [("message_pinned", second)]
    assert await pinned(here) == "or not"


async def test_a_user_pins_nothing_and_nobody_what_is_not_there(replicas: list[Ports], room: Room) -> None:
    ports, message_id = replicas[0], await room.say("hello")
    for refused in (pin(message_id, USER), unpin(message_id, USER)):
        with pytest.raises(NotPermitted):
            await execute(ports, refused)
    for absent in (pin(message_id + 256), pin(message_id, log=OTHER), pin(message_id, log=None), unpin(message_id)):
        with pytest.raises(MessageNotFound):
            await execute(ports, absent)
    receipt = await execute(ports, pin(message_id))
    with pytest.raises(MessageNotFound):
        await execute(ports, pin(receipt.entry_id))
    await execute(ports, delete(message_id))
    with pytest.raises(MessageNotFound):
        await execute(ports, pin(message_id))
    assert sorted([row.action for row in await AuditRow.all()]) == [5, 21]


@pytest.mark.parametrize("how", ["delete", "delete one's own", "purge", "ban and purge", "clear"])
async def test_what_takes_a_pinned_message_back_leaves_its_text_nowhere(
    replicas: list[Ports], room: Room, how: str
) -> None:
    here, there = replicas
    message_id = await room.say("goes")
    await execute(here, pin(message_id))
    assert await pinned(there) == "goes"
    orders: dict[str, Order] = {
        "delete": delete(message_id),
        "delete one's own": delete(message_id, Moderator(5, Rank.USER)),
        "purge": purge(),
        "ban and purge": ban_with_purge(),
        "clear": clear(),
    }
    await execute(there, orders[how])
    await asyncio.gather(*there.outbox_work)
    assert (await pinned(here), await room.texts()) == (None, [])
    assert "goes" not in str([*await PinRow.all().values(), *await OutboxRow.all().values()])
    assert "goes" not in str((await room.entries()).values())


async def test_two_who_pin_at_once_are_told_in_one_order_and_the_last_one_holds(
    replicas: list[Ports], room: Room, eventually: Eventually
) -> None:
    messages = [await room.say(f"{number}") for number in range(8)]
    await asyncio.gather(*(execute(replicas[n % 2], pin(message)) for n, message in enumerate(messages)))
    await all_done(replicas, eventually)
    entries = [e.message_pinned for e in (await room.entries()).values() if e.HasField("message_pinned")]
    assert sorted(entry.message_id for entry in entries) == messages
    versions = [entry.version for entry in entries]
    assert versions == sorted(versions)
    (known,) = await replicas[0].store.pins_of(["live"])
    assert known.message is not None
    assert (known.message.id, known.version) == (entries[-1].message_id, versions[-1])


async def test_what_is_pinned_can_be_deleted_also_where_the_log_has_let_go_of_it(
    replicas: list[Ports], room: Room
) -> None:
    ports, message_id = replicas[0], await room.say("goes")
    await execute(ports, pin(message_id))
    await api(room.client, f"STREAM.MSG.DELETE.{STREAM}", {"seq": message_id // 256})
    with pytest.raises(NotPermitted):
        await execute(ports, delete(message_id, USER))
    receipt = await execute(ports, delete(message_id, ADMIN))
    entry = (await room.entries())[receipt.entry_id]
    assert (entry.message_deleted.message_id, entry.message_deleted.user_id) == (message_id, 5)
    assert (await pinned(ports), len(await room.erasures())) == (None, 1)
    with pytest.raises(MessageNotFound):
        await execute(ports, delete(message_id, ADMIN))


async def test_without_nats_nothing_is_pinned_and_what_is_can_be_deleted_by_who_it_is_not_known_of_otherwise(
    replicas: list[Ports], room: Room, nats_server: Nats, eventually: Eventually
) -> None:
    ports, message_id = replicas[0], await room.say("goes")
    await execute(ports, pin(message_id))
    nats_server.stop()
    try:
        with pytest.raises(LogUnavailable):
            await execute(ports, pin(message_id))
        await execute(ports, delete(message_id, target_rank=None))
        assert await pinned(ports) is None
    finally:
        nats_server.start()
    await all_done([ports], eventually)
    assert await room.texts() == []
