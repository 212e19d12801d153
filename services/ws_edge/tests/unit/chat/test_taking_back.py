"""Messages that were taken back: shown to the room in the order of its log, to their moderator with the nonce, and in
nothing that is read or sent again afterwards."""

import asyncio

import pytest
from edge_world import AT, EDGE, Client, World, until

from ws_edge.errors import BusUnavailable
from ws_edge.ports import CommandRefusal, CommandResult, Decision, Verdict
from ws_edge.protocol.commands import ChangeSanction, ClearRoom, DeleteMessage, PurgeMessages, Target
from ws_edge.protocol.identity import Life, MessageId, Rank, UserId
from ws_edge.protocol.log import (
    Erasure,
    LogRef,
    MessageDeleted,
    MessagesPurged,
    RoomCleared,
    StoredMessage,
    UnknownEntry,
    message_key,
)
from ws_edge.protocol.references import ResumePoint
from ws_edge.protocol.sanctions import Action
from ws_edge.room import recovery
from ws_edge.room.shown_log import ShownLog


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "FIRST_PAUSE_S", 0.0)


def deleted(
    world: World, message_id: int, *, nonce: str = "", token: int = 0, edge: str = EDGE, keys: tuple[str, ...] = ()
) -> Erasure:
    """The moderation service takes one message back: kept beside the log, then an entry of it."""
    number = MessageId(len(world.bus.stream) + 1)
    return erase(
        world,
        MessageDeleted(
            number,
            MessageId(number - 1),
            AT,
            MessageId(message_id),
            UserId(1),
            "user_1",
            UserId(9),
            keys,
            edge,
            token,
            nonce,
        ),
    )


def erase(world: World, erasure: Erasure) -> Erasure:
    (life,) = world.worker.held_rooms.by_life
    world.bus.beside.append((life, erasure))
    world.bus.stream.append((life, erasure))
    world.bus.copies.append((life, erasure))
    if not world.bus.keeps_copies:
        world.bus.give_copies()
    return erasure


def key_of(client: Client, life: Life, nonce: str) -> str:
    return message_key(client.receiver.speaker, life, nonce)  # type: ignore[attr-defined]  # a ChatConnection


async def come_back(world: World) -> Client:
    """A client that had seen nothing of the log."""
    (held,) = world.worker.held_rooms.by_life.values()
    client = await world.arrive("s", "2:user", resume=ResumePoint(MessageId(0), held.room.epoch))
    await until(lambda: bool(client.raw))
    return client


async def test_a_deletion_is_shown_in_the_order_of_the_log_to_everybody(world: World) -> None:
    ana, ben = await world.join("s", "1:user"), await world.join("s", "2:user")
    ana.say("one")
    deleted(world, 1)
    ana.say("two")
    await world.settle()
    shown = {"message_id": 1, "user_id": 1, "username": "user_1", "moderator_user_id": 9, "timestamp": AT}
    assert ben.types == ["chat_message", "message_deleted", "chat_message"]
    assert ben.frames[1]["data"] == {"id": 2, "prev_id": 1, **shown}
    assert ben.frames[2]["data"]["prev_id"] == 2  # type: ignore[index]
    assert ana.frames == ben.frames


@pytest.mark.parametrize(
    ("erasure", "frame"),
    [
        (
            MessagesPurged(MessageId(2), MessageId(1), AT, UserId(1), "user_1", MessageId(1), UserId(9)),
            {
                "type": "messages_purged",
                "data": {
                    "id": 2,
                    "prev_id": 1,
                    "user_id": 1,
                    "username": "user_1",
                    "up_to_id": 1,
                    "moderator_user_id": 9,
                    "timestamp": AT,
                },
            },
        ),
        (
            RoomCleared(MessageId(2), MessageId(1), AT, MessageId(1), UserId(9)),
            {
                "type": "room_cleared",
                "data": {"id": 2, "prev_id": 1, "up_to_id": 1, "moderator_user_id": 9, "timestamp": AT},
            },
        ),
    ],
)
async def test_a_purge_and_a_clear_take_back_what_lies_before_them_and_nothing_after(
    world: World, erasure: Erasure, frame: dict[str, object]
) -> None:
    ana = await world.join("s", "1:user")
    ana.say("one")
    erase(world, erasure)
    ana.say("two")
    await world.settle()
    assert ana.frames[1] == frame
    ana.send("history")
    await world.settle()
    assert [m["message"] for m in ana.frames[-1]["data"]["messages"]] == ["two"]  # type: ignore[index]


