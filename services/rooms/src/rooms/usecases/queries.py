"""Rooms, participants and sanctions as people read them."""

from collections.abc import Mapping, Sequence

from rooms.domain import naming
from rooms.domain.people import LARGEST_ID, Life, Rank, RoomId, Slug, UserId, Viewer
from rooms.domain.presence import RoomSnapshot
from rooms.domain.rooms import Participant, Room, may_manage
from rooms.domain.rules import KeptRule, RuleHit, TriedText
from rooms.domain.sanctions import Sanction, may_read_sanctions, target_of, with_state
from rooms.errors import InvalidInput, NotPermitted, NotSignedIn
from rooms.ports import Ports


async def list_rooms(
    ports: Ports, viewer: Viewer | None, *, first: int, after: Life | None = None, search: str | None = None
) -> list[Room]:
    """Rooms with someone in them, newest first; private ones only to those who may enter."""
    return await ports.catalog.list_rooms(viewer, first=first, after=after, search=search or None)


async def get_room(
    ports: Ports, viewer: Viewer | None, *, room_id: RoomId | None = None, slug: str | None = None
) -> Room | None:
    """A room by id or by slug as a client wrote it, living or kept; None also for those who may not enter. Raises
    InvalidInput."""
    if (room_id is None) == (slug is None):
        raise InvalidInput("Give either id or slug")
    if room_id is not None and not 1 <= room_id <= LARGEST_ID:
        return None
    wanted = None if slug is None else naming.read_slug(slug)
    if slug is not None and wanted is None:
        return None
    room = await ports.catalog.find_room(room_id=room_id, slug=wanted)
    return room if room is not None and await may_see(ports, viewer, room) else None


async def may_see(ports: Ports, viewer: Viewer | None, room: Room) -> bool:
    """Public rooms are everyone's; private ones are shown to those who may enter."""
    if room.settings.is_public:
        return True
    if viewer is None:
        return False
    return may_manage(viewer, room) or await ports.catalog.is_invited(room.slug, viewer.user_id)


async def count_people(ports: Ports, lives: Sequence[Life]) -> Mapping[Life, int]:
    """How many are in each life: users once each, anonymous connections each. Raises DatabaseUnavailable."""
    return await ports.catalog.count_people(lives)


async def list_participants(
    ports: Ports, rooms: Sequence[Room], *, first: int, after: int | None = None, with_states: bool = True
) -> Mapping[Room, list[Participant]]:
    """Who is or was in each of these rooms, `first` of each at most, behind the participant `after`. One call for many
    rooms. `with_states`: muted and banned as moderation has them; without it names come also while moderation is away.
    Raises DatabaseUnavailable, ModerationUnavailable."""
    lives = [room.life for room in rooms if room.life is not None]
    found = await ports.catalog.list_participants(lives, first=first, after=after) if lives else {}
    people = {room: [] if room.life is None else found.get(room.life, []) for room in rooms}
    return await _with_states(ports, people) if with_states else people


async def _with_states(ports: Ports, people: Mapping[Room, Sequence[Participant]]) -> Mapping[Room, list[Participant]]:
    targets = list(dict.fromkeys(target_of(person) for found in people.values() for person in found))
    slugs = [room.slug for room in people if room.life is not None]
    sanctions = await ports.moderation.list_active(slugs, targets) if targets else []
    return {room: [with_state(person, room.slug, sanctions) for person in found] for room, found in people.items()}


async def list_announced(ports: Ports, life: Life) -> RoomSnapshot:
    """The announced participants of one life as it is now. Raises DatabaseUnavailable."""
    return await ports.memberships.snapshot(life)


async def connected_rank(ports: Ports, user_id: UserId | None, username: str, slug: Slug | None) -> Rank | None:
    """The highest rank that a user, or the anonymous ones with a name, are connected with; slug None: anywhere. Raises
    DatabaseUnavailable."""
    return await ports.memberships.connected_rank(user_id, username, slug)


async def count_connections(ports: Ports) -> Mapping[RoomId, int]:
    """Open connections by public room id. Raises DatabaseUnavailable."""
    return await ports.memberships.stats()


async def list_sanctions(
    ports: Ports, viewer: Viewer | None, *, slug: Slug | None, active: bool, first: int, before_id: int | None = None
) -> list[Sanction]:
    """Newest first. Raises NotSignedIn, NotPermitted, ModerationUnavailable."""
    moderator_of(viewer)
    return await ports.moderation.list_sanctions(slug=slug, active=active, first=first, before_id=before_id)


async def list_rules(
    ports: Ports, viewer: Viewer | None, *, slug: Slug | None, first: int, after: int | None = None
) -> list[KeptRule]:
    """The rules of a room, or those for everywhere, the oldest first. Raises NotSignedIn, NotPermitted,
    ModerationUnavailable."""
    rules = await ports.moderation.list_rules(slug, signed_in(viewer))
    return [kept for kept in rules if after is None or kept.id > after][:first]


async def try_text(ports: Ports, viewer: Viewer | None, *, slug: Slug | None, text: str) -> TriedText:
    """What would become of a text in a room. Raises NotSignedIn, NotPermitted, InvalidInput, ModerationUnavailable."""
    return await ports.moderation.try_text(slug, text, signed_in(viewer))


async def list_rule_hits(
    ports: Ports, viewer: Viewer | None, rule_id: int, *, first: int, before_id: int | None = None
) -> list[RuleHit]:
    """The last messages that a rule hit, newest first. Raises NotSignedIn, NotPermitted, RuleNotFound,
    ModerationUnavailable."""
    return await ports.moderation.list_rule_hits(rule_id, signed_in(viewer), first=first, before_id=before_id)


def signed_in(viewer: Viewer | None) -> Viewer:
    """Who asks. Raises NotSignedIn."""
    if viewer is None:
        raise NotSignedIn
    return viewer


def moderator_of(viewer: Viewer | None) -> Viewer:
    """Who asks, where they may read sanctions. Raises NotSignedIn, NotPermitted."""
    if not may_read_sanctions(signed_in(viewer)):
        raise NotPermitted
    return signed_in(viewer)
