"""Undoing an action: each row of the table in domain/undo.py, and what holds whatever was done before."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from moderation.domain.audit import AuditRecord
from moderation.domain.erasures import NO_ORIGIN, Erasure, ErasureKind, LoggedMessage, LogRef
from moderation.domain.people import Moderator, Rank, Target
from moderation.domain.pins import RoomPin
from moderation.domain.policy import Policy, PolicyChanges, ReadOnly
from moderation.domain.roles import RoomRole
from moderation.domain.sanctions import Action, Sanction, Scope
from moderation.domain.undo import (
    DoneAction,
    PinBack,
    PinState,
    RoleState,
    UndoCommand,
    Undoing,
    decide_undo,
    is_taken_away,
    may_undo,
)
from moderation.domain.warnings import RoomWarning, WarningState
from moderation.errors import (
    ActionNotFound,
    AlreadyUndone,
    CannotUndo,
    MessageWanted,
    ModerationError,
    NothingToUndo,
    NotPermitted,
)

NOW = 1_000_000
MINUTE = 60_000
ANA, NAMELESS = Target(5, ""), Target(0, "Anonymous_10.0.0.1")
BAN, MUTE, UNBAN, UNMUTE, DELETE, PURGE, CLEAR, POLICY, UNDO, ROLE = 1, 2, 3, 4, 5, 6, 7, 11, 23, 26
WARN, PIN, UNPIN = 20, 21, 22
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
    action: DoneAction | None,
    rank: Rank = Rank.ADMIN,
    *,
    by: int = 8,
    slug: str = "live",
    since_ms: int | None = None,
    found: dict[int, LoggedMessage | None] | None = None,
) -> Undoing:
    return decide_undo(UndoCommand(Moderator(by, rank), slug, 7, "", since_ms), action, now_ms=NOW, found=found)


def done(made: AuditRecord, *sanctions: Sanction, later: tuple[AuditRecord, ...] = (), **other: object) -> DoneAction:
    """An action, and all sanctions that are known: of these those in force that are not lifted."""
    standing = frozenset(s.id for s in sanctions if s.is_in_force(NOW))
    known = DoneAction(made, later=later, sanctions={s.id: s for s in sanctions}, in_force=standing)
    return replace(known, **other)  # type: ignore[arg-type]


BANNED = done(record(imposed_id=1), sanction(1))


@pytest.mark.parametrize("kind", [Action.BAN, Action.MUTE])
def test_undoing_lifts_the_sanction_that_the_action_imposed(kind: Action) -> None:
    undoing = undo(done(record(int(kind), imposed_id=1), sanction(1, kind)))
    assert undoing == Undoing(lifts=(sanction(1, kind),))
    assert (undoing.action, undoing.target, undoing.duration_minutes(NOW)) == (kind.opposite, ANA, 0)


@pytest.mark.parametrize("kind", [Action.BAN, Action.MUTE])
def test_undoing_imposes_again_what_the_action_lifted_for_what_is_left_of_its_time(kind: Action) -> None:
    lifted = sanction(1, kind, ends=NOW + 90_000, lifted=NOW - 10)
    undoing = undo(done(record(int(kind.opposite), lifted_ids=(1,)), lifted))
    assert undoing == Undoing(imposes=(lifted,))
    assert (undoing.action, undoing.target, undoing.duration_minutes(NOW)) == (kind, ANA, 2)
    for_ever = replace(lifted, id=2, expires_at_ms=None)
    both = done(record(int(kind.opposite), lifted_ids=(1, 2)), lifted, for_ever)
    assert undo(both).duration_minutes(NOW) == 0


def test_undoing_a_ban_that_replaced_another_one_brings_that_back() -> None:
    before, after = sanction(1, lifted=NOW - 10), sanction(2, ends=NOW + MINUTE)
    made = record(imposed_id=2, lifted_ids=(1,))
    undoing = undo(done(made, before, after))
    assert undoing == Undoing(lifts=(after,), imposes=(before,))
    assert undoing.action is Action.BAN
    assert undo(done(made, before, replace(after, expires_at_ms=NOW))) == Undoing(imposes=(before,))


def test_what_somebody_lifted_or_imposed_since_stays() -> None:
    before, after = sanction(1, lifted=NOW - 10), sanction(2, lifted=NOW - 5)
    unbanned = record(UNBAN, id=8, lifted_ids=(2,))
    with pytest.raises(NothingToUndo):
        undo(done(record(imposed_id=2, lifted_ids=(1,)), before, after, later=(unbanned,)))
    banned = record(BAN, id=8, imposed_id=3)
    with pytest.raises(NothingToUndo):
        undo(done(record(UNBAN, lifted_ids=(1,)), before, sanction(3), later=(banned,)))
    elsewhere = (
        (record(BAN, id=8, slug="other", imposed_id=3), sanction(3, slug="other")),
        (record(MUTE, id=8, imposed_id=3), sanction(3, Action.MUTE)),
        (record(BAN, id=8, target_user_id=6, imposed_id=3), sanction(3, target=Target(6, ""))),
        (record(BAN, id=8, scope=Scope.EVERYWHERE, imposed_id=3), sanction(3, slug=None)),
        (record(BAN, id=8, actor_rank=Rank.MODERATOR, imposed_id=3), sanction(3)),
    )
    for row, other in elsewhere:
        assert undo(done(record(UNBAN, lifted_ids=(1,)), before, other, later=(row,))) == Undoing(imposes=(before,))
    both = (before, sanction(6, slug=None, lifted=NOW - 10))
    of_all = record(UNBAN, scope=Scope.EVERYWHERE, lifted_ids=(1, 6))
    undoing = undo(done(of_all, *both, sanction(3), later=(banned,)))
    assert undoing == Undoing(imposes=both[1:], not_undone=("sanctions",))


def test_what_is_not_known_any_more_is_told() -> None:
    undoing = undo(done(record(UNBAN, lifted_ids=(1, 2)), sanction(1, lifted=1)))
    assert undoing == Undoing(imposes=(sanction(1, lifted=1),), not_undone=("sanctions",))


def test_where_too_much_was_done_since_what_it_imposed_is_lifted_and_nothing_comes_back() -> None:
    made = record(imposed_id=2, lifted_ids=(1,))
    undoing = undo(done(made, sanction(1, lifted=NOW - 10), sanction(2), is_whole=False))
    assert undoing == Undoing(lifts=(sanction(2),), not_undone=("sanctions",))


def test_a_mute_by_rule_that_would_have_been_needless_goes_with_what_let_it_be() -> None:
    """A moderator unmutes, a rule mutes for ten minutes: the mute for ever had made that needless."""
    for_ever, short = sanction(1, Action.MUTE, lifted=NOW - 10), sanction(2, Action.MUTE, ends=NOW + 10 * MINUTE)
    by_rule = record(MUTE, id=8, actor_user_id=0, actor_rank=int(Rank.MODERATOR), imposed_id=2)
    undoing = undo(done(record(UNMUTE, lifted_ids=(1,)), for_ever, short, later=(by_rule,)))
    assert undoing == Undoing(lifts=(short,), imposes=(for_ever,))
    shorter = replace(for_ever, expires_at_ms=NOW + MINUTE)
    weaker = replace(shorter, moderator_rank=Rank.MODERATOR)
    assert undo(done(record(UNMUTE, lifted_ids=(1,)), shorter, short, later=(by_rule,))).imposes == (shorter,)
    with pytest.raises(NothingToUndo):
        undo(done(record(UNMUTE, lifted_ids=(1,)), weaker, short, later=(by_rule,)))


def test_rows_of_before_that_do_not_say_what_came_back_are_read_as_new_sanctions() -> None:
    """S1 was imposed, S2 replaced it, and that was undone by a version that noted no more than new ids."""
    first, second, again = sanction(1, lifted=NOW - 9), sanction(2, lifted=NOW - 5), sanction(3)
    banned = record(id=8, imposed_id=2, lifted_ids=(1,))
    undone = record(UNDO, id=9, undoes_id=8, lifted_ids=(2,), details={"imposed_ids": [3]})
    with pytest.raises(NothingToUndo):
        undo(done(record(imposed_id=1), first, second, again, later=(banned, undone)))
    noted = replace(undone, details={"imposed_ids": [3], "again_of": [1]})
    assert undo(done(record(imposed_id=1), first, second, again, later=(banned, noted))).lifts == (again,)


def test_messages_that_a_ban_took_back_stay_gone_and_that_is_told() -> None:
    purged = replace(BANNED, record=record(imposed_id=1, purged=True))
    assert undo(purged) == Undoing(lifts=(sanction(1),), not_undone=("messages",))


def changed(
    policy: Policy | None,
    before: PolicyChanges,
    after: PolicyChanges,
    *unknown: str,
    later: tuple[AuditRecord, ...] = (),
) -> DoneAction:
    fields = (*sorted(before), *unknown)
    return DoneAction(record(POLICY), later=later, fields=fields, before=before, after=after, policy=policy)


def named(number: int, *fields: str, by: int = 4, **other: object) -> AuditRecord:
    details = {"before": dict.fromkeys(fields, 0), "after": {}, "version": 1}
    return record(POLICY, id=number, actor_user_id=by, details=details, **other)


def test_undoing_restores_the_policy_field_where_nobody_changed_it_since() -> None:
    before = PolicyChanges(slow_mode_seconds=0, read_only=ReadOnly.NOBODY)
    after = PolicyChanges(slow_mode_seconds=30, read_only=ReadOnly.EVERYONE)
    policy = Policy(30, ReadOnly.EVERYONE)
    assert undo(changed(policy, before, after)) == Undoing(changes=before)
    # Somebody has changed it, and back.
    expected = Undoing(changes=PolicyChanges(read_only=ReadOnly.NOBODY), not_undone=("slow_mode_seconds",))
    assert undo(changed(policy, before, after, later=(named(8, "slow_mode_seconds"),))) == expected
    # No row tells of it: the value does.
    assert undo(changed(Policy(30, ReadOnly.ANONYMOUS), before, after)) == Undoing(
        changes=PolicyChanges(slow_mode_seconds=0), not_undone=("read_only",)
    )


def test_what_was_undone_since_and_what_is_of_a_pin_or_a_role_names_no_field() -> None:
    before, after = PolicyChanges(slow_mode_seconds=0), PolicyChanges(slow_mode_seconds=30)
    undone = replace(named(9, "slow_mode_seconds"), action=UNDO, undoes_id=8)
    others = (
        record(PIN, id=10, details={"version": 1, "before": None, "after": 5}),
        record(UNDO, id=11, undoes_id=3, details={"owner": 4, "before": "vip", "after": None, "version": 1}),
        record(UNDO, id=12, undoes_id=3),
    )
    later = (named(8, "slow_mode_seconds"), undone, *others)
    assert undo(changed(Policy(30), before, after, later=later)) == Undoing(changes=before)
    with pytest.raises(NothingToUndo):
        undo(changed(Policy(30), before, after, later=(*later, named(13, "slow_mode_seconds"))))
    with pytest.raises(NothingToUndo):
        undo(replace(changed(Policy(30), before, after), is_whole=False))


def test_where_all_is_undone_that_somebody_did_what_else_they_did_counts_for_nothing() -> None:
    before, after = PolicyChanges(slow_mode_seconds=0), PolicyChanges(slow_mode_seconds=30)
    for mine, others in (
        (named(8, "slow_mode_seconds", by=9), named(8, "slow_mode_seconds", by=4)),
        (named(8, "slow_mode_seconds", by=9), named(8, "slow_mode_seconds", by=9, at_ms=NOW - 1_000)),
        (
            named(8, "slow_mode_seconds", by=9, actor_rank=int(Rank.OWNER)),
            named(8, "slow_mode_seconds", by=9, actor_rank=int(Rank.SUPERUSER)),
        ),
    ):
        changed_since = changed(Policy(30), before, after, later=(mine,))
        assert undo(changed_since, since_ms=NOW - 100) == Undoing(changes=before)
        with pytest.raises(NothingToUndo):
            undo(changed_since)
        with pytest.raises(NothingToUndo):
            undo(changed(Policy(30), before, after, later=(others,)), since_ms=NOW - 100)


def test_a_field_that_was_named_and_not_changed_is_nothing_to_undo() -> None:
    same = PolicyChanges(slow_mode_seconds=30)
    with pytest.raises(NothingToUndo):
        undo(changed(Policy(30), same, same))


def test_a_field_that_only_a_later_version_knows_stays_and_is_told() -> None:
    before, after = PolicyChanges(slow_mode_seconds=0), PolicyChanges(slow_mode_seconds=30)
    assert undo(changed(Policy(30), before, after, "zeal")) == Undoing(changes=before, not_undone=("zeal",))
    with pytest.raises(NothingToUndo):
        undo(changed(None, before, after))


SAID, OLDER = LoggedMessage(1_283, 900, 5, "ana", "nice", "k"), LoggedMessage(1_027, 800, 6, "bob", "rules", "l")
LOG = LogRef(3, 7, 21)


def pinned(
    before: int | None, after: int | None, now: LoggedMessage | None, *later: AuditRecord, **other: object
) -> DoneAction:
    state = PinState(before, after, 21, RoomPin("live", 21, 50, now, 9, NOW - 10), LOG)
    return DoneAction(record(PIN if after else UNPIN), pin=replace(state, **other), later=later)  # type: ignore[arg-type]


def repinned(number: int, **other: object) -> AuditRecord:
    return record(PIN, id=number, details={"version": 60, "life": 21, "before": None, "after": 1}, **other)


def test_undoing_a_pin_unpins_it_and_brings_back_the_one_before() -> None:
    assert undo(pinned(None, SAID.id, SAID)) == Undoing(pin=PinBack(SAID.id, None))
    over_another = pinned(OLDER.id, SAID.id, SAID)
    with pytest.raises(MessageWanted) as wanted:
        undo(over_another)
    assert wanted.value.message_id == OLDER.id
    assert undo(over_another, found={OLDER.id: OLDER}) == Undoing(pin=PinBack(OLDER.id, OLDER))
    assert undo(pinned(OLDER.id, None, None), found={OLDER.id: OLDER}) == Undoing(pin=PinBack(OLDER.id, OLDER))


def test_where_the_message_of_before_cannot_be_read_any_more_it_stays_away_and_that_is_told() -> None:
    expected = Undoing(pin=PinBack(SAID.id, None), not_undone=("pin",))
    assert undo(pinned(OLDER.id, SAID.id, SAID), found={OLDER.id: None}) == expected
    deletion = Erasure(ErasureKind.DELETE, LOG, 9, NO_ORIGIN, message_id=OLDER.id)
    gone = pinned(OLDER.id, SAID.id, SAID, erasures=[deletion])
    assert undo(gone, found={OLDER.id: OLDER}) == expected
    other = replace(deletion, message_id=5)
    still_there = pinned(OLDER.id, SAID.id, SAID, erasures=[other])
    assert undo(still_there, found={OLDER.id: OLDER}).not_undone == ()
    with pytest.raises(NothingToUndo):
        undo(pinned(OLDER.id, None, None), found={OLDER.id: None})


def test_what_took_the_pinned_message_back_would_have_let_the_one_before_be() -> None:
    assert undo(pinned(OLDER.id, SAID.id, None), found={OLDER.id: OLDER}) == Undoing(pin=PinBack(OLDER.id, OLDER))
    with pytest.raises(NothingToUndo):
        undo(pinned(None, SAID.id, None))


UNKNOWN_PIN = DoneAction(record(PIN), pin=PinState(None, SAID.id, 21, None, LOG))


@pytest.mark.parametrize(
    "stays",
    [
        pinned(None, SAID.id, SAID, repinned(8)),
        pinned(None, SAID.id, SAID, record(UNDO, id=8, undoes_id=3, details={"pin": {"version": 60}})),
        pinned(None, SAID.id, OLDER),
        pinned(SAID.id, SAID.id, SAID),
        UNKNOWN_PIN,
        pinned(None, SAID.id, SAID, log=None),
        pinned(None, SAID.id, SAID, log=LOG._replace(life=22)),
        pinned(None, SAID.id, SAID, life=20),
        replace(pinned(None, SAID.id, SAID), is_whole=False),
    ],
    ids=["pinned_since", "undone_since", "other", "not_changed", "unknown", "no_life", "later_life", "earlier", "much"],
)
def test_a_pin_that_is_not_as_the_action_left_it_stays(stays: DoneAction) -> None:
    with pytest.raises(NothingToUndo):
        undo(stays)


def test_what_was_pinned_since_and_undone_counts_for_nothing() -> None:
    later = (repinned(8), record(UNDO, id=9, undoes_id=8, details={"pin": {"version": 61}}))
    assert undo(pinned(None, SAID.id, SAID, *later)) == Undoing(pin=PinBack(SAID.id, None))
    mine = pinned(None, SAID.id, SAID, repinned(8, actor_user_id=9))
    assert undo(mine, since_ms=0) == Undoing(pin=PinBack(SAID.id, None))


def warned(state: WarningState) -> DoneAction:
    warning = RoomWarning(7, "live", ANA, "calm down", 9, Rank.MODERATOR, NOW - 10, state, 3)
    return DoneAction(record(WARN), warning=warning)


@pytest.mark.parametrize("state", WarningState)
def test_undoing_a_warning_takes_it_back_where_it_is_open(state: WarningState) -> None:
    made = warned(state)
    if state.is_open:
        assert undo(made) == Undoing(withdraws=made.warning)
    else:
        with pytest.raises(NothingToUndo):
            undo(made)


@pytest.mark.parametrize("action", [DELETE, PURGE, CLEAR, SAVE_RULE, DELETE_RULE])
def test_a_deletion_and_a_change_of_a_rule_cannot_be_undone_and_say_so(action: int) -> None:
    with pytest.raises(CannotUndo):
        undo(DoneAction(record(action)))


def test_what_was_undone_is_undone_once_and_an_undo_may_be_undone() -> None:
    with pytest.raises(AlreadyUndone):
        undo(replace(BANNED, is_undone=True))
    again = done(record(UNDO, undoes_id=6, lifted_ids=(1,)), sanction(1, lifted=NOW - 10))
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
        undo(replace(BANNED, record=record(imposed_id=1, followed_address="10.0.0.7")))
    with pytest.raises(ActionNotFound):
        undo(replace(BANNED, record=record(imposed_id=1, scope=9)))
    assert undo(BANNED, slug="").lifts
    assert undo(replace(BANNED, record=record(imposed_id=1, scope=Scope.EVERYWHERE, slug="x"))).lifts


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
    action = replace(BANNED, record=record(imposed_id=1, actor_rank=by_rank, scope=scope))
    if is_permitted:
        assert undo(action, rank).lifts
    else:
        with pytest.raises(NotPermitted):
            undo(action, rank)


@pytest.mark.parametrize(
    ("by_rank", "is_permitted"),
    [(Rank.MODERATOR, True), (Rank.OWNER, True), (Rank.ADMIN, False), (Rank.SUPERUSER, False), (77, True)],
)
def test_owners_undo_in_their_room_what_nobody_above_them_did_by_the_order_of_ranks(
    by_rank: int, is_permitted: bool
) -> None:
    """Their number is the highest, their place is not. A rank of a later version counts as a user's."""
    action = replace(BANNED, record=record(imposed_id=1, actor_rank=int(by_rank)))
    if is_permitted:
        assert undo(action, Rank.OWNER).lifts
    else:
        with pytest.raises(NotPermitted):
            undo(action, Rank.OWNER)
    with pytest.raises(NotPermitted):
        undo(action, Rank.OWNER, slug="")
    with pytest.raises(NotPermitted):
        undo(replace(BANNED, record=record(imposed_id=1, actor_rank=int(by_rank), scope=Scope.EVERYWHERE)), Rank.OWNER)
    with pytest.raises(ActionNotFound):
        undo(replace(BANNED, record=record(slug="other")), Rank.OWNER)


