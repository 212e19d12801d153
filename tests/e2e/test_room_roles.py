"""Owners of rooms and the roles that they give: over two edges and two replicas of moderation, on PostgreSQL."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import salon_processes
from chat_client import MODERATES, OWNS, Client, Frame, Person, Visitors, change_policy, of_type, person
from graphql_client import DELETE, GraphQL
from salon_processes import Salon

NOT_PERMITTED = ("You do not have permission to moderate this room", "not_moderator")
SILENCED = ("You are muted or banned", "muted_or_banned")
SET = """mutation($slug: String!, $userId: SafeInt!, $role: RoomRole) {
  setRoomRole(slug: $slug, userId: $userId, role: $role) { userId role givenBy givenAt } }"""
ROLES = """query($slug: String!, $first: Int, $after: String) {
  roomRoles(slug: $slug, first: $first, after: $after) { userId role givenBy cursor } }"""
SANCTIONS = "query($slug: String) { sanctions(slug: $slug) { id action targetUserId } }"
LIFT = "mutation($id: SafeInt!) { liftSanction(id: $id) { id active } }"
AUDIT = """query($slug: String, $action: String) { auditLog(slug: $slug, action: $action) {
  actionId action actorRole policyChanges { field before after } } }"""
UNDO = "mutation($id: SafeInt!, $slug: String) { undoAction(id: $id, slug: $slug) { undoes notUndone } }"
VERIFY = "query($slug: String) { verifyAudit(slug: $slug) { whole unchained } }"
SAVE_RULE = """mutation($rule: RuleInput!, $slug: String, $id: SafeInt) {
  saveRule(rule: $rule, slug: $slug, id: $id) { id slug } }"""
DELETE_RULE = "mutation($id: SafeInt!, $slug: String) { deleteRule(id: $id, slug: $slug) }"
RULES = "query($slug: String) { rules(slug: $slug) { id } }"
HITS = "query($id: SafeInt!, $slug: String) { ruleHits(ruleId: $id, slug: $slug) { text } }"
FELT_WITHIN_S = 1.0


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Salon]:
    """One where owners have no more rights than moderators."""
    salon = Salon(tmp_path_factory.mktemp("strict"), {"ROOMS_OWNER_RIGHTS": "0"})
    try:
        yield salon.start()
    finally:
        salon_processes.stop_all([salon])


async def give(api: GraphQL, by: Person, room: str, to: Person, role: str | None) -> Any:
    """setRoomRole; who has it since."""
    return (await api.run(SET, by, slug=room, userId=to.user_id, role=role))["setRoomRole"]


async def act(client: Client, action: str, target: Person, **more: object) -> Frame:
    """Moderate, and wait for the moderator's own copy."""
    await client.send("moderation_action", action=action, target_user_id=target.user_id, **more)
    return await client.wait_for("moderation_action", action=action, target_user_id=target.user_id)


async def refused(client: Client, action: str, target: Person | None = None, **more: object) -> None:
    """Moderate, and be told that one may not."""
    aim = {} if target is None else {"target_user_id": target.user_id}
    await client.send("moderation_action", action=action, nonce="no", **aim, **more)
    await client.expect_error(*NOT_PERMITTED, nonce="no")


async def felt(client: Client, outcome: str, action: str, target: Person) -> None:
    """Act until this comes of it; a second after a role was given or taken that is so."""
    started_s = time.monotonic()
    while True:
        await client.send("moderation_action", action=action, target_user_id=target.user_id)
        frame = (await client.collect_until_any("error", "moderation_action"))[-1]
        if frame["type"] == outcome:
            assert time.monotonic() - started_s < FELT_WITHIN_S
            return
        await asyncio.sleep(0.05)


