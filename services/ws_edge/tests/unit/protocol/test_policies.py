"""protocol/policies.py: what an edge knows of policies, and how it goes by them alone."""

from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from msgspec.structs import replace

from ws_edge.protocol import policies
from ws_edge.protocol.identity import Identity, Rank, Slug, UserId
from ws_edge.protocol.policies import (
    LONGEST_SLOW_MODE_S,
    NO_POLICY,
    PLACES_LIMIT,
    Links,
    Policy,
    PolicyCache,
    ReadOnly,
    Shield,
    SlowMode,
    SpokenTexts,
    refusal_by,
    shielded,
)

LIVE, OTHER = Slug("live"), Slug("other")


NOW_S = 1_700_000_000.0


def who(rank: Rank = Rank.USER, /, **claims: Any) -> Identity:
    return Identity(UserId(1), "ana", None, (), rank, None, **claims)


def refused(policy: Policy, identity: Identity, text: str = "hello") -> tuple[str, int] | None:
    found = refusal_by(policy, identity, text, now_s=NOW_S)
    return None if found is None else (found[0].value, found[1])


@pytest.mark.parametrize(
    ("read_only", "lowest"),
    [(ReadOnly.NOBODY, Rank.ANONYMOUS), (ReadOnly.ANONYMOUS, Rank.USER), (ReadOnly.EVERYONE, Rank.MODERATOR)],
)
def test_read_only_nobody_anonymous_everyone(read_only: ReadOnly, lowest: Rank) -> None:
    for rank in Rank:
        expected = None if rank >= lowest else ("read_only", 0)
        assert refused(Policy(1, 0, read_only), who(rank)) == expected


def test_members_only_by_the_claim() -> None:
    policy = Policy(1, members_only=True)
    assert refused(policy, who()) == ("members_only", 0)
    assert refused(policy, who(member=True)) is None
    assert refused(policy, who(Rank.MODERATOR)) is None


@pytest.mark.parametrize(
    ("policy", "claim", "code"),
    [
        (Policy(1, min_account_minutes=10), "account_created_at_s", "account_too_new"),
        (Policy(1, min_follow_minutes=10), "following_since_s", "follow_too_short"),
    ],
)
def test_min_account_minutes_and_min_follow_minutes_by_the_claims_a_missing_one_fails(
    policy: Policy, claim: Any, code: str
) -> None:
    assert refused(policy, who()) == (code, 0)
    assert refused(policy, who(**{claim: int(NOW_S) - 599})) == (code, 1_000)
    assert refused(policy, who(**{claim: int(NOW_S) - 600})) is None
    assert refused(policy, who(**{claim: 2**53})) == (code, 600_000)


def test_emote_only_and_max_length() -> None:
    assert refused(Policy(1, emote_only=True), who(), "😀 :wave:") is None
    assert refused(Policy(1, emote_only=True), who(), "😀 hello") == ("emote_only", 0)
    assert refused(Policy(1, max_length=5), who(), "hellö") is None
    assert refused(Policy(1, max_length=5), who(), "hello!") == ("message_too_long", 0)


@pytest.mark.parametrize("links", [Links.HOLD, Links.REFUSE])
def test_links_are_refused_by_everything_but_allow(links: Links) -> None:
    assert refused(Policy(1, links=links), who(), "see evil.com") == ("links", 0)
    assert refused(Policy(1, links=links), who(), "no links, e.g.") is None
    assert refused(Policy(1, links=links), who(Rank.MODERATOR), "see evil.com") is None
    assert refused(Policy(1), who(), "see evil.com") is None


def test_slow_mode_is_not_for_moderators_and_above_and_vips() -> None:
    assert [Policy(1, 30).slow_mode_of(replace(who(), rank=rank)) for rank in sorted(Rank)] == [30, 30, 0, 0, 0, 0]
    vip = who().in_room("vip", Rank.USER)
    assert Policy(1, 30).slow_mode_of(vip) == 0
    assert refused(Policy(1, read_only=ReadOnly.EVERYONE), vip) == ("read_only", 0)


KEPT = Policy(7, 60, ReadOnly.NOBODY, True, 10, 20, False, 100, True, Links.ALLOW, True, 50, 4)
PRESET = Policy(0, 30, ReadOnly.ANONYMOUS, False, 1440, 5, True, 1000, False, Links.REFUSE, False, 20, 2)


def test_under_a_shield_the_stricter_of_policy_and_preset_holds_up_to_its_end() -> None:
    held = shielded(KEPT, PRESET, 5_000)
    shield = Shield(5_000, KEPT)
    assert held == Policy(7, 60, ReadOnly.ANONYMOUS, True, 1440, 20, True, 100, True, Links.REFUSE, True, 20, 4, shield)
    policies = PolicyCache()
    policies.apply(LIVE, held)
    assert (policies.find(LIVE, 4.999), policies.find(LIVE, 5.0)) == (held, KEPT)
    policies.apply(LIVE, Policy(6))
    assert policies.find(LIVE, 5.0) == KEPT
    policies.apply(LIVE, Policy(8))
    assert policies.find(LIVE, 0.0) == Policy(8)


