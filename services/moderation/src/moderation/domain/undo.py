"""Undoing an action: what is left of what it did, and what is done about that.

    there is no such row here, or nobody's      not found
    rank or role are not enough                 not permitted
    it took messages back, or changed a rule    cannot be undone
    it was undone before                        already undone
    nothing is left as it made it               nothing to undo
    else                                        undone, as far as it is

An undo is an action like the others, and may be undone in turn; what it undid may not be undone again: that is the next
undo's business."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, cast

from moderation.domain.audit import AuditRecord
from moderation.domain.erasures import NO_ORIGIN, ErasureKind, LogRef, Origin
from moderation.domain.kept_rules import RuleEdit
from moderation.domain.people import Moderator, Rank, Target
from moderation.domain.policy import Policy, PolicyAction, PolicyChanges, Shield
from moderation.domain.roles import RoleAction, RoomRole
from moderation.domain.sanctions import Action, Sanction, Scope
from moderation.errors import ActionNotFound, AlreadyUndone, CannotUndo, NothingToUndo, NotPermitted

MOST_UNDONE = 500
"""What one call undoes of somebody at most."""
LONGEST_LINE = 64
"""Undoing what undoes what undoes … is followed so far."""
SANCTIONS = "sanctions"
MESSAGES = "messages"
"""What stays, beside fields of the policy."""


class UndoAction(IntEnum):
    """The numbers go on behind those of PolicyAction: audit rows hold either."""

    UNDO = 23


CHANGES_OF_POLICIES = (*PolicyAction, UndoAction.UNDO)
"""Actions whose rows may say which fields of a policy were changed."""


LOWEST_RANK: Mapping[Scope, Rank] = {Scope.ROOM: Rank.OWNER, Scope.EVERYWHERE: Rank.ADMIN}
"""Those of this rank and above undo what was done with that scope."""
_LASTING = (*map(int, ErasureKind), *map(int, RuleEdit))
UNDOABLE = (*map(int, Action), *map(int, PolicyAction), int(RoleAction.SET), int(UndoAction.UNDO))


@dataclass(frozen=True, slots=True)
class UndoCommand:
    """What somebody asks to undo."""

    moderator: Moderator
    slug: str
    """The room in which they ask: what was done there or holds everywhere is meant. Empty: wherever it was done, for
    those alone whose rank is not of one room."""
    action_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class UndoOrder:
    """A command that undoes an action, as it was sent."""

    command: UndoCommand
    log: LogRef | None = None
    """The log of the room in which the action was done; None: there is no life of it at present."""
    origin: Origin = NO_ORIGIN


@dataclass(frozen=True, slots=True)
class PolicyState:
    """The policy of a slug, and which change each field was last named in."""

    policy: Policy
    field_versions: Mapping[str, int]
    """Without those that were last changed before this was kept."""


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
    imposed: tuple[Sanction, ...] = ()
    """What it imposed, in force or not."""
    lifted: tuple[Sanction, ...] = ()
    """What it lifted, but for what may not be imposed again because it is not known any more whom it was aimed at."""
    lost: int = 0
    """How many of them those are."""
    in_force: tuple[Sanction, ...] = ()
    """Sanctions of the same target that are in force."""
    fields: tuple[str, ...] = ()
    """Of a change of the policy: what it named."""
    before: PolicyChanges = field(default_factory=PolicyChanges)
    """The values of these before it; without those of a later version."""
    after: PolicyChanges = field(default_factory=PolicyChanges)
    version: int = 0
    policy: PolicyState | None = None
    """As it is now."""
    role: RoleState | None = None
    """Of a role."""


@dataclass(frozen=True, slots=True)
class Undoing:
    """What an undo changes."""

    lifts: tuple[Sanction, ...] = ()
    imposes: tuple[Sanction, ...] = ()
    """To be imposed again as these are, under new ids."""
    changes: PolicyChanges | None = None
    role: RoleState | None = None
    """The target has again what they had before."""
    not_undone: tuple[str, ...] = ()
    """What stays as it is: fields that were changed since, SANCTIONS, MESSAGES."""

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


def decide_undo(command: UndoCommand, done: DoneAction | None, *, now_ms: int) -> Undoing:
    """What comes of it, see above. Raises ActionNotFound, NotPermitted, CannotUndo, AlreadyUndone, NothingToUndo."""
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
    if record.action in _LASTING:
        raise CannotUndo
    if done.is_undone:
        raise AlreadyUndone
    undoing = _undoing(done, now_ms)
    if not (undoing.lifts or undoing.imposes or undoing.changes or undoing.role):
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
    return not command.slug or record.scope == Scope.EVERYWHERE or record.slug == command.slug


def _undoing(done: DoneAction, now_ms: int) -> Undoing:
    lifts = tuple(s for s in done.imposed if s.is_in_force(now_ms))
    gone = {s.id for s in lifts}
    standing = [s for s in done.in_force if s.id not in gone]
    ended = [s for s in done.lifted if s.expires_at_ms is None or s.expires_at_ms > now_ms]
    # Later decisions count: what was imposed since stands instead, and what somebody lifted since is not to come back.
    is_open = all(s.lifted_at_ms is None for s in done.imposed)
    imposes = tuple(s for s in ended if is_open and not any(_is_same(s, other) for other in standing))
    changes, stays = _policy_changes(done, now_ms)
    if done.lost or len(imposes) < len(ended):
        stays.append(SANCTIONS)
    if done.record.purged:
        stays.append(MESSAGES)
    role = done.role if done.role is not None and _role_stands(done.role) else None
    return Undoing(lifts, imposes, changes or None, role, tuple(stays))


def _is_same(lifted: Sanction, other: Sanction) -> bool:
    return (lifted.kind, lifted.slug, lifted.target) == (other.kind, other.slug, other.target)


def _policy_changes(done: DoneAction, now_ms: int) -> tuple[PolicyChanges, list[str]]:
    """What gives the fields back their values, and those that stay. A shield that is over is none."""
    changes: dict[str, Any] = {}
    stays = []
    for name in done.fields:
        before, after = done.before.get(name), done.after.get(name)
        if isinstance(before, Shield) and not before.is_on(now_ms):
            before = None
        if before is None and isinstance(after, Shield) and not after.is_on(now_ms):
            continue  # it has ended by itself
        if before == after and name in done.before:
            continue  # it was named, and not changed
        if name in done.before and _stands(done, name, after):
            changes[name] = before
        else:
            stays.append(name)
    return cast(PolicyChanges, changes), stays


def _stands(done: DoneAction, name: str, value: object) -> bool:
    """Whether nobody has named that field since, nor changed it where that was not noted."""
    if done.policy is None:
        return False
    last = done.policy.field_versions.get(name, done.version)
    return last == done.version and getattr(done.policy.policy, name) == value


def _role_stands(role: RoleState) -> bool:
    """Whether it is as the action made it, and nobody has changed it since; what was undone again changed nothing."""
    if role.before is role.after or role.now is not role.after or not role.is_of_owner:
        return False
    later, undone = {record.id for record in role.later}, set[int]()
    for record in reversed(role.later):
        if record.id in undone:
            continue
        if record.undoes_id is None or record.undoes_id not in later:
            return False
        undone.add(record.undoes_id)
    return True
