"""Rooms and participants as GraphQL reads them."""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import replace

from rooms.domain import access
from rooms.domain.identity import LARGEST_ID, Life, RoomId, Slug, Viewer
from rooms.domain.refusals import InvalidInput
from rooms.domain.room import Participant, ParticipantState, Room
from rooms.domain.sanction import Sanction, SanctionAction, Target
from rooms.ports import Ports

LONGEST_LIST = 100


async def list_rooms(
    ports: Ports, viewer: Viewer | None, *, first: int, after: Life | None = None, search: str | None = None
) -> list[Room]:
    """Rooms with someone in them, newest first; private ones only to those who may enter."""
    return await ports.catalog.list_rooms(viewer, first=clamp(first), after=after, search=search or None)


async def get_room(
    ports: Ports, viewer: Viewer | None, *, room_id: RoomId | None = None, slug: str | None = None
) -> Room | None:
    """A room by id or by slug, living or kept; None also for those who may not enter. Raises InvalidInput."""
    if (room_id is None) == (slug is None):
        raise InvalidInput("Give either id or slug")
    if room_id is not None and not 1 <= room_id <= LARGEST_ID:
        return None
    wanted = None if slug is None else Slug(unicodedata.normalize("NFC", slug))
    room = await ports.catalog.find_room(room_id=room_id, slug=wanted)
    return room if room is not None and await may_see(ports, viewer, room) else None


async def may_see(ports: Ports, viewer: Viewer | None, room: Room) -> bool:
    """Public rooms are everyone's; private ones are shown to those who may enter."""
    if room.settings.is_public:
        return True
    if viewer is None:
        return False
    return access.may_manage(viewer, room) or await ports.catalog.is_invited(room.slug, viewer.user_id)


async def list_participants(
    ports: Ports, rooms: Sequence[Room], *, first: int, after: int | None = None
) -> Mapping[RoomId, list[Participant]]:
    """Who is or was in each of these rooms, with their state. One call for many rooms. Raises ModerationUnavailable."""
    living = [room for room in rooms if room.life is not None]
    lives = [room.life for room in living if room.life is not None]
    people = await ports.catalog.list_participants(lives, first=clamp(first), after=after) if lives else {}
    targets = list(dict.fromkeys(_target(person) for found in people.values() for person in found))
    sanctions = await ports.moderation.list_active([room.slug for room in living], targets) if targets else []
    return {
        room.room_id: [_with_state(person, room.slug, sanctions) for person in people.get(room.life or Life(0), [])]
        for room in rooms
    }


def clamp(first: int) -> int:
    """The length of a list: what was asked for, 100 at most."""
    return max(0, min(first, LONGEST_LIST))


def _with_state(person: Participant, slug: Slug, sanctions: Sequence[Sanction]) -> Participant:
    actions = {
        sanction.action for sanction in sanctions if sanction.slug in (None, slug) and _reaches(sanction, person)
    }
    if SanctionAction.BAN in actions:
        return replace(person, state=ParticipantState.BANNED)
    if SanctionAction.MUTE in actions:
        return replace(person, state=ParticipantState.MUTED)
    return person


def _reaches(sanction: Sanction, person: Participant) -> bool:
    """A sanction keeps its author's rank, and never applies to somebody of the same rank or above."""
    if person.rank is not None and person.rank >= sanction.moderator_rank:
        return False
    return sanction.target == _target(person)


def _target(person: Participant) -> Target:
    return Target(person.user_id, person.username if person.user_id is None else None)
