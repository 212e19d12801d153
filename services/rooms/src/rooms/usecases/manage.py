"""What owners, moderators and admins do with rooms, invitations, videos and sanctions."""

import secrets
from collections.abc import Iterator
from contextlib import suppress
from string import ascii_lowercase

from rooms.domain import naming
from rooms.domain.people import LARGEST_ID, Rank, RoomId, Slug, UserId, Viewer
from rooms.domain.rooms import Invitation, Room, RoomSettings, SettingsChange, Video, may_manage, may_register_videos
from rooms.domain.rules import KeptRule, Rule
from rooms.domain.sanctions import Sanction, may_read_sanctions
from rooms.errors import InvalidInput, NotPermitted, RoomNotFound, SlugReserved, SlugTaken
from rooms.ports import Ports
from rooms.usecases.queries import ranked_for_rule, ranked_in, signed_in, viewer_in

_NUMBERED = 9
"""Rooms of one name that are told apart by a number; the ones after them would have to ask for each of the numbers."""
_TRIES_WITH_LETTERS = 10


async def create_room(ports: Ports, viewer: Viewer | None, settings: RoomSettings, *, slug: str | None = None) -> Room:
    """Make a room; without slug one is made from the name. Raises NotSignedIn, NotPermitted, InvalidInput,
    SlugTaken."""
    owner = signed_in(viewer)
    if not ports.creation.may_create(owner.rank):
        raise NotPermitted
    naming.check_name(settings.name)
    naming.check_description(settings.description)
    wanted = naming.slug_from_name(settings.name) if slug is None else naming.check_new_slug(slug)
    if not ports.creation.may_take(wanted, owner.rank):
        raise SlugReserved
    if slug is not None:
        return await _create(ports, owner, settings, wanted, may_revive=True)
    for candidate in _candidates(wanted):
        if ports.creation.may_take(candidate, owner.rank):
            with suppress(SlugTaken):
                return await _create(ports, owner, settings, candidate, may_revive=False)
    raise SlugTaken


async def update_room(ports: Ports, viewer: Viewer | None, room_id: RoomId, change: SettingsChange) -> Room:
    """Change a room's settings; they hold for who comes next. Raises NotSignedIn, InvalidInput, RoomNotFound,
    NotPermitted."""
    room = await _manageable(ports, signed_in(viewer), room_id=room_id)
    after = change.apply(room.settings)
    naming.check_name(after.name)
    naming.check_description(after.description)
    return await ports.catalog.update_room(room, change, now=ports.clock())


async def delete_room(ports: Ports, viewer: Viewer | None, room_id: RoomId) -> bool:
    """End a room and forget its settings. Raises NotSignedIn, RoomNotFound, NotPermitted."""
    room = await _manageable(ports, signed_in(viewer), room_id=room_id)
    ended = await ports.catalog.delete_room(room)
    if ended is not None:
        ports.events.publish_room_deleted(ended)
    return True


async def invite(ports: Ports, viewer: Viewer | None, slug: Slug, user_id: UserId) -> Invitation:
    """Let a user into a private room. Raises NotSignedIn, InvalidInput, RoomNotFound, NotPermitted."""
    inviter = signed_in(viewer)
    room = await _manageable(ports, inviter, slug=slug)
    _check_id(user_id)
    return await ports.catalog.invite(room, Invitation(room.slug, user_id, inviter.user_id, ports.clock()))


async def revoke(ports: Ports, viewer: Viewer | None, slug: Slug, user_id: UserId) -> bool:
    """Take an invitation back; who is inside stays. Raises NotSignedIn, RoomNotFound, NotPermitted."""
    room = await _manageable(ports, signed_in(viewer), slug=slug)
    return await ports.catalog.revoke(room, user_id)


async def register_video(ports: Ports, viewer: Viewer | None, video_id: int, title: str) -> Video:
    """Put a video into the catalogue, or give it a new title. Raises NotSignedIn, NotPermitted, InvalidInput."""
    if not may_register_videos(signed_in(viewer)):
        raise NotPermitted
    _check_id(video_id)
    return await ports.catalog.register_video(Video(video_id, naming.check_name(title), ports.clock()))


