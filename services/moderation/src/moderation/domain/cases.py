"""Cases: what the moderators of a room know of one person, and the notes that they write."""

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from moderation.domain.erasures import NO_ORIGIN, LoggedMessage, LogRef, Origin
from moderation.domain.people import Moderator, Rank, Target
from moderation.domain.reports import Report
from moderation.domain.sanctions import Sanction
from moderation.domain.warnings import RoomWarning
from moderation.errors import NoteNotFound, NotPermitted, TooManyNotes

LONGEST_NOTE = 1_000
MOST_NOTES = 100
"""Of one person in one room."""
SHOWN = 50
"""Of each list of a case."""
MESSAGES_SHOWN = 100


class NoteAction(IntEnum):
    """What a command does to a note. Audit rows hold these numbers, beside those of other actions."""

    ADD = 30
    DELETE = 31


@dataclass(frozen=True, slots=True)
class Note:
    """What a moderator wrote of somebody, for the moderators of a room alone."""

    id: int
    slug: str
    target: Target
    text: str
    author_user_id: int
    author_username: str
    author_rank: Rank
    created_at_ms: int
    """Unix milliseconds."""


@dataclass(frozen=True, slots=True)
class AddNote:
    """Keep a note."""

    moderator: Moderator
    username: str
    """Of the moderator."""
    slug: str
    target: Target
    text: str
    """Not empty."""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class DeleteNote:
    """Delete a note."""

    moderator: Moderator
    slug: str
    """Its own."""
    note_id: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class NoteOrder:
    """A command about a note, as it was sent."""

    command: AddNote | DeleteNote
    log: LogRef | None = None
    """Nothing is told to a room."""
    origin: Origin = NO_ORIGIN


class Seen(NamedTuple):
    """When, and by which names, somebody was in a room, as far as is kept. Unix milliseconds; 0: not known."""

    names: tuple[str, ...] = ()
    """The last one first."""
    first_ms: int = 0
    last_ms: int = 0


@dataclass(frozen=True, slots=True)
class Case:
    """What moderators of a room know of one person, each list newest first."""

    sanctions: list[Sanction]
    """Of the room and everywhere, in force or not."""
    warnings: list[RoomWarning]
    notes: list[Note]
    reports: list[Report]
    seen: Seen
    messages: list[LoggedMessage] | None
    """That the log still has; None: it could not be read."""


def may_read_case(moderator: Moderator) -> bool:
    """Moderators of the room and above."""
    return moderator.user_id != 0 and moderator.rank >= Rank.MODERATOR


def may_note(command: AddNote) -> bool:
    """The same, of anybody but themselves."""
    return may_read_case(command.moderator) and not command.moderator.is_aimed_at(command.target)


def demand_room_for_note(count: int) -> None:
    """`count`: notes that there are of the target in the room. Raises TooManyNotes."""
    if count >= MOST_NOTES:
        raise TooManyNotes


def demand_deletable(command: DeleteNote, note: Note | None) -> None:
    """By its author, or a higher rank, and never by whom it is about. Raises NotPermitted, NoteNotFound."""
    moderator = command.moderator
    if not may_read_case(moderator):
        raise NotPermitted
    if note is None or note.slug != command.slug or not moderator.may_know(note.created_at_ms):
        raise NoteNotFound
    is_own = note.author_user_id == moderator.user_id
    if moderator.is_aimed_at(note.target) or not (is_own or note.author_rank < moderator.rank):
        raise NotPermitted
