"""The pin of a room: one message that everybody is shown, over two edges, until it is unpinned, replaced or deleted."""

import asyncio
import json
from collections.abc import Iterator

import pytest
import salon_processes
from chat_client import STAMP, Client, Frame, Person, Visitors, of_type, person
from salon_processes import Salon, Shape

NOT_FOUND = ("Not found", "not_found")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, shape: Shape) -> Iterator[Salon]:
    """Two edges."""
    salon = Salon(tmp_path_factory.mktemp("pins"), {}, shape)
    try:
        yield salon.start(edges=2)
    finally:
        salon_processes.stop_all([salon])


async def pin(chair: Client, message: Frame, nonce: str) -> Frame:
    """The moderator's own copy."""
    await chair.send("moderation_action", action="pin", message_id=message["id"], nonce=nonce)
    return await chair.wait_for("message_pinned", nonce=nonce)


def as_pinned(message: Frame) -> Frame:
    """A message as it is shown where it is pinned."""
    return {name: value for name, value in message.items() if name not in ("prev_id", "nonce")}


async def test_a_pin_is_told_to_everybody_in_the_order_of_the_log_and_to_newcomers_on_every_edge(
    guests: Visitors, pair: Salon, room: str, moderator: Person, ana: Person, bob: Person
) -> None:
    chair, author = await guests.join(room, moderator), await guests.join(room, ana)
    assert author.joined["pinned"] is None
    there = await guests.join(room, bob, ws=pair.edges[1].ws)
    said = await author.say("rules: be kind", nonce="s1")
    answer = await author.say("what she says", reply_to=said["id"])
    own = await pin(chair, said, "p1")
    seen = await author.wait_for("message_pinned")
    assert seen == await there.wait_for("message_pinned")
    assert own == {**seen, "nonce": "p1", "action_id": own["action_id"]}
    assert seen["message"] == as_pinned(said)
    assert (seen["prev_id"], seen["moderator_user_id"]) == (answer["id"], moderator.user_id)
    assert STAMP.fullmatch(seen["timestamp"])
    for edge in pair.edges:
        late = await guests.join(room, ws=edge.ws)
        assert late.joined["pinned"]["message"] == seen["message"]
        assert late.joined["pinned"]["moderator_user_id"] == moderator.user_id
        await late.leave()
    replaced = await pin(chair, answer, "p2")
    assert replaced["message"] == as_pinned(answer)
    assert (await there.wait_for("message_pinned"))["message"]["reply_to"] == said["id"]
    await chair.send("moderation_action", action="unpin", message_id=said["id"], nonce="u1")
    await chair.expect_error(*NOT_FOUND, nonce="u1")
    await chair.send("moderation_action", action="unpin", message_id=answer["id"], nonce="u2")
    gone = await chair.wait_for("message_unpinned", nonce="u2")
    assert {**await there.wait_for("message_unpinned"), "nonce": "u2", "action_id": gone["action_id"]} == gone
    assert (gone["message_id"], gone["prev_id"]) == (answer["id"], replaced["id"])
    late = await guests.join(room, ws=pair.edges[1].ws)
    assert late.joined["pinned"] is None
    assert len(of_type(author.seen, "message_pinned")) == 1
    assert (await author.say("goes on"))["prev_id"] == gone["id"]


def texts(client: Client) -> str:
    """All that a client was sent."""
    return json.dumps([client.joined, *client.seen])


async def take_back(actor: Client, said: Frame, author: Person, how: str) -> str:
    """Have the message gone, and told to who asked; by which frame."""
    actions: dict[str, tuple[str, Frame]] = {
        "delete": ("message_deleted", {"action": "delete", "message_id": said["id"]}),
        "own": ("message_deleted", {"action": "delete", "message_id": said["id"]}),
        "purge": ("messages_purged", {"action": "purge", "target_user_id": author.user_id}),
        "ban": ("messages_purged", {"action": "ban", "target_user_id": author.user_id, "purge": True}),
        "mute": ("messages_purged", {"action": "mute", "target_user_id": author.user_id, "purge": True}),
        "clear": ("room_cleared", {"action": "clear"}),
    }
    told, action = actions[how]
    await actor.send("moderation_action", **action, nonce="d1")
    await actor.wait_for(told)
    return told


