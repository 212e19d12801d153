"""Undoing an action: each row of the table in domain/undo.py, and what holds whatever was done before."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from moderation.domain.audit import AuditRecord
from moderation.domain.people import Moderator, Rank, Target
from moderation.domain.policy import Policy, PolicyChanges, ReadOnly
from moderation.domain.roles import RoomRole
from moderation.domain.sanctions import Action, Sanction, Scope
from moderation.domain.undo import (
    DoneAction,
    PolicyState,
    RoleState,
    UndoCommand,
    Undoing,
    decide_undo,
    is_taken_away,
    may_undo,
)
from moderation.errors import ActionNotFound, AlreadyUndone, CannotUndo, ModerationError, NothingToUndo, NotPermitted

NOW = 1_000_000
MINUTE = 60_000
ANA, NAMELESS = Target(5, ""), Target(0, "Anonymous_10.0.0.1")
BAN, MUTE, UNBAN, UNMUTE, DELETE, PURGE, CLEAR, POLICY, UNDO, ROLE = 1, 2, 3, 4, 5, 6, 7, 11, 23, 26
MODERATOR, VIP = RoomRole.MODERATOR, RoomRole.VIP
SAVE_RULE, DELETE_RULE = 24, 25


def record(action: int = BAN, **other: object) -> AuditRecord:
    made = AuditRecord(7, action, 5, "", 9, Rank.ADMIN, 0, Scope.ROOM, "live", "", NOW - 10)
    return replace(made, **other)  # type: ignore[arg-type]


def sanction(
    number: int,
    kind: Action = Action.BAN,
    *,
    slug: str | None = "live",
    target: Target = ANA,
    ends: int | None = None,
    lifted: int | None = None,
) -> Sanction:
    return Sanction(number, kind, target, frozenset({"10.0.0.5"}), slug, "", 9, Rank.ADMIN, 1, ends, lifted)


def undo(
    done: DoneAction | None, rank: Rank = Rank.ADMIN, *, by: int = 8, slug: str = "live", now_ms: int = NOW
) -> Undoing:
    return decide_undo(UndoCommand(Moderator(by, rank), slug, 7, ""), done, now_ms=now_ms)


BANNED = DoneAction(record(), imposed=(sanction(1),), in_force=(sanction(1),))


@pytest.mark.parametrize("kind", [Action.BAN, Action.MUTE])
def test_undoing_lifts_the_sanction_that_the_action_imposed(kind: Action) -> None:
    done = DoneAction(record(int(kind)), imposed=(sanction(1, kind),), in_force=(sanction(1, kind),))
    undoing = undo(done)
    assert undoing == Undoing(lifts=(sanction(1, kind),))
    assert (undoing.action, undoing.duration_minutes(NOW)) == (kind.opposite, 0)


@pytest.mark.parametrize("kind", [Action.BAN, Action.MUTE])
def test_undoing_imposes_again_what_the_action_lifted_for_what_is_left_of_its_time(kind: Action) -> None:
    lifted = sanction(1, kind, ends=NOW + 90_000, lifted=NOW - 10)
    undoing = undo(DoneAction(record(int(kind.opposite)), lifted=(lifted,)))
    assert undoing == Undoing(imposes=(lifted,))
    assert (undoing.action, undoing.duration_minutes(NOW)) == (kind, 2)
    for_ever = replace(lifted, expires_at_ms=None)
    assert undo(DoneAction(record(int(kind.opposite)), lifted=(lifted, for_ever))).duration_minutes(NOW) == 0


def test_undoing_a_ban_that_replaced_another_one_brings_that_back() -> None:
    before, after = sanction(1, lifted=NOW - 10), sanction(2, ends=NOW + MINUTE)
    undoing = undo(DoneAction(record(), imposed=(after,), lifted=(before,), in_force=(after,)))
    assert undoing == Undoing(lifts=(after,), imposes=(before,))
    assert undoing.action is Action.BAN
    over = replace(after, expires_at_ms=NOW)
    assert undo(DoneAction(record(), imposed=(over,), lifted=(before,))) == Undoing(imposes=(before,))


def test_what_somebody_lifted_or_imposed_since_stays() -> None:
    before, after = sanction(1, lifted=NOW - 10), sanction(2, lifted=NOW - 5)
    with pytest.raises(NothingToUndo):
        undo(DoneAction(record(), imposed=(after,), lifted=(before,)))
    with pytest.raises(NothingToUndo):
        undo(DoneAction(record(UNBAN), lifted=(before,), in_force=(sanction(3),)))
    elsewhere = (sanction(3, slug="other"), sanction(4, Action.MUTE), sanction(5, target=Target(6, "")))
    assert undo(DoneAction(record(UNBAN), lifted=(before,), in_force=elsewhere)) == Undoing(imposes=(before,))
    both = (before, sanction(6, slug=None, lifted=NOW - 10))
    undoing = undo(DoneAction(record(UNBAN), lifted=both, in_force=(sanction(3),)))
    assert undoing == Undoing(imposes=both[1:], not_undone=("sanctions",))


def test_what_is_not_known_any_more_is_told() -> None:
    undoing = undo(DoneAction(record(UNBAN), lifted=(sanction(1, lifted=1),), lost=1))
    assert undoing.not_undone == ("sanctions",)


def test_messages_that_a_ban_took_back_stay_gone_and_that_is_told() -> None:
    done = replace(BANNED, record=record(purged=True))
    assert undo(done) == Undoing(lifts=(sanction(1),), not_undone=("messages",))


def changed(state: PolicyState | None, before: PolicyChanges, after: PolicyChanges, *unknown: str) -> DoneAction:
    fields = (*sorted(before), *unknown)
    return DoneAction(record(POLICY), fields=fields, before=before, after=after, version=50, policy=state)


def test_undoing_restores_the_policy_field_where_nobody_changed_it_since() -> None:
    before = PolicyChanges(slow_mode_seconds=0, read_only=ReadOnly.NOBODY)
    after = PolicyChanges(slow_mode_seconds=30, read_only=ReadOnly.EVERYONE)
    state = PolicyState(Policy(30, ReadOnly.EVERYONE), {"slow_mode_seconds": 50, "read_only": 50})
    assert undo(changed(state, before, after)) == Undoing(changes=before)
    # Somebody has changed it, and back.
    state = PolicyState(Policy(30, ReadOnly.EVERYONE), {"slow_mode_seconds": 60, "read_only": 50})
    expected = Undoing(changes=PolicyChanges(read_only=ReadOnly.NOBODY), not_undone=("slow_mode_seconds",))
    assert undo(changed(state, before, after)) == expected
    # Of before versions of fields were kept: the value alone tells.
    assert undo(changed(PolicyState(Policy(30, ReadOnly.ANONYMOUS), {}), before, after)) == Undoing(
        changes=PolicyChanges(slow_mode_seconds=0), not_undone=("read_only",)
    )


def test_a_field_that_was_named_and_not_changed_is_nothing_to_undo() -> None:
    same = PolicyChanges(slow_mode_seconds=30)
    with pytest.raises(NothingToUndo):
        undo(changed(PolicyState(Policy(30), {"slow_mode_seconds": 50}), same, same))


def test_a_field_that_only_a_later_version_knows_stays_and_is_told() -> None:
    before, after = PolicyChanges(slow_mode_seconds=0), PolicyChanges(slow_mode_seconds=30)
    state = PolicyState(Policy(30), {"slow_mode_seconds": 50})
    assert undo(changed(state, before, after, "zeal")) == Undoing(changes=before, not_undone=("zeal",))
    with pytest.raises(NothingToUndo):
        undo(changed(None, before, after))


@pytest.mark.parametrize("action", [DELETE, PURGE, CLEAR, SAVE_RULE, DELETE_RULE])
def test_a_deletion_and_a_change_of_a_rule_cannot_be_undone_and_say_so(action: int) -> None:
    with pytest.raises(CannotUndo):
        undo(DoneAction(record(action)))


def test_what_was_undone_is_undone_once_and_an_undo_may_be_undone() -> None:
    with pytest.raises(AlreadyUndone):
        undo(replace(BANNED, is_undone=True))
    again = DoneAction(record(UNDO, undoes_id=6), lifted=(sanction(1, lifted=NOW - 10),))
    assert undo(again).action is Action.BAN


def test_an_action_of_a_later_version_is_nothing_to_undo() -> None:
    with pytest.raises(NothingToUndo):
        undo(DoneAction(record(99)))


def test_what_is_not_there_or_of_another_room_or_of_the_service_itself_is_not_found() -> None:
    with pytest.raises(ActionNotFound):
        undo(None)
    with pytest.raises(ActionNotFound):
        undo(BANNED, slug="other")
    with pytest.raises(ActionNotFound):
        undo(replace(BANNED, record=record(followed_address="10.0.0.7")))
    with pytest.raises(ActionNotFound):
        undo(replace(BANNED, record=record(scope=9)))
    assert undo(BANNED, slug="").lifts
    assert undo(replace(BANNED, record=record(scope=Scope.EVERYWHERE, slug="x"))).lifts


@pytest.mark.parametrize(
    ("rank", "by_rank", "is_permitted"),
    [
        (Rank.ANONYMOUS, Rank.ADMIN, False),
        (Rank.USER, Rank.MODERATOR, False),
        (Rank.MODERATOR, Rank.MODERATOR, False),
        (Rank.ADMIN, Rank.MODERATOR, True),
        (Rank.ADMIN, Rank.OWNER, True),
        (Rank.ADMIN, Rank.ADMIN, True),
        (Rank.ADMIN, Rank.SUPERUSER, False),
        (Rank.SUPERUSER, Rank.ADMIN, True),
        (Rank.SUPERUSER, Rank.SUPERUSER, True),
    ],
)
@pytest.mark.parametrize("scope", Scope)
def test_admins_and_above_undo_what_no_higher_rank_did(
    rank: Rank, by_rank: Rank, is_permitted: bool, scope: Scope
) -> None:
    done = replace(BANNED, record=record(actor_rank=by_rank, scope=scope))
    if is_permitted:
        assert undo(done, rank).lifts
    else:
        with pytest.raises(NotPermitted):
            undo(done, rank)


@pytest.mark.parametrize(
    ("by_rank", "is_permitted"),
    [(Rank.MODERATOR, True), (Rank.OWNER, True), (Rank.ADMIN, False), (Rank.SUPERUSER, False), (77, True)],
)
def test_owners_undo_in_their_room_what_nobody_above_them_did_by_the_order_of_ranks(
    by_rank: int, is_permitted: bool
) -> None:
    """Their number is the highest, their place is not. A rank of a later version counts as a user's."""
    done = replace(BANNED, record=record(actor_rank=int(by_rank)))
    if is_permitted:
        assert undo(done, Rank.OWNER).lifts
    else:
        with pytest.raises(NotPermitted):
            undo(done, Rank.OWNER)
    with pytest.raises(NotPermitted):
        undo(done, Rank.OWNER, slug="")
    with pytest.raises(NotPermitted):
        undo(replace(BANNED, record=record(actor_rank=int(by_rank), scope=Scope.EVERYWHERE)), Rank.OWNER)
    with pytest.raises(ActionNotFound):
        undo(replace(BANNED, record=record(slug="other")), Rank.OWNER)


