"""Where a room shows so many messages a second: what is asked of the stream, and what clients are given meanwhile."""

import asyncio
import re
from collections.abc import Callable

import pytest
import structlog
from edge_world import AT, Client, World

from ws_edge.errors import BusUnavailable
from ws_edge.ports import Incident
from ws_edge.protocol import codec
from ws_edge.protocol.identity import Identity, MessageId, Rank, RoomId, Slug, Speaker, UserId
from ws_edge.protocol.log import LogRef, StoredMessage
from ws_edge.protocol.policies import NO_POLICY, Policy
from ws_edge.protocol.references import ResumePoint
from ws_edge.protocol.rooms import Membership
from ws_edge.protocol.server_frames import You
from ws_edge.room import recovery, viewers

LIMIT = 5
SECOND = AT[:19]


LATE = Speaker(Identity(UserId(3), "late", None, (), Rank.USER, None), "192.0.2.1", "e:3")
YOU = You(user_id=3, username="late", roles=(), may=())


class Reader:
    """A member of a room, and the ids of what it is written."""

    def __init__(self) -> None:
        self.ids: list[int] = []

    def write(self, frames: bytes) -> None:
        self.ids += map(int, re.findall(rb'"data":{"id":([0-9]+)', frames))

    def unsent_bytes(self) -> int:
        return 0

    def close_slow_consumer(self) -> None:
        raise AssertionError("nobody is slow here")


@pytest.fixture
def world(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """Where seconds last until the test ends them."""
    monkeypatch.setattr(viewers, "left_of_second_s", lambda entry: 3_600.0)
    world.ports.policies.apply(Slug("s"), Policy(1, max_shown_per_second=LIMIT))
    return world


def end_second(world: World, second: str = SECOND) -> None:
    (held,) = world.worker.held_rooms.by_life.values()
    held.room._viewers._end(second)


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not reached():  # noqa: ASYNC110 - nothing tells of what is waited for here
            await asyncio.sleep(0.001)


def said(client: Client) -> list[object]:
    return [frame["data"]["message"] for frame in client.frames if frame["type"] == "chat_message"]  # type: ignore[index]


def shown_up_to(world: World) -> int:
    (held,) = world.worker.held_rooms.by_life.values()
    return held.room.viewed_id


async def test_messages_carry_the_limit_and_come_when_their_second_is_over(world: World) -> None:
    chair, ana = await world.join("s", "9:moderator"), await world.join("s", "1:user")
    for number in range(1, 8):
        ana.say(str(number), nonce=f"n{number}")
    await world.settle()
    assert [entry.max_shown for _, entry in world.bus.stream if isinstance(entry, StoredMessage)] == [LIMIT] * 7
    assert (said(chair), said(ana)) == ([str(number) for number in range(1, 8)], [])
    end_second(world)
    await until(lambda: shown_up_to(world) == 7)
    await world.settle()
    assert said(ana) == said(chair)
    assert sum("prev_id" in frame["data"] for frame in ana.frames) == 1  # type: ignore[operator]


async def test_a_second_is_not_over_before_all_came_that_the_stream_s_leader_has(world: World) -> None:
    ben, ana = await world.join("s", "2:user"), await world.join("s", "1:user")
    ana.say("one")
    await world.settle()
    world.bus.keeps_copies = True
    ana.say("two")
    end_second(world)
    await world.settle()
    assert (said(ben), shown_up_to(world)) == ([], 0)
    world.bus.give_copies()
    await until(lambda: shown_up_to(world) == 2)
    await world.settle()
    assert said(ben) == ["one", "two"]


async def test_while_the_stream_cannot_be_read_a_second_waits_for_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "FIRST_PAUSE_S", 0.001)
    ben, ana = await world.join("s", "2:user"), await world.join("s", "1:user")
    ana.say("one")
    await world.settle()
    world.bus.is_away = True
    end_second(world)
    await world.settle()
    assert said(ben) == []
    world.bus.is_away = False
    await until(lambda: shown_up_to(world) == 1)
    await world.settle()
    assert said(ben) == ["one"]
    assert world.meter.incidents == []


async def test_no_longer_than_others_wait_for_a_gap(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "HOLD_BACK_S", 0.02)
    ben, ana = await world.join("s", "2:user"), await world.join("s", "1:user")
    ana.say("one")
    await world.settle()
    world.bus.is_away = True
    end_second(world)
    await until(lambda: shown_up_to(world) == 1)
    await world.settle()
    assert said(ben) == ["one"]
    assert world.meter.incidents == [Incident.GAP_NOT_FILLED]


