"""A crowded room, whose frames are gathered: each member hears each message once, in the order of all."""

import asyncio

from chat_client import Client, Frame, Person, Visitors, of_type, person

MESSAGES = 6
SPEAKERS = 4


def chain(frames: list[Frame]) -> list[tuple[int, int]]:
    return [(data["id"], data["prev_id"]) for data in of_type(frames, "chat_message")]


async def talk(speaker: Client, name: str) -> None:
    for number in range(MESSAGES):
        await speaker.say(f"{name} {number}")
        await speaker.send("history", limit=1)
        await speaker.wait_for("history")


async def test_each_member_of_a_crowded_room_hears_each_message_once_and_in_order_whoever_comes_and_goes(
    choosy_visitors: Visitors, room: str, ana: Person
) -> None:
    listener = await choosy_visitors.join(room, ana)
    speakers = [await choosy_visitors.join(room, person(f"speaker{n}")) for n in range(SPEAKERS)]
    guests = [await choosy_visitors.join(room, person(f"guest{n}")) for n in range(4)]
    await listener.collect_until("room_stats", connection_count=9)
    talking = [asyncio.create_task(talk(speaker, f"speaker{n}")) for n, speaker in enumerate(speakers)]
    late: list[Client] = []
    for guest in guests:
        late.append(await choosy_visitors.join(room, person(f"late{len(late)}")))
        await guest.leave()
    await asyncio.gather(*talking)
    await listener.say("over")
    for client in (*speakers, *late):
        await client.collect_until("chat_message", message="over")
    heard = chain(listener.seen)
    assert len(heard) == SPEAKERS * MESSAGES + 1
    assert [prev_id for _, prev_id in heard[1:]] == [message_id for message_id, _ in heard[:-1]]
    for speaker in speakers:
        assert chain(speaker.seen) == heard
    for client in late:
        (joined,) = of_type(client.seen, "room_joined")
        assert chain(client.seen) == [(number, prev) for number, prev in heard if number > joined["last_id"]]


async def test_an_answer_in_a_crowded_room_comes_behind_the_messages_that_it_knows_of(
    choosy_visitors: Visitors, room: str, ana: Person
) -> None:
    speaker = await choosy_visitors.join(room, ana)
    others = [await choosy_visitors.join(room, person(f"other{n}")) for n in range(6)]
    for number in range(5):
        await speaker.say(f"message {number}")
        await others[0].send("history", limit=1)
        frames = await others[0].collect_until("history")
        assert frames[-1]["data"]["messages"][0]["message"] == f"message {number}"
        heard = [data["message"] for data in of_type(others[0].seen, "chat_message")]
        assert heard == [f"message {n}" for n in range(number + 1)]
