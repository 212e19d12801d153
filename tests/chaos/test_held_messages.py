"""What is judged of messages that wait: an allowed one is shown once, from then on, a denied one never."""

import pytest
from chaos.holding import Held, Sight, judge_held

HELD = (Held("a", True, 10.0, 5), Held("b", False, 12.0), Held("c", True, 14.0))


def judged(*sights: Sight, lacks: tuple[int, ...] = ()) -> list[str]:
    return judge_held(HELD, "ana", sights, lambda number: number in lacks)


@pytest.mark.parametrize(
    "sights", [[Sight("a", 5, 10.5)], [Sight("a", 5, 99.0), Sight("c", 7, 14.0), Sight("x", 8, 1)]]
)
def test_an_allowed_message_that_is_shown_once_is_right_also_where_nobody_knows_its_id(sights: list[Sight]) -> None:
    assert judged(*sights) == []


@pytest.mark.parametrize(
    ("sights", "problem"),
    [
        ([], "ana was not shown a (5), which was allowed"),
        ([Sight("a", 5, 9.5)], "ana was shown a before anybody allowed it"),
        ([Sight("a", 6, 11.0)], "ana was shown a as [6], and it was allowed as 5"),
        ([Sight("a", 5, 11.0), Sight("a", 5, 12.0)], "ana was shown a as [5, 5]"),
        ([Sight("a", 5, 11.0), Sight("a", 9, 12.0)], "ana was shown a as [5, 9]"),
        ([Sight("a", 5, 11.0), Sight("b", 9, 13.0)], "ana was shown b, which was denied"),
        ([Sight("a", 5, 11.0), Sight("c", 9, 15.0), Sight("c", 11, 15.0)], "ana was shown c as [9, 11]"),
    ],
)
def test_what_is_lost_doubled_too_early_or_was_denied_is_found(sights: list[Sight], problem: str) -> None:
    assert judged(*sights) == [problem]


def test_who_came_later_or_was_told_of_a_gap_may_lack_it() -> None:
    assert judged(lacks=(5,)) == []