async def lift_sanction(ports: Ports, viewer: Viewer | None, sanction_id: int) -> Sanction:
    """End a sanction, as who could have imposed it may. Raises NotSignedIn, NotPermitted, SanctionNotFound,
    ModerationUnavailable."""
    lifting = signed_in(viewer)
    if lifting.rank < Rank.ADMIN:
        lifting = await _in_room_of(ports, lifting, sanction_id)
    if not may_read_sanctions(lifting):
        raise NotPermitted
    return await ports.moderation.lift_sanction(sanction_id, lifting)


async def _in_room_of(ports: Ports, viewer: Viewer, sanction_id: int) -> Viewer:
    """The viewer with the rank that they have where a sanction holds; of one that there is not, with their own."""
    found = await ports.moderation.list_sanctions(slug=None, active=False, first=1, before_id=sanction_id + 1)
    slug = next((sanction.slug for sanction in found if sanction.id == sanction_id), None)
    return viewer if slug is None else await viewer_in(ports, viewer, slug)


async def make_rule(ports: Ports, viewer: Viewer | None, slug: Slug | None, rule: Rule) -> KeptRule:
    """Make a rule of a room, or for everywhere. Raises NotSignedIn, NotPermitted, InvalidInput,
    ModerationUnavailable."""
    return await ports.moderation.make_rule(slug, rule, await ranked_in(ports, viewer, slug))


async def replace_rule(ports: Ports, viewer: Viewer | None, rule_id: int, rule: Rule, *, slug: Slug | None) -> KeptRule:
    """Replace a rule as a whole; `slug`: see ranked_for_rule. Raises NotSignedIn, NotPermitted, RuleNotFound,
    InvalidInput, ModerationUnavailable."""
    _check_id(rule_id)
    return await ports.moderation.replace_rule(rule_id, rule, await ranked_for_rule(ports, viewer, rule_id, slug))


async def delete_rule(ports: Ports, viewer: Viewer | None, rule_id: int, *, slug: Slug | None) -> bool:
    """Delete a rule; `slug`: see ranked_for_rule. Raises NotSignedIn, NotPermitted, RuleNotFound, InvalidInput,
    ModerationUnavailable."""
    _check_id(rule_id)
    await ports.moderation.delete_rule(rule_id, await ranked_for_rule(ports, viewer, rule_id, slug))
    return True


async def _create(ports: Ports, owner: Viewer, settings: RoomSettings, slug: Slug, *, may_revive: bool) -> Room:
    quota, now = ports.creation.quota, ports.clock()
    return await ports.catalog.create_room(slug, settings, owner.user_id, may_revive=may_revive, quota=quota, now=now)


def _candidates(slug: Slug) -> Iterator[Slug]:
    """The slug that was made of a name, and what to try where it is taken. None of them belongs to a video."""
    yield slug
    for number in range(2, _NUMBERED + _TRIES_WITH_LETTERS + 1):
        found = naming.extended(slug, str(number) if number <= _NUMBERED else _letters())
        if not naming.is_video_slug(found):
            yield found


def _letters() -> str:
    return "".join(secrets.choice(ascii_lowercase) for _ in range(6))


def _check_id(number: int) -> None:
    if not 1 <= number <= LARGEST_ID:
        raise InvalidInput("Ids are integers from 1 to 2^53-1")


async def _manageable(ports: Ports, viewer: Viewer, *, room_id: RoomId | None = None, slug: Slug | None = None) -> Room:
    room = await ports.catalog.find_room(room_id=room_id, slug=slug)
    if room is None:
        raise RoomNotFound
    if not may_manage(viewer, room):
        may_know = room.settings.is_public or await ports.catalog.is_invited(room.slug, viewer.user_id)
        raise NotPermitted if may_know else RoomNotFound
    return room
