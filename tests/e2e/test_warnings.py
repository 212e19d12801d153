"""Warnings: over two edges and two replicas of moderation, on PostgreSQL."""

import asyncio
import time

import pytest
from chat_client import OBEYED_AFTER_S, STAMP, Client, Frame, Person, Visitors, of_type
from salon_processes import Salon

PENDING = ("Acknowledge the warning first", "warning_pending")


async def warn(chair: Client, nonce: str = "w1", *, reason: str = "No links, please", **target: object) -> Frame:
    """Warn somebody; the moderator's own copy. A second later every replica goes by the warning, also where an edge
    that has just started takes another one for the target's home."""
    await chair.send("moderation_action", action="warn", reason=reason, nonce=nonce, **target)
    return await chair.wait_for("moderation_action", nonce=nonce)


async def test_a_warning_is_told_to_all_connections_of_its_target_and_to_nobody_else_until_it_is_acknowledged(
    guests: Visitors, pair: Salon, room: str, moderator: Person, ana: Person, bob: Person
) -> None:
    chair, witness = await guests.join(room, moderator), await guests.join(room, bob, ws=pair.edges[1].ws)
    here, there = await guests.join(room, ana), await guests.join(room, ana, ws=pair.edges[1].ws)
    own = await warn(chair, target_user_id=ana.user_id)
    seen, again = await here.wait_for("warning"), await there.wait_for("warning")
    warning_id = own["warning_id"]
    assert STAMP.fullmatch(own["timestamp"])
    assert own == {
        "action": "warn",
        "target_user_id": ana.user_id,
        "moderator_user_id": moderator.user_id,
        "duration_minutes": 0,
        "timestamp": own["timestamp"],
        "nonce": "w1",
        "warning_id": warning_id,
    }
    assert seen == again == {"warning_id": warning_id, "reason": "No links, please", "timestamp": own["timestamp"]}
    assert await warn(chair, target_user_id=ana.user_id) == own
    await asyncio.sleep(OBEYED_AFTER_S)
    for client in (here, there):
        await client.send("chat_message", message="no", nonce="n1")
        await client.expect_error(*PENDING, nonce="n1")
    late = await guests.join(room, ana, ws=pair.edges[1].ws)
    assert await late.expect("warning") == seen
    await witness.send("acknowledge_warning", warning_id=warning_id, nonce="x")
    await witness.expect_error("Not found", "not_found", nonce="x")
    await there.send("acknowledge_warning", warning_id=warning_id)
    for client in (here, there, late):
        assert await client.wait_for("warning_closed") == {"warning_id": warning_id}
    assert (await here.say("yes"))["message"] == "yes"
    await here.send("acknowledge_warning", warning_id=warning_id)
    await here.wait_for("warning_closed", warning_id=warning_id)
    told = [frame["type"] for frame in await witness.frames_before_pong() + await chair.frames_before_pong()]
    assert not {"warning", "warning_closed", "moderation_action"} & set(told)
    assert not of_type(await late.frames_before_pong(), "warning")
    after = await guests.join(room, ana)
    assert not of_type(await after.frames_before_pong(), "warning")


async def test_an_anonymous_target_is_warned_by_name_on_every_edge(
    guests: Visitors, pair: Salon, room: str, moderator: Person, address: str
) -> None:
    chair, other = await guests.join(room, moderator), await guests.join(room)
    here = await guests.join(room, address=address)
    there = await guests.join(room, address=address, ws=pair.edges[1].ws)
    own = await warn(chair, target_username=f"Anonymous_{address}")
    assert (own["target_user_id"], own["target_username"]) == (None, f"Anonymous_{address}")
    await asyncio.sleep(OBEYED_AFTER_S)
    for client in (here, there):
        await client.wait_for("warning", warning_id=own["warning_id"])
        await client.send("chat_message", message="no")
        await client.expect_error(*PENDING)
    await here.send("acknowledge_warning", warning_id=own["warning_id"])
    for client in (here, there):
        await client.wait_for("warning_closed")
        await client.say("yes")
    assert not of_type(await other.frames_before_pong(), "warning")


async def test_a_moderator_warns_nobody_of_an_equal_or_higher_rank_nor_themselves_and_users_warn_nobody(
    guests: Visitors, pair: Salon, room: str, moderator: Person, admin: Person, ana: Person
) -> None:
    chair, higher = await guests.join(room, moderator), await guests.join(room, admin, ws=pair.edges[1].ws)
    user = await guests.join(room, ana)
    forbidden = [(chair, admin), (chair, moderator), (user, moderator)]
    for number, (actor, target) in enumerate(forbidden):
        action = {"action": "warn", "reason": "x", "target_user_id": target.user_id, "nonce": f"no{number}"}
        await actor.send("moderation_action", **action)
        await actor.expect_error(
            "You do not have permission to moderate this room", "not_moderator", nonce=f"no{number}"
        )
    await chair.send_wrong("moderation_action", action="warn", target_user_id=ana.user_id, nonce="n")
    await chair.expect_error("Invalid message format", "invalid_format", nonce="n")
    await warn(higher, target_user_id=moderator.user_id)
    await chair.wait_for("warning")


@pytest.mark.slow
async def test_killed_replicas_forget_neither_a_warning_nor_that_it_was_acknowledged(
    guests: Visitors, pair: Salon, room: str, moderator: Person, ana: Person
) -> None:
    chair, target = await guests.join(room, moderator), await guests.join(room, ana, ws=pair.edges[1].ws)
    own = await warn(chair, target_user_id=ana.user_id)
    pair.moderation.kill()
    await target.wait_for("warning")
    await target.send("chat_message", message="no", nonce="n1")
    await target.expect_error(*PENDING, nonce="n1")
    await target.send("acknowledge_warning", warning_id=own["warning_id"], nonce="a1")
    await target.expect_error("Service unavailable", "unavailable", nonce="a1")
    await asyncio.to_thread(pair.start_moderation)
    async with asyncio.timeout(30):
        while True:
            await target.send("acknowledge_warning", warning_id=own["warning_id"])
            if (await target.collect_until_any("warning_closed", "error"))[-1]["type"] == "warning_closed":
                break
            await asyncio.sleep(0.6)
    pair.moderation.kill()
    await asyncio.to_thread(pair.start_moderation)
    async with asyncio.timeout(30):
        while not of_type(target.seen, "chat_message"):
            await target.send("chat_message", message="yes")
            assert (await target.collect_until_any("chat_message", "error"))[-1]["data"].get("code") in (
                None,
                "unavailable",
            )
    late = await guests.join(room, ana)
    assert not of_type(await late.frames_before_pong(), "warning")
    await late.say("still yes")


@pytest.mark.slow
async def test_on_a_connection_of_a_client_that_knows_nothing_of_warnings_they_count_as_acknowledged_after_30_s(
    guests: Visitors, pair: Salon, room: str, moderator: Person, ana: Person
) -> None:
    chair, old = await guests.join(room, moderator), await guests.join(room, ana, ws=pair.edges[1].ws)
    await warn(chair, target_user_id=ana.user_id)
    await old.expect("warning")
    told_at = time.monotonic()
    await asyncio.sleep(OBEYED_AFTER_S)  # the replica that judges may be another one than heard of it
    while True:
        await old.send("chat_message", message="hello")
        if (await old.collect_until_any("error", "chat_message"))[-1]["type"] == "chat_message":
            break
        assert old.seen[-1]["data"]["code"] == "warning_pending"
        await asyncio.sleep(0.5)
        assert time.monotonic() - told_at < 35
    assert time.monotonic() - told_at > 29
