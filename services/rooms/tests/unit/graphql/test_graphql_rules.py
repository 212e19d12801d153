"""rules(), saveRule, deleteRule, testRule and ruleHits: for who may save them, which moderation decides."""

from typing import TYPE_CHECKING

import pytest

from rooms.domain.people import Rank, Slug
from rooms.domain.roles import RoleHolder, RolePage, RoomRole
from rooms.domain.rules import RuleAction, RuleExemption, RuleHit, RuleKind, RuleMode

if TYPE_CHECKING:
    from services.rooms.tests.unit.graphql.conftest import World

SAVE = """mutation($rule: RuleInput!, $slug: String, $everywhere: Boolean, $id: SafeInt) {
  saveRule(rule: $rule, slug: $slug, everywhere: $everywhere, id: $id) { id slug name version } }"""
RULES = "query($slug: String, $first: Int, $after: String) { rules(slug: $slug, first: $first, after: $after) { id } }"
HITS = "query($first: Int, $after: String) { ruleHits(ruleId: 1, first: $first, after: $after) { id cursor } }"
TERMS = {"name": "words", "kind": "TERMS", "action": "REFUSE", "patterns": ["a", "b*"]}


async def test_a_rule_has_every_field_of_the_contract(world: "World") -> None:
    rule = TERMS | {"action": "MUTE", "minutes": 5, "mode": "DRY_RUN", "exemptFrom": "USER", "told": "No"}
    saved = (await world.data(SAVE, world.admin, rule=rule, slug="room"))["saveRule"]
    assert saved == {"id": 1, "slug": "room", "name": "words", "version": 7}
    (shown,) = (
        await world.data(
            '{ rules(slug: "room") { id slug version name kind patterns allow threshold action minutes mode exemptFrom'
            " told url onFailure changedBy changedAt hits acted cursor } }",
            world.admin,
        )
    )["rules"]
    assert shown == {
        "id": 1,
        "slug": "room",
        "version": 7,
        "name": "words",
        "kind": "TERMS",
        "patterns": ["a", "b*"],
        "allow": [],
        "threshold": 0,
        "action": "MUTE",
        "minutes": 5,
        "mode": "DRY_RUN",
        "exemptFrom": "USER",
        "told": "No",
        "url": None,
        "onFailure": None,
        "changedBy": 30,
        "changedAt": "2025-11-27T16:30:00.123Z",
        "hits": 5,
        "acted": 3,
        "cursor": "cnVsZTox",
    }


async def test_what_is_left_out_of_a_rule_or_null_has_its_default(world: "World") -> None:
    names = ("mode", "patterns", "allow", "threshold", "minutes", "exemptFrom", "told", "url", "onFailure", "secret")
    for rule in ({}, dict.fromkeys(names)):
        given = {"name": "caps", "kind": "CAPS", "action": "FLAG"} | rule
        await world.data(SAVE, world.admin, rule=given, everywhere=True)
    made = [kept.rule for kept in world.moderation.rules.values()]
    assert made[0] == made[1]
    assert (made[0].kind, made[0].action, made[0].mode) == (RuleKind.CAPS, RuleAction.FLAG, RuleMode.ON)
    assert (made[0].patterns, made[0].allow, made[0].threshold, made[0].minutes) == ((), (), 0, 0)
    assert (made[0].exempt_from, made[0].told) == (RuleExemption.MODERATOR, "")
    assert (made[0].url, made[0].on_failure, made[0].secret) == ("", None, "")


async def test_of_a_classifier_it_is_told_where_it_is_and_never_its_secret(world: "World") -> None:
    asks = {
        "name": "asks",
        "kind": "CLASSIFIER",
        "action": "REFUSE",
        "url": "https://c.example.com/",
        "secret": "whsec_a",
    }
    await world.data(SAVE, world.admin, rule=asks | {"onFailure": "HOLD"}, slug="room")
    (shown,) = (await world.data('{ rules(slug: "room") { url onFailure } }', world.admin))["rules"]
    assert shown == {"url": "https://c.example.com/", "onFailure": "HOLD"}
    made = world.moderation.rules[1].rule
    assert made.secret == "whsec_a"
    assert "whsec_a" not in repr(made)


async def test_a_rule_is_made_in_a_room_or_everywhere_or_replaces_the_one_of_its_id(world: "World") -> None:
    await world.data(SAVE, world.admin, rule=TERMS, slug="room")
    await world.data(SAVE, world.root, rule=TERMS, everywhere=True)
    replaced = await world.data(SAVE, world.admin, rule=TERMS | {"name": "more words"}, id=1)
    assert replaced["saveRule"] == {"id": 1, "slug": "room", "name": "more words", "version": 8}
    assert world.moderation.asked == ["make_rule room words", "make_rule None words", "replace_rule 1 more words"]
    for where in ({}, {"slug": "room", "everywhere": True}, {"everywhere": True, "id": 1}):
        body, _ = await world.answer(SAVE, world.admin, variables=world.encoded(rule=TERMS, **where))
        assert [e["message"] for e in body["errors"]] == ["Give slug, everywhere: true, or the id of a rule"]


