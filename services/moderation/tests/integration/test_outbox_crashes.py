"""What a command has to do in a room's log is done once, whatever dies at which step: real NATS, real databases."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any, Protocol, TypeAlias

import pytest
from crashes import Killed, Moment, die, watched
from room_log import (
    ADMIN,
    MODERATOR,
    OTHER,
    PARTITION,
    STREAM,
    Clock,
    Room,
    api,
    clear,
    connection_to,
    delete,
    mute_with_purge,
    open_room,
    pin,
    ports_of,
    purge,
)
from structlog.testing import capture_logs

from chassis.database import Database
from chassis.nats_connection import NatsConnection
from moderation.adapters.store.outbox import LEASE_MS, put
from moderation.adapters.store.tables import AuditRow, HoldRow, OutboxRow
from moderation.domain.commands import ErasureOrder, Order, OutboxItem, SanctionOrder
from moderation.domain.erasures import NO_ORIGIN, Erasure, ErasureKind, LogRef, Origin
from moderation.domain.holds import (
    NONCES_KNOWN_MS,
    DecideHeldCommand,
    DecideHeldOrder,
    HeldMessage,
    Hold,
    HoldAction,
    HoldOrder,
    HoldState,
)
from moderation.domain.people import Rank, Speaker
from moderation.errors import LogUnavailable
from moderation.ports import Ports, RoomLog
from moderation.usecases import outbox as module
from moderation.usecases.execute import execute, hold
from moderation.usecases.outbox import ITEMS_AT_ONCE, LogAnswer, PartitionBackoff, Progress, keep_working, work
from salon.events.v1 import events_pb2 as pb

pytestmark = [pytest.mark.integration, pytest.mark.slow]
Eventually: TypeAlias = Callable[..., Awaitable[None]]
Orders: TypeAlias = Callable[[Room], Awaitable[Order]]


class Nats(Protocol):
    url: str

    def start(self) -> None: ...

    def stop(self) -> None: ...


class World:
    """One database, one NATS, replicas that come and go."""

    def __init__(self, database: Database, nats: Nats, room: Room, connection: NatsConnection, later: Any) -> None:
        self.database = database
        self.nats = nats
        self.room = room
        self.clock = Clock(lambda: time.time_ns() // 1_000_000)
        self._connection = connection
        self.eventually: Eventually = later

    def replica(self) -> Ports:
        return ports_of(self.database, self._connection, self.clock)

    async def die_during(self, order: Order, moment: Moment) -> None:
        """A replica carries it out, and is no more from that moment on."""
        ports = watched(self.replica(), moment)
        with suppress(Killed):
            await execute(ports, order)
        await asyncio.gather(*ports.outbox_work, *ports.in_flight, return_exceptions=True)

    @asynccontextmanager
    async def working(self, *replicas: Ports) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(keep_working(ports)) for ports in replicas or [self.replica()]]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def nothing_waits(self) -> bool:
        return (await self.replica().outbox.backlog()).waiting == 0

    async def forget_nonces(self) -> None:
        """As two minutes later: what the stream has stored before now may be stored again. NATS forgets ids by a timer
        that a change of the window sets anew; once in some hundred times it was seen not to."""
        probe = Room(self.room.client, OTHER)

        async def is_forgotten() -> bool:
            ack = await self.room.client.request(probe.subject, b"", timeout=30, headers={"Nats-Msg-Id": "probe"})
            return "duplicate" not in json.loads(ack.data)

        for window_s in (0.1, 0.11, 0.12, 0.13):
            await self.window(window_s)
            await is_forgotten()
            with suppress(TimeoutError):
                await self.eventually(is_forgotten, deadline_s=10)
                break
        else:
            raise AssertionError("the stream forgets nothing")
        await self.window(120)

    async def window(self, seconds: float) -> None:
        info = await api(self.room.client, f"STREAM.INFO.{STREAM}", {})
        config = info["config"] | {"duplicate_window": int(seconds * 10**9)}
        assert "error" not in await api(self.room.client, f"STREAM.UPDATE.{STREAM}", config)


@pytest.fixture
async def world(
    database: Database, nats_server: Nats, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[World]:
    monkeypatch.setattr(module, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(module, "RETRY_FIRST_S", 0.02)
    monkeypatch.setattr(module, "RETRY_LONGEST_S", 0.05)
    room = await open_room(nats_server.url)
    connection = connection_to(nats_server.url)
    running = asyncio.create_task(connection.run())

    async def is_connected() -> bool:
        return connection.is_connected

    await eventually(is_connected)
    yield World(database, nats_server, room, connection, eventually)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await room.client.close()


async def a_deletion(room: Room) -> Order:
    await room.say("stays", 6)
    return delete(await room.say("goes"))


async def a_purge(room: Room) -> Order:
    for text in ("goes", "goes as well"):
        await room.say(text)
        await room.say("stays", 6)
    return purge()


async def a_clear(room: Room) -> Order:
    await room.say("goes", 6)
    await room.say("goes as well", 0)
    return clear()


ORDERS: dict[str, Orders] = {"delete": a_deletion, "purge": a_purge, "clear": a_clear}


async def check(world: World, before: Iterable[int]) -> None:
    """What is stored is done once: one entry, announced, and no text that it takes back."""
    rows = await OutboxRow.all()
    entries = await world.room.entries()
    told = {e.origin.action_id: id_ for id_, e in entries.items() if e.WhichOneof("entry") != "message"}
    new = [id_ for id_ in entries if id_ not in set(before) and entries[id_].WhichOneof("entry") != "message"]
    assert all(row.done_at_ms for row in rows)
    assert len(new) <= 1
    if not new:
        return
    (entry_id,) = new
    action_id = entries[entry_id].origin.action_id
    assert told[action_id] == entry_id
    assert [row.entry_id for row in rows if row.action_id == action_id] == [entry_id]
    assert {text for text in await world.room.texts() if text.startswith("goes")} == set()
    assert entries[entry_id] in await world.room.erasures()


@pytest.mark.parametrize("kind", ORDERS)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_replica_that_dies_at_any_step_leaves_what_another_one_does_once(
    world: World, kind: str, after: bool
) -> None:
    number, reached = 0, True
    while reached:
        order = await ORDERS[kind](world.room)
        before = list(await world.room.entries())
        moment = Moment(number, die, after=after)
        await world.die_during(order, moment)
        stored = await AuditRow.all().count()
        world.clock.ahead_ms += LEASE_MS + 1_000
        async with world.working():
            await world.eventually(world.nothing_waits)
        await check(world, before)
        if not stored:
            assert "goes" in await world.room.texts()
        await AuditRow.all().delete()
        await execute(world.replica(), clear(log=world.room.log))
        await AuditRow.all().delete()
        reached, number = moment.was_reached, number + 1
    assert number > 6


async def pins_told(world: World) -> list[tuple[int, int]]:
    """Message and version of each entry."""
    entries = [
        entry.message_pinned for entry in (await world.room.entries()).values() if entry.HasField("message_pinned")
    ]
    return [(entry.message_id, entry.version) for entry in entries]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_pin_of_a_replica_that_dies_at_any_step_is_told_once_and_by_the_next_one(
    world: World, after: bool
) -> None:
    number, reached = 0, True
    while reached:
        message_id = await world.room.say(f"rule {number}")
        told_before = await pins_told(world)
        moment = Moment(number, die, after=after)
        await world.die_during(pin(message_id), moment)
        recorded = await AuditRow.filter(message_id=message_id).count()
        world.clock.ahead_ms += LEASE_MS + 1_000
        async with world.working():
            await world.eventually(world.nothing_waits)
        new = (await pins_told(world))[len(told_before) :]
        known = await world.replica().store.pins_of(["live"])
        assert [id_ for id_, _ in new] == [message_id] * recorded
        if recorded:
            assert [(pin.message and pin.message.id, pin.version) for pin in known] == new
        reached, number = moment.was_reached, number + 1
    assert number > 5


async def test_pins_are_told_in_the_order_in_which_they_were_recorded_whoever_dies(world: World) -> None:
    first, second = await world.room.say("first"), await world.room.say("second")
    moment = Moment(2, die, after=False)
    await world.die_during(pin(first), moment)
    assert moment.calls == ["find", "change_pin", "is_preceded"]
    other = world.replica()
    await execute(other, pin(second))
    await asyncio.gather(*other.outbox_work)
    assert await pins_told(world) == []  # it waits for the first one
    world.clock.ahead_ms += LEASE_MS + 1_000
    async with world.working(world.replica(), other):
        await world.eventually(world.nothing_waits)
    told = await pins_told(world)
    assert [id_ for id_, _ in told] == [first, second]
    (known,) = await other.store.pins_of(["live"])
    assert told[-1] == (second, known.version)


@pytest.mark.parametrize("kind", ["delete", "purge"])
async def test_an_entry_that_the_stream_has_forgotten_is_looked_for_and_not_stored_again(
    world: World, kind: str
) -> None:
    """Whoever dies between storing the entry and writing down its id, and is replaced minutes later."""
    order = await ORDERS[kind](world.room)
    calls = Moment(10_000, die, after=True)
    await world.die_during(order, calls)
    number = calls.calls.index("append")
    again = await ORDERS[kind](world.room)
    before = list(await world.room.entries())
    await AuditRow.all().update(nonce=None)
    await world.die_during(again, Moment(number, die, after=True))
    (new,) = [id_ for id_ in await world.room.entries() if id_ not in before]
    await world.forget_nonces()
    world.clock.ahead_ms += 60_000 + LEASE_MS + 1_000
    async with world.working():
        await world.eventually(world.nothing_waits)
    await check(world, before)
    assert new in await world.room.entries()


async def test_nats_that_is_killed_and_started_again_at_any_step_loses_nothing(world: World) -> None:
    async def restart() -> None:
        world.nats.stop()
        world.nats.start()

    number, reached = 0, True
    while reached:
        order = await a_deletion(world.room)
        before = list(await world.room.entries())
        moment = Moment(number, restart, after=False)
        async with world.working():
            ports = watched(world.replica(), moment)
            await execute(ports, order)
            await world.eventually(world.nothing_waits)
        await check(world, before)
        assert "goes" not in await world.room.texts()
        reached, number = moment.was_reached, number + 1
    assert number > 6


async def test_two_replicas_share_the_work_and_do_each_part_once(world: World) -> None:
    ids = [await world.room.say("goes") for _ in range(20)]
    for number, message_id in enumerate(ids):
        await world.die_during(delete(message_id), Moment(2 + number % 3, die, after=False))
    assert (await world.replica().outbox.backlog()).waiting == 20
    world.clock.ahead_ms += LEASE_MS + 1_000
    replicas, moments = [], [Moment(10_000, die, after=True) for _ in range(2)]
    for moment in moments:
        replicas.append(watched(world.replica(), moment))
    async with world.working(*replicas):
        await world.eventually(world.nothing_waits)
    done = [moment.calls.count("done") for moment in moments]
    assert sum(done) == 20
    assert await world.room.texts() == []
    told = [e.message_deleted.message_id for e in (await world.room.entries()).values()]
    assert sorted(told) == sorted(ids)


async def test_whoever_has_lost_its_claim_changes_nothing_more(world: World) -> None:
    """A replica that stood still for longer than its lease, and finds that another one went on."""
    message_id = await world.room.say("goes")
    standing, going = asyncio.Event(), asyncio.Event()

    async def stand_still() -> None:
        standing.set()
        await going.wait()

    late = watched(world.replica(), moment := Moment(4, stand_still, after=False))
    call = asyncio.create_task(execute(late, delete(message_id)))
    await standing.wait()
    world.clock.ahead_ms += LEASE_MS + 1_000
    async with world.working():
        await world.eventually(world.nothing_waits)
    row = await OutboxRow.all().first()
    going.set()
    await call
    await asyncio.gather(*late.outbox_work)
    assert moment.calls[4] == "appended"
    assert "done" not in moment.calls
    again = await OutboxRow.all().first()
    assert row is not None
    assert again is not None
    assert (row.done_at_ms, row.entry_id) == (again.done_at_ms, again.entry_id)
    assert len([e for e in (await world.room.entries()).values() if e.WhichOneof("entry") != "message"]) == 1


class PartlyAway:
    """The port RoomLog, of which the logs of other partitions answer nothing within DEADLINE_S."""

    DEADLINE_S = 0.3

    def __init__(self, log: RoomLog) -> None:
        self.asked: Counter[int] = Counter()
        self._log = log

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def announce(self, item: OutboxItem, erasure: Erasure) -> None:
        partition = item.change.log.partition
        if partition == PARTITION:
            await self._log.announce(item, erasure)
            return
        self.asked[partition] += 1
        await asyncio.sleep(self.DEADLINE_S)
        raise LogUnavailable("no answer from the stream")


async def test_what_waits_for_partitions_that_do_not_answer_leaves_the_others_their_turns(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_FIRST_S", 0.001)
    monkeypatch.setattr(module, "RETRY_LONGEST_S", 0.002)
    silent = range(10, 16)
    away = [Erasure(ErasureKind.CLEAR, LogRef(p, 1, p), 9, NO_ORIGIN, up_to_id=1) for p in silent] * 40
    long_ago_ms = world.clock.now().wall_ms - 2 * LEASE_MS
    async with world.database.transaction():
        for number, each in enumerate(away, 1):
            await put(number, each, now_ms=long_ago_ms)
    log = PartlyAway(world.replica().log)

    async def all_were_asked() -> bool:
        return set(log.asked) == set(silent)

    async with world.working(replace(world.replica(), log=log)):
        await world.eventually(all_were_asked)
        for number in range(3 * ITEMS_AT_ONCE):
            message_id = await world.room.say("goes")
            erasure = Erasure(ErasureKind.DELETE, world.room.log, 9, NO_ORIGIN, message_id=message_id)
            async with world.database.transaction():
                await put(1_000 + number, erasure, now_ms=long_ago_ms + 1)
        asked = log.asked.total()
        await world.eventually(nothing_is_left_from_1000)
        assert log.asked.total() - asked < 100  # else what is silent had the turns
    assert await world.room.texts() == []


async def test_a_silent_partition_for_which_nothing_waits_any_more_is_not_asked_for_again_and_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another replica has done it, or it was given up."""
    away = Erasure(ErasureKind.CLEAR, LogRef(10, 1, 10), 9, NO_ORIGIN, up_to_id=1)
    async with world.database.transaction():
        await put(1, away, now_ms=world.clock.now().wall_ms - 2 * LEASE_MS)
    ports = world.replica()
    claim, tries, looks = ports.outbox.claim, 0, 0

    async def counted(**values: Any) -> list[OutboxItem]:
        nonlocal tries, looks
        looks += "of" not in values
        found = await claim(**values)
        tries += "of" in values and not found
        return found

    async def has_tried() -> bool:
        return tries > 0

    async def has_looked() -> bool:
        return looks > 20

    monkeypatch.setattr(ports.outbox, "claim", counted)
    async with world.working(replace(ports, log=PartlyAway(ports.log))):
        await world.eventually(has_postponed)
        await OutboxRow.all().delete()
        await world.eventually(has_tried)
        looks = 0
        await world.eventually(has_looked)
    assert tries <= 2  # the item may have been under way once more


