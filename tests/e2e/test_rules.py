"""Rules about the texts of rooms: saved by GraphQL, over two edges and two replicas of moderation, on PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest_asyncio
import salon_processes
from chat_client import Client, Person, Visitors, person
from graphql_client import GraphQL
from salon_processes import Salon

SAVE = """mutation($rule: RuleInput!, $slug: String, $everywhere: Boolean, $id: SafeInt) {
  saveRule(rule: $rule, slug: $slug, everywhere: $everywhere, id: $id) { id slug version } }"""
DELETE = "mutation($id: SafeInt!) { deleteRule(id: $id) }"
HITS = """query($ruleId: SafeInt!) { ruleHits(ruleId: $ruleId) {
  slug userId username text pattern action acted } }"""
COUNTS = "query($slug: String) { rules(slug: $slug) { id hits acted } }"
TEST = """query($slug: String, $text: String!) { testRule(slug: $slug, text: $text) {
  hits { ruleName pattern action mode } decisiveRuleId } }"""
BLOCKED = ("Your message was not accepted", "blocked")
JUDGES_AFTER_S = 1.0
_users = count(7_000)


@pytest_asyncio.fixture
async def rules(pair: Salon, admin: Person) -> AsyncIterator["Rules"]:
    """What an admin asks over GraphQL."""
    async with httpx.AsyncClient(base_url=pair.edges[0].http) as http:
        opened = Rules(GraphQL(http), admin)
        yield opened
        await opened.delete_those_for_everywhere()


class Rules:
    """The rules of an admin."""

    def __init__(self, graphql: GraphQL, admin: Person) -> None:
        self.graphql = graphql
        self._admin = admin
        self._everywhere: list[int] = []

    async def save(self, slug: str | None, *, id: int | None = None, **rule: Any) -> int:
        """Save a rule; its id. From a second after that on it judges on every replica."""
        where = {"id": id} if id else {"everywhere": True} if slug is None else {"slug": slug}
        saved = await self.run(SAVE, rule={"name": "test", **rule}, **where)
        if slug is None:
            self._everywhere.append(saved["saveRule"]["id"])
        await asyncio.sleep(JUDGES_AFTER_S)
        rule_id: int = saved["saveRule"]["id"]
        return rule_id

    async def run(self, query: str, **variables: Any) -> dict[str, Any]:
        """The data of an answer."""
        return await self.graphql.run(query, self._admin, **variables)

    async def hits(self, rule_id: int, number: int) -> list[dict[str, Any]]:
        """Once there are so many, which takes up to some seconds."""
        async with asyncio.timeout(20):
            while len(hits := (await self.run(HITS, ruleId=rule_id))["ruleHits"]) < number:  # noqa: ASYNC110
                await asyncio.sleep(0.05)  # nothing tells when they are written
        found: list[dict[str, Any]] = hits
        return found

    async def delete_those_for_everywhere(self) -> None:
        """They would hold in the rooms of other tests."""
        for rule_id in self._everywhere:
            await self.run(DELETE, id=rule_id)


async def crowd(guests: Visitors, pair: Salon, room: str) -> list[tuple[Person, Client]]:
    """Users over both edges, so many that both replicas judge some of them."""
    people = [person(f"user{number}", user_id=number) for number in (next(_users) for _ in range(8))]
    return [(who, await guests.join(room, who, ws=pair.edges[number % 2].ws)) for number, who in enumerate(people)]


async def test_a_rule_saved_by_graphql_refuses_within_a_second_on_all_replicas_and_what_it_says_is_told(
    guests: Visitors, pair: Salon, rules: Rules, room: str, moderator: Person
) -> None:
    everybody = await crowd(guests, pair, room)
    rule_id = await rules.save(room, kind="TERMS", action="REFUSE", patterns=["badword"])
    for number, (_, client) in enumerate(everybody):
        await client.send("chat_message", message="such a B4DW0RD!", nonce=f"n{number}")
        await client.expect_error(*BLOCKED, nonce=f"n{number}")
        await client.say("a good word")
    helper = await guests.join(room, moderator)
    await helper.say("badword: moderators and above are exempt")
    elsewhere = await guests.join(f"{room}-elsewhere", everybody[0][0])
    await elsewhere.say("badword: it is the rule of another room")
    await rules.save(room, id=rule_id, kind="TERMS", action="REFUSE", patterns=["badword"], told="Mind your words")
    client = everybody[0][1]
    await client.send("chat_message", message="badword", nonce="told")
    await client.expect_error("Mind your words", "blocked", nonce="told")
    found = await rules.hits(rule_id, 9)
    assert found[0] == {
        "slug": room,
        "userId": everybody[0][0].user_id,
        "username": everybody[0][0].username,
        "text": "badword",
        "pattern": "badword",
        "action": "REFUSE",
        "acted": True,
    }
    (counted,) = (await rules.run(COUNTS, slug=room))["rules"]
    assert counted == {"id": rule_id, "hits": 9, "acted": 9}
    assert (await rules.run(DELETE, id=rule_id))["deleteRule"] is True
    await asyncio.sleep(JUDGES_AFTER_S)
    await client.say("badword: the rule is gone")


async def test_a_dry_run_does_everything_but_act_and_its_hits_are_listed(
    guests: Visitors, pair: Salon, rules: Rules, room: str, ana: Person
) -> None:
    user = await guests.join(room, ana, ws=pair.edges[1].ws)
    rule_id = await rules.save(room, kind="REGEX", action="MUTE", minutes=5, mode="DRY_RUN", patterns=["fr[ae]nce"])
    await user.say("Vive la France")
    await user.say("and again France")
    tried = (await rules.run(TEST, slug=room, text="frence"))["testRule"]
    assert tried == {
        "hits": [{"ruleName": "test", "pattern": "fr[ae]nce", "action": "MUTE", "mode": "DRY_RUN"}],
        "decisiveRuleId": None,
    }
    again, first = await rules.hits(rule_id, 2)
    assert (again["text"], first["text"]) == ("and again France", "Vive la France")
    assert {hit["acted"] for hit in (again, first)} == {False}
    assert again["action"] == "MUTE"


async def test_a_mute_by_rule_is_told_to_the_room_and_holds_until_a_moderator_lifts_it(
    guests: Visitors, pair: Salon, rules: Rules, room: str, moderator: Person
) -> None:
    who = person("rude", user_id=next(_users))
    helper, user = await guests.join(room, moderator), await guests.join(room, who, ws=pair.edges[1].ws)
    rule_id = await rules.save(room, name="Insults", kind="TERMS", action="MUTE", minutes=10, patterns=["badword"])
    await user.send("chat_message", message="badword", nonce="n1")
    await user.expect_error(*BLOCKED, nonce="n1")
    told = await helper.wait_for("moderation_action")
    assert told == {
        "action": "mute",
        "target_user_id": who.user_id,
        "moderator_user_id": 0,
        "duration_minutes": 10,
        "timestamp": told["timestamp"],
    }
    await user.wait_for("moderation_action")
    await user.send("chat_message", message="a good word", nonce="n2")
    await user.expect_error("You are muted or banned", "muted_or_banned", nonce="n2")
    listed = await rules.run(
        "query($slug: String) { sanctions(slug: $slug) { moderatorUserId reason targetUserId } }", slug=room
    )
    assert listed["sanctions"] == [{"moderatorUserId": 0, "reason": "Rule: Insults", "targetUserId": who.user_id}]
    assert [hit["acted"] for hit in await rules.hits(rule_id, 1)] == [True]
    await helper.send("moderation_action", action="unmute", target_user_id=who.user_id)
    await user.wait_for("moderation_action", action="unmute")
    await user.say("a good word")


async def test_rules_for_everywhere_hold_in_every_room_and_the_strictest_of_several_hits_counts(
    guests: Visitors, pair: Salon, rules: Rules, room: str, ana: Person
) -> None:
    user = await guests.join(room, ana, ws=pair.edges[1].ws)
    flag = await rules.save(None, kind="TERMS", action="FLAG", patterns=["worstword"])
    await user.say("worstword is flagged, and goes on")
    await rules.save(room, kind="TERMS", action="REFUSE", patterns=["worstword"], told="No")
    await user.send("chat_message", message="worstword", nonce="n1")
    await user.expect_error("No", "blocked", nonce="n1")
    assert [hit["acted"] for hit in await rules.hits(flag, 2)] == [False, True]


async def test_rules_are_for_admins_and_what_cannot_be_used_is_refused_with_its_reason(
    rules: Rules, room: str, moderator: Person, ana: Person
) -> None:
    rule = {"name": "test", "kind": "REGEX", "action": "REFUSE", "patterns": ["fine", "(broken"]}
    assert await rules.graphql.refusal(SAVE, rule=rule, slug=room) == "UNAUTHENTICATED"
    for who in (ana, moderator):
        assert await rules.graphql.refusal(SAVE, who, rule=rule, slug=room) == "FORBIDDEN"
        assert await rules.graphql.refusal(COUNTS, who, slug=room) == "FORBIDDEN"
        assert await rules.graphql.refusal(TEST, who, slug=room, text="x") == "FORBIDDEN"
    body = await rules.graphql.post(SAVE, rules._admin, rule=rule, slug=room)
    text = "(broken: missing ): (?i)(broken"
    assert [(e["message"], e["extensions"]["code"]) for e in body["errors"]] == [(text, "INVALID")]


async def test_while_moderation_is_away_messages_that_a_rule_would_have_to_see_are_refused_where_it_says_so(
    tmp_path: Path, admin: Person, moderator: Person, ana: Person
) -> None:
    salon = Salon(tmp_path, {"MODERATION_RULES_OUTAGE": "refuse"})
    try:
        (edge,) = salon.start().edges
        guests = Visitors(edge.ws)
        async with httpx.AsyncClient(base_url=edge.http) as http:
            rules = Rules(GraphQL(http), admin)
            await rules.save("ruled", kind="TERMS", action="REFUSE", patterns=["badword"])
        ruled, free = await guests.join("ruled", ana), await guests.join("free", ana)
        helper = await guests.join("ruled", moderator)
        await ruled.say("a good word")
        salon.moderation.kill()
        await ruled.send("chat_message", message="a good word", nonce="n1")
        await ruled.expect_error("Service unavailable", "unavailable", nonce="n1")
        await helper.say("moderators are judged by no rule")
        await free.say("nor is anybody here")
        await guests.close()
    finally:
        salon_processes.stop_all([salon])
