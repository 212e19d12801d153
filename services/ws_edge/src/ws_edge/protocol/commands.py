"""What a client may ask moderation for: the commands behind moderation_action frames."""

from msgspec import Struct

from ws_edge.protocol.identity import MessageId, UserId
from ws_edge.protocol.policies import Links, ReadOnly
from ws_edge.protocol.sanctions import Action, Scope


class Target(Struct, frozen=True, gc=False):
    """Somebody, by id or else by name."""

    user_id: UserId | None
    username: str | None
    """Of an anonymous one; None where there is an id."""


class ChangeSanction(Struct, frozen=True, gc=False):
    """Impose or lift a ban or a mute."""

    action: Action
    target: Target
    scope: Scope = Scope.ROOM
    duration_minutes: int = 0
    """0: permanent."""
    purge: bool = False
    """Take back the target's messages of this life in the same step."""


class DeleteMessage(Struct, frozen=True, gc=False):
    """Take one message back: somebody else's, or one's own."""

    message_id: MessageId


class PurgeMessages(Struct, frozen=True, gc=False):
    """Take back all messages of somebody in this life."""

    target: Target


class ClearRoom(Struct, frozen=True, gc=False):
    """Take back all messages of this life."""


class PinMessage(Struct, frozen=True, gc=False):
    """Pin one message of this life, in place of what is pinned."""

    message_id: MessageId


class UnpinMessage(Struct, frozen=True, gc=False):
    """End the pin of that message."""

    message_id: MessageId


class ChangePolicy(Struct, frozen=True, gc=False):
    """Change fields of the room's policy; None: it stays as it is."""

    slow_mode_seconds: int | None = None
    read_only: ReadOnly | None = None
    members_only: bool | None = None
    min_account_minutes: int | None = None
    min_follow_minutes: int | None = None
    emote_only: bool | None = None
    max_length: int | None = None
    unique: bool | None = None
    links: Links | None = None
    shield_automatic: bool | None = None
    max_shown_per_second: int | None = None
    delay_seconds: int | None = None


class SetShield(Struct, frozen=True, gc=False):
    """Lay the shield over the room's policy, or take it away."""

    minutes: int
    """For so long from now on; 0: it is taken away."""


class UndoAction(Struct, frozen=True, gc=False):
    """Take back what an action did."""

    action_id: int


class DecideHeld(Struct, frozen=True, gc=False):
    """Publish a message that waits for a moderator, or have it rejected."""

    hold_id: int
    allows: bool


class IssueWarning(Struct, frozen=True, gc=False):
    """Warn somebody in this room, for a reason."""

    target: Target


class Report(Struct, frozen=True, gc=False):
    """Tell moderators of a message, or of somebody."""

    message_id: MessageId | None
    """None: of somebody."""
    target: Target | None
    """None: of a message."""
    category: str
    """One of the words of the frame."""
    note: str


Command = (
    ChangeSanction
    | DeleteMessage
    | PurgeMessages
    | ClearRoom
    | PinMessage
    | UnpinMessage
    | ChangePolicy
    | SetShield
    | IssueWarning
    | UndoAction
    | DecideHeld
)
