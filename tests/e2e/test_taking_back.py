"""Messages are taken back: by their moderators, by their authors, with a ban; and are in nothing that is read later."""

import asyncio

import pytest
from chat_client import STAMP, Client, Frame, Person, Visitors, of_type, person
from salon_processes import Salon


async def back_since(visitors: Visitors, room: str, client: Client, since: int, who: Person | None = None) -> Client:
    """Somebody who comes back to the log that this client has seen."""
    return await visitors.join(f"{room}?since={since}&epoch={client.joined['epoch']}", who)


async def history(client: Client) -> list[str]:
    """The texts of the newest messages."""
    await client.send("history")
    return [message["message"] for message in (await client.wait_for("history"))["messages"]]


async def test_a_deletion_reaches_everybody_in_order_and_the_text_is_in_nothing_that_is_read_afterwards(
    visitors: Visitors, room: str, moderator: Person, ana: Person, bob: Person
) -> None:
    chair, author, witness = [await visitors.join(room, who) for who in (moderator, ana, bob)]
    first = await author.say("stays")
    spam = await author.say("must go", nonce="spam")
    await chair.send("moderation_action", action="delete", message_id=spam["id"], reason="spam", nonce="d1")
    own = await chair.wait_for("message_deleted")
    seen = await witness.wait_for("message_deleted")
    assert own == {**seen, "nonce": "d1", "action_id": own["action_id"]}
    assert (seen["message_id"], seen["user_id"], seen["username"]) == (spam["id"], ana.user_id, "ana")
    assert (seen["moderator_user_id"], seen["prev_id"]) == (moderator.user_id, spam["id"])
    assert STAMP.fullmatch(seen["timestamp"])
    after = await author.say("goes on")
    assert after["prev_id"] == seen["id"]
    assert await history(witness) == ["stays", "goes on"]
    back = await back_since(visitors, room, witness, first["id"])
    assert back.joined["recovered"] is True
    replayed = await back.collect_until("chat_message", message="goes on")
    assert [(f["type"], f["data"]["prev_id"]) for f in replayed] == [
        ("message_deleted", first["id"]),
        ("chat_message", seen["id"]),
    ]
    await author.send("chat_message", message="must go", nonce="spam")
    await author.expect_error("This message was deleted", "message_deleted", nonce="spam")
    await chair.send("moderation_action", action="delete", message_id=spam["id"], nonce="d1")
    again = await chair.wait_for("message_deleted")
    assert again | {"prev_id": 0} == own | {"prev_id": 0}  # the message that stood before it is gone
    await chair.send("moderation_action", action="delete", message_id=spam["id"], nonce="d2")
    await chair.expect_error("Not found", "not_found", nonce="d2")
    assert len(of_type(witness.seen, "message_deleted")) == 1


async def test_authors_take_their_own_messages_back_and_nobody_else_s(
    visitors: Visitors, room: str, ana: Person, bob: Person
) -> None:
    author, other, guest = await visitors.join(room, ana), await visitors.join(room, bob), await visitors.join(room)
    said = await author.say("a slip")
    await other.send("moderation_action", action="delete", message_id=said["id"], nonce="no")
    await other.expect_error("You do not have permission to moderate this room", "not_moderator", nonce="no")
    await guest.send("moderation_action", action="delete", message_id=said["id"], nonce="no")
    await guest.expect_error("You do not have permission to moderate this room", "not_moderator", nonce="no")
    await author.send("moderation_action", action="delete", message_id=said["id"])
    assert (await other.wait_for("message_deleted"))["moderator_user_id"] is None
    assert await history(other) == []


async def test_a_moderator_deletes_nothing_of_a_connected_equal_or_higher_rank(
    visitors: Visitors, room: str, moderator: Person, admin: Person
) -> None:
    chair, boss = await visitors.join(room, moderator), await visitors.join(room, admin)
    said = await boss.say("stays")
    await chair.send("moderation_action", action="delete", message_id=said["id"], nonce="n")
    await chair.expect_error("You do not have permission to moderate this room", "not_moderator", nonce="n")
    assert await history(chair) == ["stays"]


