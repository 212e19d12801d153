"""Bans and mutes as an edge knows them: it applies them and never makes any."""

import math
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cache
from typing import NamedTuple

from ws_edge.protocol.identity import Rank, Slug, Speaker, UserId

_OF_MODERATORS = ("delete", "mute", "warn", "purge", "pin", "shield", "reports")
_OF_OWNERS = ("ban", "policy", "clear", "rules", "roles", "undo")
_OF_ADMINS = ("everywhere",)
RIGHTS = ("write", *_OF_MODERATORS, *_OF_OWNERS, *_OF_ADMINS)
"""What somebody may do in a room, as clients are told."""
_LIFTED_LIMIT = 1000
_Key = tuple[str, int | str | None]


class Action(IntEnum):
    """The words of the moderation_action frame."""

    BAN = 1
    MUTE = 2
    UNBAN = 3
    UNMUTE = 4

    @property
    def word(self) -> str:
        """As it stands in frames."""
        return self.name.lower()


class Scope(IntEnum):
    """Where a sanction holds."""

    ROOM = 1
    EVERYWHERE = 2


@dataclass(frozen=True, slots=True)
class Sanction:
    """One ban or mute in force."""

    id: int
    action: Action
    target_user_id: UserId | None
    target_username: str | None
    """Of an anonymous target."""
    addresses: frozenset[str]
    """Anonymous connections from these are held as well."""
    slug: Slug | None
    """None: everywhere."""
    moderator_rank: Rank
    expires_at_s: float | None
    """Unix seconds; None: permanent."""

    def holds(self, speaker: Speaker, slug: Slug, *, now_s: float) -> bool:
        """Whether this sanction binds that speaker, in that room, at that time."""
        if self.slug is not None and self.slug != slug:
            return False
        if self.expires_at_s is not None and self.expires_at_s <= now_s:
            return False
        identity = speaker.identity
        if identity.rank >= self.moderator_rank:
            return False
        if identity.user_id is not None:
            return identity.user_id == self.target_user_id
        return any(self._means(face) for face in speaker.faces)

    def _means(self, anonymous: Speaker) -> bool:
        return anonymous.address in self.addresses or (
            self.target_user_id is None and anonymous.identity.username == self.target_username
        )


class BanNotice(NamedTuple):
    """What a banned user reads at the door besides."""

    sanction_id: int
    reason: str
    expires_at_ms: int | None
    """Unix milliseconds; None: permanent."""
    can_appeal: bool
    """They may ask now to have it lifted."""


@cache
def rights(rank: Rank, *, is_muted: bool) -> tuple[str, ...]:
    """What somebody may do in a room, as clients are told; moderation decides."""
    found: tuple[str, ...] = () if is_muted else ("write",)
    if rank >= Rank.MODERATOR:
        found += _OF_MODERATORS
    if rank >= Rank.OWNER:
        found += _OF_OWNERS
    if rank >= Rank.ADMIN:
        found += _OF_ADMINS
    return found


@dataclass(frozen=True, slots=True)
class SanctionEvent:
    """What a moderator did, and what is in force since."""

    event_id: int
    action: Action
    target_user_id: UserId | None
    target_username: str | None
    moderator_user_id: UserId
    duration_minutes: int
    scope: Scope
    slug: Slug | None
    at_ms: int
    """Unix milliseconds."""
    imposed: tuple[Sanction, ...] = ()
    lifted_ids: tuple[int, ...] = ()
    silent: bool = False
    """Nothing is sent to the room: an address was added to a sanction."""
    edge: str = ""
    """With `token`: whose command it was; empty where nobody's, or it is not known any more."""
    token: int = 0


