"""The frames that a client sends, as values; what they say of themselves stands in docs/api/asyncapi.yaml too."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from ws_edge.protocol.commands import (
    ChangePolicy,
    ChangeSanction,
    ClearRoom,
    Command,
    DecideHeld,
    DeleteMessage,
    IssueWarning,
    PinMessage,
    PurgeMessages,
    Report as ReportCommand,
    SetShield,
    Target,
    UndoAction,
    UnpinMessage,
)
from ws_edge.protocol.emotes import REACTION_LIMIT_CHARACTERS
from ws_edge.protocol.identity import MessageId, UserId
from ws_edge.protocol.policies import (
    DELAY_STEP_S,
    FEWEST_SHOWN,
    LONGEST_DELAY_S,
    LONGEST_MESSAGE,
    LONGEST_SHIELD_MINUTES,
    LONGEST_SLOW_MODE_S,
    LONGEST_WAIT_MINUTES,
    MOST_SHOWN,
    Links,
    ReadOnly,
)
from ws_edge.protocol.references import LARGEST_ID
from ws_edge.protocol.sanctions import Action, Scope

MESSAGE_LENGTH = LONGEST_MESSAGE
NONCE_LENGTH = 64
LONGEST_DURATION_MINUTES = 525_600
HISTORY_LIMIT = 100
"""Messages in one answer."""
REASON_LENGTH = 500
_USERNAME_LENGTH = 128

# Text that is kept in a database: PostgreSQL cannot hold U+0000.
_STORABLE = r"^[^\x00]*$"

Nonce = Annotated[str, Meta(max_length=NONCE_LENGTH)]
_Id = Annotated[int, Meta(ge=1, le=LARGEST_ID)]
_SinceId = Annotated[int, Meta(ge=0, le=LARGEST_ID)]
_Duration = Annotated[int, Meta(ge=0, le=LONGEST_DURATION_MINUTES)]
_Reason = Annotated[str, Meta(max_length=REASON_LENGTH, pattern=_STORABLE)]
_ShieldMinutes = Annotated[int, Meta(ge=1, le=LONGEST_SHIELD_MINUTES)]
SlowModeSeconds = Annotated[int, Meta(ge=0, le=LONGEST_SLOW_MODE_S)]
Minutes = Annotated[int, Meta(ge=0, le=LONGEST_WAIT_MINUTES)]
MaxShown = Annotated[
    int, Meta(ge=0, le=MOST_SHOWN, extra_json_schema={"anyOf": [{"const": 0}, {"minimum": FEWEST_SHOWN}]})
]
DelaySeconds = Annotated[int, Meta(ge=0, le=LONGEST_DELAY_S, multiple_of=DELAY_STEP_S)]
MaxLength = Annotated[int, Meta(ge=1, le=MESSAGE_LENGTH)]
_Username = Annotated[str, Meta(min_length=1, max_length=_USERNAME_LENGTH, pattern=_STORABLE)]


class NoData(Struct, frozen=True):
    """`data` of a frame that says everything by its type."""


class MessageData(Struct, frozen=True):
    """`data` of a chat_message."""

    # The session judges the length, for it has errors of its own.
    message: Annotated[str, Meta(extra_json_schema={"minLength": 1, "maxLength": MESSAGE_LENGTH})]
    """Not only white space."""
    nonce: Nonce = ""
    """Of the client's making: comes back in its own copy, and makes it safe to send the message again."""
    reply_to: _Id | None = None
    """The message that this one answers."""


class PolicyChanges(Struct, frozen=True):
    """The fields of the policy that are to change; the others stay as they are."""

    slow_mode_seconds: SlowModeSeconds | UnsetType = UNSET
    """So far apart are the messages of one person in the room; 0: no slow mode."""
    read_only: ReadOnly | UnsetType = UNSET
    """Who may not write."""
    members_only: bool | UnsetType = UNSET
    """Only those write whose token has the claim `member`."""
    min_account_minutes: Minutes | UnsetType = UNSET
    """How old an account has to be, by the claim `account_created_at`; 0: of any age."""
    min_follow_minutes: Minutes | UnsetType = UNSET
    """For how long somebody has to have followed, by the claim `following_since`; 0: not at all."""
    emote_only: bool | UnsetType = UNSET
    """Nothing but emoji and `:names:`."""
    max_length: MaxLength | UnsetType = UNSET
    """Of a message, in Unicode characters."""
    unique: bool | UnsetType = UNSET
    """Nobody says in 2 minutes what was said in the room."""
    links: Links | UnsetType = UNSET
    """What becomes of a message with a link in it; hold: it waits for a moderator."""
    shield_automatic: bool | UnsetType = UNSET
    """A shield is laid by itself, for 15 minutes, where there is a raid."""
    max_shown_per_second: MaxShown | UnsetType = UNSET
    """So many messages a second each viewer is shown; 0: all."""
    delay_seconds: DelaySeconds | UnsetType = UNSET
    """So long after moderators and its author viewers see a message."""

    def __post_init__(self) -> None:
        """Raises ValueError, which the decoder reports as a wrong frame."""
        if not self.named:
            raise ValueError("nothing that is known here would change")
        if self.max_shown_per_second is not UNSET and 0 < self.max_shown_per_second < FEWEST_SHOWN:
            raise ValueError("fewer than a room may show")

    @property
    def named(self) -> dict[str, Any]:
        """The fields that are to change."""
        values = ((name, getattr(self, name)) for name in self.__struct_fields__)
        return {name: value for name, value in values if value is not UNSET}


