"""The pin of a room on one worker: shown in the order of the log and in room_joined, never with what was taken back."""

import asyncio
from collections.abc import Callable

import pytest
from edge_world import AT, EDGE, Client, World
from msgspec.structs import replace

from ws_edge.ports import CommandRefusal, CommandResult
from ws_edge.protocol.commands import DeleteMessage, PinMessage, Target, UnpinMessage
from ws_edge.protocol.identity import Life, MessageId, Slug, UserId
from ws_edge.protocol.log import (
    Erasure,
    LogEntry,
    MessageDeleted,
    MessagePinned,
    MessagesPurged,
    MessageUnpinned,
    RoomCleared,
    StoredMessage,
    UnknownEntry,
)
from ws_edge.protocol.pins import Pin
from ws_edge.protocol.references import ResumePoint
from ws_edge.room import recovery
from ws_edge.room.outcomes import OUTCOME_S
from ws_edge.room.pins import PINS_READ

SLUG = Slug("s")
SHOWN = {"username": "user_1", "user_id": 1, "timestamp": AT, "room_id": 7, "role": "user"}


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "FIRST_PAUSE_S", 0.0)


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not reached():  # noqa: ASYNC110 - nothing tells of what is waited for here
            await asyncio.sleep(0.001)


def life_of(world: World) -> Life:
    (life,) = world.worker.held_rooms.by_life
    return life


def told(world: World, entry: LogEntry) -> MessageId:
    """Moderation puts an entry into the log, behind the others."""
    life, number = life_of(world), MessageId(len(world.bus.stream) + 1)
    entry = replace(entry, id=number, prev_id=MessageId(number - 1))
    if isinstance(entry, Erasure):
        world.bus.beside.append((life, entry))
    world.bus.stream.append((life, entry))
    world.bus.copies.append((life, entry))
    if not world.bus.keeps_copies:
        world.bus.give_copies()
    return number


def pinned(message_id: int, version: int, *, token: int = 0, nonce: str = "") -> MessagePinned:
    edge = EDGE if token else ""
    return MessagePinned(MessageId(0), MessageId(0), AT, MessageId(message_id), version, UserId(9), edge, token, nonce)


def unpinned(message_id: int, version: int) -> MessageUnpinned:
    return MessageUnpinned(MessageId(0), MessageId(0), AT, MessageId(message_id), version, UserId(9))


NOWHERE = (MessageId(0), MessageId(0), AT)
DELETED = MessageDeleted(*NOWHERE, MessageId(1), UserId(1), "user_1", UserId(9))
ERASURES = [
    DELETED,
    MessagesPurged(*NOWHERE, UserId(1), "user_1", MessageId(1), UserId(9)),
    RoomCleared(*NOWHERE, MessageId(1), UserId(9)),
]


def data(client: Client, number: int = 0) -> dict[str, object]:
    found = client.frames[number]["data"]
    assert isinstance(found, dict)
    return found


async def newcomer(world: World, user_id: int = 3) -> Client:
    client = await world.arrive("s", f"{user_id}:user")
    await until(lambda: bool(client.raw))
    return client


async def come_back(world: World, since: int = 0) -> Client:
    (held,) = world.worker.held_rooms.by_life.values()
    client = await world.arrive("s", "4:user", resume=ResumePoint(MessageId(since), held.room.epoch))
    await until(lambda: bool(client.raw))
    return client


async def test_a_pin_is_shown_in_the_order_of_the_log_with_its_message_as_chat_message_shows_it(world: World) -> None:
    ana, ben = await world.join("s", "1:user"), await world.join("s", "2:user")
    ana.say("be kind", nonce="n1")
    await world.settle()
    world.bus.reading.shut()
    told(world, pinned(1, 6))
    ana.say("what is said while it is read")
    await world.settle()
    assert ben.types == ["chat_message"]
    world.bus.reading.open()
    await until(lambda: len(ben.types) == 3)
    assert ben.types == ["chat_message", "message_pinned", "chat_message"]
    assert data(ben, 1) == {
        "id": 2,
        "prev_id": 1,
        "message": {"id": 1, "message": "be kind", **SHOWN},
        "moderator_user_id": 9,
        "timestamp": AT,
    }
    assert data(ben, 2)["prev_id"] == 2
    assert data(ana, 1) == data(ben, 1)


