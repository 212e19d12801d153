"""Presence: connection_count, user_joined, user_left, room_stats."""

import time

from chat_client import Person, Visitors, of_type, person


async def test_user_joined_goes_to_the_others_when_a_users_first_connection_opens(
    visitors: Visitors, room: str, ana: Person, bob: Person
) -> None:
    first = await visitors.join(room, ana)
    second = await visitors.join(room, bob)
    joined = await first.wait_for("user_joined")
    assert {"username", "user_id", "timestamp"} <= set(joined)
    assert (joined["username"], joined["user_id"]) == ("bob", bob.user_id)
    await visitors.join(room, bob)
    await second.say("marker")
    frames = await first.collect_until("chat_message", message="marker")
    assert of_type(frames, "user_joined") == []
    assert of_type(await second.frames_before_pong(), "user_joined") == []


async def test_user_left_goes_out_when_a_users_last_connection_closes(
    visitors: Visitors, room: str, ana: Person, bob: Person
) -> None:
    watcher = await visitors.join(room, ana)
    one = await visitors.join(room, bob)
    two = await visitors.join(room, bob)
    assert two.joined["connection_count"] == 3
    await one.leave()
    third = await visitors.join(room, person("cy"))  # its join is a marker after the leave
    assert of_type(await watcher.collect_until("user_joined", username="cy"), "user_left") == []
    assert third.joined["connection_count"] == 3
    await two.leave()
    left = await watcher.wait_for("user_left")
    assert {"username": "bob", "user_id": bob.user_id}.items() <= left.items()


async def test_each_anonymous_connection_is_a_user_of_its_own(
    visitors: Visitors, room: str, ana: Person, address: str
) -> None:
    watcher = await visitors.join(room, ana)
    clients = [await visitors.join(room, address=address) for _ in range(2)]
    for _ in clients:
        joined = await watcher.wait_for("user_joined")
        assert (joined["user_id"], joined["username"]) == (None, f"Anonymous_{address}")
    await clients[0].leave()
    left = await watcher.wait_for("user_left")
    assert (left["user_id"], left["username"]) == (None, f"Anonymous_{address}")
    await clients[1].leave()
    await watcher.wait_for("user_left", username=f"Anonymous_{address}")


async def test_connection_count_includes_the_new_one(visitors: Visitors, room: str) -> None:
    counts = [(await visitors.join(room, person(f"p{n}"))).joined["connection_count"] for n in range(5)]
    assert counts == [1, 2, 3, 4, 5]


async def test_rooms_are_apart(visitors: Visitors, room: str, ana: Person, bob: Person) -> None:
    here = await visitors.join(room, ana)
    there = await visitors.join(f"{room}-other", bob)
    await there.say("not for you")
    await there.send("typing_start")
    await there.leave()
    await here.say("marker")
    assert [f["type"] for f in here.seen] == ["room_joined", "chat_message"]


async def test_above_the_presence_limit_room_stats_replace_single_joins_and_leaves(
    choosy_visitors: Visitors, room: str, ana: Person
) -> None:
    watcher = await choosy_visitors.join(room, ana)
    early = [await choosy_visitors.join(room, person(f"early{n}")) for n in range(4)]
    for n in range(4):
        await watcher.wait_for("user_joined", username=f"early{n}")
    late = [await choosy_visitors.join(room, person(f"late{n}")) for n in range(6)]
    frames = await watcher.collect_until("room_stats", connection_count=11)
    stats = of_type(frames, "room_stats")
    assert sum(data["joined"] for data in stats) == 6
    assert of_type(frames, "user_joined") == []
    for client in late[:2]:
        await client.leave()
    frames = await watcher.collect_until("room_stats", connection_count=9)
    assert sum(data["left"] for data in of_type(frames, "room_stats")) == 2
    await early[0].leave()
    left = await watcher.wait_for("user_left")  # who was announced is always announced as gone
    assert left["username"] == "early0"


async def test_below_80_percent_of_the_limit_single_joins_are_told_again(
    choosy_visitors: Visitors, room: str, ana: Person
) -> None:
    watcher = await choosy_visitors.join(room, ana)
    others = [await choosy_visitors.join(room, person(f"guest{n}")) for n in range(6)]
    await watcher.collect_until("room_stats", connection_count=7)
    for client in others:
        await client.leave()
    await watcher.wait_for("user_left", username="guest3")
    await choosy_visitors.join(room, person("quiet times"))
    await watcher.wait_for("user_joined", username="quiet times")


async def test_above_the_presence_limit_at_most_10_typing_frames_a_second_are_shown_in_whole_pairs(
    choosy_visitors: Visitors, room: str, ana: Person
) -> None:
    reader = await choosy_visitors.join(room, ana)
    typists = [await choosy_visitors.join(room, person(f"typist{n}")) for n in range(15)]
    await reader.collect_until("room_stats", connection_count=16)
    began = time.monotonic()
    for typist in typists:
        await typist.send("typing_start")
    for typist in typists:
        await typist.say("done")  # ends the typing
    frames = await reader.collect_until("chat_message", username="typist14")
    while len(of_type(frames, "typing_stop")) < len(of_type(frames, "typing_start")):
        frames.append(await reader.receive())  # stops wait for their turn
    seconds = int(time.monotonic() - began) + 1
    await typists[0].say("marker")
    frames += await reader.collect_until("chat_message", message="marker")
    typing = [(f["data"]["user_id"], f["type"]) for f in frames if f["type"].startswith("typing_")]
    assert len(typing) <= 10 * seconds
    shown = [user_id for user_id, type_ in typing if type_ == "typing_start"]
    assert 1 <= len(shown) < 15
    assert len(set(shown)) == len(shown)
    for user_id in shown:
        assert [type_ for who, type_ in typing if who == user_id] == ["typing_start", "typing_stop"]
    assert {user_id for user_id, _ in typing} == set(shown)
