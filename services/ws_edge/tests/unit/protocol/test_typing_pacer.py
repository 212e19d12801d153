"""The pace of typing in crowded rooms."""

from hypothesis import HealthCheck, given, settings, strategies as st

from ws_edge.protocol.identity import UserId
from ws_edge.protocol.typing_state import Transition, TypingPacer

# The same examples every time, and no deadline for a busy machine to miss.
PROOF = settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def _start(user_id: int) -> Transition:
    return Transition(f"u:{user_id}", UserId(user_id), "ana", active=True, at_ms=0)


def _stop(user_id: int) -> Transition:
    return Transition(f"u:{user_id}", UserId(user_id), "ana", active=False, at_ms=0)


def test_everything_is_shown_in_a_room_that_is_not_crowded() -> None:
    pacer = TypingPacer()
    for n in range(100):
        assert pacer.changed(_start(n), crowded=False, now=0.0) == [_start(n)]
        assert pacer.changed(_stop(n), crowded=False, now=0.0) == [_stop(n)]
    assert pacer.next_deadline(0.0) is None


def test_a_crowded_room_is_shown_10_frames_a_second() -> None:
    pacer = TypingPacer()
    shown = [pacer.changed(_start(n), crowded=True, now=0.0) for n in range(12)]
    assert shown == [[_start(n)] for n in range(10)] + [[], []]
    assert pacer.changed(_start(12), crowded=True, now=0.9) == []
    assert pacer.changed(_start(13), crowded=True, now=1.0) == [_start(13)]


def test_the_stop_of_a_start_that_was_not_shown_is_not_shown() -> None:
    pacer = TypingPacer(1)
    assert pacer.changed(_start(1), crowded=True, now=0.0) == [_start(1)]
    assert pacer.changed(_start(2), crowded=True, now=0.0) == []
    assert pacer.changed(_stop(2), crowded=True, now=5.0) == []


def test_a_stop_waits_for_room_and_comes_before_any_start() -> None:
    pacer = TypingPacer(1)
    pacer.changed(_start(1), crowded=True, now=0.0)
    assert pacer.changed(_stop(1), crowded=True, now=0.5) == []
    assert pacer.next_deadline(0.5) == 1.0
    assert pacer.due(0.9, crowded=True) == []
    assert pacer.changed(_start(2), crowded=True, now=1.0) == [_stop(1)]
    assert pacer.next_deadline(1.0) is None


def test_a_stop_that_waited_is_shown_when_its_time_comes() -> None:
    pacer = TypingPacer(1)
    pacer.changed(_start(1), crowded=True, now=0.0)
    pacer.changed(_stop(1), crowded=True, now=0.5)
    assert pacer.due(1.0, crowded=True) == [_stop(1)]
    assert pacer.due(5.0, crowded=True) == []


def test_who_types_again_before_the_stop_was_shown_never_stopped() -> None:
    pacer = TypingPacer(1)
    pacer.changed(_start(1), crowded=True, now=0.0)
    pacer.changed(_stop(1), crowded=True, now=0.1)
    assert pacer.changed(_start(1), crowded=True, now=0.2) == []
    assert pacer.due(5.0, crowded=True) == []
    assert pacer.changed(_stop(1), crowded=True, now=5.0) == [_stop(1)]


def test_a_start_that_members_see_already_is_not_shown_again() -> None:
    pacer = TypingPacer()
    pacer.changed(_start(1), crowded=False, now=0.0)
    assert pacer.changed(_start(1), crowded=False, now=0.0) == []


def test_pairs_stay_whole_where_a_room_becomes_crowded_between() -> None:
    pacer = TypingPacer(1)
    for n in (1, 2, 3):
        assert pacer.changed(_start(n), crowded=False, now=0.0) == [_start(n)]
    assert [pacer.changed(_stop(n), crowded=True, now=0.5) for n in (1, 2, 3)] == [[], [], []]
    assert pacer.due(1.0, crowded=True) == [_stop(1)]
    assert pacer.due(2.0, crowded=True) == [_stop(2)]
    assert pacer.due(3.0, crowded=True) == [_stop(3)]


def test_pairs_stay_whole_where_a_room_ceases_to_be_crowded_between() -> None:
    pacer = TypingPacer(1)
    pacer.changed(_start(1), crowded=True, now=0.0)
    pacer.changed(_start(2), crowded=True, now=0.0)
    pacer.changed(_stop(1), crowded=True, now=0.1)
    assert pacer.changed(_stop(2), crowded=False, now=0.2) == [_stop(1)]
    assert pacer.changed(_start(2), crowded=False, now=0.2) == [_start(2)]


_steps = st.lists(st.tuples(st.integers(1, 20), st.booleans(), st.integers(0, 3)), max_size=150)


@given(_steps)
@PROOF
def test_no_second_shows_more_than_10_frames_and_every_pair_is_whole(steps: list[tuple[int, bool, int]]) -> None:
    pacer, now, shown = TypingPacer(), 0.0, list[tuple[float, Transition]]()
    for user_id, active, pause in steps:
        now += pause / 8
        transition = _start(user_id) if active else _stop(user_id)
        shown += [(now, each) for each in pacer.changed(transition, crowded=True, now=now)]
    for user_id in range(1, 21):
        shown += [(now, each) for each in pacer.changed(_stop(user_id), crowded=True, now=now)]
    while (deadline := pacer.next_deadline(now)) is not None:
        assert deadline > now
        now = deadline
        shown += [(now, each) for each in pacer.due(now, crowded=True)]
    times = [at for at, _ in shown]
    assert all(later - earlier >= 1.0 for earlier, later in zip(times, times[10:], strict=False))
    for user_id in range(1, 21):
        of_user = [each.active for _, each in shown if each.user_id == user_id]
        assert of_user == [True, False] * (len(of_user) // 2)
