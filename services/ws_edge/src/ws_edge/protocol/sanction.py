"""Bans and mutes as an edge knows them: it applies them and never makes any."""

from dataclasses import dataclass, field
from enum import IntEnum

from ws_edge.protocol.identity import Rank, Slug, Speaker, UserId


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
        return speaker.address in self.addresses or (
            self.target_user_id is None and identity.username == self.target_username
        )


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
    imposed: tuple[Sanction, ...] = ()
    lifted_ids: tuple[int, ...] = ()
    silent: bool = False


@dataclass(slots=True)
class SanctionBook:
    """The sanctions in force for the rooms this worker holds, and those that hold everywhere."""

    by_id: dict[int, Sanction] = field(default_factory=dict)
    read_at_s: dict[Slug, float] = field(default_factory=dict)
    """When the sanctions of each held slug were last read, by the edge's monotonic clock."""

    def replace(self, slugs: list[Slug], sanctions: list[Sanction], *, read_at_s: float) -> None:
        """Take over what moderation says of these slugs and of everywhere."""
        fresh = set(slugs)
        self.by_id = {i: s for i, s in self.by_id.items() if s.slug is not None and s.slug not in fresh}
        self.by_id.update((s.id, s) for s in sanctions)
        self.read_at_s.update(dict.fromkeys(slugs, read_at_s))

    def apply(self, event: SanctionEvent) -> None:
        """Follow one event; sanctions of rooms that nobody here is in are not kept."""
        for lifted in event.lifted_ids:
            self.by_id.pop(lifted, None)
        for sanction in event.imposed:
            if sanction.slug is None or sanction.slug in self.read_at_s:
                self.by_id[sanction.id] = sanction

    def forget(self, slug: Slug) -> None:
        """The last room of this slug was left."""
        self.read_at_s.pop(slug, None)
        self.by_id = {i: s for i, s in self.by_id.items() if s.slug != slug}

    def find(self, action: Action, speaker: Speaker, slug: Slug, *, now_s: float) -> Sanction | None:
        """A sanction of this kind that binds the speaker here and now."""
        for sanction in self.by_id.values():
            if sanction.action is action and sanction.holds(speaker, slug, now_s=now_s):
                return sanction
        return None
