"""Deletions, purges and clears in the log of a room: real NATS, real databases."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import pytest
from room_log import (
    ADMIN,
    LOG,
    MODERATOR,
    OTHER,
    STREAM,
    Clock,
    Room,
    api,
    ban_with_purge,
    clear,
    connection_to,
    delete,
    mute_with_purge,
    open_room,
    ports_of,
    purge,
)

from chassis.database import Database
from chassis.tasks import end_tasks
from moderation.adapters.store.outbox import LEASE_MS
from moderation.adapters.store.sanctions import TortoiseStore
from moderation.adapters.store.tables import AuditRow, OutboxRow
from moderation.domain import erasures
from moderation.domain.commands import ErasureOrder
from moderation.domain.people import Moderator, Rank, Target
from moderation.errors import LogUnavailable, MessageNotFound, NonceTaken, NotPermitted
from moderation.ports import Ports
from moderation.usecases import execute as module
from moderation.usecases.execute import execute
from moderation.usecases.outbox import GIVEN_UP_AFTER_MS, Progress, keep_working, work
from salon.events.v1 import events_pb2 as pb

pytestmark = pytest.mark.integration
Eventually: TypeAlias = Callable[..., Awaitable[None]]
ANONYMOUS = Target(0, "Anonymous_10.0.0.5")


class Nats(Protocol):
    url: str

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def save(self, snapshot: Path) -> None: ...


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


async def test_a_purge_takes_back_all_of_its_target_and_nothing_else(ports: Ports, room: Room) -> None:
    for number in range(3):
        await room.say(f"of ana {number}", username="ana")
        await room.say(f"of bob {number}", 6)
        await room.say(f"of nobody {number}", 0)
        await Room(room.client, OTHER).say(f"elsewhere {number}")
    last_id = await room.say("of bob, last", 6)
    receipt = await execute(ports, purge())
    entries = await room.entries()
    told = entries[receipt.entry_id].messages_purged
    assert (told.user_id, told.username, told.up_to_id, told.moderator_user_id) == (5, "ana", last_id, 2)
    assert len(told.message_keys) == 3
    assert [text for text in await room.texts() if "ana" in text] == []
    assert len(await room.texts()) == 7
    assert await Room(room.client, OTHER).texts() == ["elsewhere 0", "elsewhere 1", "elsewhere 2"]
    row = await audit()
    assert (row.action, row.target_user_id, row.message_id, row.message_text) == (6, 5, None, None)
    later = await room.say("ana again")
    assert later in await room.entries()
    await asyncio.gather(*ports.outbox_work)
    state = (await api(room.client, f"STREAM.INFO.{STREAM}", {"subjects_filter": ">"}))["state"]
    assert [subject for subject in state["subjects"] if subject.endswith(".fence")] == []


async def test_a_purge_of_somebody_anonymous_goes_by_their_name(ports: Ports, room: Room) -> None:
    await room.say("one", 0, username=ANONYMOUS.username)
    await room.say("two", 0, username="Anonymous_10.0.0.6")
    await room.say("three", 5)
    receipt = await execute(ports, purge(ANONYMOUS))
    told = (await room.entries())[receipt.entry_id].messages_purged
    assert (told.user_id, told.username) == (0, ANONYMOUS.username)
    assert await room.texts() == ["two", "three"]


async def test_a_purge_of_who_was_never_there_is_fine(ports: Ports, room: Room) -> None:
    receipt = await execute(ports, purge(Target(99, "")))
    told = (await room.entries())[receipt.entry_id].messages_purged
    assert (told.user_id, told.username, told.up_to_id, list(told.message_keys)) == (99, "", 0, [])


async def test_a_large_purge_reads_the_log_in_batches_and_erases_all(ports: Ports, room: Room) -> None:
    for number in range(0, 400, 20):
        await asyncio.gather(*(room.say(f"{n}", 5 + n % 2) for n in range(number, number + 20)))
    receipt = await execute(ports, purge())
    await asyncio.gather(*ports.outbox_work)
    assert {int(text) for text in await room.texts()} == {n for n in range(400) if n % 2}
    assert len((await room.entries())[receipt.entry_id].messages_purged.message_keys) == 200
    assert (await OutboxRow.get(action_id=receipt.action_id)).done_at_ms is not None


async def test_every_nonce_of_a_large_clear_is_kept_beside_the_log(
    ports: Ports, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasures, "MOST_KEYS", 2)
    for number in range(5):
        await room.say(f"{number}")
    receipt = await execute(ports, clear())
    told = (await room.entries())[receipt.entry_id]
    announced = await room.erasures()
    assert [len(entry.room_cleared.message_keys) for entry in announced] == [1, 2, 2]
    assert len({key for entry in announced for key in entry.room_cleared.message_keys}) == 5
    assert announced[-1] == told


async def test_a_clear_takes_back_everything_before_it_and_nothing_after(ports: Ports, room: Room) -> None:
    await Room(room.client, OTHER).say("elsewhere")
    await execute(ports, delete(await room.say("one")))
    await room.say("two", 0)
    last_id = await room.say("three", 6)
    receipt = await execute(ports, clear())
    told = (await room.entries())[receipt.entry_id].room_cleared
    assert (told.up_to_id, told.moderator_user_id, len(told.message_keys)) == (last_id, 1, 2)
    await room.say("after")
    assert next(iter(await room.entries())) == receipt.entry_id
    assert await room.texts() == ["after"]
    assert await Room(room.client, OTHER).texts() == ["elsewhere"]
    assert len(await room.erasures()) == 2


@pytest.mark.parametrize("earlier", [purge(), clear()], ids=["purge", "clear"])
async def test_what_a_pending_command_takes_back_is_not_there_any_more(
    ports: Ports, room: Room, earlier: ErasureOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message is still in the stream, and the earlier command is on its way to erase it."""
    message_id = await room.say("goes")
    reached, go = asyncio.Event(), asyncio.Event()

    async def wait(*told: Any, **values: Any) -> int:
        reached.set()
        await go.wait()
        return await append(*told, **values)

    append = ports.log.append
    monkeypatch.setattr(ports.log, "append", wait)
    call = asyncio.create_task(execute(ports, earlier))
    await reached.wait()
    with pytest.raises(MessageNotFound):
        await execute(ports, delete(message_id))
    go.set()
    await call
    await asyncio.gather(*ports.outbox_work)
    assert await room.texts() == []


