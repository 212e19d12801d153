"""domain/policy.py, policy_cache.py and undo.py: the shield, which lies over a policy for a time."""

from dataclasses import fields, replace

import pytest
from hypothesis import given, settings, strategies as st

from moderation.config import Config, preset_of
from moderation.domain.audit import AuditRecord
from moderation.domain.erasures import LogRef, Origin
from moderation.domain.people import Claims, Moderator, Rank
from moderation.domain.policy import (
    NO_POLICY,
    SHIELD_PRESET,
    Links,
    Policy,
    PolicyAction,
    PolicyChanges,
    PolicyCommand,
    PolicyOrder,
    ReadOnly,
    RoomPolicy,
    Shield,
    ShieldCommand,
    ShieldOrder,
    refusal_by,
)
from moderation.domain.policy_cache import PolicyCache
from moderation.domain.rights import may_shield
from moderation.domain.sanctions import Scope
from moderation.domain.undo import DoneAction, UndoCommand, Undoing, decide_undo
from moderation.errors import NothingToUndo

NOW_MS = 1_700_000_000_000
ON, OTHER, OVER = Shield(NOW_MS + 1, SHIELD_PRESET), Shield(NOW_MS + 9, SHIELD_PRESET), Shield(NOW_MS, SHIELD_PRESET)
LOG, ORIGIN = LogRef(3, 7, 21), Origin("e", 4, "n")
MODERATOR = Moderator(9, Rank.MODERATOR)
policies = st.builds(
    Policy,
    slow_mode_seconds=st.sampled_from([0, 5, 600]),
    read_only=st.sampled_from(ReadOnly),
    members_only=st.booleans(),
    min_account_minutes=st.sampled_from([0, 10, 1440]),
    min_follow_minutes=st.sampled_from([0, 10, 1440]),
    emote_only=st.booleans(),
    max_length=st.sampled_from([1, 5, 1000]),
    unique=st.booleans(),
    links=st.sampled_from(Links),
    shield_automatic=st.booleans(),
    max_shown_per_second=st.sampled_from([0, 5, 200]),
    delay_seconds=st.sampled_from([0, 2, 4, 6]),
)


def test_the_preset_is_that_of_the_contract() -> None:
    assert Policy(30, ReadOnly.ANONYMOUS, min_account_minutes=1440, links=Links.REFUSE) == SHIELD_PRESET
    assert preset_of(Config().shield_preset) == SHIELD_PRESET


def test_while_it_is_on_the_stricter_of_policy_and_preset_holds_field_by_field() -> None:
    kept = Policy(60, ReadOnly.NOBODY, True, 10, 20, True, 100, True, Links.ALLOW, False, 50)
    preset = Policy(30, ReadOnly.ANONYMOUS, False, 1440, 5, False, 1000, False, Links.REFUSE, False, 20)
    both = Policy(60, ReadOnly.ANONYMOUS, True, 1440, 20, True, 100, True, Links.REFUSE, False, 20)
    assert kept.stricter(preset) == preset.stricter(kept) == both
    assert replace(kept, shield=Shield(NOW_MS + 1, preset)).in_force(NOW_MS) == both
    assert Policy(max_shown_per_second=50).stricter(Policy()) == Policy(max_shown_per_second=50)


def test_at_its_end_the_policy_holds_as_it_is_by_then_and_nothing_is_restored() -> None:
    shielded = Policy(5, shield=ON).changed({"slow_mode_seconds": 7})
    assert shielded.in_force(NOW_MS).slow_mode_seconds == 30
    assert shielded.in_force(NOW_MS + 1) == Policy(7)
    assert Policy(5).in_force(NOW_MS) == Policy(5)


@settings(deadline=None)
@given(kept=policies, preset=policies)
def test_what_holds_under_a_shield_is_never_laxer_than_policy_or_preset(kept: Policy, preset: Policy) -> None:
    held = replace(kept, shield=Shield(NOW_MS + 1, preset)).in_force(NOW_MS)
    for field in fields(Policy):
        values = [getattr(policy, field.name) for policy in (kept, preset)]
        if field.name == "max_shown_per_second":
            assert held.max_shown_per_second == min(filter(None, values), default=0)
        elif field.name != "shield":
            assert getattr(held, field.name) == (min(values) if field.name == "max_length" else max(values))
    assert held.shield is None


