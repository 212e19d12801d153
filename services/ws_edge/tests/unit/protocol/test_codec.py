"""Bytes to frames and frames to bytes; what is on the wire stands here literally."""

import json
import time
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from msgspec.structs import replace

from ws_edge.errors import ErrorCode, MalformedFrame, RefusedFrame, UnknownType
from ws_edge.protocol import codec
from ws_edge.protocol.frames import (
    ChatMessage,
    History,
    HistoryData,
    ModerationAction,
    Ping,
    TypingStart,
    TypingStop,
)
from ws_edge.protocol.holds import Allowed
from ws_edge.protocol.identity import Identity, MessageId, Rank, Slug, UserId
from ws_edge.protocol.log import MessageDeleted, MessageUnpinned, PolicyChanged, StoredMessage
from ws_edge.protocol.policies import NO_POLICY
from ws_edge.protocol.sanctions import Action, BanNotice, Sanction
from ws_edge.protocol.server_frames import You

# The same examples every time, and no deadline for a busy machine to miss.
PROOF = settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])

YOU = You(user_id=7, username="ana", roles=(), may=())
AT = "2025-11-27T16:30:00.000Z"


# --- from the client -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "frame"),
    [
        (b'{"type":"ping","data":{}}', Ping()),
        (b'{"type":"ping"}', Ping()),
        (b' {"data":{"x":[1,{"y":null}]},"extra":1.5e3,"type":"ping"}\r\n', Ping()),
        (b'{"type":"typing_start","data":{}}', TypingStart()),
        (b'{"type":"typing_start"}', TypingStart()),
        (b'{"type":"typing_stop","data":{}}', TypingStop()),
        (b'{"type":"typing_stop"}', TypingStop()),
    ],
)
def test_frames_without_data_are_read_whatever_else_they_hold(payload: bytes, frame: object) -> None:
    assert codec.decode(payload) == frame


@pytest.mark.parametrize(
    ("payload", "data"),
    [
        (b'{"type":"history"}', HistoryData()),
        (b'{"type":"history","data":{}}', HistoryData(None, 50)),
        (b'{"type":"history","data":{"before":42,"limit":100}}', HistoryData(42, 100)),
    ],
)
def test_history_asks_for_50_messages_before_the_end_where_it_says_nothing_else(
    payload: bytes, data: HistoryData
) -> None:
    assert codec.decode(payload) == History(data)


@pytest.mark.parametrize(
    "data", [b'{"limit":101}', b'{"limit":0}', b'{"before":0}', b'{"before":"1"}', b'{"limit":1.5}']
)
def test_a_history_request_out_of_bounds_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedFrame):
        codec.decode(b'{"type":"history","data":' + data + b"}")


@pytest.mark.parametrize("reply_to", [b"0", b"-1", b"9007199254740992", b'"7"', b"1.5", b"true", b"[]"])
def test_a_malformed_reply_to_is_refused_with_the_nonce(reply_to: bytes) -> None:
    with pytest.raises(MalformedFrame) as refused:
        codec.decode(b'{"type":"chat_message","data":{"message":"a","nonce":"n","reply_to":' + reply_to + b"}}")
    assert refused.value.nonce == "n"


def test_the_chat_message_of_the_document_is_read() -> None:
    frame = codec.decode(b'{"type":"chat_message","data":{"message":"Hello everyone!"}}')
    assert isinstance(frame, ChatMessage)
    assert (frame.data.message, frame.data.nonce) == ("Hello everyone!", "")


