"""domain/windows.py: exact, bounded, and sound when admissions are carried from another replica."""

import time

from hypothesis import HealthCheck, given, settings, strategies as st

from moderation.domain.windows import CARRY_TOLERANCE_NS, CarryMatcher, SlidingWindowLimiter

LIMIT = 10
WINDOW_NS = 10_000_000_000
MS = 1_000_000
PROOF = settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def windows() -> SlidingWindowLimiter:
    return SlidingWindowLimiter(LIMIT, WINDOW_NS)


def say(subject: SlidingWindowLimiter, at_ns: int, key: object = 1) -> bool:
    if subject.wait_ns(key, at_ns):
        return False
    subject.accept(key, "e:1", at_ns)
    return True


def most_in_any_window(times: list[int]) -> int:
    return max((sum(start <= t < start + WINDOW_NS for t in times) for start in times), default=0)


@PROOF
@given(st.lists(st.integers(0, 3_000 * MS), max_size=200))
def test_never_more_than_10_messages_are_accepted_in_any_window_of_10_seconds(gaps: list[int]) -> None:
    subject, now_ns, accepted = windows(), 0, []
    for gap in gaps:
        now_ns += gap
        if say(subject, now_ns):
            accepted.append(now_ns)
    assert most_in_any_window(accepted) <= LIMIT


@PROOF
@given(st.lists(st.integers(0, 2_000 * MS), min_size=11, max_size=100))
def test_a_message_is_refused_only_where_ten_were_accepted_in_the_window_before_it(gaps: list[int]) -> None:
    subject, now_ns = windows(), 0
    accepted: list[int] = []
    for gap in gaps:
        now_ns += gap
        before = sum(t > now_ns - WINDOW_NS for t in accepted)
        was_accepted = say(subject, now_ns)
        assert was_accepted == (before < LIMIT)
        if was_accepted:
            accepted.append(now_ns)


@PROOF
@given(st.lists(st.integers(0, 800 * MS), min_size=12, max_size=60))
def test_waiting_exactly_as_long_as_told_is_enough_and_a_nanosecond_less_is_not(gaps: list[int]) -> None:
    subject, now_ns = windows(), 0
    for gap in gaps:
        now_ns += gap
        wait_ns = subject.wait_ns(1, now_ns)
        if wait_ns:
            assert subject.wait_ns(1, now_ns + wait_ns - 1) == 1
            assert subject.wait_ns(1, now_ns + wait_ns) == 0
        else:
            say(subject, now_ns)


@PROOF
@given(st.lists(st.tuples(st.integers(0, 2_000 * MS), st.integers(-1, 14)), max_size=100))
def test_a_message_that_is_released_makes_room_for_one_exactly_where_it_was(steps: list[tuple[int, int]]) -> None:
    """Each step says something; the second number: which of what was accepted before is released, -1: none."""
    subject, now_ns, number = windows(), 0, 0
    accepted: dict[int, int] = {}
    for gap, back in steps:
        now_ns += gap
        if back >= 0:
            one = number - back
            subject.release(1, "e:1", one)
            accepted.pop(one, None)
        has_room = sum(at_ns > now_ns - WINDOW_NS for at_ns in accepted.values()) < LIMIT
        assert (subject.wait_ns(1, now_ns) == 0) is has_room
        if has_room:
            number += 1
            subject.accept(1, "e:1", now_ns, number)
            accepted[number] = now_ns


def test_a_speaker_of_whom_everything_was_released_costs_no_memory() -> None:
    subject = windows()
    subject.release(1, "e:1", 1)
    subject.accept(1, "e:1", 0, 1)
    subject.release(1, "e:1", 1)
    assert len(subject) == 0
    subject.accept(2, "e:1", 20 * WINDOW_NS, 2)


def test_a_refused_message_does_not_count() -> None:
    subject = windows()
    assert [say(subject, 0) for _ in range(15)] == [True] * 10 + [False] * 5
    assert say(subject, WINDOW_NS)


def test_speakers_do_not_share_a_window() -> None:
    subject = windows()
    assert all(say(subject, 0, key="a") for _ in range(10))
    assert say(subject, 0, key="b")
    assert not say(subject, 0, key="a")


def test_idle_speakers_cost_no_memory() -> None:
    subject = windows()
    for number in range(5_000):
        say(subject, number * MS * 10, key=number)
    assert len(subject) <= 1_001


def test_carried_admissions_fill_the_window_of_a_new_replica() -> None:
    subject, matcher = windows(), CarryMatcher()
    for number in range(10):
        subject.carry(1, "e:1", number * MS, matcher)
    assert subject.wait_ns(1, 5_000 * MS) == 5_000 * MS


