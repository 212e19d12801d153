"""Coming back without loss, and older messages, over real sockets, services and stream."""

import asyncio
import signal
from typing import Any

import pytest
from chat_client import OWNS, Client, Person, Visitors, of_type, person
from salon_processes import Edge, Salon


def place(room: str, client: Client, since: int | None = None) -> str:
    """The address of somebody who comes back to where this client is."""
    return f"{room}?since={client.joined['last_id'] if since is None else since}&epoch={client.joined['epoch']}"


async def until_said(client: Client, message: str) -> list[dict[str, Any]]:
    """The messages up to this one."""
    return of_type(await client.collect_until("chat_message", message=message), "chat_message")


async def test_who_comes_back_is_shown_what_was_said_meanwhile_and_then_what_is_live(
    visitors: Visitors, second_edge: Edge, room: str, ana: Person, bob: Person
) -> None:
    here = await visitors.join(room, ana)
    there = await visitors.join(room, bob)
    seen = (await here.say("before"))["id"]
    await there.wait_for("chat_message", message="before")
    await there.leave()
    ids = [(await here.say(f"missed {number}"))["id"] for number in range(5)]
    for ws in (None, second_edge.ws):  # the epoch is the same on every edge
        again = await visitors.connect(f"/chat/ws/room/{place(room, there, seen)}", bob, ws=ws)
        joined = await again.expect("room_joined")
        assert (joined["recovered"], joined["last_id"]) == (True, ids[-1])
        missed = [await again.expect("chat_message") for _ in ids]
        assert [(m["prev_id"], m["id"]) for m in missed] == list(zip([seen, *ids[:-1]], ids, strict=True))
        ids.append((await here.say(f"live on {ws}"))["id"])
        live = await again.wait_for("chat_message")
        assert (live["prev_id"], live["id"]) == (ids[-2], ids[-1])
        await again.leave()


@pytest.mark.slow
async def test_who_is_cut_off_again_and_again_while_others_talk_sees_every_message_once_and_in_order(
    visitors: Visitors, second_edge: Edge, room: str, ana: Person, bob: Person
) -> None:
    """The sender sends with a nonce until it has its own copy, as the protocol says."""
    speaker = await visitors.join(room, ana)
    listener = await visitors.join(room, bob)
    heard: list[int] = []
    last, epoch = listener.joined["last_id"], listener.joined["epoch"]
    total = 40

    async def talk() -> None:
        for number in range(total):
            while True:
                await speaker.send("chat_message", message=f"m{number}", nonce=f"n{number}")
                frames = await speaker.collect_until_any("chat_message", "error")
                if frames[-1]["type"] == "chat_message":
                    break
                await asyncio.sleep(frames[-1]["data"].get("retry_after_ms", 100) / 1000)

    talking = asyncio.create_task(talk())
    turn = 0
    async with asyncio.timeout(120):
        while len(heard) < total:
            message = await listener.wait_for("chat_message", within_s=60)
            assert message["prev_id"] <= last < message["id"]
            heard.append(int(message["message"][1:]))
            last = message["id"]
            if len(heard) % 4 == 0:
                listener.vanish()
                turn += 1
                ws = second_edge.ws if turn % 2 else None
                listener = await visitors.connect(f"/chat/ws/room/{room}?since={last}&epoch={epoch}", bob, ws=ws)
                assert (await listener.expect("room_joined"))["recovered"] is True
    await talking
    assert heard == list(range(total))


async def test_who_asks_for_another_log_is_told_that_nothing_was_recovered(
    visitors: Visitors, room: str, ana: Person, bob: Person
) -> None:
    here = await visitors.join(room, ana)
    await here.say("one")
    for query in ("since=0&epoch=1.2.3", "since=0", "since=abc&epoch=" + here.joined["epoch"]):
        again = await visitors.connect(f"/chat/ws/room/{room}?{query}", bob)
        assert (await again.expect("room_joined"))["recovered"] is False
        assert of_type(await again.frames_before_pong(), "chat_message") == []


async def next_life(visitors: Visitors, room: str, before: Client, who: Person) -> Client:
    """Somebody who comes into a room that everybody has left, with nothing to show."""
    async with asyncio.timeout(30):
        while True:
            client = await visitors.join(room, who)
            if client.joined["epoch"] != before.joined["epoch"]:  # the last leave was committed before this join
                return client
            await client.leave()


async def test_another_life_of_a_room_has_another_epoch_and_gives_nothing_of_the_one_before(
    visitors: Visitors, room: str, ana: Person, bob: Person
) -> None:
    first = await visitors.join(room, ana)
    await first.say("gone")
    await first.leave()
    await next_life(visitors, room, first, bob)
    second = await visitors.connect(f"/chat/ws/room/{place(room, first, 0)}", ana)
    joined = await second.expect("room_joined")
    assert joined["epoch"] != first.joined["epoch"]
    assert (joined["recovered"], of_type(await second.frames_before_pong(), "chat_message")) == (False, [])


