"""What the moderation service needs from the outside, in its own words, and what its use cases work with.
bootstrap.py names the adapters."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from moderation.domain.admission import Admission, Now
from moderation.domain.last_seen import LastSeen, LastSeenBuffer
from moderation.domain.people import Target
from moderation.domain.rights import Change
from moderation.domain.sanction_cache import SanctionCache
from moderation.domain.sanctions import Command, Sanction, SanctionEvent


@dataclass(frozen=True, slots=True)
class SanctionQuery:
    """Which sanctions in force somebody wants to know."""

    slugs: Sequence[str] = ()
    everywhere: bool = True
    """Also what holds everywhere."""
    targets: Sequence[Target] = ()
    """None: aimed at anybody."""
    addresses: bool = True
    """False: each is given without its addresses, which spares reading them."""


class Store(Protocol):
    """The database. Every coroutine raises DatabaseUnavailable; times are Unix milliseconds. Sanctions that a later
    version stored, with an action or rank that this one does not know, are left out as if they were not there."""

    async def change(
        self, command: Command, addresses: frozenset[str], decide: Callable[[list[Sanction]], Change], *, now_ms: int
    ) -> SanctionEvent:
        """In one transaction, one at a time over all replicas: show the target's sanctions in force to `decide`, do
        what it says, write the audit row. For an anonymous target those in force at `addresses` count as its own. What
        `decide` raises comes out, and nothing is changed. Raises OutcomeUnknown where the answer to the commit is
        missing."""

    async def follow(self, sanction_id: int, address: str, *, now_ms: int) -> SanctionEvent | None:
        """Add an address to a sanction in force, with its audit row; None: not in force, known already, or the
        sanction holds for as many as it may. Then it is the new address that is dropped, without an event: those that
        hold are not to be let go of, see Sanction.may_follow_to."""

    async def find(self, sanction_id: int) -> Sanction | None:
        """One sanction, in force or not."""

    async def in_force(self, query: SanctionQuery, *, now_ms: int) -> list[Sanction]:
        """Those of what is in force that are asked for, the oldest first."""

    async def in_force_after(self, sanction_id: int, *, first: int, now_ms: int) -> tuple[list[Sanction], int | None]:
        """The next `first` of all that are in force, by id, and the id after which the next part begins; None: this
        was the last one. A part may hold fewer."""

    async def history(
        self, slug: str | None, *, only_in_force: bool, first: int, before_id: int | None, now_ms: int
    ) -> list[Sanction]:
        """A page of it, newest first; slug None: of every room and everywhere."""

    async def seen_addresses(self, target: Target, slug: str | None, *, since_ms: int) -> list[str]:
        """Where the target was seen, the last first, as many as a sanction holds for; slug None: anywhere."""

    async def write_last_seen(self, seen: Mapping[LastSeen, int]) -> None:
        """Keep when each was last seen."""

    async def forget_last_seen(self, before_ms: int) -> None:
        """Delete what is older."""

    async def end_expired(self, before_ms: int) -> None:
        """Mark the sanctions whose time was up before then, so that no question looks at them again."""

    async def erase_evidence(self, before_ms: int, *, now_ms: int) -> None:
        """Erase the addresses, and the names of anonymous people, of what was done, and of sanctions that ended, before
        then. The rows stay."""

    async def delete_history(self, before_ms: int) -> None:
        """Delete the audit rows of what was done, and the sanctions that ended, before then."""


class Events(Protocol):
    """To and from edges and other replicas."""

    @property
    def is_connected(self) -> bool:
        """Whether events arrive and leave just now."""

    async def publish(self, event: SanctionEvent) -> None:
        """Returns when the server has it, or after the deadline; never raises. Who misses an event reads the
        database's state again after reconnecting and every 30 s."""


@dataclass(frozen=True, slots=True)
class Ports:
    """What the use cases work with: the outside, and what one replica keeps in memory between calls."""

    store: Store
    events: Events
    clock: Callable[[], Now]
    """The present time, by both clocks."""
    cache: SanctionCache
    last_seen: LastSeenBuffer
    admission: Admission
    """Judges by the two before it."""
    refresh_wanted: asyncio.Event = field(default_factory=asyncio.Event)
    """Set it where the cache may have missed something: events were lost, or a change's outcome is not known."""
    in_flight: set[asyncio.Task[SanctionEvent]] = field(default_factory=set)
    """Commands that are being carried out, at most as many as there are calls."""
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by whoever takes from last_seen or the cache what is to be written."""
