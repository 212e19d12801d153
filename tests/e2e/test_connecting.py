"""Connecting: endpoints, tokens, claims, refusals, expiry, order, liveness."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import chat_client
import jwt
import pytest
import salon_processes
from chat_client import Person, Visitors, in_an_hour, mint, of_type, person
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from salon_processes import Salon
from slow_stories import Stories
from websockets.asyncio.client import connect


async def test_room_joined_has_the_room_id_and_the_connection_count(visitors: Visitors, room: str, ana: Person) -> None:
    client = await visitors.join(room, ana)
    assert client.joined["connection_count"] == 1
    assert type(client.joined["room_id"]) is int


async def test_where_port_8000_is_only_a_default_and_every_endpoint_answers(visitors: Visitors, ana: Person) -> None:
    await visitors.join("every-endpoint", ana)
    live = await visitors.connect("/live/ws")
    await live.send_raw("hello")
    assert await live.connection.recv() == "hello"
    video = await visitors.connect("/chat/ws/video/987654321", ana)
    await video.refused("Not found", 4004)


async def test_token_in_the_query(visitors: Visitors, room: str, ana: Person) -> None:
    client = await visitors.connect(f"/chat/ws/room/{room}?token={ana.token}")
    await client.expect("room_joined")
    assert (await client.say("hi"))["user_id"] == ana.user_id


async def test_token_in_the_authorization_header(visitors: Visitors, room: str, ana: Person) -> None:
    client = await visitors.join(room, headers={"Authorization": f"Bearer {ana.token}"})
    assert (await client.say("hi"))["user_id"] == ana.user_id


async def test_token_in_the_subprotocol_pair_and_the_server_selects_bearer(
    visitors: Visitors, room: str, ana: Person
) -> None:
    client = await visitors.join(room, subprotocols=["bearer", ana.token])
    assert client.connection.subprotocol == "bearer"
    assert (await client.say("hi"))["user_id"] == ana.user_id


async def test_other_subprotocols_are_not_selected_and_do_no_harm(visitors: Visitors, room: str) -> None:
    client = await visitors.join(room, subprotocols=["chat.v1", "other"])
    assert client.connection.subprotocol is None


async def test_token_refused_in_the_subprotocol_pair_still_selects_bearer_so_that_a_browser_can_read_why(
    visitors: Visitors, room: str
) -> None:
    client = await visitors.connect(f"/chat/ws/room/{room}", subprotocols=["bearer", "not.a.token"])
    assert client.connection.subprotocol == "bearer"
    await client.refused("Invalid token", 1008)


async def test_token_first_that_is_present_and_not_empty_counts(
    visitors: Visitors, room: str, ana: Person, bob: Person
) -> None:
    query_first = await visitors.join(room, ana, headers={"Authorization": f"Bearer {bob.token}"})
    assert (await query_first.say("one"))["user_id"] == ana.user_id
    empty_query = await visitors.join(f"{room}?token=", headers={"Authorization": f"Bearer {bob.token}"})
    assert (await empty_query.say("two"))["user_id"] == bob.user_id
    bad_first = await visitors.connect(
        f"/chat/ws/room/{room}?token=bad", headers={"Authorization": f"Bearer {bob.token}"}
    )
    await bad_first.refused("Invalid token", 1008)


@pytest.mark.parametrize(
    ("claims", "user_id", "username"),
    [
        ({"user_id": 710001, "username": "zoe"}, 710001, "zoe"),
        ({"user_id": "710002"}, 710002, "user_710002"),
        ({"sub": "710003"}, 710003, "user_710003"),
        ({"sub": 710004, "username": "int sub"}, 710004, "int sub"),
        ({"user_id": 710005, "sub": "not a number"}, 710005, "user_710005"),
        ({"user_id": 710006, "iss": "anyone", "aud": "anything"}, 710006, "user_710006"),
        ({"user_id": 710007, "roles": ["user", "wizard"], "email": None}, 710007, "user_710007"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
async def test_claims_say_who_it_is(
    visitors: Visitors, room: str, claims: dict[str, Any], user_id: int, username: str
) -> None:
    client = await visitors.connect(f"/chat/ws/room/{room}?token={mint({**claims, 'exp': in_an_hour()})}")
    await client.expect("room_joined")
    message = await client.say("me")
    assert (message["user_id"], message["username"]) == (user_id, username)


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"user_id": 0},
        {"user_id": -1},
        {"user_id": "x", "sub": "5"},
        {"user_id": None, "sub": "5"},
        {"user_id": True},
        {"user_id": 1.5},
        {"user_id": 2**53},
        {"sub": "ana"},
        {"user_id": [1]},
    ],
    ids=str,
)
async def test_claims_without_a_usable_user_id_are_an_invalid_token(
    visitors: Visitors, room: str, claims: dict[str, Any]
) -> None:
    token = mint({**claims, "exp": in_an_hour()})
    await (await visitors.connect(f"/chat/ws/room/{room}?token={token}")).refused("Invalid token", 1008)


def _signed_by_rsa() -> str:
    key = generate_private_key(public_exponent=65537, key_size=2048)
    return jwt.encode({"user_id": 5, "exp": in_an_hour()}, key, "RS256")


@pytest.mark.parametrize(
    "make",
    [
        lambda: mint({"user_id": 5, "exp": int(time.time()) - 60}),
        lambda: mint({"user_id": 5}),
        lambda: mint({"user_id": 5, "exp": in_an_hour()}, secret="somebody else's secret of more than 32 chars"),
        lambda: jwt.encode({"user_id": 5, "exp": in_an_hour()}, "", "none"),
        lambda: mint({"user_id": 5, "exp": in_an_hour()}, secret=salon_processes.SECRET * 2, algorithm="HS512"),
        _signed_by_rsa,
        lambda: "a.b.c",
        lambda: "YOUR_JWT_TOKEN",
        lambda: "%00%FF%20",
        lambda: "x" * 6000,
    ],
    ids=[
        "expired",
        "no exp",
        "other secret",
        "alg none",
        "HS512",
        "RS256",
        "a.b.c",
        "placeholder",
        "odd bytes",
        "long",
    ],
)
async def test_refusal_of_a_bad_or_expired_token_is_an_error_frame_and_1008(
    visitors: Visitors, room: str, make: Callable[[], str]
) -> None:
    token = make()
    salon_processes.MINTED.update([token] * (len(token) > 30))
    client = await visitors.connect(f"/chat/ws/room/{room}?token={token}")
    await client.refused("Invalid token", 1008)
    assert client.seen[0]["data"]["code"] == "invalid_token"


async def test_no_token_is_the_anonymous_user_of_the_document(visitors: Visitors, room: str, address: str) -> None:
    client = await visitors.join(room, address=address)
    message = await client.say("who am I?")
    assert (message["user_id"], message["username"]) == (None, f"Anonymous_{address}")


async def test_no_token_behind_a_proxy_that_is_not_trusted_the_header_is_not_read(
    visitors: Visitors, room: str, address: str
) -> None:
    client = await visitors.join(room, address=address, headers={"X-Forwarded-For": "203.0.113.9"})
    assert (await client.say("me"))["username"] == f"Anonymous_{address}"


async def test_no_token_behind_trusted_proxies_the_rightmost_address_that_is_not_one_counts(
    salon: Salon, visitors: Visitors, room: str
) -> None:
    edge = salon.start_edge(
        {"WS_EDGE_TRUSTED_PROXIES": "127.0.0.1/32,10.0.0.0/8", "WS_EDGE_CONNECTIONS_PER_ADDRESS": "2"}
    )
    names = []
    for forwarded in ("203.0.113.9", "198.51.100.1, 203.0.113.10, 10.1.2.3", "2001:db8:1:2:3:4:5:6"):
        client = await visitors.join(room, ws=edge.ws, headers={"X-Forwarded-For": forwarded})
        names.append((await client.say(forwarded))["username"])
    assert names[:2] == ["Anonymous_203.0.113.9", "Anonymous_203.0.113.10"]
    assert names[2].startswith("Anonymous_2001:db8:1:2")
    direct = await visitors.join(room, ws=edge.ws, address="127.0.0.77", headers={"X-Forwarded-For": "203.0.113.11"})
    assert (await direct.say("me"))["username"] == "Anonymous_127.0.0.77"
    # Over a limit of connections of one address: two are open from here already after the next one.
    await visitors.join(room, ws=edge.ws, headers={"X-Forwarded-For": "203.0.113.9"})
    third = await visitors.connect(f"/chat/ws/room/{room}", ws=edge.ws, headers={"X-Forwarded-For": "203.0.113.9"})
    await third.refused("Too many connections", 1013)
    other = await visitors.join(room, ws=edge.ws, headers={"X-Forwarded-For": "2001:db8:1:2:ffff::1"})
    await other.leave()


async def test_no_token_with_hashed_names_hides_the_address(salon: Salon, visitors: Visitors, room: str) -> None:
    edge = salon.start_edge({"WS_EDGE_ANONYMOUS_NAMES": "hash", "WS_EDGE_HANDSHAKES_PER_ADDRESS": "3"})
    first = await visitors.join(room, ws=edge.ws, address="127.0.0.81")
    second = await visitors.join(room, ws=edge.ws, address="127.0.0.82")
    one, two = (await first.say("1"))["username"], (await second.say("2"))["username"]
    assert one != two
    assert one.startswith("Anonymous_")
    assert "127.0" not in one + two
    refused = 0
    for _ in range(12):
        client = await visitors.connect(f"/chat/ws/room/{room}", ws=edge.ws, address="127.0.0.83")
        if (await client.receive())["type"] == "error":
            refused += 1
            assert await client.closed() == 1013
            assert client.seen[0]["data"]["message"] == "Too many connections"
    assert refused > 0


async def test_expiry_of_the_token_is_told_and_closes_with_1008(visitors: Visitors, room: str) -> None:
    token = mint({"user_id": 4_100, "exp": int(time.time()) + 2})
    client = await visitors.connect(f"/chat/ws/room/{room}?token={token}")
    await client.expect("room_joined")
    assert await client.closed() == 1008
    assert of_type(client.seen, "error")[0]["message"] == "Invalid token"


async def test_order_frames_sent_before_the_join_is_answered_are_handled_after_it_in_order(
    visitors: Visitors, room: str, ana: Person
) -> None:
    client = await visitors.connect(f"/chat/ws/room/{room}", ana)
    for number in range(8):
        await client.send("chat_message", message=f"early {number}")
    await client.send("ping")
    await client.expect("room_joined")
    frames = await client.collect_until("chat_message", message="early 7")
    assert [data["message"] for data in of_type(frames, "chat_message")] == [f"early {n}" for n in range(8)]


async def test_order_nothing_of_the_room_precedes_room_joined(visitors: Visitors, room: str, ana: Person) -> None:
    talkers = [await visitors.join(room, person(f"talker{n}")) for n in range(6)]

    async def chatter(number: int) -> None:
        for talker in talkers:
            await talker.send("typing_start")
            await talker.say(f"noise {number}")

    for number in range(8):
        noise = asyncio.create_task(chatter(number))
        newcomer = await visitors.join(room, ana)  # join() wants room_joined as the very first frame
        await noise
        await newcomer.leave()


async def test_a_token_never_appears_in_an_answer(visitors: Visitors, room: str, ana: Person, bob: Person) -> None:
    first = await visitors.join(room, ana)
    second = await visitors.join(room, bob)
    await first.say("hello")
    await second.wait_for("chat_message")
    assert ana.token not in str(second.seen)
    assert bob.token not in str(first.seen)


async def test_a_plain_get_on_a_websocket_route_does_no_harm(
    visitors: Visitors, room: str, http: Any, ana: Person
) -> None:
    answer = await http.get(f"/chat/ws/room/{room}?token={ana.token}")
    assert answer.status_code in (400, 426)
    assert ana.token not in answer.text
    await visitors.join(room, ana)


async def test_alive_a_peer_that_answers_no_ping_is_pinged_after_20_s_and_dropped_after_20_more(
    stories: Stories,
) -> None:
    outcome = await stories.outcome("silent_peer")
    assert 18 <= outcome["pinged_s"] <= 23
    assert 37 <= outcome["left_s"] <= 46


async def test_a_normal_closure_is_answered_with_1000(edge: Any, room: str, ana: Person) -> None:
    async with connect(f"{edge.ws}/chat/ws/room/{room}?token={ana.token}", proxy=None) as connection:
        assert '"room_joined"' in str(await connection.recv())
    assert connection.close_code == 1000


async def test_timestamps_are_utc_with_milliseconds_and_z(
    visitors: Visitors, room: str, ana: Person, bob: Person
) -> None:
    first = await visitors.join(room, ana)
    second = await visitors.join(room, bob)
    stamps = [
        (await first.wait_for("user_joined"))["timestamp"],
        (await second.say("now"))["timestamp"],
    ]
    await second.send("typing_start")
    stamps.append((await first.wait_for("typing_start"))["timestamp"])
    assert all(chat_client.STAMP.fullmatch(stamp) for stamp in stamps), stamps