async def test_owner_bans_and_changes_the_policy_in_the_room_and_nowhere_else(
    guests: Visitors, api: GraphQL, pair: Salon, room: str, ana: Person, bob: Person, moderator: Person, admin: Person
) -> None:
    await api.create("Ana's", ana, slug=room)
    owner, target = await guests.join(room, ana), await guests.join(room, bob, ws=pair.edges[1].ws)
    you = owner.joined["you"]
    assert you["roles"] == ["user", "owner"]
    assert you["may"] == ["write", *OWNS]
    assert target.joined["you"]["may"] == ["write"]
    await owner.say("welcome")
    assert (await target.wait_for("chat_message"))["role"] == "owner"
    other = await guests.join(room, moderator, ws=pair.edges[1].ws)
    await refused(other, "mute", ana)
    chair = await guests.join(room, admin)
    await refused(owner, "mute", admin)
    await refused(owner, "ban", bob, scope="everywhere")
    await refused(owner, "ban", ana)
    await owner.send("moderation_action", action="policy", changes={"slow_mode_seconds": 30}, nonce="p")
    assert (await owner.wait_for("room_policy", nonce="p"))["policy"]["slow_mode_seconds"] == 30
    await act(owner, "ban", bob)
    assert await target.closed() == 4003
    await (await guests.connect(f"/chat/ws/room/{room}", bob, ws=pair.edges[1].ws)).refused("Access denied", 4003)
    await act(owner, "ban", moderator)
    assert await other.closed() == 4003
    await act(chair, "mute", ana)
    await owner.send("chat_message", message="I am muted", nonce="m")
    await owner.expect_error(*SILENCED, nonce="m")
    elsewhere = await guests.join(f"{room}-other", ana)
    assert elsewhere.joined["you"]["roles"] == ["user"]
    await refused(elsewhere, "mute", bob)


async def test_owners_moderator_mutes_there_and_cannot_ban_and_is_nobody_in_another_room(
    guests: Visitors, api: GraphQL, pair: Salon, room: str, ana: Person, bob: Person
) -> None:
    await api.create("Ana's", ana, slug=room)
    carl = person("carl", "user")
    there, target = await guests.join(room, carl, ws=pair.edges[1].ws), await guests.join(room, bob)
    await refused(there, "mute", bob)
    given = await give(api, ana, room, carl, "MODERATOR")
    assert {"userId": carl.user_id, "role": "MODERATOR", "givenBy": ana.user_id}.items() <= given.items()
    await felt(there, "moderation_action", "mute", bob)
    await target.send("chat_message", message="hello?", nonce="m")
    await target.expect_error(*SILENCED, nonce="m")
    await there.say("quiet")
    assert (await target.wait_for("chat_message", message="quiet"))["role"] == "moderator"
    await refused(there, "ban", bob)
    await refused(there, "clear")
    owner = await guests.join(room, ana)
    await refused(there, "mute", ana)
    await owner.leave()
    late = await guests.join(room, carl)
    assert late.joined["you"]["roles"] == ["user", "moderator"]
    assert late.joined["you"]["may"] == ["write", *MODERATES]
    listed = (await api.run(SANCTIONS, carl, slug=room))["sanctions"]
    assert [(one["action"], one["targetUserId"]) for one in listed] == [("mute", bob.user_id)]
    assert await api.refusal(SANCTIONS, carl) == "FORBIDDEN"
    assert await api.refusal(SANCTIONS, bob, slug=room) == "FORBIDDEN"
    elsewhere = await guests.join(f"{room}-other", carl)
    await refused(elsewhere, "mute", bob)
    assert await api.refusal(SANCTIONS, carl, slug=f"{room}-other") == "FORBIDDEN"
    assert (await api.run(LIFT, carl, id=listed[0]["id"]))["liftSanction"]["active"] is False
    assert await give(api, ana, room, carl, None) is None
    await felt(there, "error", "mute", bob)
    assert await api.refusal(SANCTIONS, carl, slug=room) == "FORBIDDEN"


