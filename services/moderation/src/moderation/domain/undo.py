"""Undoing an action: what is left of what it did, and what is done about that.

    there is no such row here, or nobody's      not found
    rank or role are not enough                 not permitted
    it took messages back, changed a rule, or
    was about a held message                    cannot be undone
    it was undone before                        already undone
    nothing is left as it made it               nothing to undo
    else                                        undone, as far as it is

An undo leaves things as if what it undoes had never been done: what was undone since counts for nothing, with what
undid it, and where all that somebody did is undone, the newest first, neither does what else they did.

An undo is an action like the others, and may be undone in turn; what it undid may not be undone again: that is the next
undo's business."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, cast

from moderation.domain.audit import AuditRecord
from moderation.domain.erasures import NO_ORIGIN, Erasure, ErasureKind, LoggedMessage, LogRef, Origin
from moderation.domain.holds import HoldAction
from moderation.domain.kept_rules import RuleEdit
from moderation.domain.people import Moderator, Rank, Target
from moderation.domain.pins import PinAction, RoomPin
from moderation.domain.policy import Policy, PolicyAction, PolicyChanges, Shield
from moderation.domain.roles import RoleAction, RoomRole
from moderation.domain.sanctions import Action, Sanction, Scope
from moderation.domain.undo_history import Differences, SanctionHistory, effective, imposed_ids
from moderation.domain.warnings import RoomWarning, WarningAction
from moderation.errors import ActionNotFound, AlreadyUndone, CannotUndo, MessageWanted, NothingToUndo, NotPermitted

MOST_UNDONE = 500
"""What one call undoes of somebody at most."""
LONGEST_LINE = 64
"""Undoing what undoes what undoes … is followed so far."""
SANCTIONS = "sanctions"
MESSAGES = "messages"
PIN = "pin"
"""What stays, beside fields of the policy."""


class UndoAction(IntEnum):
    """The numbers go on behind those of PolicyAction: audit rows hold either."""

    UNDO = 23


CHANGES_OF_POLICIES = (*PolicyAction, UndoAction.UNDO)
"""Actions whose rows may say which fields of a policy were changed."""


LOWEST_RANK: Mapping[Scope, Rank] = {Scope.ROOM: Rank.OWNER, Scope.EVERYWHERE: Rank.ADMIN}
"""Those of this rank and above undo what was done with that scope."""
LASTING = (*map(int, ErasureKind), *map(int, RuleEdit), *map(int, HoldAction))
"""Actions that can't be undone."""
UNDOABLE = (
    *map(int, Action),
    *map(int, PolicyAction),
    *map(int, PinAction),
    int(WarningAction.ISSUE),
    int(RoleAction.SET),
    int(UndoAction.UNDO),
)


@dataclass(frozen=True, slots=True)
class UndoCommand:
    """What somebody asks to undo."""

    moderator: Moderator
    slug: str
    """The room in which they ask: what was done there or holds everywhere is meant. Empty: wherever it was done, for
    those alone whose rank is not of one room."""
    action_id: int
    reason: str
    of_all_since_ms: int | None = None
    """All that its author did since then is undone, the newest first: what of it was done after this counts for
    nothing, whatever has become of it. Unix milliseconds; None: this alone."""


@dataclass(frozen=True, slots=True)
class UndoOrder:
    """A command that undoes an action, as it was sent."""

    command: UndoCommand
    log: LogRef | None = None
    """The log of the room in which the action was done; None: there is no life of it at present."""
    origin: Origin = NO_ORIGIN


@dataclass(frozen=True, slots=True)
class PinState:
    """A change of a pin, and what has become of it."""

    before: int | None
    """The message that was pinned; None: none was."""
    after: int | None
    life: int
    now: RoomPin | None
    """What is known of the slug's pin."""
    log: LogRef | None
    """Of the life that there is; None: there is none."""
    erasures: Sequence[Erasure] = ()
    """What is to be erased in that log, or was in the last minutes."""


@dataclass(frozen=True, slots=True)
class PinBack:
    """What becomes of a pin."""

    message_id: int
    message: LoggedMessage | None
    """To be pinned again; None: the one with that id is to be unpinned."""


@dataclass(frozen=True, slots=True)
class RoleState:
    """The role of somebody that an action gave or took back, and what has become of it."""

    before: RoomRole | None
    """None: they had none."""
    after: RoomRole | None
    now: RoomRole | None
    is_of_owner: bool
    """The roles of the room are still those of whose room it was then."""
    later: Sequence[AuditRecord] = ()
    """What was done to that role since, by undoing too, the oldest first."""


