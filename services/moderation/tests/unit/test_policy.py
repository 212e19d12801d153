"""domain/policy.py and policy_cache.py: what a room asks of messages, who changes it, and which version holds."""

from collections.abc import Callable

import pytest

from moderation.domain.erasures import LogRef, Origin
from moderation.domain.people import NO_CLAIMS, Claims, Moderator, Rank
from moderation.domain.policy import (
    NO_POLICY,
    Links,
    Policy,
    PolicyChange,
    PolicyChanges,
    PolicyCommand,
    ReadOnly,
    RoomPolicy,
    is_held_by,
    next_version,
    refusal_by,
)
from moderation.domain.policy_cache import PolicyCache
from moderation.domain.rights import may_change_policy
from moderation.domain.verdicts import Decision

SLOW = Policy(slow_mode_seconds=30)


def test_without_a_policy_nothing_is_asked_for() -> None:
    assert (NO_POLICY.slow_mode_seconds, NO_POLICY.read_only) == (0, ReadOnly.NOBODY)


def test_a_change_leaves_the_other_fields_as_they_are() -> None:
    changed = SLOW.changed({"read_only": ReadOnly.ANONYMOUS})
    assert changed == Policy(30, ReadOnly.ANONYMOUS)
    assert changed.changed({"slow_mode_seconds": 0}) == Policy(0, ReadOnly.ANONYMOUS)


NOW_MS = 1_700_000_000_000
NOW_S = NOW_MS // 1000


def refused(
    policy: Policy, *, rank: Rank = Rank.USER, claims: Claims = NO_CLAIMS, text: str = "hello"
) -> tuple[Decision, int] | None:
    return refusal_by(policy, rank, claims, text, NOW_MS)


@pytest.mark.parametrize(
    ("read_only", "rank", "found"),
    [
        (ReadOnly.NOBODY, Rank.ANONYMOUS, None),
        (ReadOnly.ANONYMOUS, Rank.ANONYMOUS, (Decision.READ_ONLY, 0)),
        (ReadOnly.ANONYMOUS, Rank.USER, None),
        (ReadOnly.EVERYONE, Rank.ANONYMOUS, (Decision.READ_ONLY, 0)),
        (ReadOnly.EVERYONE, Rank.USER, (Decision.READ_ONLY, 0)),
    ],
)
def test_read_only_nobody_anonymous_everyone(
    read_only: ReadOnly, rank: Rank, found: tuple[Decision, int] | None
) -> None:
    assert refused(Policy(read_only=read_only), rank=rank) == found


def test_members_only_by_the_claim() -> None:
    assert refused(Policy(members_only=True)) == (Decision.MEMBERS_ONLY, 0)
    assert refused(Policy(members_only=True), claims=Claims(member=True)) is None


@pytest.mark.parametrize(
    ("policy", "claimed", "decision"),
    [
        (Policy(min_account_minutes=10), lambda at_s: Claims(account_created_at_s=at_s), Decision.ACCOUNT_TOO_NEW),
        (Policy(min_follow_minutes=10), lambda at_s: Claims(following_since_s=at_s), Decision.FOLLOW_TOO_SHORT),
    ],
)
def test_min_account_minutes_and_min_follow_minutes_by_the_claims_a_missing_one_fails(
    policy: Policy, claimed: Callable[[int], Claims], decision: Decision
) -> None:
    assert refused(policy) == (decision, 0)
    assert refused(policy, claims=claimed(NOW_S - 599)) == (decision, 1_000)
    assert refused(policy, claims=claimed(NOW_S - 600)) is None
    assert refused(policy, claims=claimed(2**63 - 1)) == (decision, 600_000)


def test_emote_only_wants_nothing_but_emoji_and_names() -> None:
    policy = Policy(emote_only=True)
    assert refused(policy, text="😀 :wave:") is None
    assert refused(policy, text="😀 hello") == (Decision.EMOTE_ONLY, 0)
    assert refused(policy, text="") == (Decision.EMOTE_ONLY, 0)  # of an edge that does not tell it


def test_links_are_refused_or_wait_for_a_moderator() -> None:
    refuse, hold = Policy(links=Links.REFUSE), Policy(links=Links.HOLD)
    assert refused(refuse, text="see evil.com") == (Decision.LINKS, 0)
    assert refused(refuse, text="no links, e.g.") is None
    assert refused(hold, text="see evil.com") is None
    assert (is_held_by(hold, "see evil.com"), is_held_by(hold, "no links, e.g.")) == (True, False)
    for policy in (refuse, hold):
        assert refused(policy, text="") == (Decision.LINKS, 0)  # of an edge that does not tell it
    for policy in (refuse, NO_POLICY):
        assert not is_held_by(policy, "see evil.com")
    assert refused(NO_POLICY, text="see evil.com") is None


def test_max_length_counts_unicode_characters() -> None:
    policy = Policy(max_length=5)
    assert refused(policy, text="hellö") is None
    assert refused(policy, text="hello!") == (Decision.TOO_LONG, 0)
    assert refused(policy, text="") == (Decision.TOO_LONG, 0)  # of an edge that does not tell it
    assert refused(NO_POLICY, text="") is None


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
    assert cache.find("live", NOW_MS) == SLOW
    assert cache.find("other", NOW_MS) is None


def test_a_policy_that_asks_for_nothing_any_more_costs_nothing_and_keeps_older_ones_out() -> None:
    cache = PolicyCache()
    cache.apply(RoomPolicy("live", 1, SLOW))
    assert len(cache) == 1
    cache.apply(RoomPolicy("live", 3, NO_POLICY))
    cache.apply(RoomPolicy("live", 2, SLOW))
    assert cache.find("live", NOW_MS) is None
    assert len(cache) == 0


def test_a_policy_that_was_read_to_ask_for_nothing_is_forgotten_and_no_older_one_comes_back() -> None:
    cache = PolicyCache()
    cache.apply(RoomPolicy("live", 7, NO_POLICY))
    cache.read([RoomPolicy("live", 7, NO_POLICY), RoomPolicy("other", 9, NO_POLICY)])
    assert cache._changed_here == {}
    # Another replica changed it again, which was read before the answer to the change that was made here.
    cache.apply(RoomPolicy("other", 8, SLOW))
    assert cache.find("other", NOW_MS) is None
    cache.read([])
    assert cache.read_up_to == 9


def test_reading_goes_on_behind_the_last_one_that_was_read_and_not_behind_what_was_changed_here() -> None:
    cache = PolicyCache()
    cache.apply(RoomPolicy("live", 9, SLOW))
    assert cache.read_up_to == 0
    cache.read([RoomPolicy("other", 4, SLOW), RoomPolicy("third", 5, SLOW)])
    assert cache.read_up_to == 5
    assert cache.find("other", NOW_MS) == SLOW
