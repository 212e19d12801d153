"""When comings and goings are told one by one."""

from hypothesis import given, strategies as st

from rooms.domain.presence import Tally


def test_a_room_is_crowded_above_the_limit_until_below_80_percent_of_it() -> None:
    tally = Tally(limit=10, connection_count=0, crowded=False)
    assert [tally.arrive() for _ in range(12)] == [True] * 10 + [False] * 2
    assert [tally.depart(was_announced=False) for _ in range(6)] == [False] * 4 + [True] * 2
    assert tally.connection_count == 6


def test_who_was_announced_is_always_announced_on_leaving() -> None:
    tally = Tally(limit=1, connection_count=5, crowded=True)
    assert tally.depart(was_announced=True)
    assert not tally.depart(was_announced=False)


def test_a_limit_of_0_announces_nobody() -> None:
    assert not Tally(limit=0, connection_count=0, crowded=False).arrive()


@given(st.integers(0, 20), st.lists(st.booleans(), max_size=80))
def test_crowded_agrees_with_both_marks_whatever_happens(limit: int, steps: list[bool]) -> None:
    tally = Tally(limit=limit, connection_count=0, crowded=False)
    for is_arrival in steps:
        if is_arrival:
            tally.arrive()
        elif tally.connection_count:
            tally.depart(was_announced=False)
        if tally.connection_count > limit:
            assert tally.crowded
        if tally.connection_count < 0.8 * limit:
            assert not tally.crowded