async def test_what_was_taken_back_is_in_no_replay_and_the_frames_around_it_join(world: World) -> None:
    ana = await world.join("s", "1:user")
    for text in ("one", "two", "three"):
        ana.say(text)
    await world.settle()
    deleted(world, 2)
    back = await come_back(world)
    assert back.frames[0]["data"]["recovered"] is True  # type: ignore[index]
    shown = [(f["type"], f["data"]["id"], f["data"]["prev_id"]) for f in back.frames[1:]]  # type: ignore[index]
    assert shown == [("chat_message", 1, 0), ("chat_message", 3, 1), ("message_deleted", 4, 3)]
    assert "two" not in str(back.frames)


async def test_an_edge_that_has_not_heard_of_a_deletion_yet_shows_its_text_in_no_replay_and_no_history(
    world: World,
) -> None:
    ana = await world.join("s", "1:user")
    ana.say("one")
    ana.say("two")
    await world.settle()
    world.bus.keeps_copies = True  # the copy of the deletion is on its way, and the text still stored
    deleted(world, 1)
    ana.send("history")
    await until(lambda: ana.types[-1] == "history")
    assert [m["message"] for m in ana.frames[-1]["data"]["messages"]] == ["two"]  # type: ignore[index]
    back = await come_back(world)
    assert "'one'" not in str(back.frames)


async def test_what_was_taken_back_before_this_worker_opened_the_room_is_known(world: World) -> None:
    ana = await world.join("s", "1:user")
    for text in ("one", "two"):
        ana.say(text)
    deleted(world, 1)
    await world.settle()
    (held,) = world.worker.held_rooms.by_life.values()
    held.room._shown = ShownLog()  # as a worker that opens the room now knows it
    held.room._shown.begin(held.room.last_id, is_whole=False)
    ana.send("history")
    await world.settle()
    assert [m["message"] for m in ana.frames[-1]["data"]["messages"]] == ["two"]  # type: ignore[index]


async def test_a_nonce_of_a_deleted_message_is_refused_and_nothing_is_stored(world: World) -> None:
    ana, ben = await world.join("s", "1:user"), await world.join("s", "2:user")
    ana.say("once", nonce="n")
    await world.settle()
    (life,) = world.worker.held_rooms.by_life
    deleted(world, 1, keys=(key_of(ana, life, "n"),))
    world.bus.nonces.clear()  # the stream was restarted, and has forgotten what was erased
    world.moderation.verdict = Verdict(Decision.REPEATED)
    ana.say("once", nonce="n")
    await world.settle()
    assert ana.frames[-1]["data"] == {
        "message": "This message was deleted",
        "code": "message_deleted",
        "nonce": "n",
    }
    assert ben.types == ["chat_message", "message_deleted"]
    assert len([m for _, m in world.bus.stream if isinstance(m, StoredMessage)]) == 1


async def test_a_repeat_that_the_stream_still_knows_of_a_deleted_message_is_refused_with_that_code(
    world: World,
) -> None:
    ana = await world.join("s", "1:user")
    ana.say("once", nonce="n")
    await world.settle()
    deleted(world, 1)
    ana.say("once", nonce="n")
    await world.settle()
    assert ana.types == ["chat_message", "message_deleted", "message_deleted"]
    assert ana.frames[-1]["type"] == "error"