async def test_moderators_of_the_room_warn_pin_and_set_the_shield_there_and_read_its_audit_log(
    guests: Visitors, api: GraphQL, pair: Salon, room: str, ana: Person, bob: Person
) -> None:
    await api.create("Ana's", ana, slug=room)
    carl = person("carl", "user")
    await give(api, ana, room, carl, "MODERATOR")
    helper, target = await guests.join(room, carl, ws=pair.edges[1].ws), await guests.join(room, bob)
    await guests.join(room, ana)
    said = await target.say("look")
    await helper.send("moderation_action", action="pin", message_id=said["id"], nonce="p")
    await helper.wait_for("message_pinned", nonce="p")
    await helper.send("moderation_action", action="warn", target_user_id=bob.user_id, reason="calm", nonce="w")
    await helper.wait_for("moderation_action", nonce="w")
    assert (await target.wait_for("warning"))["reason"] == "calm"
    await helper.send("moderation_action", action="shield", on=True, nonce="s")
    assert (await helper.wait_for("room_policy", nonce="s"))["policy"]["shield"] is not None
    await refused(helper, "warn", ana, reason="no")
    await refused(helper, "policy", changes={"slow_mode_seconds": 5})
    rows = (await api.run(AUDIT, carl, slug=room))["auditLog"]
    assert [row["action"] for row in rows] == ["shield", "warn", "pin", "role"]
    assert rows[-1]["policyChanges"] == [{"field": "role", "before": "null", "after": '"moderator"'}]
    assert rows[-1]["actorRole"] == "owner"
    assert (await api.run(AUDIT, ana, slug=room, action="role"))["auditLog"] == rows[-1:]
    assert await api.refusal(AUDIT, bob, slug=room) == "FORBIDDEN"


async def test_owner_undoes_in_the_room_what_nobody_above_them_did_and_the_role_of_before_holds_again(
    guests: Visitors, api: GraphQL, pair: Salon, room: str, ana: Person, bob: Person, admin: Person
) -> None:
    await api.create("Ana's", ana, slug=room)
    carl = person("carl", "user")
    await give(api, ana, room, carl, "MODERATOR")
    owner, helper = await guests.join(room, ana), await guests.join(room, carl, ws=pair.edges[1].ws)
    target, chair = await guests.join(room, bob), await guests.join(room, admin)
    ((given,),) = (await api.run(AUDIT, carl, slug=room)).values()
    mute = await act(helper, "mute", bob)
    (own,) = (await api.run(AUDIT, ana, slug=room, action="mute"))["auditLog"]
    assert own["actionId"] == mute["action_id"]
    await refused(helper, "undo", action_id=mute["action_id"])
    assert await api.refusal(UNDO, carl, id=mute["action_id"], slug=room) == "FORBIDDEN"
    await owner.send("moderation_action", action="undo", action_id=mute["action_id"], nonce="u")
    assert (await owner.wait_for("undone", nonce="u"))["undoes"] == mute["action_id"]
    await target.say("free")
    higher = await act(chair, "mute", carl)
    await refused(owner, "undo", action_id=higher["action_id"])
    assert await api.refusal(UNDO, ana, id=higher["action_id"], slug=room) == "FORBIDDEN"
    assert await api.refusal(UNDO, ana, id=given["actionId"]) == "FORBIDDEN"
    assert (await api.run(UNDO, ana, id=given["actionId"], slug=room))["undoAction"]["notUndone"] == []
    await felt(helper, "error", "mute", bob)
    assert (await api.run(ROLES, ana, slug=room))["roomRoles"] == []
    verified = (await api.run(VERIFY, admin, slug=room))["verifyAudit"]
    assert (verified["whole"], verified["unchained"]) == (True, 0)


