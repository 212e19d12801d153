"""Reactions over a real socket: who may, how many, to what."""

import asyncio

from chat_client import Person, Visitors


async def test_an_eleventh_reaction_in_10_seconds_is_refused_and_says_how_long_to_wait(
    visitors: Visitors, room: str, ana: Person
) -> None:
    client = await visitors.join(room, ana)
    for _ in range(11):
        await client.send("reaction", emoji="👍")
    data = await client.expect_error("Rate limit exceeded", "rate_limited")
    assert 0 < data["retry_after_ms"] <= 10_000
    assert "nonce" not in data
    await client.say("messages have a limit of their own")


async def test_who_may_not_write_by_the_policy_may_react_and_who_is_muted_may_not(
    visitors: Visitors, room: str, admin: Person, bob: Person
) -> None:
    chair, reader = await visitors.join(room, admin), await visitors.join(room, bob)
    guest = await visitors.join(room)
    await chair.send("moderation_action", action="policy", changes={"read_only": "everyone"}, nonce="p1")
    await chair.wait_for("room_policy", nonce="p1")
    await asyncio.sleep(1)
    await reader.send("chat_message", message="may I?")
    await reader.expect_error("The room is read-only", "read_only")
    for client in (reader, guest):
        await client.send("reaction", emoji="❤️")
        await chair.wait_for("reactions")
    await chair.send("moderation_action", action="mute", target_user_id=bob.user_id)
    await reader.wait_for("moderation_action")
    await reader.send("reaction", emoji="❤️")
    await reader.expect_error("You are muted or banned", "muted_or_banned")


async def test_a_message_that_was_deleted_takes_no_reactions(
    visitors: Visitors, room: str, ana: Person, bob: Person
) -> None:
    author, reader = await visitors.join(room, ana), await visitors.join(room, bob)
    said = [await author.say(text) for text in ("stays", "goes")]
    await reader.send("reaction", emoji="😂", message_id=said[1]["id"])
    assert (await author.wait_for("reactions"))["messages"] == {str(said[1]["id"]): {"😂": 1}}
    await author.send("moderation_action", action="delete", message_id=said[1]["id"])
    await reader.wait_for("message_deleted")
    await reader.send("reaction", emoji="😂", message_id=said[1]["id"])
    await reader.expect_error("Not found", "not_found")
    await reader.send("reaction", emoji="😂", message_id=said[0]["id"])
    assert (await author.wait_for("reactions"))["messages"] == {str(said[0]["id"]): {"😂": 1}}


async def test_reactions_are_neither_stored_nor_told_to_who_comes_later(
    visitors: Visitors, room: str, ana: Person, bob: Person
) -> None:
    client = await visitors.join(room, ana)
    said = await client.say("hello")
    await client.send("reaction", emoji="❤️", message_id=said["id"])
    await client.wait_for("reactions")
    late = await visitors.join(f"{room}?since=0&epoch={client.joined['epoch']}", bob)
    assert late.joined["last_id"] == said["id"]
    await late.send("history")
    frames = await late.collect_until("history")
    assert "reactions" not in [frame["type"] for frame in frames]
