"""Frames from the client, with their literal text: format, chat_message, nonce, typing, ping, floods."""

import json
import math

import pytest
from chat_client import Client, Person, Visitors, of_type, person


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "{",
        "[]",
        "null",
        "1",
        '"x"',
        "{}",
        '{"data":{}}',
        '{"type":5}',
        '{"type":null}',
        '{"type":"chat_message","data":[]}',
        '{"type":"chat_message","data":"x"}',
        '{"type":"chat_message"}',
        '{"type":"chat_message","data":{"message":5}}',
        '{"type":"chat_message","data":{"message":null}}',
        '{"type":"chat_message","data":{"message":"x","nonce":5}}',
        '{"type":"chat_message","data":{"message":"x","nonce":"' + "n" * 65 + '"}}',
        '{"type":"ping","data":7}',
        '{"type":"moderation_action","data":{}}',
        '{"type":"chat_message","data":{"message":"x"}} trailing',
        "{'type':'ping'}",
        '{"type":"ping","data":' + "[" * 4000,
    ],
    ids=lambda text: text[:60],
)
async def test_any_frame_that_is_not_json_of_the_right_shape_is_an_invalid_message_format(
    visitors: Visitors, room: str, admin: Person, text: str
) -> None:
    client = await visitors.join(room, admin)
    await client.send_raw(text)
    data = await client.expect("error")
    assert (data["message"], data["code"]) == ("Invalid message format", "invalid_format")
    await client.say("the connection stays open")


async def test_any_unknown_type_is_told_and_harmless(visitors: Visitors, room: str, ana: Person) -> None:
    client = await visitors.join(room, ana)
    for text in (
        '{"type":"dance","data":{}}',
        '{"type":"room_joined","data":{}}',
        '{"type":"pong","data":{}}',
        '{"type":""}',
    ):
        await client.send_raw(text)
        await client.expect_error("Unknown message type", "unknown_type")
    await client.say("still open")


async def test_any_binary_frame_is_an_invalid_message_format(visitors: Visitors, room: str, ana: Person) -> None:
    client = await visitors.join(room, ana)
    await client.send_raw(b'{"type":"ping","data":{}}')
    await client.expect_error("Invalid message format", "invalid_format")
    await client.say("still open")


async def test_any_frame_may_lack_data_and_have_unknown_fields(visitors: Visitors, room: str, ana: Person) -> None:
    client = await visitors.join(room, ana)
    for text in (
        '{"type":"ping"}',
        '{"data":{},"type":"ping"}',
        '{"type":"ping","data":{"x":1},"y":[2]}',
        ' {"type" : "ping"} ',
    ):
        await client.send_raw(text)
        assert await client.receive() == {"type": "pong", "data": {}}
    await client.send_raw('{"type":"chat_message","data":{"message":"extra","color":"red"},"id":7}')
    assert (await client.wait_for("chat_message"))["message"] == "extra"


async def test_any_frame_over_16_kib_closes_with_1009_and_one_of_16_kib_does_not(
    visitors: Visitors, room: str, ana: Person, bob: Person
) -> None:
    client, other = await visitors.join(room, ana), await visitors.join(room, bob)
    fits = json.dumps({"type": "ping", "data": {"padding": ""}})
    await client.send_raw(fits.replace('""', '"' + "x" * (16 * 1024 - len(fits)) + '"'))
    await client.wait_for("pong")
    await client.send_raw(fits.replace('""', '"' + "x" * (16 * 1024 + 1 - len(fits)) + '"'))
    assert await client.closed() == 1009
    await other.say("nobody else was closed")


async def test_any_frame_put_together_from_fragments_counts_as_one(visitors: Visitors, room: str, ana: Person) -> None:
    client = await visitors.join(room, ana)
    await client.connection.send(['{"type":"chat_', 'message","data":{"mess', 'age":"in pieces"}}'])
    assert (await client.wait_for("chat_message"))["message"] == "in pieces"


async def test_50_refused_frames_within_10_seconds_close_with_1008(
    visitors: Visitors, room: str, ana: Person, bob: Person
) -> None:
    client, other = await visitors.join(room, ana), await visitors.join(room, bob)
    for _ in range(49):
        await client.send_raw("nonsense")
    for _ in range(49):
        await client.wait_for("error")
    await client.send("ping")
    await client.wait_for("pong")
    await client.send_raw("nonsense")
    assert await client.closed() == 1008
    await other.wait_for("user_left", user_id=ana.user_id)
    await other.say("nobody else was closed")


