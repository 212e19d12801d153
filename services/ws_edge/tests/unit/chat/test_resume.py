"""Coming back: what was missed comes behind room_joined, whole, in order and once; or the client is told."""

import asyncio

import pytest
from edge_world import Client, World

from ws_edge.protocol.identity import MessageId, UserId
from ws_edge.protocol.references import ResumePoint
from ws_edge.room import replay
from ws_edge.room.recent_log import HELD_S, REPLAY_LIMIT


def said(client: Client) -> list[dict[str, object]]:
    """The messages that the client was shown."""
    return [frame["data"] for frame in client.frames if frame["type"] == "chat_message"]  # type: ignore[misc] # JSON


def texts(client: Client) -> list[object]:
    """What was said, as the client was shown it."""
    return [data["message"] for data in said(client)]


def chain(client: Client) -> list[tuple[object, object]]:
    """(prev_id, id) of each message."""
    return [(data["prev_id"], data["id"]) for data in said(client)]


def joined(client: Client) -> dict[str, object]:
    (frame,) = [frame for frame in client.frames if frame["type"] == "room_joined"]
    data = frame["data"]
    assert isinstance(data, dict)
    return data


async def room_with(world: World, *messages: str) -> tuple[Client, ResumePoint]:
    """Somebody who says these and stays, and where somebody stood who left before."""
    ana = await world.arrive(token="1")
    await world.settle()
    point = ResumePoint(MessageId(int(str(joined(ana)["last_id"]))), str(joined(ana)["epoch"]))
    for message in messages:
        ana.say(message)
        await world.settle()
    return ana, point


async def come_back(world: World, point: ResumePoint, token: str = "2") -> Client:
    client = await world.arrive(token=token, resume=point)
    await world.settle()
    return client


async def test_what_was_missed_comes_behind_room_joined_and_then_what_is_live(world: World) -> None:
    ana, point = await room_with(world, "one", "two", "three")
    ben = await come_back(world, ResumePoint(MessageId(1), point.epoch))
    assert ben.types == ["room_joined", "chat_message", "chat_message"]
    assert (joined(ben)["recovered"], joined(ben)["last_id"]) == (True, 3)
    ana.say("four")
    await world.settle()
    assert texts(ben) == ["two", "three", "four"]
    assert chain(ben) == [(1, 2), (2, 3), (3, 4)]


async def test_who_missed_nothing_has_recovered_all_of_it_and_nothing_is_read(world: World) -> None:
    _, point = await room_with(world, "one")
    reads = world.bus.reads
    ben = await come_back(world, ResumePoint(MessageId(1), point.epoch))
    assert (joined(ben)["recovered"], texts(ben)) == (True, [])
    assert world.bus.reads == reads


async def test_who_does_not_ask_is_told_nothing_of_recovery(world: World) -> None:
    _, _ = await room_with(world, "one")
    ben = await world.arrive(token="2")
    await world.settle()
    assert "recovered" not in joined(ben)
    assert texts(ben) == []


@pytest.mark.parametrize(
    "differs",
    [
        pytest.param(lambda p: ResumePoint(None, p.epoch), id="malformed"),
        pytest.param(lambda p: ResumePoint(MessageId(1), ""), id="without an epoch"),
        pytest.param(lambda p: ResumePoint(MessageId(1), "3.0"), id="of another epoch"),
    ],
)
async def test_what_cannot_be_told_is_not_replayed_in_part(world: World, differs: object) -> None:
    assert callable(differs)
    _, point = await room_with(world, "one", "two")
    ben = await come_back(world, differs(point))
    assert (joined(ben)["recovered"], texts(ben)) == (False, [])


async def test_a_log_that_lost_something_has_another_epoch(world: World) -> None:
    _, point = await room_with(world, "one", "two")
    world.bus.generation += 1
    ben = await come_back(world, ResumePoint(MessageId(1), point.epoch))
    assert joined(ben)["recovered"] is False
    assert joined(ben)["epoch"] != point.epoch


