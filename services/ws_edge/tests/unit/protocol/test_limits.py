"""Sliding windows: exact, small, and forgotten when idle."""

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from ws_edge.protocol.identity import Identity, Rank, Speaker, UserId
from ws_edge.protocol.limits import LocalLimiter, SlidingWindow, SlidingWindowLimiter

# The same examples every time, and no deadline for a busy machine to miss.
PROOF = settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def test_a_window_admits_its_limit_and_no_more() -> None:
    window = SlidingWindow(3, 10.0)
    assert [window.admit(0.0), window.admit(1.0), window.admit(2.0), window.admit(3.0)] == [True, True, True, False]


def test_a_window_slides_and_does_not_start_over() -> None:
    window = SlidingWindow(2, 10.0)
    assert window.admit(0.0)
    assert window.admit(9.0)
    assert not window.admit(9.999)
    assert window.admit(10.0)
    assert not window.admit(18.999)
    assert window.admit(19.0)


def test_what_is_refused_does_not_count() -> None:
    window = SlidingWindow(1, 10.0)
    assert window.admit(0.0)
    assert not window.admit(9.0)
    assert window.admit(10.0)


def test_a_window_tells_when_there_is_room_again() -> None:
    window = SlidingWindow(2, 10.0)
    assert window.retry_after_s(0.0) == 0.0
    window.admit(1.0)
    assert window.retry_after_s(1.0) == 0.0
    window.admit(2.0)
    assert window.retry_after_s(4.0) == 7.0
    assert window.retry_after_s(11.0) == 0.0


def test_a_window_without_a_limit_admits_everything_and_remembers_nothing() -> None:
    window = SlidingWindow(0, 10.0)
    assert all(window.admit(0.0) for _ in range(100))
    assert not window.is_full(0.0)
    assert window.retry_after_s(0.0) == 0.0
    assert window.is_idle(0.0)


def test_what_happened_anyway_fills_the_window_and_not_the_memory() -> None:
    window = SlidingWindow(2, 10.0)
    for at in range(5):
        window.record(float(at))
    assert window.is_full(5.0)
    assert window.retry_after_s(5.0) == 8.0


def test_a_window_is_idle_before_its_first_event_and_a_window_after_its_last() -> None:
    window = SlidingWindow(2, 10.0)
    assert window.is_idle(0.0)
    window.admit(0.0)
    assert not window.is_idle(9.0)
    assert window.is_idle(10.0)


def test_a_lowered_limit_holds_for_what_was_counted_before() -> None:
    window = SlidingWindow(3, 10.0)
    for at in (0.0, 1.0, 2.0):
        window.admit(at)
    window.limit = 1
    assert not window.admit(3.0)
    assert window.retry_after_s(3.0) == 9.0
    assert window.admit(12.0)


# Whole numbers, so that the test's own arithmetic is as exact as what it proves.
@given(st.integers(1, 5), st.lists(st.integers(0, 7), max_size=60))
@PROOF
def test_no_window_ever_holds_more_than_the_limit_and_nothing_is_refused_needlessly(
    limit: int, pauses: list[int]
) -> None:
    window, now, admitted = SlidingWindow(limit, 10.0), 0, list[int]()
    for pause in pauses:
        now += pause
        recent = [at for at in admitted if at > now - 10]
        expected_wait = 0 if len(recent) < limit else recent[-limit] + 10 - now
        assert window.retry_after_s(now) == expected_wait
        assert window.admit(now) is (len(recent) < limit)
        if len(recent) < limit:
            admitted.append(now)


# --- LocalLimiter ----------------------------------------------------------------------------------------------------


def _user(user_id: int, connection: str = "e:1") -> Speaker:
    identity = Identity(UserId(user_id), "ana", None, (), Rank.USER, None)
    return Speaker(identity, "192.0.2.1", connection)


def _anonymous(connection: str, address: str = "192.0.2.1") -> Speaker:
    identity = Identity(None, f"Anonymous_{address}", None, (), Rank.ANONYMOUS, None)
    return Speaker(identity, address, connection)


def test_a_user_has_one_limit_over_all_connections() -> None:
    limiter = LocalLimiter(2, 10.0, 100)
    assert limiter.admit_or_wait_ms(_user(7, "e:1"), 0.0) == 0
    assert limiter.admit_or_wait_ms(_user(7, "e:2"), 1.0) == 0
    assert limiter.admit_or_wait_ms(_user(7, "e:3"), 2.5) == 7500
    assert limiter.admit_or_wait_ms(_user(8, "e:4"), 2.5) == 0
    assert limiter.admit_or_wait_ms(_user(7, "e:1"), 10.0) == 0


def test_each_anonymous_connection_has_a_limit_and_all_of_an_address_another() -> None:
    limiter = LocalLimiter(2, 10.0, 3)
    assert [limiter.admit_or_wait_ms(_anonymous("e:1"), 0.0) for _ in range(3)] == [0, 0, 10_000]
    assert limiter.admit_or_wait_ms(_anonymous("e:2"), 1.0) == 0
    assert limiter.admit_or_wait_ms(_anonymous("e:2"), 2.0) == 8000
    assert limiter.admit_or_wait_ms(_anonymous("e:3", "192.0.2.2"), 2.0) == 0


