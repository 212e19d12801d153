"""The operator's choices about rooms."""

import re
from dataclasses import dataclass
from enum import Enum

from rooms.domain.identity import Rank, Slug
from rooms.domain.naming import is_id, is_video_slug

DAY_MS = 24 * 60 * 60 * 1000


class AutoCreate(Enum):
    """For which references that nothing answers to a room is made."""

    ANY = "any"
    SLUGS = "slugs"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class CreationPolicy:
    """Who may make a room by createChatRoom, and under which slugs."""

    admins_only: bool = False
    reserved: tuple[str, ...] = ()
    """For admins: slugs, whatever their capital letters, with * for any characters."""
    quota: int = 20
    """Rooms' settings that are kept for one user."""

    def may_create(self, rank: Rank) -> bool:
        """Whoever is signed in, or admins alone."""
        return rank >= (Rank.ADMIN if self.admins_only else Rank.USER)

    def may_take(self, slug: Slug, rank: Rank) -> bool:
        """Reserved slugs are for admins."""
        return rank >= Rank.ADMIN or not any(_matches(pattern, slug) for pattern in self.reserved)


def _matches(pattern: str, slug: Slug) -> bool:
    parts = (re.escape(part) for part in re.split(r"\*+", pattern.casefold()))
    return re.fullmatch(".*".join(parts), slug.casefold()) is not None


@dataclass(frozen=True, slots=True)
class RoomPolicy:
    """How rooms come, stay and go."""

    auto_create: AutoCreate = AutoCreate.ANY
    empty_grace_ms: int = 0
    """How long an empty room is kept; 0: it ends with the leave that empties it."""
    presence_limit: int = 500
    lease_ms: int = 10_000
    unused_ms: int = DAY_MS
    """How long a room made through GraphQL waits for its first visitor."""
    kept_ms: int = 90 * DAY_MS
    """How long settings are kept that nobody uses."""

    def may_create(self, slug: Slug, *, has_kept_settings: bool) -> bool:
        """Videos and slugs with kept settings are never restricted."""
        if has_kept_settings or is_video_slug(slug) or self.auto_create is AutoCreate.ANY:
            return True
        return self.auto_create is AutoCreate.SLUGS and not is_id(slug)
