"""The role table of the WebSocket API and "Sanctions" of the chat protocol, row by row."""

from collections.abc import Iterable

import pytest

from moderation.domain import rights
from moderation.domain.kept_rules import EVERYWHERE, RuleEdit
from moderation.domain.people import Moderator, Rank, Target
from moderation.domain.rights import (
    Change,
    decide_by_rule,
    demand_classifiers,
    may_act,
    may_edit_classifiers,
    may_edit_rules,
    may_execute,
    may_lift,
)
from moderation.domain.sanctions import MOST_ADDRESSES, Action, Command, Sanction, Scope
from moderation.errors import NotPermitted, SanctionIsOver

BAN, MUTE, UNBAN, UNMUTE = Action.BAN, Action.MUTE, Action.UNBAN, Action.UNMUTE
ANA = Target(123, "")


def command(
    action: Action,
    rank: Rank = Rank.ADMIN,
    *,
    by: int = 9,
    target: Target = ANA,
    target_rank: Rank | None = None,
    scope: Scope = Scope.ROOM,
    slug: str = "live",
    minutes: int = 0,
) -> Command:
    return Command(Moderator(by, rank), action, target, target_rank, scope, slug, minutes, "")


def sanction(
    sanction_id: int,
    kind: Action = MUTE,
    *,
    rank: Rank = Rank.ADMIN,
    slug: str | None = "live",
    target: Target = ANA,
    addresses: Iterable[str] = (),
) -> Sanction:
    return Sanction(sanction_id, kind, target, frozenset(addresses), slug, "", 8, rank, 0, None)


def decide(what: Command, in_force: Iterable[Sanction], *seen_at: str) -> Change:
    return rights.decide(what, in_force, addresses=frozenset(seen_at))


@pytest.mark.parametrize(
    ("rank", "may_mute", "may_ban", "may_everywhere"),
    [
        (Rank.ANONYMOUS, False, False, False),
        (Rank.USER, False, False, False),
        (Rank.MODERATOR, True, False, False),
        (Rank.OWNER, True, True, False),
        (Rank.ADMIN, True, True, True),
        (Rank.SUPERUSER, True, True, True),
    ],
)
def test_the_role_table(rank: Rank, may_mute: bool, may_ban: bool, may_everywhere: bool) -> None:
    for action in (MUTE, UNMUTE):
        assert may_act(rank, action, Scope.ROOM) == may_mute
        assert may_act(rank, action, Scope.EVERYWHERE) == may_everywhere
    for action in (BAN, UNBAN):
        assert may_act(rank, action, Scope.ROOM) == may_ban
        assert may_act(rank, action, Scope.EVERYWHERE) == may_everywhere


@pytest.mark.parametrize("action", list(Action))
@pytest.mark.parametrize("target_rank", list(Rank))
@pytest.mark.parametrize("rank", [Rank.ADMIN, Rank.SUPERUSER])
def test_an_action_is_refused_where_a_connected_target_ranks_equal_or_higher(
    rank: Rank, target_rank: Rank, action: Action
) -> None:
    assert may_execute(command(action, rank, target_rank=target_rank)) == (target_rank < rank)


@pytest.mark.parametrize("action", list(Action))
def test_an_action_on_someone_who_is_not_connected_is_permitted(action: Action) -> None:
    assert may_execute(command(action, target_rank=None))


@pytest.mark.parametrize("action", list(Action))
def test_nobody_sanctions_themselves(action: Action) -> None:
    assert not may_execute(command(action, Rank.SUPERUSER, by=123))


def test_nobody_without_a_user_id_sanctions() -> None:
    assert not may_execute(command(MUTE, Rank.ADMIN, by=0, target=Target(0, "Anonymous_10.0.0.1")))


def test_imposing_again_replaces_the_earlier_one_of_the_same_kind_scope_and_target() -> None:
    in_force = [sanction(1), sanction(2, BAN), sanction(3, slug=None)]
    change = decide(command(MUTE), in_force)
    assert [s.id for s in change.lifted] == [1]
    assert change.imposes


def test_imposing_never_shortens_one_by_a_higher_rank() -> None:
    change = decide(command(MUTE, Rank.MODERATOR, minutes=1), [sanction(1, rank=Rank.ADMIN)])
    assert change.lifted == ()
    assert change.imposes


