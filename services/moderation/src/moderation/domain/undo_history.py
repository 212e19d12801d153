"""What was done since to the same thing: an undo leaves that as if the action had never been done, nor what was undone
before it. For sanctions the history of their target is gone through twice, with the action and without it."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from moderation.domain.audit import AuditRecord
from moderation.domain.people import Target
from moderation.domain.sanctions import Action, Sanction, Scope
from moderation.domain.user_erasures import UserErasureAction

_AS_LONG_MS = 60_000
"""As in decide_by_rule."""
_ACTIONS = frozenset(map(int, Action))


def effective(records: Sequence[AuditRecord]) -> list[AuditRecord]:
    """Rows, the oldest first, without those that another one of them undoes, and without these."""
    ids, dropped = {record.id for record in records}, set[int]()
    for record in reversed(records):
        if record.id not in dropped and record.undoes_id is not None and record.undoes_id in ids:
            dropped |= {record.id, record.undoes_id}
    return [record for record in records if record.id not in dropped]


class Imposing(Protocol):
    """A row, however it is at hand."""

    @property
    def imposed_id(self) -> int | None:
        """As in AuditRecord."""

    @property
    def details(self) -> Mapping[str, Any] | None:
        """As in AuditRecord."""


def imposed_ids(record: Imposing) -> tuple[int, ...]:
    """The sanctions that an action imposed, in the order in which an undo names what they are again."""
    if record.imposed_id is not None:
        return (record.imposed_id,)
    return tuple((record.details or {}).get("imposed_ids", ()))


class Differences(NamedTuple):
    """What an undo comes to among sanctions."""

    lifts: tuple[Sanction, ...] = ()
    imposes: tuple[Sanction, ...] = ()
    """To be imposed again as these are."""
    stays: bool = False
    """Something that the action lifted stays lifted, though its time is not over."""


class SanctionHistory:
    """An action, what was done since to those that its sanctions are aimed at, and these sanctions. A sanction comes
    back under a new id: here all ids of one are told by the first of them, its root."""

    def __init__(
        self, records: Sequence[AuditRecord], known: Mapping[int, Sanction], in_force: Collection[int]
    ) -> None:
        """`records`: the action, and what was done since by time; `known`: the sanctions that these name and those in
        force, but for what may not be imposed again because it is not known any more whom it was aimed at; `in_force`:
        which of them are."""
        self._records = records
        self._roots: dict[int, int] = {}
        for record in records:
            details = record.details or {}
            for number, earlier in zip(details.get("imposed_ids", ()), details.get("again_of", ()), strict=False):
                self._roots[number] = self._root(earlier)
        self._latest = {self._root(number): known[number] for number in sorted(known)}
        self._standing = {self._root(number): known[number] for number in in_force}

    def without(self, dropped: Collection[int], now_ms: int) -> Differences:
        """What is to be changed so that the rows with these ids, the action's among them, had not been."""
        action, rows = self._records[0], effective(self._records)
        done = self._after(rows)
        wanted = self._after(row for row in rows if row.id not in dropped)
        changed = done | {self._root(number) for number in imposed_ids(action)}
        lifts = [s for root, s in sorted(self._standing.items()) if root in changed - wanted]
        missing = [root for root in sorted(wanted - done) if root in self._latest and root not in self._standing]
        imposes = [self._latest[root] for root in missing if _is_running(self._latest[root], now_ms)]
        there = self._standing.keys() | missing
        ended = {self._root(number) for number in action.lifted_ids} - there
        stays = any(root not in self._latest or _is_running(self._latest[root], now_ms) for root in ended)
        return Differences(tuple(lifts), tuple(imposes), stays)

    def _after(self, rows: Iterable[AuditRecord]) -> set[int]:
        """What these rows lead to."""
        state = self._before()
        for row in rows:
            imposed = {self._root(number) for number in imposed_ids(row)}
            gone = {self._root(number) for number in row.lifted_ids}
            if row.action in _ACTIONS:
                here = {root: self._latest[root] for root in state if root in self._latest}
                if _is_needless(row, here.values(), [self._latest[root] for root in imposed if root in self._latest]):
                    continue
                gone |= {root for root, sanction in here.items() if _ends(row, sanction)}
            # Who is erased keeps what holds, under other ids: nothing that did not hold.
            begun = imposed & state if row.action == UserErasureAction.ERASE else imposed
            state = (state - gone) | begun
        return state

    def _before(self) -> set[int]:
        """What was in force before the action, by what happened first to each since."""
        first: dict[int, bool] = {}
        for row in self._records:
            for number in row.lifted_ids:
                first.setdefault(self._root(number), True)
            for number in imposed_ids(row):
                first.setdefault(self._root(number), False)
        return (self._standing.keys() - first.keys()) | {root for root, was_there in first.items() if was_there}

    def _root(self, number: int) -> int:
        return self._roots.get(number, number)


def _is_running(sanction: Sanction, now_ms: int) -> bool:
    return sanction.expires_at_ms is None or sanction.expires_at_ms > now_ms


def _ends(row: AuditRecord, sanction: Sanction) -> bool:
    """Whether an action ends a sanction that is in force then: as in rights.decide."""
    action, is_everywhere = Action(row.action), row.scope == Scope.EVERYWHERE
    if sanction.kind is not action.kind or sanction.target != Target(row.target_user_id, row.target_username):
        return False
    is_meant = sanction.slug == (None if is_everywhere else row.slug) or (is_everywhere and not action.imposes)
    return is_meant and sanction.moderator_rank <= row.actor_rank


def _is_needless(row: AuditRecord, here: Iterable[Sanction], imposed: Sequence[Sanction]) -> bool:
    """Whether it is a mute by rule that would not have been imposed, because one as long held already."""
    if row.actor_user_id != 0 or row.action != Action.MUTE or not imposed:
        return False
    until_ms = (imposed[0].expires_at_ms or 0) - _AS_LONG_MS
    return any(
        s.kind is Action.MUTE and s.reaches(row.slug) and (s.expires_at_ms is None or s.expires_at_ms >= until_ms)
        for s in here
    )