async def has_postponed() -> bool:
    return await OutboxRow.filter(attempts__gt=1).exists()


async def nothing_is_left_from_1000() -> bool:
    return not await OutboxRow.filter(action_id__gte=1_000, done_at_ms__isnull=True).exists()


def test_a_partition_that_does_not_answer_is_tried_less_often_each_time_until_it_does() -> None:
    backoff, now_ms, pauses = PartitionBackoff(), 0, []
    for _ in range(6):
        for _ in range(ITEMS_AT_ONCE):  # were under way together
            backoff.note(7, LogAnswer.SILENT, now_ms=now_ms)
        assert (set(backoff.silent), backoff.due(now_ms)) == ({7}, [])
        begin_ms = now_ms
        while not backoff.due(now_ms):
            now_ms += 500
        pauses.append(now_ms - begin_ms)
    assert pauses == [500, 1_000, 2_000, 4_000, 8_000, 8_000]
    backoff.note(7, LogAnswer.NOT_ASKED, now_ms=now_ms)
    assert backoff.due(now_ms) == [7]
    backoff.note(8, LogAnswer.SILENT, now_ms=now_ms - 1_000)
    assert backoff.due(now_ms) == [8, 7]  # due 500 ms ago, and now
    backoff.note(7, LogAnswer.ANSWERED, now_ms=now_ms)
    assert set(backoff.silent) == {8}


