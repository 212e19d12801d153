"""What rules flag and refuse, until moderators are told."""

from moderation.domain.rule_flags import SHOWN, SLUGS_WAITING, FlagBatch, FlagBuffer, Flagged
from moderation.domain.rules import RuleAction


def flagged(text: str = "buy", action: RuleAction = RuleAction.FLAG, user_id: int = 5) -> Flagged:
    return Flagged(3, "spam", action, user_id, "ana", text)


def test_what_came_together_is_told_together() -> None:
    flags = FlagBuffer()
    assert flags.take(9) == []
    first, second = flagged("a"), flagged("b", RuleAction.REFUSE)
    flags.note("live", first)
    flags.note("other", first)
    flags.note("live", second)
    assert len(flags) == 2
    assert flags.take(1) == [FlagBatch("live", (first, second), 2)]
    assert flags.take(9) == [FlagBatch("other", (first,), 1)]
    assert flags.take(9) == []


def test_mutes_and_holds_have_events_of_their_own() -> None:
    flags = FlagBuffer()
    flags.note("live", flagged(action=RuleAction.MUTE))
    flags.note("live", flagged(action=RuleAction.HOLD))
    assert len(flags) == 0


def test_of_many_the_newest_are_shown_and_all_are_counted() -> None:
    flags = FlagBuffer()
    for number in range(SHOWN + 5):
        flags.note("live", flagged(str(number)))
    (batch,) = flags.take(1)
    assert (batch.flagged[0].text, len(batch.flagged), batch.hits) == ("5", SHOWN, SHOWN + 5)


def test_what_could_not_be_told_stands_before_what_came_meanwhile() -> None:
    flags = FlagBuffer()
    flags.note("live", flagged("a"))
    taken = flags.take(1)
    flags.note("live", flagged("b"))
    flags.put_back([*taken, FlagBatch("other", (flagged("c"),), 4)])
    assert flags.take(9) == [FlagBatch("live", (flagged("a"), flagged("b")), 2), FlagBatch("other", (flagged("c"),), 4)]


def test_no_more_slugs_wait_than_have_room() -> None:
    flags = FlagBuffer()
    for number in range(SLUGS_WAITING + 1):
        flags.note(str(number), flagged())
    flags.note("0", flagged())
    assert len(flags) == SLUGS_WAITING
    assert flags.take(1) == [FlagBatch("0", (flagged(), flagged()), 2)]


def test_moderators_are_shown_whose_text_it_was_and_what_became_of_it() -> None:
    said = flagged("x" * 400, RuleAction.REFUSE, user_id=0)
    assert FlagBatch("live", (said, flagged()), 9).data() == {
        "hits": [
            {
                "rule_id": 3,
                "rule": "spam",
                "action": "refuse",
                "user_id": None,
                "username": "ana",
                "message": "x" * 300,
            },
            {"rule_id": 3, "rule": "spam", "action": "flag", "user_id": 5, "username": "ana", "message": "buy"},
        ],
        "count": 9,
    }