async def test_500_frames_within_10_seconds_close_with_1008(visitors: Visitors, room: str, ana: Person) -> None:
    client = await visitors.join(room, ana)
    for _ in range(499):
        await client.send_raw('{"type":"ping","data":{}}')
    for _ in range(499):
        await client.wait_for("pong")
    for _ in range(3):
        await client.send_raw('{"type":"ping","data":{}}')
    assert await client.closed() == 1008


async def test_chat_message_goes_to_everyone_the_sender_too(
    visitors: Visitors, room: str, ana: Person, bob: Person
) -> None:
    first, second = await visitors.join(room, ana), await visitors.join(room, bob)
    await first.send_raw('{"type":"chat_message","data":{"message":"Hello everyone!"}}')
    own, copy = await first.wait_for("chat_message"), await second.wait_for("chat_message")
    wanted = {
        "message": "Hello everyone!",
        "username": "ana",
        "user_id": ana.user_id,
        "room_id": first.joined["room_id"],
    }
    assert wanted.items() <= own.items()
    assert own == copy
    assert type(own["id"]) is int
    assert own["timestamp"].endswith("Z")


@pytest.mark.parametrize(
    "message",
    [
        "x",
        "x" * 1000,
        "é" * 1000,
        "𝕏" * 1000,
        "  spaces kept  ",
        "a\nb\tc",
        "\u202e right",
        "<b>&amp;</b>",
        "👩‍👩‍👧",
        "e\u0301",
        '"\\',
        "\x00\x01",
        "a\u2028b",
        "ﷺ",
    ],
    ids=lambda text: ascii(text[:12]),
)
async def test_chat_message_of_1_to_1000_characters_is_delivered_as_sent(
    visitors: Visitors, room: str, ana: Person, message: str
) -> None:
    client = await visitors.join(room, ana)
    await client.send_raw(json.dumps({"type": "chat_message", "data": {"message": message}}, ensure_ascii=False))
    assert (await client.wait_for("chat_message"))["message"] == message


@pytest.mark.parametrize("message", ["", " ", "\n\t ", "\u00a0", "\u2003\u3000"], ids=ascii)
async def test_chat_message_that_is_empty_or_white_space(
    visitors: Visitors, room: str, ana: Person, message: str
) -> None:
    client = await visitors.join(room, ana)
    await client.send_raw(json.dumps({"type": "chat_message", "data": {"message": message, "nonce": "e1"}}))
    await client.expect_error("Message cannot be empty", "message_empty", nonce="e1")
    await client.say("fine")


@pytest.mark.parametrize("message", ["x" * 1001, "𝕏" * 1001, " " * 1001 + "x"], ids=["x", "astral", "spaces"])
async def test_chat_message_over_1000_characters(visitors: Visitors, room: str, ana: Person, message: str) -> None:
    client = await visitors.join(room, ana)
    await client.send_raw(json.dumps({"type": "chat_message", "data": {"message": message}}, ensure_ascii=False))
    await client.expect_error("Message too long", "message_too_long")
    await client.say("fine")


async def test_chat_message_with_a_lone_surrogate_never_closes_anyone(
    visitors: Visitors, room: str, ana: Person, bob: Person
) -> None:
    client, other = await visitors.join(room, ana), await visitors.join(room, bob)
    await client.send_raw('{"type":"chat_message","data":{"message":"\\ud800"}}')
    frames = await client.collect_until_any("error", "chat_message")
    assert frames
    await other.say("both are open")
    await client.wait_for("chat_message", message="both are open")


async def test_chat_message_order_is_the_same_for_everyone_and_ids_rise_with_it(visitors: Visitors, room: str) -> None:
    clients = [await visitors.join(room, person(f"p{n}")) for n in range(5)]
    for number in range(6):
        for client in clients:
            await client.send("chat_message", message=f"{client.name}-{number}")
    heard = []
    for client in clients:
        messages = [await client.wait_for("chat_message") for _ in range(30)]
        heard.append([(m["id"], m["message"]) for m in messages])
    assert all(order == heard[0] for order in heard)
    ids = [number for number, _ in heard[0]]
    assert ids == sorted(set(ids))
    for client in clients:
        assert [m for _, m in heard[0] if m.startswith(f"{client.name}-")] == [f"{client.name}-{n}" for n in range(6)]


