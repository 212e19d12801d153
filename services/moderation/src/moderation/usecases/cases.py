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

_LOOKED_BACK_MS = (5_000, 60_000, 600_000, 3_600_000, 10_800_000, 21_600_000, 43_200_000, 86_400_000)
"""For the newest messages of somebody: as far back as it takes to find MESSAGES_SHOWN, each time what lies before."""
_BATCHES_READ = 50
"""Of the log, for one case at most: some 5,000 entries."""


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
    since_ms = reader.owned_since_ms
    case = await ports.store.case_of(
        slug, target, with_reports=not is_own, with_everywhere=with_everywhere, since_ms=since_ms
    )
    messages = [] if log is None else await _messages_of(ports, log, target)
    return replace(case, notes=[] if is_own else case.notes, messages=messages)


async def slug_of_note(ports: Ports, note_id: int) -> str:
    """Where it was written. Raises NoteNotFound, DatabaseUnavailable."""
    note = await ports.store.find_note(note_id)
    if note is None:
        raise NoteNotFound
    return note.slug


async def _messages_of(ports: Ports, log: LogRef, target: Target) -> list[LoggedMessage] | None:
    """Newest first, of what could be read; None: the log can't be read."""
    newest: list[LoggedMessage] = []
    batches, now_ms = 0, ports.clock().wall_ms
    try:
        up_to_id = await ports.log.last_id(log)
        if not up_to_id:
            return []
        for back_ms in _LOOKED_BACK_MS:
            found: deque[LoggedMessage] = deque(maxlen=MESSAGES_SHOWN)
            first_id = 0
            async for batch in ports.log.messages(log, up_to_id, since_ms=now_ms - back_ms):
                batches += 1
                if batches > _BATCHES_READ:  # what was read of this part is its oldest, with a gap behind it
                    return newest[::-1]
                if batch and not first_id:
                    first_id = batch[0].id
                found.extend(message for message in batch if message.author == target)
            newest = [*found, *newest][-MESSAGES_SHOWN:]
            if len(newest) == MESSAGES_SHOWN:
                break
            up_to_id = first_id - 1 if first_id else up_to_id
    except LogUnavailable:
        return None
    return newest[::-1]
