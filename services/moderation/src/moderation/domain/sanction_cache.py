"""The sanctions in force, in memory, so that judging a message costs a look-up and no question to the database."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import replace
from typing import TypeVar

from moderation.domain.last_seen import LastSeen
from moderation.domain.people import Speaker
from moderation.domain.sanctions import Action, Sanction

_LIFTED_REMEMBERED = 10_000
_UNSAVED_LARGEST = 10_000

BANS = frozenset({Action.BAN})
MUTES_AND_BANS = frozenset({Action.BAN, Action.MUTE})
_Key = TypeVar("_Key")


class SanctionCache:
    """What is in force. Ended sanctions are ignored by time and leave when the cache is refreshed, which is: begin,
    add the parts that the database gives, finish. What is applied meanwhile is not lost."""

    def __init__(self) -> None:
        self._index = SanctionIndex()
        # What a refresh has brought so far: not looked at before all of it is there.
        self._next: SanctionIndex | None = None
        # Events of different replicas may overtake each other: what was lifted once never comes back.
        self._lifted: OrderedDict[int, None] = OrderedDict()
        self._unsaved: dict[tuple[int, str], None] = {}

    def __len__(self) -> int:
        return len(self._index)

    def remaining_ms(self, speaker: Speaker, slug: str, kinds: frozenset[Action], *, now_ms: int) -> int | None:
        """For how many milliseconds these kinds still bind the speaker there; 0: for good; None: none does."""
        found = self._index.candidates(speaker)
        if not found:
            return None
        ends = [s.expires_at_ms for s in found if s.kind in kinds and s.binds(speaker, slug, now_ms=now_ms)]
        if not ends:
            return None
        timed = [end for end in ends if end is not None]
        return max(timed) - now_ms if len(timed) == len(ends) else 0

    def apply(self, imposed: Iterable[Sanction], lifted_ids: Iterable[int]) -> None:
        """Take over one change, of this replica or of another; the same change twice is harmless."""
        for sanction_id in lifted_ids:
            for index in self._indexes():
                index.remove(sanction_id)
            self._lifted[sanction_id] = None
            if len(self._lifted) > _LIFTED_REMEMBERED:
                self._lifted.popitem(last=False)
        for sanction in imposed:
            if self._may_hold(sanction):
                for index in self._indexes():
                    index.put(sanction)

    def follow(self, seen: LastSeen, *, now_ms: int) -> None:
        """Let the sanctions of the user who was seen hold for that address as well: here at once, and in the database
        by next_unsaved. At most 10,000 wait to be saved; the oldest is forgotten then, and comes back with the next
        time its user is seen after a refresh."""
        for sanction in self._index.of_user(seen.user_id):
            if sanction.reaches(seen.slug) and sanction.is_in_force(now_ms) and sanction.may_follow_to(seen.address):
                self.apply([replace(sanction, addresses=sanction.addresses | {seen.address})], ())
                self._unsaved[sanction.id, seen.address] = None
                if len(self._unsaved) > _UNSAVED_LARGEST:
                    del self._unsaved[next(iter(self._unsaved))]

    def next_unsaved(self) -> tuple[int, str] | None:
        """The id of a sanction and an address to be stored with it; the same until saved is called; None: no more."""
        return next(iter(self._unsaved), None)

    def saved(self, sanction_id: int, address: str) -> None:
        """It is stored, or the sanction is over."""
        self._unsaved.pop((sanction_id, address), None)

    def begin_refresh(self) -> None:
        """Call before the database is asked."""
        self._next = SanctionIndex()

    def add_to_refresh(self, in_force: Iterable[Sanction]) -> None:
        """A part of what the database gave; ignored where no refresh is under way."""
        if self._next is None:
            return
        for sanction in in_force:
            if self._may_hold(sanction):
                # An address may be known here that is not stored yet.
                earlier = self._index.get(sanction.id)
                self._next.put(sanction if earlier is None else _joined(sanction, earlier))

    def finish_refresh(self) -> None:
        """Go by what the database gave, and by what was applied meanwhile."""
        if self._next is not None:
            self._index, self._next = self._next, None

    def abandon_refresh(self) -> None:
        """The database could not be asked to the end: what is known stays."""
        self._next = None

    def _indexes(self) -> tuple["SanctionIndex", ...]:
        return (self._index,) if self._next is None else (self._index, self._next)

    def _may_hold(self, sanction: Sanction) -> bool:
        return sanction.id not in self._lifted and sanction.lifted_at_ms is None


class SanctionIndex:
    """Sanctions by user, by address and by name: those that may bind a speaker are found without the others."""

    def __init__(self) -> None:
        self._by_id: dict[int, Sanction] = {}
        self._by_user: dict[int, dict[int, Sanction]] = {}
        self._by_address: dict[str, dict[int, Sanction]] = {}
        self._by_name: dict[str, dict[int, Sanction]] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def get(self, sanction_id: int) -> Sanction | None:
        """What is known of it."""
        return self._by_id.get(sanction_id)

    def of_user(self, user_id: int) -> list[Sanction]:
        """Those aimed at a user."""
        aimed = self._by_user.get(user_id)
        return [] if aimed is None else list(aimed.values())

    def candidates(self, speaker: Speaker) -> list[Sanction]:
        """Those that may bind the speaker."""
        if speaker.user_id:
            return self.of_user(speaker.user_id)
        by_address = self._by_address.get(speaker.address)
        by_name = self._by_name.get(speaker.username)
        if by_address is None and by_name is None:
            return []
        return list({**(by_address or {}), **(by_name or {})}.values())

    def put(self, sanction: Sanction) -> None:
        """Add it, or what is new of it."""
        earlier = self._by_id.get(sanction.id)
        if earlier is not None:
            sanction = _joined(sanction, earlier)
        self._by_id[sanction.id] = sanction
        for address in sanction.addresses:
            self._by_address.setdefault(address, {})[sanction.id] = sanction
        if sanction.target.user_id:
            self._by_user.setdefault(sanction.target.user_id, {})[sanction.id] = sanction
        else:
            self._by_name.setdefault(sanction.target.username, {})[sanction.id] = sanction

    def remove(self, sanction_id: int) -> None:
        """Forget it; harmless where it is not known."""
        sanction = self._by_id.pop(sanction_id, None)
        if sanction is None:
            return
        for address in sanction.addresses:
            _drop(self._by_address, address, sanction_id)
        _drop(self._by_user, sanction.target.user_id, sanction_id)
        _drop(self._by_name, sanction.target.username, sanction_id)


def _joined(sanction: Sanction, earlier: Sanction) -> Sanction:
    """Addresses are only ever added, whichever copy comes last. Each copy holds for so many at most, so both together
    for twice as many, where replicas followed somebody at the same time."""
    if earlier.addresses <= sanction.addresses:
        return sanction
    return replace(sanction, addresses=sanction.addresses | earlier.addresses)


def _drop(index: dict[_Key, dict[int, Sanction]], key: _Key, sanction_id: int) -> None:
    entry = index.get(key)
    if entry is not None:
        entry.pop(sanction_id, None)
        if not entry:
            del index[key]
