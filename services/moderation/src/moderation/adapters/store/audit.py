"""The audit log in the database: rows and the chains that they form, in the transaction that is open."""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from tortoise.expressions import Q, Subquery

from moderation.adapters.store.feed import append_feed_event
from moderation.adapters.store.tables import AuditRow
from moderation.domain.audit import (
    EVERYWHERE,
    SALT_BYTES,
    AuditQuery,
    AuditRecord,
    Verification,
    chain_of,
    digest_of,
    evidence_digest,
    evidence_of,
    problem_with,
)
from moderation.domain.feed import ACTION
from moderation.domain.sanctions import Scope
from moderation.domain.undo import LASTING, LONGEST_LINE, UNDOABLE, is_taken_away

LOOKED_AT = 10_000
"""Rows that one question looks through where no index finds what is asked for."""
_COUNTED = 10_000
_UNCHAINED_COUNTED = 1_000


async def append_audit(row: AuditRow, *, kind: str = ACTION, data: Mapping[str, Any] | None = None) -> None:
    """Store a row as the newest of its chain, and tell the moderators of its slug, unless the service itself added an
    address to a sanction. Only by who has the lock of commands: one row comes behind the other. `kind` and `data`: of
    the event, beside the fields of the row, see append_feed_event."""
    row.chain = chain_of(row.scope, row.slug)
    head = await AuditRow.filter(chain=row.chain).order_by("-id").first().only("id", "digest")
    row.previous_digest = "" if head is None else head.digest or ""
    evidence = evidence_of(record_from_row(row))
    if evidence:
        row.evidence_salt = secrets.token_hex(SALT_BYTES)
        row.evidence_digest = evidence_digest(row.evidence_salt, evidence)
    await row.save()
    row.digest = digest_of(record_from_row(row))  # its id is in it
    await row.save(update_fields=["digest"])
    if row.slug and row.followed_address is None:
        await append_feed_event(row.slug, kind, data or {}, now_ms=row.at_ms, action_id=row.id)


async def list_records(query: AuditQuery, *, first: int, before_id: int | None) -> list[tuple[AuditRecord, int | None]]:
    """See Store."""
    rows = await AuditRow.filter(_where(query, before_id)).order_by("-id").limit(first)
    undone_by = await _undone_by([row.id for row in rows])
    return [(record_from_row(row), undone_by.get(row.id)) for row in rows]


async def _undone_by(action_ids: Sequence[int]) -> dict[int, int]:
    """Which of these rows are undone, and by which."""
    found = await AuditRow.filter(undoes_id__in=list(action_ids)).values_list("undoes_id", "id") if action_ids else []
    return {int(undone): int(by) for undone, by in found}


async def verify_part(chain: str, after_id: int, *, first: int) -> Verification:
    """Check the next `first` rows of a chain behind an id. What is at or before it is kept as long as anything is: only
    the oldest rows go."""
    before = await AuditRow.filter(chain=chain, id__lte=after_id).order_by("-id").first().only("id", "digest")
    previous = None if before is None else before.digest or ""
    rows = await AuditRow.filter(chain=chain, id__gt=after_id).order_by("id").limit(first)
    checked = Verification(0, 0 if before is None else before.id, previous or "")
    for row in rows:
        record = record_from_row(row)
        problem = problem_with(record, previous)
        if problem is not None:
            return checked._replace(checked=checked.checked + 1, broken_id=row.id, problem=problem)
        previous = record.digest or ""
        checked = Verification(checked.checked + 1, row.id, previous)
    more = len(rows) == first
    begins_at = after_id if before is not None else rows[0].id if rows else None
    unchained = 0 if begins_at is None else await _unchained(chain, begins_at, rows[-1].id if more else None)
    return checked._replace(more=more, unchained=unchained)


async def _unchained(chain: str, after_id: int, up_to_id: int | None) -> int:
    """How many rows behind one id, up to another, belong to a chain and are not in it; None: to the end."""
    where = Q(chain__isnull=True, id__gt=after_id)
    where &= Q(scope=int(Scope.EVERYWHERE)) if chain == EVERYWHERE else Q(scope=int(Scope.ROOM), slug=chain)
    if up_to_id is not None:
        where &= Q(id__lte=up_to_id)
    return len(await AuditRow.filter(where).limit(_UNCHAINED_COUNTED).only("id"))