_NEEDED = {
    "delete": "message_id",
    "pin": "message_id",
    "unpin": "message_id",
    "policy": "changes",
    "shield": "on",
    "undo": "action_id",
    "allow": "hold_id",
    "deny": "hold_id",
}
"""What actions that are aimed at nobody need instead of a target; clear needs nothing."""


class ModerationData(Struct, frozen=True):
    """`data` of a moderation_action."""

    action: Literal[
        "ban",
        "mute",
        "unban",
        "unmute",
        "delete",
        "purge",
        "clear",
        "pin",
        "unpin",
        "policy",
        "shield",
        "warn",
        "undo",
        "allow",
        "deny",
    ]
    target_user_id: _Id | None = None
    """One of the two targets has to be there, but for delete, clear, pin, unpin, policy, shield, undo, allow and deny;
    this one stands before the other."""
    target_username: _Username | None = None
    """An anonymous user by name: their address is what is sanctioned."""
    message_id: _Id | None = None
    """Of delete: the message to be taken back; of pin and unpin: the one to be pinned, or the one that is."""
    changes: PolicyChanges | None = None
    """Of policy: one field at least."""
    on: bool | None = None
    """Of shield, which needs it: whether it is to lie over the policy from now on, or no longer."""
    minutes: _ShieldMinutes = 15
    """Of shield: when it ends by itself."""
    action_id: _Id | None = None
    """Of undo: what is to be undone, as your own copy of it said, or GraphQL's `auditLog`."""
    hold_id: _Id | None = None
    """Of allow and deny: the message that waits, as GraphQL's `heldMessages` has it."""
    duration_minutes: _Duration = 0
    """0: permanent."""
    purge: bool = False
    """Of ban and mute: the target's messages are taken back in the same step."""
    reason: _Reason = ""
    """Kept in the audit log. Of warn, which needs one: shown to the target."""
    scope: Literal["room", "everywhere"] = "room"
    nonce: Nonce = ""
    """Comes back in the error that refuses the action, in your own copy of what the room is told, or in the answer
    to you alone; the same again within two minutes changes nothing, and with another action it is nonce_taken."""

    def __post_init__(self) -> None:
        """Raises ValueError, which the decoder reports as a wrong frame."""
        needed = _NEEDED.get(self.action)
        if needed is not None:
            if getattr(self, needed) is None:
                raise ValueError(f"the action needs {needed}")
        elif self.action != "clear" and self.target_user_id is None and self.target_username is None:
            raise ValueError("an action needs a target")
        elif self.action == "warn" and not self.reason.strip():
            raise ValueError("a warning needs a reason")


class ChatMessage(Struct, frozen=True, tag="chat_message", tag_field="type"):
    """Something to be said in the room."""

    data: MessageData


class TypingStart(Struct, frozen=True, tag="typing_start", tag_field="type"):
    """The client's user began to type, or still does."""

    data: NoData = field(default_factory=NoData)


class TypingStop(Struct, frozen=True, tag="typing_stop", tag_field="type"):
    """The client's user no longer types."""

    data: NoData = field(default_factory=NoData)


class ModerationAction(Struct, frozen=True, tag="moderation_action", tag_field="type"):
    """A sanction to impose or to lift, messages to take back, the room's policy, shield or pin to change, somebody to
    warn, an action to undo, or a message that waits to decide about."""

    data: ModerationData

    @property
    def command(self) -> Command:
        """What is to be done."""
        data = self.data
        match data.action:
            case "delete":
                assert data.message_id is not None
                return DeleteMessage(MessageId(data.message_id))
            case "purge":
                return PurgeMessages(self._target)
            case "clear":
                return ClearRoom()
            case "pin" | "unpin":
                assert data.message_id is not None
                return (PinMessage if data.action == "pin" else UnpinMessage)(MessageId(data.message_id))
            case "policy":
                assert data.changes is not None
                return ChangePolicy(**data.changes.named)
            case "shield":
                return SetShield(data.minutes if data.on else 0)
            case "warn":
                return IssueWarning(self._target)
            case "undo":
                assert data.action_id is not None
                return UndoAction(data.action_id)
            case "allow" | "deny":
                assert data.hold_id is not None
                return DecideHeld(data.hold_id, data.action == "allow")
            case word:
                action, scope = Action[word.upper()], Scope[data.scope.upper()]
                purge = data.purge and action in (Action.BAN, Action.MUTE)
                return ChangeSanction(action, self._target, scope, data.duration_minutes, purge)

    @property
    def _target(self) -> Target:
        """An id stands before a name."""
        user_id = self.data.target_user_id
        return Target(None, self.data.target_username) if user_id is None else Target(UserId(user_id), None)