async def test_a_moderator_s_own_copy_of_a_deletion_carries_its_nonce(world: World) -> None:
    ana, moderator = await world.join("s", "1:user"), await world.join("s", "9:moderator")
    ana.say("one")
    await world.settle()
    world.moderation.result = CommandResult(None, MessageId(2), is_repeated=False)
    moderator.send("moderation_action", action="delete", message_id=1, reason="spam", nonce="n")
    await world.settle()
    request = world.moderation.requests[0]
    assert (request.command, request.target, request.reason) == (
        DeleteMessage(MessageId(1)),
        Target(UserId(1), None),
        "spam",
    )
    assert (request.log.room_id, request.edge, request.nonce) == (7, EDGE, "n")
    deleted(world, 1, nonce="n", token=request.token)
    await world.settle()
    assert moderator.frames[-1]["data"]["nonce"] == "n"  # type: ignore[index]
    assert "nonce" not in ana.frames[-1]["data"]  # type: ignore[operator]
    assert len(world.worker.outcomes) == 0


async def test_a_deletion_of_which_nothing_is_heard_is_looked_up_and_then_unavailable(world: World) -> None:
    moderator = await world.join("s", "9:moderator")
    world.moderation.result = CommandResult(None, None, is_repeated=False)
    moderator.send("moderation_action", action="clear", nonce="n")
    await world.settle()
    assert world.moderation.requests[0].command == ClearRoom()
    world.clock.time_s += 3
    await world.worker.look_up_overdue()
    await world.settle()
    assert moderator.types == ["unavailable"]
    assert moderator.frames[0]["data"]["nonce"] == "n"  # type: ignore[index]


async def test_a_command_sent_again_is_answered_to_its_sender_alone_with_what_the_first_one_brought(
    world: World,
) -> None:
    ana, moderator = await world.join("s", "1:user"), await world.join("s", "9:moderator")
    ana.say("one")
    deleted(world, 1, nonce="n")
    await world.settle()
    world.moderation.result = CommandResult(None, MessageId(2), is_repeated=True)
    moderator.send("moderation_action", action="delete", message_id=1, nonce="n")
    await world.settle()
    assert moderator.types == ["chat_message", "message_deleted", "message_deleted"]
    assert moderator.frames[-1]["data"]["nonce"] == "n"  # type: ignore[index]
    assert ana.types == ["chat_message", "message_deleted"]


@pytest.mark.parametrize(
    ("refusal", "code"), [(CommandRefusal.NOT_PERMITTED, "not_moderator"), (CommandRefusal.NOT_FOUND, "not_found")]
)
async def test_a_command_that_is_refused_says_why(world: World, refusal: CommandRefusal, code: str) -> None:
    user = await world.join("s", "1:user")
    world.moderation.result = refusal
    user.send("moderation_action", action="delete", message_id=77, nonce="n")
    await world.settle()
    assert (user.types, user.frames[0]["data"]["nonce"]) == ([code], "n")  # type: ignore[index]
    assert world.moderation.requests[0].target is None
    assert len(world.worker.outcomes) == 0


async def test_a_purge_names_its_target_with_its_rank_and_a_ban_may_purge_too(world: World) -> None:
    moderator = await world.join("s", "9:admin")
    world.rooms.ranks[UserId(5)] = Rank.MODERATOR
    moderator.send("moderation_action", action="purge", target_user_id=5)
    moderator.send("moderation_action", action="ban", target_user_id=5, purge=True)
    await world.settle()
    purge, ban = world.moderation.requests
    assert (purge.command, purge.target_rank) == (PurgeMessages(Target(UserId(5), None)), Rank.MODERATOR)
    assert ban.command == ChangeSanction(Action.BAN, Target(UserId(5), None), purge=True)


async def test_an_entry_of_a_later_version_is_shown_to_nobody_and_leaves_no_gap_for_clients(world: World) -> None:
    ana = await world.join("s", "1:user")
    ana.say("one")
    (life,) = world.worker.held_rooms.by_life
    for number in (2, 3):
        unknown = UnknownEntry(MessageId(number), MessageId(number - 1), AT)
        world.bus.stream.append((life, unknown))
        world.bus.copies.append((life, unknown))
    world.bus.give_copies()
    ana.say("two")
    await world.settle()
    assert [(f["data"]["id"], f["data"]["prev_id"]) for f in ana.frames] == [(1, 0), (4, 1)]  # type: ignore[index]