@pytest.mark.parametrize("at_once", [2, 100])
async def test_a_room_that_is_opened_in_the_middle_of_a_second_reads_what_it_had_before(
    world: World, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(recovery, "SECOND_AT_ONCE", at_once)
    ben, ana = await world.join("s", "2:user"), await world.join("s", "1:user")
    for number in range(1, 9):
        ana.say(str(number), nonce=f"n{number}")
    world.bus.at = AT.replace("16:30", "16:31")  # another second
    for number in range(9, 20):
        ana.say(str(number), nonce=f"n{number}")
    end_second(world, world.bus.at[:19])
    await until(lambda: shown_up_to(world) == 19)
    await world.settle()
    (held,) = world.worker.held_rooms.by_life.values()
    membership = Membership(RoomId(1), held.room.life, Slug("s"), 1, 1, crowded=False)
    room = world.worker.held_rooms.new_room(membership)
    room.opened(MessageId(14))
    late = Reader()
    room.welcome(late, LATE, membership, you=YOU, policy=NO_POLICY)
    for _, entry in world.bus.stream[14:]:
        room.entry_stored(entry)
    room._viewers._end(world.bus.at[:19])
    await until(lambda: room.viewed_id == 19)
    await world.settle()
    assert late.ids == [number for number in chosen(ben) if number > 14]


@pytest.mark.parametrize("read", ["messages_before", "last_id"])
async def test_a_defect_in_reading_a_second_keeps_nobody_waiting(
    world: World, monkeypatch: pytest.MonkeyPatch, read: str
) -> None:
    ben, ana = await world.join("s", "2:user"), await world.join("s", "1:user")
    for number in range(1, 4):
        ana.say(str(number), nonce=f"n{number}")
    await world.settle()
    (held,) = world.worker.held_rooms.by_life.values()
    membership = Membership(RoomId(1), held.room.life, Slug("s"), 1, 1, crowded=False)
    room = world.worker.held_rooms.new_room(membership)
    room.opened(MessageId(1))
    late = Reader()
    room.welcome(late, LATE, membership, you=YOU, policy=NO_POLICY)

    async def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(world.bus, read, fail)
    with structlog.testing.capture_logs() as logs:
        for _, entry in world.bus.stream[1:]:
            room.entry_stored(entry)
        room._viewers._end(SECOND)
        await until(lambda: room.viewed_id == 3)
        await world.settle()
    assert late.ids == [2, 3]
    assert [(line["event"], line["log_level"]) for line in logs] == [("task_failed", "error")]
    assert ben.types == []


def chosen(client: Client) -> list[int]:
    return [frame["data"]["id"] for frame in client.frames if "prev_id" in frame["data"]]  # type: ignore[operator,index]


async def test_a_message_that_waits_comes_again_to_who_repeats_it_and_besides_the_chain(world: World) -> None:
    ana = await world.join("s", "1:user")
    ana.say("one", nonce="n")
    await world.settle()
    ana.say("one", nonce="n")
    await world.settle()
    (frame,) = ana.frames
    assert (frame["data"]["nonce"], "prev_id" in frame["data"]) == ("n", False)  # type: ignore[index,operator]


async def test_history_ends_where_viewers_are_and_has_what_was_not_shown(world: World) -> None:
    chair, ben = await world.join("s", "9:moderator"), await world.join("s", "2:user")
    ana = await world.join("s", "1:user")
    for number in range(1, 8):
        ana.say(str(number))
    end_second(world)
    await until(lambda: shown_up_to(world) == 7)
    world.bus.at = AT.replace("16:30", "16:31")
    ana.say("8")
    await world.settle()
    pages = []
    for client, before in ((chair, None), (ben, None), (ben, 9), (ben, 3)):
        client.raw = b""
        client.send("history", **({} if before is None else {"before": before}))
        await world.settle()
        (page,) = [frame["data"]["messages"] for frame in client.frames if frame["type"] == "history"]  # type: ignore[index]
        pages.append([data["id"] for data in page])
    assert pages == [list(range(1, 9)), list(range(1, 8)), list(range(1, 8)), [1, 2]]


async def test_who_was_shown_more_elsewhere_comes_in_when_this_edge_is_as_far(world: World) -> None:
    ana = await world.arrive("s", "1:user")
    await world.settle()
    epoch = str(ana.frames[0]["data"]["epoch"])  # type: ignore[index]
    ana.say("one")
    await world.settle()
    ben = await world.arrive("s", "2:user", resume=ResumePoint(MessageId(1), epoch))
    await world.settle()
    assert ben.types == []
    end_second(world)
    await until(lambda: ben.types == ["room_joined"])
    data = ben.frames[0]["data"]
    assert isinstance(data, dict)
    assert (data["last_id"], data["recovered"]) == (1, True)


async def test_history_has_nothing_that_is_stored_while_it_is_read_and_has_to_wait(world: World) -> None:
    world.ports.policies.apply(Slug("s"), Policy(2, delay_seconds=6))
    world.bus.at = codec.rfc3339(int(world.ports.clock.unix_s() * 1000))
    ben, ana = await world.join("s", "2:user"), await world.join("s", "1:user")
    world.bus.keeps_copies = True
    ana.say("a spoiler")  # stored; its copy is on its way to this edge
    ben.send("history")
    await world.settle()
    world.bus.give_copies()
    await until(lambda: "history" in ben.types)
    assert "a spoiler" not in str(ben.frames)


async def test_a_room_is_opened_also_where_a_replica_lags_while_something_waits(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.ports.policies.apply(Slug("s"), Policy(2, delay_seconds=6))
    world.bus.at = codec.rfc3339(int(world.ports.clock.unix_s() * 1000))
    ana = await world.join("s", "1:user")
    ana.say("one")
    await world.settle()
    (held,) = world.worker.held_rooms.by_life.values()
    answers, read = iter([False, True]), world.bus.messages_before

    async def lags(log: LogRef, before: MessageId | None, *, limit: int) -> list[StoredMessage]:
        if not next(answers):
            raise BusUnavailable("the stream gives less than it has")
        return await read(log, before, limit=limit)

    monkeypatch.setattr(world.bus, "messages_before", lags)
    tail = await world.worker.held_rooms._read_tail(held.room, MessageId(1))
    assert [entry.id for entry in tail] == [1]
