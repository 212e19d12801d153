"""Rules that ask a classifier of somebody's own: over GraphQL, two edges, moderation, and a small HTTP server."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from chat_client import Client, Person, Visitors
from classifier_server import SECRET, ClassifierServer, classifier_server
from graphql_client import GraphQL
from salon_processes import Salon

SAVE = """mutation($rule: RuleInput!, $slug: String, $id: SafeInt) {
  saveRule(rule: $rule, slug: $slug, id: $id) { id url onFailure } }"""
RULES = "query($slug: String) { rules(slug: $slug) { name url onFailure } }"
TEST = """query($slug: String, $text: String!) { testRule(slug: $slug, text: $text) {
  hits { ruleName pattern action } decisiveRuleId } }"""
DELETE = "mutation($id: SafeInt!, $slug: String) { deleteRule(id: $id, slug: $slug) }"
HITS = "query($ruleId: SafeInt!) { ruleHits(ruleId: $ruleId) { text pattern acted } }"
JUDGES_AFTER_S = 1.0
MET_WITHIN = 20
"""Times that something is said until a classifier met it in time, on a busy machine."""


@pytest.fixture
def classifier() -> Iterator[ClassifierServer]:
    with classifier_server() as running:
        yield running


@pytest.fixture(scope="module")
def asking(start_salon: Callable[..., Salon]) -> Salon:
    """A Salon whose classifiers may be on this machine, and whose people may say much."""
    return start_salon(edges=2, MODERATION_CLASSIFIER_PRIVATE="1", MODERATION_MESSAGES_PER_WINDOW="1000")


@pytest_asyncio.fixture
async def people(asking: Salon) -> AsyncIterator[Visitors]:
    opened = Visitors(asking.edges[0].ws)
    yield opened
    await opened.close()


@pytest_asyncio.fixture
async def rules(asking: Salon) -> AsyncIterator[GraphQL]:
    async with httpx.AsyncClient(base_url=asking.edges[0].http) as http:
        yield GraphQL(http)


async def save(rules: GraphQL, admin: Person, room: str, url: str, *, id: int | None = None, **more: Any) -> int:
    """A rule that asks; its id. From a second after that on it judges on every replica."""
    rule = {"name": "asks", "kind": "CLASSIFIER", "action": "REFUSE", "url": url, "secret": SECRET, **more}
    where = {"slug": room} if id is None else {"id": id}
    saved = (await rules.run(SAVE, admin, rule=rule, **where))["saveRule"]
    assert (saved["url"], saved["onFailure"]) == (url, more.get("onFailure", "ALLOW"))
    await asyncio.sleep(JUDGES_AFTER_S)
    rule_id: int = saved["id"]
    return rule_id


async def comes_to(client: Client, text: str, *types: str) -> dict[str, Any]:
    """The first frame of a message that is one of these."""
    for number in range(MET_WITHIN):
        nonce = f"{text} {number}"
        await client.send("chat_message", message=text, nonce=nonce)
        *_, frame = await client.collect_until_any("chat_message", "error", "message_held")
        if frame["type"] in types:
            return frame
    raise AssertionError(f"{text}: none of {types}")


async def test_messages_become_what_the_classifier_says_and_what_it_is_told_is_signed(
    people: Visitors, rules: GraphQL, classifier: ClassifierServer, room: str, admin: Person, ana: Person
) -> None:
    user = await people.join(room, ana)
    rule_id = await save(rules, admin, room, classifier.url, told="Not here")
    await user.say("hello")
    refused = await comes_to(user, "refuse that", "error")
    assert (refused["data"]["message"], refused["data"]["code"]) == ("Not here", "blocked")
    held = await comes_to(user, "hold that", "message_held")
    assert held["data"]["state"] == "waiting"
    assert classifier.unsigned == 0
    asked = next(body["data"] for body in classifier.asked if body["data"]["text"] == "hello")
    assert asked["author"] == {"user_id": ana.user_id, "username": "ana", "rank": "user"}
    assert (asked["room"], asked["rule"], asked["test"]) == (room, {"id": rule_id, "name": "asks"}, False)
    helper = await people.join(room, admin)
    await helper.say("refuse that: moderators and above are exempt")
    async with asyncio.timeout(20):
        while not (hits := (await rules.run(HITS, admin, ruleId=rule_id))["ruleHits"]):  # noqa: ASYNC110
            await asyncio.sleep(0.05)  # nothing tells when they are written
    assert hits[-1] == {"text": "refuse that", "pattern": "it says refuse", "acted": True}


async def test_while_one_message_waits_for_a_classifier_that_is_late_others_go_on(
    people: Visitors,
    rules: GraphQL,
    classifier: ClassifierServer,
    asking: Salon,
    room: str,
    admin: Person,
    ana: Person,
    bob: Person,
) -> None:
    user, other = await people.join(room, ana), await people.join(room, bob, ws=asking.edges[1].ws)
    elsewhere = await people.join(f"{room}-elsewhere", bob)
    await save(rules, admin, room, classifier.url)
    texts: list[str] = []
    for _ in range(4):  # a fifth failure would open the breaker
        await user.send("chat_message", message="late one")
        await user.send("chat_message", message="behind it")
        await other.say("others are heard")
        await elsewhere.say("in other rooms as well")
        texts = [(await user.wait_for("chat_message"))["message"] for _ in range(3)]
        assert texts.index("late one") < texts.index("behind it")
        if texts[0] == "others are heard":
            return  # else the machine was so busy that the classifier was given up before
    raise AssertionError(texts)


@pytest.mark.parametrize("word", ["late", "broken", "moved", "long", "silly"])
async def test_without_an_answer_messages_go_by_on_failure(
    people: Visitors, rules: GraphQL, classifier: ClassifierServer, room: str, admin: Person, ana: Person, word: str
) -> None:
    user = await people.join(room, ana)
    rule_id = await save(rules, admin, room, classifier.url)
    await user.say(f"{word} one")
    await save(rules, admin, room, classifier.url, id=rule_id, onFailure="HOLD")
    await user.send("chat_message", message=f"{word} two", nonce="n2")
    await user.wait_for("message_held", nonce="n2")
    assert classifier.redirected == 0


async def test_a_text_is_tried_by_the_classifier_and_a_dry_run_delays_and_does_nothing(
    people: Visitors, rules: GraphQL, classifier: ClassifierServer, room: str, admin: Person, ana: Person
) -> None:
    user = await people.join(room, ana)
    rule_id = await save(rules, admin, room, classifier.url, mode="DRY_RUN")
    await user.say("refuse that")
    async with asyncio.timeout(20):
        while not (tried := (await rules.run(TEST, admin, slug=room, text="hold it"))["testRule"])["hits"]:
            pass  # it was late, on a busy machine
    assert tried == {
        "hits": [{"ruleName": "asks", "pattern": "it says hold", "action": "HOLD"}],
        "decisiveRuleId": None,
    }
    assert {body["data"]["test"] for body in classifier.asked if body["data"]["text"] == "hold it"} == {True}
    await save(rules, admin, room, classifier.url, id=rule_id, mode="OFF")
    await user.say("refuse that again")


async def test_classifiers_are_for_admins_also_where_somebody_owns_the_room(
    rules: GraphQL, classifier: ClassifierServer, room: str, admin: Person, ana: Person
) -> None:
    await rules.create(room, ana, slug=room)
    rule = {"name": "asks", "kind": "CLASSIFIER", "action": "REFUSE", "url": classifier.url, "secret": SECRET}
    assert await rules.refusal(SAVE, ana, rule=rule, slug=room) == "FORBIDDEN"
    rule_id = await save(rules, admin, room, classifier.url)
    assert await rules.refusal(DELETE, ana, id=rule_id, slug=room) == "FORBIDDEN"
    for who, url in ((ana, None), (admin, classifier.url)):
        (listed,) = (await rules.run(RULES, who, slug=room))["rules"]
        assert listed == {"name": "asks", "url": url, "onFailure": "ALLOW"}


async def test_without_the_setting_classifiers_are_at_public_addresses_alone(
    api: GraphQL, classifier: ClassifierServer, room: str, admin: Person
) -> None:
    rule = {"name": "asks", "kind": "CLASSIFIER", "action": "REFUSE", "secret": SECRET}
    for url, text in (
        (classifier.url, "The url of a classifier begins with https://"),
        (classifier.url.replace("http:", "https:"), "The classifier is at no public address"),
        ("https://localhost/", "The classifier is at no public address"),
    ):
        body = await api.post(SAVE, admin, rule={**rule, "url": url}, slug=room)
        assert [(e["message"], e["extensions"]["code"]) for e in body["errors"]] == [(text, "INVALID")]
    assert classifier.connections == 0