async def test_a_replay_where_the_log_cannot_be_read_shows_nothing_taken_back(world: World) -> None:
    ana = await world.join("s", "1:user")
    for t in ("one", "two", "three"):
        ana.say(t)
    await world.settle()
    ben = await come_back(world)  # the room holds what was shown
    assert "two" in str(ben.frames)
    world.bus.is_away = True  # this edge is cut off from NATS
    world.bus.keeps_copies = True
    deleted(world, 2)  # another edge's moderator takes it back, and has the copy
    (held,) = world.worker.held_rooms.by_life.values()
    cleo = await world.arrive("s", "3:user", resume=ResumePoint(MessageId(0), held.room.epoch))
    await until(lambda: bool(cleo.raw))
    assert cleo.frames[0]["data"]["recovered"] is False  # type: ignore[index]
    assert "two" not in str(cleo.frames)


async def test_a_nonce_of_a_deleted_message_is_refused_also_where_moderation_has_forgotten_it(world: World) -> None:
    ana = await world.join("s", "1:user")
    ana.say("once", nonce="n")
    await world.settle()
    (life,) = world.worker.held_rooms.by_life
    deleted(world, 1, keys=(key_of(ana, life, "n"),))
    world.bus.nonces.clear()
    world.moderation.verdict = Verdict(Decision.ADMITTED)  # moderation lost the nonce
    ana.say("once", nonce="n")
    await world.settle()
    assert len([m for _, m in world.bus.stream if isinstance(m, StoredMessage)]) == 1


async def test_a_nonce_of_a_deleted_message_is_refused_also_while_moderation_is_away(world: World) -> None:
    ana = await world.join("s", "1:user")
    ana.say("once", nonce="n")
    await world.settle()
    (life,) = world.worker.held_rooms.by_life
    deleted(world, 1, keys=(key_of(ana, life, "n"),))
    world.bus.nonces.clear()
    world.moderation.is_away = True
    world.worker.posting._admitted._admitted.clear()  # another edge had admitted it
    ana.say("once", nonce="n")
    await world.settle()
    assert len([m for _, m in world.bus.stream if isinstance(m, StoredMessage)]) == 1


async def test_what_is_taken_back_between_two_reads_of_a_history_is_not_in_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ana = await world.join("s", "1:user")
    for t in ("a", "b", "c", "d"):
        ana.say(t)
    await world.settle()
    deleted(world, 3)
    await world.settle()
    original = world.bus.messages_before
    calls = 0

    async def read(log: LogRef, before: MessageId | None, *, limit: int) -> list[StoredMessage]:
        nonlocal calls
        calls += 1
        if calls == 2:
            deleted(world, 4)  # the room is told, and then reads the text
        return await original(log, before, limit=limit)

    monkeypatch.setattr(world.bus, "messages_before", read)
    ana.send("history", limit=2)
    await until(lambda: ana.types[-1] == "history")
    assert calls >= 2
    assert "d" not in [m["message"] for m in ana.frames[-1]["data"]["messages"]]  # type: ignore[index]


@pytest.mark.parametrize(
    ("entry_id", "code"), [(MessageId(77), "not_found"), (None, "unavailable")], ids=["any more", "yet"]
)
async def test_a_command_sent_again_whose_entry_is_not_in_the_log_is_answered(
    world: World, entry_id: MessageId | None, code: str
) -> None:
    moderator = await world.join("s", "9:moderator")
    world.moderation.result = CommandResult(None, entry_id, is_repeated=True)
    moderator.send("moderation_action", action="delete", message_id=1, nonce="n")
    await world.settle()
    assert (moderator.types, moderator.frames[0]["data"]["nonce"]) == ([code], "n")  # type: ignore[index]