def test_the_moderation_action_of_the_document_is_read() -> None:
    frame = codec.decode(
        b'{"type":"moderation_action","data":{"action":"ban","target_user_id":123,"duration_minutes":60}}'
    )
    assert isinstance(frame, ModerationAction)
    assert (frame.data.action, frame.data.target_user_id, frame.data.duration_minutes) == ("ban", 123, 60)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"hello",
        b"null",
        b"[]",
        b'"ping"',
        b"{}",
        b'{"data":{}}',
        b'{"type":null,"data":{}}',
        b'{"type":5}',
        b'{"type":["ping"]}',
        b'{"type":"ping"',
        b'{"type":"ping"}{"type":"ping"}',
        b"{'type':'ping'}",
        b'\xef\xbb\xbf{"type":"ping"}',
        b'{"type":"ping","data":null}',
        b'{"type":"ping","data":[]}',
        b'{"type":"ping","x":NaN}',
        b'{"type":"ping","type":"typing_start"}',
        b'{"type":"chat_message"}',
        b'{"type":"chat_message","data":{}}',
        b'{"type":"chat_message","data":{"message":null}}',
        b'{"type":"chat_message","data":{"message":5}}',
        b'{"type":"chat_message","data":{"message":["a"]}}',
        b'{"type":"chat_message","data":{"message":"a","nonce":5}}',
        b'{"type":"chat_message","data":{"message":"a","nonce":null}}',
        b'{"type":"chat_message","data":"a"}',
        b'{"type":"moderation_action"}',
        b'{"type":"moderation_action","data":{"action":"ban"}}',
        b'{"type":"moderation_action","data":{"action":"ban","target_user_id":true}}',
        b'{"type":"moderation_action","data":{"action":"ban","target_user_id":1e400}}',
    ],
)
def test_a_malformed_frame_is_told_from_one_of_an_unknown_type(payload: bytes) -> None:
    with pytest.raises(MalformedFrame) as refused:
        codec.decode(payload)
    assert refused.value.nonce == ""


@pytest.mark.parametrize(
    "payload",
    [
        b'{"type":"dance","data":{}}',
        b'{"type":""}',
        b'{"type":"PING"}',
        b'{"type":"room_joined","data":{}}',
        b'{"type":"dance","data":null}',
        '{"type":"пинг","data":[1]}'.encode(),
    ],
)
def test_an_unknown_type_is_refused_as_such_whatever_its_data(payload: bytes) -> None:
    with pytest.raises(UnknownType) as refused:
        codec.decode(payload)
    assert refused.value.nonce == ""


@pytest.mark.parametrize(
    "payload",
    [
        b'{"type":"dance","data":{"nonce":"n1"}}',
        b'{"type":"chat_message","data":{"message":5,"nonce":"n1"}}',
        b'{"data":{"nonce":"n1"}}',
        b'{"type":"moderation_action","data":{"action":"kick","nonce":"n1"}}',
    ],
)
def test_a_refused_frame_gives_its_nonce_back(payload: bytes) -> None:
    with pytest.raises(RefusedFrame) as refused:
        codec.decode(payload)
    assert refused.value.nonce == "n1"


def test_a_nonce_has_up_to_64_characters() -> None:
    frame = codec.decode(json.dumps({"type": "chat_message", "data": {"message": "a", "nonce": "é" * 64}}).encode())
    assert isinstance(frame, ChatMessage)
    assert frame.data.nonce == "é" * 64
    with pytest.raises(MalformedFrame) as refused:
        codec.decode(json.dumps({"type": "chat_message", "data": {"message": "a", "nonce": "é" * 65}}).encode())
    assert refused.value.nonce == ""


@pytest.mark.parametrize("escape", [r"\ud800", r"\udc00", r"\ud800\ud800", r"\ud800x", r"\udc00\ud800", r"x\ud83d"])
def test_half_a_surrogate_pair_is_an_invalid_message_format(escape: str) -> None:
    with pytest.raises(MalformedFrame):
        codec.decode(f'{{"type":"chat_message","data":{{"message":"{escape}"}}}}'.encode())