async def test_history_gives_older_messages_in_pages_to_the_one_who_asks(
    visitors: Visitors, room: str, ana: Person, bob: Person
) -> None:
    here, there = await visitors.join(room, ana), await visitors.join(room, bob)
    ids = [(await here.say(f"m{number}"))["id"] for number in range(7)]
    await there.wait_for("chat_message", message="m6")
    pages: list[list[str]] = []
    before: dict[str, int] = {}
    while True:
        await there.send("history", limit=3, **before)
        page = await there.wait_for("history")
        pages.append([message["message"] for message in page["messages"]])
        if not page["has_more"]:
            break
        before = {"before": page["messages"][0]["id"]}
    assert pages == [["m4", "m5", "m6"], ["m1", "m2", "m3"], ["m0"]]
    await there.send("history")
    (message, *_) = (await there.wait_for("history"))["messages"]
    assert message | {"timestamp": ""} == {
        "id": ids[0],
        "message": "m0",
        "username": ana.username,
        "user_id": ana.user_id,
        "timestamp": "",
        "room_id": here.joined["room_id"],
        "role": "user",
    }
    assert of_type(await here.frames_before_pong(), "history") == []


async def test_a_message_carries_what_it_answers_to_and_the_role_of_its_author(
    visitors: Visitors, room: str, admin: Person, bob: Person
) -> None:
    chair, reader, nobody = [await visitors.join(room, who) for who in (admin, bob, None)]
    first = await chair.say("first")
    assert first["role"] == "admin"
    await reader.send("chat_message", message="second", reply_to=first["id"])
    second = await chair.wait_for("chat_message", message="second")
    assert (second["reply_to"], second["role"]) == (first["id"], "user")
    await nobody.send("chat_message", message="third")
    assert (await chair.wait_for("chat_message", message="third"))["role"] is None


async def test_room_joined_says_who_one_is_and_what_one_may_do(
    visitors: Visitors, room: str, admin: Person, bob: Person
) -> None:
    chair = await visitors.join(room, admin)
    assert chair.joined["you"] == {
        "user_id": admin.user_id,
        "username": admin.username,
        "roles": ["admin"],
        "may": ["write", *OWNS, "everywhere"],
        "blocked": [],
    }
    reader = await visitors.join(room, bob)
    assert (reader.joined["you"]["may"], "muted_until" in reader.joined["you"]) == (["write"], False)
    await chair.send("moderation_action", action="mute", target_user_id=bob.user_id)
    await reader.wait_for("moderation_action")
    muted = await visitors.join(room, bob)
    assert (muted.joined["you"]["may"], muted.joined["you"]["muted_until"]) == ([], None)
    nobody = await visitors.join(room, None)
    assert (nobody.joined["you"]["user_id"], nobody.joined["you"]["roles"]) == (None, [])


async def test_fifty_who_come_back_at_once_are_each_given_what_they_missed(
    visitors: Visitors, room: str, ana: Person
) -> None:
    here = await visitors.join(room, ana)
    ids = [(await here.say(f"m{number}"))["id"] for number in range(8)]
    clients = await asyncio.gather(
        *(visitors.connect(f"/chat/ws/room/{place(room, here, ids[n % 4])}", person(f"p{n}")) for n in range(50))
    )
    for number, client in enumerate(clients):
        assert (await client.expect("room_joined"))["recovered"] is True
        expected = ids[number % 4 + 1 :]
        assert [(await client.expect("chat_message"))["id"] for _ in expected] == expected


async def test_a_room_whose_only_edge_is_restarted_lives_on_for_those_who_come_back(
    salon: Salon, visitors: Visitors, room: str, ana: Person, bob: Person
) -> None:
    """Nobody is announced who was sent away and comes back, and nothing that was said is lost."""
    restarted = salon.start_edge()
    first, second = [await visitors.join(room, who, ws=restarted.ws) for who in (ana, bob)]
    said = await first.say("before the restart")
    await second.wait_for("chat_message", id=said["id"])
    restarted.process.signal(signal.SIGTERM)
    assert [await first.closed(), await second.closed()] == [1012, 1012]
    back = await visitors.join(place(room, first, said["id"]), ana)
    assert (back.joined["epoch"], back.joined["recovered"]) == (first.joined["epoch"], True)
    again = await visitors.join(place(room, second, said["id"]), bob)
    assert again.joined["recovered"] is True
    await again.say("as if nothing had been")
    frames = await back.collect_until("chat_message")
    assert {frame["type"] for frame in frames} == {"chat_message"}


async def test_a_room_that_everybody_has_left_goes_on_for_who_shows_its_epoch_within_a_minute(
    visitors: Visitors, room: str, ana: Person
) -> None:
    first = await visitors.join(room, ana)
    said = await first.say("to be continued")
    await first.leave()
    back = await visitors.join(place(room, first, said["id"] - 1), ana)
    assert (back.joined["epoch"], back.joined["recovered"]) == (first.joined["epoch"], True)
    assert (await back.expect("chat_message"))["id"] == said["id"]
    assert (await back.say("continued"))["prev_id"] == said["id"]
