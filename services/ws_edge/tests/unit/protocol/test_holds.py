"""protocol/holds.py: what an edge knows of messages that wait, whichever way and in whatever order it hears of them."""

import pytest
from msgspec import structs

from ws_edge.errors import ErrorCode, MalformedFrame
from ws_edge.protocol import codec, holds as module
from ws_edge.protocol.commands import DecideHeld
from ws_edge.protocol.frames import ModerationAction
from ws_edge.protocol.holds import Allowed, Decided, HeldMessage, HoldCache, HoldState
from ws_edge.protocol.identity import Life, MessageId, Slug, UserId
from ws_edge.protocol.log import StoredMessage

LIVE, OTHER, LIFE = Slug("live"), Slug("other"), Life(21)


def hold(
    number: int = 1,
    *,
    user_id: int | None = 5,
    slug: Slug = LIVE,
    nonce: str = "n1",
    state: HoldState = HoldState.WAITING,
    connection: str = "e:1",
) -> HeldMessage:
    author = None if user_id is None else UserId(user_id)
    return HeldMessage(number, slug, LIFE, author, "ana", connection, nonce, 17, state, 301_000, decided_at_ms=2_000)


@pytest.fixture
def cache() -> HoldCache:
    return HoldCache()


def test_it_is_known_by_author_and_nonce_in_its_life(cache: HoldCache) -> None:
    assert cache.find(LIVE, "u:5", LIFE, "n1", unix_ms=1_000) is None
    assert cache.apply(hold(1), now_s=0)
    assert cache.apply(hold(2, user_id=None), now_s=0)
    assert [each.id for each in cache.of_author(LIVE, "u:5")] == [1]
    assert [each.id for each in cache.of_author(LIVE, "c:e:1")] == [2]
    assert cache.find(LIVE, "u:5", LIFE, "n1", unix_ms=1_000) == hold(1)
    assert cache.find(LIVE, "u:5", LIFE, "n2", unix_ms=1_000) is None
    assert cache.find(LIVE, "u:5", Life(22), "n1", unix_ms=1_000) is None
    assert cache.find(OTHER, "u:5", LIFE, "n1", unix_ms=1_000) is None
    assert cache.find(LIVE, "u:5", LIFE, "n1", unix_ms=110_999) == hold(1)
    assert cache.find(LIVE, "u:5", LIFE, "n1", unix_ms=111_000) is None
    assert (len(cache), cache.get(1), cache.get(3)) == (2, hold(1), None)


def test_what_was_decided_stays_so_whatever_comes_late(cache: HoldCache) -> None:
    assert cache.apply(hold(), now_s=0)
    assert not cache.apply(hold(), now_s=0)
    assert cache.apply(hold(state=HoldState.DENIED), now_s=1)
    for late in HoldState:
        assert not cache.apply(hold(state=late), now_s=2)
    assert cache.get(1) == hold(state=HoldState.DENIED)


def test_an_answer_replaces_what_was_heard_before_it_was_asked_for(cache: HoldCache) -> None:
    cache.apply(hold(1), now_s=5)
    cache.apply(hold(2), now_s=10)
    cache.apply(hold(3, slug=OTHER), now_s=5)
    cache.replace([LIVE], [hold(4)], asked_at_s=10)
    assert [each.id for each in cache.of_author(LIVE, "u:5")] == [2, 4]
    assert [each.id for each in cache.of_author(OTHER, "u:5")] == [3]


def test_what_a_second_answer_brings_was_missed_and_is_given_once(cache: HoldCache) -> None:
    cache.replace([LIVE], [hold(1), hold(2)], asked_at_s=1)
    assert cache.take_missed() == []
    news = [hold(1, state=HoldState.EXPIRED), hold(2), hold(3)]
    cache.replace([LIVE], news, asked_at_s=2)
    assert cache.take_missed() == [news[0], news[2]]
    assert cache.take_missed() == []
    cache.forget(LIVE)
    cache.replace([LIVE], [hold(4)], asked_at_s=3)
    assert cache.take_missed() == []


