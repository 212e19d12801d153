"""Anonymous people who come back, over real sockets and two edges."""

from chat_client import Client, Person, Visitors
from salon_processes import Edge


def back(room: str, client: Client) -> str:
    return f"{room}?resume={client.joined['you']['resume']}"


async def test_the_same_participant_comes_back_through_another_edge_and_the_older_connection_ends(
    visitors: Visitors, second_edge: Edge, room: str, ana: Person, address: str
) -> None:
    watcher = await visitors.join(room, ana)
    guest = await visitors.join(room, address=address)
    await watcher.wait_for("user_joined", username=f"Anonymous_{address}")
    for ws in (second_edge.ws, visitors.ws, second_edge.ws):
        again = await visitors.join(back(room, guest), ws=ws)
        assert again.joined["you"] == guest.joined["you"]
        assert await guest.closed() == 1012
        guest = again
    await guest.send("chat_message", message="the last one")
    seen = await watcher.collect_until("chat_message", message="the last one")
    assert [frame["type"] for frame in seen] == ["chat_message"], "nobody is announced again"
    assert seen[-1]["data"]["username"] == f"Anonymous_{address}"
    await guest.leave()
    await watcher.wait_for("user_left", username=f"Anonymous_{address}")


async def test_nonce_and_window_go_along(
    visitors: Visitors, second_edge: Edge, room: str, ana: Person, address: str
) -> None:
    await visitors.join(room, ana)
    guest = await visitors.join(room, address=address)
    for number in range(10):
        await guest.send("chat_message", message=f"m{number}", nonce=f"n{number}")
    ids = [(await guest.wait_for("chat_message"))["id"] for _ in range(10)]
    again = await visitors.join(back(room, guest), address="127.0.201.7", ws=second_edge.ws)
    await again.send("chat_message", message="m0", nonce="n0")
    assert (await again.wait_for("chat_message"))["id"] == ids[0]
    await again.send("chat_message", message="one too many")
    await again.expect_error("Rate limit exceeded", "rate_limited")


async def test_a_ban_of_the_first_address_holds_wherever_the_participant_comes_from(
    visitors: Visitors, second_edge: Edge, room: str, admin: Person, address: str
) -> None:
    chair = await visitors.join(room, admin)
    guest = await visitors.join(room, address=address)
    again = await visitors.join(back(room, guest), address="127.0.201.8", ws=second_edge.ws)
    await chair.send("moderation_action", action="ban", target_username=f"Anonymous_{address}")
    assert await again.closed() == 4003
    path = f"/chat/ws/room/{back(room, guest)}"
    await (await visitors.connect(path, address="127.0.201.9")).refused("Access denied", 4003)


async def test_in_another_life_they_are_somebody_new(visitors: Visitors, room: str, ana: Person, address: str) -> None:
    guest = await visitors.join(room, address=address)
    await guest.leave()
    while True:  # the room is deleted as soon as its last connection is known to have left
        again = await visitors.join(back(room, guest), address="127.0.201.10")
        if again.joined["epoch"] != guest.joined["epoch"]:
            break
        await again.leave()
    assert again.joined["you"]["username"] == "Anonymous_127.0.201.10"
    assert again.joined["you"]["resume"] != guest.joined["you"]["resume"]
