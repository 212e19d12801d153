"""The moderators' feed: over two edges and two replicas of moderation, on PostgreSQL."""

import asyncio
from typing import Any

import pytest
import salon_processes
from chat_client import OBEYED_AFTER_S, Client, Frame, Person, Visitors, of_type, person
from graphql_client import GraphQL
from salon_processes import Salon

SAVE_RULE = """mutation($rule: RuleInput!, $slug: String) { saveRule(rule: $rule, slug: $slug) { id } }"""
LIFT = "mutation($id: SafeInt!) { liftSanction(id: $id) { id } }"
WITHIN_S = 20.0
"""On a busy machine; a read that follows without a word of NATS comes after three seconds."""


async def watch(chair: Client, **how: Any) -> Frame:
    """Ask for the feed; its answer."""
    await chair.send("moderation_feed", on=True, **how)
    return await chair.wait_for("moderation_feed")


async def test_all_moderators_are_told_every_action_in_the_same_order_and_nobody_else(
    guests: Visitors, pair: Salon, api: GraphQL, room: str, admin: Person, moderator: Person, ana: Person
) -> None:
    chair = await guests.join(room, admin)
    other = await guests.join(room, moderator, ws=pair.edges[1].ws)
    user = await guests.join(room, ana, ws=pair.edges[1].ws)
    await chair.send("moderation_action", action="ban", target_user_id=7_000_009, reason="before")
    await chair.wait_for("moderation_action")
    known: Frame = {}
    for client in (chair, other):
        answer = await watch(client, nonce="f")
        (known,) = answer["sanctions"]
        assert (known["action"], known["target_user_id"], known["reason"]) == ("ban", 7_000_009, "before")
        assert (answer["held"], answer["reports"], answer["shield"], answer["nonce"]) == ([], [], None, "f")
    said = await user.say("hello")
    warning = {"action": "warn", "target_user_id": 7_000_000}
    await asyncio.gather(
        *(chair.send("moderation_action", action="mute", target_user_id=7_000_000 + n) for n in range(5)),
        *(other.send("moderation_action", **warning, reason=f"{n}") for n in range(5)),
        chair.send("moderation_action", action="delete", message_id=said["id"], reason="rude"),
        api.run(LIFT, admin, id=known["sanction_id"]),
    )
    events, same = [await _events(client, 12) for client in (chair, other)]
    assert events == same
    ids, action_ids = [[each[name] for each in of] for name, of in _both(events)]
    assert (ids, action_ids) == (sorted(set(ids)), sorted(set(action_ids)))
    by_word = {each["action"]["action"]: each["action"] for each in events}
    assert by_word.keys() == {"mute", "warn", "delete", "unban"}
    deleted = {"message": "hello", "message_id": said["id"], "target_user_id": ana.user_id, "reason": "rude"}
    assert deleted.items() <= by_word["delete"].items()
    assert by_word["unban"]["lifted_ids"] == [known["sanction_id"]]
    assert not {"moderation_feed", "moderation_event"} & {frame["type"] for frame in user.seen}


async def test_what_rules_refuse_is_told_with_what_was_said(
    guests: Visitors, pair: Salon, api: GraphQL, room: str, admin: Person, moderator: Person, ana: Person
) -> None:
    user = await guests.join(room, ana, ws=pair.edges[1].ws)
    chair = await guests.join(room, moderator)
    await watch(chair)
    await user.send("moderation_feed", on=True)
    await user.expect_error("You do not have permission to moderate this room", "not_moderator")
    rule = {"name": "spam", "kind": "TERMS", "patterns": ["followers"], "action": "REFUSE", "mode": "ON"}
    await api.run(SAVE_RULE, admin, slug=room, rule=rule)
    await _blocked(user, "buy followers")
    saved, hits = await _events(chair, 2)
    assert (saved["action"]["action"], saved["action"]["rule"], hits["kind"]) == ("save_rule", "spam", "rule_hits")
    (hit,) = hits["details"]["hits"]
    assert (hit["action"], hit["user_id"], hit["message"]) == ("refuse", ana.user_id, "buy followers")
    assert hits["details"]["count"] == 1