def test_an_answer_that_may_lack_some_takes_nothing_away(cache: HoldCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HOLDS_PER_READ", 1)
    cache.apply(hold(1), now_s=0)
    cache.replace([LIVE], [hold(2)], asked_at_s=10)
    assert len(cache) == 2


def test_a_room_that_is_left_is_forgotten_and_the_oldest_go_first(
    cache: HoldCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HOLDS_LIMIT", 2)
    for number in (1, 2, 3):
        cache.apply(hold(number), now_s=0)
    assert [each.id for each in cache.of_author(LIVE, "u:5")] == [2, 3]
    cache.forget(LIVE)
    cache.forget(LIVE)
    assert (len(cache), cache.of_author(LIVE, "u:5")) == (0, [])


# --- frames ---------------------------------------------------------------------------------------------------------


def payload(frame: bytes) -> bytes:
    return frame[2:] if frame[1] < 126 else frame[4:]


AT = "1970-01-01T00:05:01.000Z"


@pytest.mark.parametrize(
    ("state", "nonce", "text"),
    [
        (HoldState.WAITING, "n1", b'"nonce":"n1","state":"waiting","expires_at":"1970-01-01T00:05:01.000Z"'),
        (HoldState.ALLOWED, "", b'"nonce":null,"state":"allowed","expires_at":"1970-01-01T00:05:01.000Z"'),
    ],
)
def test_message_held(state: HoldState, nonce: str, text: bytes) -> None:
    written = payload(codec.message_held(hold(state=state, nonce=nonce)))
    assert written == b'{"type":"message_held","data":{"hold_id":1,' + text + b"}}"


@pytest.mark.parametrize(("state", "word"), [(HoldState.DENIED, b"denied"), (HoldState.EXPIRED, b"expired")])
def test_message_rejected(state: HoldState, word: bytes) -> None:
    written = payload(codec.message_rejected(hold(state=state)))
    assert written == b'{"type":"message_rejected","data":{"hold_id":1,"nonce":"n1","state":"' + word + b'"}}'


def test_who_denied_it_is_told_so() -> None:
    denied = hold(state=HoldState.DENIED)
    assert payload(codec.held_denied(denied, 9, nonce="a1", action_id=4)) == (
        b'{"type":"moderation_action","data":{"action":"deny","target_user_id":5,"moderator_user_id":9,'
        b'"duration_minutes":0,"timestamp":"1970-01-01T00:00:02.000Z","nonce":"a1","action_id":4,"hold_id":1}}'
    )
    of_guest = payload(codec.held_denied(structs.replace(denied, user_id=None), 9))
    assert b'"target_user_id":null' in of_guest
    assert b'"target_username":"ana"' in of_guest


@pytest.mark.parametrize(
    ("decided", "text"),
    [
        (Decided(HoldState.ALLOWED, UserId(9)), b'"nonce":"a2","decided_by":9,"decision":"allowed"'),
        (Decided(HoldState.DENIED, UserId(9)), b'"nonce":"a2","decided_by":9,"decision":"denied"'),
        (Decided(HoldState.EXPIRED, None), b'"nonce":"a2","decided_by":null,"decision":"expired"'),
    ],
)
def test_already_decided_says_by_whom(decided: Decided, text: bytes) -> None:
    written = payload(codec.error(ErrorCode.ALREADY_DECIDED, nonce="a2", decided=decided))
    assert written == (
        b'{"type":"error","data":{"message":"Somebody has decided about this message already",'
        b'"code":"already_decided",' + text + b"}}"
    )


def test_the_copies_of_its_author_and_of_who_allowed_it_name_the_hold() -> None:
    allowed = Allowed(12, "u:5", "a1", 99)
    said = StoredMessage(
        MessageId(2), MessageId(1), AT, "x", UserId(5), "ana", "e", 7, "n1", role="user", allowed=allowed
    )
    everybody = payload(codec.entry(said, 7))
    assert b"hold_id" not in everybody
    assert b"nonce" not in everybody
    assert payload(codec.own_entry(said, 7)).endswith(b'"role":"user","nonce":"n1","hold_id":12}}')
    assert payload(codec.allowed_entry(said, allowed, 7)).endswith(
        b'"role":"user","nonce":"a1","hold_id":12,"action_id":99}}'
    )
    assert b'"nonce":"again"' in codec.allowed_entry(said, allowed, 7, nonce="again")


@pytest.mark.parametrize(("word", "allows"), [(b"allow", True), (b"deny", False)])
def test_decisions_need_the_id_of_the_hold(word: bytes, *, allows: bool) -> None:
    frame = codec.decode(b'{"type":"moderation_action","data":{"action":"' + word + b'","hold_id":12}}')
    assert isinstance(frame, ModerationAction)
    assert frame.command == DecideHeld(12, allows)
    for wrong in (b"", b',"hold_id":0', b',"hold_id":null', b',"target_user_id":5'):
        with pytest.raises(MalformedFrame):
            codec.decode(b'{"type":"moderation_action","data":{"action":"' + word + b'"' + wrong + b"}}")