@pytest.mark.parametrize("how", ["delete", "own", "purge", "ban", "mute", "clear"])
async def test_what_takes_the_message_back_ends_its_pin_and_no_way_shows_the_text_again(
    guests: Visitors, pair: Salon, room: str, admin: Person, ana: Person, bob: Person, how: str
) -> None:
    chair, author = await guests.join(room, admin), await guests.join(room, ana)
    witness = await guests.join(room, bob, ws=pair.edges[1].ws)
    first = await witness.say("stays")
    said = await author.say("must go", nonce="s1")
    shown = await pin(chair, said, "p1")
    await witness.wait_for("message_pinned")
    told = await take_back(author if how == "own" else chair, said, ana, how)
    # From here on nobody is told the text, whether their edge has heard of it or not.
    epoch = witness.joined["epoch"]
    for edge in pair.edges:
        for since, replayed in (("", []), (first["id"], ["message_unpinned", told]), (shown["id"], [told])):
            client = await guests.join(f"{room}?since={since}&epoch={epoch}" if since else room, bob, ws=edge.ws)
            await client.send("history")
            frames = [f["type"] for f in await client.collect_until("history")]
            # A clear leaves nothing of the log behind it.
            assert [f for f in frames if f in replayed] == (replayed[-1:] if how == "clear" else replayed)
            assert client.joined["pinned"] is None
            assert "must go" not in texts(client)
    for nonce, wanted in (("p2", "error"), ("p1", "message_unpinned" if how != "clear" else "error")):
        began = len(chair.seen)
        await chair.send("moderation_action", action="pin", message_id=said["id"], nonce=nonce)
        await chair.wait_for(wanted, nonce=nonce)
        assert "must go" not in json.dumps(chair.seen[began:])
    assert "must go" not in str(pair.query("moderation", "SELECT message FROM pin"))
    other = await witness.say("still here")
    await pin(chair, other, "p3")
    assert (await guests.join(room, bob, ws=pair.edges[1].ws)).joined["pinned"]["message"]["id"] == other["id"]


async def test_who_comes_back_ends_with_what_is_pinned_whatever_happened_meanwhile(
    guests: Visitors, pair: Salon, room: str, moderator: Person, ana: Person, bob: Person
) -> None:
    chair, author = await guests.join(room, moderator), await guests.join(room, ana)
    gone = await guests.join(room, bob, ws=pair.edges[1].ws)
    one, two, three = [await author.say(text) for text in ("one", "two", "three")]
    await gone.wait_for("chat_message", message="three")
    gone.vanish()
    await pin(chair, one, "p1")
    await pin(chair, two, "p2")
    await chair.send("moderation_action", action="delete", message_id=two["id"])
    await chair.wait_for("message_deleted")
    epoch = gone.joined["epoch"]
    for ws in (pair.edges[0].ws, pair.edges[1].ws):
        back = await guests.join(f"{room}?since={three['id']}&epoch={epoch}", bob, ws=ws)
        assert (back.joined["recovered"], back.joined["pinned"]) == (True, None)
        replayed = await back.collect_until("message_deleted")
        assert [f["type"] for f in replayed] == ["message_pinned", "message_unpinned", "message_deleted"]
        assert [f["data"]["prev_id"] for f in replayed] == [three["id"], *(f["data"]["id"] for f in replayed[:2])]
    await pin(chair, three, "p3")
    back = await guests.join(f"{room}?since={three['id']}&epoch={epoch}", bob, ws=pair.edges[1].ws)
    assert back.joined["pinned"]["message"] == as_pinned(three)
    assert (await back.collect_until("message_pinned", message=as_pinned(three)))[-1]["type"] == "message_pinned"


