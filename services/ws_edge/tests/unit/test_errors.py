"""The texts of errors and the numbers of close codes: literal, because frontends compare them."""

import pytest

from ws_edge.errors import CloseCode, ErrorCode, MalformedFrame, RefusedFrame, UnknownType

TEXTS = {
    "rate_limited": "Rate limit exceeded",
    "message_empty": "Message cannot be empty",
    "message_too_long": "Message too long",
    "muted_or_banned": "You are muted or banned",
    "not_moderator": "You do not have permission to moderate this room",
    "access_denied": "Access denied",
    "invalid_token": "Invalid token",
    "not_found": "Not found",
    "invalid_format": "Invalid message format",
    "unknown_type": "Unknown message type",
    "too_many_connections": "Too many connections",
    "unavailable": "Service unavailable",
    "message_deleted": "This message was deleted",
    "slow_mode": "Slow mode",
    "read_only": "The room is read-only",
    "members_only": "Members only",
    "account_too_new": "Your account is too new",
    "follow_too_short": "You have not followed for long enough",
    "duplicate": "Somebody said that just now",
    "links": "Links are not allowed",
    "hold_full": "Too many messages wait for a moderator",
    "already_decided": "Somebody has decided about this message already",
    "room_gone": "The room that this message was sent in is gone",
    "emote_only": "Emotes only",
    "warning_pending": "Acknowledge the warning first",
    "cannot_undo": "This cannot be undone",
    "already_undone": "This was undone already",
    "nothing_to_undo": "Nothing is left to undo",
    "nonce_taken": "This nonce was used for something else",
    "blocked": "Your message was not accepted",
}


def test_every_error_code_has_the_text_of_the_contract() -> None:
    assert {code.value: code.text for code in ErrorCode} == TEXTS


@pytest.mark.parametrize(
    ("refusal", "code"), [(MalformedFrame, ErrorCode.INVALID_FORMAT), (UnknownType, ErrorCode.UNKNOWN_TYPE)]
)
def test_a_frame_that_cannot_be_read_says_which_error_answers_it(refusal: type[RefusedFrame], code: ErrorCode) -> None:
    assert refusal("n1").code is code
    assert refusal("n1").nonce == "n1"
    assert refusal().nonce == ""


def test_close_codes_have_the_numbers_of_the_contract() -> None:
    assert {code.name: int(code) for code in CloseCode} == {
        "NORMAL": 1000,
        "GOING_AWAY": 1001,
        "PROTOCOL_ERROR": 1002,
        "INVALID_PAYLOAD": 1007,
        "POLICY_VIOLATION": 1008,
        "TOO_BIG": 1009,
        "INTERNAL": 1011,
        "SERVICE_RESTART": 1012,
        "TRY_AGAIN_LATER": 1013,
        "FORBIDDEN": 4003,
        "NOT_FOUND": 4004,
    }
