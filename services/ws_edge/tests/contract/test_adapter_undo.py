"""Undoing actions, and the ids of actions, between the contracts and the words of the edge."""

import pytest

from salon.events.v1 import events_pb2
from salon.moderation.v1 import moderation_pb2 as pb
from ws_edge.adapters.grpc.convert import event_from_proto, request_to_proto, result_from_proto
from ws_edge.adapters.nats.events import decode_entry
from ws_edge.ports import CommandRefusal, CommandRequest, CommandResult, Undone
from ws_edge.protocol.commands import UndoAction
from ws_edge.protocol.identity import Identity, Life, MessageId, Rank, RoomId, Slug, Speaker, UserId
from ws_edge.protocol.log import LogRef, RoomCleared

ADMIN = Speaker(Identity(UserId(9), "boss", None, (), Rank.ADMIN, None), "10.0.0.1", "e:1")
HEADERS = (
    b"NATS/1.0\r\nNats-Stream: SALON_LOG_1\r\nNats-Sequence: 42\r\n"
    b"Nats-Time-Stamp: 2026-11-23T21:46:36.25Z\r\nNats-Last-Sequence: 7\r\n\r\n"
)


def test_an_undo_names_the_action() -> None:
    log = LogRef(RoomId(1), Life(3), 5)
    request = CommandRequest(ADMIN, Slug("live"), log, UndoAction(812), None, None, "a mistake", "n", "e" * 32, 4)
    message = request_to_proto(request)
    assert (message.WhichOneof("command"), message.undo) == ("undo", pb.UndoAction(action_id=812))
    assert (message.reason, message.nonce, message.token) == ("a mistake", "n", 4)


def test_what_an_undo_came_to_is_read() -> None:
    answer = pb.ExecuteResponse(
        outcome=pb.ExecuteResponse.OUTCOME_DONE,
        action_id=813,
        entry_id=515,
        undone=pb.Undone(action_id=812, not_undone=["messages"], brings_entry=True),
    )
    expected = Undone(812, ("messages",), brings_entry=True)
    assert result_from_proto(answer) == CommandResult(
        None, MessageId(515), is_repeated=False, action_id=813, undone=expected
    )


@pytest.mark.parametrize(
    ("outcome", "refusal"),
    [
        (pb.ExecuteResponse.OUTCOME_NOT_PERMITTED, CommandRefusal.NOT_PERMITTED),
        (pb.ExecuteResponse.OUTCOME_NOT_FOUND, CommandRefusal.NOT_FOUND),
        (pb.ExecuteResponse.OUTCOME_CANNOT_UNDO, CommandRefusal.CANNOT_UNDO),
        (pb.ExecuteResponse.OUTCOME_ALREADY_UNDONE, CommandRefusal.ALREADY_UNDONE),
        (pb.ExecuteResponse.OUTCOME_NOTHING_TO_UNDO, CommandRefusal.NOTHING_TO_UNDO),
        (pb.ExecuteResponse.OUTCOME_NONCE_TAKEN, CommandRefusal.NONCE_TAKEN),
        (99, CommandRefusal.NOT_PERMITTED),
    ],
)
def test_what_is_refused_is_read_and_an_outcome_of_a_later_version_is_a_refusal(
    outcome: pb.ExecuteResponse.Outcome.ValueType, refusal: CommandRefusal
) -> None:
    assert result_from_proto(pb.ExecuteResponse(outcome=outcome)) is refusal


def test_an_event_says_whose_command_it_was_and_one_of_a_service_of_before_does_not() -> None:
    told = pb.SanctionEvent(event_id=1, action=pb.ACTION_BAN, scope=pb.SCOPE_ROOM, slug="live", target_user_id=5)
    assert (event_from_proto(told).edge, event_from_proto(told).token) == ("", 0)
    told.edge, told.token = "e" * 32, 2**64 - 1
    assert (event_from_proto(told).edge, event_from_proto(told).token) == ("e" * 32, 2**64 - 1)


def test_an_entry_says_which_action_brought_it() -> None:
    origin = events_pb2.CommandOrigin(edge="e" * 32, token=4, nonce="n", action_id=813)
    entry = events_pb2.LogEntry(room_cleared=events_pb2.RoomCleared(up_to_id=8, moderator_user_id=9), origin=origin)
    found = decode_entry(HEADERS, entry.SerializeToString(), 1)
    assert isinstance(found, RoomCleared)
    assert (found.edge, found.token, found.nonce, found.action_id) == ("e" * 32, 4, "n", 813)
