"""Rooms that are too hot to read: viewers are shown so many messages a second, the same on every edge."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import pytest_asyncio
from chat_client import Client, Frame, Person, Visitors, change_policy, of_type, person
from salon_processes import Salon

LIMIT = 5
AUTHORS = 10
EACH = 5
END = "the end"


async def come(guests: Visitors, pair: Salon, room: str, number: int) -> Client:
    """A new user, on one of the two edges."""
    return await guests.join(room, person(f"user{number}", "user"), ws=pair.edges[number % 2].ws)


async def shout(authors: Sequence[Client]) -> None:
    """All at once, as fast as they can, without waiting for anything."""
    for number in range(EACH):
        await asyncio.gather(
            *(one.send("chat_message", message=f"{one.name} {number}", nonce=f"n{number}") for one in authors)
        )


def chain(seen: Sequence[Frame], last_id: int) -> list[Frame]:
    """What came with a prev_id, each of which has to lead to the one before it."""
    shown = [data for data in seen if "prev_id" in data]
    for data in shown:
        assert data["prev_id"] <= last_id < data["id"], (last_id, data)
        last_id = data["id"]
    return shown


async def up_to_end(client: Client) -> list[Frame]:
    """The messages that a client is shown up to the last one."""
    return of_type(await client.collect_until("chat_message", message=END), "chat_message")


@dataclass(frozen=True, slots=True)
class Burst:
    """Fifty messages at once, over two edges, and what an admin said then."""

    authors: list[Client]
    viewers: list[Client]
    began_at: int
    everything: list[Frame]
    """As the admin was shown it."""


@pytest_asyncio.fixture
async def burst(guests: Visitors, pair: Salon, room: str, admin: Person) -> Burst:
    """In a room with a limit."""
    chair = await guests.join(room, admin)
    viewers = [await come(guests, pair, room, number) for number in range(2)]
    authors = [await come(guests, pair, room, number) for number in range(AUTHORS)]
    told = await change_policy(chair, max_shown_per_second=LIMIT)
    assert told["policy"]["max_shown_per_second"] == LIMIT
    for client in (*viewers, *authors):
        await client.wait_for("room_policy")
    await shout(authors)
    everything = [await chair.wait_for("chat_message") for _ in range(AUTHORS * EACH)]
    return Burst(authors, viewers, told["id"], [*everything, await chair.say(END)])


async def test_a_burst_over_two_edges_is_the_same_few_messages_a_second_for_every_viewer(burst: Burst) -> None:
    seen = [await up_to_end(viewer) for viewer in burst.viewers]
    assert seen[0] == seen[1]
    assert chain(seen[0], burst.began_at) == seen[0]
    assert seen[0][-1]["message"] == END
    by_second = [(data["timestamp"][:19], data["user_id"]) for data in seen[0][:-1]]
    assert max(Counter(second for second, _ in by_second).values()) <= LIMIT
    assert len(set(by_second)) == len(by_second)
    assert sum(data.get("skipped", 0) for data in seen[0]) == len(burst.everything) - len(seen[0])


async def test_moderators_are_shown_all_of_a_burst_and_authors_all_of_their_own(burst: Burst) -> None:
    assert chain(burst.everything, burst.began_at) == burst.everything
    assert all(after["prev_id"] == before["id"] for before, after in pairwise(burst.everything))
    shown = await up_to_end(burst.viewers[0])
    for author in burst.authors:
        theirs = await up_to_end(author)
        own = [data for data in theirs if data["username"] == author.name]
        assert [data["nonce"] for data in own] == [f"n{number}" for number in range(EACH)]
        assert [data["id"] for data in chain(theirs, burst.began_at)] == [data["id"] for data in shown]
        others = [data["id"] for data in theirs if data["username"] != author.name]
        assert others == [data["id"] for data in shown if data["username"] != author.name]


async def test_history_and_replay_have_what_was_not_shown(
    guests: Visitors, pair: Salon, room: str, burst: Burst
) -> None:
    viewer, everything = burst.viewers[0], [data["id"] for data in burst.everything]
    shown = await up_to_end(viewer)
    await viewer.send("history", limit=100)
    assert [data["id"] for data in (await viewer.wait_for("history"))["messages"]] == everything
    since = shown[1]["id"]
    path = f"{room}?since={since}&epoch={viewer.joined['epoch']}"
    back = await guests.join(path, person("back"), ws=pair.edges[1].ws)
    assert (back.joined["recovered"], back.joined["last_id"]) == (True, everything[-1])
    assert [data["id"] for data in await up_to_end(back)] == [number for number in everything if number > since]


async def test_an_edge_that_opens_the_room_in_the_middle_of_a_burst_shows_what_the_others_show(
    guests: Visitors, pair: Salon, room: str, admin: Person
) -> None:
    chair = await guests.join(room, admin)
    viewer = await guests.join(room, person("viewer"))
    authors = [await guests.join(room, person(f"user{number}")) for number in range(AUTHORS)]
    told = await change_policy(chair, max_shown_per_second=LIMIT)
    await viewer.wait_for("room_policy")
    burst = asyncio.create_task(shout(authors))
    late = await guests.join(room, person("late"), ws=pair.edges[1].ws)
    await burst
    for _ in range(AUTHORS * EACH):
        await chair.wait_for("chat_message")
    await chair.say(END)
    first_id = late.joined["last_id"]
    shown, begun = chain(await up_to_end(viewer), told["id"]), chain(await up_to_end(late), first_id)
    assert [data["id"] for data in begun] == [data["id"] for data in shown if data["id"] > first_id]


async def test_a_message_that_nothing_follows_is_shown_when_its_second_is_over(
    guests: Visitors, pair: Salon, room: str, admin: Person, ana: Person
) -> None:
    chair = await guests.join(room, admin)
    viewer, author = await guests.join(room, person("viewer"), ws=pair.edges[1].ws), await guests.join(room, ana)
    await change_policy(chair, max_shown_per_second=200)
    assert (await author.say("hello?"))["prev_id"] == (await viewer.wait_for("room_policy"))["id"]
    assert (await viewer.wait_for("chat_message", within_s=3))["message"] == "hello?"
    await change_policy(chair, max_shown_per_second=0)
    for text in ("one", "two"):
        said = await author.say(text)
        assert await viewer.wait_for("chat_message") == said


async def test_who_is_mentioned_is_shown_what_others_are_not(
    guests: Visitors, pair: Salon, room: str, admin: Person
) -> None:
    chair = await guests.join(room, admin)
    ben = await guests.join(room, person("Ben", "user"), ws=pair.edges[1].ws)
    author = await guests.join(room, person("eager", "user"))
    await change_policy(chair, max_shown_per_second=LIMIT)
    for number in range(9):
        await author.send("chat_message", message=f"@ben, {number}")
    for _ in range(9):
        await chair.wait_for("chat_message")
    await chair.say(END)
    assert [data["message"] for data in await up_to_end(ben)] == [*(f"@ben, {number}" for number in range(9)), END]


async def test_fewer_than_five_a_second_are_no_policy(guests: Visitors, room: str, admin: Person) -> None:
    chair = await guests.join(room, admin)
    for wrong in (1, 4, 201):
        await chair.send_wrong("moderation_action", action="policy", changes={"max_shown_per_second": wrong})
        await chair.expect_error("Invalid message format", "invalid_format")
