"""What moderators of a room know of one person, and the notes that they write."""

from rooms.domain.cases import Case, Note
from rooms.domain.people import LARGEST_ID, Rank, Slug, Viewer
from rooms.domain.sanctions import Target
from rooms.errors import NoteNotFound
from rooms.ports import Ports
from rooms.usecases.queries import ranked_in, signed_in, viewer_in


async def get_case(ports: Ports, viewer: Viewer | None, slug: Slug, target: Target) -> Case:
    """All that is known, for moderators of the room. Raises NotSignedIn, NotPermitted, DatabaseUnavailable,
    ModerationUnavailable."""
    token_rank = signed_in(viewer).rank
    reader = await ranked_in(ports, viewer, slug)
    log = await ports.catalog.find_log(slug)
    return await ports.moderation.get_case(reader, slug, target, log, token_rank=token_rank)


async def add_note(ports: Ports, viewer: Viewer | None, slug: Slug, target: Target, text: str) -> Note:
    """Write of somebody, for the moderators of the room. Raises NotSignedIn, NotPermitted, TooManyNotes, InvalidInput,
    ModerationUnavailable."""
    return await ports.moderation.add_note(await ranked_in(ports, viewer, slug), slug, target, text)


async def delete_note(ports: Ports, viewer: Viewer | None, note_id: int) -> bool:
    """Delete one's own note, or that of a lower rank. Raises NotSignedIn, NotPermitted, NoteNotFound,
    ModerationUnavailable."""
    asking = signed_in(viewer)
    if not 1 <= note_id <= LARGEST_ID:
        raise NoteNotFound
    slug = await ports.moderation.slug_of_note(note_id)
    by = await viewer_in(ports, asking, slug)
    if by.rank < Rank.MODERATOR:  # it is not theirs to know that there is one
        raise NoteNotFound
    await ports.moderation.delete_note(by, slug, note_id)
    return True