async def test_a_purge_takes_back_all_of_one_author_and_a_ban_may_do_so_in_the_same_step(
    visitors: Visitors, room: str, admin: Person, moderator: Person, ana: Person, bob: Person
) -> None:
    chair, spammer, other = [await visitors.join(room, who) for who in (admin, ana, bob)]
    for number in range(5):
        await spammer.say(f"spam {number}")
        await other.say(f"chat {number}")
    mod = await visitors.join(room, moderator)
    await mod.send("moderation_action", action="purge", target_user_id=ana.user_id, nonce="p")
    purged = await mod.wait_for("messages_purged")
    assert (purged["user_id"], purged["username"], purged["nonce"]) == (ana.user_id, "ana", "p")
    assert purged["up_to_id"] < purged["id"]
    assert await history(other) == [f"chat {number}" for number in range(5)]
    await spammer.say("again")
    await chair.send("moderation_action", action="ban", target_user_id=ana.user_id, purge=True, nonce="b")
    frames = await chair.collect_until("messages_purged", nonce="b")
    assert "moderation_action" in {f["type"] for f in frames} | {f["type"] for f in chair.seen}
    assert await spammer.closed() == 4003
    assert await history(other) == [f"chat {number}" for number in range(5)]


async def test_an_anonymous_spammer_s_messages_are_purged_by_name(
    visitors: Visitors, room: str, moderator: Person
) -> None:
    chair, guest = await visitors.join(room, moderator), await visitors.join(room)
    said = await guest.say("spam")
    await chair.say("chat")
    await chair.send("moderation_action", action="purge", target_username=said["username"])
    purged = await chair.wait_for("messages_purged")
    assert (purged["user_id"], purged["username"]) == (None, said["username"])
    assert await history(chair) == ["chat"]


async def test_a_clear_takes_back_everything_and_who_comes_back_from_before_it_is_recovered(
    visitors: Visitors, room: str, admin: Person, moderator: Person, ana: Person
) -> None:
    chair, author = await visitors.join(room, admin), await visitors.join(room, ana)
    said: list[Frame] = [await author.say(f"m{number}") for number in range(5)]
    mod = await visitors.join(room, moderator)
    await mod.send("moderation_action", action="clear", nonce="no")
    await mod.expect_error("You do not have permission to moderate this room", "not_moderator", nonce="no")
    await chair.send("moderation_action", action="clear")
    cleared = await chair.wait_for("room_cleared")
    assert cleared["up_to_id"] == said[-1]["id"]
    await author.say("new")
    assert await history(chair) == ["new"]
    back = await back_since(visitors, room, author, said[1]["id"])
    assert back.joined["recovered"] is True
    assert [f["type"] for f in await back.collect_until("chat_message")] == ["room_cleared", "chat_message"]


async def test_on_another_edge_that_opens_the_room_later_nothing_of_it_is_read(
    salon: Salon, visitors: Visitors, room: str, moderator: Person, ana: Person
) -> None:
    chair, author = await visitors.join(room, moderator), await visitors.join(room, ana)
    await author.say("one")
    spam = await author.say("two")
    await chair.send("moderation_action", action="delete", message_id=spam["id"])
    await chair.wait_for("message_deleted")
    elsewhere = await visitors.join(room, person("zoe"), ws=salon.start_edge().ws)
    assert await history(elsewhere) == ["one"]


@pytest.mark.parametrize("action", ["delete", "purge"])
async def test_many_at_once_are_all_carried_out(
    visitors: Visitors, room: str, moderator: Person, ana: Person, action: str
) -> None:
    chair, author = await visitors.join(room, moderator), await visitors.join(room, ana)
    said = [await author.say(f"m{number}") for number in range(8)]
    for number, message in enumerate(said):
        target = {"message_id": message["id"]} if action == "delete" else {"target_user_id": ana.user_id}
        await chair.send("moderation_action", action=action, nonce=f"n{number}", **target)
    type_ = {"delete": "message_deleted", "purge": "messages_purged"}[action]
    for number in range(8):
        await chair.wait_for(type_, nonce=f"n{number}")
    async with asyncio.timeout(10):
        assert await history(author) == []