async def test_who_pins_is_answered_by_their_own_copy_with_the_nonce(world: World) -> None:
    chair, ana = await world.join("s", "9:moderator"), await world.join("s", "1:user")
    ana.say("be kind")
    await world.settle()
    world.moderation.result = CommandResult(None, None, is_repeated=False)
    chair.send("moderation_action", action="pin", message_id=1, reason="rules", nonce="p1")
    await world.settle()
    request = world.moderation.requests[0]
    assert (request.command, request.target, request.target_rank) == (PinMessage(MessageId(1)), None, None)
    told(world, pinned(1, 6, token=request.token, nonce="p1"))
    await until(lambda: chair.types[-1:] == ["message_pinned"])
    assert data(chair, 1) == {**data(ana, 1), "nonce": "p1"}
    chair.send("moderation_action", action="unpin", message_id=1)
    await world.settle()
    assert world.moderation.requests[1].command == UnpinMessage(MessageId(1))
    world.moderation.result = CommandRefusal.NOT_FOUND
    chair.send("moderation_action", action="pin", message_id=7, nonce="p2")
    await world.settle()
    assert chair.types[-1:] == ["not_found"]


async def test_newcomers_are_told_what_is_pinned_until_it_is_not(world: World) -> None:
    ana = await world.join("s", "1:user")
    ana.say("be kind")
    ana.say("or not")
    told(world, pinned(1, 6))
    await until(lambda: ana.types[-1:] == ["message_pinned"])
    ben = await newcomer(world)
    message = {"id": 1, "message": "be kind", **SHOWN}
    assert data(ben)["pinned"] == {"message": message, "moderator_user_id": 9, "timestamp": AT}
    told(world, pinned(2, 7))
    await until(lambda: ana.types.count("message_pinned") == 2)
    assert data(await newcomer(world, 4))["pinned"]["message"]["message"] == "or not"  # type: ignore[index]
    told(world, unpinned(2, 8))
    await world.settle()
    assert ana.types[-1:] == ["message_unpinned"]
    assert data(await newcomer(world, 5))["pinned"] is None


@pytest.mark.parametrize("erasure", ERASURES)
async def test_what_takes_the_message_back_ends_the_pin_and_the_text_is_in_nothing_that_is_sent_later(
    world: World, erasure: Erasure
) -> None:
    ana = await world.join("s", "1:user")
    ana.say("be nice")
    await world.settle()
    told(world, pinned(1, 6))
    await until(lambda: ana.types[-1:] == ["message_pinned"])
    assert (await come_back(world)).types == ["room_joined", "chat_message", "message_pinned"]
    told(world, erasure)
    await world.settle()
    ben, back = await newcomer(world), await come_back(world)
    assert data(ben)["pinned"] is None
    assert back.types[:2] == ["room_joined", "message_unpinned"]
    assert data(back, 1) == {"id": 2, "prev_id": 0, "message_id": 1, "moderator_user_id": 9, "timestamp": AT}
    assert b"nice" not in ben.raw + back.raw


async def test_an_edge_that_has_not_heard_of_the_deletion_yet_tells_no_newcomer_the_text(world: World) -> None:
    ana = await world.join("s", "1:user")
    ana.say("be nice")
    await world.settle()
    told(world, pinned(1, 6))
    await until(lambda: ana.types[-1:] == ["message_pinned"])
    world.bus.keeps_copies = True
    told(world, DELETED)
    ben = await newcomer(world)
    assert (data(ben)["pinned"], b"nice" in ben.raw) == (None, False)


