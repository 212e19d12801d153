"""Emotes and blocks on an edge: read with the room, kept current, and shown wherever a message is."""

import asyncio
from typing import Any

import pytest
from edge_world import Client, Gate, World

from ws_edge.chat.emotes import ASK_EVERY_S, OUTDATED_AGAIN_S
from ws_edge.ports import ChangedEmotes
from ws_edge.protocol import codec
from ws_edge.protocol.emotes import EVERYWHERE
from ws_edge.protocol.identity import Slug, UserId
from ws_edge.protocol.references import ResumePoint
from ws_edge.room import room

S, T = Slug("s"), Slug("t")
KAPPA, WAVE = "https://cdn.example/kappa.png", "https://cdn.example/wave.png"
IN_HI_KAPPA = [{"name": "Kappa", "url": KAPPA, "start": 3, "end": 10}]


def said(client: Client) -> list[Any]:
    """The emotes of each message, as the client is shown it."""
    data: list[Any] = [frame["data"] for frame in client.frames if frame["type"] == "chat_message"]
    return [message.get("emotes") for message in data]


@pytest.fixture
def reads(world: World) -> list[tuple[Slug, ...]]:
    """A room with emotes of its own, and some of everywhere; what was read of them."""
    world.rooms.emotes_of = {S: {"Kappa": KAPPA}, EVERYWHERE: {"wave": WAVE}}
    return world.rooms.emote_reads


async def test_they_are_read_with_the_room_once_and_shown_live_in_history_and_where_one_comes_back(
    world: World, reads: list[tuple[Slug, ...]]
) -> None:
    ana, ben = await world.join("s", "1:user"), await world.join("s", "2:user")
    assert reads == [(S, EVERYWHERE)]
    ana.say("hi :Kappa:", nonce="n1")
    await world.settle()
    assert said(ana) == said(ben) == [IN_HI_KAPPA]
    ana.raw = b""
    ana.say("hi :Kappa:", nonce="n1")
    ana.send("history")
    await world.settle()
    (history,) = [frame["data"] for frame in ana.frames if frame["type"] == "history"]
    assert isinstance(history, dict)
    assert history["messages"][0]["emotes"] == IN_HI_KAPPA
    assert said(ana) == [IN_HI_KAPPA]
    for token in ("1:user", "3:user"):
        back = await world.arrive("s", token, resume=ResumePoint(world.bus.stream[0][1].prev_id, "1.1"))
        await world.settle()
        assert said(back) == [IN_HI_KAPPA]
    assert reads == [(S, EVERYWHERE)]


