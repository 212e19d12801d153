"""What moderators of a room know of one person, and the notes that they write."""

from collections import deque
from dataclasses import replace

from moderation.domain.audit import may_read_everywhere
from moderation.domain.cases import (
    MESSAGES_SHOWN,
    AddNote,
    Case,
    Note,
    NoteOrder,
    demand_deletable,
    demand_room_for_note,
    may_note,
    may_read_case,
)
from moderation.domain.commands import Receipt
from moderation.domain.erasures import LoggedMessage, LogRef
from moderation.domain.people import Moderator, Target
from moderation.errors import LogUnavailable, NoteNotFound, NotPermitted
from moderation.ports import Ports

_LOOKED_BACK_MS = (60_000, 1_800_000, 86_400_000)
"""For the newest messages of somebody: as far back as it takes to find MESSAGES_SHOWN."""
_MESSAGES_READ = 5_000
"""Of the log, for one case at most."""


async def change_note(ports: Ports, order: NoteOrder) -> Receipt:
    """Add or delete a note. Raises NotPermitted, NoteNotFound, TooManyNotes, DatabaseUnavailable; OutcomeUnknown where
    it may be done."""
    command = order.command
    if isinstance(command, AddNote) and not may_note(command):
        raise NotPermitted

    def demand(count: int, note: Note | None) -> None:
        if isinstance(command, AddNote):
            demand_room_for_note(count)
        else:
            demand_deletable(command, note)

    return await ports.store.change_note(order, demand, now_ms=ports.clock().wall_ms)


async def get_case(
    ports: Ports, reader: Moderator, slug: str, target: Target, log: LogRef | None, *, token_rank: int
) -> Case:
    """All of it; of who asks about themselves without the reports and the notes, which are not theirs to know.
    `token_rank`: see may_read_everywhere. Raises NotPermitted, DatabaseUnavailable."""
    if not may_read_case(reader):
        raise NotPermitted
    is_own = reader.is_aimed_at(target)
    with_everywhere = may_read_everywhere(token_rank)
    case = await ports.store.case_of(slug, target, with_reports=not is_own, with_everywhere=with_everywhere)
    messages = [] if log is None else await _messages_of(ports, log, target)
    return replace(case, notes=[] if is_own else case.notes, messages=messages)


async def slug_of_note(ports: Ports, note_id: int) -> str:
    """Where it was written. Raises NoteNotFound, DatabaseUnavailable."""
    note = await ports.store.find_note(note_id)
    if note is None:
        raise NoteNotFound
    return note.slug


async def _messages_of(ports: Ports, log: LogRef, target: Target) -> list[LoggedMessage] | None:
    """Newest first; None: the log can't be read."""
    found: deque[LoggedMessage] = deque(maxlen=MESSAGES_SHOWN)
    try:
        last_id = await ports.log.last_id(log)
        if not last_id:
            return []
        for back_ms in _LOOKED_BACK_MS:
            found.clear()
            read = 0
            async for batch in ports.log.messages(log, last_id, since_ms=ports.clock().wall_ms - back_ms):
                read += len(batch)
                found.extend(message for message in batch if message.author == target)
            if len(found) == MESSAGES_SHOWN or read > _MESSAGES_READ:
                break
    except LogUnavailable:
        return None
    return list(found)[::-1]
