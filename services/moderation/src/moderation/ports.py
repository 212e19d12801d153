"""What the moderation service needs from the outside, in its own words. bootstrap.py names the adapters."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from chassis.errors import DatabaseUnavailable as DatabaseUnavailable, OutcomeUnknown as OutcomeUnknown
from moderation.domain.admission import Now
from moderation.domain.order import Change, Order
from moderation.domain.people import Target
from moderation.domain.sanction import Sanction, SanctionEvent
from moderation.domain.sightings import Sighting


@dataclass(frozen=True, slots=True)
class Asked:
    """Which sanctions in force somebody wants to know."""

    slugs: Sequence[str] = ()
    everywhere: bool = True
    """Also what holds everywhere."""
    targets: Sequence[Target] = ()
    """None: aimed at anybody."""
    addresses: bool = True
    """False: each is told as if it held for no address."""


class Store(Protocol):
    """The database. Every coroutine raises DatabaseUnavailable."""

    async def change(
        self, order: Order, addresses: frozenset[str], decide: Callable[[list[Sanction]], Change], *, now_ms: int
    ) -> SanctionEvent:
        """In one transaction, one at a time over all replicas: show the target's sanctions in force to `decide`, do
        what it says, write the audit row. For an anonymous target those of its addresses count as its own. What
        `decide` raises comes out, and nothing is changed."""

    async def follow(self, sanction_id: int, address: str, *, now_ms: int) -> SanctionEvent | None:
        """Add an address to a sanction in force, with its audit row; None: not in force, known already, or the
        sanction holds for as many as it may. Then it is the new address that is dropped, without an event: those that
        hold are not to be let go of, see Sanction.may_follow_to."""

    async def find(self, sanction_id: int) -> Sanction | None:
        """One sanction, in force or not."""

    async def in_force(self, asked: Asked, *, now_ms: int) -> list[Sanction]:
        """Those of what is in force that are asked for."""

    async def standing(self, *, after_id: int, first: int, now_ms: int) -> list[Sanction]:
        """A part of all that are in force, the oldest first; fewer than asked for: the last part."""

    async def page(
        self, slug: str | None, *, only_in_force: bool, first: int, before_id: int | None, now_ms: int
    ) -> list[Sanction]:
        """The history, newest first."""

    async def seen_addresses(self, target: Target, slug: str | None, *, since_ms: int) -> list[str]:
        """Where the target was seen, the last first, as many as a sanction holds for; slug None: anywhere."""

    async def write_sightings(self, sightings: Mapping[Sighting, int]) -> None:
        """Keep when each was last seen, in Unix milliseconds."""

    async def forget_sightings(self, before_ms: int) -> None:
        """Delete what is older."""

    async def end_expired(self, before_ms: int) -> None:
        """Mark the sanctions whose time was up before then, so that no question looks at them again."""

    async def erase_evidence(self, before_ms: int, *, now_ms: int) -> None:
        """Erase the addresses, and the names of anonymous people, of what was done, and of sanctions that ended, before
        then. The rows stay."""

    async def delete_history(self, before_ms: int) -> None:
        """Delete the audit rows of what was done, and the sanctions that ended, before then."""


class Events(Protocol):
    """Tells edges and other replicas."""

    @property
    def is_connected(self) -> bool:
        """Whether events arrive and leave just now."""

    async def publish(self, event: SanctionEvent) -> None:
        """Returns when the server has it, or after the deadline; never raises. Who misses an event reads the
        database's state again after reconnecting and every 30 s."""


class Clock(Protocol):
    """The time, so that tests may choose it."""

    def now(self) -> Now:
        """Both clocks at once."""
