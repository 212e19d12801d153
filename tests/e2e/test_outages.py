"""Outages: every process killed and back, a dead edge, a drain."""

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from chat_client import Client, Person, Visitors, act_until, of_type, person
from salon_processes import Salon, readiness
from slow_stories import Stories


@pytest_asyncio.fixture
async def guests(frail: Salon) -> AsyncIterator[Visitors]:
    """Visitors of the Salon whose parts are killed."""
    opened = Visitors(frail.edges[0].ws)
    yield opened
    await opened.close()


async def say_until_heard(client: Client, message: str) -> None:
    """Send again, with the same nonce, until the message has its outcome."""
    async with asyncio.timeout(20):
        while True:
            await client.send("chat_message", message=message, nonce=f"until-{message}"[:64])
            frames = await client.collect_until_any("error", "chat_message")
            if frames[-1]["type"] == "chat_message":
                return
            await asyncio.sleep(0.2)


async def join_when_possible(visitors: Visitors, room: str, who: Person) -> Client:
    """Join as a frontend does that was told `Service unavailable`: again after a moment."""
    async with asyncio.timeout(20):
        while True:
            client = await visitors.connect(f"/chat/ws/room/{room}", who)
            frame = await client.receive()
            if frame["type"] == "room_joined":
                client.joined = frame["data"]
                return client
            assert frame["data"]["message"] == "Service unavailable"
            assert await client.closed() == 1013
            await asyncio.sleep(0.2)


async def test_moderation_away_those_inside_go_on_with_the_edges_own_limiter_and_joins_elsewhere_get_1013(
    frail: Salon, guests: Visitors, room: str, ana: Person, bob: Person
) -> None:
    moderator = person("Mo", "moderator")
    inside, other = await guests.join(room, ana), await guests.join(room, bob)
    chair = await guests.join(room, moderator)
    muted = person("muted")
    silent = await guests.join(room, muted)
    await chair.send("moderation_action", action="mute", target_user_id=muted.user_id)
    await chair.wait_for("moderation_action")
    frail.moderation.kill()
    for number in range(10):
        await inside.say(f"without moderation {number}")
    await inside.send("chat_message", message="eleven")
    await inside.expect_error("Rate limit exceeded", "rate_limited")
    await silent.send("chat_message", message="am I still muted?")
    await silent.expect_error("You are muted or banned", "muted_or_banned")
    await other.wait_for("chat_message", message="without moderation 9")
    assert of_type(await other.frames_before_pong(), "error") == []
    newcomer = await guests.join(room, person("newcomer"))  # its sanctions were read within 60 s
    await newcomer.say("came in meanwhile")
    await (await guests.connect(f"/chat/ws/room/{room}-unknown", person("x"))).refused("Service unavailable", 1013)
    await chair.send("moderation_action", action="mute", target_user_id=bob.user_id)
    assert (await chair.wait_for("error", 10))["message"] == "Service unavailable"
    frail.moderation.start()
    await join_when_possible(guests, f"{room}-unknown", person("y"))
    await say_until_heard(other, "moderation is back")
    await silent.send("chat_message", message="and now?")
    await silent.expect_error("You are muted or banned", "muted_or_banned")


async def test_rooms_away_those_inside_go_on_and_new_joins_get_1013(
    frail: Salon, guests: Visitors, room: str, ana: Person, bob: Person
) -> None:
    inside, other = await guests.join(room, ana), await guests.join(room, bob)
    room_id = inside.joined["room_id"]
    frail.rooms.kill()
    await inside.say("without rooms")
    await other.wait_for("chat_message", message="without rooms")
    await (await guests.connect(f"/chat/ws/room/{room}", person("late"))).refused("Service unavailable", 1013)
    frail.rooms.start()
    back = await join_when_possible(guests, room, person("later"))
    assert back.joined["room_id"] == room_id
    assert back.joined["connection_count"] == 3
    await other.wait_for("user_joined", username="later")
    await inside.leave()
    await other.wait_for("user_left", user_id=ana.user_id)


async def test_rooms_away_who_is_renewed_is_answered_and_moderators_elsewhere_obey_the_new_rank_when_it_is_back(
    frail: Salon, guests: Visitors, room: str, ana: Person
) -> None:
    inside = await guests.join(room, ana)
    chair = await guests.join(room, person("Mo", "moderator"), ws=frail.edges[1].ws)
    frail.rooms.kill()
    await inside.send("authenticate", token=person(ana.username, "admin", user_id=ana.user_id).token)
    await inside.wait_for("authenticated")
    frail.rooms.start()
    await act_until(chair, "error", action="mute", target_user_id=ana.user_id)


