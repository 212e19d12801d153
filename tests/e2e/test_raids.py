"""Raids: over two edges and two replicas of moderation, on PostgreSQL."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

from chat_client import OBEYED_AFTER_S, Client, Frame, Person, Visitors, person
from salon_processes import Salon

RAIDERS = 40
"""Each replica is the home of some half of them."""
COPIED = "Everybody come over and watch the channel of evil_raider"


async def gather_raiders(guests: Visitors, pair: Salon, room: str) -> list[Client]:
    edges = [edge.ws for edge in pair.edges]
    return await asyncio.gather(
        *(guests.join(room, person(f"raider {number}"), ws=edges[number % 2]) for number in range(RAIDERS))
    )


async def attack(raiders: list[Client], text: str) -> None:
    await asyncio.gather(*(each.send("chat_message", message=f"{text} {n}") for n, each in enumerate(raiders)))


async def watching(guests: Visitors, room: str, who: Person, **how: Any) -> tuple[Client, Frame]:
    chair = await guests.join(room, who, **how)
    await chair.send("moderation_feed", on=True)
    return chair, await chair.wait_for("moderation_feed")


async def test_moderators_are_told_once_of_a_raid_and_nothing_is_done(
    guests: Visitors, pair: Salon, room: str, admin: Person, moderator: Person
) -> None:
    chair, answer = await watching(guests, room, moderator)
    assert answer["raid"] is None
    raiders = await gather_raiders(guests, pair, room)
    await attack(raiders, COPIED)
    told = await chair.wait_for("moderation_event", kind="raid")
    details = told["details"]
    assert details["same"] >= 10
    assert COPIED in details["sample"]
    assert (details["shielded"], details["usual_same"]) == (False, 0)
    await attack(raiders, COPIED)
    await raiders[0].send("chat_message", message="the last one")
    await chair.wait_for("chat_message", message="the last one")
    other, later = await watching(guests, room, admin, ws=pair.edges[1].ws)
    assert later["raid"] == told
    await other.send("moderation_action", action="policy", changes={"slow_mode_seconds": 5})
    await chair.wait_for("moderation_event", kind="action")
    assert [frame["data"]["kind"] for frame in chair.seen if frame["type"] == "moderation_event"].count("raid") == 1
    assert all(frame["data"]["policy"]["shield"] is None for frame in chair.seen if frame["type"] == "room_policy")


async def test_where_the_policy_asks_for_it_a_shield_is_laid_and_the_room_told_and_it_is_undone_as_any(
    guests: Visitors, pair: Salon, room: str, moderator: Person, admin: Person, ana: Person
) -> None:
    owner, viewer = await guests.join(room, admin), await guests.join(room, ana, ws=pair.edges[1].ws)
    chair, _ = await watching(guests, room, moderator)
    changes = {"shield_automatic": True}
    await owner.send("moderation_action", action="policy", changes=changes, nonce="p")
    assert (await owner.wait_for("room_policy", nonce="p"))["policy"]["shield_automatic"] is True
    await viewer.wait_for("room_policy")
    raiders = await gather_raiders(guests, pair, room)
    await asyncio.sleep(OBEYED_AFTER_S)
    await attack(raiders, COPIED)
    told = await viewer.wait_for("room_policy")
    assert (told["moderator_user_id"], told["policy"]["read_only"]) == (None, "anonymous")
    shield = told["policy"]["shield"]
    assert shield["underlying"]["shield_automatic"] is True
    until, at = datetime.fromisoformat(shield["until"]), datetime.fromisoformat(told["timestamp"])
    assert timedelta(minutes=14) < until - at <= timedelta(minutes=15)
    event = await chair.wait_for("moderation_event", kind="raid")
    assert event["details"]["shielded"] is True
    (row,) = [
        frame["data"]["action"]
        for frame in chair.seen
        if frame["type"] == "moderation_event" and frame["data"].get("action", {}).get("action") == "shield"
    ]
    assert (row["moderator_user_id"], row["moderator_role"], row["reason"]) == (None, None, "Raid")
    await asyncio.sleep(OBEYED_AFTER_S)
    await viewer.send("chat_message", message="no", nonce="n1")
    await viewer.expect_error("Your account is too new", "account_too_new", nonce="n1")
    await owner.send("moderation_action", action="undo", action_id=row["action_id"], nonce="u")
    assert (await owner.wait_for("room_policy", nonce="u"))["policy"]["shield"] is None
    await asyncio.sleep(OBEYED_AFTER_S)
    await attack(raiders, COPIED)
    await viewer.say("they are left to moderators now")
    assert (await guests.join(room, ana)).joined["policy"]["shield"] is None