async def test_a_defect_in_looking_for_work_is_logged_and_ends_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.die_during(await a_deletion(world.room), Moment(2, die, after=False))
    world.clock.ahead_ms += LEASE_MS + 1_000
    ports, failed = world.replica(), asyncio.Event()
    claim = ports.outbox.claim

    async def fail_once(**values: Any) -> Any:
        if failed.is_set():
            return await claim(**values)
        failed.set()
        raise ZeroDivisionError

    monkeypatch.setattr(ports.outbox, "claim", fail_once)
    with capture_logs() as lines:
        async with world.working(ports):
            await world.eventually(world.nothing_waits)
    (line,) = [line for line in lines if line["event"] == "outbox_not_read"]
    assert (line["log_level"], line["exc_info"]) == ("error", True)


async def a_held_message(world: World, number: int) -> Hold:
    author = Speaker(5, "ana", "10.0.0.5", Rank.USER, "e:1")
    message = HeldMessage(author, f"said {number}", "n1", number + 1, "user")
    receipt = await hold(world.replica(), HoldOrder("live", world.room.log, message))
    assert receipt.hold is not None
    return receipt.hold


def allow(held: Hold, *, nonce: str = "", log: LogRef | None = None) -> DecideHeldOrder:
    command = DecideHeldCommand(HoldAction.ALLOW, MODERATOR, "live", held.id, "")
    return DecideHeldOrder(command, log or held.log, Origin("e" * 32, 9, nonce))


