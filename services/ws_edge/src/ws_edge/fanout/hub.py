"""Which connections this worker has, by what a sanction or an announcement may name."""

from collections.abc import Hashable, Iterable, Iterator
from typing import Protocol, TypeVar

from ws_edge.fanout.audience import Member
from ws_edge.fanout.room import Room
from ws_edge.ports import Membership
from ws_edge.protocol.close import CloseCode
from ws_edge.protocol.errors import ErrorCode
from ws_edge.protocol.identity import ConnectionId, Life, Rank, Slug, Speaker, UserId
from ws_edge.protocol.sanction import SanctionEvent


class Occupant(Member, Protocol):
    """A chat connection, from its arrival to its end."""

    @property
    def id(self) -> ConnectionId:
        """Its number in this worker."""

    @property
    def speaker(self) -> Speaker:
        """Who holds it."""

    @property
    def slug(self) -> Slug | None:
        """Where it is or wants to be; None: not resolved yet."""

    @property
    def membership(self) -> Membership | None:
        """What the rooms service gave it; None: not yet."""

    @property
    def room(self) -> Room | None:
        """Where it is; None: still joining."""

    def stop_typing(self) -> None:
        """End the typing that others are shown, if there is any."""

    def end(self, code: CloseCode, error: ErrorCode | None = None) -> None:
        """Leave hub and room, tell the error if there is one, and close."""


_K = TypeVar("_K", bound=Hashable)


class Hub:
    """Indexes over the open connections. Whatever closes a connection takes it out of here first."""

    __slots__ = ("_by_address", "_by_id", "_by_life", "_by_name", "_by_user", "member_count")

    def __init__(self) -> None:
        self._by_id: dict[ConnectionId, Occupant] = {}
        self._by_user: dict[UserId, dict[Occupant, None]] = {}
        self._by_address: dict[str, dict[Occupant, None]] = {}
        """Those without a token, as in the next one: a token may carry any name."""
        self._by_name: dict[str, dict[Occupant, None]] = {}
        self._by_life: dict[Life, dict[Occupant, None]] = {}
        self.member_count = 0
        """How many have a membership."""

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Occupant]:
        return iter(list(self._by_id.values()))

    def add(self, occupant: Occupant) -> None:
        """Before anything else happens to a connection, so that a sanction meets it."""
        self._by_id[occupant.id] = occupant
        identity = occupant.speaker.identity
        if identity.user_id is not None:
            _put(self._by_user, identity.user_id, occupant)
        else:
            _put(self._by_address, occupant.speaker.address, occupant)
            _put(self._by_name, identity.username, occupant)

    def note_membership(self, occupant: Occupant) -> None:
        """A connection that is here was given its membership, which it keeps to its end."""
        assert occupant.membership is not None
        _put(self._by_life, occupant.membership.life, occupant)
        self.member_count += 1

    def discard(self, occupant: Occupant) -> None:
        """The connection is over, or about to be."""
        if self._by_id.pop(occupant.id, None) is None:
            return
        identity = occupant.speaker.identity
        if identity.user_id is not None:
            _take(self._by_user, identity.user_id, occupant)
        else:
            _take(self._by_address, occupant.speaker.address, occupant)
            _take(self._by_name, identity.username, occupant)
        if occupant.membership is not None:
            _take(self._by_life, occupant.membership.life, occupant)
            self.member_count -= 1

    def get(self, connection: ConnectionId) -> Occupant | None:
        """One connection by its number, if it is still here."""
        return self._by_id.get(connection)

    def of_life(self, life: Life) -> list[Occupant]:
        """The connections with a membership of that life."""
        return list(self._by_life.get(life, ()))

    def of_participant(self, key: str) -> list[Occupant]:
        """The connections of "u:<id>", or the one of "c:<edge>:<connection>"."""
        kind, _, rest = key.partition(":")
        if kind == "u":
            return list(self._by_user.get(UserId(int(rest)), ()))
        one = self._by_id.get(ConnectionId(int(rest.rpartition(":")[2])))
        return [one] if one is not None and one.speaker.key == key else []

    def connected_rank(self, user_id: UserId | None, username: str | None, slug: Slug | None) -> Rank | None:
        """The highest rank that somebody is connected with here; slug None: anywhere."""
        known: Iterable[Occupant] = ()
        if user_id is not None:
            known = self._by_user.get(user_id, ())
        elif username is not None:
            known = self._by_name.get(username, ())
        ranks = [o.speaker.identity.rank for o in known if slug is None or o.slug == slug]
        return max(ranks, default=None)

    def within_reach(self, event: SanctionEvent) -> list[Occupant]:
        """Connections that the event may be about: candidates, whom Sanction.holds then judges."""
        found: list[Occupant] = []
        if event.target_user_id is not None:
            found += self._by_user.get(event.target_user_id, ())
        elif event.target_username is not None:
            found += self._by_name.get(event.target_username, ())
        for sanction in event.imposed:
            for address in sanction.addresses:
                found += self._by_address.get(address, ())
        return list(dict.fromkeys(found))


def _put(index: dict[_K, dict[Occupant, None]], key: _K, occupant: Occupant) -> None:
    index.setdefault(key, {})[occupant] = None


def _take(index: dict[_K, dict[Occupant, None]], key: _K, occupant: Occupant) -> None:
    occupants = index[key]
    del occupants[occupant]
    if not occupants:
        del index[key]
