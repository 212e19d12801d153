"""Reading and checking what was done in rooms, and undoing it."""

from rooms.domain.audit import (
    AuditEntry,
    AuditQuery,
    Undone,
    UndoneAll,
    Verification,
    may_read_audit,
    may_undo,
    may_verify,
)
from rooms.domain.people import LARGEST_ID, Slug, UserId, Viewer
from rooms.errors import (
    ActionNotFound,
    AlreadyUndone,
    CannotUndo,
    ModerationUnavailable,
    NothingToUndo,
    NotPermitted,
    TooManyRoles,
)
from rooms.ports import Ports
from rooms.usecases.queries import ranked_in, signed_in

UNDOING_S = 2.5
"""What is not undone by then is left for the next call: a GraphQL request has 5 s, and the last one may take 2."""


async def list_audit(
    ports: Ports, viewer: Viewer | None, query: AuditQuery, *, first: int, before_id: int | None
) -> list[AuditEntry]:
    """Newest first, of a slug by the rank there. Raises NotSignedIn, NotPermitted, DatabaseUnavailable,
    ModerationUnavailable."""
    reader = await ranked_in(ports, viewer, query.slug)
    if not may_read_audit(reader, query.slug):
        raise NotPermitted
    return await ports.moderation.list_audit(reader, query, first=first, before_id=before_id)


async def verify_audit(ports: Ports, viewer: Viewer | None, slug: Slug | None, *, after_id: int | None) -> Verification:
    """Check a part of a slug's chain; slug None: of what holds everywhere. Raises NotSignedIn, NotPermitted,
    ModerationUnavailable."""
    reader = signed_in(viewer)
    if not may_verify(reader):
        raise NotPermitted
    return await ports.moderation.verify_audit(reader, slug, after_id=after_id)


async def undo_action(ports: Ports, viewer: Viewer | None, action_id: int, slug: Slug | None) -> Undone:
    """Undo an action that was done in the rooms of a slug, None: wherever it was, and have the room told that lives
    there. Raises NotSignedIn, NotPermitted, ActionNotFound, CannotUndo, AlreadyUndone, NothingToUndo, TooManyRoles,
    DatabaseUnavailable, ModerationUnavailable."""
    by = await ranked_in(ports, viewer, slug)
    if not may_undo(by, slug):
        raise NotPermitted
    if not 1 <= action_id < LARGEST_ID:
        raise ActionNotFound
    newest = await ports.moderation.list_audit(by, AuditQuery(slug=slug), first=1, before_id=action_id + 1)
    if not newest or newest[0].action_id != action_id:
        raise ActionNotFound
    done = newest[0]
    return await _undo(ports, by, action_id, None if done.is_everywhere else done.slug)


async def undo_all(
    ports: Ports, viewer: Viewer | None, actor_user_id: UserId, *, since_ms: int, before_id: int | None
) -> UndoneAll:
    """Undo what somebody did since then, the newest first, as much as there is time for: a part of at most 500. Raises
    NotSignedIn, NotPermitted, DatabaseUnavailable; ModerationUnavailable where nothing was undone."""
    admin, until_s = signed_in(viewer), ports.elapsed_s() + UNDOING_S
    if not may_undo(admin, None):
        raise NotPermitted
    found = await ports.moderation.list_undoable(admin, actor_user_id, since_ms=since_ms, before_id=before_id)
    undone, not_undone = list[int](), list[int]()
    for place, (action_id, slug) in enumerate(found.actions):
        if action_id in found.lasting:
            not_undone.append(action_id)
            continue
        try:
            if ports.elapsed_s() < until_s:
                await _undo(ports, admin, action_id, slug, of_all_since_ms=since_ms)
                undone.append(action_id)
                continue
        except (ActionNotFound, AlreadyUndone, CannotUndo, NothingToUndo, NotPermitted, TooManyRoles):
            not_undone.append(action_id)
            continue
        except ModerationUnavailable:
            if not undone:
                raise
        left = len(found.actions) - place + found.left
        return UndoneAll(tuple(undone), tuple(not_undone), left, action_id + 1)
    last_id = found.last_id if found.left else None
    return UndoneAll(tuple(undone), tuple(not_undone), found.left, last_id)


async def _undo(
    ports: Ports, by: Viewer, action_id: int, slug: Slug | None, *, of_all_since_ms: int | None = None
) -> Undone:
    log = None if slug is None else await ports.catalog.find_log(slug)
    return await ports.moderation.undo(by, action_id, slug, log, of_all_since_ms=of_all_since_ms)