async def test_who_saw_nothing_yet_recovers_a_log_that_this_edge_has_shown_from_its_beginning(world: World) -> None:
    _, point = await room_with(world, "one", "two")
    assert point.since == 0
    ben = await come_back(world, point)
    assert (joined(ben)["recovered"], texts(ben)) == (True, ["one", "two"])
    await _let_go(world)
    world.bus.kept_from = 2
    cleo = await come_back(world, point, "3")
    assert (joined(cleo)["recovered"], texts(cleo)) == (False, [])


async def test_who_saw_nothing_yet_reads_the_history_where_the_edge_does_not_know_the_beginning(world: World) -> None:
    world.rooms.first_version = 2  # another edge has made the room
    _, point = await room_with(world, "one", "two")
    ben = await come_back(world, point)
    assert (joined(ben)["recovered"], texts(ben)) == (False, [])


async def test_who_saw_what_is_no_longer_kept_reads_the_history_and_those_after_it_do_not(world: World) -> None:
    _, point = await room_with(world, "one", "two", "three", "four")
    world.bus.kept_from = 3
    for token, since, recovered, missed in (
        ("2", 1, False, []),
        ("3", 2, True, ["three", "four"]),
        ("4", 3, True, ["four"]),
    ):
        client = await come_back(world, ResumePoint(MessageId(since), point.epoch), token)
        assert (joined(client)["recovered"], texts(client)) == (recovered, missed)


async def test_what_is_said_while_the_last_check_is_made_is_given_also_to_who_had_missed_nothing(world: World) -> None:
    ana, point = await room_with(world, "one")
    world.moderation.finally_checking.shut()
    ben = await world.arrive(token="2", resume=ResumePoint(MessageId(1), point.epoch))
    await world.settle()
    ana.say("two")
    await world.settle()
    world.moderation.finally_checking.open()
    await world.settle()
    assert (joined(ben)["recovered"], texts(ben)) == (True, ["two"])


async def test_who_names_an_entry_that_nobody_has_keeps_nobody_waiting(world: World) -> None:
    _, point = await room_with(world, "one", "two")
    liar = await world.arrive(token="2", resume=ResumePoint(MessageId(2**53 - 1), point.epoch))
    ben = await come_back(world, ResumePoint(MessageId(1), point.epoch), "3")
    assert (joined(ben)["recovered"], texts(ben)) == (True, ["two"])
    assert (joined(liar)["recovered"], texts(liar)) == (False, [])


async def test_who_has_seen_more_than_this_edge_waits_until_it_has_caught_up(world: World) -> None:
    ana, point = await room_with(world, "one")
    world.bus.keeps_copies = True
    ana.say("two")
    await world.settle()
    ben = await world.arrive(token="2", resume=ResumePoint(MessageId(2), point.epoch))
    async with asyncio.timeout(30):
        while not ben.types:  # noqa: ASYNC110 - frames announce themselves to nobody
            await asyncio.sleep(0.01)
    assert (joined(ben)["recovered"], joined(ben)["last_id"], texts(ben)) == (True, 2, [])


async def test_a_replica_that_lags_is_asked_again(world: World) -> None:
    _, point = await room_with(world, "one", "two", "three")
    world.bus.lags = 2
    ben = await world.arrive(token="2", resume=ResumePoint(MessageId(1), point.epoch))
    async with asyncio.timeout(30):
        while not ben.types:  # noqa: ASYNC110 - frames announce themselves to nobody
            await asyncio.sleep(0.01)
    assert (joined(ben)["recovered"], texts(ben)) == (True, ["two", "three"])


async def test_who_asks_for_too_much_does_not_make_others_read_again(world: World) -> None:
    _, point = await room_with(world, "one", "two", "three", "four")
    world.bus.kept_from = 3
    reads = world.bus.reads
    world.bus.reading.shut()
    stale = await world.arrive(token="2", resume=ResumePoint(MessageId(1), point.epoch))
    others = [
        await world.arrive(token=str(number + 10), resume=ResumePoint(MessageId(3 - number % 2), point.epoch))
        for number in range(20)
    ]
    await world.settle()
    world.bus.reading.open()
    async with asyncio.timeout(30):
        while not all(client.types for client in (stale, *others)):  # noqa: ASYNC110 - some turns of the loop
            await asyncio.sleep(0)
    assert joined(stale)["recovered"] is False
    assert all(joined(client)["recovered"] for client in others)
    assert world.bus.reads == reads + 2
    again = await come_back(world, ResumePoint(MessageId(1), point.epoch), "3")
    assert (joined(again)["recovered"], world.bus.reads) == (False, reads + 2)


