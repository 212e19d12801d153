"""The shield over the policy of a room: over two edges and two replicas of moderation, on PostgreSQL."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest
from chat_client import OBEYED_AFTER_S, Client, Frame, Person, Visitors, of_type
from salon_processes import Salon

OPEN = {
    "slow_mode_seconds": 0,
    "read_only": "nobody",
    "members_only": False,
    "min_account_minutes": 0,
    "min_follow_minutes": 0,
    "emote_only": False,
    "max_length": 1000,
    "unique": False,
    "links": "allow",
    "shield_automatic": False,
    "max_shown_per_second": 0,
    "delay_seconds": 0,
}
PRESET = {"slow_mode_seconds": 30, "read_only": "anonymous", "links": "refuse", "min_account_minutes": 1440}
READ_ONLY = ("The room is read-only", "read_only")
TOO_NEW = ("Your account is too new", "account_too_new")
RAIDERS = 100
RAIDERS_OF_AN_ADDRESS = 10


async def shield(chair: Client, nonce: str, **how: object) -> Frame:
    """The moderator's own copy. From a second after that on it holds everywhere."""
    await chair.send("moderation_action", action="shield", nonce=nonce, **how)
    own = await chair.wait_for("room_policy", nonce=nonce)
    await asyncio.sleep(OBEYED_AFTER_S)
    return own


def minutes_from_now(stamp: str) -> float:
    return (datetime.fromisoformat(stamp) - datetime.now(UTC)).total_seconds() / 60


async def test_a_shield_of_a_moderator_holds_everywhere_is_told_and_kept_and_is_taken_away_again(
    guests: Visitors, pair: Salon, room: str, moderator: Person, ana: Person
) -> None:
    chair, user = await guests.join(room, moderator), await guests.join(room, ana, ws=pair.edges[1].ws)
    guest = await guests.join(room, ws=pair.edges[1].ws)
    assert user.joined["policy"]["shield"] is None
    own = await shield(chair, "s1", on=True, reason="raid")
    policy = own["policy"]
    version = policy["version"]
    underlying = {**OPEN, "version": version, "shield": None}
    assert policy == {**OPEN, **PRESET, "version": version, "shield": {**policy["shield"], "underlying": underlying}}
    assert 14 < minutes_from_now(policy["shield"]["until"]) <= 15
    assert (await user.wait_for("room_policy"))["policy"] == policy
    assert (await guests.join(room, ana)).joined["policy"] == policy
    await guest.send("chat_message", message="no", nonce="n1")
    await guest.expect_error(*READ_ONLY, nonce="n1")
    await user.send("chat_message", message="no", nonce="n2")
    await user.expect_error(*TOO_NEW, nonce="n2")
    await chair.say("moderators and above are exempt from all of it")
    after = (await shield(chair, "s2", on=False))["policy"]
    assert after == {**OPEN, "version": after["version"], "shield": None}
    assert after["version"] > version
    await guest.say("yes")
    await user.say("yes")


async def test_edges_go_by_a_shield_while_moderation_is_away_and_replicas_after_they_were_restarted(
    guests: Visitors, pair: Salon, room: str, moderator: Person
) -> None:
    chair, guest = await guests.join(room, moderator), await guests.join(room, ws=pair.edges[1].ws)
    await shield(chair, "s1", on=True)
    pair.moderation.kill()
    try:
        await guest.send("chat_message", message="no", nonce="n1")
        await guest.expect_error(*READ_ONLY, nonce="n1")
    finally:
        await asyncio.to_thread(pair.start_moderation)
    await guest.send("chat_message", message="no", nonce="n2")
    await guest.expect_error(*READ_ONLY, nonce="n2")


async def test_changing_the_policy_meanwhile_changes_what_comes_after(
    guests: Visitors, room: str, admin: Person, moderator: Person
) -> None:
    chair, owner = await guests.join(room, moderator), await guests.join(room, admin)
    policy = (await shield(chair, "s1", on=True))["policy"]
    await owner.send("moderation_action", action="policy", changes={"max_length": 9, "links": "refuse"}, nonce="p")
    meanwhile = (await owner.wait_for("room_policy", nonce="p"))["policy"]
    assert meanwhile["shield"]["until"] == policy["shield"]["until"]
    assert (meanwhile["max_length"], meanwhile["shield"]["underlying"]["max_length"]) == (9, 9)
    after = (await shield(chair, "s2", on=False))["policy"]
    assert after == {**OPEN, "max_length": 9, "links": "refuse", "version": after["version"], "shield": None}


async def test_users_may_not_set_a_shield(guests: Visitors, room: str, ana: Person) -> None:
    user = await guests.join(room, ana)
    await user.send("moderation_action", action="shield", on=True, nonce="s1")
    await user.expect_error("You do not have permission to moderate this room", "not_moderator", nonce="s1")


