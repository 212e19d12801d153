"""Warnings as an edge knows them: it tells them to their targets, and goes by them while moderation is away."""

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from msgspec import Struct

from ws_edge.protocol.identity import Rank, Slug, Speaker, UserId

_CLOSED_LIMIT = 1000
_Key = tuple[Slug, int | str | None]
_K = TypeVar("_K", bound=Hashable)


class RoomWarning(Struct, frozen=True, gc=False):
    """One warning of somebody in the rooms of a slug."""

    id: int
    slug: Slug
    target_user_id: UserId | None
    target_username: str | None
    """Of an anonymous target."""
    reason: str
    moderator_rank: Rank
    created_at_ms: int
    """Unix milliseconds."""
    is_open: bool = True
    """It waits to be acknowledged."""
    is_delivered: bool = False
    """Its target was sent it, as far as moderation knows."""

    def binds(self, speaker: Speaker, slug: Slug) -> bool:
        """Whether that speaker has to acknowledge it there, a user by id, an anonymous one by the name that others see;
        never an equal or higher rank."""
        return _key_of_warning(self) == _key_of_speaker(speaker, slug) and speaker.identity.rank < self.moderator_rank


@dataclass(slots=True)
class _Known:
    warning: RoomWarning
    heard_at_s: float
    is_delivered: bool
    is_lapsed: bool = False


class WarningCache:
    """The open warnings of the rooms that a worker holds. Monotonic seconds."""

    __slots__ = ("_by_slug", "_by_target", "_closed", "_known")

    def __init__(self) -> None:
        self._known: dict[int, _Known] = {}
        self._by_slug: dict[Slug, dict[int, None]] = {}
        self._by_target: dict[_Key, dict[int, None]] = {}
        # What was closed never comes back: an answer may be older than an event, and events may overtake each other.
        self._closed: OrderedDict[int, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def __iter__(self) -> Iterator[RoomWarning]:
        return iter([known.warning for known in self._known.values()])

    def get(self, warning_id: int) -> RoomWarning | None:
        """One that is open, as far as is known here."""
        known = self._known.get(warning_id)
        return None if known is None else known.warning

    def of_slug(self, slug: Slug) -> list[RoomWarning]:
        """The open ones of a room."""
        return [self._known[each].warning for each in self._by_slug.get(slug, ())]

    def pending(self, speaker: Speaker, slug: Slug) -> list[RoomWarning]:
        """Those that the speaker has to acknowledge there, the oldest first."""
        if not self._known:
            return []
        found = (self._known[each].warning for each in sorted(self._by_target.get(_key_of_speaker(speaker, slug), ())))
        return [warning for warning in found if warning.binds(speaker, slug)]

    def refuses(self, speaker: Speaker, slug: Slug) -> bool:
        """Whether the speaker may not write there, as far as can be said here."""
        return any(not self._known[warning.id].is_lapsed for warning in self.pending(speaker, slug))

    def apply(self, warning: RoomWarning, *, now_s: float) -> None:
        """It was changed."""
        if not warning.is_open:
            self._drop(warning.id)
            self._closed[warning.id] = None
            if len(self._closed) > _CLOSED_LIMIT:
                self._closed.popitem(last=False)
        elif warning.id in self._known:
            self._known[warning.id].heard_at_s = now_s
            self._known[warning.id].is_delivered |= warning.is_delivered
        elif warning.id not in self._closed:
            self._known[warning.id] = _Known(warning, now_s, warning.is_delivered)
            self._by_slug.setdefault(warning.slug, {})[warning.id] = None
            self._by_target.setdefault(_key_of_warning(warning), {})[warning.id] = None

    def replace(
        self, slugs: Iterable[Slug], warnings: Sequence[RoomWarning], *, asked_at_s: float
    ) -> list[RoomWarning]:
        """Take over what moderation says of these slugs; what was heard since it was asked, it may not have known. It
        gives those that are open no longer, as they were."""
        told, closed = {warning.id for warning in warnings}, list[RoomWarning]()
        for slug in slugs:
            for warning_id in list(self._by_slug.get(slug, ())):
                if warning_id not in told and self._known[warning_id].heard_at_s < asked_at_s:
                    closed.append(self._known[warning_id].warning)
                    self._drop(warning_id)
        for warning in warnings:
            self.apply(warning, now_s=asked_at_s)
        return closed

    def note_delivered(self, warning_id: int) -> bool:
        """A connection was sent it; whether that is news."""
        known = self._known.get(warning_id)
        if known is None or known.is_delivered:
            return False
        known.is_delivered = True
        return True

    def note_lapsed(self, warning_id: int) -> bool:
        """It counts as acknowledged here, also before moderation knows; whether that is news."""
        known = self._known.get(warning_id)
        if known is None or known.is_lapsed:
            return False
        known.is_lapsed = True
        return True

    def forget(self, slug: Slug) -> None:
        """The last room of this slug was left."""
        for warning_id in list(self._by_slug.get(slug, ())):
            self._drop(warning_id)

    def _drop(self, warning_id: int) -> None:
        known = self._known.pop(warning_id, None)
        if known is None:
            return
        _take(self._by_slug, known.warning.slug, warning_id)
        _take(self._by_target, _key_of_warning(known.warning), warning_id)


def _take(index: dict[_K, dict[int, None]], key: _K, warning_id: int) -> None:
    ids = index[key]
    del ids[warning_id]
    if not ids:
        del index[key]


def _key_of_warning(warning: RoomWarning) -> _Key:
    return warning.slug, warning.target_username if warning.target_user_id is None else warning.target_user_id


def _key_of_speaker(speaker: Speaker, slug: Slug) -> _Key:
    identity = speaker.identity
    return slug, identity.username if identity.user_id is None else identity.user_id
