"""The pin of a room: who may change it, when, and how it travels."""

import pytest

from moderation.adapters.log_entries import Stored, encode_change, message_of
from moderation.api.grpc.convert import order_from_proto, pin_to_proto
from moderation.domain.erasures import NO_ORIGIN, Erasure, ErasureKind, LoggedMessage, LogRef, Origin
from moderation.domain.people import Moderator, Rank, Target
from moderation.domain.pins import PinAction, PinChange, PinCommand, PinOrder, RoomPin, demand_change
from moderation.domain.rights import may_pin
from moderation.errors import MalformedRequest, MessageNotFound
from salon.events.v1 import events_pb2
from salon.moderation.v1 import moderation_pb2 as pb

LOG, LATER = LogRef(3, 7, 21), LogRef(3, 7, 22)
SAID = LoggedMessage(1_027, 1_700_000_000_123, 5, "ana", "be kind", "k", "user", 515)
PINNED = RoomPin("live", 21, 6, SAID, 9, 1_700_000_001_000)
NOTHING = RoomPin("live", 21, 7, None, 9, 1_700_000_002_000)


def order(
    action: PinAction = PinAction.PIN,
    *,
    rank: Rank = Rank.MODERATOR,
    user_id: int = 9,
    log: LogRef | None = LOG,
    message_id: int = 1_027,
) -> PinOrder:
    return PinOrder(PinCommand(action, Moderator(user_id, rank), "live", message_id, ""), log)


def erasure(kind: ErasureKind, log: LogRef = LOG, **more: object) -> Erasure:
    return Erasure(kind, log, 9, NO_ORIGIN, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("action", PinAction)
def test_a_moderator_and_above_may_pin_and_unpin(action: PinAction) -> None:
    assert [rank for rank in Rank if may_pin(order(action, rank=rank).command)] == [
        Rank.MODERATOR,
        Rank.ADMIN,
        Rank.SUPERUSER,
        Rank.OWNER,
    ]
    assert not may_pin(order(action, rank=Rank.ADMIN, user_id=0).command)


@pytest.mark.parametrize("known", [None, PINNED, NOTHING])
def test_a_message_that_is_there_may_be_pinned_whatever_is_pinned_before(known: RoomPin | None) -> None:
    demand_change(known, [erasure(ErasureKind.DELETE, message_id=771)], order(), SAID)


@pytest.mark.parametrize(
    "taken_back",
    [
        erasure(ErasureKind.DELETE, message_id=1_027),
        erasure(ErasureKind.PURGE, author=Target(5, "")),
        erasure(ErasureKind.PURGE, author=Target(5, ""), up_to_id=1_027),
        erasure(ErasureKind.CLEAR),
    ],
)
def test_what_was_taken_back_or_is_to_be_is_not_pinned(taken_back: Erasure) -> None:
    with pytest.raises(MessageNotFound):
        demand_change(None, [taken_back], order(), SAID)
    assert PINNED.is_ended_by(taken_back)
    assert not NOTHING.is_ended_by(taken_back)


def test_what_is_taken_back_in_another_life_or_behind_it_ends_no_pin() -> None:
    assert not PINNED.is_ended_by(erasure(ErasureKind.CLEAR, LATER))
    assert not PINNED.is_ended_by(erasure(ErasureKind.CLEAR, up_to_id=771))


def test_nothing_is_pinned_without_a_message_or_a_life_or_where_a_later_life_has_a_pin() -> None:
    with pytest.raises(MessageNotFound):
        demand_change(None, [], order(), None)
    with pytest.raises(MessageNotFound):
        demand_change(None, [], order(log=None), SAID)
    with pytest.raises(MessageNotFound):
        demand_change(RoomPin("live", 22, 6, None, 9, 0), [], order(), SAID)


def test_only_what_is_pinned_in_this_life_is_unpinned() -> None:
    demand_change(PINNED, [], order(PinAction.UNPIN), None)
    for known, asked in (
        (None, order(PinAction.UNPIN)),
        (NOTHING, order(PinAction.UNPIN)),
        (PINNED, order(PinAction.UNPIN, message_id=771)),
        (PINNED, order(PinAction.UNPIN, log=LATER)),
    ):
        with pytest.raises(MessageNotFound):
            demand_change(known, [], asked, None)


def execute(**command: object) -> pb.ExecuteRequest:
    actor = pb.Speaker(user_id=9, rank=pb.RANK_MODERATOR)
    named = {"slug": "live", "nonce": "n", "edge": "e", "token": 7, "reason": "rules"} | command
    return pb.ExecuteRequest(actor=actor, **named)  # type: ignore[arg-type]


def test_the_commands_are_read() -> None:
    by = Moderator(9, Rank.MODERATOR)
    for action, command in (
        (PinAction.PIN, {"pin": pb.PinMessage(message_id=2**53 - 1)}),
        (PinAction.UNPIN, {"unpin": pb.UnpinMessage(message_id=2**53 - 1)}),
    ):
        asked = PinCommand(action, by, "live", 2**53 - 1, "rules")
        assert order_from_proto(execute(**command)) == PinOrder(asked, None, Origin("e", 7, "n"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"pin": pb.PinMessage()},
        {"unpin": pb.UnpinMessage(message_id=-1)},
        {"pin": pb.PinMessage(message_id=2**53)},
        {"pin": pb.PinMessage(message_id=1), "slug": ""},
        {"pin": pb.PinMessage(message_id=1), "reason": "x" * 501},
    ],
)
def test_a_command_that_breaks_the_contract_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(MalformedRequest):
        order_from_proto(execute(**wrong))


def test_an_entry_names_the_message_and_holds_no_text() -> None:
    pinned = PinChange(PinAction.PIN, LOG, 9, Origin("e", 7, "n"), 1_027, 6)
    origin = events_pb2.CommandOrigin(edge="e", token=7, nonce="n", action_id=4)
    told = events_pb2.MessagePinned(message_id=1_027, version=6, moderator_user_id=9)
    entry = events_pb2.LogEntry(message_pinned=told, origin=origin)
    assert events_pb2.LogEntry.FromString(encode_change(4, pinned)) == entry
    ended = PinChange(PinAction.UNPIN, LOG, 9, Origin("e", 7, "n"), 1_027, 7)
    gone = events_pb2.MessageUnpinned(message_id=1_027, version=7, moderator_user_id=9)
    assert events_pb2.LogEntry.FromString(encode_change(5, ended)).message_unpinned == gone
    assert pinned.last_id == 1_027


def test_a_message_is_read_with_all_that_is_shown_of_it() -> None:
    said = events_pb2.ChatMessage(text="be kind", user_id=5, username="ana", role="user", reply_to=515)
    payload = events_pb2.LogEntry(message=said).SerializeToString()
    assert message_of(Stored(1_027, 1_700_000_000_123, "k", payload)) == SAID


def test_a_pin_is_told_with_its_message_and_none_without() -> None:
    assert pin_to_proto(PINNED) == pb.RoomPin(
        slug="live",
        life=21,
        version=6,
        message=pb.PinnedMessage(
            id=1_027, at_ms=1_700_000_000_123, text="be kind", user_id=5, username="ana", role="user", reply_to=515
        ),
        moderator_user_id=9,
        at_ms=1_700_000_001_000,
    )
    assert not pin_to_proto(NOTHING).HasField("message")