def test_a_new_sanction_holds_where_the_target_was_seen_and_where_those_that_it_replaces_held() -> None:
    in_force = [
        sanction(1, addresses=["10.0.0.1", "10.0.0.2"]),
        sanction(2, BAN, addresses=["of another kind"]),
        sanction(3, slug="elsewhere", addresses=["of another room"]),
        sanction(4, rank=Rank.SUPERUSER, addresses=["of one that stays"]),
    ]
    assert decide(command(MUTE), in_force, "10.0.0.2", "10.0.0.3").addresses == {"10.0.0.1", "10.0.0.2", "10.0.0.3"}
    assert decide(command(UNMUTE, Rank.SUPERUSER), in_force, "10.0.0.3").addresses == frozenset()


def test_a_new_sanction_of_an_anonymous_target_inherits_no_address_of_somebody_else_at_the_same_one() -> None:
    named, other = Target(0, "Anonymous_3f2a"), Target(0, "Anonymous_77")
    in_force = [sanction(1, target=other, addresses=["10.0.0.1", "10.0.0.7"])]
    change = decide(command(MUTE, target=named), in_force, "10.0.0.1")
    assert [s.id for s in change.lifted] == [1]
    assert change.addresses == {"10.0.0.1"}


def test_where_a_new_sanction_would_hold_for_too_many_addresses_those_where_the_target_was_seen_come_first() -> None:
    seen_at = [f"seen {n}" for n in range(6)]
    in_force = [sanction(1, addresses=[f"held {n:03}" for n in range(MOST_ADDRESSES)])]
    addresses = decide(command(MUTE), in_force, *seen_at).addresses
    assert addresses == {*seen_at, *(f"held {n:03}" for n in range(MOST_ADDRESSES - 6))}


def test_lifting_in_a_room_lifts_what_holds_in_that_room_and_leaves_what_holds_everywhere() -> None:
    change = decide(
        command(UNMUTE), [sanction(1), sanction(2, slug=None), sanction(3, slug="live-2"), sanction(4, BAN)]
    )
    assert [s.id for s in change.lifted] == [1]
    assert not change.imposes


def test_a_moderator_lifts_in_a_room_what_a_moderator_imposed_there_beside_an_admins_everywhere() -> None:
    in_force = [sanction(1, rank=Rank.MODERATOR), sanction(2, rank=Rank.ADMIN, slug=None)]
    assert [s.id for s in decide(command(UNMUTE, Rank.MODERATOR), in_force).lifted] == [1]


def test_lifting_everywhere_is_not_for_moderators() -> None:
    assert not may_execute(command(UNMUTE, Rank.MODERATOR, scope=Scope.EVERYWHERE))
    assert may_execute(command(UNMUTE, Rank.ADMIN, scope=Scope.EVERYWHERE))


def test_lifting_everywhere_lifts_all_of_that_kind() -> None:
    change = decide(command(UNMUTE, scope=Scope.EVERYWHERE), [sanction(1), sanction(2, slug=None), sanction(3, BAN)])
    assert [s.id for s in change.lifted] == [1, 2]


def test_lifting_what_was_never_imposed_is_fine() -> None:
    assert decide(command(UNBAN), []).lifted == ()


def test_a_moderator_does_not_lift_what_an_admin_imposed() -> None:
    with pytest.raises(NotPermitted):
        decide(command(UNMUTE, Rank.MODERATOR), [sanction(1, rank=Rank.ADMIN)])


def test_nothing_is_lifted_where_a_part_may_not_be_lifted() -> None:
    in_force = [sanction(1, rank=Rank.MODERATOR), sanction(2, rank=Rank.ADMIN)]
    with pytest.raises(NotPermitted):
        decide(command(UNMUTE, Rank.MODERATOR), in_force)


