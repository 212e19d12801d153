"""The policy of a room: over two edges and two replicas of moderation, on PostgreSQL."""

import asyncio
import time
from datetime import datetime
from itertools import count, pairwise

import pytest
import salon_processes
from chat_client import OWNS, STAMP, Client, Person, Visitors, change_policy, in_an_hour, mint, person
from salon_processes import Salon

DEFAULTS = {
    "version": 0,
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
    "shield": None,
}
SLOW = ("Slow mode", "slow_mode")
READ_ONLY = ("The room is read-only", "read_only")
REFUSALS_WITHIN_S = 10
"""Within which 50 refused frames close a connection."""
_nonces = count(1)


async def test_room_policy_is_told_to_everybody_in_the_order_of_the_log_and_kept_across_lives(
    guests: Visitors, pair: Salon, room: str, admin: Person, moderator: Person, ana: Person
) -> None:
    chair, there = await guests.join(room, admin), await guests.join(room, ana, ws=pair.edges[1].ws)
    assert there.joined["policy"] == DEFAULTS
    assert chair.joined["you"]["may"] == ["write", *OWNS, "everywhere"]
    said = await there.say("before")
    await chair.send("moderation_action", action="policy", changes={"slow_mode_seconds": 30}, reason="raid", nonce="p1")
    own, seen = await chair.wait_for("room_policy"), await there.wait_for("room_policy")
    assert own == {**seen, "nonce": "p1", "action_id": own["action_id"]}
    version = seen["policy"]["version"]
    assert seen["policy"] == {**DEFAULTS, "version": version, "slow_mode_seconds": 30}
    assert (seen["prev_id"], seen["moderator_user_id"]) == (said["id"], admin.user_id)
    assert STAMP.fullmatch(seen["timestamp"])
    await chair.send("moderation_action", action="policy", changes={"slow_mode_seconds": 60}, nonce="p1")
    assert await chair.wait_for("room_policy") == own
    late = await guests.join(room, moderator, ws=pair.edges[1].ws)
    assert late.joined["policy"] == seen["policy"]
    await late.send("moderation_action", action="policy", changes={"slow_mode_seconds": 0}, nonce="no")
    await late.expect_error("You do not have permission to moderate this room", "not_moderator", nonce="no")
    back = await guests.join(f"{room}?since={said['id']}&epoch={there.joined['epoch']}", moderator)
    assert back.joined["recovered"] is True
    assert (await back.wait_for("room_policy"))["id"] == seen["id"]
    for client in (chair, there, late, back):
        await client.leave()
    again = await guests.join(room, ana)
    while again.joined["epoch"] == there.joined["epoch"]:
        await again.leave()
        again = await guests.join(room, ana)
    assert again.joined["policy"] == seen["policy"]


async def test_a_nonce_sent_again_in_the_next_life_of_the_room_has_an_outcome(
    guests: Visitors, pair: Salon, room: str, admin: Person
) -> None:
    chair = await guests.join(room, admin)
    said = await chair.say("first life")
    await chair.send("moderation_action", action="delete", message_id=said["id"], nonce="d1")
    await chair.wait_for("message_deleted")
    await chair.send("moderation_action", action="policy", changes={"slow_mode_seconds": 30}, nonce="p1")
    first = await chair.wait_for("room_policy")
    epoch = chair.joined["epoch"]
    while chair.joined["epoch"] == epoch:
        await chair.leave()
        chair = await guests.join(room, admin, ws=pair.edges[1].ws)
    await chair.send("moderation_action", action="policy", changes={"slow_mode_seconds": 30}, nonce="p1")
    again = await chair.wait_for("room_policy")
    assert STAMP.fullmatch(again.pop("timestamp"))
    assert again == {name: value for name, value in first.items() if name not in ("prev_id", "timestamp")}
    await chair.send("moderation_action", action="delete", message_id=said["id"], nonce="d1")
    await chair.expect_error("Not found", "not_found", nonce="d1")
    await chair.leave()


async def test_read_only_nobody_anonymous_everyone_and_moderators_write_all_the_same(
    guests: Visitors, pair: Salon, room: str, admin: Person, moderator: Person, ana: Person
) -> None:
    chair, helper = await guests.join(room, admin), await guests.join(room, moderator, ws=pair.edges[1].ws)
    user, guest = await guests.join(room, ana, ws=pair.edges[1].ws), await guests.join(room)
    await change_policy(chair, read_only="anonymous")
    await guest.send("chat_message", message="no", nonce="n1")
    await guest.expect_error(*READ_ONLY, nonce="n1")
    await user.say("yes")
    await change_policy(chair, read_only="everyone")
    await user.send("chat_message", message="no", nonce="n2")
    await user.expect_error(*READ_ONLY, nonce="n2")
    await helper.say("moderators and above are exempt from all of it")
    await change_policy(chair, read_only="nobody")
    await guest.say("yes again")


