"""Where a stream that lost its end goes on is decided once, whoever asks and in whatever order."""

from rooms.domain.log_position import MARGIN, LogPosition, Resumption, resume, seen


def test_what_was_seen_only_ever_raises() -> None:
    assert seen(LogPosition(5), 9) == LogPosition(9)
    assert seen(LogPosition(9, 3), 5) == LogPosition(9, 3)


def test_a_stream_that_is_behind_goes_on_a_margin_above_what_was_told() -> None:
    raised = 100 + MARGIN
    assert resume(LogPosition(100), 100) == Resumption(LogPosition(raised, raised), raised + 1)


def test_everybody_who_asks_before_something_was_stored_is_told_the_same() -> None:
    first = resume(LogPosition(100), 100)
    assert resume(first.position, first.position.highest) == first


def test_a_decision_is_not_made_on_a_number_that_does_not_hold_any_more() -> None:
    first = resume(LogPosition(100), 100)
    assert resume(first.position, 100) == Resumption(first.position, 0)
    stored = seen(first.position, first.purge_to + 4)
    assert resume(stored, first.position.highest) == Resumption(stored, 0)


def test_a_sequence_of_before_that_is_told_late_changes_nothing() -> None:
    first = resume(LogPosition(100), 100)
    late = seen(first.position, 120)
    assert resume(late, late.highest) == first


def test_a_stream_that_is_lost_once_more_goes_on_higher_still() -> None:
    first = resume(LogPosition(100), 100)
    stored = seen(first.position, first.purge_to + 4)
    second = resume(stored, stored.highest)
    assert second.purge_to == first.purge_to + 4 + MARGIN + 1
