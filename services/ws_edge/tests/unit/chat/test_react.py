"""Reactions, from a client's frame to what everybody is told: a whole worker in memory."""

import asyncio
import gc
import json

import pytest
from edge_world import AT, EDGE, Client, World

from ws_edge.chat.react import REACTIONS_PER_ADDRESS, REACTIONS_PER_WINDOW
from ws_edge.protocol.identity import Life, MessageId, Rank, Slug, UserId
from ws_edge.protocol.log import MessageDeleted, MessagesPurged, StoredMessage
from ws_edge.protocol.policies import Policy, ReadOnly
from ws_edge.protocol.reactions import Reacted
from ws_edge.protocol.sanctions import Action, Sanction, SanctionEvent, Scope
from ws_edge.room.reactions import HELD_S, TOLD_EVERY_S

HEART = "❤️"


async def told(world: World, *clients: Client) -> None:
    """Let the second pass after which everybody is told: timers of rooms are those of the loop."""
    for _ in range(3):
        await asyncio.sleep(0)
    world.clock.time_s += TOLD_EVERY_S
    await world.settle()


def reactions(client: Client) -> list[object]:
    return [frame["data"] for frame in client.frames if frame["type"] == "reactions"]


async def test_everybody_is_told_the_sums_the_one_who_reacted_too(world: World) -> None:
    ana, ben = await world.join("s", "1:user"), await world.join("s", "2:user")
    ana.send("reaction", emoji=HEART)
    ben.send("reaction", emoji=HEART)
    ben.send("reaction", emoji="😂")
    await told(world)
    assert reactions(ana) == reactions(ben) == [{"counts": {HEART: 2, "😂": 1}, "messages": {}}]
    assert [(life, sorted(r.emoji for r in sums)) for life, sums in world.bus.reactions] == [
        (Life(1), sorted([HEART, "😂"]))
    ]
    assert [m for _, m in world.bus.stream] == []


async def test_what_other_edges_tell_is_shown_here(world: World) -> None:
    ana = await world.join("s", "1:user")
    (listener,) = world.bus.listeners[Life(1)]
    listener.reactions_heard([Reacted(HEART, None, 40)])
    await told(world)
    assert reactions(ana) == [{"counts": {HEART: 40}, "messages": {}}]
    assert world.bus.reactions == []


async def test_without_nats_they_are_seen_here_alone_and_nobody_is_told_of_an_error(world: World) -> None:
    ana = await world.join("s", "1:user")
    world.bus.is_away = True
    ana.send("reaction", emoji=HEART)
    await told(world)
    assert reactions(ana) == [{"counts": {HEART: 1}, "messages": {}}]
    assert ana.types == ["reactions"]


@pytest.mark.parametrize("emoji", ["hello world", "", "x" * 103, "😂" * 256, "😂😂", "😂 x", ":a", 7, None, ["😂"]])
async def test_what_is_no_emoji_is_an_invalid_message_format(world: World, emoji: object) -> None:
    ana = await world.join("s", "1:user")
    ana.send("reaction", emoji=emoji)
    await told(world)
    assert ana.types == ["invalid_format"]
    assert world.bus.reactions == []


@pytest.mark.parametrize("message_id", [0, -1, 1.5, "7", 2**53, True])
async def test_a_malformed_message_id_is_an_invalid_message_format(world: World, message_id: object) -> None:
    ana = await world.join("s", "1:user")
    ana.send("reaction", emoji=HEART, message_id=message_id)
    assert ana.types == ["invalid_format"]


async def test_an_eleventh_reaction_of_a_user_in_10_seconds_is_refused_over_all_connections_and_rooms(
    world: World,
) -> None:
    here, there = await world.join("s", "1:user"), await world.join("t", "1:user")
    for _ in range(5):
        here.send("reaction", emoji=HEART)
        there.send("reaction", emoji=HEART)
    there.send("reaction", emoji=HEART)
    (error,) = [frame["data"] for frame in there.frames]
    assert error == {"message": "Rate limit exceeded", "code": "rate_limited", "retry_after_ms": 10_000}
    world.clock.time_s += 10.0
    there.send("reaction", emoji=HEART)
    assert there.types == ["rate_limited"]
    assert REACTIONS_PER_WINDOW == 10


