"""api/grpc/convert.py: what comes in from callers, and events as they travel."""

import pytest
from google.protobuf.message import Message

from moderation.api.grpc.convert import (
    decode_event,
    encode_event,
    order_from_act,
    order_from_proto,
    speaker_from_proto,
)
from moderation.domain.commands import ErasureOrder, SanctionOrder
from moderation.domain.erasures import ErasureCommand, ErasureKind, LogRef, Origin
from moderation.domain.people import Moderator, Rank, Target
from moderation.domain.sanctions import Action, Sanction, SanctionEvent, Scope
from moderation.errors import MalformedRequest
from salon.moderation.v1 import moderation_pb2 as pb


def act(**changes: object) -> pb.ActRequest:
    request = pb.ActRequest(
        moderator=pb.Speaker(user_id=9, username="mod", rank=pb.RANK_MODERATOR),
        action=pb.ACTION_MUTE,
        target_user_id=123,
        scope=pb.SCOPE_ROOM,
        slug="live",
        duration_minutes=60,
        reason="spam",
    )
    for name, value in changes.items():
        setattr(request, name, value)
    return request


def test_a_command_is_read() -> None:
    command = order_from_act(act()).command
    assert (command.action, command.target, command.scope, command.slug) == (
        Action.MUTE,
        Target(123, ""),
        Scope.ROOM,
        "live",
    )
    assert (command.moderator.user_id, command.moderator.rank, command.target_rank) == (9, Rank.MODERATOR, None)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("action", 0),
        ("action", 9),
        ("scope", 0),
        ("slug", ""),
        ("slug", "x" * 129),
        ("target_user_id", 0),
        ("target_user_id", -1),
        ("duration_minutes", -1),
        ("duration_minutes", 525_601),
        ("reason", "x" * 501),
        ("target_rank", 9),
    ],
)
def test_a_request_that_cannot_be_meant_is_refused_by_its_field(field: str, value: object) -> None:
    with pytest.raises(MalformedRequest, match=field.removeprefix("target_") if field == "target_rank" else field):
        order_from_act(act(**{field: value}))


def test_the_name_of_a_user_with_an_id_is_no_target() -> None:
    assert order_from_act(act(target_username="Anonymous_10.0.0.1")).command.target == Target(123, "")


def test_the_character_that_postgresql_cannot_hold_is_replaced() -> None:
    assert order_from_act(act(reason="a\0b")).command.reason == "a\N{REPLACEMENT CHARACTER}b"


def test_a_speaker_without_a_rank_gets_the_lowest_that_fits() -> None:
    assert speaker_from_proto(pb.Speaker(user_id=5)).rank == Rank.USER
    assert speaker_from_proto(pb.Speaker()).rank == Rank.ANONYMOUS


def test_an_event_travels_unchanged() -> None:
    sanction = Sanction(
        1, Action.BAN, Target(0, "Anonymous_::1"), frozenset({"::/64", "10.0.0.1"}), None, "r", 9, Rank.ADMIN, 5, 6, 7
    )
    event = SanctionEvent(3, Action.BAN, sanction.target, 9, 60, Scope.EVERYWHERE, "live", 5, (sanction,), (2,))
    assert decode_event(encode_event(event)) == event


@pytest.mark.parametrize("payload", [b"\xff\xff", b"", b"\x10\x63"])
def test_what_is_no_event_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"SanctionEvent|valid Action"):
        decode_event(payload)


def execute(**changes: object) -> pb.ExecuteRequest:
    request = pb.ExecuteRequest(
        actor=pb.Speaker(user_id=9, username="mod", rank=pb.RANK_MODERATOR),
        slug="live",
        log=pb.LogRef(partition=255, room_id=7, life=21),
        nonce="n",
        reason="spam",
        edge="e",
        token=2**64 - 1,
        target_rank=pb.RANK_USER,
        delete_message=pb.DeleteMessage(message_id=1_000),
    )
    for name, value in changes.items():
        if isinstance(value, Message):
            getattr(request, name).CopyFrom(value)
        else:
            setattr(request, name, value)
    return request


def test_a_deletion_is_read() -> None:
    moderator = Moderator(9, Rank.MODERATOR)
    command = ErasureCommand(ErasureKind.DELETE, moderator, "live", Rank.USER, "spam", message_id=1_000)
    assert order_from_proto(execute()) == ErasureOrder(command, LogRef(255, 7, 21), Origin("e", 2**64 - 1, "n"))


def test_a_purge_and_a_clear_are_read() -> None:
    purge = order_from_proto(execute(purge_messages=pb.PurgeMessages(target_username="Anonymous_10.0.0.1")))
    assert (purge.command.kind, purge.command.target) == (ErasureKind.PURGE, Target(0, "Anonymous_10.0.0.1"))  # type: ignore[union-attr]
    request = execute(clear_room=pb.ClearRoom())
    request.ClearField("log")
    clear = order_from_proto(request)
    assert (clear.command.kind, clear.log) == (ErasureKind.CLEAR, None)  # type: ignore[union-attr]


def test_a_sanction_with_purge_is_read() -> None:
    change = pb.ChangeSanction(action=pb.ACTION_BAN, target_user_id=123, scope=pb.SCOPE_ROOM, purge=True)
    order = order_from_proto(execute(change_sanction=change))
    assert isinstance(order, SanctionOrder)
    assert (order.command.action, order.command.target_rank, order.purges) == (Action.BAN, Rank.USER, True)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("slug", ""),
        ("slug", "x" * 129),
        ("nonce", "x" * 65),
        ("reason", "x" * 501),
        ("target_rank", 9),
        ("log", pb.LogRef(partition=256, room_id=7, life=21)),
        ("log", pb.LogRef(partition=0, room_id=0, life=21)),
        ("log", pb.LogRef(partition=0, room_id=7)),
        ("delete_message", pb.DeleteMessage()),
        ("delete_message", pb.DeleteMessage(message_id=2**53)),
        ("purge_messages", pb.PurgeMessages()),
        ("purge_messages", pb.PurgeMessages(target_user_id=-1)),
        ("change_sanction", pb.ChangeSanction()),
        (
            "change_sanction",
            pb.ChangeSanction(action=pb.ACTION_UNBAN, target_user_id=1, scope=pb.SCOPE_ROOM, purge=True),
        ),
    ],
)
def test_a_command_that_cannot_be_meant_is_refused(field: str, value: object) -> None:
    with pytest.raises(MalformedRequest):
        order_from_proto(execute(**{field: value}))


def test_a_command_of_a_later_version_is_refused() -> None:
    request = execute()
    request.ClearField("command")
    with pytest.raises(MalformedRequest, match="command"):
        order_from_proto(request)