async def published(world: World, held: Hold) -> list[pb.LogEntry]:
    return [e for e in (await world.room.entries()).values() if e.message.hold_id == held.id]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_message_that_a_dying_replica_has_allowed_is_published_once_whoever_goes_on(
    world: World, after: bool
) -> None:
    number, reached = 0, True
    while reached:
        held = await a_held_message(world, number)
        moment = Moment(number, die, after=after)
        await world.die_during(allow(held, nonce=f"a{number}"), moment)
        world.clock.ahead_ms += LEASE_MS + 1_000
        async with world.working(world.replica(), world.replica()):
            await world.eventually(world.nothing_waits)
        decisions = [row for row in await AuditRow.filter(action=35) if row.details == {"hold_id": held.id}]
        if not decisions:
            assert await published(world, held) == []
            await execute(world.replica(), allow(held, nonce=f"a{number}"))
        (entry,) = await published(world, held)
        assert (entry.message.text, entry.message.user_id, entry.message.nonce) == (f"said {number}", 5, "n1")
        assert entry.origin.nonce == f"a{number}"
        world.clock.ahead_ms += 121_000
        reached, number = moment.was_reached, number + 1
    assert number > 3


@pytest.mark.parametrize("is_taken_back", [False, True])
async def test_who_goes_on_minutes_later_looks_for_the_message_or_for_what_has_taken_it_back(
    world: World, is_taken_back: bool
) -> None:
    """The stream has forgotten what it stored."""
    held = await a_held_message(world, 0)
    for number in range(20):  # until it dies when it has stored the entry, and nobody was told
        moment = Moment(number, die, after=True)
        await world.die_during(allow(held), moment)
        if moment.calls[-1] == "append":
            break
        await OutboxRow.all().update(due_at_ms=0)
        await HoldRow.filter(id=held.id).update(state=1, decided_at_ms=None, text="said 0")
        await OutboxRow.all().delete()
    (message_id,) = await world.room.entries()
    if is_taken_back:
        await execute(world.replica(), delete(message_id, ADMIN))
    await world.forget_nonces()
    world.clock.ahead_ms += 130_000
    async with world.working():
        await world.eventually(world.nothing_waits)
    assert len(await published(world, held)) == (0 if is_taken_back else 1)