async def test_again_while_it_is_on_sets_another_end_and_a_repeated_nonce_changes_nothing(
    guests: Visitors, room: str, moderator: Person
) -> None:
    chair = await guests.join(room, moderator)
    first = await shield(chair, "s1", on=True, minutes=1440)
    assert 1439 < minutes_from_now(first["policy"]["shield"]["until"]) <= 1440
    await chair.send("moderation_action", action="shield", on=False, nonce="s1")
    assert await chair.wait_for("room_policy") == first
    second = await shield(chair, "s2", on=True, minutes=1)
    assert minutes_from_now(second["policy"]["shield"]["until"]) <= 1


async def test_a_shield_is_undone_unless_somebody_has_changed_it_since(
    guests: Visitors, room: str, admin: Person, moderator: Person
) -> None:
    chair, helper = await guests.join(room, admin), await guests.join(room, moderator)
    first = await shield(helper, "s1", on=True)
    second = await shield(helper, "s2", on=True, minutes=60)
    await chair.send("moderation_action", action="undo", action_id=first["action_id"], nonce="u1")
    await chair.expect_error("Nothing is left to undo", "nothing_to_undo", nonce="u1")
    await chair.send("moderation_action", action="undo", action_id=second["action_id"], nonce="u2")
    restored = await chair.wait_for("room_policy", nonce="u2")
    assert restored["policy"]["shield"]["until"] == first["policy"]["shield"]["until"]


@pytest.mark.slow
async def test_a_shield_ends_by_itself_on_every_replica_and_on_edges_while_moderation_is_away(
    guests: Visitors, pair: Salon, room: str, moderator: Person
) -> None:
    chair, guest = await guests.join(room, moderator), await guests.join(room)
    there = await guests.join(room, ws=pair.edges[1].ws)
    own = await shield(chair, "s1", on=True, minutes=1)
    until = datetime.fromisoformat(own["policy"]["shield"]["until"])
    await asyncio.sleep(max(0.0, (until - timedelta(seconds=6) - datetime.now(UTC)).total_seconds()))
    await guest.send("chat_message", message="no", nonce="n1")
    await guest.expect_error(*READ_ONLY, nonce="n1")
    pair.moderation.kill()
    try:
        await guest.send("chat_message", message="no", nonce="n2")
        await guest.expect_error(*READ_ONLY, nonce="n2")
        await asyncio.sleep(max(0.0, (until - datetime.now(UTC)).total_seconds()))
        await guest.say("by the edge's own clock")
    finally:
        await asyncio.to_thread(pair.start_moderation)
    await there.say("by moderation's")
    late = await guests.join(room)
    assert late.joined["policy"] == own["policy"]["shield"]["underlying"]
    assert not of_type(await there.frames_before_pong(), "room_policy")


@pytest.mark.slow
async def test_a_raid_is_silent_within_a_second_of_one_shield(
    guests: Visitors, pair: Salon, room: str, moderator: Person, ana: Person
) -> None:
    """A hundred anonymous raiders, a message a second each, which is what the rate limit leaves them, from several
    addresses over both edges: what two cores bear beside the clients. By the clock of the log."""
    chair, viewer = await guests.join(room, moderator), await guests.join(room, ana, ws=pair.edges[1].ws)
    raiders = [
        await guests.join(room, address=f"127.0.0.{2 + n // RAIDERS_OF_AN_ADDRESS}", ws=pair.edges[n % 2].ws)
        for n in range(RAIDERS)
    ]
    is_over = asyncio.Event()

    async def raid(raider: Client, number: int) -> None:
        await asyncio.sleep(number / RAIDERS)
        while not is_over.is_set():
            await raider.send("chat_message", message=f"raid {time.monotonic()}")
            await asyncio.sleep(1)

    raids = [asyncio.create_task(raid(raider, number)) for number, raider in enumerate(raiders)]
    for _ in range(RAIDERS * 2):
        await chair.wait_for("chat_message")
    await chair.send("moderation_action", action="shield", on=True, nonce="s")
    own = await chair.wait_for("room_policy", nonce="s")
    await asyncio.sleep(4)
    is_over.set()
    await asyncio.gather(*raids)
    for raider in raiders:
        refusals = of_type(await raider.frames_before_pong(), "error")
        assert "read_only" in {refusal["code"] for refusal in refusals}
    told_at = datetime.fromisoformat(own["timestamp"])
    for client in (chair, viewer):
        await client.frames_before_pong()
        stamps = [message["timestamp"] for message in of_type(client.seen, "chat_message")]
        assert len(stamps) >= RAIDERS * 2
        silent_after_s = (datetime.fromisoformat(max(stamps)) - told_at).total_seconds()
        print(f"{len(stamps)} messages of the raid; the last one {silent_after_s:.3f} s behind the shield")  # noqa: T201
        assert silent_after_s < 1
