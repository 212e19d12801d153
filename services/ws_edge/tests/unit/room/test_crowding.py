"""How much less a room is written the more are in it."""

import pytest

from ws_edge.room.crowding import flush_s, shows_typing, stats_interval_s


@pytest.mark.parametrize(
    ("members", "longest_ms", "ms"),
    [
        (500, 150, 25),
        (1_000, 150, 25),
        (5_000, 150, 75),
        (10_000, 150, 150),
        (50_000, 150, 150),
        (5_000, 250, 125),
        (10_000, 25, 25),
        (10_000, 0, 0),
    ],
)
def test_frames_are_gathered_for_25_ms_and_longer_where_more_get_them(members: int, longest_ms: int, ms: int) -> None:
    assert flush_s(members, longest_ms / 1000) == pytest.approx(ms / 1000)


def test_typing_is_shown_to_2000() -> None:
    assert (shows_typing(2_000), shows_typing(2_001)) == (True, False)


@pytest.mark.parametrize(
    ("connections", "seconds"), [(0, 1), (600, 1), (1_000, 1), (2_500, 2.5), (10_000, 10), (70_000, 10)]
)
def test_room_stats_come_a_second_apart_and_up_to_ten_in_larger_rooms(connections: int, seconds: float) -> None:
    assert stats_interval_s(connections) == pytest.approx(seconds)