class Late:
    """The port RoomLog, of which the first entry to be stored is on its way until it is told to arrive."""

    def __init__(self, log: RoomLog) -> None:
        self.is_sent, self.arrives = asyncio.Event(), asyncio.Event()
        self._log = log

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def append(self, item: OutboxItem, **values: Any) -> int:
        if not self.is_sent.is_set():
            self.is_sent.set()
            await self.arrives.wait()
        return await self._log.append(item, **values)


async def allow_late(world: World, held: Hold, *, is_tried_again: bool) -> tuple[Ports, Late]:
    """By a replica whose entry does not arrive yet; `is_tried_again`: it is not the first that tries to store it."""
    ports = world.replica()
    late = Late(ports.log)
    ports = replace(ports, log=late)
    if is_tried_again:
        await world.die_during(allow(held), Moment(1, die, after=False))
        assert len(await OutboxRow.filter(done_at_ms=None)) == 1
        world.clock.ahead_ms += LEASE_MS + 1_000
        (item,) = await ports.outbox.claim(first=9, now_ms=ports.clock().wall_ms)
        working = asyncio.create_task(work(ports, Progress(item)))
    else:
        working = asyncio.create_task(execute(ports, allow(held)))  # type: ignore[arg-type]
    ports.outbox_work.add(working)
    await late.is_sent.wait()
    return ports, late