@pytest.mark.parametrize("kind", ["ban", "mute"])
async def test_a_sanction_with_purge_is_one_step(ports: Ports, room: Room, kind: str) -> None:
    await room.say("goes", username="ana")
    order = ban_with_purge() if kind == "ban" else mute_with_purge()
    receipt = await execute(ports, order)
    assert receipt.event is not None
    assert len(receipt.event.imposed) == 1
    told = (await room.entries())[receipt.entry_id]
    assert (told.messages_purged.username, told.origin.action_id) == ("ana", receipt.event.event_id)
    assert await room.texts() == []
    row = await audit()
    assert (row.id, row.action, row.purged) == (receipt.action_id, int(order.command.action), True)
    assert await AuditRow.all().count() == 1


async def test_a_sanction_with_purge_where_the_room_has_no_life_is_the_sanction(ports: Ports, room: Room) -> None:
    receipt = await execute(ports, replace(ban_with_purge(), log=None))
    assert receipt.event is not None
    assert receipt.entry_id == 0
    assert await OutboxRow.all().count() == 0


async def test_a_repeated_nonce_changes_nothing_and_is_answered_with_what_the_first_one_brought(
    ports: Ports, room: Room, database: Database, clock: Clock
) -> None:
    first, second = await room.say("first"), await room.say("second")
    deleted = await execute(ports, delete(first, nonce="n"))
    other = replace(ports, store=TortoiseStore(database))
    for order in (delete(first, nonce="n"), delete(second, nonce="n")):
        again = await execute(other, order)
        assert (again.repeated, again.action_id, again.entry_id) == (True, deleted.action_id, deleted.entry_id)
    with pytest.raises(NonceTaken):
        await execute(other, ban_with_purge(by=MODERATOR, nonce="n"))
    assert await room.texts() == ["second"]
    with pytest.raises(MessageNotFound):  # somebody else's nonce is another one
        await execute(ports, delete(first, ADMIN, nonce="n"))
    clock.ahead_ms = 121_000
    assert not (await execute(ports, delete(second, nonce="n"))).repeated


