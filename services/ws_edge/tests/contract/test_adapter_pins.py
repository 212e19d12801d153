"""Pins between the contracts and the words of the edge."""

import pytest

from salon.events.v1 import events_pb2
from salon.moderation.v1 import moderation_pb2 as pb
from ws_edge.adapters.grpc.convert import in_force_from_proto, request_to_proto
from ws_edge.adapters.nats.events import decode_entry
from ws_edge.ports import CommandRequest
from ws_edge.protocol.commands import Command, PinMessage, UnpinMessage
from ws_edge.protocol.identity import Identity, Life, MessageId, Rank, RoomId, Slug, Speaker, UserId
from ws_edge.protocol.log import LogEntry, LogRef, MessagePinned, MessageUnpinned, StoredMessage
from ws_edge.protocol.pins import Pin

SLUG, LIFE = Slug("live"), Life(3)
HEADERS = (
    b"NATS/1.0\r\nNats-Stream: SALON_LOG_1\r\nNats-Sequence: 42\r\n"
    b"Nats-Time-Stamp: 2026-11-23T21:46:36.25Z\r\nNats-Last-Sequence: 7\r\n\r\n"
)
PLACE = (MessageId(42 * 256 + 1), MessageId(7 * 256 + 1), "2026-11-23T21:46:36.250Z")
ORIGIN = events_pb2.CommandOrigin(edge="e", token=4, nonce="n")


@pytest.mark.parametrize(
    ("entry", "read"),
    [
        (
            events_pb2.LogEntry(
                message_pinned=events_pb2.MessagePinned(message_id=257, version=6, moderator_user_id=9), origin=ORIGIN
            ),
            MessagePinned(*PLACE, MessageId(257), 6, UserId(9), "e", 4, "n"),
        ),
        (
            events_pb2.LogEntry(
                message_unpinned=events_pb2.MessageUnpinned(message_id=257, version=7, moderator_user_id=9),
                origin=ORIGIN,
            ),
            MessageUnpinned(*PLACE, MessageId(257), 7, UserId(9), "e", 4, "n"),
        ),
    ],
)
def test_a_pin_is_read_from_the_log_without_its_message(entry: events_pb2.LogEntry, read: LogEntry) -> None:
    assert decode_entry(HEADERS, entry.SerializeToString(), 1) == read


@pytest.mark.parametrize(
    ("command", "name"), [(PinMessage(MessageId(257)), "pin"), (UnpinMessage(MessageId(257)), "unpin")]
)
def test_a_command_names_its_message(command: Command, name: str) -> None:
    actor = Speaker(Identity(UserId(9), "mo", None, (), Rank.MODERATOR, None), "10.0.0.1", "e:1")
    request = CommandRequest(actor, SLUG, LogRef(RoomId(1), LIFE, 2), command, None, None, "", "n", "e", 4)
    told = request_to_proto(request)
    assert told.WhichOneof("command") == name
    assert getattr(told, name).message_id == 257


def test_pins_of_rooms_are_read_with_their_sanctions() -> None:
    said = {"id": 257, "at_ms": 1_700_000_000_123, "text": "be kind", "username": "ana"}
    by_user = pb.PinnedMessage(user_id=5, reply_to=1, **said)  # type: ignore[arg-type]
    by_nobody = pb.PinnedMessage(**said)  # type: ignore[arg-type]
    answer = pb.ListActiveResponse(
        pins=[
            pb.RoomPin(slug="live", life=3, version=6, message=by_user, moderator_user_id=9, at_ms=1_700_000_001_000),
            pb.RoomPin(slug="other", life=4, version=7, message=by_nobody, at_ms=1_700_000_001_000),
            pb.RoomPin(slug="none", life=5, version=8),
        ]
    )
    head = (MessageId(257), MessageId(0), "2023-11-14T22:13:20.123Z", "be kind")
    known = StoredMessage(*head, UserId(5), "ana", "", 0, "", MessageId(1), "user")
    unknown = StoredMessage(*head, None, "ana", "", 0, "")
    assert in_force_from_proto(answer).pins == {
        Slug("live"): (Life(3), Pin(6, known, UserId(9), "2023-11-14T22:13:21.000Z")),
        Slug("other"): (Life(4), Pin(7, unknown, None, "2023-11-14T22:13:21.000Z")),
        Slug("none"): (Life(5), Pin(8, None, None, "1970-01-01T00:00:00.000Z")),
    }