async def test_a_pin_that_is_told_behind_the_deletion_of_its_message_is_the_end_of_the_pin_before_it(
    world: World,
) -> None:
    ana = await world.join("s", "1:user")
    for text in ("be nice", "or not"):
        ana.say(text)
    told(world, pinned(2, 5))
    told(world, DELETED)
    told(world, pinned(1, 6))
    await until(lambda: ana.types[-1:] == ["message_unpinned"])
    assert data(ana, 4)["message_id"] == 1
    assert data(await newcomer(world))["pinned"] is None
    assert (await come_back(world, 2)).types == ["room_joined", "message_pinned", "message_deleted", "message_unpinned"]


async def test_a_room_that_opens_long_after_the_pin_is_told_by_moderation_what_the_log_has_let_go_of(
    world: World,
) -> None:
    message = StoredMessage(MessageId(1), MessageId(0), AT, "be kind", UserId(1), "user_1", "", 0, "", None, "user")
    world.moderation.pins[SLUG] = (Life(1), Pin(6, message, UserId(9), AT))
    ana = await newcomer(world)
    shown = {"id": 1, "message": "be kind", **SHOWN}
    assert data(ana)["pinned"] == {"message": shown, "moderator_user_id": 9, "timestamp": AT}
    chair = await world.join("s", "9:moderator")
    chair.send("moderation_action", action="delete", message_id=1)
    await world.settle()
    request = world.moderation.requests[0]
    assert (request.command, request.target) == (DeleteMessage(MessageId(1)), Target(UserId(1), None))
    told(world, pinned(1, 7))  # pinned again: there is nothing to be read
    await until(lambda: ana.types[-1:] == ["message_pinned"])
    assert data(ana, -1)["message"] == shown


async def test_what_moderation_told_before_the_message_was_taken_back_is_not_shown(world: World) -> None:
    message = StoredMessage(MessageId(1), MessageId(0), AT, "be nice", UserId(1), "user_1", "", 0, "", None, "user")
    world.moderation.pins[SLUG] = (Life(1), Pin(6, message, UserId(9), AT))
    world.bus.beside.append((Life(1), DELETED))
    world.bus.stream.append((Life(1), replace(DELETED, id=MessageId(3))))
    ana = await newcomer(world)
    assert (data(ana)["pinned"], b"nice" in ana.raw) == (None, False)


async def test_what_moderation_tells_while_somebody_joins_is_not_shown_to_them_unread(world: World) -> None:
    """What takes it back may be on its way: another join has read it, and this one has not."""
    ana = await world.join("s", "1:user")
    ana.say("be nice")
    await world.settle()
    world.moderation.finally_checking.shut()
    ben = await world.arrive("s", "2:user")
    await world.moderation.finally_checking.reached.wait()
    author = (UserId(1), "user_1", "", 0, "")
    message = StoredMessage(MessageId(1), MessageId(0), AT, "be nice", *author, None, "user")
    (held,) = world.worker.held_rooms.by_life.values()
    held.room.pin_told(Pin(6, message, UserId(9), AT))
    world.moderation.finally_checking.open()
    await until(lambda: bool(ben.raw))
    assert "pinned" not in data(ben)
    assert data(await newcomer(world))["pinned"] is not None


async def test_the_highest_version_holds_whichever_way_it_came_and_a_pin_of_another_life_does_not(
    world: World,
) -> None:
    ana = await world.join("s", "1:user")
    ana.say("be kind")
    told(world, pinned(1, 6))
    await until(lambda: ana.types[-1:] == ["message_pinned"])
    other = StoredMessage(MessageId(9), MessageId(0), AT, "or not", UserId(1), "user_1", "", 0, "", None, "user")
    for life, version, text in ((1, 5, "be kind"), (2, 7, "be kind"), (1, 8, "or not")):
        world.moderation.pins[SLUG] = (Life(life), Pin(version, other, UserId(9), AT))
        await world.worker.actions.refresh()
        late = await newcomer(world, 10 + version)
        assert data(late)["pinned"]["message"]["message"] == text  # type: ignore[index]
    world.moderation.pins[SLUG] = (Life(1), Pin(9, None, UserId(9), AT))
    await world.worker.actions.refresh()
    assert data(await newcomer(world, 30))["pinned"] is None


