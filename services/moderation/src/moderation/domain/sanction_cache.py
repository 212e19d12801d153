"""The sanctions in force, in memory, so that judging a message costs a look-up and no question to the database."""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TypeAlias, TypeVar

from moderation.domain.last_seen import LastSeen
from moderation.domain.people import Speaker
from moderation.domain.sanctions import Action, Sanction

_LIFTED_REMEMBERED = 10_000
_UNSAVED_LARGEST = 10_000

BANS = frozenset({Action.BAN})
MUTES_AND_BANS = frozenset({Action.BAN, Action.MUTE})
_Key = TypeVar("_Key")
_Entry: TypeAlias = Sanction | dict[int, Sanction]
"""Most often there is one, for which a dictionary would weigh more than the sanction."""


class SanctionCache:
    """What is in force. Ended sanctions are ignored by time, and leave by drop_ended. All that the database has is read
    by: begin, add its parts, finish; what is applied meanwhile is not lost. From then on its changes are."""

    def __init__(self) -> None:
        self._index = SanctionIndex()
        self.read_up_to: int | None = None
        """The last action whose changes were read; None: nothing was read yet."""
        # What a reading has brought so far: not looked at before all of it is there.
        self._next: SanctionIndex | None = None
        # Events of different replicas may overtake each other: what was lifted once never comes back.
        self._lifted: OrderedDict[int, None] = OrderedDict()
        self._unsaved: dict[tuple[int, str], None] = {}
        self.on_change: Callable[[], None] = lambda: None
        """Called when something may hold that did not before."""

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
        is_new = False
        for sanction in imposed:
            if self._may_hold(sanction):
                for index in self._indexes():
                    is_new |= index.put(sanction)
        if is_new:
            self.on_change()

    def follow(self, seen: LastSeen, *, now_ms: int) -> None:
        """Let the sanctions of the user who was seen hold for that address as well: here at once, and in the database
        by next_unsaved. At most 10,000 wait to be saved; the oldest is forgotten then, and comes back with the next
        time its user is seen after all was read again."""
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

    def ids(self) -> list[int]:
        """Of all that are held."""
        return self._index.ids()

    def drop_ended(self, sanction_id: int, *, now_ms: int) -> None:
        """Let go of it where its time is over."""
        sanction = self._index.get(sanction_id)
        if sanction is not None and not sanction.is_in_force(now_ms):
            self._index.remove(sanction_id)

    def read_changes(self, in_force: Iterable[Sanction], ended_ids: Iterable[int], *, up_to: int) -> None:
        """Take over what the actions up to this one changed, as the database has it now."""
        self.apply(in_force, ended_ids)
        self.read_up_to = up_to

    def begin_reading(self) -> None:
        """Call before the database is asked for all. What it gives is not lifted, whatever was known under that id: a
        database that was put back gives ids out again."""
        self._next = SanctionIndex()
        self._lifted.clear()

    def add(self, in_force: Iterable[Sanction]) -> None:
        """A part of what the database gave; ignored where no reading is under way."""
        if self._next is None:
            return
        for sanction in in_force:
            if self._may_hold(sanction):
                # An address may be known here that is not stored yet.
                earlier = self._index.get(sanction.id)
                self._next.put(sanction if earlier is None else _joined(sanction, earlier))

    def finish_reading(self, *, up_to: int) -> None:
        """Go by what the database gave, and by what was applied meanwhile. `up_to`: the last action before the first
        question."""
        if self._next is not None:
            self._index, self._next, self.read_up_to = self._next, None, up_to
            self.on_change()

    def abandon_reading(self) -> None:
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
        self._by_user: dict[int, _Entry] = {}
        self._by_address: dict[str, _Entry] = {}
        self._by_name: dict[str, _Entry] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def ids(self) -> list[int]:
        """Of all."""
        return list(self._by_id)

    def get(self, sanction_id: int) -> Sanction | None:
        """What is known of it."""
        return self._by_id.get(sanction_id)

    def of_user(self, user_id: int) -> list[Sanction]:
        """Those aimed at a user."""
        return _all(self._by_user.get(user_id))

    def candidates(self, speaker: Speaker) -> list[Sanction]:
        """Those that may bind the speaker."""
        if speaker.user_id:
            return self.of_user(speaker.user_id)
        by_address = _all(self._by_address.get(speaker.address))
        by_name = _all(self._by_name.get(speaker.username))
        if not by_address or not by_name:
            return by_address or by_name
        return list({sanction.id: sanction for sanction in (*by_address, *by_name)}.values())

    def put(self, sanction: Sanction) -> bool:
        """Add it, or what is new of it; whether anything was."""
        earlier = self._by_id.get(sanction.id)
        if earlier is not None:
            sanction = _joined(sanction, earlier)
            if sanction == earlier:
                return False
        self._by_id[sanction.id] = sanction
        for address in sanction.addresses:
            _put(self._by_address, address, sanction)
        if sanction.target.user_id:
            _put(self._by_user, sanction.target.user_id, sanction)
        else:
            _put(self._by_name, sanction.target.username, sanction)
        return True

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


def _all(entry: _Entry | None) -> list[Sanction]:
    if entry is None:
        return []
    return list(entry.values()) if isinstance(entry, dict) else [entry]


def _put(index: dict[_Key, _Entry], key: _Key, sanction: Sanction) -> None:
    entry = index.get(key)
    if isinstance(entry, dict):
        entry[sanction.id] = sanction
    elif entry is None or entry.id == sanction.id:
        index[key] = sanction
    else:
        index[key] = {entry.id: entry, sanction.id: sanction}


def _drop(index: dict[_Key, _Entry], key: _Key, sanction_id: int) -> None:
    entry = index.get(key)
    if isinstance(entry, dict):
        entry.pop(sanction_id, None)
        if not entry:
            del index[key]
    elif entry is not None and entry.id == sanction_id:
        del index[key]
