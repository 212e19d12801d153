"""Emotes as people keep them, and as edges read them."""

from collections.abc import Sequence

from rooms.domain.emotes import (
    EVERYWHERE,
    ChangedEmotes,
    Emote,
    check_emote_alt,
    check_emote_name,
    check_emote_url,
    may_keep_emotes,
)
from rooms.domain.people import Rank, Slug, UserId, Viewer
from rooms.errors import NotPermitted
from rooms.ports import Ports
from rooms.usecases.queries import may_see, signed_in


async def list_emotes(ports: Ports, viewer: Viewer | None, slug: Slug) -> list[Emote]:
    """What `:name:` shows in a room, by name: its own emotes, and those of everywhere whose names it does not have. Of
    a room that the viewer may not see, those of everywhere alone."""
    slugs = [EVERYWHERE]
    if slug != EVERYWHERE:
        room = await ports.catalog.find_room(slug=slug)
        if room is None or await may_see(ports, viewer, room):
            slugs.append(slug)
    found = {emote.name: emote for catalog in await ports.emotes.of_slugs(slugs) for emote in catalog}
    return sorted(found.values(), key=lambda emote: emote.name)


async def save_emote(ports: Ports, viewer: Viewer | None, slug: Slug, name: str, url: str, alt: str | None) -> Emote:
    """Keep an emote, in place of one of that name. Raises NotSignedIn, NotPermitted, InvalidInput, TooManyEmotes."""
    keeper = await _keeper(ports, viewer, slug)
    name = check_emote_name(name)
    emote = Emote(slug, name, check_emote_url(url), check_emote_alt(name if alt is None else alt))
    await ports.emotes.save(emote, owner=_owner(keeper), by=keeper.user_id, now=ports.clock())
    ports.events.publish_emotes_changed(slug)
    return emote


async def delete_emote(ports: Ports, viewer: Viewer | None, slug: Slug, name: str) -> bool:
    """Whether there was one. Raises NotSignedIn, NotPermitted, InvalidInput."""
    keeper = await _keeper(ports, viewer, slug)
    was_there = await ports.emotes.delete(slug, check_emote_name(name), owner=_owner(keeper))
    if was_there:
        ports.events.publish_emotes_changed(slug)
    return was_there


async def read_emotes(ports: Ports, slugs: Sequence[Slug], *, most: int) -> list[list[Emote] | None]:
    """See Emotes.for_edges. Raises DatabaseUnavailable."""
    return await ports.emotes.for_edges(slugs, most=most)


async def find_changed(ports: Ports, after: int | None) -> ChangedEmotes:
    """What has changed since that version; None: which version there is. Raises DatabaseUnavailable."""
    return await ports.emotes.changed(after)


async def _keeper(ports: Ports, viewer: Viewer | None, slug: Slug) -> Viewer:
    """Raises NotSignedIn, NotPermitted."""
    keeper = signed_in(viewer)
    room = None if slug == EVERYWHERE else await ports.catalog.find_room(slug=slug)
    if not may_keep_emotes(keeper, slug, room):
        raise NotPermitted
    return keeper


def _owner(keeper: Viewer) -> UserId | None:
    """As whom they may do it; None: whoever the room is of."""
    return None if keeper.rank >= Rank.ADMIN else keeper.user_id
