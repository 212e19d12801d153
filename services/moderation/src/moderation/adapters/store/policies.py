"""The policies of rooms: questions and changes in the transaction that is open."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, cast

from moderation.adapters.store.tables import AuditRow, PolicyRow
from moderation.domain.policy import (
    NO_POLICY,
    Links,
    Policy,
    PolicyAction,
    PolicyChanges,
    PolicyCommand,
    ReadOnly,
    RoomPolicy,
    Shield,
    next_version,
)
from moderation.domain.undo import UndoAction
from moderation.errors import TooManyPolicies

MOST_POLICIES = 100_000
"""Slugs that have one. Every replica keeps those that ask for anything in memory, some 500 bytes each."""
_CHANGES_LOOKED_AT = 20
_ENDS_SHIELDS = (int(PolicyAction.SHIELD), int(UndoAction.UNDO))
_FIELDS = {field.name for field in fields(Policy)}
_READ_ONLY = {value.name.lower(): value for value in ReadOnly}
_LINKS = {value.name.lower(): value for value in Links}


async def write_policy(command: PolicyCommand, *, now_ms: int) -> tuple[RoomPolicy, dict[str, Any]]:
    """Change some fields of a slug's policy; what is known of it then, and what the audit row keeps. One at a time over
    all replicas. Raises TooManyPolicies."""
    newest = await PolicyRow.all().order_by("-version").first()
    row = await PolicyRow.get_or_none(slug=command.slug)
    if row is None and await PolicyRow.all().count() >= MOST_POLICIES:
        raise TooManyPolicies
    version = next_version(newest.version if newest else 0, now_ms)
    values = dict(row.policy) if row else {}
    before = policy_from_values(values)
    changed = before.changed(command.changes)
    values |= {name: value for name, value in values_of(changed).items() if name in command.changes}
    named = dict.fromkeys(command.changes, version)
    if row is None:
        row = PolicyRow(slug=command.slug, version=version, policy=values, field_versions=named)
        await row.save(force_create=True)
    else:
        row.version, row.policy = version, values
        row.field_versions = {**(row.field_versions or {}), **named}
        await row.save()
    details = {"version": version, "before": _only(before, command.changes), "after": _only(changed, command.changes)}
    return RoomPolicy(command.slug, version, changed), details


async def forget_policies(before: int, after: int, first: int) -> int | None:
    """Delete those of the next `first` policies behind the version `after` that have asked for nothing since `before`,
    Unix milliseconds, and have a version below it; the version behind which to go on, None: that was all. The newest of
    all stays, so that versions rise, whatever the clock says."""
    newest = await PolicyRow.all().order_by("-version").first()
    below = min(before, newest.version if newest else 0)
    rows = await PolicyRow.filter(version__gt=after, version__lt=below).order_by("version").limit(first)
    for row in rows:
        if row.policy.keys() <= _FIELDS and policy_from_values(row.policy).in_force(before) == NO_POLICY:
            await PolicyRow.filter(slug=row.slug, version=row.version).delete()  # unless it was changed meanwhile
    return rows[-1].version if len(rows) == first else None


async def was_shield_taken_away(slug: str, since_ms: int) -> bool:
    """Whether somebody has ended a shield there since then, by command or by undoing."""
    rows = AuditRow.filter(slug=slug, at_ms__gt=since_ms, moderator_user_id__not=0, action__in=_ENDS_SHIELDS)
    newest = await rows.order_by("-id").limit(_CHANGES_LOOKED_AT).only("details")
    after = [(row.details or {}).get("after", {}) for row in newest]
    return any("shield" in values and values["shield"] is None for values in after)


async def policy_of(slug: str) -> Policy:
    """The policy of a slug."""
    row = await PolicyRow.get_or_none(slug=slug)
    return NO_POLICY if row is None else policy_from_values(row.policy)


def changes_from_values(values: Mapping[str, Any]) -> PolicyChanges:
    """Some fields as they are kept, without those of a later version."""
    policy = policy_from_values(values)
    known = {field.name: getattr(policy, field.name) for field in fields(Policy) if field.name in values}
    return cast(PolicyChanges, known)


async def policies_after(version: int, first: int) -> list[RoomPolicy]:
    """See Store."""
    rows = await PolicyRow.filter(version__gt=version).order_by("version").limit(first)
    return [_from_row(row) for row in rows]


async def policies_of(slugs: Sequence[str]) -> list[RoomPolicy]:
    """See Store."""
    return [_from_row(row) for row in await PolicyRow.filter(slug__in=list(slugs))] if slugs else []


def values_of(policy: Policy) -> dict[str, Any]:
    """A policy as it is kept: each field by its name."""
    values = {field.name: getattr(policy, field.name) for field in fields(Policy) if field.name != "shield"}
    values |= {"read_only": policy.read_only.name.lower(), "links": policy.links.name.lower(), "shield": None}
    if policy.shield is not None:
        preset = values_of(policy.shield.preset)
        del preset["shield"]
        values["shield"] = {"until_ms": policy.shield.until_ms, "preset": preset}
    return values


def policy_from_values(values: Mapping[str, Any]) -> Policy:
    """The other way. What is missing has its default; fields of a later version are left out, and a word of one is
    taken for the strictest known here: a row that cannot be read would keep this version from all rows behind it."""
    known = {field.name: values[field.name] for field in fields(Policy) if field.name in values}
    if "read_only" in known:
        known["read_only"] = _READ_ONLY.get(known["read_only"], max(ReadOnly))
    if "links" in known:
        known["links"] = _LINKS.get(known["links"], max(Links))
    if (shield := known.get("shield")) is not None:
        known["shield"] = Shield(shield.get("until_ms", 0), policy_from_values(shield.get("preset", {})))
    return Policy(**known)


def _from_row(row: PolicyRow) -> RoomPolicy:
    return RoomPolicy(row.slug, row.version, policy_from_values(row.policy))


def _only(policy: Policy, changes: PolicyChanges) -> dict[str, Any]:
    return {name: value for name, value in values_of(policy).items() if name in changes}
