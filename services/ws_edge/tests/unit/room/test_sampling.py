"""Which messages viewers are shown where a room shows them so many a second."""

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given, settings, strategies as st

from ws_edge.protocol.identity import MessageId, UserId
from ws_edge.protocol.log import LogEntry, MessageDeleted, StoredMessage
from ws_edge.room import sampling
from ws_edge.room.sampling import (
    Passed,
    SampledLane,
    is_sampled,
    left_of_second_s,
    mentioned_in,
    second_of,
    shown_in_second,
)


def said(
    number: int, author: int = 1, *, limit: int = 5, role: str | None = "user", second: int = 0, prev: int | None = None
) -> StoredMessage:
    at = f"2025-11-27T16:30:{second:02}.250Z"
    before = MessageId(number - 1 if prev is None else prev)
    user_id = UserId(author) if role else None
    about = (user_id, f"user_{author}", "e2", 0, "")
    return StoredMessage(MessageId(number), before, at, f"m{number}", *about, role=role, max_shown=limit)


def deletion(number: int, second: int = 0) -> MessageDeleted:
    at = f"2025-11-27T16:30:{second:02}.250Z"
    return MessageDeleted(MessageId(number), MessageId(number - 1), at, MessageId(1), UserId(1), "user_1", None)


def ids(passed: Sequence[Passed]) -> list[int]:
    return [one.entry.id for one in passed if one.is_shown]


def lane(last_id: int = 0) -> SampledLane:
    return SampledLane(MessageId(last_id), lambda entry: entry)


def test_a_second_with_no_more_than_the_limit_is_shown_whole() -> None:
    assert shown_in_second([said(number) for number in range(1, 6)]) == {1, 2, 3, 4, 5}
    assert shown_in_second([said(number, limit=0) for number in range(1, 7)]) == {1, 2, 3, 4, 5, 6}
    assert shown_in_second([]) == set()


def test_above_it_each_author_is_shown_at_most_once() -> None:
    assert len(shown_in_second([said(number) for number in range(1, 7)])) == 1
    messages = [said(number, number % 3) for number in range(1, 31)]
    shown = shown_in_second(messages)
    assert sorted(message.user_id or 0 for message in messages if message.id in shown) == [0, 1, 2]
    anonymous = [said(number, number % 2, role=None) for number in range(1, 31)]
    assert len(shown_in_second(anonymous)) == 2


def test_those_who_are_exempt_are_all_shown_and_take_places() -> None:
    exempt = [said(number, role=role) for number, role in enumerate(("moderator", "vip", "owner", "admin"), 1)]
    others = [said(number, number) for number in range(5, 50)]
    shown = shown_in_second([*exempt, *others])
    assert {1, 2, 3, 4} < shown
    assert len(shown) == 5
    many = [said(number, role="moderator") for number in range(1, 10)]
    assert shown_in_second([*many, *others[5:]]) == set(range(1, 10))


def test_what_has_no_limit_is_shown_and_the_lowest_limit_holds() -> None:
    plain = [said(number, number, limit=0) for number in range(1, 4)]
    limited = [said(number, number, limit=200) for number in range(4, 50)]
    shown = shown_in_second([*plain, *limited, said(50, 50, limit=5)])
    assert {1, 2, 3} < shown
    assert len(shown) == 5


def test_who_is_shown_is_drawn_and_neither_the_fastest_nor_the_slowest_wins() -> None:
    counts: Counter[int] = Counter()
    for second in range(400):
        messages = [said(1000 * second + author, author) for author in range(1, 21)]
        counts.update(number % 1000 for number in shown_in_second(messages))
    assert sum(counts.values()) == 400 * 5
    assert min(counts.values()) > 60
    assert max(counts.values()) < 140


def test_a_second_is_the_stream_s() -> None:
    assert second_of(said(1, second=7)) == "2025-11-27T16:30:07"
    assert left_of_second_s(said(1)) == 0.75


def test_names_are_mentioned_by_a_sign_before_them() -> None:
    assert mentioned_in("nobody, mail@") == ()
    assert mentioned_in("@Ana: (@bob) @ana… @@cy") == ("ana", "bob", "cy")
    assert len(mentioned_in(" ".join(f"@user_{number}" for number in range(20)))) == 10


# --- in the order of the log ------------------------------------------------------------------------------------------