def test_an_owner_undoes_nothing_of_before_the_room_was_theirs() -> None:
    for owned_since_ms, is_found in ((NOW - 10, True), (NOW - 9, False)):
        command = UndoCommand(Moderator(8, Rank.OWNER, owned_since_ms), "live", 7, "")
        action = replace(BANNED, record=record(imposed_id=1, actor_rank=int(Rank.MODERATOR)))
        if is_found:
            assert decide_undo(command, action, now_ms=NOW).lifts
        else:
            with pytest.raises(ActionNotFound):
                decide_undo(command, action, now_ms=NOW)


def role(before: RoomRole | None, after: RoomRole | None, *later: AuditRecord, **other: object) -> DoneAction:
    state = replace(RoleState(before, after, after, is_of_owner=True, later=later), **other)  # type: ignore[arg-type]
    return DoneAction(record(ROLE, actor_rank=int(Rank.OWNER)), role=state)


@pytest.mark.parametrize(("before", "after"), [(None, VIP), (MODERATOR, VIP), (MODERATOR, None)])
def test_an_undone_role_is_the_one_of_before(before: RoomRole | None, after: RoomRole | None) -> None:
    given = role(before, after)
    assert undo(given, Rank.OWNER) == Undoing(role=given.role)


@pytest.mark.parametrize(
    "given",
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
def test_a_role_that_is_not_as_the_action_made_it_stays(given: DoneAction) -> None:
    with pytest.raises(NothingToUndo):
        undo(given)


def test_what_was_done_to_a_role_since_and_undone_counts_for_nothing() -> None:
    first = (record(ROLE, id=9), record(UNDO, id=10, undoes_id=9))
    later = (*first, record(ROLE, id=12), record(UNDO, id=13, undoes_id=12))
    assert undo(role(None, VIP, *later)).role is not None
    again = role(None, VIP, record(ROLE, id=9))  # by the same person
    assert undo(again, since_ms=0).role is not None


def test_nobody_undoes_what_was_done_to_themselves_or_without_a_token() -> None:
    with pytest.raises(NotPermitted):
        undo(BANNED, Rank.SUPERUSER, by=5)
    with pytest.raises(NotPermitted):
        undo(BANNED, Rank.SUPERUSER, by=0)
    assert undo(BANNED, by=9).lifts, "one's own action"
    assert not may_undo(Moderator(0, Rank.SUPERUSER))


def test_what_the_same_person_took_away_themselves_is_left_alone() -> None:
    action = record(id=1)
    first = record(UNDO, id=2, undoes_id=1)
    second = record(UNDO, id=3, undoes_id=2)
    assert not is_taken_away([action], 9, 0)
    assert is_taken_away([first, action], 9, 0)
    assert not is_taken_away([second, first, action], 9, 0)
    assert not is_taken_away([first, replace(action, actor_user_id=4)], 9, 0), "it was another one's action"
    assert not is_taken_away([first, replace(action, at_ms=99)], 9, 100), "it was done before"


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
FEW = st.dictionaries(st.integers(1, 5), SANCTIONS).map(lambda found: {n: replace(s, id=n) for n, s in found.items()})
IDS = st.lists(st.integers(1, 5), max_size=2, unique=True).map(tuple)
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
        imposed_id=st.sampled_from([None, 1, 2]),
        lifted_ids=IDS,
    ),
    is_undone=st.booleans(),
    later=st.lists(
        st.builds(
            record,
            st.sampled_from([BAN, MUTE, UNBAN, UNMUTE, POLICY, UNDO, 99]),
            imposed_id=st.sampled_from([None, 3, 4]),
            lifted_ids=IDS,
            details=st.sampled_from([None, {"before": {"max_length": 1}}, {"imposed_ids": [5], "again_of": [1]}]),
            undoes_id=st.sampled_from([None, 3, 8]),
            actor_rank=RANKS,
        ),
        max_size=3,
    ).map(lambda rows: tuple(replace(row, id=8 + place) for place, row in enumerate(rows))),
    is_whole=st.booleans(),
    sanctions=FEW,
    fields=st.just(("max_length", "slow_mode_seconds")),
    before=CHANGES,
    after=CHANGES,
    policy=st.builds(Policy, slow_mode_seconds=st.integers(0, 2), max_length=st.integers(1, 3)),
).map(lambda made: replace(made, in_force=frozenset(n for n, s in made.sanctions.items() if s.is_in_force(NOW))))


