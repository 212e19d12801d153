"""Bans and mutes: the command that asks for one, whom it binds, and the event of a change."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from itertools import chain, islice

from moderation.domain.people import Moderator, Rank, Speaker, Target

MOST_ADDRESSES = 256
"""Of one sanction. Nobody comes from so many by chance, but a line with an IPv6 /48 has 65,536 networks of the size
that counts, and every one of them would be stored, published to all replicas and kept in their memory."""

_MS_PER_MINUTE = 60_000


class Action(IntEnum):
    """The words of the moderation_action frame."""

    BAN = 1
    MUTE = 2
    UNBAN = 3
    UNMUTE = 4

    @property
    def imposes(self) -> bool:
        """Whether a sanction begins, rather than ends."""
        return self in (Action.BAN, Action.MUTE)

    @property
    def kind(self) -> "Action":
        """The sanction that is meant: BAN or MUTE."""
        return Action.BAN if self in (Action.BAN, Action.UNBAN) else Action.MUTE

    @property
    def opposite(self) -> "Action":
        """The word that ends what this one begins, and the other way round."""
        return _OPPOSITES[self]


_OPPOSITES = {
    Action.BAN: Action.UNBAN,
    Action.MUTE: Action.UNMUTE,
    Action.UNBAN: Action.BAN,
    Action.UNMUTE: Action.MUTE,
}


class Scope(IntEnum):
    """Where a sanction holds."""

    ROOM = 1
    EVERYWHERE = 2


@dataclass(frozen=True, slots=True)
class Command:
    """An action as a moderator asks for it: what, to whom, where."""

    moderator: Moderator
    action: Action
    target: Target
    target_rank: Rank | None
    """The highest rank the target is connected with; None: not connected."""
    scope: Scope
    slug: str
    """The room in which the moderator acts, also for scope everywhere; may be empty when lifted by id."""
    duration_minutes: int
    """0: permanent."""
    reason: str

    @classmethod
    def lifting(cls, sanction: "Sanction", moderator: Moderator) -> "Command":
        """The command that ends a given sanction."""
        action, slug = sanction.kind.opposite, sanction.slug or ""
        return cls(moderator, action, sanction.target, None, sanction.scope, slug, duration_minutes=0, reason="")

    @property
    def holds_in(self) -> str | None:
        """The slug that the sanction is about; None: everywhere."""
        return None if self.scope is Scope.EVERYWHERE else self.slug

    def expires_at_ms(self, now_ms: int) -> int | None:
        """When the sanction ends that is imposed now, in Unix milliseconds; None: never."""
        return now_ms + self.duration_minutes * _MS_PER_MINUTE if self.duration_minutes else None


@dataclass(frozen=True, slots=True)
class Sanction:
    """One ban or mute, in force or not. Times are Unix milliseconds."""

    id: int
    kind: Action
    target: Target
    addresses: frozenset[str]
    """Anonymous connections from these are bound as well."""
    slug: str | None
    """None: everywhere."""
    reason: str
    moderator_user_id: int
    moderator_rank: Rank
    created_at_ms: int
    expires_at_ms: int | None
    """None: permanent."""
    lifted_at_ms: int | None = None
    """None: not lifted."""

    @property
    def scope(self) -> Scope:
        """Where it holds, as the contract names it."""
        return Scope.EVERYWHERE if self.slug is None else Scope.ROOM

    def is_in_force(self, now_ms: int) -> bool:
        """Neither lifted nor over."""
        return self.lifted_at_ms is None and (self.expires_at_ms is None or self.expires_at_ms > now_ms)

    def may_follow_to(self, address: str) -> bool:
        """Whether it holds for one more address from now on. The first ones stay: let the newest push them out, and
        who wants to be rid of the address they live at only has to walk through the others."""
        return address not in self.addresses and len(self.addresses) < MOST_ADDRESSES

    def reaches(self, slug: str) -> bool:
        """Whether it holds in that room."""
        return self.slug is None or self.slug == slug

    def binds(self, speaker: Speaker, slug: str, *, now_ms: int) -> bool:
        """Whether it holds for that speaker, there and then; never for an equal or higher rank."""
        if speaker.rank >= self.moderator_rank or not self.reaches(slug) or not self.is_in_force(now_ms):
            return False
        if speaker.user_id:
            return speaker.user_id == self.target.user_id
        return speaker.address in self.addresses or (
            not self.target.user_id and speaker.username == self.target.username
        )


def first_addresses(*sources: Iterable[str]) -> frozenset[str]:
    """What a new sanction holds for: the first different ones, so the sources come in the order of their weight."""
    return frozenset(islice(dict.fromkeys(chain.from_iterable(sources)), MOST_ADDRESSES))


@dataclass(frozen=True, slots=True)
class SanctionEvent:
    """What was done, and what is in force since."""

    event_id: int
    """The audit row: unique, rising."""
    action: Action
    target: Target
    moderator_user_id: int
    duration_minutes: int
    scope: Scope
    slug: str
    at_ms: int
    imposed: tuple[Sanction, ...] = ()
    lifted_ids: tuple[int, ...] = ()
    silent: bool = False
    """The room is sent nothing about it."""
    edge: str = ""
    """With `token`: from which connection the command came; empty: none, or it is not known any more."""
    token: int = 0