async def test_members_only_min_account_minutes_and_min_follow_minutes_go_by_the_claims_of_the_token(
    guests: Visitors, pair: Salon, room: str, admin: Person, ana: Person
) -> None:
    now_s = int(time.time())
    claims = {"user_id": 4_999, "username": "old", "exp": in_an_hour(), "member": True}
    fitting = claims | {"account_created_at": now_s - 3_600, "following_since": now_s - 3_600}
    late = claims | {"user_id": 4_998, "account_created_at": now_s, "following_since": now_s}
    chair, member = await guests.join(room, admin), await guests.join(room, Person(4_999, "old", mint(fitting)))
    new = await guests.join(room, Person(4_998, "new", mint(late)), ws=pair.edges[1].ws)
    other, guest = await guests.join(room, ana), await guests.join(room)
    for changes, text, code in (
        ({"members_only": True}, "Members only", "members_only"),
        ({"members_only": False, "min_account_minutes": 60}, "Your account is too new", "account_too_new"),
        (
            {"min_account_minutes": 0, "min_follow_minutes": 60},
            "You have not followed for long enough",
            "follow_too_short",
        ),
    ):
        await change_policy(chair, **changes)
        await member.say(code)
        for client in (other, guest):
            await client.send("chat_message", message="no", nonce=code)
            await client.expect_error(text, code, nonce=code)
        await new.send("chat_message", message="perhaps", nonce=code)
        if code != "members_only":
            assert 0 < (await new.expect_error(text, code, nonce=code))["retry_after_ms"] <= 3_600_000


async def test_emote_only_and_max_length_judge_the_text(
    guests: Visitors, room: str, admin: Person, ana: Person
) -> None:
    chair, user = await guests.join(room, admin), await guests.join(room, ana)
    await change_policy(chair, emote_only=True, max_length=10)
    await user.say("👩\u200d💻 :wave:")
    await user.send("chat_message", message="hi 😀", nonce="n1")
    await user.expect_error("Emotes only", "emote_only", nonce="n1")
    await user.send("chat_message", message="😀" * 11, nonce="n2")
    await user.expect_error("Message too long", "message_too_long", nonce="n2")
    await chair.say("moderators and above are exempt from all of it")


async def test_links_are_refused(guests: Visitors, pair: Salon, room: str, admin: Person, ana: Person) -> None:
    chair, user = await guests.join(room, admin), await guests.join(room, ana, ws=pair.edges[1].ws)
    await change_policy(chair, links="refuse")
    await user.send("chat_message", message="see evil.com", nonce="n1")
    await user.expect_error("Links are not allowed", "links", nonce="n1")
    await user.say("no link in e.g. file.py")
    await chair.say("https://rules.example")
    await change_policy(chair, links="allow")
    await user.say("see good.com")


async def test_unique_lets_one_of_many_say_what_all_say_at_once_over_both_edges_and_replicas(
    guests: Visitors, pair: Salon, room: str, admin: Person
) -> None:
    """Whichever replicas are the homes of the people: the room's home judges the text."""
    chair = await guests.join(room, admin)
    await change_policy(chair, unique=True)
    people = [person(f"u{number}") for number in range(12)]
    clients = [await guests.join(room, who, ws=pair.edges[n % 2].ws) for n, who in enumerate(people)]
    for text in ("Hello everyone", "  HÉLLO\u200b  every\u00adone "):
        await asyncio.gather(*(client.send("chat_message", message=text, nonce=text) for client in clients))
    outcomes: list[tuple[str, str]] = []
    for client in clients:
        own: list[str] = []
        while len(own) < 2:
            frame = await client.receive(60)
            if frame["data"].get("nonce"):
                own.append(frame["data"]["nonce"])
                outcomes.append((frame["type"], frame["data"].get("code", "")))
                assert frame["type"] != "error" or 0 < frame["data"]["retry_after_ms"] <= 120_000
    assert sorted(outcomes) == [("chat_message", "")] + [("error", "duplicate")] * 23
    await clients[0].say("something else")
    await chair.say("hello everyone")
    await change_policy(chair, unique=False)
    await clients[1].say("Hello everyone")


