"""One client's conversation, told as frames and what becomes of them."""

import json

import pytest

from ws_edge.errors import CloseCode, IllegalStep
from ws_edge.protocol.commands import ChangeSanction, DeleteMessage, Target
from ws_edge.protocol.identity import MessageId, Rank, UserId
from ws_edge.protocol.sanctions import Action, Scope
from ws_edge.protocol.session import (
    Disconnect,
    Effect,
    Moderate,
    Post,
    React,
    Reply,
    Session,
    StartTyping,
    State,
    StopTyping,
)

PING = b'{"type":"ping","data":{}}'
START = b'{"type":"typing_start","data":{}}'
STOP = b'{"type":"typing_stop","data":{}}'
BAD = b"not json"
BAN = b'{"type":"moderation_action","data":{"action":"ban","target_user_id":123,"duration_minutes":60}}'

PONG = Reply(b'\x81\x19{"type":"pong","data":{}}')
FLOOD = Disconnect(CloseCode.POLICY_VIOLATION)


def _session(rank: Rank = Rank.USER, frames_per_window: int = 500) -> Session:
    session = Session(rank, frames_per_window=frames_per_window, now=0.0)
    assert session.joined(0.0) == ()
    return session


def _message(text: str, nonce: str | None = None) -> bytes:
    data = {"message": text} if nonce is None else {"message": text, "nonce": nonce}
    return json.dumps({"type": "chat_message", "data": data}).encode()


def _told(effect: Effect) -> dict[str, object]:
    """The data of an error frame that is short enough for the shortest header."""
    assert isinstance(effect, Reply)
    frame = json.loads(effect.frame[4:] if effect.frame[1] == 126 else effect.frame[2:])
    assert frame["type"] == "error"
    data: dict[str, object] = frame["data"]
    return data


# --- any frame -------------------------------------------------------------------------------------------------------


def test_ping_is_answered_with_pong() -> None:
    assert _session().receive(PING, now=1.0) == (PONG,)


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        (b"hello", {"message": "Invalid message format", "code": "invalid_format"}),
        (b'{"data":{}}', {"message": "Invalid message format", "code": "invalid_format"}),
        (b'{"type":"dance"}', {"message": "Unknown message type", "code": "unknown_type"}),
        (
            b'{"type":"dance","data":{"nonce":"n1"}}',
            {"message": "Unknown message type", "code": "unknown_type", "nonce": "n1"},
        ),
    ],
)
def test_what_cannot_be_read_is_told_and_the_connection_stays(payload: bytes, told: dict[str, str]) -> None:
    session = _session()
    (effect,) = session.receive(payload, now=1.0)
    assert _told(effect) == told
    assert session.receive(PING, now=1.0) == (PONG,)


def test_a_binary_frame_is_an_invalid_message_format() -> None:
    (effect,) = _session().receive_binary(1.0)
    assert _told(effect) == {"message": "Invalid message format", "code": "invalid_format"}


def test_50_refused_frames_in_10_seconds_close_with_1008() -> None:
    session = _session()
    for n in range(49):
        assert len(session.receive(BAD, now=n * 0.2)) == 1
    told, last = session.receive(BAD, now=9.9)
    assert _told(told)["code"] == "invalid_format"
    assert last == FLOOD
    assert session.state is State.CLOSED