async def test_a_repeated_nonce_of_a_sanction_brings_its_event_once(ports: Ports, room: Room) -> None:
    first = await execute(ports, ban_with_purge(nonce="n"))
    again = await execute(ports, ban_with_purge(nonce="n"))
    assert again.repeated
    assert (again.event, again.entry_id) == (first.event, first.entry_id)
    assert [e.event_id for e in ports.events.events] == [first.action_id]  # type: ignore[attr-defined]
    assert await AuditRow.all().count() == 1


async def test_the_same_nonce_at_the_same_time_is_carried_out_once(ports: Ports, room: Room) -> None:
    message_ids = [await room.say(f"{n}") for n in range(4)]
    receipts = await asyncio.gather(*(execute(ports, delete(id_, nonce="n")) for id_ in message_ids))
    assert sorted(receipt.repeated for receipt in receipts) == [False, True, True, True]
    assert len({receipt.action_id for receipt in receipts}) == 1
    assert len(await room.texts()) == 3


async def test_without_nats_a_moderator_is_answered_and_the_text_goes_when_it_is_back(
    ports: Ports, room: Room, nats_server: Nats, eventually: Eventually
) -> None:
    deleted, own = await room.say("deleted", username="ana"), await room.say("own")
    await room.say("purged", 6)
    nats_server.stop()
    await eventually(lambda: _is_away(ports))
    receipts = [await execute(ports, order) for order in (delete(deleted), purge(Target(6, "")))]
    assert [receipt.entry_id for receipt in receipts] == [0, 0]
    with pytest.raises(LogUnavailable):  # whose message it is nobody can say
        await execute(ports, delete(own, Moderator(5, Rank.USER)))
    with pytest.raises(LogUnavailable):  # nor what rank its author has
        await execute(ports, delete(own, target_rank=None))
    assert (await ports.outbox.backlog()).waiting == 2
    nats_server.start()
    working = asyncio.create_task(keep_working(ports))
    await eventually(lambda: _is_empty(ports))
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    assert await room.texts() == ["own"]
    told = [e for e in (await room.entries()).values() if e.WhichOneof("entry") != "message"]
    (of_deletion,) = [e.message_deleted for e in told if e.HasField("message_deleted")]
    assert (of_deletion.username, of_deletion.user_id, of_deletion.moderator_user_id) == ("ana", 5, 2)
    row = await AuditRow.get(message_text__isnull=False)
    assert (row.message_text, row.target_user_id, row.details) == ("deleted", 5, {"completes": receipts[0].action_id})


async def _is_away(ports: Ports) -> bool:
    try:
        await ports.log.last_id(LOG)
    except LogUnavailable:
        return True
    return False


async def _is_empty(ports: Ports) -> bool:
    return (await ports.outbox.backlog()).waiting == 0


