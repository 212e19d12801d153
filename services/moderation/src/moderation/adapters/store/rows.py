"""Rows to values of the domain, and back."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from sys import intern
from typing import Any

from moderation.adapters.store.tables import AuditRow, SanctionRow
from moderation.domain.cases import AddNote, Note, NoteAction, NoteOrder
from moderation.domain.commands import RULE_AUTHOR, ErasureOrder, SanctionOrder, Undone
from moderation.domain.erasures import NO_ORIGIN, Erasure, LoggedMessage, Origin
from moderation.domain.holds import DecideHeldCommand, Hold, HoldAction
from moderation.domain.kept_rules import RuleEdit, RuleOrder, SaveRule, scope_of
from moderation.domain.people import Moderator, Rank, Target
from moderation.domain.pins import PinOrder
from moderation.domain.policy import PolicyOrder
from moderation.domain.reports import Report, ReportAction, ResolveOrder
from moderation.domain.revocations import Revocation, RevocationOrder
from moderation.domain.roles import RoleAction, RoleOrder
from moderation.domain.sanctions import Action, Command, Sanction, SanctionEvent, Scope
from moderation.domain.unban_requests import DecideOrder, UnbanAction, UnbanRequest
from moderation.domain.undo import UndoAction, Undoing, UndoOrder
from moderation.domain.user_erasures import EraseUserOrder, UserErasureAction
from moderation.domain.warnings import WarningAction, WarningOrder


def storable(text: str) -> str:
    """PostgreSQL cannot hold the character 0."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


SANCTION_COLUMNS = (
    "id",
    "kind",
    "target_user_id",
    "target_username",
    "slug",
    "reason",
    "moderator_user_id",
    "moderator_rank",
    "created_at_ms",
    "expires_at_ms",
    "lifted_at_ms",
)
"""What sanction_from_values takes, in order."""


def rfc3339(unix_ms: int) -> str:
    """In UTC with milliseconds, as it stands in frames."""
    seconds, ms = divmod(unix_ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ms:03}Z"


def sanction_from_row(row: SanctionRow, addresses: frozenset[str]) -> Sanction:
    """See sanction_from_values."""
    return sanction_from_values([getattr(row, column) for column in SANCTION_COLUMNS], addresses)


def sanction_from_values(values: Sequence[Any], addresses: frozenset[str]) -> Sanction:
    """A sanction as it is stored. Raises ValueError where a later version stored an action or rank that this one does
    not know."""
    id_, kind, user_id, username, slug, reason, moderator, rank, created, expires, lifted = values
    return Sanction(
        id=id_,
        kind=Action(kind),
        target=Target(user_id, username),
        addresses=addresses,
        # Of very many in memory most share these two.
        slug=None if slug is None else intern(slug),
        reason=intern(reason),
        moderator_user_id=moderator,
        moderator_rank=Rank(rank),
        created_at_ms=created,
        expires_at_ms=expires,
        lifted_at_ms=None if lifted == expires else lifted,
    )


def sanction_to_row(command: Command, now_ms: int) -> SanctionRow:
    """The sanction that a command imposes."""
    return SanctionRow(
        kind=int(command.action),
        target_user_id=command.target.user_id,
        target_username=command.target.username,
        slug=command.holds_in,
        reason=command.reason,
        moderator_user_id=command.moderator.user_id,
        moderator_rank=int(command.moderator.rank),
        created_at_ms=now_ms,
        expires_at_ms=command.expires_at_ms(now_ms),
    )


_NOBODY = Target(0, "")


def audit_row(order: SanctionOrder, imposed: Iterable[Sanction], lifted_ids: tuple[int, ...], now_ms: int) -> AuditRow:
    """What is kept of a sanction's command."""
    command, by_rule = order.command, order.by_rule
    return _row(
        command.action,
        command.moderator,
        command.target,
        command.slug,
        command.reason,
        now_ms,
        scope=command.scope,
        nonce=order.origin.nonce,
        lifted_ids=lifted_ids,
        duration_minutes=command.duration_minutes,
        imposed_id=next((s.id for s in imposed), None),
        purged=True if order.purge else None,
        message_text=None if by_rule is None else storable(by_rule.text),
        details=None if by_rule is None else {"rule_id": by_rule.rule_id, "rule_name": by_rule.rule_name},
    )


def erasure_audit_row(order: ErasureOrder, erasure: Erasure, message: LoggedMessage | None, now_ms: int) -> AuditRow:
    """What is kept of a command that takes messages back."""
    command = order.command
    return _row(
        command.kind,
        command.moderator,
        _storable(erasure.author or _NOBODY),
        command.slug,
        command.reason,
        now_ms,
        nonce=order.origin.nonce,
        message_id=command.message_id or None,
        message_text=None if message is None else storable(message.text),
    )