PROOF = settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@PROOF
@given(DONE, RANKS, st.sampled_from([0, 8, 9]), st.sampled_from(["", "live"]))
def test_whatever_was_done_an_undo_changes_nothing_that_it_may_not(
    action: DoneAction, rank: Rank, by: int, slug: str
) -> None:
    try:
        undoing = undo(action, rank, by=by, slug=slug)
    except ModerationError:
        return  # nothing is changed
    kept = action.record
    assert rank >= (Rank.OWNER if slug and kept.scope == Scope.ROOM else Rank.ADMIN)
    assert rank >= kept.actor_rank
    assert by != 0
    assert kept.followed_address is None
    assert kept.target_user_id != by
    assert kept.action not in (DELETE, PURGE, CLEAR)
    assert not action.is_undone
    assert slug in ("", kept.slug) or kept.scope == Scope.EVERYWHERE
    assert all(s.id in action.in_force for s in undoing.lifts)
    for again in undoing.imposes:
        assert again.id not in action.in_force
        assert again.expires_at_ms is None or again.expires_at_ms > NOW
    assert undoing.changes_anything
    for name, value in (undoing.changes or {}).items():
        assert action.policy is not None
        assert value == action.before.get(name) != action.after.get(name)
        assert getattr(action.policy, name) == action.after.get(name)
        assert name not in undoing.not_undone
