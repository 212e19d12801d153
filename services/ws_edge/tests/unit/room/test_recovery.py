"""What a room missed is read again until that succeeds, and nothing that fails on the way ends more than itself."""

import asyncio
from collections.abc import Callable

import pytest
import structlog
from edge_world import Client, Gate, World

from ws_edge.errors import BusUnavailable
from ws_edge.ports import Incident
from ws_edge.process import worker
from ws_edge.protocol.identity import ConnectionId, Life, MessageId, RoomId, Slug, UserId
from ws_edge.protocol.log import LogEntry, LogRef
from ws_edge.protocol.rooms import Membership, Participant, PresenceChanged, RoomSnapshot
from ws_edge.room import log_order, recovery
from ws_edge.room.audience import STALL_LIMIT_S, UNSENT_LIMIT_BYTES


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "FIRST_PAUSE_S", 0.0)
    monkeypatch.setattr(recovery, "PRESENCE_GRACE_S", 0.0)


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not reached():  # noqa: ASYNC110 - nothing tells of what is waited for here
            await asyncio.sleep(0)


def texts(client: Client) -> list[object]:
    return [f["data"].get("message") for f in client.frames]  # type: ignore[attr-defined]


@pytest.fixture
def one_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "READS_AT_ONCE", 1)


def never_answer(world: World) -> list[asyncio.Future[None]]:
    """The stream's leader answers only when the test ends the wait of that question."""
    ask = world.bus.last_id
    asked: list[asyncio.Future[None]] = []

    async def wait(log: LogRef) -> MessageId:
        asked.append(asyncio.get_running_loop().create_future())
        await asked[-1]
        return await ask(log)

    world.bus.last_id = wait  # type: ignore[method-assign]  # a stream without a quorum
    return asked


def give(world: World, *answers: Callable[[list[LogEntry]], list[LogEntry]]) -> list[int]:
    """Reads of the stream give what these make of it, the last one from then on; the ids that each gave."""
    read = world.bus.entries_after
    given: list[int] = []

    async def some(log: LogRef, after: MessageId, *, limit: int) -> list[LogEntry]:
        answer = answers[min(len(given), len(answers) - 1)](await read(log, after, limit=limit))
        given.append(len(answer))
        return answer

    world.bus.entries_after = some  # type: ignore[method-assign]  # a replica that lags
    return given


def nothing(messages: list[LogEntry]) -> list[LogEntry]:
    return []


def too_little(messages: list[LogEntry]) -> list[LogEntry]:
    return messages[:1]


def everything(messages: list[LogEntry]) -> list[LogEntry]:
    return messages


async def with_three_missed(world: World) -> Client:
    """A client whose edge has heard only the last of four messages."""
    client = await world.join("s", "1:user")
    world.bus.keeps_copies = True
    for text in ("one", "two", "three", "four"):
        client.say(text)
    del world.bus.copies[:3]
    return client


@pytest.mark.parametrize("answers", [(nothing, everything), (too_little, nothing, everything)])
async def test_a_fill_that_does_not_reach_what_is_held_back_is_read_again(
    world: World, answers: tuple[Callable[[list[LogEntry]], list[LogEntry]], ...]
) -> None:
    client = await with_three_missed(world)
    give(world, *answers)
    world.bus.give_copies()
    await until(lambda: len(client.types) == 4)
    assert texts(client) == ["one", "two", "three", "four"]
    assert world.meter.incidents == []


async def test_a_fill_that_comes_out_of_order_is_shown_in_order(world: World) -> None:
    client = await with_three_missed(world)
    give(world, lambda messages: messages[::-1])
    world.bus.give_copies()
    await until(lambda: len(client.types) == 4)
    assert texts(client) == ["one", "two", "three", "four"]


async def test_a_stream_that_keeps_giving_too_little_is_read_so_often_then_the_room_goes_on_and_says_so(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "LONGEST_PAUSE_S", 0.0)
    client = await with_three_missed(world)
    given = give(world, too_little)
    with structlog.testing.capture_logs() as logs:
        world.bus.give_copies()
        await until(lambda: len(client.types) == 2)
    assert given == [1] * recovery.LAGGING_TRIES
    assert texts(client) == ["one", "four"]
    assert world.meter.incidents == [Incident.GAP_NOT_FILLED]
    assert [(line["event"], line["reason"]) for line in logs] == [
        ("gap_not_filled", "the stream gives less than it has")
    ]
    client.say("five")
    world.bus.give_copies()
    await world.settle()
    assert texts(client)[2:] == ["five"]