def role(before: RoomRole | None, after: RoomRole | None, *later: AuditRecord, **other: object) -> DoneAction:
    state = replace(RoleState(before, after, after, is_of_owner=True, later=later), **other)  # type: ignore[arg-type]
    return DoneAction(record(ROLE, actor_rank=int(Rank.OWNER)), role=state)


@pytest.mark.parametrize(("before", "after"), [(None, VIP), (MODERATOR, VIP), (MODERATOR, None)])
def test_an_undone_role_is_the_one_of_before(before: RoomRole | None, after: RoomRole | None) -> None:
    done = role(before, after)
    assert undo(done, Rank.OWNER) == Undoing(role=done.role)


@pytest.mark.parametrize(
    "done",
    [
        role(VIP, VIP),
        role(None, VIP, now=MODERATOR),
        role(None, VIP, now=None),
        role(MODERATOR, None, is_of_owner=False),
        role(None, VIP, record(ROLE, id=9)),
        role(None, VIP, record(UNDO, id=9, undoes_id=3)),
        role(None, VIP, record(ROLE, id=9), record(UNDO, id=10, undoes_id=9), record(UNDO, id=11, undoes_id=10)),
    ],
    ids=["not_changed", "another_one", "taken_back", "of_another_owner", "given_again", "undone_before", "undone_undo"],
)
def test_a_role_that_is_not_as_the_action_made_it_stays(done: DoneAction) -> None:
    with pytest.raises(NothingToUndo):
        undo(done)


