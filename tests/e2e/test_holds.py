"""Held messages: by rules and by the policy, over two edges and two replicas of moderation, on PostgreSQL."""

import asyncio
import signal
from typing import Any

import pytest
from chat_client import OBEYED_AFTER_S, Client, Person, Visitors, change_policy, of_type
from graphql_client import GraphQL
from salon_processes import Salon

SENT_AT_MOST = 5
"""Times, on a busy machine."""
SAVE = "mutation($rule: RuleInput!, $slug: String) { saveRule(rule: $rule, slug: $slug) { id } }"
AUDIT = "query($slug: String) { auditLog(slug: $slug) { action holdId rule messageText } }"
HELD = """query($slug: String!) { heldMessages(slug: $slug) {
  holdId slug userId username message replyTo rule } }"""


async def hold_links(guests: Visitors, room: str, admin: Person, **changes: Any) -> Client:
    """An admin in a room where links wait for a moderator from now on, on every replica."""
    chair = await guests.join(room, admin)
    await change_policy(chair, links="hold", **changes)
    return chair


async def wait(author: Client, nonce: str, text: str = "see https://example.com") -> int:
    """Say something that waits, again where nobody can say whether it does; the id of the hold."""
    data: dict[str, Any] = {}
    for _ in range(SENT_AT_MOST):
        await author.send("chat_message", message=text, nonce=nonce)
        while data.get("nonce") != nonce:
            *_, frame = await author.collect_until_any("message_held", "error")
            data = frame["data"]
        if "hold_id" in data:
            return int(data["hold_id"])
        assert data["code"] == "unavailable"
        data = {}
    raise AssertionError(nonce)


async def act(chair: Client, action: str, hold_id: int, nonce: str = "") -> None:
    await chair.send("moderation_action", action=action, hold_id=hold_id, nonce=nonce)


async def test_a_link_waits_until_a_moderator_allows_it_and_then_everybody_sees_it_as_its_authors(
    guests: Visitors, pair: Salon, room: str, admin: Person, moderator: Person, ana: Person, bob: Person
) -> None:
    await hold_links(guests, room, admin)
    chair = await guests.join(room, moderator, ws=pair.edges[1].ws)
    here, there = await guests.join(room, ana), await guests.join(room, ana, ws=pair.edges[1].ws)
    witness = await guests.join(room, bob)
    await here.send("chat_message", message="see https://example.com", nonce="n1")
    held = await here.wait_for("message_held", nonce="n1")
    assert await there.wait_for("message_held", nonce="n1") == held
    assert held["state"] == "waiting"
    await here.send("chat_message", message="see https://example.com", nonce="n1")
    assert await here.wait_for("message_held", nonce="n1") == held
    await chair.send("moderation_action", action="allow", hold_id=held["hold_id"], nonce="a1")
    own = await chair.wait_for("chat_message", nonce="a1")
    assert (own["message"], own["user_id"], own["hold_id"]) == ("see https://example.com", ana.user_id, held["hold_id"])
    assert own["action_id"] > 0
    for client in (here, there):
        copy = await client.wait_for("chat_message", nonce="n1")
        assert (copy["id"], copy["hold_id"]) == (own["id"], held["hold_id"])
    seen = await witness.wait_for("chat_message", id=own["id"])
    assert "hold_id" not in seen
    assert "nonce" not in seen


async def test_denied_it_is_told_to_its_author_who_may_speak_at_once_and_to_nobody_else(
    guests: Visitors, pair: Salon, room: str, admin: Person, moderator: Person, ana: Person, bob: Person
) -> None:
    await hold_links(guests, room, admin, slow_mode_seconds=600)
    chair = await guests.join(room, moderator)
    author, witness = await guests.join(room, ana, ws=pair.edges[1].ws), await guests.join(room, bob)
    hold_id = await wait(author, "n1")
    await author.send("chat_message", message="hello", nonce="n2")
    await author.wait_for("error", code="slow_mode", nonce="n2")
    await act(chair, "deny", hold_id, "d1")
    own = await chair.wait_for("moderation_action", nonce="d1")
    assert (own["action"], own["hold_id"], own["target_user_id"]) == ("deny", hold_id, ana.user_id)
    rejected = {"hold_id": hold_id, "nonce": "n1", "state": "denied"}
    assert await author.wait_for("message_rejected") == rejected
    await author.say("hello")
    await witness.wait_for("chat_message", message="hello")
    told = [frame["type"] for frame in witness.seen]
    assert not {"message_held", "message_rejected", "moderation_action"} & set(told)
    assert [f["message"] for f in of_type(witness.seen, "chat_message")] == ["hello"]
    await author.send("chat_message", message="see https://example.com", nonce="n1")
    assert await author.wait_for("message_rejected") == rejected


async def test_of_two_moderators_at_once_one_decides_and_the_other_is_told_who_did(
    guests: Visitors, pair: Salon, room: str, admin: Person, moderator: Person, ana: Person
) -> None:
    first = await hold_links(guests, room, admin)
    second = await guests.join(room, moderator, ws=pair.edges[1].ws)
    author = await guests.join(room, ana)
    for number in range(3):
        hold_id = await wait(author, f"n{number}", f"see https://example.com/{number}")
        await asyncio.gather(act(first, "allow", hold_id, f"a{number}"), act(second, "deny", hold_id, f"d{number}"))
        answers = []
        for client, nonce in ((first, f"a{number}"), (second, f"d{number}")):
            frames = await client.collect_until_any("error", "chat_message", "moderation_action")
            while frames[-1]["data"].get("nonce") != nonce:
                frames = await client.collect_until_any("error", "chat_message", "moderation_action")
            answers.append(frames[-1])
        (refused,) = [answer["data"] for answer in answers if answer["type"] == "error"]
        is_allowed = answers[0]["type"] == "chat_message"
        assert (refused["code"], refused["decision"]) == ("already_decided", "allowed" if is_allowed else "denied")
        assert refused["decided_by"] == (admin if is_allowed else moderator).user_id
        await author.wait_for("chat_message" if is_allowed else "message_rejected", nonce=f"n{number}")