async def test_moderators_who_pin_at_once_over_both_edges_are_seen_in_one_order_and_the_last_one_holds(
    guests: Visitors, pair: Salon, room: str, ana: Person
) -> None:
    author = await guests.join(room, ana)
    messages = [await author.say(f"{number}") for number in range(6)]
    chairs = [
        await guests.join(room, person(f"chair{number}", "moderator"), ws=pair.edges[number % 2].ws)
        for number in range(6)
    ]
    await asyncio.gather(*(pin(chair, said, "p") for chair, said in zip(chairs, messages, strict=True)))
    orders = []
    for client in (author, *chairs):
        while len(of_type(client.seen, "message_pinned")) < 6:
            await client.wait_for("message_pinned")
        orders.append([told["message"]["id"] for told in of_type(client.seen, "message_pinned")])
    assert sorted(orders[0]) == [said["id"] for said in messages]
    assert all(order == orders[0] for order in orders)
    for edge in pair.edges:
        assert (await guests.join(room, ws=edge.ws)).joined["pinned"]["message"]["id"] == orders[0][-1]


async def test_a_repeated_nonce_changes_nothing_and_its_sender_alone_is_answered(
    guests: Visitors, pair: Salon, room: str, moderator: Person, ana: Person
) -> None:
    chair, author = await guests.join(room, moderator), await guests.join(room, ana)
    one, two = await author.say("one"), await author.say("two")
    own = await pin(chair, one, "p1")
    await pin(chair, two, "p2")
    await chair.send("moderation_action", action="pin", message_id=one["id"], nonce="p1")
    assert await chair.wait_for("message_pinned") == own
    await author.say("after that")
    assert len(of_type(author.seen, "message_pinned")) == 2
    assert (await guests.join(room, ws=pair.edges[1].ws)).joined["pinned"]["message"]["id"] == two["id"]


async def test_nobody_below_a_moderator_pins_and_a_pin_ends_with_the_life_of_the_room(
    guests: Visitors, pair: Salon, room: str, moderator: Person, admin: Person, ana: Person
) -> None:
    chair, author, guest = await guests.join(room, moderator), await guests.join(room, ana), await guests.join(room)
    said = await (await guests.join(room, admin)).say("the chief's words")
    for client in (author, guest):
        for action in ("pin", "unpin"):
            await client.send("moderation_action", action=action, message_id=said["id"], nonce=action)
            await client.expect_error("You do not have permission to moderate this room", "not_moderator", nonce=action)
    assert (await pin(chair, said, "p1"))["message"]["id"] == said["id"]  # whoever said it
    epoch = chair.joined["epoch"]
    await guests.close()
    again = await guests.join(room, ana)
    while again.joined["epoch"] == epoch:
        await again.leave()
        again = await guests.join(room, ana)
    assert again.joined["pinned"] is None


@pytest.mark.slow
async def test_a_pin_outlasts_replicas_and_edges_that_are_killed(
    guests: Visitors, pair: Salon, room: str, moderator: Person, ana: Person
) -> None:
    chair, author = await guests.join(room, moderator), await guests.join(room, ana, ws=pair.edges[1].ws)
    said = await author.say("rules")
    own = await pin(chair, said, "p1")
    pair.moderation.kill()
    pair.moderation.start()
    pair.edges[0].process.kill()
    pair.edges[0].process.start()
    for edge in pair.edges:
        salon_processes.wait_until_ready(edge)
    late = await guests.join(room, moderator)
    assert late.joined["epoch"] == author.joined["epoch"]
    assert late.joined["pinned"]["message"] == own["message"]
    await late.send("moderation_action", action="unpin", message_id=said["id"], nonce="u1")
    # A replica that died in the very moment had the pin to itself for 15 s: its entry comes first.
    await late.wait_for("message_unpinned", within_s=60)
    await author.wait_for("message_unpinned")