def test_what_was_done_to_a_role_since_and_undone_counts_for_nothing() -> None:
    first = (record(ROLE, id=9), record(UNDO, id=10, undoes_id=9))
    later = (*first, record(ROLE, id=12), record(UNDO, id=13, undoes_id=12))
    assert undo(role(None, VIP, *later)).role is not None


def test_nobody_undoes_what_was_done_to_themselves_or_without_a_token() -> None:
    with pytest.raises(NotPermitted):
        undo(BANNED, Rank.SUPERUSER, by=5)
    with pytest.raises(NotPermitted):
        undo(BANNED, Rank.SUPERUSER, by=0)
    assert undo(BANNED, by=9).lifts, "one's own action"
    assert not may_undo(Moderator(0, Rank.SUPERUSER))


def test_what_the_same_person_took_away_themselves_is_left_alone() -> None:
    done = record(id=1)
    first = record(UNDO, id=2, undoes_id=1)
    second = record(UNDO, id=3, undoes_id=2)
    assert not is_taken_away([done], 9, 0)
    assert is_taken_away([first, done], 9, 0)
    assert not is_taken_away([second, first, done], 9, 0)
    assert not is_taken_away([first, replace(done, actor_user_id=4)], 9, 0), "it was another one's action"
    assert not is_taken_away([first, replace(done, at_ms=99)], 9, 100), "it was done before"