async def test_an_anonymous_connection_has_10_and_its_address_100(world: World) -> None:
    crowd = [await world.join("s") for _ in range(11)]
    for client in crowd:
        for _ in range(11):
            client.send("reaction", emoji=HEART)
    assert [client.types.count("rate_limited") for client in crowd] == [1] * 10 + [11]
    assert REACTIONS_PER_ADDRESS == 100


async def test_who_comes_back_from_another_address_is_counted_there_too(world: World) -> None:
    crowd = [await world.join("s", address="192.0.2.9") for _ in range(10)]
    for client in crowd:
        for _ in range(10):
            client.send("reaction", emoji=HEART)
    first = await world.arrive("s", address="192.0.2.1")
    await world.settle()
    you = first.frames[0]["data"]["you"]  # type: ignore[index] # JSON
    assert isinstance(you, dict)
    first.hang_up()
    back = await world.arrive("s", address="192.0.2.9", resume_text=you["resume"])
    await world.settle()
    back.raw = b""
    back.send("reaction", emoji=HEART)
    assert back.types == ["rate_limited"]


async def test_messages_and_reactions_have_limits_of_their_own(world: World) -> None:
    ana = await world.join("s", "1:user")
    for number in range(10):
        ana.send("reaction", emoji=HEART)
        ana.say(str(number))
    await told(world)
    assert ana.types.count("chat_message") == 10
    assert "rate_limited" not in ana.types


async def test_who_is_muted_does_not_react_until_it_ends(world: World) -> None:
    ana = await world.join("s", "1:user")
    ends_at_s, slug = world.clock.unix_s() + 60, Slug("s")
    mute = Sanction(1, Action.MUTE, UserId(1), None, frozenset(), slug, Rank.ADMIN, ends_at_s)
    event = SanctionEvent(1, Action.MUTE, UserId(1), None, UserId(9), 1, Scope.ROOM, slug, 0, (mute,))
    world.worker.sanction_changed(event)
    await world.settle()
    ana.raw = b""
    ana.send("reaction", emoji=HEART)
    assert [frame["data"] for frame in ana.frames] == [
        {"message": "You are muted or banned", "code": "muted_or_banned"}
    ]
    world.clock.time_s += 60
    ana.raw = b""
    ana.send("reaction", emoji=HEART)
    await told(world)
    assert ana.types == ["reactions"]


async def test_the_policy_of_a_room_holds_for_messages_alone(world: World) -> None:
    world.moderation.policies[Slug("s")] = Policy(7, 600, ReadOnly.EVERYONE, members_only=True)
    guest = await world.join("s")
    guest.send("reaction", emoji=HEART)
    guest.send("reaction", emoji=HEART)
    await told(world)
    assert guest.types == ["reactions"]


# --- to a message ----------------------------------------------------------------------------------------------------


async def test_a_reaction_to_a_message_is_told_by_its_id(world: World) -> None:
    ana, ben = await world.join("s", "1:user"), await world.join("s", "2:user")
    ana.say("hello")
    await world.settle()
    ben.send("reaction", emoji="😂", message_id=1)
    ana.send("reaction", emoji="😂", message_id=1)
    await told(world)
    assert reactions(ana) == reactions(ben) == [{"counts": {}, "messages": {"1": {"😂": 2}}}]


async def test_which_messages_there_are_is_read_once_for_all_and_followed_from_then_on(world: World) -> None:
    ana, ben = await world.join("s", "1:user"), await world.join("s", "2:user")
    ana.say("first")
    await world.settle()
    world.bus.message_reads = 0
    for client in (ana, ben, ana):
        client.send("reaction", emoji=HEART, message_id=1)
    await told(world)
    ana.say("second")
    await world.settle()
    ben.send("reaction", emoji=HEART, message_id=2)
    await told(world)
    assert reactions(ben) == [
        {"counts": {}, "messages": {"1": {HEART: 3}}},
        {"counts": {}, "messages": {"2": {HEART: 1}}},
    ]
    assert world.bus.message_reads == 1


async def test_a_reaction_to_a_message_of_nowhere_is_not_found_and_leaves_nothing(world: World) -> None:
    ana = await world.join("s", "1:user")
    ana.say("hello")
    await world.settle()
    ana.raw = b""
    for number in (2, 999, 2**53 - 1):
        ana.send("reaction", emoji=HEART, message_id=number)
    await told(world)
    assert [frame["data"] for frame in ana.frames] == [{"message": "Not found", "code": "not_found"}] * 3
    assert world.bus.reactions == []


