"""Who may do what to whom: one table, and what a command changes where it is permitted."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from moderation.domain.commands import ErasureOrder
from moderation.domain.erasures import Erasure, ErasureCommand, ErasureKind, LoggedMessage
from moderation.domain.holds import DecideHeldCommand, HoldAction
from moderation.domain.kept_rules import RuleEdit, scope_of
from moderation.domain.people import Moderator, Rank
from moderation.domain.pins import PinAction, PinCommand
from moderation.domain.policy import PolicyAction, PolicyCommand, ShieldCommand
from moderation.domain.revocations import RevocationAction, RevocationCommand
from moderation.domain.roles import RoleAction, RoleCommand
from moderation.domain.sanctions import Action, Command, Sanction, Scope, first_addresses
from moderation.domain.user_erasures import EraseUserCommand, UserErasureAction
from moderation.domain.warnings import WarningAction, WarningCommand
from moderation.errors import MessageNotFound, NotPermitted, SanctionIsOver

AnyAction: TypeAlias = (
    Action
    | ErasureKind
    | PolicyAction
    | PinAction
    | WarningAction
    | RuleEdit
    | RoleAction
    | RevocationAction
    | UserErasureAction
    | HoldAction
)
LOWEST_RANK: Mapping[tuple[AnyAction, Scope], Rank] = {
    (ErasureKind.DELETE, Scope.ROOM): Rank.MODERATOR,
    (ErasureKind.PURGE, Scope.ROOM): Rank.MODERATOR,
    (ErasureKind.CLEAR, Scope.ROOM): Rank.OWNER,
    (PolicyAction.CHANGE, Scope.ROOM): Rank.OWNER,
    (RoleAction.SET, Scope.ROOM): Rank.OWNER,
    (PolicyAction.SHIELD, Scope.ROOM): Rank.MODERATOR,
    (PinAction.PIN, Scope.ROOM): Rank.MODERATOR,
    (PinAction.UNPIN, Scope.ROOM): Rank.MODERATOR,
    (WarningAction.ISSUE, Scope.ROOM): Rank.MODERATOR,
    (HoldAction.ALLOW, Scope.ROOM): Rank.MODERATOR,
    (HoldAction.DENY, Scope.ROOM): Rank.MODERATOR,
    (RuleEdit.SAVE, Scope.ROOM): Rank.OWNER,
    (RuleEdit.SAVE, Scope.EVERYWHERE): Rank.ADMIN,
    (RuleEdit.DELETE, Scope.ROOM): Rank.OWNER,
    (RuleEdit.DELETE, Scope.EVERYWHERE): Rank.ADMIN,
    (RevocationAction.REVOKE_TOKENS, Scope.EVERYWHERE): Rank.ADMIN,
    (RevocationAction.REVOKE_TOKEN, Scope.EVERYWHERE): Rank.ADMIN,
    (UserErasureAction.ERASE, Scope.EVERYWHERE): Rank.ADMIN,
    (Action.MUTE, Scope.ROOM): Rank.MODERATOR,
    (Action.UNMUTE, Scope.ROOM): Rank.MODERATOR,
    (Action.BAN, Scope.ROOM): Rank.OWNER,
    (Action.UNBAN, Scope.ROOM): Rank.OWNER,
    (Action.MUTE, Scope.EVERYWHERE): Rank.ADMIN,
    (Action.UNMUTE, Scope.EVERYWHERE): Rank.ADMIN,
    (Action.BAN, Scope.EVERYWHERE): Rank.ADMIN,
    (Action.UNBAN, Scope.EVERYWHERE): Rank.ADMIN,
}
"""Those of this rank and above have the action, with that scope."""
OWN_MESSAGE_MS = 600_000
"""How long people may delete what they said themselves."""
_AS_LONG_MS = 60_000


@dataclass(frozen=True, slots=True)
class Change:
    """What a command does to the sanctions of its target."""

    lifted: tuple[Sanction, ...]
    imposes: bool
    addresses: frozenset[str] = frozenset()
    """What the sanction that it imposes holds for, MOST_ADDRESSES at most."""


def may_act(rank: Rank, action: AnyAction, scope: Scope) -> bool:
    """Whether somebody of that rank has that action with that scope at all."""
    return rank >= LOWEST_RANK[action, scope]


def may_execute(command: Command) -> bool:
    """Whether rank and role allow it, whatever is in force: signed in, on somebody else, by the table, and above the
    target's rank where that is connected."""
    moderator, target_rank = command.moderator, command.target_rank
    return (
        moderator.user_id != 0
        and not moderator.is_aimed_at(command.target)
        and may_act(moderator.rank, command.action, command.scope)
        and (target_rank is None or target_rank < moderator.rank)
    )


