"""The text with which an anonymous participant comes back."""

import base64
import hmac

import pytest

from ws_edge.protocol.identity import AnonymousNames, Life, Speaker
from ws_edge.protocol.resume_text import LIFETIME_S, FormerParticipant, ResumeTexts, derived_key

NOW_S = 1_700_000_000.0
EDGE = "e" * 32
GUEST = FormerParticipant(Life(7), "Anonymous_192.0.2.7", "192.0.2.7", f"{EDGE}:3", NOW_S + LIFETIME_S)
TEXTS = ResumeTexts(b"key")


def issued(texts: ResumeTexts = TEXTS) -> str:
    text = texts.issue(GUEST)
    assert text is not None
    return text


def test_what_was_issued_is_read_again_until_it_is_a_day_old() -> None:
    assert TEXTS.read(issued(), now_s=NOW_S + LIFETIME_S - 1) == GUEST
    assert TEXTS.read(issued(), now_s=NOW_S + LIFETIME_S) is None


def test_it_needs_no_escaping_in_an_address() -> None:
    assert set(issued()) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_another_key_reads_nothing_and_no_key_issues_nothing() -> None:
    assert ResumeTexts(b"other").read(issued(), now_s=NOW_S) is None
    assert ResumeTexts(None).issue(GUEST) is None
    assert ResumeTexts(None).read(issued(), now_s=NOW_S) is None


def test_nothing_in_it_can_be_changed() -> None:
    raw = base64.urlsafe_b64decode(issued() + "=" * (-len(issued()) % 4))
    for place in range(len(raw)):
        changed = raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]
        assert TEXTS.read(base64.urlsafe_b64encode(changed).rstrip(b"=").decode(), now_s=NOW_S) is None


@pytest.mark.parametrize("text", ["", "x", "AAAA", "é", "A" * 5000, "=", issued() + "A", issued()[:-4], "\udc80"])
def test_whatever_else_is_shown_is_nobodys(text: str) -> None:
    assert TEXTS.read(text, now_s=NOW_S) is None


def test_what_an_edge_of_another_version_signed_is_nobodys() -> None:
    payload = b'[7,"Anonymous_192.0.2.7","192.0.2.7","e:3",1800000000.0,"more"]'
    signed = hmac.digest(b"key", payload, "sha256")[:16] + payload
    assert TEXTS.read(base64.urlsafe_b64encode(signed).rstrip(b"=").decode(), now_s=NOW_S) is None


def test_the_participant_who_came_back_has_the_key_and_the_home_of_the_first_address() -> None:
    here = Speaker(AnonymousNames(None).identity("198.51.100.9"), "198.51.100.9", "f:1")
    back = GUEST.speaker(here)
    first = Speaker(AnonymousNames(None).identity("192.0.2.7"), "192.0.2.7", f"{EDGE}:3")
    assert (back.key, back.routing_key, back.identity) == (first.key, first.routing_key, first.identity)
    assert back.faces == (back, here)


def test_who_comes_back_from_where_they_were_answers_for_one_address() -> None:
    here = Speaker(AnonymousNames(None).identity("192.0.2.7"), "192.0.2.7", "f:1")
    back = GUEST.speaker(here)
    assert back.faces == (back,)


def test_a_derived_key_differs_with_the_secret_and_the_purpose() -> None:
    assert len({derived_key("a", "x"), derived_key("a", "y"), derived_key("b", "x")}) == 3
