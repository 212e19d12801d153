"""Undoing actions on an edge, and the id of an action in the copy of who did it alone."""

from dataclasses import replace

import pytest
from edge_world import AT, EDGE, Client, World
from msgspec import structs

from ws_edge.ports import CommandRefusal, CommandRequest, CommandResult, Undone
from ws_edge.protocol.commands import UndoAction
from ws_edge.protocol.identity import MessageId, Rank, Slug, UserId
from ws_edge.protocol.log import CommandEntry, MessageDeleted, MessagesPurged, PolicyChanged, RoomCleared
from ws_edge.protocol.policies import Policy
from ws_edge.protocol.sanctions import Action, Sanction, SanctionEvent, Scope
from ws_edge.room.outcomes import OUTCOME_S

BAN = Sanction(1, Action.BAN, UserId(5), None, frozenset(), Slug("s"), Rank.ADMIN, None)
BANNED = SanctionEvent(
    812, Action.BAN, UserId(5), None, UserId(9), 60, Scope.ROOM, Slug("s"), 1_764_261_180_000, (BAN,), edge=EDGE
)
LIFTED = replace(BANNED, event_id=813, action=Action.UNBAN, duration_minutes=0, imposed=(), lifted_ids=(1,))
TOLD = {
    "action": "ban",
    "target_user_id": 5,
    "moderator_user_id": 9,
    "duration_minutes": 60,
    "timestamp": "2025-11-27T16:33:00.000Z",
}


