"""Caches say when more may be against a message than before, and at no other time: edges then return what was lent."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from moderation.domain.admission import Admission, Limits
from moderation.domain.kept_rules import RulesState
from moderation.domain.last_seen import LastSeen, LastSeenBuffer
from moderation.domain.people import Rank, Target
from moderation.domain.policy import NO_POLICY, Policy, RoomPolicy
from moderation.domain.policy_cache import PolicyCache
from moderation.domain.rule_book import RuleBook
from moderation.domain.sanction_cache import SanctionCache
from moderation.domain.sanctions import Action, Sanction
from moderation.domain.warnings import RoomWarning, WarningCache, WarningState

NOW = 1_000_000
MUTE = Sanction(1, Action.MUTE, Target(5, ""), frozenset({"10.0.0.5"}), "live", "", 9, Rank.MODERATOR, NOW, None)
WARNING = RoomWarning(1, "live", Target(5, ""), "No", 9, Rank.MODERATOR, 1_000, WarningState.ISSUED, 1)
SLOW = Policy(slow_mode_seconds=30)


class Watched:
    """Caches, and how often something more was said to hold."""

    def __init__(self) -> None:
        self.sanctions, self.policies = SanctionCache(), PolicyCache()
        self.warnings, self.rules = WarningCache(), RuleBook()
        self.told = 0
        limits = Limits(10, 10, 100)
        admission = Admission(
            limits, self.sanctions, LastSeenBuffer(), self.policies, warnings=self.warnings, rules=self.rules
        )
        admission.watch(self._count)

    def _count(self) -> None:
        self.told += 1

    def by(self, change: Callable[[], object]) -> int:
        """How often by that."""
        before = self.told
        change()
        return self.told - before


@pytest.fixture
def watched() -> Watched:
    return Watched()


# --- sanctions ------------------------------------------------------------------------------------------------------


def test_a_sanction_is_told_of_once_and_again_where_it_changes(watched: Watched) -> None:
    cache, longer = watched.sanctions, replace(MUTE, expires_at_ms=NOW + 5)
    assert watched.by(lambda: cache.apply([MUTE, replace(MUTE, id=2)], ())) == 1
    assert watched.by(lambda: cache.apply([MUTE], ())) == 0
    assert watched.by(lambda: cache.apply([longer], ())) == 1
    assert watched.by(lambda: cache.apply([longer], [2])) == 0


def test_a_sanction_that_is_lifted_is_told_of_no_more(watched: Watched) -> None:
    assert watched.by(lambda: watched.sanctions.apply([MUTE], [1])) == 0
    assert watched.by(lambda: watched.sanctions.apply([replace(MUTE, id=2, lifted_at_ms=NOW)], ())) == 0


def test_a_sanction_that_follows_somebody_to_an_address_is_told_of(watched: Watched) -> None:
    watched.sanctions.apply([MUTE], ())
    known, other = (LastSeen(5, "", "live", address) for address in ("10.0.0.5", "10.0.0.6"))
    assert watched.by(lambda: watched.sanctions.follow(known, now_ms=NOW)) == 0
    assert watched.by(lambda: watched.sanctions.follow(other, now_ms=NOW)) == 1
    assert watched.by(lambda: watched.sanctions.follow(other, now_ms=NOW)) == 0


def test_sanctions_that_are_read_are_told_of(watched: Watched) -> None:
    cache = watched.sanctions
    assert watched.by(lambda: cache.read_changes([MUTE], (), up_to=1)) == 1
    assert watched.by(lambda: cache.read_changes([MUTE], (), up_to=2)) == 0
    assert watched.by(lambda: cache.drop_ended(1, now_ms=NOW)) == 0
    assert watched.by(lambda: cache.finish_reading(up_to=3)) == 0
    cache.begin_reading()
    assert watched.by(lambda: cache.add([replace(MUTE, id=2)])) == 0
    assert watched.by(lambda: cache.finish_reading(up_to=3)) == 1
    cache.begin_reading()
    assert watched.by(cache.abandon_reading) == 0


# --- policies -------------------------------------------------------------------------------------------------------


def test_a_policy_that_asks_for_something_is_told_of_once(watched: Watched) -> None:
    policies = watched.policies
    assert watched.by(lambda: policies.apply(RoomPolicy("live", 2, SLOW))) == 1
    assert watched.by(lambda: policies.apply(RoomPolicy("live", 2, SLOW))) == 0
    assert watched.by(lambda: policies.apply(RoomPolicy("live", 1, Policy(members_only=True)))) == 0
    assert watched.by(lambda: policies.read([RoomPolicy("a", 3, SLOW), RoomPolicy("live", 4, SLOW)])) == 2


def test_a_policy_that_asks_for_nothing_is_not_told_of(watched: Watched) -> None:
    watched.policies.apply(RoomPolicy("live", 1, SLOW))
    assert watched.by(lambda: watched.policies.apply(RoomPolicy("live", 2, NO_POLICY))) == 0


# --- warnings -------------------------------------------------------------------------------------------------------


def test_a_new_warning_is_told_of_and_nothing_else_of_it(watched: Watched) -> None:
    warnings = watched.warnings
    assert watched.by(lambda: warnings.apply([WARNING])) == 1
    delivered = replace(WARNING, state=WarningState.DELIVERED, version=2)
    assert watched.by(lambda: warnings.apply([WARNING, delivered])) == 0
    assert watched.by(lambda: warnings.read([replace(WARNING, id=2, version=3)])) == 1
    closed = replace(WARNING, state=WarningState.ACKNOWLEDGED, version=4)
    assert watched.by(lambda: warnings.apply([closed, WARNING])) == 0


# --- rules ----------------------------------------------------------------------------------------------------------


def test_rules_that_are_looked_at_are_told_of_once(watched: Watched) -> None:
    rules = watched.rules
    assert watched.by(lambda: rules.apply(RulesState("live", 2, judges=True, acts=False))) == 1
    assert watched.by(lambda: rules.apply(RulesState("live", 2, judges=True, acts=False))) == 0
    assert watched.by(lambda: rules.apply(RulesState("live", 1, judges=True, acts=True))) == 0
    assert watched.by(lambda: rules.read([RulesState("", 3, judges=True, acts=True)])) == 1


def test_rules_that_are_gone_are_not_told_of(watched: Watched) -> None:
    watched.rules.apply(RulesState("live", 1, judges=True, acts=True))
    assert watched.by(lambda: watched.rules.apply(RulesState("live", 2, judges=False, acts=False))) == 0