async def test_a_message_that_was_taken_back_is_not_found(world: World) -> None:
    ana = await world.join("s", "1:user")
    for text in ("a", "b", "c"):
        ana.say(text)
    await world.settle()
    life = Life(1)
    gone = MessageDeleted(MessageId(4), MessageId(3), AT, MessageId(1), UserId(1), "user_1", None)
    purged = MessagesPurged(MessageId(5), MessageId(4), AT, UserId(1), "user_1", MessageId(2), UserId(9))
    (listener,) = world.bus.listeners[life]
    for entry in (gone, purged):
        world.bus.stream.append((life, entry))
        listener.entry_stored(entry)
    await world.settle()
    ana.raw = b""
    for number in (1, 2, 3, 4):
        ana.send("reaction", emoji=HEART, message_id=number)
    await told(world)
    assert ana.types == ["not_found", "not_found", "not_found", "reactions"]


async def test_where_the_log_cannot_be_read_it_is_unavailable_and_tried_again_with_the_next(world: World) -> None:
    ana = await world.join("s", "1:user")
    ana.say("hello")
    await world.settle()
    ana.raw = b""
    world.bus.is_away = True
    ana.send("reaction", emoji=HEART, message_id=1)
    await world.settle()
    assert ana.types == ["unavailable"]
    world.bus.is_away = False
    ana.send("reaction", emoji=HEART, message_id=1)
    await told(world)
    assert ana.types == ["unavailable", "reactions"]


async def test_who_left_meanwhile_is_not_waited_for(world: World) -> None:
    ana, ben = await world.join("s", "1:user"), await world.join("s", "2:user")
    ben.say("hello")
    await world.settle()
    ana.send("reaction", emoji=HEART, message_id=1)
    ana.hang_up()
    await told(world)
    assert reactions(ben) == []
    assert not world.worker.reactions._waiting


async def test_a_room_keeps_nothing_of_reactions_once_they_end(world: World) -> None:
    ana = await world.join("s", "1:user")
    ana.say("hello")
    await world.settle()
    (held,) = world.worker.held_rooms.by_life.values()
    room = held.room
    assert (room._reactions, room._reactable) == (None, None)
    ana.send("reaction", emoji=HEART, message_id=1)
    ana.send("reaction", emoji=HEART)
    await told(world)
    assert room._reactable is not None
    world.clock.time_s += HELD_S - TOLD_EVERY_S
    room.check_progress()
    assert room._reactions is None
    assert room._reactable is not None
    world.clock.time_s += 0.1
    room.check_progress()
    assert room._reactable is None


async def test_hostile_reactions_leave_no_memory_behind(world: World) -> None:
    ana, ben = await world.join("s", "1:user"), await world.join("s", "2:user")
    ben.say("hello")
    await world.settle()
    (held,) = world.worker.held_rooms.by_life.values()
    for number in range(40):
        ana.send("reaction", emoji=f"random{number}")
        ben.send("reaction", emoji=HEART, message_id=10**6 + number)
    await told(world)
    assert reactions(ana) == []
    assert not world.worker.reactions._waiting
    assert held.room._reactions is None
    assert len(world.worker.reactions._limiter) == 1
    gc.collect()
    name = f"random{len(world.worker.held_rooms.by_life)}"  # not a literal, which Python itself keeps
    kept = [one for one in gc.get_objects() if isinstance(one, dict) and name in one]
    assert kept == []


async def test_a_message_of_another_edge_is_reacted_to_once_it_is_shown(world: World) -> None:
    ana = await world.join("s", "1:user")
    stored = StoredMessage(MessageId(1), MessageId(0), AT, "there", UserId(5), "user_5", "f" * 32, 1, "")
    world.bus.stream.append((Life(1), stored))
    (listener,) = world.bus.listeners[Life(1)]
    listener.entry_stored(stored)
    await world.settle()
    ana.send("reaction", emoji=HEART, message_id=1)
    await told(world)
    assert json.dumps(reactions(ana)[0], ensure_ascii=False) == '{"counts": {}, "messages": {"1": {"❤️": 1}}}'
    assert stored.edge != EDGE