def _both(events: list[Frame]) -> list[tuple[str, list[Frame]]]:
    return [("event_id", events), ("action_id", [each["action"] for each in events])]


async def _blocked(user: Client, text: str) -> None:
    """Once the rule that is against it judges on the replica that is asked."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            await user.send("chat_message", message=text)
            frame = (await user.collect_until_any("chat_message", "error"))[-1]
            if frame["type"] == "error":
                assert frame["data"]["code"] == "blocked"
                return
            await asyncio.sleep(OBEYED_AFTER_S)


async def _events(client: Client, number: int) -> list[Frame]:
    """What it was told, once there is so much."""
    while len(of_type(client.seen, "moderation_event")) < number:
        await client.wait_for("moderation_event", WITHIN_S)
    return of_type(client.seen, "moderation_event")


async def test_who_comes_back_is_sent_what_they_missed_and_who_is_no_moderator_any_more_nothing(
    guests: Visitors, pair: Salon, room: str, admin: Person, moderator: Person
) -> None:
    chair, other = await guests.join(room, admin), await guests.join(room, moderator, ws=pair.edges[1].ws)
    since = (await watch(other))["event_id"]
    await other.leave()
    for user_id in (7_000_001, 7_000_002):
        await chair.send("moderation_action", action="mute", target_user_id=user_id)
        await chair.wait_for("moderation_action")
    again = await guests.join(room, moderator)
    answer = await watch(again, since=since)
    assert answer["recovered"] is True
    missed = [await again.expect("moderation_event", WITHIN_S) for _ in range(2)]
    assert [each["action"]["target_user_id"] for each in missed] == [7_000_001, 7_000_002]
    assert missed[-1]["event_id"] <= answer["event_id"]
    assert (await watch(again, since=since - 2 * 24 * 3_600_000))["recovered"] is False
    await again.collect_until("moderation_event", event_id=missed[-1]["event_id"])
    demoted = person(moderator.username, "user", user_id=moderator.user_id)
    await again.send("authenticate", token=demoted.token)
    told = [*await again.collect_until_any("moderation_feed", "authenticated")]
    told += await again.collect_until_any("moderation_feed", "authenticated")
    assert of_type(told, "moderation_feed") == [{"on": False}]
    await chair.send("moderation_action", action="mute", target_user_id=7_000_003)
    await chair.wait_for("moderation_action")
    await again.wait_for("moderation_action")
    assert of_type(await again.frames_before_pong(), "moderation_event") == []


@pytest.mark.slow
async def test_neither_a_replica_that_is_killed_nor_what_nats_loses_costs_an_event_or_the_order(
    guests: Visitors, pair: Salon, room: str, admin: Person, moderator: Person
) -> None:
    chair = await guests.join(room, admin)
    other = await guests.join(room, moderator, ws=pair.edges[1].ws)
    for client in (chair, other):
        await watch(client)
    killed = pair.moderation.members[0]
    try:
        sent = 0
        for number in range(12):
            if number == 4:
                killed.kill()
            if number == 8:
                pair.nats.kill()
            await chair.send("moderation_action", action="mute", target_user_id=7_100_000 + number, nonce=f"{number}")
            frame = (await chair.collect_until_any("moderation_action", "error"))[-1]
            sent += frame["type"] == "moderation_action"
        assert sent >= 8
        shown = []
        for client in (chair, other):
            shown.append(await _events(client, sent))
        assert shown[0][:sent] == shown[1][:sent]
        ids = [each["event_id"] for each in shown[0]]
        assert ids == sorted(set(ids))
    finally:
        pair.nats.start()
        offset = len(killed.text())
        pair.moderation.start()
        async with asyncio.timeout(60):
            while '"serving"' not in killed.text(offset):  # noqa: ASYNC110 - a process tells it in its log alone
                await asyncio.sleep(0.05)
        for edge in pair.edges:
            salon_processes.wait_until_ready(edge)
