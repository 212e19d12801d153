"""What rules hit waits in bounded memory, however many hits there are."""

from moderation.domain import rule_hits
from moderation.domain.people import Target
from moderation.domain.rule_hits import HitBuffer, HitCount, MuteQueue, RuleHit, RuleMute
from moderation.domain.rules import RuleAction

ALL = 10**6


def hit(rule_id: int, number: int = 0, *, acted: bool = False) -> RuleHit:
    return RuleHit(rule_id, "live", number, 5, "ana", str(number), "", RuleAction.FLAG, acted=acted)


def mute(user_id: int, minutes: int = 5, slug: str = "live") -> RuleMute:
    return RuleMute(Target(user_id, ""), slug, minutes, 7, "words", "blarg", 1_000)


def test_hits_are_counted_with_the_last_ones_of_each_rule_as_a_sample() -> None:
    buffer = HitBuffer()
    assert buffer.take(ALL) is None
    for number in range(150):
        buffer.note(hit(7, number, acted=number < 50))
    buffer.note(hit(8))
    assert len(buffer) == 101
    first = buffer.take(1)
    assert first is not None
    assert first.counts == {7: HitCount(150, 50)}
    assert [each.at_ms for each in first.sample] == list(range(50, 150))
    second = buffer.take(1)
    assert second is not None
    assert (second.counts, len(second.sample)) == ({8: HitCount(1, 0)}, 1)
    assert len(buffer) == 0


def test_where_too_many_texts_wait_those_of_further_rules_are_counted_alone() -> None:
    buffer = HitBuffer()
    for number in range(rule_hits.WAITING):
        buffer.note(hit(number // 50, number))
    buffer.note(hit(999, 1))
    buffer.note(hit(0, 5_000))
    assert len(buffer) == rule_hits.WAITING
    batch = buffer.take(ALL)
    assert batch is not None
    assert batch.counts[999] == HitCount(1, 0)
    assert batch.counts[0] == HitCount(51, 0)
    assert [each.at_ms for each in batch.sample if each.rule_id == 0] == [*range(1, 50), 5_000]
    assert not [each for each in batch.sample if each.rule_id == 999]


def test_hits_of_too_many_rules_are_not_counted() -> None:
    buffer = HitBuffer()
    for rule_id in range(rule_hits.RULES_WAITING + 1):
        buffer.note(hit(rule_id))
    batch = buffer.take(ALL)
    assert batch is not None
    assert len(batch.counts) == rule_hits.RULES_WAITING


def test_what_could_not_be_written_waits_again_before_what_came_meanwhile() -> None:
    buffer = HitBuffer()
    for number in range(60):
        buffer.note(hit(7, number))
    batch = buffer.take(ALL)
    assert batch is not None
    buffer.note(hit(8))
    for number in range(60, 120):
        buffer.note(hit(7, number, acted=True))
    buffer.put_back(batch)
    again = buffer.take(1)
    assert again is not None
    assert again.counts == {7: HitCount(120, 60)}
    assert [each.at_ms for each in again.sample] == list(range(20, 120))


def test_one_mute_waits_for_a_person_and_room_the_longer_one() -> None:
    queue = MuteQueue()
    assert queue.next() is None
    first, longer = mute(5), mute(5, minutes=9)
    queue.put(first)
    queue.put(longer)
    queue.put(mute(5, minutes=1))
    queue.put(mute(5, slug="other"))
    assert (len(queue), queue.next()) == (2, longer)
    queue.done(first)
    assert len(queue) == 2
    queue.done(longer)
    assert queue.next() == mute(5, slug="other")


def test_the_oldest_of_too_many_mutes_goes() -> None:
    queue = MuteQueue()
    for user_id in range(rule_hits.MUTES_WAITING + 1):
        queue.put(mute(user_id))
    assert (len(queue), queue.next()) == (rule_hits.MUTES_WAITING, mute(1))
