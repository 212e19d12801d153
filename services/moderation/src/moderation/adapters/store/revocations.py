"""Revoked tokens: questions and changes in the transaction that is open."""

from moderation.adapters.store.retention import ROWS_AT_ONCE, locked
from moderation.adapters.store.tables import RevocationRow
from moderation.domain.policy import next_version
from moderation.domain.revocations import MOST_REVOCATIONS, Revocation
from moderation.errors import TooManyRevocations


async def write_revocation(revocation: Revocation, *, now_ms: int) -> Revocation:
    """Keep it, in place of one with its key, as it is since. One at a time over all replicas, as with all that makes a
    version. Raises TooManyRevocations."""
    row = await RevocationRow.get_or_none(key=revocation.key)
    if row is None:
        await _demand_place(now_ms)
    newest = await RevocationRow.all().order_by("-version").first().only("key", "version")
    kept = revocation.after(None if row is None else _from_row(row))
    version = next_version(newest.version if newest else 0, now_ms)
    values = {"before_ms": kept.before_ms, "until_ms": kept.until_ms, "version": version}
    if row is None:
        new = RevocationRow(key=kept.key, user_id=kept.user_id, jti=kept.jti, **values)
        await new.save(force_create=True)
        return _from_row(new)
    await RevocationRow.filter(key=kept.key).update(**values)
    return _from_row(row.update_from_dict(values))


async def find_revocation(key: str) -> Revocation | None:
    """What is kept under that key."""
    row = await RevocationRow.get_or_none(key=key)
    return None if row is None else _from_row(row)


async def revocations_after(version: int, first: int, now_ms: int) -> list[Revocation]:
    """See Store."""
    rows = RevocationRow.filter(version__gt=version, until_ms__gt=now_ms).order_by("version").limit(first)
    return [_from_row(row) for row in await rows]


async def forget_revocations(before_ms: int) -> bool:
    """Delete a part of those that have had no effect since then; whether there may be more."""
    keys = await locked(RevocationRow.filter(until_ms__lt=before_ms), ROWS_AT_ONCE)
    await RevocationRow.filter(key__in=keys).delete()
    return len(keys) == ROWS_AT_ONCE


async def _demand_place(now_ms: int) -> None:
    if await RevocationRow.filter(until_ms__gt=now_ms).count() >= MOST_REVOCATIONS:
        raise TooManyRevocations


def _from_row(row: RevocationRow) -> Revocation:
    return Revocation(row.user_id, row.jti, row.before_ms, row.until_ms, row.version)