async def test_what_is_gone_before_it_could_be_read_brings_no_entry(
    ports: Ports, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    message_id = await room.say("gone")
    with monkeypatch.context() as patch:
        patch.setattr(ports.log, "find", _unavailable)
        receipt = await execute(ports, delete(message_id))
    await ports.log.erase(LOG, message_id, overwrite=True)
    (item,) = await ports.outbox.claim(first=9, now_ms=ports.clock().wall_ms + LEASE_MS)
    await work(ports, Progress(item))
    assert receipt.entry_id == 0
    assert (await ports.outbox.backlog()).waiting == 0
    assert await room.entries() == {}


async def _unavailable(*_: Any) -> None:
    raise LogUnavailable("away")


async def test_what_no_log_can_hold_any_more_is_given_up(ports: Ports, nats_server: Nats, room: Room) -> None:
    nobody = LOG._replace(partition=200)  # no such stream
    await execute(ports, clear(log=nobody))
    (item,) = await ports.outbox.claim(first=9, now_ms=ports.clock().wall_ms + GIVEN_UP_AFTER_MS)
    await work(ports, Progress(replace(item, made_at_ms=item.made_at_ms - GIVEN_UP_AFTER_MS - 1)))
    assert (await ports.outbox.backlog()).waiting == 0


async def test_the_text_of_a_deleted_message_is_in_no_file_of_nats(
    ports: Ports, room: Room, nats_server: Nats, tmp_path: Path
) -> None:
    await room.say("this stays")
    message_id = await room.say("this goes")
    await execute(ports, delete(message_id))
    nats_server.stop()
    nats_server.save(tmp_path / "nats")
    files = [path.read_bytes() for path in (tmp_path / "nats").rglob("*") if path.is_file()]
    assert any(b"this stays" in file for file in files)
    assert not any(b"this goes" in file for file in files)
    nats_server.start()


async def test_an_action_of_a_database_that_began_anew_is_told_although_its_id_was_used_before(
    ports: Ports, room: Room, database: Database, clock: Clock
) -> None:
    first = await execute(ports, delete(await room.say("one")))
    async with database.transaction() as session:
        await session.client.execute_script("DELETE FROM audit; DELETE FROM outbox;")
        again = "ALTER SEQUENCE audit_id_seq RESTART" if session.is_postgres else "DELETE FROM sqlite_sequence"
        await session.client.execute_script(again)
    clock.ahead_ms += 1
    second = await execute(ports, delete(await room.say("two")))
    assert second.action_id == first.action_id
    assert list(await room.entries()) == [first.entry_id, second.entry_id]


async def test_a_replica_that_stops_lets_go_of_what_it_has_not_done(
    ports: Ports, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    message_id = await room.say("goes")
    reached = asyncio.Event()

    async def hang(*_: Any) -> None:
        reached.set()
        await asyncio.Event().wait()

    with monkeypatch.context() as patch:
        patch.setattr(ports.log, "announce", hang)
        call = asyncio.create_task(execute(ports, delete(message_id)))
        await reached.wait()
        await end_tasks(ports.outbox_work)
    assert (await call).entry_id == 0
    (item,) = await ports.outbox.claim(first=9, now_ms=ports.clock().wall_ms)
    await work(ports, Progress(item))
    assert await room.texts() == []


async def test_what_takes_long_is_answered_with_the_id_of_its_entry_and_goes_on(
    ports: Ports, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TRIED_FOR_S", 0.01)
    await room.say("goes")
    go, stored = asyncio.Event(), asyncio.Event()
    wait = asyncio.wait

    async def slow(*args: Any, **kwargs: Any) -> None:
        stored.set()
        await go.wait()
        await erase(*args, **kwargs)

    async def wait_until_stored(tasks: Any, *, timeout: float) -> Any:
        await stored.wait()
        return await wait(tasks, timeout=timeout)

    erase = ports.log.erase
    monkeypatch.setattr(ports.log, "erase", slow)
    monkeypatch.setattr(asyncio, "wait", wait_until_stored)
    receipt = await execute(ports, purge())
    monkeypatch.setattr(asyncio, "wait", wait)
    assert (await room.entries())[receipt.entry_id].origin.action_id == receipt.action_id
    assert await room.texts() == ["goes"]
    go.set()
    await asyncio.gather(*ports.outbox_work)
    assert await room.texts() == []