@pytest.mark.parametrize("is_tried_again", [False, True])
async def test_what_arrives_when_the_stream_has_forgotten_it_is_not_stored_again(
    world: World, is_tried_again: bool
) -> None:
    """Of a replica that stood still for minutes, or on a line that did."""
    held = await a_held_message(world, 0)
    ports, late = await allow_late(world, held, is_tried_again=is_tried_again)
    world.clock.ahead_ms += LEASE_MS + 1_000
    async with world.working():
        await world.eventually(world.nothing_waits)
    assert len(await published(world, held)) == 1
    await world.forget_nonces()
    late.arrives.set()
    await asyncio.gather(*ports.outbox_work)
    assert len(await published(world, held)) == 1
    (row,) = await OutboxRow.all()
    assert row.entry_id == next(iter(await world.room.entries()))


TAKE_BACK: dict[str, Callable[[], ErasureOrder | SanctionOrder]] = {
    "purge": purge,
    "clear": clear,
    "mute": mute_with_purge,
}


@pytest.mark.parametrize("is_tried_again", [False, True])
@pytest.mark.parametrize("kind", TAKE_BACK)
async def test_what_is_taken_back_before_it_is_stored_is_never_seen_although_it_was_allowed(
    world: World, kind: str, is_tried_again: bool
) -> None:
    """All of the taking back is done, and what was to be stored arrives then."""
    held = await a_held_message(world, 0)
    ports, late = await allow_late(world, held, is_tried_again=is_tried_again)
    await execute(world.replica(), TAKE_BACK[kind]())
    await world.eventually(world.nothing_waits)
    late.arrives.set()
    await asyncio.gather(*ports.outbox_work)
    world.clock.ahead_ms += LEASE_MS + 1_000
    async with world.working():
        await world.eventually(world.nothing_waits)
    assert await published(world, held) == []
    assert "said 0" not in str([row.details for row in await OutboxRow.all()])
    world.clock.ahead_ms += NONCES_KNOWN_MS
    later = await a_held_message(world, 1)
    await execute(world.replica(), allow(later))
    assert len(await published(world, later)) == 1


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("kind", TAKE_BACK)
async def test_what_a_dying_replica_has_allowed_is_taken_back_whoever_goes_on_first(
    world: World, kind: str, after: bool
) -> None:
    """Whatever the clocks of replicas say beside that of the stream."""
    number, allowed, reached = 0, 0, True
    while reached:
        held = await a_held_message(world, number)
        moment = Moment(number, die, after=after)
        await world.die_during(allow(held), moment)
        allowed += await HoldRow.filter(id=held.id, state=HoldState.ALLOWED).count()
        await execute(world.replica(), TAKE_BACK[kind]())
        world.clock.ahead_ms += LEASE_MS + 1_000
        async with world.working(world.replica(), world.replica()):
            await world.eventually(world.nothing_waits)
        assert await published(world, held) == []
        world.clock.ahead_ms += 121_000
        reached, number = moment.was_reached, number + 1
    assert allowed > 3