def may_lift(moderator: Moderator, sanction: Sanction) -> bool:
    """Whether the moderator could have imposed it: signed in, not on themselves, by the table, and no higher author."""
    return (
        moderator.user_id != 0
        and not moderator.is_aimed_at(sanction.target)
        and may_act(moderator.rank, sanction.kind, sanction.scope)
        and sanction.moderator_rank <= moderator.rank
    )


def may_take_back(command: ErasureCommand) -> bool:
    """Whether rank and role allow it, whatever is in the log: as for a sanction. Of a deletion, where its
    message can be read, see decide_deletion."""
    moderator, target_rank = command.moderator, command.target_rank
    return (
        moderator.user_id != 0
        and not (command.target is not None and moderator.is_aimed_at(command.target))
        and may_act(moderator.rank, command.kind, Scope.ROOM)
        and (target_rank is None or target_rank < moderator.rank)
    )


def may_change_policy(command: PolicyCommand) -> bool:
    """Whether rank and role allow it: signed in, and by the table."""
    moderator = command.moderator
    return moderator.user_id != 0 and may_act(moderator.rank, PolicyAction.CHANGE, Scope.ROOM)


def may_shield(command: ShieldCommand) -> bool:
    """Whether rank and role allow it: signed in, and by the table."""
    moderator = command.moderator
    return moderator.user_id != 0 and may_act(moderator.rank, PolicyAction.SHIELD, Scope.ROOM)


def may_pin(command: PinCommand) -> bool:
    """Whether rank and role allow it: signed in, and by the table. Whose the message is does not matter: who pins it
    acts on nobody."""
    moderator = command.moderator
    return moderator.user_id != 0 and may_act(moderator.rank, command.action, Scope.ROOM)


def may_decide(command: DecideHeldCommand) -> bool:
    """Whether rank and role allow it: signed in, and by the table. Nobody decides about their own message, see
    decide_hold; whoever was held ranked below all who may."""
    moderator = command.moderator
    return moderator.user_id != 0 and may_act(moderator.rank, command.action, Scope.ROOM)


def may_warn(command: WarningCommand) -> bool:
    """Whether rank and role allow it: as for a sanction."""
    moderator, target_rank = command.moderator, command.target_rank
    return (
        moderator.user_id != 0
        and not moderator.is_aimed_at(command.target)
        and may_act(moderator.rank, WarningAction.ISSUE, Scope.ROOM)
        and (target_rank is None or target_rank < moderator.rank)
    )


def may_revoke(command: RevocationCommand) -> bool:
    """Whether rank and role allow it: as for a sanction. Of one token nobody here can say whose it is: whoever may
    revoke tokens may revoke any."""
    moderator, target_rank = command.moderator, command.target_rank
    return (
        moderator.user_id != 0
        and not moderator.is_aimed_at(command.target)
        and may_act(moderator.rank, command.action, Scope.EVERYWHERE)
        and (target_rank is None or target_rank < moderator.rank)
    )


def may_erase_user(command: EraseUserCommand) -> bool:
    """Whether rank and role allow it: as for a sanction."""
    moderator, target_rank = command.moderator, command.target_rank
    return (
        moderator.user_id != 0
        and not moderator.is_aimed_at(command.target)
        and may_act(moderator.rank, UserErasureAction.ERASE, Scope.EVERYWHERE)
        and (target_rank is None or target_rank < moderator.rank)
    )


def may_edit_rules(moderator: Moderator, edit: RuleEdit, slug: str) -> bool:
    """The same of the rules of a slug, or of EVERYWHERE. Those who may save them may read what they hit."""
    return moderator.user_id != 0 and may_act(moderator.rank, edit, scope_of(slug))


def may_edit_classifiers(moderator: Moderator) -> bool:
    """The same of rules that send what is said in a room elsewhere: admins alone, wherever it is, who read its URL."""
    return moderator.user_id != 0 and moderator.rank >= Rank.ADMIN


def demand_classifiers(moderator: Moderator) -> None:
    """Raises NotPermitted."""
    if not may_edit_classifiers(moderator):
        raise NotPermitted


def may_set_role(command: RoleCommand) -> bool:
    """Whether rank and role allow it: as for a sanction."""
    moderator, target_rank = command.moderator, command.target_rank
    return (
        moderator.user_id != 0
        and not moderator.is_aimed_at(command.target)
        and may_act(moderator.rank, RoleAction.SET, Scope.ROOM)
        and (target_rank is None or target_rank < moderator.rank)
    )


