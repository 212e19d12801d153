"""What counts as all that a moderator has missed."""

import pytest

from moderation.domain.audit import AuditRecord
from moderation.domain.feed import KEPT_MS, FeedEvent, is_whole, newest_within

NOW_MS = 100 * KEPT_MS
LATELY = NOW_MS - KEPT_MS


def event(number: int, previous_id: int, **data: object) -> FeedEvent:
    return FeedEvent(number, "live", previous_id, "hold", NOW_MS, data)


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


def test_a_replay_holds_as_many_of_the_newest_as_have_room() -> None:
    events = [event(number, 0, text="x" * 600) for number in range(1, 6)]
    assert newest_within(events, 10_000) == events
    assert newest_within(events, 2_300) == events[3:]
    assert newest_within(events, 1) == []
    assert newest_within([], 1) == []


def test_what_is_said_in_the_row_of_an_action_counts_too() -> None:
    row = AuditRecord(1, 11, 5, "", 9, 3, 0, 1, "live", "r" * 500, NOW_MS, message_text="\N{SNOWMAN}" * 1000)
    acted = event(1, 0)._replace(action=row)
    assert newest_within([acted], 3_000) == []
    assert newest_within([acted], 5_000) == [acted]