async def test_a_history_and_a_replay_show_emotes_in_their_newest_messages_as_far_as_addresses_go(
    world: World, reads: list[tuple[Slug, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else long addresses make a replay of some hundred messages megabytes."""
    for module in (codec, room):
        monkeypatch.setattr(module, "ADDRESSES_SENT_CHARACTERS", 2 * len(KAPPA) - 1)
    ana = await world.join("s", "1:user")
    for number in range(4):
        ana.say("hi :Kappa:", nonce=f"n{number}")
    await world.settle()
    expected = [None, None, IN_HI_KAPPA, IN_HI_KAPPA]
    ana.send("history")
    await world.settle()
    (history,) = [frame["data"] for frame in ana.frames if frame["type"] == "history"]
    assert isinstance(history, dict)
    assert [message.get("emotes") for message in history["messages"]] == expected
    for token in ("1:user", "3:user", "4:user"):
        back = await world.arrive("s", token, resume=ResumePoint(world.bus.stream[0][1].prev_id, "1.1"))
        await world.settle()
        assert said(back) == expected


async def test_rooms_that_open_at_once_share_one_question(world: World, reads: list[tuple[Slug, ...]]) -> None:
    await asyncio.gather(*(world.arrive(ref, "1:user") for ref in ("s", "t", "s")))
    await world.settle()
    assert reads == [(S, T, EVERYWHERE)]


async def test_emotes_that_cannot_be_read_keep_nobody_out_and_are_read_when_they_can(
    world: World, reads: list[tuple[Slug, ...]]
) -> None:
    world.rooms.knows_no_emotes = True
    ana = await world.join("s", "1:user")
    ana.say("hi :Kappa:")
    await world.settle()
    await world.worker.emote_reader.refresh()
    world.rooms.knows_no_emotes = False
    await world.worker.emote_reader.refresh()
    ana.say("hi :Kappa:")
    await world.settle()
    assert said(ana) == [None, IN_HI_KAPPA]


async def test_a_change_that_is_told_is_read_with_the_next_refresh_and_one_of_another_room_is_not(
    world: World, reads: list[tuple[Slug, ...]]
) -> None:
    ana = await world.join("s", "1:user")
    await world.worker.emote_reader.refresh()
    reads.clear()
    world.rooms.emotes_of[S] = {"smile": WAVE}
    for slug in (S, T, EVERYWHERE, S):
        world.worker.emotes_changed(slug)
    await world.worker.emote_reader.refresh()
    await world.worker.emote_reader.refresh()
    assert reads == [(S, EVERYWHERE)]
    ana.say(":Kappa: :smile:")
    await world.settle()
    assert said(ana) == [[{"name": "smile", "url": WAVE, "start": 8, "end": 15}]]


async def test_a_change_that_was_not_told_is_found_within_five_seconds(
    world: World, reads: list[tuple[Slug, ...]]
) -> None:
    reader = world.worker.emote_reader
    world.rooms.changed = ChangedEmotes(7)
    await world.join("s", "1:user")
    await reader.refresh()
    reads.clear()
    world.rooms.changed = ChangedEmotes(9, (T, S))
    await reader.refresh()
    assert reads == []
    world.clock.time_s += ASK_EVERY_S
    await reader.refresh()
    assert (world.rooms.asked_after, reads) == ([None, 7], [(S,)])


@pytest.mark.parametrize("changed", [ChangedEmotes(9, (T,), has_more=True), ChangedEmotes(3)])
async def test_where_it_is_not_known_what_has_changed_all_are_read_again(
    world: World, reads: list[tuple[Slug, ...]], changed: ChangedEmotes
) -> None:
    reader = world.worker.emote_reader
    world.rooms.changed = ChangedEmotes(7)
    await world.join("s", "1:user")
    await reader.refresh()
    assert reads[1:] == [(EVERYWHERE, S)]
    reads.clear()
    world.rooms.changed = changed
    world.clock.time_s += ASK_EVERY_S
    await reader.refresh()
    assert reads == [(EVERYWHERE, S)]


async def test_what_changes_while_it_is_read_is_read_again(world: World, reads: list[tuple[Slug, ...]]) -> None:
    reader = world.worker.emote_reader
    await world.join("s", "1:user")
    await reader.refresh()
    reads.clear()
    world.rooms.reading_emotes.shut()
    reader.changed(S)
    reading = asyncio.create_task(reader.refresh())
    await world.rooms.reading_emotes.reached.wait()
    await world.settle()
    reader.changed(S)
    world.rooms.reading_emotes.open()
    await reading
    await reader.refresh()
    assert reads == [(S,), (S,)]


async def test_each_answer_is_taken_over_as_it_comes_and_what_it_lacks_is_asked_for_again(
    world: World, reads: list[tuple[Slug, ...]]
) -> None:
    world.rooms.emotes_at_once = 1
    ana = await world.join("s", "1:user")
    assert reads == [(S, EVERYWHERE), (EVERYWHERE,)]
    ana.say("hi :Kappa:")
    await world.settle()
    assert said(ana) == [IN_HI_KAPPA]


async def test_a_reading_that_began_earlier_and_ends_later_changes_nothing(
    world: World, reads: list[tuple[Slug, ...]]
) -> None:
    """An image that was deleted meanwhile would come back."""
    reader = world.worker.emote_reader
    ana = await world.join("s", "1:user")
    await reader.refresh()
    world.rooms.reading_emotes.shut()
    reader.changed(S)
    slow = asyncio.create_task(reader.refresh())
    await world.rooms.reading_emotes.reached.wait()
    slow_gate, world.rooms.reading_emotes = world.rooms.reading_emotes, Gate()
    del world.rooms.emotes_of[S]
    reader.changed(S)
    await reader.refresh()
    slow_gate.open()
    await slow
    ana.say("hi :Kappa:")
    await world.settle()
    assert said(ana) == [None]


async def test_what_is_known_stays_while_a_service_of_before_answers_and_is_asked_for_later(
    world: World, reads: list[tuple[Slug, ...]]
) -> None:
    reader = world.worker.emote_reader
    ana = await world.join("s", "1:user")
    await reader.refresh()
    reads.clear()
    world.rooms.is_of_before = True
    reader.changed(S)
    for _ in range(3):
        await reader.refresh()
    ana.say("hi :Kappa:")
    await world.settle()
    assert (said(ana), reads) == ([IN_HI_KAPPA], [(S,)])
    world.rooms.is_of_before = False
    world.clock.time_s += OUTDATED_AGAIN_S
    await reader.refresh()
    assert reads == [(S,), (S,)]


async def test_nothing_stays_of_a_room_that_was_left_also_while_it_was_read(
    world: World, reads: list[tuple[Slug, ...]]
) -> None:
    del world.rooms.emotes_of[EVERYWHERE]
    ana = await world.join("s", "1:user")
    assert len(world.ports.emotes) == 1
    world.rooms.reading_emotes.shut()
    world.worker.emotes_changed(S)
    reading = asyncio.create_task(world.worker.emote_reader.refresh())
    await world.settle()
    ana.hang_up()
    world.rooms.reading_emotes.open()
    await reading
    assert world.holds_nothing()
    assert not world.worker.emote_reader._stale


async def test_an_emote_of_the_room_may_be_reacted_with_and_no_other(
    world: World, reads: list[tuple[Slug, ...]]
) -> None:
    ana = await world.join("s", "1:user")
    for emoji in ("Kappa", ":Kappa:", ":wave:", ":nothing:"):
        ana.send("reaction", emoji=emoji)
    for _ in range(3):
        await asyncio.sleep(0)
    await world.settle()
    assert ana.types == ["not_found", "reactions"]
    (frame,) = [frame["data"] for frame in ana.frames if frame["type"] == "reactions"]
    assert frame == {"counts": {":Kappa:": 2, ":wave:": 1}, "messages": {}}


# --- blocks ----------------------------------------------------------------------------------------------------------


def you(client: Client) -> dict[str, Any]:
    data = client.frames[0]["data"]
    assert isinstance(data, dict)
    found: dict[str, Any] = data["you"]
    return found


async def test_a_signed_in_user_is_told_whom_they_have_blocked(world: World) -> None:
    world.rooms.blocked = {UserId(1): (UserId(6), UserId(5))}
    for token, blocked in (("1:user", [6, 5]), ("2:user", [])):
        client = await world.arrive("s", token)
        await world.settle()
        assert you(client)["blocked"] == blocked


async def test_blocks_that_an_answer_to_a_join_does_not_tell_are_asked_for(world: World) -> None:
    world.rooms.tells_no_blocks = True
    world.rooms.blocked = {UserId(1): (UserId(6),)}
    ana = await world.arrive("s", "1:user")
    await world.settle()
    assert you(ana)["blocked"] == [6]


async def test_an_anonymous_one_has_no_such_list(world: World) -> None:
    guest = await world.arrive("s")
    await world.settle()
    assert "blocked" not in you(guest)


async def test_blocks_that_cannot_be_read_keep_nobody_out(world: World) -> None:
    world.rooms.knows_no_emotes = True
    ana = await world.arrive("s", "1:user")
    await world.settle()
    assert "blocked" not in you(ana)


async def test_a_renewed_token_says_nothing_of_blocks(world: World) -> None:
    ana = await world.join("s", "1:user")
    ana.send("authenticate", token="1:admin")
    await world.settle()
    (frame,) = ana.frames
    assert frame["type"] == "authenticated"
    assert "blocked" not in you(ana)
