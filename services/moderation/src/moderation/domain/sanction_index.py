"""Sanctions by whom they bind: by user, by address and by name."""

from dataclasses import replace
from typing import TypeVar

from moderation.domain.people import Speaker
from moderation.domain.sanction import Sanction

_Key = TypeVar("_Key")


class SanctionIndex:
    """Finds those that may bind a speaker without looking at the others."""

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
        mine = self._by_user.get(user_id)
        return [] if mine is None else list(mine.values())

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
            sanction = joined(sanction, earlier)
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


def joined(sanction: Sanction, earlier: Sanction) -> Sanction:
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
