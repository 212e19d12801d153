"""Rooms in which moderators see messages before viewers do: over two edges and two replicas of moderation."""

import signal
from datetime import UTC, datetime, timedelta

import pytest
from chat_client import Client, Frame, Person, Visitors, change_policy, of_type
from salon_processes import Salon

DELAY_S = 2
LONGEST_S = 6


def when(stamp: str) -> datetime:
    return datetime.fromisoformat(stamp)


async def delay(chair: Client, seconds: int = DELAY_S) -> Frame:
    """The moderator's own copy; it holds everywhere by then."""
    told = await change_policy(chair, delay_seconds=seconds)
    assert told["policy"]["delay_seconds"] == seconds
    return told


async def early(client: Client, message: str) -> Frame:
    """A copy before its time."""
    data = await client.wait_for("chat_message", message=message)
    assert "visible_at" in data
    assert "prev_id" not in data
    return data


async def in_turn(client: Client, message: str) -> Frame:
    """What everybody is shown, and when it came."""
    while "visible_at" in (data := await client.wait_for("chat_message", message=message)):
        pass
    assert datetime.now(UTC) >= when(data["timestamp"]) + timedelta(seconds=DELAY_S - 0.5)
    return data


async def test_viewers_of_both_edges_see_a_message_later_than_its_author_and_moderators_in_one_chain(
    guests: Visitors, pair: Salon, room: str, admin: Person, moderator: Person, ana: Person, bob: Person
) -> None:
    chair, helper = await guests.join(room, admin), await guests.join(room, moderator, ws=pair.edges[1].ws)
    author, viewer = await guests.join(room, ana), await guests.join(room, bob, ws=pair.edges[1].ws)
    told = await delay(chair)
    await author.send("chat_message", message="hello", nonce="n1")
    copies = [await early(client, "hello") for client in (author, chair, helper)]
    assert copies[0].pop("nonce") == "n1"
    assert copies[0] == copies[1] == copies[2]
    assert when(copies[0]["visible_at"]) == when(copies[0]["timestamp"]) + timedelta(seconds=DELAY_S)
    await chair.say("behind it")
    seen = [[await in_turn(client, text) for text in ("hello", "behind it")] for client in (viewer, author, helper)]
    assert seen[0] == seen[1] == seen[2]
    first, second = seen[0]
    assert (first["prev_id"], second["prev_id"]) == (told["id"], first["id"])
    assert {name: first[name] for name in first if name != "prev_id"} == {
        name: copies[1][name] for name in copies[1] if name != "visible_at"
    }
    await delay(chair, 0)
    assert "visible_at" not in await author.say("at once")
    await viewer.wait_for("chat_message", message="at once")


async def test_what_is_deleted_meanwhile_viewers_never_see(
    guests: Visitors, pair: Salon, room: str, admin: Person, ana: Person, bob: Person
) -> None:
    chair, author = await guests.join(room, admin), await guests.join(room, ana, ws=pair.edges[1].ws)
    viewer = await guests.join(room, bob, ws=pair.edges[1].ws)
    told = await delay(chair, LONGEST_S)
    await author.send("chat_message", message="my password is 1234")
    await author.send("chat_message", message="oh no")
    secret = await early(chair, "my password is 1234")
    await chair.send("moderation_action", action="delete", message_id=secret["id"], nonce="d")
    deleted = await chair.wait_for("message_deleted", nonce="d")
    assert "prev_id" not in deleted
    await author.wait_for("message_deleted", message_id=secret["id"])
    kept = await viewer.wait_for("chat_message", message="oh no", within_s=LONGEST_S + 8)
    assert kept["prev_id"] == told["id"]
    assert (await viewer.wait_for("message_deleted"))["prev_id"] == kept["id"]
    assert "1234" not in str(viewer.seen)
    await viewer.send("history")
    assert "1234" not in str(await viewer.wait_for("history"))


async def test_who_comes_on_another_edge_while_something_waits_sees_it_in_its_time_and_once(
    guests: Visitors, pair: Salon, room: str, admin: Person, ana: Person, bob: Person
) -> None:
    chair, author = await guests.join(room, admin), await guests.join(room, ana)
    told = await delay(chair, LONGEST_S)
    await author.send("chat_message", message="soon", nonce="n1")
    waiting = await early(author, "soon")
    newcomer = await guests.join(room, bob, ws=pair.edges[1].ws)  # which held the room no longer, or never
    second_tab = await guests.join(room, ana, ws=pair.edges[1].ws)
    assert newcomer.joined["last_id"] == second_tab.joined["last_id"] == told["id"]
    assert (await early(second_tab, "soon"))["visible_at"] == waiting["visible_at"]
    await newcomer.send("history")
    assert (await newcomer.wait_for("history"))["messages"] == []
    await author.send("chat_message", message="soon", nonce="n1")
    assert (await early(author, "soon"))["id"] == waiting["id"]
    shown = await newcomer.wait_for("chat_message", message="soon", within_s=LONGEST_S + 8)
    assert (shown["prev_id"], "visible_at" in shown) == (told["id"], False)
    assert datetime.now(UTC) >= when(shown["timestamp"]) + timedelta(seconds=LONGEST_S - 0.5)
    assert len(of_type(newcomer.seen, "chat_message")) == 1
    await newcomer.send("history")
    assert [one["message"] for one in (await newcomer.wait_for("history"))["messages"]] == ["soon"]


@pytest.mark.slow
async def test_an_edge_that_is_killed_meanwhile_shows_nothing_early_nothing_twice_and_forgets_nothing(
    visitors: Visitors, salon: Salon, room: str, admin: Person, ana: Person, bob: Person
) -> None:
    edge = salon.start_edge()
    chair, author = await visitors.join(room, admin, ws=edge.ws), await visitors.join(room, ana, ws=edge.ws)
    viewer = await visitors.join(room, bob, ws=edge.ws)
    told = await delay(chair, LONGEST_S)
    await viewer.wait_for("room_policy")
    await author.send("chat_message", message="before")
    before = await early(author, "before")
    edge.process.signal(signal.SIGKILL)
    await viewer.closed()
    edge = salon.start_edge()
    here = f"/chat/ws/room/{room}?since={told['id']}&epoch={viewer.joined['epoch']}"
    back = await visitors.connect(here, bob, ws=edge.ws)
    joined = await back.expect("room_joined")
    assert (joined["last_id"], joined["recovered"]) == (told["id"], True)
    shown = await back.wait_for("chat_message", message="before", within_s=LONGEST_S + 8)
    assert (shown["id"], shown["prev_id"]) == (before["id"], told["id"])
    assert datetime.now(UTC) >= when(shown["timestamp"]) + timedelta(seconds=LONGEST_S - 0.5)
    late = await visitors.connect(here, ana, ws=edge.ws)
    await late.expect("room_joined", recovered=True)
    assert (await late.expect("chat_message"))["id"] == before["id"]
