"""A command with where it comes from, and what it came to."""

from dataclasses import dataclass
from typing import TypeAlias

from moderation.domain.audit import AuditRecord
from moderation.domain.cases import AddNote, Note, NoteAction, NoteOrder
from moderation.domain.erasures import NO_ORIGIN, Erasure, ErasureCommand, ErasureKind, LogRef, Origin
from moderation.domain.holds import DecideHeldOrder, Hold, Publication
from moderation.domain.kept_rules import KeptRule, RuleEdit, RuleOrder, RulesState, SaveRule
from moderation.domain.people import Moderator, Rank
from moderation.domain.pins import PinChange, PinOrder
from moderation.domain.policy import PolicyAction, PolicyChange, PolicyOrder, RoomPolicy, ShieldOrder
from moderation.domain.reports import Report, ResolveOrder
from moderation.domain.revocations import Revocation, RevocationOrder
from moderation.domain.roles import RoleAction, RoleOrder, RoomRoles
from moderation.domain.rule_hits import RuleMute
from moderation.domain.sanctions import Command, SanctionEvent
from moderation.domain.unban_requests import DecideOrder, UnbanRequest
from moderation.domain.undo import UndoAction, UndoOrder
from moderation.domain.user_erasures import ErasedUser, EraseUserOrder, UserErasureAction
from moderation.domain.warnings import RoomWarning, WarningAction, WarningOrder

RULE_AUTHOR = Moderator(0, Rank.MODERATOR)
"""Who imposes what a rule asks for: no user. It binds all whom rules judge, and moderators may lift it."""
NONCES_KNOWN_MS = 120_000
"""How long a command with the same nonce of the same person is the same command."""


@dataclass(frozen=True, slots=True)
class SanctionOrder:
    """A command that imposes or lifts a sanction, as it was sent."""

    command: Command
    log: LogRef | None = None
    """The log of the room in which it was given; None: there is no life of it at present."""
    origin: Origin = NO_ORIGIN
    purges: bool = False
    """Of one that imposes: the target's messages are taken back in the same step."""
    by_rule: RuleMute | None = None
    """What a rule asks for, and nobody has ordered: its moderator is none, see RULE_AUTHOR."""

    @property
    def purge(self) -> Erasure | None:
        """What it takes back."""
        if not self.purges or self.log is None:
            return None
        target, moderator = self.command.target, self.command.moderator
        return Erasure(
            ErasureKind.PURGE, self.log, moderator.user_id, self.origin, author=target, username=target.username
        )


@dataclass(frozen=True, slots=True)
class ErasureOrder:
    """A command that takes messages back, as it was sent."""

    command: ErasureCommand
    log: LogRef | None = None
    """As in SanctionOrder."""
    origin: Origin = NO_ORIGIN


_Simple: TypeAlias = (
    SanctionOrder
    | ErasureOrder
    | PolicyOrder
    | ShieldOrder
    | PinOrder
    | WarningOrder
    | UndoOrder
    | RuleOrder
    | RoleOrder
    | NoteOrder
    | DecideHeldOrder
)
Order: TypeAlias = _Simple | ResolveOrder | DecideOrder | RevocationOrder | EraseUserOrder


def is_repeated(order: Order, earlier: AuditRecord) -> bool:
    """Whether a row of the same person and nonce may be what the same order brought: of the same kind, in the same
    room. An undo stands with the room of what it undoes, and what is done to a rule with that of the rule. A decision
    is about one report, request or held message."""
    if isinstance(order, ResolveOrder):
        return (earlier.details or {}).get("report_id") == order.command.report_id
    if isinstance(order, DecideOrder):
        return (earlier.details or {}).get("unban_request_id") == order.command.request_id
    if isinstance(order, RevocationOrder):
        return earlier.action == order.command.action
    if isinstance(order, EraseUserOrder):
        return (earlier.action, earlier.target_user_id) == (UserErasureAction.ERASE, order.command.user_id)
    is_alike = earlier.action == _action_of(order)
    if isinstance(order, DecideHeldOrder):
        return is_alike and (earlier.details or {}).get("hold_id") == order.command.hold_id
    return is_alike and (isinstance(order, UndoOrder | RuleOrder) or earlier.slug == order.command.slug)