def test_a_message_waits_until_its_second_is_over_and_who_is_exempt_does_not() -> None:
    subject = lane()
    assert ids(subject.add(said(1, role="moderator"), None)) == [1]
    assert subject.waits_for is None
    assert ids(subject.add(said(2), None)) == []
    assert subject.waits_for == "2025-11-27T16:30:00"
    assert ids(subject.add(said(3, role="moderator"), None)) == []
    assert ids(subject.second_over("2025-11-27T16:30:00")) == [2, 3]
    assert subject.is_straight


def test_an_entry_of_a_later_second_ends_one() -> None:
    subject = lane()
    subject.add(said(1), None)
    assert ids(subject.add(deletion(2, second=1), None)) == [1, 2]
    subject.add(said(3, second=1), None)
    assert ids(subject.add(said(4, second=2), None)) == [3]
    assert subject.last_id == 3


def test_prev_id_leads_to_what_was_shown_before_and_skipped_says_how_many_lie_between() -> None:
    subject = lane()
    for number in range(1, 11):
        subject.add(said(number), None)
    passed = subject.add(deletion(11, second=1), None)
    shown = [one for one in passed if one.is_shown]
    assert [one.entry.id for one in passed] == list(range(1, 12))
    assert (shown[0].prev_id, shown[0].skipped) == (0, shown[0].entry.id - 1)
    assert (shown[1].prev_id, shown[1].skipped) == (shown[0].entry.id, 10 - shown[0].entry.id)
    assert subject.is_straight


def test_where_the_last_messages_were_left_out_viewers_are_behind() -> None:
    subject = lane()
    for number in range(1, 40):
        subject.add(said(number), None)
    passed = subject.second_over("2025-11-27T16:30:00")
    assert subject.is_straight == (ids(passed) == [39])
    assert subject.last_id == 39


def test_what_was_taken_back_meanwhile_is_neither_shown_nor_counted() -> None:
    gone = {1, 2}
    subject = SampledLane(MessageId(0), lambda entry: None if entry.id in gone else entry)
    for number in range(1, 4):
        subject.add(said(number), None)
    passed = subject.second_over("2025-11-27T16:30:00")
    assert [(one.entry.id, one.prev_id, one.skipped) for one in passed] == [(3, 0, 0)]


def test_a_second_that_had_begun_is_judged_by_what_lay_before_as_well() -> None:
    subject = lane(9)
    subject.add(said(10, 10), None)
    assert subject.unread == 10
    assert ids(subject.add(said(11, 11, second=1), None)) == []
    earlier = [said(number, number) for number in range(1, 10)]
    whole = shown_in_second([*earlier, said(10, 10)])
    assert ids(subject.earlier_read([*earlier, said(12, 12, second=1)])) == [number for number in whole if number == 10]
    assert subject.unread is None
    assert ids(subject.second_over("2025-11-27T16:30:01")) == [11]


def test_nothing_is_read_before_a_message_comes_that_may_be_left_out() -> None:
    subject = lane(9)
    assert ids(subject.add(said(10, limit=0), None)) == [10]
    assert ids(subject.add(said(11, role="vip"), None)) == [11]
    assert subject.unread is None
    assert not subject.add(said(12, 12), None)
    assert subject.unread == 12
    assert not subject.second_over("2025-11-27T16:30:00")
    earlier = [said(number, number, limit=0) for number in range(6, 10)]
    assert 12 not in shown_in_second([*earlier, said(10, limit=0), said(11, role="vip"), said(12, 12)])
    assert not ids(subject.earlier_read([*earlier, said(10, limit=0), said(11, role="vip")]))
    assert not subject.waits_for
    subject.add(said(13), None)
    assert subject.unread is None


def test_nothing_is_read_of_a_second_of_which_nothing_may_be_left_out() -> None:
    subject = lane(9)
    subject.add(said(10, limit=0), None)
    assert not subject.add(said(11, second=1), None)
    assert subject.unread is None
    assert ids(subject.second_over("2025-11-27T16:30:01")) == [11]


def test_a_gap_before_what_is_never_left_out_is_read_where_something_waits() -> None:
    subject = lane()
    assert not subject.add(said(1), None)
    subject.add(said(5, limit=0, prev=4), None)
    assert subject.unread == 5


