"""The roles of rooms: questions and changes in the transaction that is open."""

from collections.abc import Sequence
from typing import Any

from moderation.adapters.store.audit import record_from_row
from moderation.adapters.store.tables import AuditRow, RoomRolesRow
from moderation.domain.people import Target
from moderation.domain.policy import next_version
from moderation.domain.roles import (
    MOST_SLUGS_OF_OWNER,
    RoleAction,
    RoleCommand,
    RoleHolder,
    RoomRole,
    RoomRoles,
    changed_roles,
)
from moderation.domain.undo import RoleState, UndoAction, UndoCommand

_ROWS_AT_ONCE = 100
_ACTIONS = [int(RoleAction.SET), int(UndoAction.UNDO)]
_LATER_AT_MOST = 100
_ROLES: dict[str | None, RoomRole | None] = {None: None, **{role.name.lower(): role for role in RoomRole}}


async def write_roles(command: RoleCommand, *, now_ms: int) -> tuple[RoomRoles, dict[str, Any]]:
    """Give a role, or take it back; all of the slug since, and what the audit row keeps. One at a time over all
    replicas. Raises TooManyRoles."""
    newest = await RoomRolesRow.all().order_by("-version").first()
    row = await RoomRolesRow.get_or_none(slug=command.slug)
    before = None if row is None else _from_row(row)
    version = next_version(newest.version if newest else 0, now_ms)
    roles = changed_roles(before, command, version=version, now_ms=now_ms)
    values = _values(roles)
    if row is None:
        await RoomRolesRow(slug=command.slug, version=version, owner=command.owner, roles=values).save(
            force_create=True
        )
    else:
        row.version, row.owner, row.roles = version, command.owner, values
        await row.save()
    await _forget_oldest(command.owner)
    kept = () if before is None else before.under(command.owner)
    user_id = command.target.user_id
    details = {
        "version": version,
        "owner": command.owner,
        "before": _word(kept, user_id),
        "after": _word(roles.holders, user_id),
    }
    return roles, details


async def roles_of(slugs: Sequence[str]) -> list[RoomRoles]:
    """See Store."""
    return [_from_row(row) for row in await RoomRolesRow.filter(slug__in=list(slugs))] if slugs else []


async def undo_role(
    command: UndoCommand, undone: AuditRow, state: RoleState | None, *, now_ms: int
) -> tuple[RoomRoles | None, dict[str, Any]]:
    """Give somebody what they had before; as write_roles. Nothing where `state` is None."""
    if state is None:
        return None, {}
    target, owner = Target(undone.target_user_id, ""), (undone.details or {})["owner"]
    given = RoleCommand(command.moderator, undone.slug, target, None, state.before, owner, command.reason)
    return await write_roles(given, now_ms=now_ms)


async def role_state(row: AuditRow) -> RoleState | None:
    """What has become of the role that a row of the audit log tells of; None: it tells of none, or that can't be said,
    because a later version has words for it that are not known here, or because too much was done since."""
    details = row.details or {}
    words = {details.get("before"), details.get("after")} if "owner" in details else {""}
    if not words <= _ROLES.keys():
        return None
    of_target = AuditRow.filter(target_user_id=row.target_user_id, target_username="", id__gt=row.id, slug=row.slug)
    later = await of_target.filter(action__in=_ACTIONS).order_by("id").limit(_LATER_AT_MOST)
    if len(later) == _LATER_AT_MOST:
        return None
    known = await RoomRolesRow.get_or_none(slug=row.slug)
    roles = None if known is None else _from_row(known)
    holder = None if roles is None else roles.of(row.target_user_id)
    return RoleState(
        _ROLES[details["before"]],
        _ROLES[details["after"]],
        None if holder is None else holder.role,
        is_of_owner=roles is not None and roles.owner == details["owner"],
        later=[record_from_row(found) for found in later if "owner" in (found.details or {})],
    )


async def _forget_oldest(owner: int) -> None:
    """Of the rooms that somebody once had, those whose roles were changed last are enough: a user may make rooms and
    delete them for ever. What admins gave before is given back to the slug."""
    if owner:
        latest = RoomRolesRow.filter(owner=owner).order_by("-version")
        for row in await latest.offset(MOST_SLUGS_OF_OWNER).limit(_ROWS_AT_ONCE):
            roles = _from_row(row)
            if roles.of_nobody:
                row.owner, row.roles = 0, _values(roles._replace(holders=roles.of_nobody, of_nobody=()))
                await row.save()
            else:
                await row.delete()


def _from_row(row: RoomRolesRow) -> RoomRoles:
    """Roles of a later version of this service are left out."""
    known = {int(role) for role in RoomRole}
    holders = (RoleHolder(user, RoomRole(role), by, at_ms) for user, role, by, at_ms in row.roles if role in known)
    aside = (RoleHolder(user, RoomRole(-role), by, at_ms) for user, role, by, at_ms in row.roles if -role in known)
    return RoomRoles(row.slug, row.version, row.owner, tuple(holders), tuple(aside))


def _values(roles: RoomRoles) -> list[list[int]]:
    """What is put aside has negative numbers, which a replica of before leaves out."""
    values = [[h.user_id, int(h.role), h.given_by, h.given_at_ms] for h in roles.holders]
    return values + [[h.user_id, -int(h.role), h.given_by, h.given_at_ms] for h in roles.of_nobody]


def _word(holders: Sequence[RoleHolder], user_id: int) -> str | None:
    return next((holder.role.name.lower() for holder in holders if holder.user_id == user_id), None)