async def test_a_pin_that_comes_while_the_room_opens_is_in_room_joined_with_its_message(world: World) -> None:
    world.moderation.reading.shut()
    world.moderation.finally_checking.shut()
    ana = await world.arrive("s", "1:user")
    await world.moderation.reading.reached.wait()
    author = (UserId(1), "user_1", "", 0, "")
    told(world, StoredMessage(MessageId(0), MessageId(0), AT, "be kind", *author, None, "user"))
    told(world, pinned(1, 6))
    world.moderation.reading.open()
    await world.settle()  # what came meanwhile is read
    world.moderation.finally_checking.open()
    await until(lambda: bool(ana.raw))
    assert ana.types == ["room_joined"]
    assert data(ana)["last_id"] == 2
    assert data(ana)["pinned"]["message"] == {"id": 1, "message": "be kind", **SHOWN}  # type: ignore[index]


async def test_while_the_log_cannot_be_read_newcomers_are_not_told_what_is_pinned(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ana = await world.join("s", "1:user")
    ana.say("be kind")
    told(world, pinned(1, 6))
    await until(lambda: ana.types[-1:] == ["message_pinned"])
    monkeypatch.setattr(recovery, "CATCH_UP_S", 0.05)
    world.bus.is_away = True
    ben = await newcomer(world)
    assert ben.types == ["room_joined"]
    assert "pinned" not in data(ben)
    world.bus.is_away = False
    assert data(await newcomer(world, 4))["pinned"] is not None


async def test_a_pin_whose_message_cannot_be_read_is_shown_to_nobody_until_moderation_tells_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    chair, ana = await world.join("s", "9:moderator"), await world.join("s", "1:user")
    ana.say("be kind")
    await world.settle()
    world.moderation.result = CommandResult(None, None, is_repeated=False)
    chair.send("moderation_action", action="pin", message_id=1, nonce="p1")
    await world.settle()
    monkeypatch.setattr(recovery, "HOLD_BACK_S", 0.05)
    world.bus.is_away = True
    number = told(world, pinned(1, 6, token=world.moderation.requests[0].token, nonce="p1"))
    await until(lambda: not world.worker.held_rooms.by_life[life_of(world)].room.unread_pins)
    world.bus.is_away = False
    ana.say("goes on")
    await world.settle()
    assert ana.types == ["chat_message", "chat_message"]
    assert data(ana, 1)["prev_id"] == number - 1
    assert "pinned" not in data(await newcomer(world))
    world.clock.time_s += OUTCOME_S
    await world.worker.look_up_overdue()
    await until(lambda: chair.types[-1:] == ["unavailable"])
    author = (UserId(1), "user_1", "", 0, "")
    message = StoredMessage(MessageId(1), MessageId(0), AT, "be kind", *author, None, "user")
    world.moderation.pins[SLUG] = (Life(1), Pin(6, message, UserId(9), AT))
    await world.worker.actions.refresh()
    assert data(await newcomer(world, 4))["pinned"]["message"]["message"] == "be kind"  # type: ignore[index]


async def test_a_pin_that_comes_after_its_message_has_left_the_log_ends_the_one_before_and_is_told_by_moderation(
    world: World,
) -> None:
    """Under the version that the entry has: who follows the log has none meanwhile, and newcomers are told nothing."""
    ana = await world.join("s", "1:user")
    ana.say("be kind")
    ana.say("or not")
    told(world, pinned(1, 5))
    await until(lambda: ana.types[-1:] == ["message_pinned"])
    life = life_of(world)
    world.bus.stream[1] = (life, UnknownEntry(MessageId(2), MessageId(1), AT))
    told(world, pinned(2, 6))
    await until(lambda: ana.types[-1:] == ["message_unpinned"])
    assert "pinned" not in data(await newcomer(world))
    author = (UserId(1), "user_1", "", 0, "")
    message = StoredMessage(MessageId(2), MessageId(1), AT, "or not", *author, None, "user")
    world.moderation.pins[SLUG] = (Life(1), Pin(6, message, UserId(9), AT))
    await world.worker.actions.refresh()
    assert data(await newcomer(world, 4))["pinned"]["message"]["message"] == "or not"  # type: ignore[index]
    world.moderation.pins[SLUG] = (Life(1), Pin(7, None, UserId(9), AT))
    await world.worker.actions.refresh()
    assert data(await newcomer(world, 5))["pinned"] is None


async def test_a_repeated_nonce_is_answered_to_its_sender_alone_with_what_the_first_one_brought(world: World) -> None:
    chair, ana = await world.join("s", "9:moderator"), await world.join("s", "1:user")
    ana.say("be nice")
    number = told(world, pinned(1, 6, nonce="p1"))
    await until(lambda: ana.types[-1:] == ["message_pinned"])
    chair.raw = ana.raw = b""
    world.moderation.result = CommandResult(None, number, is_repeated=True)
    chair.send("moderation_action", action="pin", message_id=1, nonce="p1")
    await until(lambda: chair.types == ["message_pinned"])
    assert data(chair)["nonce"] == "p1"
    world.bus.keeps_copies = True
    told(world, DELETED)
    chair.raw = b""
    chair.send("moderation_action", action="pin", message_id=1, nonce="p1")
    await until(lambda: chair.types == ["message_deleted", "message_unpinned"])
    assert b"nice" not in chair.raw
    assert ana.types == ["message_deleted"]


async def test_a_repeated_nonce_of_what_was_not_heard_yet_is_answered_besides_the_chain(world: World) -> None:
    chair, ana = await world.join("s", "9:moderator"), await world.join("s", "1:user")
    ana.say("be nice")
    await world.settle()
    world.bus.keeps_copies = True
    number = told(world, DELETED)
    chair.raw = b""
    world.moderation.result = CommandResult(None, number, is_repeated=True)
    chair.send("moderation_action", action="delete", message_id=1, nonce="d1")
    await until(lambda: chair.types == ["message_deleted"])
    assert (data(chair)["id"], data(chair)["nonce"], "prev_id" in data(chair)) == (number, "d1", False)
    world.bus.give_copies()
    await until(lambda: chair.types == ["message_deleted"] * 2)
    assert data(chair, 1)["prev_id"] == 1


async def test_of_many_pins_the_newest_are_replayed_and_what_holds_is_the_last_one(world: World) -> None:
    ana = await world.join("s", "1:user")
    ana.say("be kind")
    await world.settle()
    for version in range(1, PINS_READ + 4):
        told(world, pinned(1, version))
    await until(lambda: ana.types[-1:] == ["message_pinned"])
    back = await come_back(world, 1)
    shown = [frame["data"] for frame in back.frames if frame["type"] == "message_pinned"]
    assert [entry["id"] for entry in shown] == list(range(5, PINS_READ + 5))  # type: ignore[index]
    assert data(back)["recovered"] is True
    assert shown[0]["prev_id"] == 1  # type: ignore[index]


async def test_the_pin_of_a_room_that_nobody_here_is_in_is_forgotten(world: World) -> None:
    world.moderation.pins[SLUG] = (Life(1), Pin(6, None, None, AT))
    ana = await world.join("s", "1:user")
    assert len(world.ports.pins) == 1
    ana.hang_up()
    await world.settle()
    assert world.holds_nothing()
