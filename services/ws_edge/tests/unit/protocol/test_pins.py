"""Pins as values: of a slug the newest one, of the newest life; and as they are written."""

from msgspec import UNSET

from ws_edge.protocol import codec
from ws_edge.protocol.identity import Life, MessageId, Slug, UserId
from ws_edge.protocol.log import MessagePinned, MessageUnpinned, StoredMessage
from ws_edge.protocol.pins import Pin, PinCache
from ws_edge.protocol.policies import NO_POLICY
from ws_edge.protocol.server_frames import You

AT = "2025-11-27T16:30:00.000Z"
SLUG, LIFE = Slug("live"), Life(3)
AUTHOR = (UserId(5), "ana", "e" * 32, 7, "nonce")
SAID = StoredMessage(MessageId(40), MessageId(39), AT, "be kind", *AUTHOR, MessageId(12), "user")
PINNED = MessagePinned(MessageId(42), MessageId(41), AT, SAID.id, 6, UserId(9), "e", 4, "n", 812, SAID)
MESSAGE = (
    b'{"id":40,"message":"be kind","username":"ana","user_id":5,"timestamp":"2025-11-27T16:30:00.000Z","room_id":1,'
    b'"role":"user","reply_to":12}'
)


def test_the_highest_version_holds_and_a_pin_is_of_its_life_alone() -> None:
    cache, pins = PinCache(), [Pin(version, SAID, None, AT) for version in (5, 4, 6)]
    assert cache.find(SLUG, LIFE) is None
    for pin, holds in zip(pins, (5, 5, 6), strict=True):
        cache.apply(SLUG, LIFE, pin)
        found = cache.find(SLUG, LIFE)
        assert found is not None
        assert found.version == holds
    assert cache.find(SLUG, Life(4)) is None
    cache.apply(SLUG, Life(4), Pin(7, None, None, AT))
    assert (cache.find(SLUG, LIFE), len(cache)) == (None, 1)
    cache.forget(SLUG)
    cache.forget(SLUG)
    assert len(cache) == 0


def test_a_pin_whose_message_is_gone_is_the_end_of_the_pin_before_it() -> None:
    about = (MessageId(42), MessageId(41), AT, MessageId(40), 6, UserId(9))
    assert PINNED.ended() == MessageUnpinned(*about, "e", 4, "n", 812)


def test_the_frames_about_the_pin() -> None:
    stamp = b'"timestamp":"2025-11-27T16:30:00.000Z"'
    assert codec.entry(PINNED, 1, nonce="n")[4:] == (
        b'{"type":"message_pinned","data":{"id":42,"prev_id":41,"message":' + MESSAGE + b',"moderator_user_id":9,'
        b"" + stamp + b',"nonce":"n"}}'
    )
    assert codec.entry(PINNED.ended(), 1, prev_id=7)[4:] == (
        b'{"type":"message_unpinned","data":{"id":42,"prev_id":7,"message_id":40,"moderator_user_id":9,' + stamp + b"}}"
    )


def test_room_joined_tells_what_is_pinned() -> None:
    you, pin = You(5, "ana", (), ()), Pin(6, SAID, UserId(9), AT)
    told = codec.room_joined(1, 5, 41, epoch="3.1", you=you, policy=NO_POLICY, pin=pin)
    stamp = b'"timestamp":"2025-11-27T16:30:00.000Z"'
    assert told.endswith(b',"pinned":{"message":' + MESSAGE + b',"moderator_user_id":9,' + stamp + b"}}}")
    for nothing in (None, Pin(7, None, None, AT)):
        told = codec.room_joined(1, 5, 41, epoch="3.1", you=you, policy=NO_POLICY, pin=nothing)
        assert told.endswith(b',"pinned":null}}')
    assert b"pinned" not in codec.room_joined(1, 5, 41, epoch="3.1", you=you, policy=NO_POLICY, pin=UNSET)