async def test_roles_are_given_by_owner_or_admin_alone_and_read_by_the_rooms_moderators(
    guests: Visitors, api: GraphQL, room: str, ana: Person, bob: Person, moderator: Person, admin: Person
) -> None:
    await api.create("Ana's", ana, slug=room)
    for nobody in (bob, moderator):
        assert await api.refusal(SET, nobody, slug=room, userId=bob.user_id, role="VIP") == "FORBIDDEN"
    assert await api.refusal(SET, None, slug=room, userId=bob.user_id, role="VIP") == "UNAUTHENTICATED"
    assert await api.refusal(SET, ana, slug=room, userId=ana.user_id, role="VIP") == "FORBIDDEN"
    assert await api.refusal(SET, ana, slug=f"{room}-none", userId=bob.user_id, role="VIP") == "NOT_FOUND"
    await guests.join(room, admin)
    assert await api.refusal(SET, ana, slug=room, userId=admin.user_id, role="VIP") == "FORBIDDEN"
    await give(api, ana, room, bob, "VIP")
    await give(api, admin, room, moderator, "MODERATOR")
    listed = (await api.run(ROLES, moderator, slug=room, first=1))["roomRoles"]
    more = (await api.run(ROLES, ana, slug=room, first=5, after=listed[0]["cursor"]))["roomRoles"]
    assert {one["userId"]: one["role"] for one in listed + more} == {
        bob.user_id: "VIP",
        moderator.user_id: "MODERATOR",
    }
    assert await api.refusal(ROLES, bob, slug=room) == "FORBIDDEN"


async def test_vip_ranks_as_a_user_and_is_exempt_from_slow_mode(
    guests: Visitors, api: GraphQL, pair: Salon, room: str, ana: Person, bob: Person
) -> None:
    await api.create("Ana's", ana, slug=room)
    await give(api, ana, room, bob, "VIP")
    owner, vip = await guests.join(room, ana), await guests.join(room, bob, ws=pair.edges[1].ws)
    user = await guests.join(room, person("carl", "user"))
    assert (vip.joined["you"]["roles"], vip.joined["you"]["may"]) == (["user", "vip"], ["write"])
    await change_policy(owner, slow_mode_seconds=600)
    for text in ("one", "two"):
        await vip.say(text)
        assert (await user.wait_for("chat_message", message=text))["role"] == "vip"
    await user.say("one")
    await user.send("chat_message", message="two", nonce="slow")
    await user.expect_error("Slow mode", "slow_mode", nonce="slow")
    await refused(vip, "mute", ana)
    await act(owner, "mute", bob)
    await vip.send("chat_message", message="three", nonce="m")
    await vip.expect_error(*SILENCED, nonce="m")


async def test_owner_has_the_rules_of_the_room_alone_and_its_vips_are_not_judged_by_them(
    guests: Visitors, api: GraphQL, pair: Salon, room: str, ana: Person, bob: Person, moderator: Person, admin: Person
) -> None:
    await api.create("Ana's", ana, slug=room)
    await give(api, ana, room, bob, "VIP")
    vip, user = await guests.join(room, bob), await guests.join(room, person("carl", "user"), ws=pair.edges[1].ws)
    rule = {"name": "words", "kind": "TERMS", "action": "REFUSE", "patterns": ["blarg"]}
    saved = (await api.run(SAVE_RULE, ana, rule=rule, slug=room))["saveRule"]
    elsewhere = (await api.run(SAVE_RULE, admin, rule=rule, slug=f"{room}-other"))["saveRule"]
    await asyncio.sleep(FELT_WITHIN_S)
    await vip.say("blarg")
    await user.send("chat_message", message="blarg", nonce="b")
    await user.expect_error("Your message was not accepted", "blocked", nonce="b")
    assert (await api.run(RULES, ana, slug=room))["rules"] == [{"id": saved["id"]}]
    assert (await api.run(SAVE_RULE, ana, rule=rule, slug=room, id=saved["id"]))["saveRule"] == saved
    assert await api.run(HITS, ana, slug=room, id=saved["id"])
    for query, more in ((SAVE_RULE, {"rule": rule}), (DELETE_RULE, {}), (HITS, {})):
        assert await api.refusal(query, ana, slug=room, id=elsewhere["id"], **more) == "NOT_FOUND"
        assert await api.refusal(query, ana, slug=elsewhere["slug"], id=elsewhere["id"], **more) == "FORBIDDEN"
        assert await api.refusal(query, ana, id=saved["id"], **more) == "FORBIDDEN"
        assert await api.refusal(query, moderator, slug=room, id=saved["id"], **more) == "FORBIDDEN"
    assert await api.run(DELETE_RULE, ana, slug=room, id=saved["id"]) == {"deleteRule": True}