async def test_chat_message_ids_never_repeat_in_any_room_and_prev_id_names_the_one_before(
    visitors: Visitors, room: str, ana: Person, bob: Person
) -> None:
    here, there = await visitors.join(room, ana), await visitors.join(f"{room}-2", bob)
    messages = []
    for number in range(3):
        messages += [await here.say(f"here {number}"), await there.say(f"there {number}")]
    ids = [m["id"] for m in messages]
    assert ids == sorted(set(ids))
    mine = messages[::2]
    assert [m.get("prev_id") for m in mine] == [0, mine[0]["id"], mine[1]["id"]]


async def test_nonce_comes_back_in_the_senders_own_copy_alone(
    visitors: Visitors, room: str, ana: Person, bob: Person
) -> None:
    first, second = await visitors.join(room, ana), await visitors.join(room, bob)
    assert (await first.say("with", nonce="a" * 64))["nonce"] == "a" * 64
    assert "nonce" not in await second.wait_for("chat_message")
    assert "nonce" not in await first.say("without")


async def test_nonce_sent_again_costs_nothing_is_not_delivered_again_and_brings_the_stored_copy(
    visitors: Visitors, room: str, ana: Person, bob: Person
) -> None:
    first, second = await visitors.join(room, ana), await visitors.join(room, bob)
    original = await first.say("only once", nonce="n1")
    for _ in range(12):
        await first.send("chat_message", message="only once", nonce="n1")
        again = await first.wait_for("chat_message")
        assert (again["id"], again["message"], again["nonce"]) == (original["id"], "only once", "n1")
    for number in range(9):
        await first.say(f"message {number}")
    frames = await second.collect_until("chat_message", message="message 8")
    assert [m["message"] for m in of_type(frames, "chat_message")] == ["only once", *(f"message {n}" for n in range(9))]


async def test_nonce_sent_again_from_another_connection_of_the_same_user(
    visitors: Visitors, room: str, ana: Person
) -> None:
    witness = await visitors.join(room, person("keeps the room alive"))
    first = await visitors.join(room, ana)
    original = await first.say("unsure", nonce="n2")
    first.vanish()
    await witness.wait_for("user_left", user_id=ana.user_id)
    back = await visitors.join(room, ana)
    await back.send("chat_message", message="unsure", nonce="n2")
    assert (await back.wait_for("chat_message"))["id"] == original["id"]
    await back.say("marker")
    frames = await witness.collect_until("chat_message", message="marker")
    assert "unsure" not in [m["message"] for m in of_type(frames, "chat_message")]


async def test_nonce_of_another_user_or_another_anonymous_connection_is_another_nonce(
    visitors: Visitors, room: str, ana: Person, bob: Person, address: str
) -> None:
    clients = [await visitors.join(room, ana), await visitors.join(room, bob)]
    clients += [await visitors.join(room, address=address) for _ in range(2)]
    ids = {(await c.say(f"mine {n}", nonce="same"))["id"] for n, c in enumerate(clients)}
    assert len(ids) == 4


async def test_refused_message_is_told_to_its_sender_alone_with_its_nonce(
    visitors: Visitors, room: str, ana: Person, bob: Person
) -> None:
    first, second = await visitors.join(room, ana), await visitors.join(room, bob)
    await first.send_wrong("chat_message", message="", nonce="r1")
    await first.expect_error("Message cannot be empty", "message_empty", nonce="r1")
    await second.say("marker")
    assert of_type(second.seen, "error") == []


async def test_typing_start_and_stop_go_to_everyone_but_the_user_on_all_their_connections(
    visitors: Visitors, room: str, ana: Person, bob: Person
) -> None:
    first, twin, other = await visitors.join(room, ana), await visitors.join(room, ana), await visitors.join(room, bob)
    await first.send_raw('{"type":"typing_start","data":{}}')
    await first.send_raw('{"type":"typing_stop","data":{}}')
    for type_ in ("typing_start", "typing_stop"):
        data = await other.wait_for(type_)
        assert {"username": "ana", "user_id": ana.user_id}.items() <= data.items()
        assert data["timestamp"].endswith("Z")
    await other.say("marker")
    for client in (first, twin):
        frames = await client.collect_until("chat_message", message="marker")
        assert [f["type"] for f in frames if f["type"].startswith("typing")] == []


