"""The sanctions in force, indexed by whom they bind, kept in memory so that a message costs a look-up."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import replace
from typing import TypeVar

from moderation.domain.people import Speaker
from moderation.domain.sanction import Action, Sanction

_LIFTED_REMEMBERED = 10_000
_Key = TypeVar("_Key")

BANS = frozenset({Action.BAN})
MUTES_AND_BANS = frozenset({Action.BAN, Action.MUTE})


class SanctionBook:
    """What is in force. Ended sanctions are ignored by time and leave at the next reading of the database."""

    def __init__(self) -> None:
        self._by_id: dict[int, Sanction] = {}
        self._by_user: dict[int, dict[int, Sanction]] = {}
        self._by_address: dict[str, dict[int, Sanction]] = {}
        self._by_name: dict[str, dict[int, Sanction]] = {}
        # Events of different replicas may overtake each other: what was lifted once never comes back.
        self._lifted: OrderedDict[int, None] = OrderedDict()
        self._since_reading: list[Sanction] | None = None

    def __len__(self) -> int:
        return len(self._by_id)

    def remaining_ms(self, speaker: Speaker, slug: str, kinds: frozenset[Action], *, now_ms: int) -> int | None:
        """How long the speaker is still held there by these kinds; 0: for good; None: not held."""
        found = self._candidates(speaker)
        if not found:
            return None
        ends = [s.expires_at_ms for s in found if s.kind in kinds and s.binds(speaker, slug, now_ms=now_ms)]
        if not ends:
            return None
        timed = [end for end in ends if end is not None]
        return max(timed) - now_ms if len(timed) == len(ends) else 0

    def unaware_of(self, user_id: int, address: str, slug: str, *, now_ms: int) -> list[Sanction]:
        """The user's sanctions in force there that do not know this address of theirs yet."""
        mine = self._by_user.get(user_id)
        if not user_id or not mine:
            return []
        there = (s for s in mine.values() if s.reaches(slug) and s.is_in_force(now_ms))
        return [s for s in there if address not in s.addresses]

    def apply(self, imposed: Iterable[Sanction], lifted_ids: Iterable[int]) -> None:
        """Follow one change, of this replica or of another; the same change twice is harmless."""
        for sanction_id in lifted_ids:
            self._remove(sanction_id)
            self._lifted[sanction_id] = None
            if len(self._lifted) > _LIFTED_REMEMBERED:
                self._lifted.popitem(last=False)
        for sanction in imposed:
            self._put(sanction)
            if self._since_reading is not None:
                self._since_reading.append(sanction)

    def add_address(self, sanction_id: int, address: str) -> None:
        """A sanction in force holds for one more address."""
        sanction = self._by_id.get(sanction_id)
        if sanction is not None and address not in sanction.addresses:
            self.apply([replace(sanction, addresses=sanction.addresses | {address})], ())

    def start_reading(self) -> None:
        """Call before the database is read, so that changes meanwhile are not lost."""
        self._since_reading = []

    def finish_reading(self, in_force: Iterable[Sanction]) -> None:
        """Take over what the database said, and what happened while it was read."""
        meanwhile, self._since_reading = self._since_reading or [], None
        known = self._by_id
        self._by_id, self._by_user, self._by_address, self._by_name = {}, {}, {}, {}
        for sanction in in_force:
            earlier = known.get(sanction.id)
            self._put(sanction if earlier is None else _joined(sanction, earlier))
        for sanction in meanwhile:
            self._put(sanction)

    def abandon_reading(self) -> None:
        """The database could not be read: what is known stands."""
        self._since_reading = None

    def _candidates(self, speaker: Speaker) -> list[Sanction]:
        if speaker.user_id:
            mine = self._by_user.get(speaker.user_id)
            return [] if mine is None else list(mine.values())
        by_address = self._by_address.get(speaker.address)
        by_name = self._by_name.get(speaker.username)
        if by_address is None and by_name is None:
            return []
        return list({**(by_address or {}), **(by_name or {})}.values())

    def _put(self, sanction: Sanction) -> None:
        if sanction.id in self._lifted or sanction.lifted_at_ms is not None:
            return
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

    def _remove(self, sanction_id: int) -> None:
        sanction = self._by_id.pop(sanction_id, None)
        if sanction is None:
            return
        for address in sanction.addresses:
            _drop(self._by_address, address, sanction_id)
        _drop(self._by_user, sanction.target.user_id, sanction_id)
        _drop(self._by_name, sanction.target.username, sanction_id)


def _joined(sanction: Sanction, earlier: Sanction) -> Sanction:
    """Addresses are only ever added, whichever copy comes last."""
    if earlier.addresses <= sanction.addresses:
        return sanction
    return replace(sanction, addresses=sanction.addresses | earlier.addresses)


def _drop(index: dict[_Key, dict[int, Sanction]], key: _Key, sanction_id: int) -> None:
    entry = index.get(key)
    if entry is not None:
        entry.pop(sanction_id, None)
        if not entry:
            del index[key]