async def test_nats_away_senders_are_told_unavailable_stay_connected_and_go_on_when_it_is_back(
    frail: Salon, guests: Visitors, room: str, ana: Person, bob: Person
) -> None:
    inside, other = await guests.join(room, ana), await guests.join(room, bob)
    await inside.say("before")
    frail.nats.kill()
    await inside.send("chat_message", message="into the void", nonce="void")
    await inside.expect_error("Service unavailable", "unavailable", nonce="void")
    assert of_type(await inside.frames_before_pong(), "error") == []
    frail.nats.start()
    await say_until_heard(inside, "after")
    await other.wait_for("chat_message", 10, message="after")
    third = await join_when_possible(guests, room, person("third"))
    assert third.joined["connection_count"] == 3
    await other.wait_for("user_joined", 10, username="third")


async def test_nats_away_presence_missed_meanwhile_is_announced_when_it_is_back(
    frail: Salon, guests: Visitors, room: str, ana: Person, bob: Person
) -> None:
    watcher, leaver = await guests.join(room, ana), await guests.join(room, bob)
    await watcher.wait_for("user_joined", user_id=bob.user_id)
    frail.nats.kill()
    await leaver.leave()
    frail.nats.start()
    await watcher.wait_for("user_left", 15, user_id=bob.user_id)


async def test_an_edge_killed_without_a_word_has_its_members_removed_within_15_seconds(stories: Stories) -> None:
    outcome = await stories.outcome("dead_edge")
    assert outcome["left_s"] <= 15
    assert outcome["counts"] == {"watched": 2, "lonely": 1}


async def test_an_edge_that_was_only_cut_off_registers_again_and_keeps_room_and_life(stories: Stories) -> None:
    outcome = await stories.outcome("frozen_edge")
    assert len(outcome["room_ids"]) == 1
    assert outcome["count"] == 3


async def test_a_draining_edge_takes_nobody_new(frail: Salon, guests: Visitors, room: str, bob: Person) -> None:
    leaving = frail.start_edge({"WS_EDGE_DRAIN_SECONDS": "4"})
    inside = [await guests.join(room, person(f"i{n}"), ws=leaving.ws) for n in range(5)]
    leaving.process.signal(signal.SIGTERM)
    assert await inside[0].closed() == 1012
    for path in (f"/chat/ws/room/{room}", "/chat/ws/video/1", "/live/ws"):
        await (await guests.connect(path, bob, ws=leaving.ws)).refused("Service unavailable", 1012)
    status, body = await asyncio.to_thread(readiness, leaving)
    assert (status, json.loads(body)["failing"]) == (503, ["draining"])
    assert await inside[-1].closed() == 1012
    assert await asyncio.to_thread(leaving.process.wait) == 0
    with pytest.raises(ConnectionRefusedError):
        await guests.connect(f"/chat/ws/room/{room}", bob, ws=leaving.ws)


@pytest.mark.slow
async def test_sigterm_drains_clients_are_told_1012_memberships_released_and_the_process_exits_with_0(
    frail: Salon, guests: Visitors, room: str, ana: Person
) -> None:
    leaving = frail.start_edge({"WS_EDGE_DRAIN_SECONDS": "1"})
    watcher = await guests.join(room, ana)
    clients = [await guests.join(room, person(f"d{n}"), ws=leaving.ws) for n in range(10)]
    live = await guests.connect("/live/ws", ws=leaving.ws)
    began = time.monotonic()
    leaving.process.signal(signal.SIGTERM)
    codes = await asyncio.gather(*(client.closed() for client in [*clients, live]))
    assert codes == [1012] * 11
    assert await asyncio.to_thread(leaving.process.wait) == 0
    assert time.monotonic() - began < 8
    for number in range(10):
        assert f"d{number}" in {d["username"] for d in of_type(await _left(watcher, 10), "user_left")}
    assert (await guests.join(room, person("after"))).joined["connection_count"] == 2


async def _left(watcher: Client, wanted: int) -> list[dict[str, object]]:
    """The user_left frames, once all came."""
    while len(of_type(watcher.seen, "user_left")) < wanted:
        await watcher.wait_for("user_left", 25)  # they were expected back for 15 s
    return watcher.seen


@pytest.mark.slow
async def test_moderation_away_with_outage_reject_refuses_messages(
    frail: Salon, guests: Visitors, room: str, ana: Person
) -> None:
    strict = frail.start_edge({"WS_EDGE_MODERATION_OUTAGE": "reject"})
    inside = await guests.join(room, ana, ws=strict.ws)
    await inside.say("fine")
    frail.moderation.kill()
    outcome, number = "chat_message", 0
    # What moderation had lent the edge holds until the edge has noticed that it is gone; the limit is ten.
    while outcome == "chat_message" and number < 8:
        number += 1
        await inside.send("chat_message", message="lent", nonce=f"l{number}")
        outcome = (await inside.collect_until_any("error", "chat_message"))[-1]["type"]
        await asyncio.sleep(0.2)
    await inside.send("chat_message", message="refused", nonce="r")
    await inside.expect_error("Service unavailable", "unavailable", nonce="r")
    await inside.send("ping")
    await inside.wait_for("pong")
    frail.moderation.start()
    await say_until_heard(inside, "fine again")