def completing_row(deletion: AuditRow, message: LoggedMessage, now_ms: int) -> AuditRow:
    """What is kept of the message of a deletion that could not be read when that was asked for."""
    user_id, username = message.author
    return AuditRow(
        action=deletion.action,
        target_user_id=user_id,
        target_username=storable(username),
        moderator_user_id=deletion.moderator_user_id,
        moderator_rank=deletion.moderator_rank,
        duration_minutes=0,
        scope=deletion.scope,
        slug=deletion.slug,
        reason=deletion.reason,
        at_ms=now_ms,
        lifted_ids=[],
        message_id=deletion.message_id,
        message_text=storable(message.text),
        details={"completes": deletion.id},
    )


def policy_audit_row(order: PolicyOrder, details: dict[str, Any], now_ms: int) -> AuditRow:
    """What is kept of a command that changes a policy."""
    command, nonce = order.command, order.origin.nonce
    made_by, slug, reason = command.moderator, command.slug, command.reason
    return _row(command.action, made_by, _NOBODY, slug, reason, now_ms, nonce=nonce, details=details)


def pin_audit_row(order: PinOrder, author: Target, details: dict[str, Any], now_ms: int) -> AuditRow:
    """What is kept of a command that changes a pin: ids alone, since the text may be taken back."""
    command = order.command
    return _row(
        command.action,
        command.moderator,
        _storable(author),
        command.slug,
        command.reason,
        now_ms,
        nonce=order.origin.nonce,
        message_id=command.message_id,
        details=details,
    )


def rule_audit_row(order: RuleOrder, details: dict[str, Any], now_ms: int) -> AuditRow:
    """What is kept of a command that changes a rule."""
    command = order.command
    return _row(
        RuleEdit.SAVE if isinstance(command, SaveRule) else RuleEdit.DELETE,
        command.moderator,
        _NOBODY,
        command.slug,
        command.reason,
        now_ms,
        scope=scope_of(command.slug),
        nonce=order.origin.nonce,
        details=details,
    )


def warning_audit_row(order: WarningOrder, now_ms: int) -> AuditRow:
    """What is kept of a command that warns somebody."""
    command, nonce = order.command, order.origin.nonce
    made_by, slug, reason = command.moderator, command.slug, command.reason
    return _row(WarningAction.ISSUE, made_by, command.target, slug, reason, now_ms, nonce=nonce)


def role_audit_row(order: RoleOrder, details: dict[str, Any], now_ms: int) -> AuditRow:
    """What is kept of a command that gives or takes back a role."""
    command = order.command
    return _row(
        RoleAction.SET,
        command.moderator,
        Target(command.target.user_id, ""),
        command.slug,
        command.reason,
        now_ms,
        nonce=order.origin.nonce,
        details=details,
    )


def report_audit_row(order: ResolveOrder, report: Report, now_ms: int) -> AuditRow:
    """What is kept of a decision about a report, besides the report itself, which has the text."""
    command = order.command
    return _row(
        ReportAction.RESOLVE,
        command.moderator,
        report.target,
        command.slug,
        command.reason,
        now_ms,
        nonce=order.origin.nonce,
        message_id=None if report.message is None else report.message.id,
        details={"report_id": report.id, "resolution": int(report.state)},
    )


def denial_audit_row(order: DecideOrder, request: UnbanRequest, now_ms: int) -> AuditRow:
    """What is kept of an unban request that was denied, besides the request itself. Of an approval it is the row of the
    unban."""
    command = order.command
    return _row(
        UnbanAction.DENY,
        command.moderator,
        Target(request.user_id, ""),
        request.slug or "",
        command.note,
        now_ms,
        scope=Scope.EVERYWHERE if request.slug is None else Scope.ROOM,
        nonce=order.origin.nonce,
        details={"unban_request_id": request.id},
    )


def user_erasure_audit_row(
    order: EraseUserOrder, imposed: Iterable[Sanction], lifted_ids: Iterable[int], now_ms: int
) -> AuditRow:
    """What is kept of a command that erases a user: their number."""
    command, lifted = order.command, list(lifted_ids)
    return _row(
        UserErasureAction.ERASE,
        command.moderator,
        Target(command.user_id, ""),
        "",
        command.reason,
        now_ms,
        scope=Scope.EVERYWHERE,
        nonce=order.origin.nonce,
        lifted_ids=lifted,
        details={"imposed_ids": [sanction.id for sanction in imposed], "again_of": lifted},
    )


def revocation_audit_row(order: RevocationOrder, revocation: Revocation, now_ms: int) -> AuditRow:
    """What is kept of a command that revokes tokens."""
    command = order.command
    return _row(
        command.action,
        command.moderator,
        Target(command.target.user_id, ""),
        "",
        command.reason,
        now_ms,
        scope=Scope.EVERYWHERE,
        nonce=order.origin.nonce,
        details={"before_ms": revocation.before_ms} if command.user_id else {"jti": command.jti},
    )


