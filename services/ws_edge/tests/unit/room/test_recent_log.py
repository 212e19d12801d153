"""The entries that a room holds for those who come back: without a gap, within bounds."""

import pytest

from ws_edge.protocol.identity import MessageId, UserId
from ws_edge.protocol.log import LogEntry, MessageDeleted, StoredMessage
from ws_edge.protocol.references import ResumePoint, parse_resume_point
from ws_edge.room.erasures import Erasures
from ws_edge.room.recent_log import REPLAY_LIMIT, RecentLog

AT = "2025-11-27T16:30:00.000Z"


def entry(id: int, prev_id: int | None = None) -> StoredMessage:
    before = MessageId(id - 1 if prev_id is None else prev_id)
    return StoredMessage(MessageId(id), before, AT, str(id), UserId(7), "ana", "e", 1, "")


def ids(entries: list[LogEntry] | None) -> list[int] | None:
    return None if entries is None else [each.id for each in entries]


def recent(last_id: int) -> RecentLog:
    return RecentLog(MessageId(last_id), now_s=0.0)


def test_what_is_shown_after_it_began_is_held_and_what_lies_before_is_not() -> None:
    held = recent(10)
    held.append(entry(11))
    held.append(entry(12))
    assert ids(held.since(MessageId(10))) == [11, 12]
    assert ids(held.since(MessageId(11))) == [12]
    assert held.since(MessageId(9)) is None


def test_what_was_read_goes_before_what_is_shown_meanwhile() -> None:
    held = recent(10)
    held.append(entry(11))
    assert held.prepend([entry(8), entry(9), entry(10), entry(11)], after=MessageId(7), reaches=MessageId(11))
    assert ids(held.since(MessageId(7))) == [8, 9, 10, 11]
    assert held.since(MessageId(6)) is None


def test_what_was_read_and_does_not_reach_to_what_is_held_is_not_taken() -> None:
    held = recent(10)
    assert not held.prepend([entry(8), entry(9)], after=MessageId(7), reaches=MessageId(9))
    assert held.since(MessageId(7)) is None
    assert ids(held.since(MessageId(10))) == []


def test_a_read_that_gives_less_than_is_held_changes_nothing() -> None:
    held = recent(10)
    assert held.prepend([entry(9), entry(10)], after=MessageId(8), reaches=MessageId(10))
    assert held.prepend([entry(10)], after=MessageId(9), reaches=MessageId(10))
    assert ids(held.since(MessageId(8))) == [9, 10]


def test_a_frame_is_encoded_once_for_all_and_let_go_of_with_its_entry() -> None:
    held = recent(0)
    encoded: list[tuple[int, int]] = []

    def encode(each: LogEntry, prev_id: MessageId, without_emotes: bool) -> bytes:
        encoded.append((each.id, prev_id))
        return b"plain" if without_emotes else b"frame"

    for number in range(1, REPLAY_LIMIT + 2):
        held.append(entry(number))
        held.frame_of(entry(number), MessageId(number - 1), encode)
    assert held.frame_of(entry(REPLAY_LIMIT), MessageId(REPLAY_LIMIT - 1), encode) == b"frame"
    assert len(encoded) == REPLAY_LIMIT + 1
    held.frame_of(entry(REPLAY_LIMIT), MessageId(7), encode)  # what lay between was taken back
    assert encoded[REPLAY_LIMIT + 1 :] == [(REPLAY_LIMIT, 7)]
    assert len(held._frames) == REPLAY_LIMIT
    assert held.frame_of(entry(9), MessageId(8), encode, without_emotes=True) == b"plain"
    assert held.frame_of(entry(9), MessageId(8), encode) == b"frame"
    for number in range(REPLAY_LIMIT + 2, 2 * REPLAY_LIMIT + 2):
        held.append(entry(number))
    assert not held._frames


def test_the_addresses_of_an_entry_are_counted_once_as_long_as_it_is_held() -> None:
    held, counted = recent(0), list[int]()

    def count(each: LogEntry) -> int:
        counted.append(each.id)
        return 7

    held.append(entry(1))
    assert [held.addresses_of(entry(1), count) for _ in range(2)] == [7, 7]
    held.append(entry(2))
    erasures = Erasures()
    erasures.note([MessageDeleted(MessageId(3), MessageId(2), AT, MessageId(1), UserId(7), "ana", None)])
    held.drop(erasures)
    assert (counted, held._addresses) == ([1], {})


def test_what_was_taken_back_is_let_go_of_and_what_lies_around_it_has_no_gap() -> None:
    held = recent(0)
    for number in range(1, 4):
        held.append(entry(number))
    erasures = Erasures()
    erasures.note([MessageDeleted(MessageId(4), MessageId(3), AT, MessageId(2), UserId(7), "ana", None)])
    held.drop(erasures)
    held.append(entry(4))
    assert ids(held.since(MessageId(0))) == [1, 3, 4]
    assert ids(held.since(MessageId(2))) == [3, 4]


def test_an_entry_behind_a_gap_leaves_nothing_before_it() -> None:
    held = recent(10)
    held.append(entry(11))
    held.append(entry(15, prev_id=13))
    assert held.since(MessageId(10)) is None
    assert held.since(MessageId(12)) is None
    assert ids(held.since(MessageId(13))) == [15]


def test_the_oldest_go_where_there_are_too_many() -> None:
    held = recent(0)
    for number in range(1, REPLAY_LIMIT + 3):
        held.append(entry(number))
    assert held.since(MessageId(1)) is None
    assert ids(held.since(MessageId(2))) == list(range(3, REPLAY_LIMIT + 3))


def test_of_what_was_read_the_oldest_go_where_there_are_too_many() -> None:
    held = recent(10)
    held.append(entry(11))
    read = [entry(number) for number in range(11 - REPLAY_LIMIT, 11)]
    assert held.prepend(read, after=MessageId(10 - REPLAY_LIMIT), reaches=MessageId(10))
    assert held.since(MessageId(10 - REPLAY_LIMIT)) is None
    assert ids(held.since(MessageId(11 - REPLAY_LIMIT))) == list(range(12 - REPLAY_LIMIT, 12))


@pytest.mark.parametrize(
    ("since", "id"),
    [("0", 0), ("42", 42), ("9007199254740991", 2**53 - 1)]
    + [(raw, None) for raw in ("", "-1", "1.5", "abc", "9007199254740992", "٣", " 1", "1" * 5000)],
)
def test_since_is_an_id_or_nothing(since: str, id: int | None) -> None:
    assert parse_resume_point(since, "3.1") == ResumePoint(None if id is None else MessageId(id), "3.1")


@pytest.mark.parametrize(
    ("epoch", "life"),
    [("3.1", 3), ("9007199254740991.a.b", 2**53 - 1)]
    + [(raw, None) for raw in ("", ".", "0.1", "x.1", "-3.1", "9007199254740992.1", "٣.1", "1" * 5000)],
)
def test_an_epoch_names_its_life_or_none(epoch: str, life: int | None) -> None:
    assert ResumePoint(None, epoch).life == life