async def test_typing_start_while_typing_is_not_repeated(
    visitors: Visitors, room: str, ana: Person, bob: Person
) -> None:
    first, other = await visitors.join(room, ana), await visitors.join(room, bob)
    for _ in range(3):
        await first.send("typing_start")
    await first.send("typing_stop")
    frames = await other.collect_until("typing_stop")
    assert [f["type"] for f in frames] == ["typing_start", "typing_stop"]


async def test_typing_ends_on_sending_a_message(visitors: Visitors, room: str, ana: Person, bob: Person) -> None:
    first, other = await visitors.join(room, ana), await visitors.join(room, bob)
    await first.send("typing_start")
    await other.wait_for("typing_start")
    await first.say("done")
    types = {(await other.receive())["type"] for _ in range(2)}
    assert types == {"typing_stop", "chat_message"}


async def test_typing_ends_on_leaving(visitors: Visitors, room: str, ana: Person, bob: Person) -> None:
    first, other = await visitors.join(room, ana), await visitors.join(room, bob)
    await first.send("typing_start")
    await other.wait_for("typing_start")
    await first.leave()
    types = {(await other.receive())["type"] for _ in range(2)}
    assert types == {"typing_stop", "user_left"}


async def test_typing_more_than_20_times_in_10_seconds_is_dropped_without_a_word(
    visitors: Visitors, room: str, ana: Person, bob: Person
) -> None:
    first, other = await visitors.join(room, ana), await visitors.join(room, bob)
    for _ in range(20):
        await first.send("typing_start")
        await first.send("typing_stop")
    await first.say("marker")
    frames = await other.collect_until("chat_message", message="marker")
    starts, stops = len(of_type(frames, "typing_start")), len(of_type(frames, "typing_stop"))
    assert 1 <= starts + stops <= 20 + 1
    assert starts - stops in (0, 1)
    assert of_type(first.seen, "error") == []


async def test_ping_is_answered_with_pong(visitors: Visitors, room: str, ana: Person) -> None:
    client = await visitors.join(room, ana)
    await client.send_raw('{"type":"ping","data":{}}')
    assert await client.receive() == {"type": "pong", "data": {}}


async def test_data_of_every_received_frame_has_only_numbers_that_javascript_can_hold(
    visitors: Visitors, room: str, ana: Person, bob: Person
) -> None:
    first = await visitors.join(room, ana)
    second = await visitors.join(room, bob)
    await second.say("hi", nonce="x")
    await first.wait_for("chat_message")
    for client in (first, second):
        assert all(
            abs(v) < 2**53
            for f in client.seen
            for v in f["data"].values()
            if isinstance(v, int | float) and math.isfinite(v)
        )


async def test_bad_input_of_every_kind_closes_nobody_else(
    visitors: Visitors, room: str, ana: Person, bob: Person
) -> None:
    watcher = await visitors.join(room, bob)
    for junk in (
        b"\x00\xff" * 50,
        "\ufffe",
        "{" * 2000,
        "x" * 20_000,
        json.dumps({"type": "chat_message", "data": {"message": {"a": 1}}}),
    ):
        client: Client = await visitors.join(room, ana)
        await client.send_raw(junk)
        await client.collect_until_any("error") if len(junk) < 16_000 else await client.closed()
        await client.leave()
    await watcher.say("here I am")


@pytest.mark.parametrize(
    ("octets", "code"),
    [
        (b"\x81\x82\x00\x00\x00\x00\xff\xfe", 1007),
        (b"\xc1\x80\x00\x00\x00\x00", 1002),
        (b"\x81\x01a", 1002),
        (b"\x80\x80\x00\x00\x00\x00", 1002),
        (b"\x83\x80\x00\x00\x00\x00", 1002),
        (b"\x88\x82\x00\x00\x00\x00\x03\xe7", 1002),
        (b"\x89\xfe\x00\x7e\x00\x00\x00\x00" + b"x" * 126, 1002),
    ],
    ids=[
        "bad UTF-8",
        "reserved bit",
        "unmasked",
        "continuation of nothing",
        "unknown opcode",
        "bad close code",
        "long ping",
    ],
)
async def test_broken_websocket_framing_closes_its_sender_alone(
    visitors: Visitors, room: str, ana: Person, bob: Person, octets: bytes, code: int
) -> None:
    client, other = await visitors.join(room, ana), await visitors.join(room, bob)
    client.connection.transport.write(octets)
    assert await client.closed() == code
    await other.wait_for("user_left", user_id=ana.user_id)
    await other.say("nobody else was closed")