class AcknowledgeWarningData(Struct, frozen=True):
    """`data` of an acknowledge_warning."""

    warning_id: _Id
    """Of the warning frame."""
    nonce: Nonce = ""
    """Comes back in the error that refuses it."""


class AcknowledgeWarning(Struct, frozen=True, tag="acknowledge_warning", tag_field="type"):
    """The client's user has read a warning, and may write again."""

    data: AcknowledgeWarningData


class ReportData(Struct, frozen=True):
    """`data` of a report."""

    category: Literal["spam", "harassment", "hate", "sexual", "violence", "other"]
    message_id: _Id | None = None
    """The message that is reported; it stands before a target. One of the three has to be there."""
    target_user_id: _Id | None = None
    """Who is reported, without a message; this one stands before the next."""
    target_username: _Username | None = None
    """An anonymous user by name."""
    note: Annotated[str, Meta(max_length=REASON_LENGTH, pattern=_STORABLE)] = ""
    """What moderators should know besides."""
    nonce: Nonce = ""
    """Comes back in reported, and in the error that refuses it."""

    def __post_init__(self) -> None:
        """Raises ValueError, which the decoder reports as a wrong frame."""
        if self.message_id is None and self.target_user_id is None and self.target_username is None:
            raise ValueError("a report needs a message or a target")


class Report(Struct, frozen=True, tag="report", tag_field="type"):
    """Tells moderators of a message, or of somebody."""

    data: ReportData

    @property
    def command(self) -> ReportCommand:
        """What is reported."""
        data = self.data
        if data.message_id is not None:
            return ReportCommand(MessageId(data.message_id), None, data.category, data.note)
        if data.target_user_id is not None:
            target = Target(UserId(data.target_user_id), None)
        else:
            target = Target(None, data.target_username)
        return ReportCommand(None, target, data.category, data.note)


class ModerationFeedData(Struct, frozen=True):
    """`data` of a moderation_feed."""

    on: bool
    """Whether you want to be told from now on, or no longer."""
    since: _SinceId | None = None
    """With on: the last moderation_event that you know, or the event_id of the moderation_feed before; what came since
    is sent behind the answer."""
    nonce: Nonce = ""
    """Comes back in the answer, or in the error that refuses it."""


class ModerationFeed(Struct, frozen=True, tag="moderation_feed", tag_field="type"):
    """A moderator asks to be told what happens in the room."""

    data: ModerationFeedData


class ReactionData(Struct, frozen=True):
    """`data` of a reaction."""

    emoji: Annotated[str, Meta(min_length=1, max_length=REACTION_LIMIT_CHARACTERS)]
    """One emoji, or the name of an emote of the room, with or without its colons."""
    message_id: _Id | None = None
    """What it is a reaction to: one of the last 500 messages of the room. Without it: to what happens just now."""


class Reaction(Struct, frozen=True, tag="reaction", tag_field="type"):
    """A reaction, which is added to those of the others."""

    data: ReactionData


class HistoryData(Struct, frozen=True):
    """`data` of a history request."""

    before: _Id | None = None
    """Messages before this one; without it the newest of all."""
    limit: Annotated[int, Meta(ge=1, le=HISTORY_LIMIT)] = 50


class History(Struct, frozen=True, tag="history", tag_field="type"):
    """Asks for older messages."""

    data: HistoryData = field(default_factory=HistoryData)


class AuthenticateData(Struct, frozen=True):
    """`data` of an authenticate."""

    token: Annotated[str, Meta(min_length=1)]
    """A JSON Web Token of the same user."""

    def __repr__(self) -> str:
        """Without the token, which no log may hold."""
        return "AuthenticateData(token=***)"


class Authenticate(Struct, frozen=True, tag="authenticate", tag_field="type"):
    """Replaces the token of the connection."""

    data: AuthenticateData


class Ping(Struct, frozen=True, tag="ping", tag_field="type"):
    """Answered by a pong."""

    data: NoData = field(default_factory=NoData)


ClientFrame = (
    ChatMessage
    | TypingStart
    | TypingStop
    | ModerationAction
    | AcknowledgeWarning
    | Report
    | ModerationFeed
    | Reaction
    | History
    | Authenticate
    | Ping
)

TYPES = frozenset(
    {
        "chat_message",
        "typing_start",
        "typing_stop",
        "moderation_action",
        "acknowledge_warning",
        "report",
        "moderation_feed",
        "reaction",
        "history",
        "authenticate",
        "ping",
    }
)
"""The tags above: with them a malformed frame differs from one of an unknown type."""