async def test_three_of_an_author_wait_and_a_ban_denies_them(
    guests: Visitors, pair: Salon, room: str, admin: Person, ana: Person, api: GraphQL
) -> None:
    chair = await hold_links(guests, room, admin)
    author = await guests.join(room, ana, ws=pair.edges[1].ws)
    holds = [await wait(author, f"n{number}", f"see https://example.com/{number}") for number in range(3)]
    await author.send("chat_message", message="see https://example.com/4", nonce="n4")
    await author.expect_error("Too many messages wait for a moderator", "hold_full", nonce="n4")
    shown = (await api.run(HELD, admin, slug=room))["heldMessages"]
    assert shown[0] == {
        "holdId": holds[2],
        "slug": room,
        "userId": ana.user_id,
        "username": ana.username,
        "message": "see https://example.com/2",
        "replyTo": None,
        "rule": None,
    }
    assert [held["holdId"] for held in shown] == holds[::-1]
    assert await api.refusal(HELD, ana, slug=room) == "FORBIDDEN"
    await chair.send("moderation_action", action="ban", target_user_id=ana.user_id, nonce="b1")
    await chair.wait_for("moderation_action", action="ban", nonce="b1")
    assert (await api.run(HELD, admin, slug=room))["heldMessages"] == []
    await act(chair, "allow", holds[0], "a1")
    refused = await chair.wait_for("error", nonce="a1")
    assert (refused["code"], refused["decided_by"], refused["decision"]) == (
        "already_decided",
        admin.user_id,
        "denied",
    )


async def test_an_author_who_comes_back_on_another_edge_is_told_how_it_stands(
    guests: Visitors, pair: Salon, room: str, admin: Person, ana: Person
) -> None:
    chair = await hold_links(guests, room, admin)
    witness = await guests.join(room, ws=pair.edges[1].ws)
    author = await guests.join(room, ana)
    hold_id = await wait(author, "n1")
    await author.connection.close()
    back = await guests.join(room, ana, ws=pair.edges[1].ws)
    assert (await back.expect("message_held"))["hold_id"] == hold_id
    await back.connection.close()
    await act(chair, "deny", hold_id, "d1")
    await chair.wait_for("moderation_action", nonce="d1")
    again = await guests.join(room, ana)
    assert await again.expect("message_rejected") == {"hold_id": hold_id, "nonce": "n1", "state": "denied"}
    assert not of_type(await witness.frames_before_pong(), "message_held")


async def test_a_rule_holds_and_a_message_of_another_life_is_gone(
    guests: Visitors, pair: Salon, room: str, admin: Person, ana: Person, api: GraphQL
) -> None:
    rule = {"name": "words", "kind": "TERMS", "action": "HOLD", "patterns": ["blarg"]}
    await api.run(SAVE, admin, rule=rule, slug=room)
    await asyncio.sleep(OBEYED_AFTER_S)
    author = await guests.join(room, ana)
    hold_id = await wait(author, "n1", "well, bl4rg")
    await author.connection.close()
    await api.gone(room)
    (shown,) = (await api.run(HELD, admin, slug=room))["heldMessages"]
    assert (shown["rule"], shown["message"]) == ("words", "well, bl4rg")
    chair = await guests.join(room, admin)
    await act(chair, "allow", hold_id, "a1")
    await chair.expect_error("The room that this message was sent in is gone", "room_gone", nonce="a1")
    rows = (await api.run(AUDIT, admin, slug=room))["auditLog"]
    assert [(row["action"], row["holdId"], row["rule"], row["messageText"]) for row in rows] == [
        ("hold", hold_id, "words", "well, bl4rg"),
        ("save_rule", None, "words", None),
    ]


@pytest.mark.slow
async def test_moderation_that_is_killed_between_the_decision_and_the_log_publishes_once(
    guests: Visitors, pair: Salon, room: str, admin: Person, moderator: Person, ana: Person
) -> None:
    chair = await hold_links(guests, room, admin)
    other = await guests.join(room, moderator, ws=pair.edges[1].ws)
    author = await guests.join(room, ana, ws=pair.edges[1].ws)
    hold_id = await wait(author, "n1")
    pair.nats.signal(signal.SIGSTOP)
    await act(chair, "allow", hold_id, "a1")
    deadline = asyncio.get_running_loop().time() + 20
    while pair.query("moderation", f"SELECT id FROM hold WHERE id = {hold_id} AND state = 2") == []:
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.05)
    pair.moderation.kill()
    pair.nats.signal(signal.SIGCONT)
    await asyncio.to_thread(pair.start_moderation)
    shown = await author.wait_for("chat_message", within_s=60, nonce="n1")
    for number, client in enumerate((other, chair)):
        await act(client, "allow", hold_id, f"b{number}")
        refused = await client.wait_for("error", nonce=f"b{number}")
        assert (refused["code"], refused["decided_by"]) == ("already_decided", admin.user_id)
    late = await guests.join(room)
    await late.send("history")
    (kept,) = (await late.wait_for("history"))["messages"]
    assert (kept["id"], kept["message"]) == (shown["id"], "see https://example.com")
    told = [frame for client in (author, other) for frame in of_type(await client.frames_before_pong(), "chat_message")]
    assert {frame["id"] for frame in told} <= {shown["id"]}
    assert len(of_type(author.seen, "chat_message")) == 1