POLICIES = st.builds(
    Policy,
    slow_mode_seconds=st.sampled_from([0, 5]),
    read_only=st.sampled_from(ReadOnly),
    members_only=st.booleans(),
    min_account_minutes=st.sampled_from([0, 10]),
    min_follow_minutes=st.sampled_from([0, 10]),
    emote_only=st.booleans(),
    max_length=st.sampled_from([1, 5, 1000]),
    unique=st.booleans(),
    links=st.sampled_from(Links),
    max_shown_per_second=st.sampled_from([0, 5, 200]),
    delay_seconds=st.sampled_from([0, 2, 4, 6]),
)


@settings(deadline=None)
@given(
    kept=POLICIES,
    preset=POLICIES,
    rank=st.sampled_from([Rank.ANONYMOUS, Rank.USER]),
    text=st.sampled_from(["hi", "hello there", ":wave:", "see evil.com"]),
)
def test_what_holds_under_a_shield_is_never_laxer_than_policy_or_preset(
    kept: Policy, preset: Policy, rank: Rank, text: str
) -> None:
    held = shielded(kept, preset, 1)
    alone = [refused(policy, who(rank), text) is not None for policy in (kept, preset)]
    assert (refused(held, who(rank), text) is not None) == any(alone)
    assert held.slow_mode_of(who(rank)) == max(kept.slow_mode_of(who(rank)), preset.slow_mode_of(who(rank)))
    assert held.is_unique_for(rank) == (kept.unique or preset.unique)
    limits = [policy.max_shown_per_second for policy in (kept, preset) if policy.max_shown_per_second]
    assert held.max_shown_per_second == min(limits, default=0)
    assert held.delay_ms_of(rank) == max(kept.delay_ms_of(rank), preset.delay_ms_of(rank))


def test_the_highest_version_holds_wherever_it_is_heard_first() -> None:
    policies = PolicyCache()
    assert policies.find(LIVE, 0.0) == NO_POLICY
    policies.apply(LIVE, Policy(2, 30))
    policies.apply(LIVE, Policy(1, 600))
    policies.apply(LIVE, Policy(2, 600))
    assert (policies.find(LIVE, 0.0), policies.find(OTHER, 0.0), len(policies)) == (Policy(2, 30), NO_POLICY, 1)
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


def test_what_was_said_is_known_for_two_minutes_in_its_room() -> None:
    said = SpokenTexts()
    said.say(LIVE, "Hello", 1, 100.0)
    assert said.wait_ms(LIVE, "hello", 219.9995) == 1
    assert said.wait_ms(LIVE, "hello", 220.0) == 0
    assert said.wait_ms(OTHER, "hello", 100.0) == 0
    said.say(LIVE, "you", 2, 220.0)
    assert len(said) == 1


def test_what_was_not_stored_was_not_said_and_releasing_an_earlier_message_changes_nothing() -> None:
    said = SpokenTexts()
    said.say(LIVE, "hello", 1, 100.0)
    said.say(LIVE, "HELLO", 2, 220.0)
    said.release(1)
    assert said.wait_ms(LIVE, "hello", 220.0) == 120_000
    said.release(2)
    assert said.wait_ms(LIVE, "hello", 220.0) == 0
    assert (len(said), len(said._texts)) == (0, 0)


def test_of_too_many_texts_the_oldest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policies, "TEXTS_LIMIT", 2)
    said = SpokenTexts()
    for number in range(4):
        said.say(LIVE, f"text {number}", number, 100.0)
    assert [said.wait_ms(LIVE, f"text {number}", 100.0) > 0 for number in range(4)] == [False, False, True, True]


def test_unique_is_not_for_moderators_and_above() -> None:
    assert [Policy(1, unique=True).is_unique_for(rank) for rank in sorted(Rank)] == [
        True,
        True,
        False,
        False,
        False,
        False,
    ]
    assert not Policy(1).is_unique_for(Rank.USER)


def test_where_rules_act_is_known_as_it_was_last_read() -> None:
    cache = PolicyCache()
    assert not cache.is_ruled(LIVE, who())
    cache.rules_read([LIVE, OTHER], {LIVE}, everywhere=False)
    assert (cache.is_ruled(LIVE, who()), cache.is_ruled(OTHER, who())) == (True, False)
    for exempt in (who(Rank.MODERATOR), who(Rank.OWNER), who().in_room("vip", Rank.USER)):
        assert not cache.is_ruled(LIVE, exempt)
    cache.rules_read([OTHER], set(), everywhere=True)
    assert cache.is_ruled(OTHER, who(Rank.ANONYMOUS))
    cache.rules_read([OTHER], {OTHER}, everywhere=False)
    cache.forget(OTHER)
    assert (cache.is_ruled(LIVE, who()), cache.is_ruled(OTHER, who())) == (True, False)
    cache.rules_read([LIVE], set(), everywhere=False)
    assert not cache.is_ruled(LIVE, who())
