"""The rate limit: ten messages of a user in any ten seconds, over connections and rooms."""

import asyncio

from chat_client import Person, Visitors, of_type
from slow_stories import Stories

LIMITED = ("Rate limit exceeded", "rate_limited")


async def test_the_eleventh_message_in_10_seconds_is_refused_and_says_how_long_to_wait(
    visitors: Visitors, room: str, ana: Person, bob: Person
) -> None:
    client, other = await visitors.join(room, ana), await visitors.join(room, bob)
    for number in range(10):
        await client.say(f"{number}")
    await client.send("chat_message", message="eleven", nonce="e11")
    data = await client.expect_error(*LIMITED, nonce="e11")
    assert 0 < data["retry_after_ms"] <= 10_000
    await other.say("others are not limited")
    frames = await client.collect_until("chat_message", message="others are not limited")
    assert "eleven" not in [m["message"] for m in of_type(frames, "chat_message")]


async def test_the_limit_is_counted_over_all_connections_and_rooms_of_a_user(
    visitors: Visitors, room: str, ana: Person
) -> None:
    clients = [await visitors.join(f"{room}-{n % 2}", ana) for n in range(4)]
    for number in range(12):
        await clients[number % 4].send("chat_message", message=f"{number}")
    outcomes = []
    for client in clients:
        frames = await client.frames_before_pong()
        while (
            sum(f["type"] == "error" for f in frames)
            + sum(
                f["type"] == "chat_message" and int(f["data"]["message"]) % 4 == clients.index(client) for f in frames
            )
            < 3
        ):
            frames.append(await client.receive())
        outcomes += [f["data"]["message"] for f in frames if f["type"] == "error"]
    assert outcomes == ["Rate limit exceeded"] * 2


async def test_a_refused_message_does_not_count_and_neither_does_an_empty_one(
    visitors: Visitors, room: str, ana: Person
) -> None:
    client = await visitors.join(room, ana)
    for _ in range(15):
        await client.send("chat_message", message=" ")
        await client.expect_error("Message cannot be empty", "message_empty")
    for number in range(10):
        await client.say(f"{number}")


async def test_the_limit_survives_leaving_and_coming_back(visitors: Visitors, room: str, ana: Person) -> None:
    client = await visitors.join(room, ana)
    for number in range(10):
        await client.say(f"{number}")
    await client.leave()
    back = await visitors.join(f"{room}-2", ana)
    await back.send("chat_message", message="fresh start?")
    await back.expect_error(*LIMITED)


async def test_the_window_slides_and_the_limit_ends_when_retry_after_ms_says(stories: Stories) -> None:
    outcome = await stories.outcome("sliding_window")
    assert outcome["refusal"]["message"] == "Rate limit exceeded"
    assert outcome["then"] == "chat_message"
    assert outcome["waited_s"] <= 11


async def test_anonymous_users_have_ten_messages_a_connection_and_100_an_address(
    visitors: Visitors, room: str, address: str
) -> None:
    clients = [await visitors.join(f"{room}-{n}", address=address) for n in range(11)]
    for client in clients[:10]:
        for number in range(10):
            await client.send("chat_message", message=f"{number}")
    for client in clients[:10]:
        await client.wait_for("chat_message", message="9")
        assert of_type(client.seen, "error") == []
    await clients[0].send("chat_message", message="eleventh of a connection")
    await clients[0].expect_error(*LIMITED)
    await clients[10].send("chat_message", message="101st of the address")
    await clients[10].expect_error(*LIMITED)


async def test_a_burst_of_many_messages_admits_exactly_ten(visitors: Visitors, room: str, ana: Person) -> None:
    client = await visitors.join(room, ana)
    await asyncio.gather(*(client.send("chat_message", message=f"{n}") for n in range(30)))
    frames = [await client.receive() for _ in range(30)]
    assert len(of_type(frames, "chat_message")) == 10
    assert {e["message"] for e in of_type(frames, "error")} == {"Rate limit exceeded"}