RANKS = st.sampled_from(Rank)
SANCTIONS = st.builds(
    sanction,
    st.integers(1, 5),
    st.sampled_from([Action.BAN, Action.MUTE]),
    slug=st.sampled_from(["live", "other", None]),
    target=st.sampled_from([ANA, NAMELESS]),
    ends=st.sampled_from([None, NOW - 1, NOW, NOW + 1]),
    lifted=st.sampled_from([None, NOW - 1]),
)
FEW = st.lists(SANCTIONS, max_size=3, unique_by=lambda s: s.id).map(tuple)
CHANGES = st.fixed_dictionaries({"slow_mode_seconds": st.integers(0, 2), "max_length": st.integers(1, 3)})
DONE = st.builds(
    DoneAction,
    st.builds(
        record,
        st.sampled_from([BAN, MUTE, UNBAN, UNMUTE, DELETE, PURGE, CLEAR, POLICY, UNDO, 99]),
        actor_rank=RANKS,
        scope=st.sampled_from([1, 2, 9]),
        slug=st.sampled_from(["live", "other"]),
        target_user_id=st.sampled_from([5, 8]),
        purged=st.sampled_from([None, True]),
        followed_address=st.sampled_from([None, "10.0.0.7"]),
    ),
    is_undone=st.booleans(),
    imposed=FEW,
    lifted=FEW,
    in_force=FEW,
    fields=st.just(("max_length", "slow_mode_seconds")),
    before=CHANGES,
    after=CHANGES,
    version=st.integers(1, 2),
    policy=st.builds(
        PolicyState,
        st.builds(Policy, slow_mode_seconds=st.integers(0, 2), max_length=st.integers(1, 3)),
        st.dictionaries(st.sampled_from(["slow_mode_seconds", "max_length"]), st.integers(1, 2)),
    ),
)


PROOF = settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@PROOF
@given(DONE, RANKS, st.sampled_from([0, 8, 9]), st.sampled_from(["", "live"]))
def test_whatever_was_done_an_undo_changes_nothing_but_what_is_as_the_action_left_it(
    done: DoneAction, rank: Rank, by: int, slug: str
) -> None:
    try:
        undoing = undo(done, rank, by=by, slug=slug)
    except ModerationError:
        return  # nothing is changed
    kept = done.record
    assert rank >= (Rank.OWNER if slug and kept.scope == Scope.ROOM else Rank.ADMIN)
    assert rank >= kept.actor_rank
    assert by != 0
    assert kept.followed_address is None
    assert kept.target_user_id != by
    assert kept.action not in (DELETE, PURGE, CLEAR)
    assert not done.is_undone
    assert slug in ("", kept.slug) or kept.scope == Scope.EVERYWHERE
    assert all(s in done.imposed and s.is_in_force(NOW) for s in undoing.lifts)
    for again in undoing.imposes:
        assert again in done.lifted
        assert again.expires_at_ms is None or again.expires_at_ms > NOW
    assert undoing.lifts or undoing.imposes or undoing.changes
    for name, value in (undoing.changes or {}).items():
        assert done.policy is not None
        assert value == done.before.get(name) != done.after.get(name)
        assert getattr(done.policy.policy, name) == done.after.get(name)
        assert done.policy.field_versions.get(name, done.version) == done.version
        assert name not in undoing.not_undone
