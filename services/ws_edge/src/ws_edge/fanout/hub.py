"""Which connections this worker has, by what a sanction or an announcement may name."""

from collections.abc import Iterable, Iterator
from typing import Protocol

from ws_edge.fanout.audience import Member
from ws_edge.fanout.room import Room
from ws_edge.ports import Membership
from ws_edge.protocol.close import CloseCode
from ws_edge.protocol.errors import ErrorCode
from ws_edge.protocol.identity import ConnectionId, Rank, Slug, Speaker, UserId
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


class Hub:
    """Indexes over the open connections. Whatever closes a connection takes it out of here first."""

    __slots__ = ("_by_address", "_by_id", "_by_user")

    def __init__(self) -> None:
        self._by_id: dict[ConnectionId, Occupant] = {}
        self._by_user: dict[UserId, dict[Occupant, None]] = {}
        self._by_address: dict[str, dict[Occupant, None]] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Occupant]:
        return iter(list(self._by_id.values()))

    def add(self, occupant: Occupant) -> None:
        """Before anything else happens to a connection, so that a sanction meets it."""
        self._by_id[occupant.id] = occupant
        self._siblings(occupant.speaker)[occupant] = None

    def discard(self, occupant: Occupant) -> None:
        """The connection is over, or about to be."""
        if self._by_id.pop(occupant.id, None) is None:
            return
        siblings = self._siblings(occupant.speaker)
        del siblings[occupant]
        if not siblings:
            speaker = occupant.speaker
            if speaker.identity.user_id is not None:
                del self._by_user[speaker.identity.user_id]
            else:
                del self._by_address[speaker.address]

    def get(self, connection: ConnectionId) -> Occupant | None:
        """One connection by its number, if it is still here."""
        return self._by_id.get(connection)

    def of_participant(self, key: str) -> list[Occupant]:
        """The connections of "u:<id>", or the one of "c:<edge>:<connection>"."""
        kind, _, rest = key.partition(":")
        if kind == "u":
            return list(self._by_user.get(UserId(int(rest)), ()))
        one = self._by_id.get(ConnectionId(int(rest.rpartition(":")[2])))
        return [one] if one is not None and one.speaker.key == key else []

    def connected_rank(self, user_id: UserId | None, username: str | None, slug: Slug | None) -> Rank | None:
        """The highest rank that somebody is connected with here; slug None: anywhere."""
        if user_id is None:
            known: Iterable[Occupant] = self._anonymous(username)
        else:
            known = self._by_user.get(user_id, ())
        ranks = [o.speaker.identity.rank for o in known if slug is None or o.slug == slug]
        return max(ranks, default=None)

    def within_reach(self, event: SanctionEvent) -> list[Occupant]:
        """Connections that the event may be about: candidates, whom Sanction.holds then judges."""
        found: list[Occupant] = []
        if event.target_user_id is not None:
            found += self._by_user.get(event.target_user_id, ())
        else:
            found += self._anonymous(event.target_username)
        for sanction in event.imposed:
            for address in sanction.addresses:
                found += self._by_address.get(address, ())
        return list(dict.fromkeys(found))

    def _anonymous(self, username: str | None) -> Iterator[Occupant]:
        """Those without a token who go by that name; a token may carry any name."""
        for occupants in self._by_address.values():
            yield from (o for o in occupants if o.speaker.identity.username == username)

    def _siblings(self, speaker: Speaker) -> dict[Occupant, None]:
        user_id = speaker.identity.user_id
        if user_id is not None:
            return self._by_user.setdefault(user_id, {})
        return self._by_address.setdefault(speaker.address, {})