async def test_what_moderation_refuses_is_invalid_with_its_reason(world: "World") -> None:
    body, status = await world.answer(
        SAVE, world.admin, variables=world.encoded(rule=TERMS | {"action": "HOLD"}, slug="room")
    )
    assert (status, body["errors"][0]["message"]) == (200, "HOLD is not offered yet")
    assert body["errors"][0]["extensions"] == {"code": "INVALID"}


@pytest.mark.parametrize(
    "wrong", [{"name": "a\nb"}, {"patterns": ["ok", "a\x00"]}, {"allow": ["\ud800"]}, {"told": "\x1b"}]
)
async def test_control_characters_and_lone_surrogates_are_invalid(world: "World", wrong: dict[str, object]) -> None:
    assert await world.refusal(SAVE, world.admin, rule=TERMS | wrong, slug="room") == "INVALID"
    assert world.moderation.asked == []


async def test_rules_are_paged_the_oldest_first_and_those_for_everywhere_come_without_slug(world: "World") -> None:
    for number in range(1, 6):
        world.put_rule(None if number == 3 else "room", "a")
    assert (await world.data(RULES, world.admin, slug="room", first=2))["rules"] == [{"id": 1}, {"id": 2}]
    assert (await world.data(RULES, world.admin, slug="room", after="cnVsZToy"))["rules"] == [{"id": 4}, {"id": 5}]
    assert (await world.data(RULES, world.admin))["rules"] == [{"id": 3}]
    assert await world.refusal(RULES, world.admin, slug="room", after="c2FuY3Rpb246Mg") == "INVALID"


async def test_patterns_count_as_elements_of_a_list_where_they_are_asked_for(world: "World") -> None:
    for _ in range(6):
        world.put_rule("room", *map(str, range(1_000)))
    assert len((await world.data('{ rules(slug: "room") { name } }', world.admin))["rules"]) == 6
    assert await world.refusal('{ rules(slug: "room") { patterns } }', world.admin) == "INVALID"
    fragment = '{ rules(slug: "room", first: 4) { ...F } } fragment F on Rule { patterns allow }'
    assert len((await world.data(fragment, world.admin))["rules"][3]["patterns"]) == 1_000


async def test_a_text_is_tried_by_the_rules_of_a_room(world: "World") -> None:
    query = (
        'query($text: String!) { testRule(slug: "room", text: $text) {'
        " hits { ruleId ruleName pattern action mode } decisiveRuleId } }"
    )
    assert (await world.data(query, world.admin, text="hello"))["testRule"] == {"hits": [], "decisiveRuleId": None}
    world.put_rule("room", "hello")
    assert (await world.data(query, world.admin, text="hello"))["testRule"] == {
        "hits": [{"ruleId": 1, "ruleName": "rule 1", "pattern": "hello", "action": "REFUSE", "mode": "ON"}],
        "decisiveRuleId": 1,
    }
    assert await world.refusal(query, world.admin, text="a\x00") == "INVALID"


async def test_hits_are_paged_the_newest_first_with_every_field_of_the_contract(world: "World") -> None:
    world.put_rule("room", "a")
    now = world.ports.clock()
    world.moderation.rule_hits = [
        RuleHit(3, 1, Slug("room"), now, None, "Anonymous_1", "abc", None, RuleAction.FLAG, acted=False),
        RuleHit(2, 1, Slug("room"), now, world.ana.user_id, "ana", "abc", "a*", RuleAction.MUTE, acted=True),
    ]
    shown = await world.data(
        "{ ruleHits(ruleId: 1) { id ruleId slug at userId username text pattern action acted cursor } }", world.admin
    )
    assert shown["ruleHits"] == [
        {
            "id": 3,
            "ruleId": 1,
            "slug": "room",
            "at": "2025-11-27T16:30:00.123Z",
            "userId": None,
            "username": "Anonymous_1",
            "text": "abc",
            "pattern": None,
            "action": "FLAG",
            "acted": False,
            "cursor": "aGl0OjM",
        },
        {
            "id": 2,
            "ruleId": 1,
            "slug": "room",
            "at": "2025-11-27T16:30:00.123Z",
            "userId": 10,
            "username": "ana",
            "text": "abc",
            "pattern": "a*",
            "action": "MUTE",
            "acted": True,
            "cursor": "aGl0OjI",
        },
    ]
    assert (await world.data(HITS, world.admin, first=1))["ruleHits"] == [{"id": 3, "cursor": "aGl0OjM"}]
    assert (await world.data(HITS, world.admin, after="aGl0OjM"))["ruleHits"] == [{"id": 2, "cursor": "aGl0OjI"}]