@dataclass(frozen=True, slots=True)
class DoneAction:
    """An action, and what has become of what it did."""

    record: AuditRecord
    is_undone: bool = False
    """Another row undoes it."""
    later: Sequence[AuditRecord] = ()
    """What was done since to the targets of its sanctions, or to policy and pin of its slug, by time; of a role: see
    there."""
    is_whole: bool = True
    """There is not so much of it that some is missing."""
    sanctions: Mapping[int, Sanction] = field(default_factory=dict)
    """What all these imposed and lifted, and what is in force of the same targets, but for what may not be imposed
    again because it is not known any more whom it was aimed at."""
    in_force: frozenset[int] = frozenset()
    """Which of them are."""
    fields: tuple[str, ...] = ()
    """Of a change of the policy: what it named."""
    before: PolicyChanges = field(default_factory=PolicyChanges)
    """The values of these before it; without those of a later version."""
    after: PolicyChanges = field(default_factory=PolicyChanges)
    policy: Policy | None = None
    """As it is now."""
    pin: PinState | None = None
    """Of a pin."""
    warning: RoomWarning | None = None
    """Of a warning: as it is now."""
    role: RoleState | None = None
    """Of a role."""


@dataclass(frozen=True, slots=True)
class Undoing:
    """What an undo changes."""

    lifts: tuple[Sanction, ...] = ()
    imposes: tuple[Sanction, ...] = ()
    """To be imposed again as these are, under new ids."""
    changes: PolicyChanges | None = None
    pin: PinBack | None = None
    withdraws: RoomWarning | None = None
    role: RoleState | None = None
    """The target has again what they had before."""
    not_undone: tuple[str, ...] = ()
    """What stays as it is: fields that were changed since, SANCTIONS, MESSAGES, PIN."""

    @property
    def changes_anything(self) -> bool:
        """Whether there is anything to be done."""
        return bool(self.lifts or self.imposes or self.changes or self.pin or self.withdraws or self.role)

    @property
    def target(self) -> Target | None:
        """Whom its sanctions are aimed at, where there are any."""
        return next((sanction.target for sanction in (*self.imposes, *self.lifts)), None)

    @property
    def action(self) -> Action | None:
        """What it does to sanctions, in the words of the frame."""
        if self.imposes:
            return self.imposes[0].kind
        return self.lifts[0].kind.opposite if self.lifts else None

    def duration_minutes(self, now_ms: int) -> int:
        """For how long the last of what it imposes holds, in whole minutes, begun ones too; 0: permanently."""
        ends = [sanction.expires_at_ms for sanction in self.imposes]
        if not ends or None in ends:
            return 0
        return max(1, -(-(max(end for end in ends if end is not None) - now_ms) // 60_000))


def may_undo(moderator: Moderator) -> bool:
    """Whether somebody may undo anything in a room, whatever it is."""
    return moderator.user_id != 0 and moderator.rank >= min(LOWEST_RANK.values())


def may_undo_everywhere(moderator: Moderator) -> bool:
    """Whether they may do so in every room."""
    return moderator.user_id != 0 and moderator.rank >= LOWEST_RANK[Scope.EVERYWHERE]


def decide_undo(
    command: UndoCommand,
    done: DoneAction | None,
    *,
    now_ms: int,
    found: Mapping[int, LoggedMessage | None] | None = None,
) -> Undoing:
    """What comes of it, see above. `found`: messages that were looked for in the log, None: it is not there. Raises
    ActionNotFound, NotPermitted, CannotUndo, AlreadyUndone, NothingToUndo; MessageWanted where it depends on another
    one."""
    moderator = command.moderator
    if not (may_undo(moderator) if command.slug else may_undo_everywhere(moderator)):
        raise NotPermitted
    if done is None or not _is_meant(command, done.record):
        raise ActionNotFound
    record = done.record
    target = Target(record.target_user_id, record.target_username)
    # The number of a row is compared by the order of ranks: see Rank.
    is_too_high = moderator.rank < record.actor_rank or moderator.rank < LOWEST_RANK[Scope(record.scope)]
    if is_too_high or moderator.is_aimed_at(target):
        raise NotPermitted
    if record.action in LASTING:
        raise CannotUndo
    if done.is_undone:
        raise AlreadyUndone
    undoing = _undoing(command, done, now_ms, found or {})
    if not undoing.changes_anything:
        raise NothingToUndo
    return undoing


def is_taken_away(line: Sequence[AuditRecord], actor_user_id: int, since_ms: int) -> bool:
    """Whether an undo takes away nothing but what the same person did in that time, so that both together are as if
    they had never been. `line`: the undo, what it undoes, what that undoes, and so on."""
    depth = 0
    for record in line[1:]:
        if record.actor_user_id != actor_user_id or record.at_ms < since_ms:
            break
        depth += 1
    return depth % 2 == 1


def _is_meant(command: UndoCommand, record: AuditRecord) -> bool:
    if record.followed_address is not None or record.scope not in set(Scope):
        return False  # an address that the service itself added goes with its sanction
    if not command.moderator.may_know(record.at_ms):
        return False
    return not command.slug or record.scope == Scope.EVERYWHERE or record.slug == command.slug


def _undoing(command: UndoCommand, done: DoneAction, now_ms: int, found: Mapping[int, LoggedMessage | None]) -> Undoing:
    sanctions = _sanctions(command, done, now_ms)
    since = [record for record in effective(done.later) if not _is_of_all(command, done, record)]
    changes, stays = _policy_changes(done, since, now_ms)
    pin, pin_stays = _pin(done, since, found)
    if pin_stays:
        stays.append(PIN)
    if sanctions.stays:
        stays.append(SANCTIONS)
    if done.record.purged:
        stays.append(MESSAGES)
    warning = done.warning if done.warning is not None and done.warning.is_open else None
    role = done.role if done.role is not None and _role_stands(command, done, done.role) else None
    return Undoing(sanctions.lifts, sanctions.imposes, changes or None, pin, warning, role, tuple(stays))


def _is_of_all(command: UndoCommand, done: DoneAction, later: AuditRecord) -> bool:
    """Whether that is undone together with the action."""
    return (
        command.of_all_since_ms is not None
        and later.actor_user_id == done.record.actor_user_id
        and later.at_ms >= command.of_all_since_ms
        and command.moderator.rank >= later.actor_rank
    )


def _sanctions(command: UndoCommand, done: DoneAction, now_ms: int) -> Differences:
    """Where not all is known that was done since, what it imposed itself is lifted, and nothing comes back."""
    record = done.record
    if not (record.lifted_ids or imposed_ids(record)):
        return Differences()
    if not done.is_whole:
        lifts = (done.sanctions[number] for number in imposed_ids(record) if number in done.in_force)
        return Differences(tuple(lifts), stays=bool(record.lifted_ids))
    dropped = {record.id, *(later.id for later in done.later if _is_of_all(command, done, later))}
    return SanctionHistory([record, *done.later], done.sanctions, done.in_force).without(dropped, now_ms)


def fields_named(record: AuditRecord) -> tuple[str, ...]:
    """The fields of a policy that an action changed, or set to what they were."""
    before = (record.details or {}).get("before")
    if record.action not in CHANGES_OF_POLICIES or not isinstance(before, Mapping):
        return ()  # of a pin, a rule or a role there is something else
    return tuple(sorted(before))


def _policy_changes(done: DoneAction, since: Sequence[AuditRecord], now_ms: int) -> tuple[PolicyChanges, list[str]]:
    """What gives the fields back their values, and those that stay: named by somebody since, whatever their value. A
    shield that is over is none."""
    changes: dict[str, Any] = {}
    stays = []
    named = {name for record in since for name in fields_named(record)}
    for name in done.fields:
        before, after = done.before.get(name), done.after.get(name)
        if isinstance(before, Shield) and not before.is_on(now_ms):
            before = None
        if before is None and isinstance(after, Shield) and not after.is_on(now_ms):
            continue  # it has ended by itself
        if before == after and name in done.before:
            continue  # it was named, and not changed
        # The value tells where a row is missing.
        stands = done.is_whole and name not in named and getattr(done.policy, name, None) == after
        if stands and done.policy is not None and name in done.before:
            changes[name] = before
        else:
            stays.append(name)
    return cast(PolicyChanges, changes), stays


def pin_details(record: AuditRecord) -> Mapping[str, Any] | None:
    """What a row says of a pin; None: it changed none."""
    details = record.details or {}
    return details if record.action in set(PinAction) else details.get("pin")


def _pin(
    done: DoneAction, since: Sequence[AuditRecord], found: Mapping[int, LoggedMessage | None]
) -> tuple[PinBack | None, bool]:
    """What becomes of the pin, and whether what was pinned before stays away. What took a message back since has ended
    its pin, and would have let the one before be. Raises MessageWanted."""
    state = done.pin
    if state is None or state.now is None or state.log is None or not done.is_whole:
        return None, False
    pinned = state.now.message
    is_ours = state.now.life == state.log.life == state.life and (pinned is None or pinned.id == state.after)
    if not is_ours or state.before == state.after or any(pin_details(record) is not None for record in since):
        return None, False
    message = None
    if state.before is not None:
        if state.before not in found:
            raise MessageWanted(state.before)
        message = found[state.before]
        if message is not None and any(erasure.takes(message) for erasure in state.erasures):
            message = None
    stays = message is None and state.before is not None
    if message is not None:
        return PinBack(message.id, message), stays
    return (None if pinned is None else PinBack(pinned.id, None)), stays


def _role_stands(command: UndoCommand, done: DoneAction, role: RoleState) -> bool:
    """Whether it is as the action made it, and nobody has changed it since; what was undone again changed nothing."""
    if role.before is role.after or role.now is not role.after or not role.is_of_owner:
        return False
    return all(_is_of_all(command, done, record) for record in effective(role.later))