def decide_deletion(order: ErasureOrder, message: LoggedMessage | None, *, now_ms: int) -> Erasure:
    """What a deletion comes to, by the message as the log has it. Whoever may delete others' messages may delete their
    own at any time. Raises NotPermitted; MessageNotFound where there is none."""
    command, log = order.command, order.log
    if command.moderator.user_id == 0:
        raise NotPermitted
    if message is None or log is None:
        raise MessageNotFound
    if not (_may_delete_own(command, message, now_ms) or may_take_back(command)):
        raise NotPermitted
    return erasure_of(order).of(message)


def take_back_all(order: ErasureOrder) -> Erasure:
    """What a purge or a clear comes to. Raises NotPermitted; MessageNotFound where the room has no log."""
    if not may_take_back(order.command):
        raise NotPermitted
    return erasure_of(order)


def erasure_of(order: ErasureOrder) -> Erasure:
    """What a command takes back, as far as it says itself. Raises MessageNotFound where the room has no log."""
    command = order.command
    if order.log is None:
        raise MessageNotFound
    return Erasure(
        command.kind,
        order.log,
        command.moderator.user_id,
        order.origin,
        message_id=command.message_id,
        author=command.target,
        username=command.target.username if command.target else "",
    )


def still_there(pending: Iterable[Erasure], erasure: Erasure, message: LoggedMessage | None) -> Erasure:
    """What a command takes back, if none before it that is not done yet does so already. Raises MessageNotFound."""
    is_deletion = erasure.kind is ErasureKind.DELETE
    for other in pending if is_deletion else ():
        if other.message_id == erasure.message_id or (message is not None and other.takes(message)):
            raise MessageNotFound
    return erasure


def _may_delete_own(command: ErasureCommand, message: LoggedMessage, now_ms: int) -> bool:
    is_own = command.moderator.is_aimed_at(message.author)
    is_recent = now_ms - message.at_ms <= OWN_MESSAGE_MS
    return is_own and (is_recent or may_act(command.moderator.rank, command.kind, Scope.ROOM))


def decide(command: Command, in_force: Iterable[Sanction], *, addresses: frozenset[str]) -> Change:
    """What a command that may be executed changes among its target's sanctions in force; `addresses` are where the
    target was seen. Raises NotPermitted where it would lift what a higher rank imposed."""
    same_kind = [s for s in in_force if s.kind is command.action.kind]
    return _impose(command, same_kind, addresses) if command.action.imposes else _lift(command, same_kind)


def decide_by_rule(command: Command, in_force: Iterable[Sanction], *, addresses: frozenset[str], now_ms: int) -> Change:
    """What a mute by rule changes. Raises SanctionIsOver where a mute as long, but for a minute, holds there already:
    several messages of one person come at once, and what a moderator imposed meanwhile is not to be shortened."""
    sanctions, until_ms = list(in_force), (command.expires_at_ms(now_ms) or 0) - _AS_LONG_MS
    for sanction in sanctions:
        is_mute = sanction.kind is Action.MUTE and sanction.reaches(command.slug)
        if is_mute and (sanction.expires_at_ms is None or sanction.expires_at_ms >= until_ms):
            raise SanctionIsOver
    return decide(command, sanctions, addresses=addresses)


def _impose(command: Command, in_force: list[Sanction], addresses: frozenset[str]) -> Change:
    """Replace the earlier one of the same kind, scope and target; one by a higher rank stays beside it, unshortened.
    Whoever bans again to make it longer must not let go of the addresses that the ban was following; where they are too
    many, those of the last hour come first."""
    replaced = [s for s in in_force if s.slug == command.holds_in and s.moderator_rank <= command.moderator.rank]
    followed = (sorted(s.addresses) for s in replaced if s.target == command.target)
    return Change(tuple(replaced), imposes=True, addresses=first_addresses(sorted(addresses), *followed))


def _lift(command: Command, in_force: list[Sanction]) -> Change:
    """Lift all of that scope, or nothing: what the room is sent about it must be true. In a room it is what holds in
    that room alone: who may act there does not decide about other rooms."""
    meant = [s for s in in_force if command.holds_in is None or s.slug == command.holds_in]
    if any(not may_lift(command.moderator, s) for s in meant):
        raise NotPermitted
    return Change(lifted=tuple(meant), imposes=False)