@pytest.mark.parametrize("text", [b"\xff", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80"])
def test_bad_utf8_is_an_invalid_message_format(text: bytes) -> None:
    with pytest.raises(MalformedFrame):
        codec.decode(b'{"type":"chat_message","data":{"message":"%b"}}' % text)


@pytest.mark.parametrize(
    "payload",
    [
        b"[" * 16_384,
        b'{"type":"ping","x":' + b"[" * 8000 + b"]" * 8000 + b"}",
        b'{"type":' + b"[" * 8000 + b"]" * 8000 + b"}",
        b'{"type":"dance","data":{"x":' + b'{"x":' * 3000 + b"1" + b"}" * 3002,
        b'{"type":"moderation_action","data":{"action":"ban","target_user_id":' + b"9" * 16_000 + b"}}",
        b'{"type":' + b"9" * 16_000 + b"}",
    ],
)
def test_deep_nesting_and_endless_numbers_are_an_invalid_message_format(payload: bytes) -> None:
    with pytest.raises(MalformedFrame):
        codec.decode(payload)


def _nested(levels: int, rest: bytes = b'"type":"ping"') -> bytes:
    """A frame of so many levels, itself included; arrays and objects take turns."""
    pairs, odd = divmod(levels - 1, 2)
    inner = b'[{"y":' * pairs + b"[" * odd + b"7" + b"]" * odd + b"}]" * pairs
    return b'{"x":' + inner + b"," + rest + b"}"


@pytest.mark.parametrize("levels", [2, 3, 511, 512])
def test_a_frame_may_hold_512_objects_and_arrays_inside_each_other_on_every_python(levels: int) -> None:
    assert codec.decode(_nested(levels)) == Ping()
    with pytest.raises(UnknownType):
        codec.decode(_nested(levels, b'"type":"dance"'))
    assert codec.nonce_of(_nested(levels - 1, b'"type":"ping","data":{"nonce":"n1"}')) == "n1"


@pytest.mark.parametrize("levels", [513, 700, 2000])
def test_more_of_them_are_an_invalid_message_format_without_a_nonce(levels: int) -> None:
    for rest in (b'"type":"ping"', b'"type":"dance","data":{"nonce":"n1"}', b'"data":{"nonce":"n1"}'):
        with pytest.raises(MalformedFrame) as refused:
            codec.decode(_nested(levels, rest))
        assert refused.value.nonce == ""
    assert codec.nonce_of(_nested(levels, b'"type":"ping","data":{"nonce":"n1"}')) == ""


@pytest.mark.parametrize("text", ["[" * 4000, r"\"{[" * 1500, r"\\" * 2000 + "{" * 600, "[]" * 2000])
def test_brackets_within_text_are_not_counted(text: str) -> None:
    frame = codec.decode(b'{"type":"chat_message","data":{"message":"' + text.encode() + b'"}}')
    assert isinstance(frame, ChatMessage)
    assert frame.data.message == json.loads(f'"{text}"')


def test_objects_and_arrays_side_by_side_count_like_nested_ones() -> None:
    assert codec.decode(b'{"type":"ping","x":[' + b"{}," * 509 + b"[]]}") == Ping()
    with pytest.raises(MalformedFrame):
        codec.decode(b'{"type":"ping","x":[' + b"{}," * 510 + b"[]]}")


@pytest.mark.parametrize("unfinished", [b'"' + b'\\"' * 8000, b'\\"' * 8000, b'{"x":"' + b"\\" * 15_999])
def test_text_without_an_end_is_looked_through_once(unfinished: bytes) -> None:
    began = time.process_time()
    with pytest.raises(MalformedFrame):
        codec.decode(b"[" * 600 + unfinished)
    assert time.process_time() - began < 0.1  # each of its quotes as a beginning: a second and more


def test_the_nonce_of_any_frame_can_be_read_alone() -> None:
    assert codec.nonce_of(b'{"type":"chat_message","data":{"message":"a","nonce":"n1"}}') == "n1"
    assert codec.nonce_of(b'{"type":"ping"}') == ""
    assert codec.nonce_of(b'{"type":"ping","data":{"nonce":7}}') == ""
    assert codec.nonce_of(b"no frame") == ""


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=70),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_types = st.sampled_from(["chat_message", "typing_start", "typing_stop", "moderation_action", "ping", "dance"]) | _json
_fields = ["message", "nonce", "action", "target_user_id", "target_username", "duration_minutes", "reason", "scope"]
_values = _json | st.sampled_from(["ban", "room", "everywhere", 1, "x", 2**53])
_data = st.dictionaries(st.sampled_from(_fields), _values) | _json
_nearly_frames = st.builds(
    lambda type, data: json.dumps({"type": type, "data": data}).encode(errors="surrogatepass"), _types, _data
)


@given(st.binary(max_size=200) | _nearly_frames)
@settings(PROOF, max_examples=300)
def test_whatever_comes_in_only_the_two_refusals_come_out(payload: bytes) -> None:
    refusal = _refusal(payload)
    assert refusal is None or type(refusal) in (MalformedFrame, UnknownType)
    assert refusal is None or len(refusal.nonce) <= 64


def _refusal(payload: bytes) -> RefusedFrame | None:
    try:
        codec.decode(payload)
    except RefusedFrame as refused:
        return refused
    return None


@given(st.binary(max_size=60), st.integers(0, 80))
@PROOF
def test_a_damaged_frame_is_read_or_refused(damage: bytes, at: int) -> None:
    sound = b'{"type":"chat_message","data":{"message":"\\ud83d\\ude00 hello","nonce":"n"}}'
    refusal = _refusal(sound[:at] + damage + sound[at:])
    assert refusal is None or refusal.nonce in ("", "n")


@given(st.text(min_size=1, max_size=1000), st.booleans())
@PROOF
def test_a_text_is_delivered_exactly_as_it_was_sent(text: str, is_escaped: bool) -> None:
    sent = {"type": "chat_message", "data": {"message": text}}
    frame = codec.decode(json.dumps(sent, ensure_ascii=is_escaped).encode())
    assert isinstance(frame, ChatMessage)
    received = _read(codec.entry(message(1, 0, frame.data.message, "ana", 7), 1))
    assert received["data"]["message"] == text


# --- to the client ---------------------------------------------------------------------------------------------------


def _read(frame: bytes) -> Any:
    return json.loads(_payload(frame))


def _payload(frame: bytes) -> bytes:
    """Take a server's frame apart, after RFC 6455, section 5.2."""
    assert frame[0] == 0x81  # FIN, text
    assert not frame[1] & 0x80  # not masked
    length, start = frame[1], 2
    if length == 126:
        length, start = int.from_bytes(frame[2:4], "big"), 4
        assert length > 125
    elif length == 127:
        length, start = int.from_bytes(frame[2:10], "big"), 10
        assert length > 0xFFFF
    assert len(frame) == start + length
    return frame[start:]


@pytest.mark.parametrize(
    ("length", "header"),
    [
        (0, "8100"),
        (125, "817d"),
        (126, "817e007e"),
        (65_535, "817effff"),
        (65_536, "817f0000000000010000"),
    ],
)
def test_a_text_frame_has_the_shortest_header_for_its_length(length: int, header: str) -> None:
    payload = b"x" * length
    assert codec.text_frame(payload) == bytes.fromhex(header) + payload


def message(id: int, prev_id: int, text: str, username: str, user_id: int | None) -> StoredMessage:
    author, role = (None, None) if user_id is None else (UserId(user_id), "user")
    return StoredMessage(MessageId(id), MessageId(prev_id), AT, text, author, username, "e" * 32, 1, "", None, role)


def test_room_joined_adds_last_id_to_the_document() -> None:
    assert _payload(codec.room_joined(1, 5, 41, epoch="3.1", you=YOU, policy=NO_POLICY)) == (
        b'{"type":"room_joined","data":{"room_id":1,"connection_count":5,"last_id":41,"epoch":"3.1",'
        b'"you":{"user_id":7,"username":"ana","roles":[],"may":[]},'
        b'"policy":{"version":0,"slow_mode_seconds":0,"read_only":"nobody","members_only":false,'
        b'"min_account_minutes":0,"min_follow_minutes":0,"emote_only":false,"max_length":1000,'
        b'"unique":false,"links":"allow","shield_automatic":false,"max_shown_per_second":0,"delay_seconds":0,"shield":null},"pinned":null}}'
    )


@pytest.mark.parametrize(("recovered", "told"), [(True, b',"recovered":true}}'), (False, b',"recovered":false}}')])
def test_room_joined_tells_whether_all_was_recovered_where_that_was_asked_for(recovered: bool, told: bytes) -> None:
    assert codec.room_joined(1, 5, 41, epoch="3.1", you=YOU, policy=NO_POLICY, recovered=recovered).endswith(told)


@pytest.mark.parametrize(
    ("identity", "mute_until_s", "told"),
    [
        (("ana", 7, ("user",), Rank.USER), 0.0, '{"user_id":7,"username":"ana","roles":["user"],"may":["write"]}'),
        (
            ("mo", 8, ("moderator",), Rank.MODERATOR),
            0.0,
            '{"user_id":8,"username":"mo","roles":["moderator"],'
            '"may":["write","delete","mute","warn","purge","pin","shield","reports"]}',
        ),
        (
            ("ada", 9, ("admin",), Rank.ADMIN),
            0.0,
            '{"user_id":9,"username":"ada","roles":["admin"],"may":["write","delete","mute","warn","purge","pin","shield",'
            '"reports","ban","policy","clear","rules","roles","undo","everywhere"]}',
        ),
        (
            ("olga", 6, ("user", "owner"), Rank.OWNER),
            None,
            '{"user_id":6,"username":"olga","roles":["user","owner"],"may":["delete","mute","warn","purge","pin",'
            '"shield","reports","ban","policy","clear","rules","roles","undo"],"muted_until":null}',
        ),
        (
            ("Anonymous_192.0.2.7", None, (), Rank.ANONYMOUS),
            1764261000.0,
            '{"user_id":null,"username":"Anonymous_192.0.2.7","roles":[],"may":[],'
            '"muted_until":"2025-11-27T16:30:00.000Z"}',
        ),
        (
            ("ana", 7, (), Rank.USER),
            None,
            '{"user_id":7,"username":"ana","roles":[],"may":[],"muted_until":null}',
        ),
    ],
)
def test_you_says_who_a_connection_is_and_what_it_may_do(
    identity: tuple[str, int | None, tuple[str, ...], Rank], mute_until_s: float | None, told: str
) -> None:
    name, user_id, roles, rank = identity
    who = Identity(None if user_id is None else UserId(user_id), name, None, roles, rank, None)
    mute = Sanction(1, Action.MUTE, UserId(7), None, frozenset(), Slug("s"), Rank.ADMIN, mute_until_s)
    assert msgspec.json.encode(codec.you(who, None if mute_until_s == 0.0 else mute)).decode() == told


def test_history_has_messages_without_prev_id_and_tells_whether_there_are_more() -> None:
    assert _payload(codec.history([message(42, 41, "Hello", "ana", 7)], 1, has_more=True)) == (
        b'{"type":"history","data":{"messages":[{"id":42,"message":"Hello","username":"ana","user_id":7,'
        b'"timestamp":"2025-11-27T16:30:00.000Z","room_id":1,"role":"user"}],"has_more":true}}'
    )
    assert (
        _payload(codec.history([], 1, has_more=False)) == b'{"type":"history","data":{"messages":[],"has_more":false}}'
    )


def test_chat_message_has_the_fields_of_the_document_in_its_order_and_prev_id() -> None:
    assert _payload(codec.entry(message(42, 41, "Hello everyone!", "john_doe", 123), 1)) == (
        b'{"type":"chat_message","data":{"id":42,"message":"Hello everyone!","username":"john_doe",'
        b'"user_id":123,"timestamp":"2025-11-27T16:30:00.000Z","room_id":1,"prev_id":41,'
        b'"role":"user"}}'
    )


def test_chat_message_carries_what_it_answers_to() -> None:
    answer = replace(message(42, 41, "Yes", "ana", 7), reply_to=MessageId(40))
    assert _payload(codec.entry(answer, 1)).endswith(b'"prev_id":41,"role":"user","reply_to":40}}')


def test_a_replayed_chat_message_names_the_one_that_was_replayed_before_it() -> None:
    assert _read(codec.entry(message(42, 41, "a", "ana", 7), 1, prev_id=30))["data"]["prev_id"] == 30


def test_chat_message_carries_the_nonce_in_the_sender_s_copy() -> None:
    assert codec.entry(message(42, 0, "a", "Anonymous_192.0.2.7", None), 1, nonce="n1").endswith(
        b'"username":"Anonymous_192.0.2.7","user_id":null,"timestamp":"2025-11-27T16:30:00.000Z","room_id":1,'
        b'"prev_id":0,"role":null,"nonce":"n1"}}'
    )
    assert b"nonce" not in codec.entry(message(42, 0, "a", "ana", 7), 1, nonce="")


def test_user_joined_and_user_left_are_as_the_document_shows() -> None:
    assert _payload(codec.user_joined("jane_doe", 456, AT)) == (
        b'{"type":"user_joined","data":{"username":"jane_doe","user_id":456,"timestamp":"2025-11-27T16:30:00.000Z"}}'
    )
    assert _payload(codec.user_left("jane_doe", 456)) == (
        b'{"type":"user_left","data":{"username":"jane_doe","user_id":456}}'
    )
    assert codec.user_left("Anonymous_192.0.2.7", None).endswith(b'"user_id":null}}')


def test_room_stats_counts() -> None:
    assert _payload(codec.room_stats(700, 12, 3)) == (
        b'{"type":"room_stats","data":{"connection_count":700,"joined":12,"left":3}}'
    )


@pytest.mark.parametrize(("active", "word"), [(True, b"typing_start"), (False, b"typing_stop")])
def test_typing_frames_are_as_the_document_shows(active: bool, word: bytes) -> None:
    assert _payload(codec.typing(active, "john_doe", 123, AT)) == (
        b'{"type":"%b","data":{"username":"john_doe","user_id":123,"timestamp":"2025-11-27T16:30:00.000Z"}}' % word
    )


def test_moderation_action_on_a_user_is_as_the_document_shows() -> None:
    assert _payload(codec.moderation_action("ban", 789, "never told", 123, 60, AT)) == (
        b'{"type":"moderation_action","data":{"action":"ban","target_user_id":789,"moderator_user_id":123,'
        b'"duration_minutes":60,"timestamp":"2025-11-27T16:30:00.000Z"}}'
    )


def test_moderation_action_on_an_anonymous_target_names_it() -> None:
    assert _payload(codec.moderation_action("mute", None, "Anonymous_192.0.2.7", 123, 0, AT)) == (
        b'{"type":"moderation_action","data":{"action":"mute","target_user_id":null,"moderator_user_id":123,'
        b'"duration_minutes":0,"timestamp":"2025-11-27T16:30:00.000Z","target_username":"Anonymous_192.0.2.7"}}'
    )


def test_pong_is_as_the_document_shows() -> None:
    assert codec.pong() == b'\x81\x19{"type":"pong","data":{}}'


def test_error_adds_a_code_to_the_text_of_the_document() -> None:
    assert _payload(codec.error(ErrorCode.MESSAGE_EMPTY)) == (
        b'{"type":"error","data":{"message":"Message cannot be empty","code":"message_empty"}}'
    )
    assert codec.error(ErrorCode.MESSAGE_EMPTY, nonce="") == codec.error(ErrorCode.MESSAGE_EMPTY)


def test_error_tells_how_long_to_wait_and_which_frame_it_was() -> None:
    assert _payload(codec.error(ErrorCode.RATE_LIMITED, retry_after_ms=1500, nonce="n1")) == (
        b'{"type":"error","data":{"message":"Rate limit exceeded","code":"rate_limited","retry_after_ms":1500,'
        b'"nonce":"n1"}}'
    )
    assert codec.error(ErrorCode.RATE_LIMITED, retry_after_ms=0).endswith(b'"retry_after_ms":0}}')
    assert codec.error(ErrorCode.UNAVAILABLE, nonce="n1").endswith(b'"code":"unavailable","nonce":"n1"}}')


def test_error_tells_what_a_rule_has_to_say_instead_of_the_text_of_the_document() -> None:
    assert _payload(codec.error(ErrorCode.BLOCKED, nonce="n1", told="Mind your words")) == (
        b'{"type":"error","data":{"message":"Mind your words","code":"blocked","nonce":"n1"}}'
    )
    assert _payload(codec.error(ErrorCode.BLOCKED, told="No")) == (
        b'{"type":"error","data":{"message":"No","code":"blocked"}}'
    )


@pytest.mark.parametrize("code", ErrorCode)
def test_every_error_has_a_frame(code: ErrorCode) -> None:
    assert _read(codec.error(code)) == {"type": "error", "data": {"message": code.text, "code": code.value}}


def test_half_a_surrogate_pair_out_of_a_token_never_breaks_a_frame() -> None:
    assert _read(codec.user_joined("a\ud800b", 7, AT))["data"]["username"] == "a?b"
    assert _read(codec.entry(message(1, 0, 'é"\udc00', "ana", 7), 1))["data"]["message"] == 'é"?'


@given(st.text(st.characters(codec=None, categories=["L", "Cs", "Cc", "So"])), st.text(max_size=20))
@PROOF
def test_every_text_and_name_gives_a_frame_that_can_be_read(text: str, username: str) -> None:
    assert _read(codec.entry(message(2, 1, text, username, None), 1))["data"]["username"] == username


@pytest.mark.parametrize(
    ("at_ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_764_261_000_000, "2025-11-27T16:30:00.000Z"),
        (1_764_261_000_007, "2025-11-27T16:30:00.007Z"),
        (1_764_261_000_999, "2025-11-27T16:30:00.999Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (-(2**63), "0001-01-01T00:00:00.000Z"),
        (2**63 - 1, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_times_are_utc_with_milliseconds_and_z(at_ms: int, text: str) -> None:
    assert codec.rfc3339(at_ms) == text


def test_an_error_may_name_the_ban_of_whom_it_turns_away() -> None:
    told = codec.error(ErrorCode.ACCESS_DENIED, ban=BanNotice(17, "spam", 1_764_264_780_000, can_appeal=True))
    assert told == codec.text_frame(
        b'{"type":"error","data":{"message":"Access denied","code":"access_denied",'
        b'"sanction":{"id":17,"reason":"spam","expires_at":"2025-11-27T17:33:00.000Z","can_appeal":true}}}'
    )


def test_a_ban_that_is_permanent_has_no_end() -> None:
    told = codec.error(ErrorCode.ACCESS_DENIED, ban=BanNotice(17, "", None, can_appeal=False))
    assert told == codec.text_frame(
        b'{"type":"error","data":{"message":"Access denied","code":"access_denied",'
        b'"sanction":{"id":17,"reason":"","expires_at":null,"can_appeal":false}}}'
    )


def test_frames_say_how_many_messages_were_left_out_before_them() -> None:
    deletion = MessageDeleted(MessageId(9), MessageId(3), AT, MessageId(2), UserId(7), "ana", None)
    unpinned = MessageUnpinned(MessageId(9), MessageId(3), AT, MessageId(2), 1, None)
    policy = PolicyChanged(MessageId(9), MessageId(3), AT, NO_POLICY, None)
    for entry in (message(9, 3, "hi", "ana", 7), deletion, unpinned, policy):
        assert b'"prev_id":3,"skipped":5,' in _payload(codec.entry(entry, 1, skipped=5))
        assert b'"prev_id":3,"skipped":5,' in _payload(codec.own_entry(entry, 1, skipped=5))
        assert b"skipped" not in _payload(codec.entry(entry, 1))


def test_a_message_besides_the_chain_has_no_prev_id() -> None:
    said = message(9, 3, "hi", "ana", 7)
    plain = codec.besides(said, 1)
    assert _payload(plain) == _payload(codec.entry(said, 1)).replace(b',"prev_id":3', b"")
    assert _payload(codec.besides(said, 1, nonce="n")).endswith(b'"role":"user","nonce":"n"}}')
    allowed = replace(said, allowed=Allowed(4, "u:7", "", 1))
    assert _payload(codec.besides(allowed, 1)).endswith(b'"role":"user","hold_id":4}}')