async def test_rooms_whose_stream_is_led_anew_show_what_was_stored_and_republished_by_nobody(world: World) -> None:
    client = await world.join("s", "1:user")
    client.say("one")
    await world.settle()
    world.bus.keeps_copies = True
    client.say("two")
    world.bus.copies.clear()  # the leader died
    world.worker.leader_changed(1)
    await world.settle()
    assert world.bus.reads == 0
    world.worker.leader_changed(0)
    await until(lambda: texts(client) == ["one", "two"])
    assert world.bus.reads == 1


async def test_rooms_whose_stream_is_led_anew_hold_nothing_back_while_they_ask(world: World) -> None:
    client = await world.join("s", "1:user")
    asked = never_answer(world)
    world.worker.leader_changed(0)
    await until(lambda: bool(asked))
    client.say("one")
    await until(lambda: texts(client) == ["one"])
    asked[0].set_exception(BusUnavailable("no quorum"))
    await until(lambda: len(asked) == 2)
    asked[1].set_result(None)
    await world.settle()
    assert world.bus.reads == 0


async def test_an_edge_that_finds_what_nobody_republished_tells_the_others(world: World) -> None:
    client = await world.join("s", "1:user")
    world.bus.keeps_copies = True
    client.say("one")
    world.bus.copies.clear()
    reached: list[tuple[LogRef, MessageId]] = []
    world.bus.publish_reached = lambda log, last_id: reached.append((log, last_id))  # type: ignore[method-assign]
    world.clock.time_s += 2.0
    world.worker.recovery.look_up_overdue()
    await until(lambda: texts(client) == ["one"])
    assert [last_id for _, last_id in reached] == [1]


async def test_what_another_edge_says_is_stored_is_read_where_it_does_not_come(world: World) -> None:
    client = await world.join("s", "1:user")
    (room,) = world.bus.listeners[Life(1)]
    world.bus.keeps_copies = True
    client.say("one")
    room.log_reached(MessageId(1))
    world.bus.give_copies()
    await world.settle()
    assert (texts(client), world.bus.reads) == (["one"], 0)
    client.say("two")
    world.bus.copies.clear()
    room.log_reached(MessageId(2))
    await until(lambda: texts(client) == ["one", "two"])
    assert world.bus.reads == 1


