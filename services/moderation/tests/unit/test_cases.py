"""domain/cases.py, and notes and cases as they come and go over gRPC."""

from collections.abc import Sequence

import pytest
from hypothesis import given, strategies as st

from moderation.api.grpc.convert import order_from_proto, receipt_to_proto, refusal_to_proto
from moderation.api.grpc.convert_cases import add_case, note_to_proto, person_from_proto
from moderation.domain.admission import Admission, Limits, Now
from moderation.domain.cases import (
    MOST_NOTES,
    AddNote,
    Case,
    DeleteNote,
    Note,
    NoteOrder,
    Seen,
    demand_deletable,
    demand_room_for_note,
    may_note,
    may_read_case,
)
from moderation.domain.commands import Receipt
from moderation.domain.erasures import LoggedMessage, Origin
from moderation.domain.last_seen import LastSeenBuffer
from moderation.domain.people import Moderator, Rank, Speaker, Target
from moderation.domain.policy_cache import PolicyCache
from moderation.domain.sanction_cache import SanctionCache
from moderation.domain.visits import Visit, VisitBuffer
from moderation.domain.warnings import RoomWarning, WarningState
from moderation.errors import MalformedRequest, NoteNotFound, NotPermitted, TooManyNotes
from salon.moderation.v1 import cases_pb2, moderation_pb2 as pb

ANA, GUEST = Target(5, ""), Target(0, "Anonymous_10.0.0.6")
SPEAKER = Speaker(5, "ana", "10.0.0.5", Rank.USER, "e:1")
VISIT = Visit(5, "live", "ana")


def add(by: int = 9, rank: Rank = Rank.MODERATOR, target: Target = ANA) -> AddNote:
    return AddNote(Moderator(by, rank), "mo", "live", target, "watch out", "")


def delete(by: int = 9, rank: Rank = Rank.MODERATOR) -> DeleteNote:
    return DeleteNote(Moderator(by, rank), "live", 1)


def note(rank: Rank = Rank.MODERATOR, *, author: int = 9, slug: str = "live", target: Target = ANA) -> Note:
    return Note(1, slug, target, "watch out", author, "mo", rank, 1_000)


# --- who may ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("by", "rank", "target", "may"),
    [
        (9, Rank.USER, ANA, False),
        (9, Rank.MODERATOR, ANA, True),
        (9, Rank.MODERATOR, GUEST, True),
        (9, Rank.OWNER, ANA, True),
        (5, Rank.ADMIN, ANA, False),
        (0, Rank.ADMIN, ANA, False),
    ],
)
def test_moderators_of_the_room_write_of_anybody_but_themselves(
    by: int, rank: Rank, target: Target, *, may: bool
) -> None:
    assert may_note(add(by, rank, target)) is may


def test_moderators_of_the_room_read_cases() -> None:
    read = [rank for rank in Rank if may_read_case(Moderator(9, rank))]
    assert set(read) == {Rank.MODERATOR, Rank.OWNER, Rank.ADMIN, Rank.SUPERUSER}
    assert not may_read_case(Moderator(0, Rank.ADMIN))


def test_there_are_at_most_a_hundred_notes_of_somebody_in_a_room() -> None:
    demand_room_for_note(MOST_NOTES - 1)
    with pytest.raises(TooManyNotes):
        demand_room_for_note(MOST_NOTES)


def test_a_note_is_deleted_by_its_author_or_a_higher_rank() -> None:
    demand_deletable(delete(), note())
    demand_deletable(delete(8, Rank.OWNER), note())
    demand_deletable(delete(9, Rank.MODERATOR), note(Rank.ADMIN))


@pytest.mark.parametrize(
    ("command", "known", "refusal"),
    [
        (delete(8), note(), NotPermitted),
        (delete(8, Rank.ADMIN), note(Rank.ADMIN), NotPermitted),
        (delete(9, Rank.USER), note(), NotPermitted),
        (delete(0, Rank.ADMIN), note(), NotPermitted),
        (delete(5, Rank.ADMIN), note(), NotPermitted),
        (delete(), None, NoteNotFound),
        (delete(), note(slug="other"), NoteNotFound),
    ],
)
def test_who_does_not(command: DeleteNote, known: Note | None, refusal: type[Exception]) -> None:
    with pytest.raises(refusal):
        demand_deletable(command, known)


# --- visits -----------------------------------------------------------------------------------------------------------