def note_audit_row(order: NoteOrder, note: Note, now_ms: int) -> AuditRow:
    """What is kept of a command about a note: never its text, which only moderators of the room may read, and which is
    gone when it is deleted."""
    command = order.command
    return _row(
        NoteAction.ADD if isinstance(command, AddNote) else NoteAction.DELETE,
        command.moderator,
        note.target,
        command.slug,
        command.reason,
        now_ms,
        nonce=order.origin.nonce,
        details={"note_id": note.id},
    )


def hold_audit_row(hold: Hold) -> AuditRow:
    """What is kept of a message that a rule, or the policy, has wait for a moderator."""
    by_rule = {"rule_id": hold.rule_id, "rule_name": hold.rule_name} if hold.rule_id else {}
    return _row(
        HoldAction.HOLD,
        RULE_AUTHOR,
        _storable(hold.message.target),
        hold.slug,
        f"Rule: {hold.rule_name}" if hold.rule_id else "Links wait for a moderator",
        hold.held_at_ms,
        message_text=hold.message.text,
        details={"hold_id": hold.id, **by_rule},
    )


def decision_audit_row(command: DecideHeldCommand, decided: Hold, nonce: str, now_ms: int) -> AuditRow:
    """What is kept of a decision about a message that waited; the row of the hold has its text."""
    made_by, target, details = command.moderator, decided.message.target, {"hold_id": decided.id}
    return _row(command.action, made_by, target, decided.slug, command.reason, now_ms, nonce=nonce, details=details)


def follow_row(sanction: Sanction, address: str, now_ms: int) -> AuditRow:
    """What is kept of an address that was added to a sanction."""
    return _row(
        sanction.kind,
        Moderator(sanction.moderator_user_id, sanction.moderator_rank),
        sanction.target,
        sanction.slug or "",
        sanction.reason,
        now_ms,
        scope=sanction.scope,
        imposed_id=sanction.id,
        followed_address=address,
    )


def undo_row(order: UndoOrder, undone: AuditRow, undoing: Undoing, now_ms: int) -> AuditRow:
    """What is kept of an undo, but for what the database makes of it: the ids of sanctions, the version of a policy."""
    command, action = order.command, undoing.action
    details: dict[str, Any] = {"not_undone": list(undoing.not_undone)}
    if action is not None:
        details["action"] = int(action)
    return _row(
        UndoAction.UNDO,
        command.moderator,
        # Of a target that was forgotten in the row, and not by a sanction that holds, the edges have to know the name.
        undoing.target or Target(undone.target_user_id, undone.target_username),
        undone.slug,
        command.reason,
        now_ms,
        scope=undone.scope,
        nonce=order.origin.nonce,
        lifted_ids=[sanction.id for sanction in undoing.lifts],
        duration_minutes=undoing.duration_minutes(now_ms),
        undoes_id=undone.id,
        details=details,
    )


def _row(
    action: int,
    made_by: Moderator,
    target: Target,
    slug: str,
    reason: str,
    at_ms: int,
    *,
    scope: int = Scope.ROOM,
    nonce: str = "",
    lifted_ids: Iterable[int] = (),
    duration_minutes: int = 0,
    **others: Any,
) -> AuditRow:
    """A row with what every action has. `others`: the columns that some have besides."""
    return AuditRow(
        action=int(action),
        target_user_id=target.user_id,
        target_username=target.username,
        moderator_user_id=made_by.user_id,
        moderator_rank=int(made_by.rank),
        duration_minutes=duration_minutes,
        scope=int(scope),
        slug=slug,
        reason=reason,
        at_ms=at_ms,
        lifted_ids=list(lifted_ids),
        nonce=nonce or None,
        **others,
    )


def _storable(target: Target) -> Target:
    return Target(target.user_id, storable(target.username))


def undone_from_row(row: AuditRow, *, brings_entry: bool = False) -> Undone | None:
    """Of an undo: what it came to."""
    if row.undoes_id is None:
        return None
    return Undone(row.undoes_id, tuple((row.details or {}).get("not_undone", ())), brings_entry)


def action_of(row: AuditRow) -> Action | None:
    """What a row did to sanctions, in the words of the frame; None: nothing."""
    number = (row.details or {}).get("action") if row.action == UndoAction.UNDO else row.action
    return Action(number) if number in set(Action) else None


def event_from_row(row: AuditRow, imposed: tuple[Sanction, ...], origin: Origin = NO_ORIGIN) -> SanctionEvent | None:
    """What is published of a row that was just stored; None: it changed no sanction. Silent where the service itself
    added an address. `origin`: where its command came from."""
    action = action_of(row)
    if action is None:
        return None
    return SanctionEvent(
        event_id=row.id,
        action=action,
        target=Target(row.target_user_id, row.target_username),
        moderator_user_id=row.moderator_user_id,
        duration_minutes=row.duration_minutes,
        scope=Scope(row.scope),
        slug=row.slug,
        at_ms=row.at_ms,
        imposed=imposed,
        lifted_ids=tuple(row.lifted_ids),
        silent=row.followed_address is not None,
        edge=origin.edge,
        token=origin.token,
    )
