"""protocol/policies.py: what an edge knows of policies, and how it goes by them alone."""

import pytest

from ws_edge.protocol.identity import Rank, Slug
from ws_edge.protocol.policies import (
    LONGEST_SLOW_MODE_S,
    NO_POLICY,
    PLACES_LIMIT,
    Policy,
    PolicyCache,
    ReadOnly,
    SlowMode,
)

LIVE, OTHER = Slug("live"), Slug("other")


@pytest.mark.parametrize(
    ("read_only", "lowest"),
    [(ReadOnly.NOBODY, Rank.ANONYMOUS), (ReadOnly.ANONYMOUS, Rank.USER), (ReadOnly.EVERYONE, Rank.MODERATOR)],
)
def test_read_only_nobody_anonymous_everyone(read_only: ReadOnly, lowest: Rank) -> None:
    assert [rank for rank in Rank if Policy(1, 0, read_only).lets_write(rank)] == [r for r in Rank if r >= lowest]


def test_slow_mode_is_not_for_moderators_and_above() -> None:
    assert [Policy(1, 30).slow_mode_of(rank) for rank in sorted(Rank)] == [30, 30, 0, 0, 0]


def test_the_highest_version_holds_wherever_it_is_heard_first() -> None:
    policies = PolicyCache()
    assert policies.find(LIVE) == NO_POLICY
    policies.apply(LIVE, Policy(2, 30))
    policies.apply(LIVE, Policy(1, 600))
    policies.apply(LIVE, Policy(2, 600))
    assert (policies.find(LIVE), policies.find(OTHER), len(policies)) == (Policy(2, 30), NO_POLICY, 1)
    policies.forget(LIVE)
    policies.forget(LIVE)
    assert len(policies) == 0


def test_an_edge_alone_keeps_messages_apart_to_the_millisecond() -> None:
    places = SlowMode()
    assert places.wait_ms("u:1", LIVE, 30, 0.0) == 0
    places.take("u:1", LIVE, 7, 0.0)
    assert places.wait_ms("u:1", LIVE, 30, 28.9996) == 1001
    assert places.wait_ms("u:1", LIVE, 30, 29.9999) == 1
    assert places.wait_ms("u:1", LIVE, 30, 30.0) == 0
    assert places.wait_ms("u:1", LIVE, 30, 40.0) == 0
    assert (places.wait_ms("u:1", OTHER, 30, 1.0), places.wait_ms("u:2", LIVE, 30, 1.0)) == (0, 0)


def test_a_place_is_given_back_unless_something_was_said_since() -> None:
    places = SlowMode()
    places.release("u:1", LIVE, 7)
    places.take("u:1", LIVE, 7, 0.0)
    places.take("u:1", LIVE, 8, 1.0)
    places.release("u:1", LIVE, 7)
    assert places.wait_ms("u:1", LIVE, 30, 1.0) == 30_000
    places.release("u:1", LIVE, 8)
    assert places.wait_ms("u:1", LIVE, 30, 1.0) == 0


def test_places_are_bounded_by_age_and_by_number() -> None:
    places = SlowMode()
    for number in range(PLACES_LIMIT + 5):
        places.take(f"u:{number}", LIVE, number, 1.0)
    assert len(places) == PLACES_LIMIT
    places.take("u:1", LIVE, 1, 1.0 + LONGEST_SLOW_MODE_S)
    assert len(places) == 1
