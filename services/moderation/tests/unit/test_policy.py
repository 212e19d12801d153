"""domain/policy.py and policy_cache.py: what a room asks of messages, who changes it, and which version holds."""

import pytest

from moderation.domain.erasures import LogRef, Origin
from moderation.domain.people import Moderator, Rank
from moderation.domain.policy import (
    NO_POLICY,
    Policy,
    PolicyChange,
    PolicyChanges,
    PolicyCommand,
    PolicyRefusal,
    ReadOnly,
    RoomPolicy,
    next_version,
    refusal_by,
)
from moderation.domain.policy_cache import PolicyCache
from moderation.domain.rights import may_change_policy

SLOW = Policy(slow_mode_seconds=30)


def test_without_a_policy_nothing_is_asked_for() -> None:
    assert (NO_POLICY.slow_mode_seconds, NO_POLICY.read_only) == (0, ReadOnly.NOBODY)


def test_a_change_leaves_the_other_fields_as_they_are() -> None:
    changed = SLOW.changed({"read_only": ReadOnly.ANONYMOUS})
    assert changed == Policy(30, ReadOnly.ANONYMOUS)
    assert changed.changed({"slow_mode_seconds": 0}) == Policy(0, ReadOnly.ANONYMOUS)


@pytest.mark.parametrize(
    ("read_only", "rank", "found"),
    [
        (ReadOnly.NOBODY, Rank.ANONYMOUS, None),
        (ReadOnly.ANONYMOUS, Rank.ANONYMOUS, PolicyRefusal.READ_ONLY),
        (ReadOnly.ANONYMOUS, Rank.USER, None),
        (ReadOnly.EVERYONE, Rank.ANONYMOUS, PolicyRefusal.READ_ONLY),
        (ReadOnly.EVERYONE, Rank.USER, PolicyRefusal.READ_ONLY),
    ],
)
def test_read_only_nobody_anonymous_everyone(read_only: ReadOnly, rank: Rank, found: PolicyRefusal | None) -> None:
    assert refusal_by(Policy(read_only=read_only), rank) is found


@pytest.mark.parametrize(
    ("user_id", "rank", "may"),
    [
        (9, Rank.USER, False),
        (9, Rank.MODERATOR, False),
        (9, Rank.ADMIN, True),
        (9, Rank.SUPERUSER, True),
        (0, Rank.SUPERUSER, False),
    ],
)
def test_admin_and_superuser_change_the_policy(user_id: int, rank: Rank, may: bool) -> None:
    command = PolicyCommand(Moderator(user_id, rank), "live", PolicyChanges(slow_mode_seconds=5), "")
    assert may_change_policy(command) is may


def test_versions_rise_whatever_the_clock_says() -> None:
    assert next_version(0, 1_000) == 1_000
    assert next_version(1_000, 1_000) == 1_001
    assert next_version(5_000, 1_000) == 5_001


def test_an_entry_of_a_policy_may_stand_anywhere_in_the_log() -> None:
    assert PolicyChange(LogRef(3, 7, 21), 9, Origin("e", 1, ""), 5, SLOW).last_id == 0


def test_the_highest_version_holds_in_whatever_order_they_come() -> None:
    cache = PolicyCache()
    cache.apply(RoomPolicy("live", 2, SLOW))
    cache.apply(RoomPolicy("live", 1, Policy(slow_mode_seconds=600)))
    cache.apply(RoomPolicy("live", 2, Policy(slow_mode_seconds=600)))
    assert cache.find("live") == SLOW
    assert cache.find("other") is None


def test_a_policy_that_asks_for_nothing_any_more_costs_nothing_and_keeps_older_ones_out() -> None:
    cache = PolicyCache()
    cache.apply(RoomPolicy("live", 1, SLOW))
    assert len(cache) == 1
    cache.apply(RoomPolicy("live", 3, NO_POLICY))
    cache.apply(RoomPolicy("live", 2, SLOW))
    assert cache.find("live") is None
    assert len(cache) == 0


def test_reading_goes_on_behind_the_last_one_that_was_read_and_not_behind_what_was_changed_here() -> None:
    cache = PolicyCache()
    cache.apply(RoomPolicy("live", 9, SLOW))
    assert cache.read_up_to == 0
    cache.read([RoomPolicy("other", 4, SLOW), RoomPolicy("third", 5, SLOW)])
    assert cache.read_up_to == 5
    assert cache.find("other") == SLOW