async def test_the_owner_of_a_room_has_its_rules_by_its_slug(world: "World") -> None:
    world.put_room("room", owner=world.ana)
    assert (await world.data(SAVE, world.ana, rule=TERMS, slug="room"))["saveRule"]["id"] == 1
    replaced = await world.data(SAVE, world.ana, rule=TERMS | {"name": "more words"}, slug="room", id=1)
    assert replaced["saveRule"] == {"id": 1, "slug": "room", "name": "more words", "version": 8}
    assert (await world.data(RULES, world.ana, slug="room"))["rules"] == [{"id": 1}]
    tried = await world.data('{ testRule(slug: "room", text: "a") { decisiveRuleId } }', world.ana)
    assert tried["testRule"] == {"decisiveRuleId": 1}
    assert await world.data('{ ruleHits(ruleId: 1, slug: "room") { id } }', world.ana) == {"ruleHits": []}
    assert await world.data('mutation { deleteRule(id: 1, slug: "room") }', world.ana) == {"deleteRule": True}
    assert world.moderation.rules == {}


BY_ID = [
    "query($id: SafeInt!, $slug: String) { ruleHits(ruleId: $id, slug: $slug) { id } }",
    "mutation($id: SafeInt!, $slug: String) { deleteRule(id: $id, slug: $slug) }",
    """mutation($id: SafeInt!, $slug: String) {
      saveRule(id: $id, slug: $slug, rule: {name: "a", kind: CAPS, action: FLAG}) { id } }""",
]


@pytest.mark.parametrize("query", BY_ID)
async def test_an_owner_reaches_no_rule_of_another_room_or_of_everywhere(world: "World", query: str) -> None:
    world.put_room("room", owner=world.ana)
    world.put_room("other", owner=world.ben)
    for slug in ("room", "other", None):
        world.put_rule(slug, "a")
    kept = dict(world.moderation.rules)
    for number in (2, 3, 9):
        assert await world.refusal(query, world.ana, id=number, slug="room") == "NOT_FOUND"
    for number, slug in ((2, "other"), (1, None), (3, None)):
        assert await world.refusal(query, world.ana, id=number, slug=slug) == "FORBIDDEN"
    assert world.moderation.rules == kept


async def test_moderators_of_a_room_and_owners_without_rights_have_no_rules(world: "World") -> None:
    world.owner_rank = Rank.MODERATOR
    world.put_room("room", owner=world.ana)
    held = RoleHolder(world.ben.user_id, RoomRole.MODERATOR, world.ana.user_id, world.ports.clock())
    world.moderation.roles[Slug("room")] = RolePage(world.ana.user_id, [held])
    world.put_rule("room", "a")
    for viewer in (world.ana, world.ben, world.mod):
        assert await world.refusal(RULES, viewer, slug="room") == "FORBIDDEN"
        assert await world.refusal(SAVE, viewer, rule=TERMS, slug="room") == "FORBIDDEN"


async def test_a_rule_that_there_is_not_is_not_found(world: "World") -> None:
    assert await world.refusal(SAVE, world.admin, rule=TERMS, id=9) == "NOT_FOUND"
    assert await world.refusal("mutation { deleteRule(id: 9) }", world.admin) == "NOT_FOUND"
    assert await world.refusal("{ ruleHits(ruleId: 9) { id } }", world.admin) == "NOT_FOUND"
    assert await world.refusal("mutation { deleteRule(id: 0) }", world.admin) == "INVALID"


@pytest.mark.parametrize(
    "query",
    [
        "{ rules { id } }",
        "{ ruleHits(ruleId: 1) { id } }",
        '{ testRule(text: "a") { decisiveRuleId } }',
        "mutation { deleteRule(id: 1) }",
        'mutation { saveRule(id: 1, rule: {name: "a", kind: CAPS, action: FLAG}) { id } }',
        'mutation { saveRule(slug: "a", rule: {name: "a", kind: CAPS, action: FLAG}) { id } }',
    ],
)
async def test_who_may_not_and_moderation_away(world: "World", query: str) -> None:
    world.put_rule("room", "a")
    assert await world.refusal(query) == "UNAUTHENTICATED"
    assert world.moderation.asked == []
    assert await world.refusal(query, world.mod) == "FORBIDDEN"
    world.moderation.is_away = True
    assert await world.refusal(query, world.admin) == "UNAVAILABLE"
