"""Warnings: questions and changes in the transaction that is open."""

from collections.abc import Sequence
from dataclasses import replace

from tortoise.expressions import Q
from tortoise.queryset import QuerySet

from moderation.adapters.store.tables import WarningRow
from moderation.domain.people import Rank, Target
from moderation.domain.policy import next_version
from moderation.domain.warnings import (
    MOST_OPEN,
    MOST_OPEN_EVERYWHERE,
    MOST_OPEN_OF_SLUG,
    MOST_TOLD,
    RoomWarning,
    WarningCommand,
    WarningReport,
    WarningState,
    WarningStep,
)
from moderation.errors import WarningNotFound

WARNINGS_AT_ONCE = 100
_STATES = {int(state): state for state in WarningState}
_RANKS = [int(rank) for rank in Rank]


async def insert_warning(command: WarningCommand, action_id: int, *, now_ms: int) -> list[RoomWarning]:
    """Issue it; the new one, and behind it those that gave way. One at a time over all replicas, as with all that
    makes a version."""
    version = await _next_version(now_ms)
    open_rows = WarningRow.filter(
        closed_at_ms__isnull=True,
        slug=command.slug,
        target_user_id=command.target.user_id,
        target_username=command.target.username,
    )
    oldest_first = [warning_from_row(row) for row in await _understood(open_rows).order_by("id")]
    too_many = oldest_first[: max(0, len(oldest_first) + 1 - MOST_OPEN)]
    too_many += [other for other in await _surplus(command.slug) if other not in too_many]
    issued = RoomWarning(
        id=action_id,
        slug=command.slug,
        target=command.target,
        reason=command.reason,
        moderator_user_id=command.moderator.user_id,
        moderator_rank=command.moderator.rank,
        created_at_ms=now_ms,
        state=WarningState.ISSUED,
        version=version,
    )
    row = WarningRow(
        id=issued.id,
        slug=issued.slug,
        target_user_id=issued.target.user_id,
        target_username=issued.target.username,
        reason=issued.reason,
        moderator_user_id=issued.moderator_user_id,
        moderator_rank=int(issued.moderator_rank),
        created_at_ms=issued.created_at_ms,
        state=int(issued.state),
        version=version,
    )
    await row.save(force_create=True)
    return [issued, *await _step_all(too_many, WarningStep.SUPERSEDE, version + 1, now_ms)]


async def without_effect(report: WarningReport) -> RoomWarning | None:
    """The warning, where what is reported changes nothing of it. Raises WarningNotFound."""
    warning = await _reported(report)
    return warning if warning.after(report.step, warning.version) is warning else None


async def take_step(report: WarningReport, *, now_ms: int) -> RoomWarning:
    """The warning as it is since. Raises WarningNotFound."""
    warning = await _reported(report)
    changed = warning.after(report.step, await _next_version(now_ms))
    if changed is not warning:
        await _write(changed, now_ms)
    return changed


async def withdraw(warning: RoomWarning, *, now_ms: int) -> RoomWarning:
    """Take one back that is open. Under the lock of commands."""
    (changed,) = await _step_all([warning], WarningStep.WITHDRAW, await _next_version(now_ms), now_ms)
    return changed


async def find_warning(warning_id: int) -> RoomWarning | None:
    """One, in whatever state; None: there is none."""
    row = await _understood(WarningRow.filter(id=warning_id)).first()
    return None if row is None else warning_from_row(row)


async def warnings_after(version: int, first: int) -> list[RoomWarning]:
    """See Store."""
    rows = await _understood(WarningRow.filter(version__gt=version)).order_by("version").limit(first)
    return [warning_from_row(row) for row in rows]


async def _surplus(slug: str) -> list[RoomWarning]:
    """The oldest, where as many wait as may, of that slug or of all: WARNINGS_AT_ONCE of each at most."""
    open_rows = _understood(WarningRow.filter(closed_at_ms__isnull=True))
    of_slug = open_rows.filter(slug=slug).order_by("-id").offset(MOST_OPEN_OF_SLUG - 1)
    of_all = open_rows.order_by("-created_at_ms", "-id").offset(MOST_OPEN_EVERYWHERE - 1)
    rows = [*await of_slug.limit(WARNINGS_AT_ONCE), *await of_all.limit(WARNINGS_AT_ONCE)]
    return list({row.id: warning_from_row(row) for row in rows}.values())