@settings(deadline=None)
@given(
    kept=policies,
    preset=policies,
    rank=st.sampled_from([Rank.ANONYMOUS, Rank.USER]),
    claims=st.builds(Claims, st.booleans(), *[st.sampled_from([0, NOW_MS // 1000 - 1200, 1])] * 2),
    text=st.sampled_from(["", "hi", "hello there", ":wave:", "see evil.com"]),
)
def test_a_message_that_policy_or_preset_refuses_is_refused_under_the_shield(
    kept: Policy, preset: Policy, rank: Rank, claims: Claims, text: str
) -> None:
    held = replace(kept, shield=Shield(NOW_MS + 1, preset)).in_force(NOW_MS)
    alone = [refusal_by(policy, rank, claims, text, NOW_MS) is not None for policy in (kept, preset)]
    assert (refusal_by(held, rank, claims, text, NOW_MS) is not None) == any(alone)


@pytest.mark.parametrize(("minutes", "shield"), [(15, Shield(NOW_MS + 900_000, SHIELD_PRESET)), (0, None)])
def test_a_command_about_it_is_a_change_of_the_policy(minutes: int, shield: Shield | None) -> None:
    order = ShieldOrder(ShieldCommand(MODERATOR, "live", minutes, "raid"), LOG, ORIGIN)
    changes = PolicyChanges(shield=shield)
    command = PolicyCommand(MODERATOR, "live", changes, "raid", PolicyAction.SHIELD)
    assert order.on_policy(SHIELD_PRESET, NOW_MS) == PolicyOrder(command, LOG, ORIGIN)


@pytest.mark.parametrize(
    ("user_id", "rank", "may"),
    [
        (9, Rank.USER, False),
        (9, Rank.MODERATOR, True),
        (9, Rank.OWNER, True),
        (9, Rank.ADMIN, True),
        (0, Rank.SUPERUSER, False),
    ],
)
def test_moderators_and_above_set_it(user_id: int, rank: Rank, may: bool) -> None:
    assert may_shield(ShieldCommand(Moderator(user_id, rank), "live", 15, "")) is may


def test_whether_a_shield_lies_over_the_policy_at_a_time() -> None:
    cache = PolicyCache()
    assert not cache.is_shielded("live", NOW_MS)
    cache.apply(RoomPolicy("live", 1, Policy(shield=ON)))
    assert [cache.is_shielded("live", at_ms) for at_ms in (NOW_MS, NOW_MS + 1)] == [True, False]


def test_what_is_kept_says_whether_its_shield_is_on() -> None:
    shielded = [Policy(shield=shield).is_shielded(NOW_MS) for shield in (None, OVER, ON)]
    assert shielded == [False, False, True]


def test_a_replica_judges_by_it_up_to_its_end_by_its_own_clock() -> None:
    cache = PolicyCache()
    cache.apply(RoomPolicy("live", 1, Policy(60, shield=ON)))
    assert cache.find("live", NOW_MS) == Policy(60, ReadOnly.ANONYMOUS, min_account_minutes=1440, links=Links.REFUSE)
    assert cache.find("live", NOW_MS + 1) == Policy(60)


def test_a_policy_that_asks_for_nothing_costs_nothing_once_its_shield_is_over_and_keeps_older_ones_out() -> None:
    cache = PolicyCache()
    cache.apply(RoomPolicy("live", 5, Policy(shield=ON)))
    assert cache.find("live", NOW_MS) == SHIELD_PRESET
    assert cache.find("live", NOW_MS + 1) is None
    assert len(cache) == 0
    cache.apply(RoomPolicy("live", 4, Policy(60)))
    assert cache.find("live", NOW_MS) is None


def done(before: Shield | None, after: Shield | None, now: Shield | None, *later: AuditRecord) -> DoneAction:
    record = AuditRecord(7, int(PolicyAction.SHIELD), 0, "", 9, Rank.MODERATOR, 0, Scope.ROOM, "live", "", NOW_MS - 10)
    policy = replace(NO_POLICY, shield=now)
    changed = PolicyChanges(shield=before), PolicyChanges(shield=after)
    return DoneAction(record, fields=("shield",), before=changed[0], after=changed[1], policy=policy, later=later)


def undo(action: DoneAction) -> Undoing:
    return decide_undo(UndoCommand(Moderator(8, Rank.ADMIN), "live", 7, ""), action, now_ms=NOW_MS)


@pytest.mark.parametrize(("before", "after"), [(None, ON), (OTHER, ON), (OTHER, None)])
def test_undoing_brings_back_what_was_there_before_as_long_as_it_is_not_over(
    before: Shield | None, after: Shield | None
) -> None:
    assert undo(done(before, after, after)) == Undoing(changes={"shield": before})


def test_a_shield_that_was_over_is_not_brought_back() -> None:
    assert undo(done(OVER, ON, ON)) == Undoing(changes={"shield": None})


@pytest.mark.parametrize(("before", "after"), [(None, OVER), (OVER, OVER), (OVER, None), (None, None)])
def test_there_is_nothing_to_undo_of_a_shield_that_has_ended_by_itself(
    before: Shield | None, after: Shield | None
) -> None:
    with pytest.raises(NothingToUndo):
        undo(done(before, after, after))


def test_there_is_nothing_to_undo_where_somebody_has_set_it_since() -> None:
    since = replace(done(None, None, None).record, id=8, details={"version": 60, "before": {"shield": None}})
    with pytest.raises(NothingToUndo):
        undo(done(None, ON, ON, since))