@pytest.mark.parametrize(
    ("persons", "waves"),
    [pytest.param(10, 1, id="4,000 tries"), pytest.param(100, 3, id="100,000 tries", marks=pytest.mark.chaos)],
)
async def test_slow_mode_admits_none_too_early_of_thousands_of_tries_over_both_edges(
    guests: Visitors, pair: Salon, room: str, admin: Person, persons: int, waves: int
) -> None:
    """As many tries of a connection at once as do not close it. However slow the machine is: each has its outcome, and
    of one person no two admitted ones are closer than a second by the clock of the stream, give or take their way
    there. Ten people a room, who else would read most of the time."""
    people = [person(f"p{number}") for number in range(persons)]
    clients: list[Client] = []
    for number, who in enumerate(people):
        slug = f"{room}-{number // 10}"
        if number % 10 == 0:
            await change_policy(await guests.join(slug, admin), slow_mode_seconds=1)
        clients += [await guests.join(slug, who, ws=edge.ws) for edge in pair.edges for _ in range(5)]
    admitted: dict[int, dict[int, str]] = {who.user_id: {} for who in people}

    began_s, tried = time.monotonic(), 0
    each = [who for who in people for _ in range(10)]
    for wave in range(waves):
        if wave:
            await asyncio.sleep(REFUSALS_WITHIN_S)
        pairs = zip(clients, each, strict=True)
        presses = (_press(client, admitted[who.user_id], 40 if wave < 2 else 20) for client, who in pairs)
        tried += sum(await asyncio.gather(*presses))
    took_s = time.monotonic() - began_s
    assert tried == {1: 4_000, 3: 100_000}[waves]
    for stamps in admitted.values():
        assert waves <= len(stamps) <= 1 + took_s
        times = [datetime.fromisoformat(stamp) for _, stamp in sorted(stamps.items())]
        assert all((after - before).total_seconds() > 0.5 for before, after in pairwise(times)), times


async def test_a_message_that_is_refused_takes_no_place_and_retry_after_ms_is_right(
    guests: Visitors, pair: Salon, room: str, admin: Person, ana: Person
) -> None:
    chair = await guests.join(room, admin)
    await change_policy(chair, slow_mode_seconds=2)
    here, there = await guests.join(room, ana), await guests.join(room, ana, ws=pair.edges[1].ws)
    await here.say("first")
    await there.send("chat_message", message="too early", nonce="n")
    wait_ms = (await there.expect_error(*SLOW, nonce="n"))["retry_after_ms"]
    assert 0 < wait_ms <= 2_000
    await asyncio.sleep(wait_ms / 1000)
    await there.send("chat_message", message="in time", nonce="n")
    await here.wait_for("chat_message", message="in time")


async def test_slow_mode_is_kept_when_a_replica_is_replaced(
    guests: Visitors, pair: Salon, room: str, admin: Person
) -> None:
    chair = await guests.join(room, admin)
    await change_policy(chair, slow_mode_seconds=600)
    people = [person(f"r{number}") for number in range(8)]
    clients = [await guests.join(room, who, ws=pair.edges[n % 2].ws) for n, who in enumerate(people)]
    for client in clients:
        await client.say("once")
    for process in pair.moderation.members:
        process.kill()
        process.start()
        for edge in pair.edges:
            salon_processes.wait_until_ready(edge)
        for client in clients:
            await client.send("chat_message", message="twice")
            assert 0 < (await client.expect_error(*SLOW))["retry_after_ms"] <= 600_000


async def test_while_moderation_is_away_edges_go_by_the_policy_as_last_read(
    guests: Visitors, pair: Salon, room: str, admin: Person, ana: Person
) -> None:
    chair, user, guest = await guests.join(room, admin), await guests.join(room, ana), await guests.join(room)
    await change_policy(chair, slow_mode_seconds=600, read_only="anonymous")
    await user.say("once")
    pair.moderation.kill()
    try:
        await user.send("chat_message", message="twice", nonce="n1")
        await user.expect_error(*SLOW, nonce="n1")
        await guest.send("chat_message", message="no", nonce="n2")
        await guest.expect_error(*READ_ONLY, nonce="n2")
        await chair.say("exempt")
    finally:
        await asyncio.to_thread(pair.start_moderation)
    await user.send("chat_message", message="twice", nonce="n3")
    await user.expect_error(*SLOW, nonce="n3")


async def _press(client: Client, admitted: dict[int, str], tries: int) -> int:
    """Say so much at once; how many had an outcome. What was admitted is added, its time by its id."""
    for number in range(tries):
        await client.send("chat_message", message=f"{number}", nonce=f"t{next(_nonces)}")
    outcomes = 0
    while outcomes < tries:
        frame = await client.receive(60)
        if frame["type"] == "error":
            assert frame["data"]["message"] == "Slow mode"
            outcomes += 1
        elif frame["type"] == "chat_message" and "nonce" in frame["data"]:
            admitted[frame["data"]["id"]] = frame["data"]["timestamp"]
            outcomes += 1
    client.seen.clear()
    return outcomes