async def test_roles_are_kept_across_lives_and_end_with_the_owner(
    guests: Visitors, api: GraphQL, pair: Salon, room: str, ana: Person, bob: Person
) -> None:
    carl = person("carl", "user")
    made = await api.create("Ana's", ana, slug=room)
    await give(api, ana, room, bob, "MODERATOR")
    first = await guests.join(room, bob)
    await first.leave()
    await api.gone(room)
    again = await guests.join(room, bob, ws=pair.edges[1].ws)
    assert again.joined["you"]["roles"] == ["user", "moderator"]
    assert (await api.run(DELETE, ana, id=made["id"]))["deleteChatRoom"]
    assert await again.closed() == 4004
    await api.create("Carl's", carl, slug=room)
    former, owner = await guests.join(room, bob), await guests.join(room, carl)
    assert former.joined["you"]["roles"] == ["user"]
    assert owner.joined["you"]["roles"] == ["user", "owner"]
    assert (await api.run(ROLES, carl, slug=room))["roomRoles"] == []
    past = await guests.join(room, ana)
    assert past.joined["you"]["roles"] == ["user"]


@pytest.mark.slow
async def test_roles_outlive_the_restart_of_every_replica_and_are_read_again_by_an_edge_that_starts(
    guests: Visitors, api: GraphQL, pair: Salon, room: str, ana: Person, bob: Person
) -> None:
    await api.create("Ana's", ana, slug=room)
    await give(api, ana, room, bob, "MODERATOR")
    there = await guests.join(room, bob)
    pair.moderation.kill()
    pair.moderation.start()
    carl = person("carl", "user")
    async with asyncio.timeout(30):
        while True:
            await there.send("moderation_action", action="mute", target_user_id=carl.user_id)
            frame = (await there.collect_until_any("error", "moderation_action"))[-1]
            if frame["type"] == "moderation_action":
                break
            assert frame["data"]["code"] == "unavailable"
            await asyncio.sleep(0.2)
    late = await guests.join(room, bob, ws=pair.start_edge().ws)
    assert late.joined["you"]["roles"] == ["user", "moderator"]
    await late.send("moderation_action", action="mute", target_user_id=ana.user_id)
    await late.wait_for("moderation_action", target_user_id=ana.user_id)
    owner = await guests.join(room, ana)
    await owner.say("what a moderator imposed does not bind the owner")


async def test_renewed_token_keeps_the_rank_of_the_room(
    guests: Visitors, api: GraphQL, room: str, ana: Person, bob: Person
) -> None:
    await api.create("Ana's", ana, slug=room)
    owner = await guests.join(room, ana)
    await owner.send("authenticate", token=person("ana", "moderator", user_id=ana.user_id).token)
    you = (await owner.wait_for("authenticated"))["you"]
    assert (you["roles"], you["may"]) == (["moderator", "owner"], ["write", *OWNS])
    await act(owner, "ban", bob)


@pytest.mark.slow
async def test_owner_rights_0_an_owner_may_do_what_a_moderator_may(
    strict: Salon, room: str, ana: Person, bob: Person, admin: Person
) -> None:
    visitors = Visitors(strict.edges[0].ws)
    async with httpx.AsyncClient(base_url=strict.edges[0].http, timeout=10) as http:
        api = GraphQL(http)
        await api.create("Ana's", ana, slug=room)
        owner, target = await visitors.join(room, ana), await visitors.join(room, bob)
        assert owner.joined["you"]["may"] == ["write", *MODERATES]
        await act(owner, "mute", bob)
        await refused(owner, "ban", bob)
        await refused(owner, "policy", changes={"slow_mode_seconds": 30})
        assert await api.refusal(SET, ana, slug=room, userId=bob.user_id, role="VIP") == "FORBIDDEN"
        await give(api, admin, room, bob, "VIP")
        assert of_type(target.seen, "moderation_action") == []
    await visitors.close()
