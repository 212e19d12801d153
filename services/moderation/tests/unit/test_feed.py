"""What counts as all that a moderator has missed."""

import pytest

from moderation.domain.feed import KEPT_MS, FeedEvent, is_whole

NOW_MS = 100 * KEPT_MS
LATELY = NOW_MS - KEPT_MS


def event(number: int, previous_id: int) -> FeedEvent:
    return FeedEvent(number, previous_id, "hold", NOW_MS, {})


@pytest.mark.parametrize(
    ("events", "since", "whole"),
    [
        ([], LATELY, True),
        ([], LATELY - 1, False),
        ([event(LATELY + 9, LATELY)], LATELY, True),
        ([event(LATELY + 9, LATELY + 1)], LATELY, False),
        ([event(LATELY + 9, LATELY), event(LATELY + 10, LATELY + 9)], LATELY + 1, True),
        ([event(LATELY - 5, LATELY - 9)], LATELY - 9, True),
        ([event(LATELY + 9, 0)], LATELY, True),
        ([event(LATELY + 9, 0)], LATELY - 1, False),
    ],
    ids=[
        "nothing came in a day",
        "what came before may be gone",
        "the first one follows on what was seen",
        "one between them is gone",
        "what was seen is of another slug",
        "all is there though it is older",
        "the first one that is kept, of a day",
        "the first one that is kept, others may have been before",
    ],
)
def test_a_replay_is_whole_or_said_not_to_be(events: list[FeedEvent], since: int, whole: bool) -> None:
    assert is_whole(events, since, NOW_MS) is whole
