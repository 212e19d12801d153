"""The sanctions in force, kept in memory so that a message costs a look-up."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import replace

from moderation.domain.people import Speaker
from moderation.domain.sanction import Action, Sanction
from moderation.domain.sanction_index import SanctionIndex, joined

_LIFTED_REMEMBERED = 10_000

BANS = frozenset({Action.BAN})
MUTES_AND_BANS = frozenset({Action.BAN, Action.MUTE})


class SanctionBook:
    """What is in force. Ended sanctions are ignored by time and leave at the next reading of the database."""

    def __init__(self) -> None:
        self._index = SanctionIndex()
        # What a reading has brought so far: not looked at before all of it is there.
        self._next: SanctionIndex | None = None
        # Events of different replicas may overtake each other: what was lifted once never comes back.
        self._lifted: OrderedDict[int, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._index)

    def remaining_ms(self, speaker: Speaker, slug: str, kinds: frozenset[Action], *, now_ms: int) -> int | None:
        """How long the speaker is still held there by these kinds; 0: for good; None: not held."""
        found = self._index.candidates(speaker)
        if not found:
            return None
        ends = [s.expires_at_ms for s in found if s.kind in kinds and s.binds(speaker, slug, now_ms=now_ms)]
        if not ends:
            return None
        timed = [end for end in ends if end is not None]
        return max(timed) - now_ms if len(timed) == len(ends) else 0

    def unaware_of(self, user_id: int, address: str, slug: str, *, now_ms: int) -> list[Sanction]:
        """The user's sanctions in force there that do not know this address of theirs yet, and have room for it."""
        there = (s for s in self._index.of_user(user_id) if s.reaches(slug) and s.is_in_force(now_ms))
        return [s for s in there if s.may_follow_to(address)]

    def apply(self, imposed: Iterable[Sanction], lifted_ids: Iterable[int]) -> None:
        """Follow one change, of this replica or of another; the same change twice is harmless."""
        for sanction_id in lifted_ids:
            for index in self._indexes():
                index.remove(sanction_id)
            self._lifted[sanction_id] = None
            if len(self._lifted) > _LIFTED_REMEMBERED:
                self._lifted.popitem(last=False)
        for sanction in imposed:
            if self._holds(sanction):
                for index in self._indexes():
                    index.put(sanction)

    def add_address(self, sanction_id: int, address: str) -> None:
        """A sanction in force holds for one more address."""
        sanction = self._index.get(sanction_id)
        if sanction is not None and sanction.may_follow_to(address):
            self.apply([replace(sanction, addresses=sanction.addresses | {address})], ())

    def start_reading(self) -> None:
        """Call before the database is read, so that changes meanwhile are not lost."""
        self._next = SanctionIndex()

    def take_in(self, in_force: Iterable[Sanction]) -> None:
        """A part of what the database said."""
        if self._next is None:
            return
        for sanction in in_force:
            if self._holds(sanction):
                # An address may be known here that is not stored yet.
                earlier = self._index.get(sanction.id)
                self._next.put(sanction if earlier is None else joined(sanction, earlier))

    def finish_reading(self) -> None:
        """Go by what the database said, and by what happened while it was read."""
        if self._next is not None:
            self._index, self._next = self._next, None

    def abandon_reading(self) -> None:
        """The database could not be read: what is known stands."""
        self._next = None

    def _indexes(self) -> tuple[SanctionIndex, ...]:
        return (self._index,) if self._next is None else (self._index, self._next)

    def _holds(self, sanction: Sanction) -> bool:
        return sanction.id not in self._lifted and sanction.lifted_at_ms is None
