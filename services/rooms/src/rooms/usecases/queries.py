"""Rooms, participants and sanctions as people read them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rooms.domain import naming
from rooms.domain.holds import HeldMessage
from rooms.domain.people import LARGEST_ID, Life, Rank, RoomId, Slug, UserId, Viewer
from rooms.domain.presence import RoomSnapshot
from rooms.domain.roles import rank_in_room
from rooms.domain.rooms import Participant, Room, may_manage
from rooms.domain.rules import KeptRule, RuleHit, TriedText
from rooms.domain.sanctions import Sanction, may_read_sanctions, target_of, with_state
from rooms.errors import InvalidInput, NotPermitted, NotSignedIn, RuleNotFound
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
    return {
        room: [with_state(_ranked(ports, person, room), room.slug, sanctions) for person in found]
        for room, found in people.items()
    }


def _ranked(ports: Ports, person: Participant, room: Room) -> Participant:
    """The owner with their rank in the room, which is not stored with connections, and theirs while they are away."""
    if person.user_id is None or person.user_id != room.owner:
        return person
    owner_rank = ports.policy.owner_rank
    return replace(person, rank=owner_rank if person.rank is None else max(person.rank, owner_rank))


async def list_announced(ports: Ports, lives: Sequence[Life]) -> Mapping[Life, RoomSnapshot]:
    """The announced participants of lives as they are now. Raises DatabaseUnavailable."""
    return await ports.memberships.snapshots(lives)


async def connected_rank(ports: Ports, user_id: UserId | None, username: str, slug: Slug | None) -> Rank | None:
    """The highest rank that a user, or the anonymous ones with a name, are connected with; slug None: anywhere, where
    it does not count whose rooms are. Raises DatabaseUnavailable."""
    rank = await ports.memberships.connected_rank(user_id, username, slug)
    if rank is None or not await is_owner(ports, user_id, slug):
        return rank
    return max(rank, ports.policy.owner_rank)


async def is_owner(ports: Ports, user_id: UserId | None, slug: Slug | None) -> bool:
    """Whether the room of a slug, living or kept, is that user's. Raises DatabaseUnavailable."""
    if user_id is None or slug is None:
        return False
    room = await ports.catalog.find_room(slug=slug)
    return room is not None and room.owner == user_id


async def count_connections(ports: Ports) -> Mapping[RoomId, int]:
    """Open connections by public room id. Raises DatabaseUnavailable."""
    return await ports.memberships.stats()


async def list_sanctions(
    ports: Ports, viewer: Viewer | None, *, slug: Slug | None, active: bool, first: int, before_id: int | None = None
) -> list[Sanction]:
    """Newest first, for moderators: those of a room by its slug. Raises NotSignedIn, NotPermitted,
    ModerationUnavailable."""
    if not may_read_sanctions(await ranked_in(ports, viewer, slug)):
        raise NotPermitted
    return await ports.moderation.list_sanctions(slug=slug, active=active, first=first, before_id=before_id)


async def list_rules(
    ports: Ports, viewer: Viewer | None, *, slug: Slug | None, first: int, after: int | None = None
) -> list[KeptRule]:
    """The rules of a room, or those for everywhere, the oldest first. Raises NotSignedIn, NotPermitted,
    ModerationUnavailable."""
    rules = await ports.moderation.list_rules(slug, await ranked_in(ports, viewer, slug))
    return [kept for kept in rules if after is None or kept.id > after][:first]


async def try_text(ports: Ports, viewer: Viewer | None, *, slug: Slug | None, text: str) -> TriedText:
    """What would become of a text in a room. Raises NotSignedIn, NotPermitted, InvalidInput, ModerationUnavailable."""
    return await ports.moderation.try_text(slug, text, await ranked_in(ports, viewer, slug))


async def list_held(
    ports: Ports, viewer: Viewer | None, slug: Slug, *, first: int, before_id: int | None = None
) -> list[HeldMessage]:
    """The messages of a slug that wait for a moderator, newest first, by the rank there. Raises NotSignedIn,
    NotPermitted, DatabaseUnavailable, ModerationUnavailable."""
    reader = await ranked_in(ports, viewer, slug)
    if not may_read_sanctions(reader):
        raise NotPermitted
    return await ports.moderation.list_held(slug, reader, first=first, before_id=before_id)


async def list_rule_hits(
    ports: Ports, viewer: Viewer | None, rule_id: int, *, slug: Slug | None, first: int, before_id: int | None = None
) -> list[RuleHit]:
    """The last messages that a rule hit, newest first; `slug`: see ranked_for_rule. Raises NotSignedIn, NotPermitted,
    RuleNotFound, ModerationUnavailable."""
    reader = await ranked_for_rule(ports, viewer, rule_id, slug)
    return await ports.moderation.list_rule_hits(rule_id, reader, first=first, before_id=before_id)


def signed_in(viewer: Viewer | None) -> Viewer:
    """Who asks. Raises NotSignedIn."""
    if viewer is None:
        raise NotSignedIn
    return viewer


async def ranked_in(ports: Ports, viewer: Viewer | None, slug: Slug | None) -> Viewer:
    """Who asks, with the rank that they have in the rooms of a slug; None: with their own. Raises NotSignedIn,
    DatabaseUnavailable, ModerationUnavailable."""
    asking = signed_in(viewer)
    return asking if slug is None else await viewer_in(ports, asking, slug)


async def ranked_for_rule(ports: Ports, viewer: Viewer | None, rule_id: int, slug: Slug | None) -> Viewer:
    """The same of who means one rule, which is one of that slug: a rank in a room is worth nothing for the rules of
    another. Raises NotSignedIn, NotPermitted, RuleNotFound, DatabaseUnavailable, ModerationUnavailable."""
    asking = await ranked_in(ports, viewer, slug)
    if slug is not None and all(kept.id != rule_id for kept in await ports.moderation.list_rules(slug, asking)):
        raise RuleNotFound
    return asking


async def viewer_in(ports: Ports, viewer: Viewer, slug: Slug) -> Viewer:
    """The viewer with the rank that they have in the rooms of a slug. Raises DatabaseUnavailable,
    ModerationUnavailable."""
    if viewer.rank >= Rank.ADMIN:
        return viewer
    return await in_room(ports, viewer, slug, await ports.catalog.find_room(slug=slug))


async def in_room(ports: Ports, viewer: Viewer, slug: Slug, room: Room | None) -> Viewer:
    """The same, of the room that was found there. Raises ModerationUnavailable."""
    owner = None if room is None else room.owner
    rank = rank_in_room(viewer, owner, None, owner_rank=ports.policy.owner_rank)
    if rank < Rank.MODERATOR:  # whoever ranks higher already can win nothing by a role
        page = await ports.moderation.list_roles(slug, first=1, user_id=viewer.user_id)
        roles = [holder.role for holder in page.under(owner)]
        rank = rank_in_room(viewer, owner, roles[0] if roles else None, owner_rank=ports.policy.owner_rank)
    since_ms = 0 if room is None or rank is viewer.rank else room.owned_since_ms
    return replace(viewer, rank=rank, owned_since_ms=since_ms)