def _action_of(order: _Simple) -> int:
    """The number in its row."""
    if isinstance(order, UndoOrder):
        return UndoAction.UNDO
    if isinstance(order, RuleOrder):
        return RuleEdit.SAVE if isinstance(order.command, SaveRule) else RuleEdit.DELETE
    if isinstance(order, ErasureOrder):
        return order.command.kind
    if isinstance(order, WarningOrder):
        return WarningAction.ISSUE
    if isinstance(order, RoleOrder):
        return RoleAction.SET
    if isinstance(order, NoteOrder):
        return NoteAction.ADD if isinstance(order.command, AddNote) else NoteAction.DELETE
    return PolicyAction.SHIELD if isinstance(order, ShieldOrder) else order.command.action


LogChange: TypeAlias = Erasure | PolicyChange | PinChange | Publication
"""What a command has to do in a log."""


@dataclass(frozen=True, slots=True)
class OutboxItem:
    """What the outbox still has to do for one command."""

    action_id: int
    """The audit row."""
    claim: str
    """Whoever works on it has written this there; another one may have taken it since."""
    change: LogChange
    entry_id: int
    """0: the log does not have the entry yet, as far as is known."""
    attempts: int
    """How often it was tried before."""
    made_at_ms: int
    resolved_at_ms: int | None
    """Since when its entry may have been published, Unix milliseconds."""

    @property
    def key(self) -> str:
        """Of its entry, by the action and by when it was made: where the database began anew, ids come again."""
        return f"{self.action_id}.{self.made_at_ms}"


@dataclass(frozen=True, slots=True)
class Undone:
    """What an undo came to."""

    action_id: int
    """What was undone."""
    not_undone: tuple[str, ...] = ()
    """See Undoing."""
    brings_entry: bool = False
    """Of the log of its order."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a command came to."""

    action_id: int
    """The audit row."""
    event: SanctionEvent | None = None
    """Of a sanction."""
    entry_id: int = 0
    """0: it brings none, or the log does not have it yet."""
    repeated: bool = False
    """The actor has sent this nonce before: nothing was changed."""
    work: OutboxItem | None = None
    """What the outbox has to do, claimed for whoever gave the order."""
    policy: RoomPolicy | None = None
    """Of a change of the policy; where it is repeated: as it is now."""
    at_ms: int = 0
    """Of a change of the policy that is repeated: when it was carried out."""
    warning: RoomWarning | None = None
    """Of a warning, and of a report about one: as it is since."""
    superseded: tuple[RoomWarning, ...] = ()
    """Which gave way to it."""
    hold: Hold | None = None
    """Of a message that is to wait, and of a decision about one: as it is since."""
    denied: tuple[Hold, ...] = ()
    """Of a ban: the messages of its target that waited."""
    undone: Undone | None = None
    """Of an undo."""
    rule: KeptRule | None = None
    """Of a rule that was saved, as it is stored; None where it was deleted since."""
    note: Note | None = None
    """Of a note that was added; None where it is gone since, and of one that was deleted."""
    unban_request: UnbanRequest | None = None
    """Of an unban request, and of a decision about one: as it is since."""
    report: Report | None = None
    """Of a report that was filed, and of a decision about one: as it is since."""
    rules: RulesState | None = None
    """Of a change of rules; None where it is repeated."""
    roles: RoomRoles | None = None
    """Of a role that was given or taken back, by undoing too: all of the room since. Where it is repeated: as
    they are now, None of an undo."""
    revocation: Revocation | None = None
    """Of one: as it is since."""
    erased: ErasedUser | None = None
    """Of a user who was erased; None where it is repeated."""