def test_the_first_entry_of_a_log_has_nothing_before_it() -> None:
    subject = lane()
    subject.add(said(7, prev=0), None)
    assert subject.unread is None


def test_behind_a_gap_prev_id_shows_it_and_its_second_is_read_again() -> None:
    subject = lane()
    subject.add(said(1), None)
    passed = subject.add(said(5, second=1, prev=4), None)
    assert (ids(passed), subject.unread) == ([1], 5)
    assert ids(subject.second_over("2025-11-27T16:30:01")) == []
    passed = subject.earlier_read([])
    assert [(one.entry.id, one.prev_id) for one in passed] == [(5, 4)]


def test_a_stream_whose_clock_was_put_back_holds_nothing_up() -> None:
    subject = lane()
    subject.add(said(1, second=9), None)
    subject.add(said(2, second=3), None)
    assert subject.waits_for == "2025-11-27T16:30:09"
    assert ids(subject.add(said(3, second=10), None)) == [1, 2]


def test_more_than_can_wait_is_judged_by_what_came(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "WAITING_LIMIT", 3)
    subject = lane(9)
    for number in range(10, 13):
        assert not subject.add(said(number, number), None)
    assert ids(subject.add(said(13, 13), None)) == [10, 11, 12, 13]
    assert subject.unread is None


MESSAGES = st.tuples(
    st.integers(0, 12),  # author
    st.sampled_from([0, 5, 5, 5, 6]),  # limit
    st.sampled_from([None, "user", "user", "user", "vip", "moderator"]),
    st.sampled_from([0, 0, 0, 0, 0, 0, 0, 1]),  # seconds since the one before
    st.booleans(),
)


@settings(deadline=None, max_examples=300)
@given(drawn=st.lists(MESSAGES, max_size=60), data=st.data())
def test_viewers_are_shown_the_same_wherever_an_edge_begins_and_whatever_its_timers_do(
    drawn: list[tuple[int, int, str | None, int, bool]], data: st.DataObject
) -> None:
    log: list[LogEntry] = []
    second = 0
    for number, (author, limit, role, later, _) in enumerate(drawn, 1):
        second += later
        log.append(said(number, author, limit=limit, role=role, second=second))
    begin = data.draw(st.integers(0, len(log)))
    timers = [heard for *_, heard in drawn]
    whole, part = run(log, 0, [False] * len(log)), run(log, begin, timers)
    assert [one.entry.id for one in whole] == [entry.id for entry in log]
    assert ids(part) == [number for number in ids(whole) if number > begin]
    judge(log, whole)


def run(log: Sequence[LogEntry], begin: int, timers: Sequence[bool]) -> list[Passed]:
    """A lane from there on; where a timer may end a second, it does so at once."""
    subject, passed = lane(begin), list[Passed]()
    for position, entry in enumerate(log[begin:], begin):
        passed += subject.add(entry, None)
        is_last = position + 1 == len(log) or second_of(log[position + 1]) > second_of(entry)
        if is_last and timers[position]:
            passed += subject.second_over(second_of(entry))
        if subject.unread is not None and timers[position]:
            passed += read(subject, log)
    passed += read(subject, log)
    return passed + subject.second_over("9")


def read(subject: SampledLane, log: Sequence[LogEntry]) -> list[Passed]:
    before = subject.unread
    if before is None:
        return []
    return subject.earlier_read([entry for entry in log if isinstance(entry, StoredMessage) and entry.id < before])


def judge(log: Sequence[LogEntry], passed: Sequence[Passed]) -> None:
    shown_id, skipped = 0, 0
    shown: dict[str, list[StoredMessage]] = {}
    for one in passed:
        assert (one.prev_id, one.skipped) == (shown_id, skipped)
        skipped += 1
        if one.is_shown:
            shown_id, skipped = one.entry.id, 0
            assert isinstance(one.entry, StoredMessage)
            shown.setdefault(second_of(one.entry), []).append(one.entry)
    for second, messages in shown.items():
        sampled = [message for message in messages if is_sampled(message)]
        exempt = len(messages) - len(sampled)
        every = [entry for entry in log if isinstance(entry, StoredMessage) and second_of(entry) == second]
        limit = min((message.max_shown for message in every if message.max_shown), default=len(every))
        assert exempt == sum(not is_sampled(message) for message in every)
        assert not sampled or len(messages) <= limit
