"""A crowded room: what is gathered for all comes to one at once where they are answered, are whose it is, or go."""

import pytest
from edge_world import World

from ws_edge.protocol.identity import Rank, Slug, UserId
from ws_edge.protocol.rooms import PresenceChanged
from ws_edge.protocol.sanctions import Action, Sanction, SanctionEvent, Scope
from ws_edge.room import crowding
from ws_edge.room.audience import UNSENT_LIMIT_BYTES
from ws_edge.room.room import Room

AN_HOUR_S = 3600.0
pytestmark = pytest.mark.parametrize("world", [{"crowded_flush_s": AN_HOUR_S}], indirect=True)


@pytest.fixture(autouse=True)
def never(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is gathered waits for longer than a test."""
    monkeypatch.setattr(crowding, "SHORTEST_FLUSH_S", AN_HOUR_S)


def room_of(world: World) -> Room:
    (held,) = world.worker.held_rooms.by_life.values()
    return held.room


def fill(world: World, count: int, *, first_version: int) -> None:
    """From now on the room has so many connections, on other edges; all who came before are told of."""
    room = room_of(world)
    version = world.rooms.versions[Slug("s")] = world.rooms.versions[Slug("s")] + 1
    room.presence_changed(PresenceChanged(first_version, version, count, True, (), (), 0, 0, 0))


async def crowd(world: World) -> None:
    """A room that is crowded, and was told something just now."""
    first = await world.join("s", "100:user")
    fill(world, 600, first_version=2)
    first.say("first")
    await world.settle()


async def test_whose_message_it_is_has_it_at_once_and_the_others_when_it_is_written_to_all(world: World) -> None:
    await crowd(world)
    ana, ben = await world.join("s", "1:user"), await world.join("s", "2:user")
    ana.say("one")
    await world.settle()
    ben.say("two")
    await world.settle()
    assert [frame["data"]["message"] for frame in ana.frames] == ["one"]  # type: ignore[index]
    assert [frame["data"]["message"] for frame in ben.frames] == ["one", "two"]  # type: ignore[index]


async def test_an_answer_comes_behind_what_the_room_was_told_before(world: World) -> None:
    await crowd(world)
    ana, ben = await world.join("s", "1:user"), await world.join("s", "2:user")
    ana.say("one")
    await world.settle()
    assert ben.types == []
    ben.send("history")
    await world.settle()
    assert ben.types == ["chat_message", "history"]


async def test_who_comes_gets_nothing_of_what_waits_and_has_nobody_else_written_to(world: World) -> None:
    await crowd(world)
    ana, ben = await world.join("s", "1:user"), await world.join("s", "2:user")
    ana.say("one")
    await world.settle()
    cleo = await world.arrive("s", "3:user")
    await world.settle()
    assert cleo.frames[0]["data"]["last_id"] == room_of(world).last_id  # type: ignore[index]
    cleo.send("history")
    await world.settle()
    assert cleo.types == ["room_joined", "history"]
    assert ben.types == []


async def test_who_is_closed_was_written_all_that_they_were_told(world: World) -> None:
    await crowd(world)
    ana, ben, cleo = [await world.join("s", token) for token in ("1:user", "5:user", "6:user")]
    ana.say("one")
    await world.settle()
    slug, user_id = Slug("s"), UserId(5)
    ban = Sanction(1, Action.BAN, user_id, None, frozenset(), slug, Rank.ADMIN, None)
    world.worker.sanction_changed(
        SanctionEvent(1, Action.BAN, user_id, None, UserId(9), 60, Scope.ROOM, slug, 1_764_261_180_000, (ban,))
    )
    assert (ben.types, ben.closed_with) == (["chat_message", "moderation_action"], 4003)
    world.worker.membership_lost(cleo.receiver.id)  # type: ignore[attr-defined]
    assert (cleo.types, cleo.closed_with) == (["chat_message", "moderation_action"], 1012)


async def test_who_is_found_too_slow_while_being_closed_is_closed_once(world: World) -> None:
    await crowd(world)
    ana, ben = await world.join("s", "1:user"), await world.join("s", "5:user")
    ben.receiver.congestion_changed(True)
    ben.unsent = UNSENT_LIMIT_BYTES + 1
    ana.say("one")
    await world.settle()
    world.worker.membership_lost(ben.receiver.id)  # type: ignore[attr-defined]
    assert ben.closed_with == 1013
    assert world.meter.closes == [1013]


async def test_above_2000_nobody_is_shown_typing_who_starts_and_what_was_told_is_ended(world: World) -> None:
    ana, ben = await world.join("s", "1:user"), await world.join("s", "2:user")
    ana.send("typing_start")
    await world.settle()
    assert ben.types == ["typing_start"]
    fill(world, crowding.TYPING_LIMIT + 1, first_version=2)
    ben.send("typing_start")
    ben.send("typing_stop")
    ana.send("typing_start")
    ana.send("typing_stop")
    await world.settle()
    ben.send("history")
    await world.settle()
    assert [kind for kind in ben.types if kind != "room_stats"] == ["typing_start", "typing_stop", "history"]
    assert [change.active for change in world.bus.typing] == [True, False]
    fill(world, crowding.TYPING_LIMIT, first_version=4)
    ben.send("typing_start")
    ana.send("history")
    await world.settle()
    assert [kind for kind in ana.types if kind != "room_stats"] == ["typing_start", "history"]