@pytest.mark.parametrize(
    ("rank", "kind", "author", "slug", "expected"),
    [
        (Rank.MODERATOR, MUTE, Rank.MODERATOR, "live", True),
        (Rank.MODERATOR, MUTE, Rank.ADMIN, "live", False),
        (Rank.MODERATOR, BAN, Rank.MODERATOR, "live", False),
        (Rank.MODERATOR, MUTE, Rank.MODERATOR, None, False),
        (Rank.ADMIN, BAN, Rank.ADMIN, None, True),
        (Rank.ADMIN, BAN, Rank.SUPERUSER, "live", False),
        (Rank.SUPERUSER, BAN, Rank.SUPERUSER, None, True),
        (Rank.USER, MUTE, Rank.MODERATOR, "live", False),
    ],
)
def test_who_could_have_imposed_a_sanction_may_lift_it(
    rank: Rank, kind: Action, author: Rank, slug: str | None, expected: bool
) -> None:
    assert may_lift(Moderator(9, rank), sanction(1, kind, rank=author, slug=slug)) == expected


def test_lifting_by_id_is_the_command_that_ends_that_sanction() -> None:
    moderator, everywhere = Moderator(9, Rank.ADMIN), sanction(1, BAN, slug=None)
    assert Command.lifting(sanction(1), moderator) == command(UNMUTE)
    assert Command.lifting(everywhere, moderator) == command(UNBAN, scope=Scope.EVERYWHERE, slug="")


def test_nobody_lifts_their_own_sanction() -> None:
    assert not may_lift(Moderator(123, Rank.SUPERUSER), sanction(1))


@pytest.mark.parametrize(("minutes", "expected"), [(0, None), (1, 61_000), (525_600, 31_536_001_000)])
def test_a_duration_of_0_is_permanent(minutes: int, expected: int | None) -> None:
    assert command(MUTE, minutes=minutes).expires_at_ms(1_000) == expected


@pytest.mark.parametrize(("slug", "lowest"), [("live", Rank.OWNER), (EVERYWHERE, Rank.ADMIN)])
@pytest.mark.parametrize("edit", RuleEdit)
def test_rules_of_a_room_are_for_its_owner_and_above_those_for_everywhere_for_admins(
    edit: RuleEdit, slug: str, lowest: Rank
) -> None:
    allowed = [rank for rank in Rank if may_edit_rules(Moderator(9, rank), edit, slug)]
    assert allowed == [rank for rank in Rank if rank >= lowest]
    assert not may_edit_rules(Moderator(0, Rank.ADMIN), edit, slug)


def test_classifiers_are_for_admins_wherever_they_are() -> None:
    assert [rank for rank in Rank if may_edit_classifiers(Moderator(9, rank))] == [Rank.ADMIN, Rank.SUPERUSER]
    assert not may_edit_classifiers(Moderator(0, Rank.ADMIN))
    demand_classifiers(Moderator(9, Rank.ADMIN))
    with pytest.raises(NotPermitted):
        demand_classifiers(Moderator(9, Rank.OWNER))


def mute_until(
    ends_ms: int | None, *, rank: Rank = Rank.MODERATOR, kind: Action = MUTE, slug: str | None = "live"
) -> Sanction:
    return Sanction(1, kind, ANA, frozenset(), slug, "", 8, rank, 0, ends_ms)


@pytest.mark.parametrize(
    ("in_force", "is_over"),
    [
        (mute_until(None), True),
        (mute_until(300_000), True),
        (mute_until(240_000, slug=None), True),
        (mute_until(239_999), False),
        (mute_until(None, slug="other"), False),
        (mute_until(None, kind=BAN), False),
    ],
)
def test_a_mute_by_rule_changes_nothing_where_one_as_long_but_for_a_minute_holds(
    in_force: Sanction, is_over: bool
) -> None:
    by_rule = command(MUTE, Rank.MODERATOR, by=0, minutes=5)
    if is_over:
        with pytest.raises(SanctionIsOver):
            decide_by_rule(by_rule, [in_force], addresses=frozenset(), now_ms=0)
        return
    change = decide_by_rule(by_rule, [in_force], addresses=frozenset({"10.0.0.5"}), now_ms=0)
    replaced = () if in_force.slug == "other" or in_force.kind is BAN else (in_force,)
    assert change == Change(replaced, imposes=True, addresses=frozenset({"10.0.0.5"}))


def test_a_mute_by_rule_leaves_a_shorter_one_by_a_higher_rank_beside_it() -> None:
    by_rule, shorter = command(MUTE, Rank.MODERATOR, by=0, minutes=5), mute_until(1, rank=Rank.ADMIN)
    assert decide_by_rule(by_rule, [shorter], addresses=frozenset(), now_ms=0).lifted == ()
