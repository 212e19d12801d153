"""Warnings: told to their target alone, who may not write in the room before they have acknowledged them."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import TypeAlias

from moderation.domain.erasures import NO_ORIGIN, Origin
from moderation.domain.people import Moderator, Rank, Speaker, Target

MOST_OPEN = 5
"""Of one target in one room. With one more the oldest gives way: it is not shown any more, and asks for nothing."""
MOST_OPEN_OF_SLUG = 1_000
MOST_OPEN_EVERYWHERE = 50_000
"""With one more the oldest gives way as well. Every replica keeps these in memory, some 1 KB each."""
MOST_TOLD = 10_000
"""Of all slugs that are asked for at once."""
_CLOSED_REMEMBERED = 10_000
_Key: TypeAlias = tuple[str, int | str]
"""A slug, and a user by id or an anonymous one by name."""


class WarningAction(IntEnum):
    """What a command does. The number goes on behind those of PolicyAction: audit rows hold either."""

    ISSUE = 20


class WarningState(IntEnum):
    """How far a warning has come."""

    ISSUED = 1
    DELIVERED = 2
    """A connection of its target was sent it, as far as was reported."""
    ACKNOWLEDGED = 3
    LAPSED = 4
    """A connection that knows nothing of warnings had it for 30 s, which counts as acknowledged."""
    SUPERSEDED = 5
    """Newer ones of the same target and room took its place."""
    EXPIRED = 6
    """Nobody acknowledged it for as long as such things are kept."""
    WITHDRAWN = 7
    """Who issued it, or somebody above them, took it back."""

    @property
    def is_open(self) -> bool:
        """Whether it waits to be acknowledged."""
        return self in _OPEN


_OPEN = frozenset({WarningState.ISSUED, WarningState.DELIVERED})


class WarningStep(IntEnum):
    """What may happen to a warning."""

    DELIVER = 1
    ACKNOWLEDGE = 2
    LAPSE = 3
    SUPERSEDE = 4
    EXPIRE = 5
    WITHDRAW = 6


_CLOSING = {
    WarningStep.ACKNOWLEDGE: WarningState.ACKNOWLEDGED,
    WarningStep.LAPSE: WarningState.LAPSED,
    WarningStep.SUPERSEDE: WarningState.SUPERSEDED,
    WarningStep.EXPIRE: WarningState.EXPIRED,
    WarningStep.WITHDRAW: WarningState.WITHDRAWN,
}
# A step that is missing changes nothing: reports come late and more than once, and that of a delivery may be lost.
STEPS: dict[WarningState, dict[WarningStep, WarningState]] = {
    WarningState.ISSUED: {WarningStep.DELIVER: WarningState.DELIVERED, **_CLOSING},
    WarningState.DELIVERED: dict(_CLOSING),
    WarningState.ACKNOWLEDGED: {},
    WarningState.LAPSED: {},
    WarningState.SUPERSEDED: {},
    WarningState.EXPIRED: {},
    WarningState.WITHDRAWN: {},
}


@dataclass(frozen=True, slots=True)
class RoomWarning:
    """One warning in the rooms of a slug. Times are Unix milliseconds."""

    id: int
    """The audit row of the command that issued it."""
    slug: str
    target: Target
    reason: str
    moderator_user_id: int
    moderator_rank: Rank
    created_at_ms: int
    state: WarningState
    version: int
    """Rises with each change of any warning; the highest of a warning holds."""

    @property
    def is_open(self) -> bool:
        """Whether it waits to be acknowledged."""
        return self.state.is_open

    def after(self, step: WarningStep, version: int) -> "RoomWarning":
        """The warning once that has happened to it; itself where that changes nothing."""
        state = STEPS[self.state].get(step)
        return self if state is None else replace(self, state=state, version=version)

    def binds(self, speaker: Speaker) -> bool:
        """Whether that speaker, whom its slug and target mean, has to acknowledge it: never an equal or higher rank."""
        return speaker.rank < self.moderator_rank


@dataclass(frozen=True, slots=True)
class WarningCommand:
    """A warning as somebody asks for it."""

    moderator: Moderator
    target: Target
    target_rank: Rank | None
    """The highest rank the target is connected with; None: not connected."""
    slug: str
    reason: str
    """Not empty."""


@dataclass(frozen=True, slots=True)
class WarningOrder:
    """A command that warns somebody, as it was sent. It tells nothing in a log."""

    command: WarningCommand
    origin: Origin = NO_ORIGIN


@dataclass(frozen=True, slots=True)
class WarningReport:
    """What happened to a warning of whoever says so."""

    warning_id: int
    target: Target
    step: WarningStep


class WarningCache:
    """The open warnings, as a replica knows them: what a message is judged by costs one look-up."""

    def __init__(self) -> None:
        self._open: dict[_Key, dict[int, RoomWarning]] = {}
        self._closed: OrderedDict[int, None] = OrderedDict()
        self._count = 0
        self.on_change: Callable[[], None] = lambda: None
        """Called when there is a new one."""
        self.read_up_to = 0
        """Whatever was read from the database had at most this version, and nothing before it was left out."""

    def __len__(self) -> int:
        return self._count

    def is_pending(self, speaker: Speaker, slug: str) -> bool:
        """Whether the speaker has a warning to acknowledge there: a user by id, an anonymous one by name."""
        if not self._open:
            return False
        found = self._open.get((slug, speaker.user_id or speaker.username))
        return found is not None and any(warning.binds(speaker) for warning in found.values())

    def apply(self, changed: Iterable[RoomWarning]) -> None:
        """Take over what was changed, by this replica or as it is read. One that was closed never comes back: an answer
        of the database may be older than what is known."""
        for warning in changed:
            key = (warning.slug, warning.target.user_id or warning.target.username)
            if warning.is_open and warning.id not in self._closed:
                known = self._open.setdefault(key, {})
                is_new = warning.id not in known
                self._count += is_new
                known[warning.id] = warning
                if is_new:
                    self.on_change()
            elif not warning.is_open:
                self._close(key, warning.id)

    def read(self, changed: Sequence[RoomWarning]) -> None:
        """The next ones that the database has after `read_up_to`, in the order of their versions."""
        self.apply(changed)
        if changed:
            self.read_up_to = changed[-1].version

    def _close(self, key: _Key, warning_id: int) -> None:
        self._closed[warning_id] = None
        if len(self._closed) > _CLOSED_REMEMBERED:
            self._closed.popitem(last=False)
        known = self._open.get(key, {})
        if known.pop(warning_id, None) is not None:
            self._count -= 1
            if not known:
                del self._open[key]