def test_a_carried_admission_that_is_known_here_does_not_count_twice() -> None:
    subject, matcher = windows(), CarryMatcher()
    for _ in range(5):
        subject.accept(1, "e:1", 100 * MS)
    for late_ms in range(5):
        subject.carry(1, "e:1", (100 + late_ms) * MS, matcher)
    assert [say(subject, 200 * MS) for _ in range(6)] == [True] * 5 + [False]


def test_a_carried_admission_of_another_connection_counts_even_at_the_same_moment() -> None:
    subject, matcher = windows(), CarryMatcher()
    for _ in range(5):
        subject.accept(1, "e:1", 100 * MS)
        subject.carry(1, "f:1", 100 * MS, matcher)
    assert not say(subject, 200 * MS)


def test_a_known_admission_of_long_before_is_not_taken_for_a_carried_one() -> None:
    subject, matcher = windows(), CarryMatcher()
    for at_ms in (100, 2_200):
        subject.accept(1, "e:1", at_ms * MS)
    subject.carry(1, "e:1", 2_200 * MS, matcher)
    subject.carry(1, "e:1", 2_300 * MS, matcher)
    assert [say(subject, 3_000 * MS) for _ in range(8)] == [True] * 7 + [False]


def test_each_known_admission_is_taken_for_one_carried_one_only() -> None:
    subject, matcher = windows(), CarryMatcher()
    subject.accept(1, "e:1", 100 * MS)
    for _ in range(10):
        subject.carry(1, "e:1", 100 * MS, matcher)
    assert not say(subject, 200 * MS)


@PROOF
@given(
    st.lists(st.integers(0, 7_000), max_size=10),
    st.lists(st.booleans(), max_size=10),
    st.integers(0, 1_500),
)
def test_carrying_to_a_replica_that_knows_a_part_gives_the_window_of_one_that_knew_all(
    times_ms: list[int], known: list[bool], delay_ms: int
) -> None:
    """An edge went from this replica to another and back; its times are late by the way there."""
    subject, matcher = windows(), CarryMatcher()
    times_ms = sorted(times_ms)
    for at_ms, is_known in zip(times_ms, known, strict=False):
        if is_known:
            subject.accept(1, "e:1", at_ms * MS)
    for at_ms in times_ms:
        subject.carry(1, "e:1", (at_ms + delay_ms) * MS, matcher)
    free = sum(say(subject, 9_000 * MS) for _ in range(LIMIT + 1))
    assert free == LIMIT - len(times_ms)


def test_the_latest_admissions_stand_where_more_than_the_limit_are_carried() -> None:
    subject, matcher = windows(), CarryMatcher()
    for number in reversed(range(15)):
        subject.carry(1, "e:1", number * 100 * MS, matcher)
    assert subject.wait_ns(1, 1_400 * MS) == WINDOW_NS + 500 * MS - 1_400 * MS


def test_a_lifted_limit_costs_memory_for_what_was_admitted_in_the_window_alone() -> None:
    subject = SlidingWindowLimiter(10**9, WINDOW_NS)
    step_ns = 10 * MS
    for turn in range(5_000):
        assert say(subject, turn * step_ns)
    held = len(subject._speakers[1])  # shows nowhere else
    assert held <= (WINDOW_NS + CARRY_TOLERANCE_NS) // step_ns + 1


def test_carrying_costs_in_proportion_to_what_is_carried_however_high_the_limit() -> None:
    """Comparing each of 40,000 with each of 20,000 takes minutes."""
    subject, matcher = SlidingWindowLimiter(10**9, WINDOW_NS), CarryMatcher()
    step_ns = WINDOW_NS // 20_000
    for turn in range(20_000):
        subject.accept(1, "e:1", turn * step_ns)
    before = time.process_time()
    for turn in range(20_000):
        subject.carry(1, "e:1", turn * step_ns + MS, matcher)
        subject.carry(1, "f:1", turn * step_ns, matcher)
    assert not subject.wait_ns(1, WINDOW_NS)
    assert time.process_time() - before < 20
    assert len(subject._speakers[1]) == 40_000  # shows nowhere else


def test_what_this_replica_accepts_after_carrying_began_is_not_taken_for_what_is_carried_later() -> None:
    subject, matcher = windows(), CarryMatcher()
    subject.carry(1, "e:1", 100 * MS, matcher)
    for _ in range(4):
        assert say(subject, 200 * MS)
    for _ in range(4):
        subject.carry(1, "e:1", 200 * MS, matcher)
    assert [say(subject, 300 * MS) for _ in range(2)] == [True, False]


def test_an_idle_speaker_with_a_fresh_carried_admission_is_not_forgotten() -> None:
    subject, matcher = windows(), CarryMatcher()
    for _ in range(9):
        say(subject, 0, key="a")
    for number in range(10):
        subject.carry("a", "f:1", 9_000 * MS + number, matcher)
    say(subject, 10_001 * MS, key="b")
    assert not say(subject, 10_002 * MS, key="a")