@dataclass(slots=True)
class SanctionCache:
    """The sanctions in force for the rooms this worker holds, and those that hold everywhere."""

    by_id: dict[int, Sanction] = field(default_factory=dict)
    """To be read; changed by the methods below alone."""
    read_at_s: dict[Slug, float] = field(default_factory=dict)
    """When the sanctions of each held slug were last read, by the edge's monotonic clock."""
    everywhere_read_at_s: float | None = None
    """The same of those that hold everywhere; None: never."""
    # Every member of a crowded room is looked up when a sanction changes: by who they are, not through all sanctions.
    _by_key: dict[_Key, dict[int, Sanction]] = field(default_factory=dict, repr=False)
    # The answer to a moderator's action comes another way than the events of others, and may overtake one of them.
    _lifted: dict[int, None] = field(default_factory=dict, repr=False)

    def replace(self, slugs: list[Slug], sanctions: list[Sanction], *, read_at_s: float) -> None:
        """Take over what moderation says of these slugs."""
        for slug in slugs:
            self._drop_slug(slug)
        for sanction in sanctions:
            self._add(sanction)
        self.read_at_s.update(dict.fromkeys(slugs, read_at_s))

    def replace_everywhere(self, sanctions: list[Sanction], *, read_at_s: float) -> None:
        """Take over what moderation says of everywhere."""
        self._drop_slug(None)
        for sanction in sanctions:
            self._add(sanction)
        self.everywhere_read_at_s = read_at_s

    def apply(self, event: SanctionEvent) -> None:
        """Follow one event; sanctions of rooms that nobody here is in are not kept."""
        for lifted in event.lifted_ids:
            self._drop(lifted)
            self._lifted[lifted] = None
            if len(self._lifted) > _LIFTED_LIMIT:
                del self._lifted[next(iter(self._lifted))]
        for sanction in event.imposed:
            if sanction.id not in self._lifted and (sanction.slug is None or sanction.slug in self.read_at_s):
                self._add(sanction)

    def forget(self, slug: Slug) -> None:
        """The last room of this slug was left."""
        self.read_at_s.pop(slug, None)
        self._drop_slug(slug)

    def find(self, action: Action, speaker: Speaker, slug: Slug, *, now_s: float) -> Sanction | None:
        """A sanction of this kind that binds the speaker here and now."""
        if not self._by_key:
            return None
        for key in _keys_of_speaker(speaker):
            for sanction in self._by_key.get(key, {}).values():
                if sanction.action is action and sanction.holds(speaker, slug, now_s=now_s):
                    return sanction
        return None

    def longest(self, action: Action, speaker: Speaker, slug: Slug, *, now_s: float) -> Sanction | None:
        """Of the sanctions of this kind that bind the speaker here and now the one that ends last."""
        if not self._by_key:
            return None
        binding = [
            sanction
            for key in _keys_of_speaker(speaker)
            for sanction in self._by_key.get(key, {}).values()
            if sanction.action is action and sanction.holds(speaker, slug, now_s=now_s)
        ]
        return max(binding, key=lambda each: math.inf if each.expires_at_s is None else each.expires_at_s, default=None)

    def is_banned(self, speaker: Speaker, slug: Slug, *, now_s: float) -> bool:
        """Whether the speaker may not be in the room. `now_s` in Unix seconds, as everywhere here."""
        return self.find(Action.BAN, speaker, slug, now_s=now_s) is not None

    def is_silenced(self, speaker: Speaker, slug: Slug, *, now_s: float) -> bool:
        """Whether the speaker may not write in the room."""
        return any(self.find(action, speaker, slug, now_s=now_s) for action in (Action.MUTE, Action.BAN))

    def _add(self, sanction: Sanction) -> None:
        self._drop(sanction.id)  # it may have been known with fewer addresses
        self.by_id[sanction.id] = sanction
        for key in _keys_of_sanction(sanction):
            self._by_key.setdefault(key, {})[sanction.id] = sanction

    def _drop(self, sanction_id: int) -> None:
        sanction = self.by_id.pop(sanction_id, None)
        if sanction is None:
            return
        for key in _keys_of_sanction(sanction):
            del self._by_key[key][sanction_id]
            if not self._by_key[key]:
                del self._by_key[key]

    def _drop_slug(self, slug: Slug | None) -> None:
        for sanction_id in list(self._by_key.get(("slug", slug), ())):
            self._drop(sanction_id)


def _keys_of_sanction(sanction: Sanction) -> list[_Key]:
    keys: list[_Key] = [("slug", sanction.slug), *(("address", address) for address in sanction.addresses)]
    if sanction.target_user_id is not None:
        keys.append(("user", sanction.target_user_id))
    elif sanction.target_username is not None:
        keys.append(("name", sanction.target_username))
    return keys


def _keys_of_speaker(speaker: Speaker) -> tuple[_Key, ...]:
    identity = speaker.identity
    if identity.user_id is not None:
        return (("user", identity.user_id),)
    return tuple(key for face in speaker.faces for key in (("address", face.address), ("name", face.identity.username)))