async def test_who_missed_more_than_500_reads_the_history(world: World) -> None:
    ana, point = await room_with(world)
    for number in range(REPLAY_LIMIT + 1):
        ana.say(str(number))
        world.clock.time_s += 1.0  # or it would be a flood
    await world.settle()
    ben = await come_back(world, ResumePoint(MessageId(1), point.epoch))
    assert (joined(ben)["recovered"], len(texts(ben))) == (True, REPLAY_LIMIT)
    assert chain(ben) == [(number - 1, number) for number in range(2, REPLAY_LIMIT + 2)]
    cleo = await come_back(world, point, "3")
    assert (joined(cleo)["recovered"], texts(cleo)) == (False, [])


async def test_what_is_said_while_the_log_is_read_is_neither_left_out_nor_doubled(world: World) -> None:
    ana, point = await room_with(world, "one", "two")
    world.bus.reading.shut()
    ben = await world.arrive(token="2", resume=ResumePoint(MessageId(1), point.epoch))
    await world.settle()
    ana.say("three")
    await world.settle()
    assert ben.types == []
    world.bus.reading.open()
    await world.settle()
    ana.say("four")
    await world.settle()
    assert texts(ben) == ["two", "three", "four"]
    assert joined(ben)["last_id"] == 3


async def test_hundreds_who_come_back_to_a_room_read_its_log_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "REPLAY_S", 60.0)  # a busy machine takes its time
    _, point = await room_with(world, "one", "two", "three")
    reads = world.bus.reads
    world.bus.reading.shut()
    clients = [
        await world.arrive(token=str(number + 10), resume=ResumePoint(MessageId(1 + number % 2), point.epoch))
        for number in range(300)
    ]
    await world.settle()
    world.bus.reading.open()
    async with asyncio.timeout(60):
        while not all(client.types for client in clients):  # noqa: ASYNC110 - frames announce themselves to nobody
            await asyncio.sleep(0)
    assert world.bus.reads == reads + 1
    assert {tuple(texts(client)) for client in clients} == {("two", "three"), ("three",)}
    assert all(joined(client)["recovered"] for client in clients)


async def test_a_log_that_cannot_be_read_in_time_keeps_nobody_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "REPLAY_S", 0.05)
    _, point = await room_with(world, "one", "two")
    world.bus.reading.shut()
    ben = await world.arrive(token="2", resume=ResumePoint(MessageId(1), point.epoch))
    async with asyncio.timeout(10):
        while not ben.types:  # noqa: ASYNC110 - frames announce themselves to nobody
            await asyncio.sleep(0.01)
    assert (joined(ben)["recovered"], texts(ben)) == (False, [])


async def test_an_own_message_comes_back_with_its_nonce_and_others_without(world: World) -> None:
    ana, point = await room_with(world)
    ana.say("mine", nonce="n1")
    await world.settle()
    again = await come_back(world, point, "1")
    ben = await come_back(world, point)
    assert [data.get("nonce") for data in said(again)] == ["n1"]
    assert [data.get("nonce") for data in said(ben)] == [None]


async def test_who_is_banned_is_given_nothing(world: World) -> None:
    _, point = await room_with(world, "one", "two")
    world.moderation.banned.add(UserId(2))
    ben = await come_back(world, ResumePoint(MessageId(1), point.epoch))
    assert ben.types == ["access_denied"]
    assert ben.closed_with == 4003


async def test_what_nobody_comes_back_for_is_let_go_of(world: World) -> None:
    _, point = await room_with(world, "one", "two")
    await come_back(world, ResumePoint(MessageId(1), point.epoch))
    reads = world.bus.reads
    await _let_go(world)
    await come_back(world, ResumePoint(MessageId(1), point.epoch), "3")
    assert world.bus.reads == reads + 1


async def _let_go(world: World) -> None:
    world.clock.time_s += HELD_S + 1
    for held in list(world.worker.held_rooms.by_life.values()):
        held.room.check_progress()
