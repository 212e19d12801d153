"""Who may do what to whom: the role table of the contract, row by row."""

from moderation.domain.people import Rank
from moderation.domain.sanction import Action, Scope

_MUTING = frozenset({Action.MUTE, Action.UNMUTE})
_ALL = frozenset(Action)

POWERS: dict[Rank, frozenset[Action]] = {
    Rank.ANONYMOUS: frozenset(),
    Rank.USER: frozenset(),
    Rank.MODERATOR: _MUTING,
    Rank.ADMIN: _ALL,
    Rank.SUPERUSER: _ALL,
}
REACH: dict[Rank, frozenset[Scope]] = {
    Rank.ANONYMOUS: frozenset(),
    Rank.USER: frozenset(),
    Rank.MODERATOR: frozenset({Scope.ROOM}),
    Rank.ADMIN: frozenset(Scope),
    Rank.SUPERUSER: frozenset(Scope),
}


def may_act(rank: Rank, action: Action, scope: Scope) -> bool:
    """Whether somebody of that rank has that action with that reach at all."""
    return action in POWERS[rank] and scope in REACH[rank]


def outranks(rank: Rank, target_rank: Rank | None) -> bool:
    """Whether the target, where connected, ranks below; None: not connected."""
    return target_rank is None or target_rank < rank