async def test_a_room_that_cannot_get_to_where_its_log_is_said_to_reach_stops_looking(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was announced has gone since, with the files of the stream: its last id is below it."""
    monkeypatch.setattr(recovery, "CATCH_UP_S", 0.05)
    client = await world.join("s", "1:user")
    (room,) = world.bus.listeners[Life(1)]
    room.log_reached(MessageId(99))
    async with asyncio.timeout(30):
        while any(task.get_name() == "take in a log" for task in asyncio.all_tasks()):  # noqa: ASYNC110 - its end
            await asyncio.sleep(0.01)
    client.say("one")
    await until(lambda: texts(client) == ["one"])


async def test_what_was_missed_in_an_interruption_is_read_until_it_reaches_the_last_one_of_the_leader(
    world: World,
) -> None:
    client = await world.join("s", "1:user")
    world.bus.keeps_copies = True
    client.say("one")
    client.say("two")
    world.bus.copies.clear()
    given = give(world, nothing, too_little, everything)
    world.worker.bus_restored()
    await until(lambda: len(client.types) == 2)
    assert texts(client) == ["one", "two"]
    assert given == [0, 1, 2]


async def test_a_room_that_missed_nothing_in_an_interruption_reads_no_messages(world: World) -> None:
    client = await world.join("s", "1:user")
    client.say("one")
    given = give(world, everything)
    world.worker.bus_restored()
    await world.settle()
    client.say("two")
    await world.settle()
    assert (texts(client), given) == (["one", "two"], [])


async def test_a_gap_whose_messages_the_stream_has_lost_holds_nothing_back(world: World) -> None:
    client = await with_three_missed(world)
    world.bus.stream[:3] = [(Life(99), message) for _, message in world.bus.stream[:3]]
    world.bus.give_copies()
    await until(lambda: len(client.types) == 1)
    assert texts(client) == ["four"]
    world.bus.keeps_copies = False
    client.say("five")
    await world.settle()
    assert texts(client)[1:] == ["five"]
    assert world.meter.incidents == []


async def test_an_outcome_that_a_lagging_replica_does_not_know_yet_is_read_again(world: World) -> None:
    client = await world.join("s", "1:user")
    world.bus.keeps_copies = True
    client.say("one", nonce="n")
    give(world, nothing, everything)
    world.clock.time_s += 2.0
    world.worker.recovery.look_up_overdue()
    await until(lambda: client.types == ["chat_message"])
    assert len(world.worker.outcomes) == 0


async def with_a_gap(world: World) -> Client:
    """A client whose edge has not heard of the first of two messages."""
    client = await world.join("s", "1:user")
    world.bus.keeps_copies = True
    client.say("one")
    client.say("two")
    del world.bus.copies[0]
    return client


async def test_a_gap_that_cannot_be_filled_at_once_is_filled_later_and_in_order(world: World) -> None:
    client = await with_a_gap(world)
    world.bus.is_away = True
    world.bus.give_copies()
    await world.settle()
    assert client.frames == []
    world.bus.is_away = False
    await until(lambda: client.types == ["chat_message"] * 2)
    assert texts(client) == ["one", "two"]


async def test_after_10_s_without_the_stream_the_room_goes_on_with_the_gap(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert recovery.HOLD_BACK_S == 10.0
    monkeypatch.setattr(recovery, "HOLD_BACK_S", 0.1)
    client = await with_a_gap(world)
    world.bus.is_away = True
    world.bus.give_copies()
    await world.settle()
    assert client.frames == []
    with structlog.testing.capture_logs() as logs:
        await until(lambda: client.types == ["chat_message"])
    assert texts(client) == ["two"]
    assert [(line["event"], line["reason"]) for line in logs] == [("gap_not_filled", "the stream could not be read")]
    assert world.meter.incidents == [Incident.GAP_NOT_FILLED]


@pytest.mark.usefixtures("one_read_at_once")
async def test_a_gap_that_waits_for_its_turn_is_held_back_no_longer_than_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "HOLD_BACK_S", 0.1)
    client = await with_a_gap(world)
    asked = never_answer(world)
    first = world.worker.held_rooms.new_room(Membership(RoomId(8), Life(8), Slug("other"), 1, 1, False))
    other = asyncio.create_task(world.worker.recovery.look_up(first))
    await until(lambda: len(asked) == 1)
    world.bus.give_copies()
    await until(lambda: client.types == ["chat_message"])
    assert (texts(client), len(asked)) == (["two"], 1)
    other.cancel()


@pytest.mark.usefixtures("one_read_at_once")
async def test_a_stream_that_does_not_answer_keeps_nobody_from_hearing_who_left(world: World) -> None:
    client = await world.join("s", "1:user")
    life = world.rooms.lives[Slug("s")]
    ben = Participant("u:2", UserId(2), "user_2", 2)
    world.bus.listeners[life][0].presence_changed(PresenceChanged(2, 2, 2, False, (ben,), (), 1, 0, 0))
    asked = never_answer(world)
    world.rooms.snapshots[life] = RoomSnapshot(3, 1, False, ())
    world.worker.bus_restored()
    await until(lambda: client.types == ["user_joined", "user_left"])
    assert len(asked) == 1


async def test_a_sender_hears_unavailable_within_2_s_of_the_look_up_also_where_the_stream_is_asked_by_many(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert recovery.LOOK_UP_S == 2.0
    monkeypatch.setattr(recovery, "LOOK_UP_S", 0.1)
    world.bus.loses_messages = True
    clients = [await world.join(f"s{number}", f"{number}:user") for number in range(1, 101)]
    for client in clients:
        client.say("lost")
    asked = never_answer(world)
    world.clock.time_s += 2.0
    world.worker.recovery.look_up_overdue()
    await until(lambda: len(world.worker.outcomes) == 0)
    assert len(asked) >= recovery.READS_AT_ONCE
    assert {tuple(client.types) for client in clients} == {("unavailable",)}


async def test_a_room_is_looked_up_once_at_a_time(world: World) -> None:
    client = await world.join("s", "1:user")
    world.bus.keeps_copies = True
    asked = never_answer(world)
    for text in ("one", "two", "three"):
        client.say(text)
        world.clock.time_s += 2.0
        world.worker.recovery.look_up_overdue()
        await world.settle()
    assert len(asked) == 1
    for _ in range(3):
        asked.pop().set_result(None)
        await world.settle()
    assert client.types == ["chat_message"] * 3
    assert not world.worker.recovery._look_ups


async def test_an_outcome_that_cannot_be_looked_up_does_not_end_the_filling_of_a_gap(world: World) -> None:
    client = await with_a_gap(world)
    world.bus.is_away = True
    world.bus.give_copies()
    world.clock.time_s += 2.0
    world.worker.recovery.look_up_overdue()
    await until(lambda: "unavailable" in client.types)
    world.bus.is_away = False
    await until(lambda: "chat_message" in client.types)
    assert texts(client)[-2:] == ["one", "two"]


async def test_an_outcome_found_in_the_stream_is_shown_and_not_refused(world: World) -> None:
    client = await world.join("s", "1:user")
    world.bus.keeps_copies = True
    client.say("one", nonce="n")
    world.clock.time_s += 2.0
    world.worker.recovery.look_up_overdue()
    await world.settle()
    assert client.types == ["chat_message"]
    assert len(world.worker.outcomes) == 0


async def test_an_outcome_that_is_found_while_too_much_is_held_back_is_told_as_unavailable(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_order, "HELD_LIMIT", 1)
    client = await world.join("s", "1:user")
    world.bus.keeps_copies = True
    asked = never_answer(world)
    world.worker.bus_restored()
    client.say("one")
    client.say("two", nonce="n")
    await until(lambda: len(asked) == 1)
    world.clock.time_s += 2.0
    world.worker.recovery.look_up_overdue()
    await until(lambda: len(asked) == 2)
    asked[1].set_result(None)
    await until(lambda: client.types == ["unavailable"])
    asked[0].set_result(None)
    await until(lambda: len(client.types) == 3)
    assert texts(client)[1:] == ["one", "two"]
    assert len(world.worker.outcomes) == 0


async def test_an_outcome_that_is_found_after_the_room_went_on_without_it_is_told_as_unavailable(world: World) -> None:
    client = await with_a_gap(world)
    read, gate = world.bus.entries_after, Gate()

    async def slowly(log: LogRef, after: MessageId, *, limit: int) -> list[LogEntry]:
        messages = await read(log, after, limit=limit)
        await gate.passed()
        return messages

    world.bus.entries_after = slowly  # type: ignore[method-assign]
    gate.shut()
    world.clock.time_s += 2.0
    world.worker.recovery.look_up_overdue()
    await gate.reached.wait()
    world.bus.give_copies()
    (room,) = world.worker.held_rooms.find_slug(Slug("s"))
    room.entries_restored([])
    await until(lambda: client.types == ["chat_message"])
    gate.open()
    await until(lambda: client.types == ["chat_message", "unavailable"])
    assert len(world.worker.outcomes) == 0


async def test_who_left_while_the_bus_was_away_is_told_once_the_rooms_service_answers(world: World) -> None:
    client = await world.join("s", "1:user")
    life = world.rooms.lives[Slug("s")]
    ben = Participant("u:2", UserId(2), "user_2", 2)
    world.bus.listeners[life][0].presence_changed(PresenceChanged(2, 2, 2, False, (ben,), (), 1, 0, 0))
    world.rooms.is_away = True
    world.worker.bus_restored()
    await world.settle()
    world.rooms.snapshots[life] = RoomSnapshot(3, 1, False, ())
    world.rooms.is_away = False
    await until(lambda: client.types == ["user_joined", "user_left"])


async def test_nothing_is_read_for_a_room_that_nobody_is_in_any_more(world: World) -> None:
    client = await world.join("s", "1:user")
    world.rooms.is_away = world.bus.is_away = True
    world.worker.bus_restored()
    await world.settle()
    client.hang_up()
    await until(lambda: len(world.ports.tasks) == 0)


async def test_an_interruption_while_a_room_opens_is_made_good_when_it_is_open(world: World) -> None:
    reads: list[str] = []
    world.moderation.reading.shut()
    client = await world.arrive("s", "1:user")
    await world.moderation.reading.reached.wait()
    world.worker.recovery.entries_missed = lambda room: reads.append("messages")  # type: ignore[method-assign]  # a witness
    world.worker.recovery.presence_missed = lambda room: reads.append("presence")  # type: ignore[method-assign]  # a witness
    world.worker.bus_restored()
    world.moderation.reading.open()
    await world.settle()
    assert client.types == ["room_joined"]
    assert reads == ["messages", "presence"]


async def test_a_defect_while_a_room_opens_leaves_nobody_waiting(world: World) -> None:
    async def fail(room_id: object, life: object) -> object:
        raise ZeroDivisionError

    world.bus.last_id = fail  # type: ignore[assignment]  # a defect
    client = await world.arrive("s")
    await world.settle()
    assert (client.types, client.closed_with) == (["unavailable"], 1013)
    assert world.holds_nothing()


async def test_a_room_that_ended_while_it_was_entered_is_service_unavailable(world: World) -> None:
    world.rooms.snapshots[Life(1)] = RoomSnapshot(0, 0, False, ())
    client = await world.arrive("s")
    await world.settle()
    assert (client.types, client.closed_with) == (["unavailable"], 1013)
    assert world.holds_nothing()


async def test_delete_chat_room_closes_also_those_who_are_on_their_way_in(world: World) -> None:
    inside = await world.join("s", "1:user")
    world.moderation.finally_checking.shut()
    joining = await world.arrive("s", "2:user")
    await world.settle()
    world.worker.room_deleted(world.rooms.lives[Slug("s")])
    world.moderation.finally_checking.open()
    await world.settle()
    assert (inside.types, inside.closed_with) == ([], 4004)
    assert (joining.types, joining.closed_with) == (["not_found"], 4004)
    assert world.holds_nothing()


async def test_a_membership_lost_while_joining_is_closed_with_1012(world: World) -> None:
    world.moderation.finally_checking.shut()
    joining = await world.arrive("s", "2:user")
    await world.settle()
    (held,) = world.worker.held_connections()
    world.worker.membership_lost(held.connection)
    world.worker.membership_lost(ConnectionId(99))
    assert (joining.types, joining.closed_with) == (["unavailable"], 1012)


async def test_a_membership_lost_inside_is_closed_with_1012_alone(world: World) -> None:
    client = await world.join("s", "2:user")
    (held,) = world.worker.held_connections()
    world.worker.membership_lost(held.connection)
    assert (client.types, client.closed_with) == ([], 1012)


async def test_the_memberships_that_are_counted_are_those_that_are_held(world: World) -> None:
    await world.join("s", "1:user")
    world.moderation.finally_checking.shut()
    await world.arrive("s", "2:user")
    world.moderation.checking.shut()
    await world.arrive("t", "3:user")
    await world.settle()
    assert world.worker.held_count() == len(list(world.worker.held_connections())) == 2


async def test_a_deletion_that_was_missed_is_found_with_the_presence(world: World) -> None:
    inside = await world.join("s", "1:user")
    world.rooms.snapshots[world.rooms.lives[Slug("s")]] = RoomSnapshot(0, 0, False, (), deleted=True)
    world.worker.bus_restored()
    await until(lambda: inside.closed_with is not None)
    assert (inside.types, inside.closed_with) == ([], 4004)
    assert world.holds_nothing()


async def test_a_client_with_more_than_one_mebibyte_unsent_is_closed_with_1013_alone(world: World) -> None:
    slow, quick = await world.join("s", "1:user"), await world.join("s", "2:user")
    slow.unsent = 70_000
    slow.receiver.congestion_changed(True)
    slow.unsent = UNSENT_LIMIT_BYTES
    quick.say("one")
    await world.settle()
    assert not slow.over.is_set()
    slow.unsent += 1
    quick.say("two")
    await world.settle()
    assert (slow.types, slow.closed_with) == (["chat_message"] * 2, 1013)
    assert (quick.types, quick.closed_with) == (["chat_message"] * 2, None)
    assert world.meter.closes == [1013]


async def test_a_client_that_takes_nothing_for_30_s_is_closed_with_1013_alone(world: World) -> None:
    slow, quick = await world.join("s", "1:user"), await world.join("s", "2:user")
    slow.unsent = 70_000
    slow.receiver.congestion_changed(True)
    world.clock.time_s += STALL_LIMIT_S - 1
    slow.unsent -= 1
    await world.worker.check_progress()
    world.clock.time_s += STALL_LIMIT_S - 1
    await world.worker.check_progress()
    assert not slow.over.is_set()
    world.clock.time_s += 1
    await world.worker.check_progress()
    assert (slow.types, slow.closed_with) == ([], 1013)
    assert quick.closed_with is None


async def test_a_duty_that_fails_is_done_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0

    def fail() -> None:
        nonlocal asked
        asked += 1
        raise ZeroDivisionError

    monkeypatch.setattr(worker, "TICK_S", 0.001)
    world.worker.recovery.look_up_overdue = fail  # type: ignore[method-assign]  # a defect
    world.worker.start()
    await until(lambda: asked > 2)
    await world.ports.tasks.stop()


async def test_everybody_inside_is_reported_as_seen_a_part_at_a_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "LAST_SEEN_AT_ONCE", 2)
    monkeypatch.setattr(worker, "LAST_SEEN_PAUSE_S", 0.0)
    for number in range(1, 6):
        await world.join("s", f"{number}:user")
    world.moderation.seen.clear()
    await world.worker.report_all_seen()
    assert world.moderation.seen == [(f"u:{number}", "s") for number in range(1, 6)]