def test_what_is_released_counts_no_more_where_it_was_and_nothing_else_does() -> None:
    limiter = LocalLimiter(2, 10.0, 2)
    for at_s in (0.0, 5.0):
        assert limiter.admit_or_wait_ms(_anonymous("e:1"), at_s) == 0
    limiter.release(_anonymous("e:1"), 5.0)
    limiter.release(_anonymous("e:1"), 5.0)
    limiter.release(_anonymous("e:9", "192.0.2.9"), 5.0)
    assert limiter.admit_or_wait_ms(_anonymous("e:1"), 6.0) == 0
    assert limiter.admit_or_wait_ms(_anonymous("e:1"), 7.0) == 3000
    assert limiter.admit_or_wait_ms(_anonymous("e:2"), 7.0) == 3000


def test_what_the_address_refuses_does_not_count_for_the_connection() -> None:
    limiter = LocalLimiter(1, 10.0, 1)
    assert limiter.admit_or_wait_ms(_anonymous("e:1"), 0.0) == 0
    assert limiter.admit_or_wait_ms(_anonymous("e:2"), 5.0) == 5000
    assert limiter.admit_or_wait_ms(_anonymous("e:2"), 10.0) == 0


def test_a_signed_in_user_does_not_use_up_the_limit_of_the_address() -> None:
    limiter = LocalLimiter(5, 10.0, 1)
    assert limiter.admit_or_wait_ms(_user(7), 0.0) == 0
    assert limiter.admit_or_wait_ms(_anonymous("e:2"), 0.0) == 0


def test_the_wait_is_never_told_too_short() -> None:
    limiter = LocalLimiter(1, 10.0, 0)
    assert limiter.admit_or_wait_ms(_user(7), 0.0) == 0
    assert limiter.admit_or_wait_ms(_user(7), 9.99999) == 1
    assert limiter.admit_or_wait_ms(_user(7), 9.9985) == 2


def test_what_moderation_admitted_counts_when_it_goes_away() -> None:
    limiter = LocalLimiter(2, 10.0, 100)
    limiter.record(_user(7), 0.0)
    limiter.record(_user(7), 1.0)
    assert limiter.admit_or_wait_ms(_user(7), 2.0) == 8000


def test_new_limits_hold_for_what_was_counted_before() -> None:
    limiter = LocalLimiter(2, 10.0, 100)
    assert limiter.admit_or_wait_ms(_anonymous("e:1"), 0.0) == 0
    limiter.configure(2, 10.0, 100)
    assert limiter.admit_or_wait_ms(_anonymous("e:1"), 0.0) == 0
    limiter.configure(3, 20.0, 4)
    assert limiter.admit_or_wait_ms(_anonymous("e:1"), 11.0) == 0
    assert limiter.admit_or_wait_ms(_anonymous("e:1"), 11.0) == 9000
    assert limiter.admit_or_wait_ms(_anonymous("e:2"), 11.0) == 0
    assert limiter.admit_or_wait_ms(_anonymous("e:2"), 11.0) == 9000


@pytest.mark.parametrize("counts", ["admit_or_wait_ms", "record"])
def test_those_who_fell_silent_are_forgotten(counts: str) -> None:
    limiter = LocalLimiter(2, 10.0, 100)
    count = getattr(limiter, counts)
    for n in range(50):
        count(_anonymous(f"e:{n}", f"192.0.2.{n}"), 0.0)
    count(_user(7), 9.0)
    assert len(limiter) == 101
    count(_user(8), 10.0)
    assert len(limiter) == 2
    count(_user(8), 25.0)
    assert len(limiter) == 1


# --- by address ------------------------------------------------------------------------------------------------------


def test_each_address_has_a_window_of_its_own() -> None:
    windows = SlidingWindowLimiter(2, 1.0)
    assert [
        windows.admit_or_wait_s("a", 0.0),
        windows.admit_or_wait_s("a", 0.25),
        windows.admit_or_wait_s("b", 0.25),
    ] == [0.0, 0.0, 0.0]
    assert windows.admit_or_wait_s("a", 0.5) == 0.5, "in so many seconds the first one is over"
    assert windows.admit_or_wait_s("a", 1.0) == 0.0
    assert windows.admit_or_wait_s("a", 1.0) == 0.25


def test_without_a_limit_by_address_nothing_is_remembered() -> None:
    windows = SlidingWindowLimiter(0, 1.0)
    assert [windows.admit_or_wait_s("a", 0.0) for _ in range(1000)] == [0.0] * 1000
    assert len(windows) == 0


def test_addresses_that_came_with_nothing_for_a_window_are_forgotten() -> None:
    windows = SlidingWindowLimiter(1, 1.0)
    for number in range(100):
        windows.admit_or_wait_s(str(number), 0.0)
    assert len(windows) == 100
    windows.admit_or_wait_s("0", 0.5)
    windows.admit_or_wait_s("new", 1.0)
    assert len(windows) == 1
    windows.admit_or_wait_s("new", 5.0)
    assert len(windows) == 1


def test_of_too_many_addresses_the_one_not_heard_of_for_longest_is_forgotten() -> None:
    windows = SlidingWindowLimiter(1, 1.0, most_addresses=2)
    assert [windows.admit_or_wait_s(address, 0.0) for address in ("a", "b")] == [0.0, 0.0]
    assert windows.admit_or_wait_s("a", 0.5) == 0.5
    assert windows.admit_or_wait_s("c", 0.5) == 0.0
    assert len(windows) == 2
    assert windows.admit_or_wait_s("a", 0.5) == 0.5, "which refused it is still"
    assert windows.admit_or_wait_s("b", 0.5) == 0.0, "which was forgotten"