def answers(
    world: World, monkeypatch: pytest.MonkeyPatch, event: SanctionEvent, *, comes_first: bool = False, **more: object
) -> None:
    """Moderation does what it is asked for; the event may come by NATS before the answer."""

    async def execute(request: CommandRequest) -> CommandResult | CommandRefusal:
        world.moderation.requests.append(request)
        published = replace(event, token=request.token)
        if comes_first:
            world.worker.sanction_changed(published)
        return CommandResult(published, None, is_repeated=False, action_id=event.event_id, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(world.moderation, "execute", execute)


def given(world: World, entry: CommandEntry) -> None:
    """Moderation puts an entry into the log of the room."""
    (life,) = world.worker.held_rooms.by_life
    number = MessageId(len(world.bus.stream) + 1)
    stored = structs.replace(entry, id=number, prev_id=MessageId(number - 1))
    world.bus.stream.append((life, stored))
    world.bus.copies.append((life, stored))
    world.bus.give_copies()


async def send(world: World, client: Client, **action: object) -> None:
    client.send("moderation_action", **action)
    await world.settle()


def told(client: Client, kind: str) -> list[object]:
    return [frame["data"] for frame in client.frames if frame["type"] == kind]


@pytest.mark.parametrize("comes_first", [False, True])
async def test_who_imposed_a_sanction_is_told_its_action_id_and_nobody_else_whichever_way_it_comes_first(
    world: World, monkeypatch: pytest.MonkeyPatch, comes_first: bool
) -> None:
    chair, same, ana = await world.join("s", "9:admin"), await world.join("s", "9:admin"), await world.join("s")
    answers(world, monkeypatch, BANNED, comes_first=comes_first)
    await send(world, chair, action="ban", target_user_id=5, nonce="n")
    assert told(chair, "moderation_action") == [{**TOLD, "nonce": "n", "action_id": 812}]
    assert told(same, "moderation_action") == told(ana, "moderation_action") == [TOLD]


async def test_without_a_nonce_there_is_the_action_id_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    chair = await world.join("s", "9:admin")
    answers(world, monkeypatch, BANNED)
    await send(world, chair, action="ban", target_user_id=5)
    assert told(chair, "moderation_action") == [{**TOLD, "action_id": 812}]


async def test_an_event_of_another_worker_or_of_a_command_that_is_over_is_told_as_the_document_has_it(
    world: World,
) -> None:
    chair = await world.join("s", "9:admin")
    world.worker.sanction_changed(replace(BANNED, edge="f" * 32, token=1))
    world.worker.sanction_changed(replace(LIFTED, token=99))
    await world.settle()
    assert told(chair, "moderation_action") == [TOLD, {**TOLD, "action": "unban", "duration_minutes": 0}]


@pytest.mark.parametrize(
    "entry",
    [
        MessageDeleted(MessageId(0), MessageId(0), AT, MessageId(1), UserId(5), "bob", UserId(9)),
        MessagesPurged(MessageId(0), MessageId(0), AT, UserId(5), "bob", MessageId(0), UserId(9)),
        RoomCleared(MessageId(0), MessageId(0), AT, MessageId(0), UserId(9)),
        PolicyChanged(MessageId(0), MessageId(0), AT, Policy(7, 30), UserId(9)),
    ],
)
@pytest.mark.parametrize("nonce", ["", "n"])
async def test_the_own_copy_of_an_entry_carries_its_action_id(world: World, entry: CommandEntry, nonce: str) -> None:
    chair, ana = await world.join("s", "9:admin"), await world.join("s", "1:user")
    world.moderation.result = CommandResult(None, None, is_repeated=False)
    await send(world, chair, action="clear", nonce=nonce)
    token = world.moderation.requests[0].token
    given(world, structs.replace(entry, edge=EDGE, token=token, nonce=nonce, action_id=77))
    await world.settle()
    own, other = chair.frames[-1], ana.frames[-1]
    assert isinstance(other["data"], dict)
    assert own["data"] == {**other["data"], "action_id": 77, **({"nonce": nonce} if nonce else {})}
    assert not {"action_id", "nonce"} & other["data"].keys()


async def test_an_undone_sanction_is_told_to_the_room_and_then_undone_to_who_asked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    chair, ana = await world.join("s", "9:admin"), await world.join("s", "1:user")
    answers(world, monkeypatch, LIFTED, undone=Undone(812, ("messages",), brings_entry=False))
    await send(world, chair, action="undo", action_id=812, reason="a mistake", nonce="n")
    request = world.moderation.requests[0]
    assert (request.command, request.reason, request.target) == (UndoAction(812), "a mistake", None)
    lifted = {**TOLD, "action": "unban", "duration_minutes": 0}
    assert [frame["type"] for frame in chair.frames] == ["moderation_action", "undone"]
    assert told(chair, "moderation_action") == [{**lifted, "nonce": "n", "action_id": 813}]
    assert told(chair, "undone") == [{"action_id": 813, "undoes": 812, "not_undone": ["messages"], "nonce": "n"}]
    assert (ana.types, told(ana, "moderation_action")) == (["moderation_action"], [lifted])
    assert len(world.worker.outcomes) == 0


async def test_the_entry_of_an_undo_is_waited_for_and_who_was_told_that_it_is_done_is_not_told_otherwise(
    world: World,
) -> None:
    chair = await world.join("s", "9:admin")
    undone = Undone(812, (), brings_entry=True)
    world.moderation.result = CommandResult(None, None, is_repeated=False, action_id=813, undone=undone)
    await send(world, chair, action="undo", action_id=812)
    assert told(chair, "undone") == [{"action_id": 813, "undoes": 812, "not_undone": []}]
    assert len(world.worker.outcomes) == 1
    world.clock.time_s += OUTCOME_S + 1
    await world.worker.look_up_overdue()
    await world.settle()
    assert (chair.types, len(world.worker.outcomes)) == (["undone"], 0)


async def test_an_undo_sent_again_is_answered_with_what_the_first_one_brought(world: World) -> None:
    chair, ana = await world.join("s", "9:admin"), await world.join("s", "1:user")
    undone = Undone(812, ("slow_mode_seconds",), brings_entry=False)
    world.moderation.result = CommandResult(LIFTED, None, is_repeated=True, action_id=813, undone=undone)
    await send(world, chair, action="undo", action_id=812, nonce="n")
    assert chair.types == ["moderation_action", "undone"]
    world.moderation.result = CommandResult(None, None, is_repeated=True, action_id=813, undone=undone)
    await send(world, chair, action="undo", action_id=812, nonce="n")
    assert chair.types[2:] == ["undone"]
    assert ana.types == []


@pytest.mark.parametrize(
    ("refusal", "code", "text"),
    [
        (CommandRefusal.NOT_PERMITTED, "not_moderator", "You do not have permission to moderate this room"),
        (CommandRefusal.NOT_FOUND, "not_found", "Not found"),
        (CommandRefusal.CANNOT_UNDO, "cannot_undo", "This cannot be undone"),
        (CommandRefusal.ALREADY_UNDONE, "already_undone", "This was undone already"),
        (CommandRefusal.NOTHING_TO_UNDO, "nothing_to_undo", "Nothing is left to undo"),
        (CommandRefusal.NONCE_TAKEN, "nonce_taken", "This nonce was used for something else"),
    ],
)
async def test_an_undo_that_is_refused_says_why(world: World, refusal: CommandRefusal, code: str, text: str) -> None:
    chair = await world.join("s", "9:admin")
    world.moderation.result = refusal
    await send(world, chair, action="undo", action_id=812, nonce="n")
    assert told(chair, "error") == [{"message": text, "code": code, "nonce": "n"}]