def test_a_visit_is_of_somebody_signed_in_and_storable() -> None:
    assert Visit.of(SPEAKER, "live") == VISIT
    assert Visit.of(SPEAKER._replace(user_id=0), "live") is None
    for name, slug in (("a\0", "live"), ("ana", "l\0"), ("x" * 256, "live"), ("ana", "x" * 129)):
        assert Visit.of(SPEAKER._replace(username=name), slug) is None


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 100)), max_size=30))
def test_first_and_last_time_of_each_are_kept_however_often_they_are_put_back(
    seen: Sequence[tuple[int, int]],
) -> None:
    buffer = VisitBuffer()
    for number, at_ms in seen:
        buffer.put(Visit(number, "live", "x"), at_ms)
        buffer.put_back(buffer.take(2))
    times = {number: [at for other, at in seen if other == number] for number, _ in seen}
    assert buffer.take(9) == {Visit(n, "live", "x"): (min(found), max(found)) for n, found in times.items()}
    assert len(buffer) == 0


def test_of_too_many_that_wait_the_oldest_go() -> None:
    buffer = VisitBuffer(largest=2)
    for number in (1, 2, 1, 3):
        buffer.put(Visit(number, "live", "x"), number)
    assert [visit.user_id for visit in buffer.take(9)] == [1, 3]


def test_who_is_reported_as_seen_has_a_visit() -> None:
    visits = VisitBuffer()
    admission = Admission(Limits(1, 10, 100), SanctionCache(), LastSeenBuffer(), PolicyCache(), visits=visits)
    admission.report_seen(SPEAKER, "live", Now(0, 1_000))
    admission.report_seen(SPEAKER._replace(user_id=0), "live", Now(0, 1_000))
    Admission(Limits(1, 10, 100), SanctionCache(), LastSeenBuffer(), PolicyCache()).report_seen(
        SPEAKER, "live", Now(0, 1_000)
    )
    assert visits.take(9) == {VISIT: (1_000, 1_000)}


# --- gRPC -------------------------------------------------------------------------------------------------------------

MODERATOR = pb.Speaker(user_id=9, username="mo", rank=pb.RANK_MODERATOR)


def asked(slug: str = "live", **command: object) -> pb.ExecuteRequest:
    return pb.ExecuteRequest(actor=MODERATOR, slug=slug, nonce="n", **command)  # type: ignore[arg-type]


def added(text: str = "watch out", **target: object) -> cases_pb2.AddNote:
    return cases_pb2.AddNote(text=text, **target)  # type: ignore[arg-type]


def test_notes_as_they_come_and_what_they_came_to() -> None:
    order = order_from_proto(asked(add_note=added(target_user_id=5)))
    assert order == NoteOrder(add(), origin=Origin("", 0, "n"))
    of_guest = order_from_proto(asked(add_note=added(target_username=GUEST.username)))
    assert of_guest == NoteOrder(add(target=GUEST), origin=Origin("", 0, "n"))
    gone = order_from_proto(asked(delete_note=cases_pb2.DeleteNote(note_id=1)))
    assert gone == NoteOrder(delete(), origin=Origin("", 0, "n"))
    assert receipt_to_proto(Receipt(4, note=note()), order).note == note_to_proto(note())
    assert refusal_to_proto(TooManyNotes()).outcome == pb.ExecuteResponse.OUTCOME_TOO_MANY_NOTES
    assert refusal_to_proto(NoteNotFound()).outcome == pb.ExecuteResponse.OUTCOME_NOT_FOUND


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (asked(add_note=added()), "target_user_id"),
        (asked(add_note=added(target_user_id=-1)), "target_user_id"),
        (asked(add_note=added(" ", target_user_id=5)), "text"),
        (asked(add_note=added("x" * 1_001, target_user_id=5)), "text"),
        (asked("", add_note=added(target_user_id=5)), "slug"),
        (asked(delete_note=cases_pb2.DeleteNote()), "note_id"),
    ],
)
def test_what_breaks_the_contract_is_named(message: pb.ExecuteRequest, field: str) -> None:
    with pytest.raises(MalformedRequest, match=field):
        order_from_proto(message)


def test_a_case_as_it_is_shown() -> None:
    warning = RoomWarning(3, "live", ANA, "No links", 9, Rank.MODERATOR, 1_000, WarningState.LAPSED, 1)
    said = LoggedMessage(773, 900, 5, "ana", "hello", "key")
    answer = pb.GetCaseResponse()
    add_case(answer, Case([], [warning], [note()], [], Seen(("ana", "an"), 1, 2), [said]))
    assert answer == pb.GetCaseResponse(
        warnings=[
            cases_pb2.PastWarning(
                id=3, reason="No links", moderator_user_id=9, at_ms=1_000, state=cases_pb2.PastWarning.STATE_LAPSED
            )
        ],
        notes=[note_to_proto(note())],
        names=["ana", "an"],
        first_seen_ms=1,
        last_seen_ms=2,
        messages=[cases_pb2.KeptMessage(id=773, at_ms=900, text="hello")],
    )
    without = pb.GetCaseResponse()
    add_case(without, Case([], [], [], [], Seen(), None))
    assert without == pb.GetCaseResponse(without_messages=True)
    assert person_from_proto(5, "ignored") == ANA