async def list_undoable(
    actor_user_id: int, since_ms: int, before_id: int | None, *, first: int
) -> tuple[list[AuditRecord], int, int]:
    """See Store."""
    rows = await _open_actions(actor_user_id, since_ms, before_id, first)
    records = [record_from_row(row) for row in rows]
    left = 0
    if len(rows) == first:
        left = len(await _open_actions(actor_user_id, since_ms, rows[-1].id, _COUNTED, only_ids=True))
    last_id = rows[-1].id if rows else 0
    known = await _with_undone(records)
    by_people = [r for r in records if "completes" not in (r.details or {})]
    found = [r for r in by_people if not is_taken_away(_line(r, known), actor_user_id, since_ms)]
    return found, left, last_id


async def _open_actions(
    actor_user_id: int, since_ms: int, before_id: int | None, first: int, *, only_ids: bool = False
) -> list[AuditRow]:
    undone = AuditRow.filter(undoes_id__isnull=False).values("undoes_id")
    where = Q(moderator_user_id=actor_user_id, at_ms__gte=since_ms, action__in=[*UNDOABLE, *LASTING])
    where &= Q(followed_address__isnull=True) & ~Q(id__in=Subquery(undone))
    if before_id is not None:
        where &= Q(id__lt=before_id)
    rows = AuditRow.filter(where).order_by("-id").limit(first)
    return await (rows.only("id") if only_ids else rows)


async def _with_undone(records: Sequence[AuditRecord]) -> dict[int, AuditRecord]:
    """By id these rows, what they undo, what that undoes, and so on."""
    known = {record.id: record for record in records}
    for _ in range(LONGEST_LINE):
        wanted = {r.undoes_id for r in known.values() if r.undoes_id is not None} - known.keys()
        rows = await AuditRow.filter(id__in=sorted(wanted)) if wanted else []
        if not rows:
            break
        known |= {row.id: record_from_row(row) for row in rows}
    return known


def _line(record: AuditRecord, known: Mapping[int, AuditRecord]) -> list[AuditRecord]:
    """A row, what it undoes, what that undoes, and so on, as far as it is known."""
    line = [record]
    while (undone := known.get(line[-1].undoes_id or 0)) is not None:
        line.append(undone)
    return line


def _where(query: AuditQuery, before_id: int | None) -> Q:
    """What an index finds, and of no more than LOOKED_AT rows of that, the newest ones, what else is asked for."""
    wanted = []
    if query.target_user_id is not None:
        wanted.append(Q(target_user_id=query.target_user_id))
    elif query.target_username is not None:
        wanted.append(Q(target_user_id=0, target_username=query.target_username))
    if query.actor_user_id is not None:
        wanted.append(Q(moderator_user_id=query.actor_user_id))
    if query.slug is not None:
        wanted.append(Q(slug=query.slug, scope=int(Scope.ROOM)))
    by_index, others = Q(*wanted[:1]), [*wanted[1:]]
    if query.actions is not None:
        others.append(Q(action__in=list(query.actions)))
    if query.follows is not None:
        others.append(Q(followed_address__isnull=not query.follows))
    if query.since_ms:
        others.append(Q(at_ms__gte=query.since_ms))
    if before_id is not None:
        by_index &= Q(id__lt=before_id)
    if not others:
        return by_index
    newest = AuditRow.filter(by_index).order_by("-id").limit(LOOKED_AT).values("id")
    return Q(*others, id__in=Subquery(newest))


def record_from_row(row: AuditRow) -> AuditRecord:
    """A row as the domain knows it."""
    return AuditRecord(
        id=row.id,
        action=row.action,
        target_user_id=row.target_user_id,
        target_username=row.target_username,
        actor_user_id=row.moderator_user_id,
        actor_rank=row.moderator_rank,
        duration_minutes=row.duration_minutes,
        scope=row.scope,
        slug=row.slug,
        reason=row.reason,
        at_ms=row.at_ms,
        imposed_id=row.imposed_id,
        lifted_ids=tuple(row.lifted_ids),
        followed_address=row.followed_address,
        evidence_erased_at_ms=row.evidence_erased_at_ms,
        nonce=row.nonce,
        message_id=row.message_id,
        message_text=row.message_text,
        purged=row.purged,
        details=row.details,
        undoes_id=row.undoes_id,
        chain=row.chain,
        previous_digest=row.previous_digest,
        digest=row.digest,
        evidence_salt=row.evidence_salt,
        evidence_digest=row.evidence_digest,
    )
