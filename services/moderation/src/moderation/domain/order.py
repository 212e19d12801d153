"""What a moderator asked for, and what it changes among the sanctions that stand."""

from collections.abc import Iterable
from dataclasses import dataclass

from moderation.domain.people import Rank, Target
from moderation.domain.roles import may_act, outranks
from moderation.domain.sanction import Action, Sanction, Scope

_MS_PER_MINUTE = 60_000


class NotPermitted(Exception):
    """The rules of rank and role refuse it."""


@dataclass(frozen=True, slots=True)
class Moderator:
    """Who acts."""

    user_id: int
    rank: Rank


@dataclass(frozen=True, slots=True)
class Order:
    """A moderation_action with who sent it and where."""

    moderator: Moderator
    action: Action
    target: Target
    target_rank: Rank | None
    """The highest rank the target is connected with; None: not connected."""
    scope: Scope
    slug: str
    """The room in which the moderator acts, also for scope everywhere; may be empty when lifted by id."""
    duration_minutes: int
    """0: permanent."""
    reason: str

    @property
    def holds_in(self) -> str | None:
        """The slug that the sanction is about; None: everywhere."""
        return None if self.scope is Scope.EVERYWHERE else self.slug

    def expires_at_ms(self, now_ms: int) -> int | None:
        """When the sanction ends that is imposed now; None: never."""
        return now_ms + self.duration_minutes * _MS_PER_MINUTE if self.duration_minutes else None


@dataclass(frozen=True, slots=True)
class Change:
    """What an order does to the sanctions of its target."""

    lifted: tuple[Sanction, ...]
    imposes: bool


def check(order: Order) -> None:
    """Judge an order by role and rank alone. Raises NotPermitted."""
    moderator = order.moderator
    is_self = order.target.user_id != 0 and order.target.user_id == moderator.user_id
    has_power = may_act(moderator.rank, order.action, order.scope) and outranks(moderator.rank, order.target_rank)
    if is_self or not has_power or moderator.user_id == 0:
        raise NotPermitted


def decide(order: Order, standing: Iterable[Sanction]) -> Change:
    """What changes among the target's sanctions in force. Raises NotPermitted."""
    same_kind = [s for s in standing if s.kind is order.action.kind]
    return _impose(order, same_kind) if order.action.imposes else _lift(order, same_kind)


def _impose(order: Order, standing: list[Sanction]) -> Change:
    """Replace the earlier one of the same kind, scope and target; one by a higher rank stands beside, unshortened."""
    replaced = (s for s in standing if s.slug == order.holds_in and s.moderator_rank <= order.moderator.rank)
    return Change(lifted=tuple(replaced), imposes=True)


def _lift(order: Order, standing: list[Sanction]) -> Change:
    """Lift all of that scope, or nothing: what was told to the room must be true. In a room it is what holds in that
    room alone: who may act there does not decide about other rooms."""
    meant = [s for s in standing if order.holds_in is None or s.slug == order.holds_in]
    if any(not may_lift(order.moderator, s) for s in meant):
        raise NotPermitted
    return Change(lifted=tuple(meant), imposes=False)


def may_lift(moderator: Moderator, sanction: Sanction) -> bool:
    """Whether the moderator could have imposed it: role, reach, not their own, and no higher author."""
    is_own = sanction.target.user_id != 0 and sanction.target.user_id == moderator.user_id
    return (
        may_act(moderator.rank, sanction.kind, sanction.scope)
        and sanction.moderator_rank <= moderator.rank
        and not is_own
        and moderator.user_id != 0
    )