async def test_nothing_is_erased_while_nobody_can_say_who_outranks_whom(world: World) -> None:
    admin, moderator = await world.join("s", "5:admin"), await world.join("s", "9:moderator")
    admin.say("hello")
    await world.settle()
    world.rooms.is_away = True
    world.moderation.result = CommandResult(None, None, is_repeated=False)
    world.worker.connections._by_user.pop(UserId(5))  # connected at another edge
    moderator.send("moderation_action", action="delete", message_id=1)
    await world.settle()
    assert not world.moderation.requests or world.moderation.requests[0].target_rank is not None


async def test_a_room_that_nobody_is_in_any_more_is_not_waited_for(world: World) -> None:
    ana = await world.join("s", "1:user")
    ana.say("one")
    await world.settle()
    (held,) = world.worker.held_rooms.by_life.values()
    room = held.room
    ana.receiver.lost()
    await world.settle()
    assert room.is_closed
    world.bus.stream.append((room.life, UnknownEntry(MessageId(99), MessageId(1), AT)))
    reads = world.bus.reads
    with pytest.raises(BusUnavailable):
        await world.worker.recovery.catch_up(room)
    assert world.bus.reads == reads


async def test_what_was_taken_back_during_a_second_interruption_that_was_not_made_good_is_read_again(
    world: World,
) -> None:
    ana = await world.join("s", "1:user")
    ana.say("one")
    await world.settle()
    (held,) = world.worker.held_rooms.by_life.values()
    room = held.room
    world.bus.keeps_copies = True
    ana.say("two")
    world.bus.copies.clear()  # lost in the first interruption
    world.bus.reading.shut()
    world.worker.bus_restored()
    await world.settle()
    first = asyncio.create_task(world.worker.recovery.catch_up(room))
    await world.settle()
    deleted(world, 1)
    world.bus.copies.clear()  # lost in the second one
    world.worker.bus_restored()
    await world.settle()
    world.bus.keeps_copies = False
    ana.say("three")  # held back
    (two,) = [m for _, m in world.bus.stream if m.id == 2]
    room.entries_restored([two])  # _fill_gap went on without: a replica lagged for LAGGING_TRIES
    await world.settle()
    await first
    ana.send("history")
    await until(lambda: ana.types[-1] == "history")
    texts = [m["message"] for m in ana.frames[-1]["data"]["messages"]]  # type: ignore[index]
    world.bus.reading.open()
    assert "one" not in texts, texts


async def test_a_room_that_went_on_with_a_gap_reads_what_was_taken_back_before_stored_text_is_shown(
    world: World,
) -> None:
    ana = await world.join("s", "1:user")
    ana.say("one")
    await world.settle()
    (held,) = world.worker.held_rooms.by_life.values()
    room = held.room
    assert room.erasures.is_read
    world.bus.keeps_copies = True
    deleted(world, 1)
    world.bus.copies.clear()  # the leader died after it had stored it
    world.bus.keeps_copies = False
    world.bus.reading.shut()
    ana.send("history")
    await until(lambda: room._order.is_filling)  # which reads, and hears nothing
    ana.say("two")
    room.entries_restored([])  # _fill_gap went on without
    await until(lambda: ana.types[-1] in ("history", "unavailable"))
    world.bus.reading.open()
    assert "one" not in str(ana.frames[-1]), ana.frames[-1]


async def test_a_copy_that_is_on_its_way_is_waited_for_and_nothing_is_read_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry that is 60 ms on its way is no gap."""
    ana = await world.join("s", "1:user")
    ana.say("one")
    await world.settle()
    (held,) = world.worker.held_rooms.by_life.values()
    room = held.room
    monkeypatch.setattr(recovery, "FIRST_PAUSE_S", 0.2)
    world.bus.keeps_copies = True
    ana.say("two")
    ana.send("history")
    await asyncio.sleep(0.06)
    read = room.erasures.is_read
    world.bus.give_copies()
    await until(lambda: ana.types[-1] == "history")
    assert read