async def open_warnings(slugs: Sequence[str]) -> list[RoomWarning] | None:
    """See Store."""
    if not slugs:
        return []
    rows = WarningRow.filter(closed_at_ms__isnull=True, slug__in=list(slugs))
    found = [warning_from_row(row) for row in await _understood(rows).order_by("id").limit(MOST_TOLD + 1)]
    return found if len(found) <= MOST_TOLD else None


async def erase_warnings(target: Target, now_ms: int) -> tuple[list[RoomWarning], bool]:
    """Withdraw a part of those of somebody that are open, and empty the reasons of a part; the open ones as they are
    since, and whether there may be more. Under the lock of commands."""
    mine = WarningRow.filter(target_user_id=target.user_id, target_username=target.username)
    told = await mine.filter(~Q(reason="") | Q(closed_at_ms__isnull=True)).order_by("id").limit(WARNINGS_AT_ONCE)
    part = WarningRow.filter(id__in=[row.id for row in told])
    rows = await _understood(part.filter(closed_at_ms__isnull=True)).order_by("id")
    await part.update(reason="")
    still_open = [replace(warning_from_row(row), reason="") for row in rows]
    withdrawn = await _step_all(still_open, WarningStep.WITHDRAW, await _next_version(now_ms), now_ms)
    return withdrawn, len(told) == WARNINGS_AT_ONCE and (len(withdrawn) > 0 or any(row.reason for row in told))


async def expire_warnings(before_ms: int, anonymous_before_ms: int, now_ms: int) -> bool:
    """A part of them; whether there may be more. Under the lock of commands."""
    is_old = Q(created_at_ms__lt=before_ms) | Q(created_at_ms__lt=anonymous_before_ms, target_user_id=0)
    old = WarningRow.filter(is_old, closed_at_ms__isnull=True)
    rows = await _understood(old).order_by("id").limit(WARNINGS_AT_ONCE)
    await _step_all([warning_from_row(row) for row in rows], WarningStep.EXPIRE, await _next_version(now_ms), now_ms)
    return len(rows) == WARNINGS_AT_ONCE


async def _reported(report: WarningReport) -> RoomWarning:
    rows = WarningRow.filter(
        id=report.warning_id, target_user_id=report.target.user_id, target_username=report.target.username
    )
    row = await _understood(rows).first()
    if row is None:
        raise WarningNotFound
    return warning_from_row(row)


async def _step_all(warnings: Sequence[RoomWarning], step: WarningStep, version: int, now_ms: int) -> list[RoomWarning]:
    changed = [warning.after(step, version + number) for number, warning in enumerate(warnings)]
    for warning in changed:
        await _write(warning, now_ms)
    return changed


async def _write(changed: RoomWarning, now_ms: int) -> None:
    values: dict[str, int] = {"state": int(changed.state), "version": changed.version}
    if changed.state is WarningState.DELIVERED:
        values["delivered_at_ms"] = now_ms
    elif not changed.is_open:
        values["closed_at_ms"] = now_ms
    await WarningRow.filter(id=changed.id).update(**values)


async def _next_version(now_ms: int) -> int:
    newest = await WarningRow.all().order_by("-version").first()
    return next_version(newest.version if newest else 0, now_ms)


def _understood(rows: QuerySet[WarningRow]) -> QuerySet[WarningRow]:
    """Without those that were issued with a rank of a later version."""
    return rows.filter(moderator_rank__in=_RANKS)


def warning_from_row(row: WarningRow) -> RoomWarning:
    """As the domain knows it. A state of a later version is told by whether that has closed it."""
    other = WarningState.ISSUED if row.closed_at_ms is None else WarningState.WITHDRAWN
    return RoomWarning(
        id=row.id,
        slug=row.slug,
        target=Target(row.target_user_id, row.target_username),
        reason=row.reason,
        moderator_user_id=row.moderator_user_id,
        moderator_rank=Rank(row.moderator_rank),
        created_at_ms=row.created_at_ms,
        state=_STATES.get(row.state, other),
        version=row.version,
    )
