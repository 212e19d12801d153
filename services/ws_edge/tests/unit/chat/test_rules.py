"""chat/post.py: what rules refuse is told, and what becomes of messages that no rule can see."""

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from edge_world import World

from ws_edge.ports import Decision, Verdict
from ws_edge.protocol.identity import Slug, UserId
from ws_edge.protocol.roles import RoomRole, RoomRoles

if TYPE_CHECKING:
    pass

SLUG = Slug("s")


async def test_what_a_rule_refuses_is_told_in_its_words_or_the_usual_ones(world: World) -> None:
    ana = await world.join("s", "1:user")
    world.moderation.verdict = Verdict(Decision.BLOCKED, told="Mind your words")
    ana.say("x", nonce="n1")
    assert ana.raw.endswith(b'{"type":"error","data":{"message":"Mind your words","code":"blocked","nonce":"n1"}}')
    world.moderation.verdict = Verdict(Decision.BLOCKED)
    ana.say("x")
    assert ana.raw.endswith(b'{"type":"error","data":{"message":"Your message was not accepted","code":"blocked"}}')
    assert world.bus.stream == []


async def test_what_moderation_could_not_judge_is_unavailable_whatever_the_edge_knows_of_rules(world: World) -> None:
    ana = await world.join("s", "1:user")
    world.moderation.verdict = Verdict(Decision.UNJUDGED)
    ana.say("no rule sees this", nonce="n1")
    await world.settle()
    assert (ana.types, world.bus.stream) == (["unavailable"], [])


@pytest.mark.parametrize(("ruled", "everywhere"), [(frozenset({SLUG}), False), (frozenset(), True)])
async def test_while_moderation_is_away_messages_that_a_rule_would_have_to_see_are_refused_where_it_says_so(
    world: World, ruled: frozenset[Slug], everywhere: bool
) -> None:
    world.moderation.ruled, world.moderation.ruled_everywhere = ruled, everywhere
    world.moderation.roles[SLUG] = RoomRoles(1, None, {UserId(5): RoomRole.VIP})
    ana, chair, vip = [await world.join("s", token) for token in ("1:user", "9:moderator", "5:user")]
    world.moderation.is_away = True
    ana.say("no rule sees this, and it goes on")
    world.moderation.limits = replace(world.moderation.limits, refuse_unjudged=True)
    ana.say("nor this, and it does not", nonce="n1")
    chair.say("moderators and above are judged by no rule")
    vip.say("nor are VIPs")
    await world.settle()
    assert ana.types == ["unavailable", "chat_message", "chat_message", "chat_message"]
    assert chair.types == vip.types == ["chat_message", "chat_message", "chat_message"]


async def test_where_no_rule_acts_messages_go_on_while_moderation_is_away(world: World) -> None:
    ana = await world.join("s", "1:user")
    world.moderation.is_away = True
    world.moderation.limits = replace(world.moderation.limits, refuse_unjudged=True)
    ana.say("hello")
    await world.settle()
    assert ana.types == ["chat_message"]