def test_49_refused_frames_in_any_10_seconds_are_borne() -> None:
    session = _session()
    for n in range(200):
        assert len(session.receive(BAD, now=n // 49 * 10.0)) == 1


def test_refused_frames_of_any_kind_count_together() -> None:
    session = _session()
    for n in range(48):
        session.receive([BAD, _message(""), BAN, b'{"type":"dance"}'][n % 4], now=1.0)
    assert session.refused(1.0) == ()
    assert session.receive_binary(1.0)[-1] == FLOOD


def test_what_others_refused_counts_as_well() -> None:
    session = _session()
    assert [session.refused(1.0) for _ in range(49)] == [()] * 49
    assert session.refused(1.0) == (FLOOD,)


def test_as_many_frames_as_the_setting_says_close_with_1008() -> None:
    session = _session(frames_per_window=5)
    for _ in range(4):
        assert session.receive(PING, now=1.0) == (PONG,)
    told, last = session.receive(_message("a", "n1"), now=10.9)
    assert _told(told) == {"message": "Rate limit exceeded", "code": "rate_limited", "nonce": "n1"}
    assert last == FLOOD


def test_binary_frames_are_frames() -> None:
    session = _session(frames_per_window=2)
    assert session.receive(PING, now=1.0) == (PONG,)
    assert session.receive_binary(1.0)[-1] == FLOOD


def test_frames_that_complete_no_message_are_frames() -> None:
    session = _session(frames_per_window=4)
    assert session.receive_part(1.0) == ()
    assert session.receive(PING, now=1.0) == (PONG,)
    assert session.receive_part(1.0) == ()
    told, flood = session.receive_part(1.0)
    assert _told(told) == {"message": "Rate limit exceeded", "code": "rate_limited"}
    assert flood == FLOOD
    assert session.receive_part(1.0) == ()


def test_no_limit_of_frames_is_none_for_those_that_complete_no_message() -> None:
    session = _session(frames_per_window=0)
    assert [session.receive_part(1.0) for _ in range(1000)] == [()] * 1000


def test_frames_are_counted_in_a_window_that_slides() -> None:
    session = _session(frames_per_window=5)
    for n in range(100):
        assert session.receive(PING, now=n * 2.5) == (PONG,)


def test_no_limit_of_frames_is_none() -> None:
    session = _session(frames_per_window=0)
    for _ in range(2000):
        assert session.receive(PING, now=1.0) == (PONG,)


def test_a_closed_session_does_nothing_more() -> None:
    session = _session(frames_per_window=1)
    assert session.receive(PING, now=1.0)[-1] == FLOOD
    assert session.receive(PING, now=1.0) == ()
    assert session.receive_binary(1.0) == ()
    assert session.refused(1.0) == ()
    assert session.joined(1.0) == ()
    assert session.tick(1.0) == ()


# --- chat_message ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["a", " a ", "x" * 1000, "😀" * 1000, "\u200b", "a\nb", "\x00"])
def test_a_text_of_1_to_1000_characters_is_posted_as_it_was_sent(text: str) -> None:
    assert _session().receive(_message(text), now=1.0) == (Post(text, ""),)


def test_a_post_has_the_nonce_of_its_frame() -> None:
    assert _session().receive(_message("a", "n1"), now=1.0) == (Post("a", "n1"),)


@pytest.mark.parametrize("text", ["", " ", "\t\r\n", "\u00a0\u2003\u3000\u2028", " " * 2000])
def test_only_white_space_counts_as_empty(text: str) -> None:
    (effect,) = _session().receive(_message(text, "n1"), now=1.0)
    assert _told(effect) == {"message": "Message cannot be empty", "code": "message_empty", "nonce": "n1"}


@pytest.mark.parametrize("text", ["x" * 1001, "😀" * 1001, " " * 1000 + "x"])
def test_more_than_1000_characters_are_too_long(text: str) -> None:
    (effect,) = _session().receive(_message(text, "n1"), now=1.0)
    assert _told(effect) == {"message": "Message too long", "code": "message_too_long", "nonce": "n1"}


# --- typing ----------------------------------------------------------------------------------------------------------


def test_typing_starts_and_stops() -> None:
    session = _session()
    assert session.receive(START, now=1.0) == (StartTyping(),)
    assert session.receive(STOP, now=2.0) == (StopTyping(),)
    assert session.next_deadline() is None


def test_a_stop_without_typing_is_ignored() -> None:
    session = _session()
    assert session.receive(STOP, now=1.0) == ()


def test_typing_ends_by_itself_after_10_seconds() -> None:
    session = _session()
    assert session.next_deadline() is None
    session.receive(START, now=1.0)
    assert session.next_deadline() == 11.0
    assert session.tick(10.9) == ()
    assert session.tick(11.0) == (StopTyping(),)
    assert session.tick(12.0) == ()


def test_a_start_while_typing_extends_it_and_is_not_repeated() -> None:
    session = _session()
    session.receive(START, now=1.0)
    assert session.receive(START, now=2.9) == ()
    assert session.tick(11.0) == ()
    assert session.next_deadline() == 12.9


def test_other_edges_hear_of_an_extension_every_2_seconds() -> None:
    session = _session()
    session.receive(START, now=1.0)
    assert session.receive(START, now=3.0) == (StartTyping(),)
    assert session.receive(START, now=4.0) == ()
    assert session.receive(START, now=5.0) == (StartTyping(),)


def test_typing_again_right_after_a_stop_is_a_start() -> None:
    session = _session()
    session.receive(START, now=1.0)
    session.receive(STOP, now=1.1)
    assert session.receive(START, now=1.2) == (StartTyping(),)


def test_a_message_ends_typing_first() -> None:
    session = _session()
    session.receive(START, now=1.0)
    assert session.receive(_message("a"), now=2.0) == (StopTyping(), Post("a", ""))
    assert session.receive(_message("b"), now=2.0) == (Post("b", ""),)


def test_a_refused_message_does_not_end_typing() -> None:
    session = _session()
    session.receive(START, now=1.0)
    assert len(session.receive(_message(""), now=2.0)) == 1
    assert session.next_deadline() == 11.0


def test_more_than_20_typing_frames_in_10_seconds_are_dropped_in_silence() -> None:
    session = _session()
    for _ in range(10):
        assert session.receive(START, now=1.0) == (StartTyping(),)
        assert session.receive(STOP, now=1.0) == (StopTyping(),)
    for _ in range(60):
        assert session.receive(START, now=2.0) == ()
        assert session.receive(STOP, now=2.0) == ()
    assert session.receive(START, now=11.0) == (StartTyping(),)


def test_a_dropped_stop_leaves_typing_to_end_by_itself() -> None:
    session = _session()
    for _ in range(20):
        session.receive(START, now=1.0)
    assert session.receive(STOP, now=1.0) == ()
    assert session.tick(11.0) == (StopTyping(),)


def test_leaving_ends_typing_once() -> None:
    session = _session()
    assert session.stop_typing() == ()
    session.receive(START, now=1.0)
    assert session.stop_typing() == (StopTyping(),)
    assert session.stop_typing() == ()


def test_typing_can_be_ended_after_a_flood() -> None:
    session = _session(frames_per_window=2)
    session.receive(START, now=1.0)
    assert session.receive(PING, now=1.0)[-1] == FLOOD
    assert session.stop_typing() == (StopTyping(),)


# --- moderation_action -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rank", [Rank.ANONYMOUS, Rank.USER])
def test_a_rank_below_moderator_is_refused_at_once(rank: Rank) -> None:
    payload = b'{"type":"moderation_action","data":{"action":"mute","target_user_id":123,"nonce":"n1"}}'
    (effect,) = _session(rank).receive(payload, now=1.0)
    assert _told(effect) == {
        "message": "You do not have permission to moderate this room",
        "code": "not_moderator",
        "nonce": "n1",
    }


@pytest.mark.parametrize("rank", [Rank.MODERATOR, Rank.ADMIN, Rank.SUPERUSER])
def test_from_moderator_on_moderation_decides(rank: Rank) -> None:
    assert _session(rank).receive(BAN, now=1.0) == (
        Moderate(ChangeSanction(Action.BAN, Target(UserId(123), None), Scope.ROOM, 60)),
    )


def test_an_action_is_handed_on_with_everything_it_says() -> None:
    payload = (
        b'{"type":"moderation_action","data":{"action":"unmute","target_username":"Anonymous_192.0.2.7",'
        b'"reason":"sorry","scope":"everywhere","nonce":"n1"}}'
    )
    assert _session(Rank.ADMIN).receive(payload, now=1.0) == (
        Moderate(ChangeSanction(Action.UNMUTE, Target(None, "Anonymous_192.0.2.7"), Scope.EVERYWHERE), "sorry", "n1"),
    )


@pytest.mark.parametrize("rank", [Rank.USER, Rank.MODERATOR])
def test_who_has_an_account_may_ask_for_a_deletion_for_it_may_be_their_own(rank: Rank) -> None:
    payload = b'{"type":"moderation_action","data":{"action":"delete","message_id":42,"nonce":"n1"}}'
    assert _session(rank).receive(payload, now=1.0) == (Moderate(DeleteMessage(MessageId(42)), "", "n1"),)


def test_nobody_anonymous_may_ask_for_a_deletion() -> None:
    payload = b'{"type":"moderation_action","data":{"action":"delete","message_id":42}}'
    (effect,) = _session(Rank.ANONYMOUS).receive(payload, now=1.0)
    assert _told(effect)["code"] == "not_moderator"


def test_a_malformed_action_is_an_invalid_message_format_whatever_the_rank() -> None:
    payload = b'{"type":"moderation_action","data":{"action":"ban","target_user_id":"123"}}'
    (effect,) = _session(Rank.USER).receive(payload, now=1.0)
    assert _told(effect)["code"] == "invalid_format"


# --- joining ---------------------------------------------------------------------------------------------------------


def test_frames_that_came_before_the_join_are_handled_after_it_in_order() -> None:
    session = Session(Rank.USER, frames_per_window=500, now=0.0)
    for payload in (_message("a"), START, _message("b", "n"), PING):
        assert session.receive(payload, now=1.0) == ()
    assert session.receive_binary(1.0) == ()
    *effects, told = session.joined(2.0)
    assert effects == [Post("a", ""), StartTyping(), StopTyping(), Post("b", "n"), PONG]
    assert _told(told)["code"] == "invalid_format"
    assert session.receive(PING, now=2.0) == (PONG,)


def test_a_33rd_frame_before_the_join_is_refused_after_it() -> None:
    session = Session(Rank.USER, frames_per_window=500, now=0.0)
    for n in range(32):
        assert session.receive(_message(str(n)), now=1.0) == ()
    assert session.receive(_message("late", "n33"), now=1.0) == ()
    assert session.receive_binary(1.0) == ()
    effects = session.joined(2.0)
    assert effects[:32] == tuple(Post(str(n), "") for n in range(32))
    assert [_told(effect) for effect in effects[32:]] == [
        {"message": "Rate limit exceeded", "code": "rate_limited", "nonce": "n33"},
        {"message": "Rate limit exceeded", "code": "rate_limited"},
    ]


def test_frames_before_the_join_are_kept_up_to_64_kib_together() -> None:
    session = Session(Rank.USER, frames_per_window=500, now=0.0)
    quarter = _message("x" * (16 * 1024 - len(_message(""))))
    for _ in range(4):
        assert session.receive(quarter, now=1.0) == ()
    assert session.receive(_message("late", "n5"), now=1.0) == ()
    assert session.receive_binary(1.0) == (), "what has no content still finds room"
    *effects, refused_binary, refused = session.joined(2.0)
    assert [_told(effect)["code"] for effect in effects] == ["message_too_long"] * 4
    assert _told(refused_binary)["code"] == "invalid_format"
    assert _told(refused) == {"message": "Rate limit exceeded", "code": "rate_limited", "nonce": "n5"}


def test_too_many_pings_and_fragments_before_the_join_close_with_1008_in_silence() -> None:
    session = Session(Rank.USER, frames_per_window=3, now=0.0)
    assert [session.receive_part(1.0) for _ in range(2)] == [(), ()]
    assert session.receive_part(1.0) == (FLOOD,)
    assert session.joined(2.0) == ()


def test_no_frame_leaves_before_the_join_even_when_a_flood_ends_it() -> None:
    session = Session(Rank.USER, frames_per_window=500, now=0.0)
    for _ in range(32 + 49):
        assert session.receive(PING, now=1.0) == ()
    assert session.receive(PING, now=1.0) == (FLOOD,)
    assert session.joined(2.0) == ()


def test_too_many_frames_before_the_join_close_with_1008() -> None:
    session = Session(Rank.USER, frames_per_window=3, now=0.0)
    assert session.receive(PING, now=1.0) == ()
    assert session.receive(PING, now=1.0) == ()
    assert session.receive(PING, now=1.0) == (FLOOD,)


def test_a_flood_among_the_kept_frames_is_the_last_that_is_handled() -> None:
    session = Session(Rank.USER, frames_per_window=500, now=0.0)
    for _ in range(31):
        session.receive(BAD, now=1.0)
    session.receive(PING, now=1.0)
    for _ in range(19):
        assert session.receive(PING, now=1.0) == ()
    effects = session.joined(2.0)
    assert [_told(effect)["code"] for effect in effects[:31]] == ["invalid_format"] * 31
    assert effects[31:] == (FLOOD,)


def test_joining_has_no_deadline_of_its_own() -> None:
    session = Session(Rank.USER, frames_per_window=500, now=0.0)
    assert session.next_deadline() is None
    assert session.tick(100.0) == ()


def test_an_illegal_step_changes_nothing() -> None:
    session = Session(Rank.USER, frames_per_window=500, now=0.0)
    with pytest.raises(IllegalStep):
        session.refused(1.0)
    assert session.state is State.JOINING
    session.joined(1.0)
    with pytest.raises(IllegalStep):
        session.joined(1.0)
    assert session.receive(PING, now=1.0) == (PONG,)


# --- reactions -------------------------------------------------------------------------------------------------------


def _reaction(**data: object) -> bytes:
    return json.dumps({"type": "reaction", "data": data}).encode()


@pytest.mark.parametrize(
    ("data", "effect"),
    [
        ({"emoji": "❤️"}, React("❤️", None)),
        ({"emoji": "❤️", "message_id": None}, React("❤️", None)),
        ({"emoji": "😂", "message_id": 42}, React("😂", MessageId(42))),
        ({"emoji": "Kappa"}, React(":Kappa:", None)),
        ({"emoji": ":Kappa:"}, React(":Kappa:", None)),
    ],
)
def test_a_reaction_is_to_be_counted(data: dict[str, object], effect: React) -> None:
    assert _session().receive(_reaction(**data), now=1.0) == (effect,)


@pytest.mark.parametrize("data", [{}, {"emoji": "a b"}, {"emoji": "😂" * 300}, {"emoji": "😂", "message_id": 0}])
def test_what_is_no_reaction_is_an_invalid_message_format_and_counts_as_refused(data: dict[str, object]) -> None:
    session = _session()
    for _ in range(49):
        (effect,) = session.receive(_reaction(**data), now=1.0)
        assert _told(effect) == {"message": "Invalid message format", "code": "invalid_format"}
    assert session.receive(_reaction(**data), now=1.0)[-1] == FLOOD
