"""The frames that clients are sent, as values: what the codec writes, and what docs/api/asyncapi.yaml shows. The bounds
in their annotations are for that document; nothing checks them on the way out. An UNSET field is left out."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from ws_edge.errors import ErrorCode
from ws_edge.protocol.emotes import EMOTES_SHOWN, REACTION_LIMIT_CHARACTERS
from ws_edge.protocol.frames import (
    LONGEST_DURATION_MINUTES,
    MESSAGE_LENGTH,
    REASON_LENGTH,
    DelaySeconds,
    MaxLength,
    MaxShown,
    Minutes,
    NoData,
    Nonce,
    SlowModeSeconds,
)
from ws_edge.protocol.identity import VIP
from ws_edge.protocol.policies import Links, ReadOnly
from ws_edge.protocol.references import LARGEST_ID
from ws_edge.protocol.sanctions import RIGHTS, Action

_Id = Annotated[int, Meta(ge=1, le=LARGEST_ID)]
_EntryId = Annotated[int, Meta(ge=0, le=LARGEST_ID)]
_Count = Annotated[int, Meta(ge=0, le=LARGEST_ID)]
_Positive = Annotated[int, Meta(ge=1)]
_Emoji = Annotated[str, Meta(min_length=1, max_length=REACTION_LIMIT_CHARACTERS)]
_MessageKey = Annotated[str, Meta(pattern=r"^[1-9][0-9]*$")]
_Text = Annotated[str, Meta(min_length=1, max_length=MESSAGE_LENGTH)]
_Time = Annotated[
    str,
    Meta(
        pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$",
        examples=["2025-11-27T16:30:00.123Z"],
    ),
]
_ROLES = ("superuser", "admin", "owner", "moderator", VIP, "user")
_Role = Annotated[str, Meta(extra_json_schema={"enum": _ROLES})]
_Right = Annotated[str, Meta(extra_json_schema={"enum": RIGHTS})]
_Sanction = Annotated[str, Meta(extra_json_schema={"enum": [Action.BAN.word, Action.MUTE.word]})]
_Scope = Annotated[str, Meta(extra_json_schema={"enum": ["room", "everywhere"]})]
_Object = Annotated[dict[str, Any], Meta(extra_json_schema={"additionalProperties": True})]
_Action = Annotated[str, Meta(extra_json_schema={"enum": [*(action.word for action in Action), "warn", "deny"]})]


BLOCKED_LIMIT = 1000
OPEN_ITEMS = 50
SANCTIONS_SHOWN = 400


class You(Struct, frozen=True, gc=False):
    """Who a connection is, and what it may do in its room."""

    user_id: _Id | None
    """null: anonymous."""
    username: str
    roles: tuple[_Role, ...]
    may: tuple[_Right, ...]
    muted_until: _Time | UnsetType | None = UNSET
    """There while a mute holds; null: it does not end."""
    resume: str | UnsetType = UNSET
    """Of an anonymous connection: for `resume` of the address, with which it is the same participant again."""
    blocked: Annotated[tuple[_Id, ...], Meta(max_length=BLOCKED_LIMIT)] | UnsetType = UNSET
    """In room_joined of a signed-in user: whom they have blocked, and do not want to read. Missing where that could not
    be read."""


class PolicyData(Struct, frozen=True, gc=False):
    """The policy of a room: what its messages are held to. Moderators and above are exempt from all of it."""

    version: _Count
    """Of two the one with the higher version holds, whichever was heard first; 0: nobody has ever changed it."""
    slow_mode_seconds: SlowModeSeconds
    """So far apart are the messages of one person in the room; 0: no slow mode."""
    read_only: ReadOnly
    """Who may not write."""
    members_only: bool
    """Only those write whose token has the claim `member`."""
    min_account_minutes: Minutes
    """How old an account has to be, by the claim `account_created_at`; 0: of any age."""
    min_follow_minutes: Minutes
    """For how long somebody has to have followed, by the claim `following_since`; 0: not at all."""
    emote_only: bool
    """Nothing but emoji and `:names:`."""
    max_length: MaxLength
    """Of a message, in Unicode characters."""
    unique: bool
    """Nobody says in 2 minutes what was said in the room."""
    links: Links
    """What becomes of a message with a link in it."""
    shield_automatic: bool
    """A shield is laid by itself, for 15 minutes, where there is a raid."""
    max_shown_per_second: MaxShown
    """So many messages a second each viewer is shown; 0: all."""
    delay_seconds: DelaySeconds
    """So long after moderators and its author viewers see a message."""
    shield: "ShieldData | None"
    """null: none. Else the other fields are what holds until its end: the stricter of `underlying` and of what the
    shield asks for."""


class ShieldData(Struct, frozen=True, gc=False):
    """What lies over a policy."""

    until: _Time
    """When it ends by itself; nobody is told then."""
    underlying: PolicyData
    """What is kept, which holds from then on, unless another policy was told."""


class EmoteData(Struct, frozen=True, gc=False):
    """An emote in a message."""

    name: str
    """Without the colons."""
    url: str
    """Of its image, https."""
    start: _Count
    """Where it begins, with its first colon, in Unicode characters of `message`."""
    end: _Count
    """Behind its last colon."""


class MessageData(Struct, frozen=True, kw_only=True, gc=False):
    """One stored message."""

    id: _Id
    """Rises along the order of the room; never given twice, in any room."""
    message: _Text
    username: str
    user_id: _Id | None
    """null: anonymous."""
    timestamp: _Time
    room_id: _Id
    prev_id: _EntryId | UnsetType = UNSET
    """The entry shown before this one, 0: none. Who holds something else has missed some. Not within `history` and
    pins, nor in a copy besides the others."""
    skipped: _Positive | UnsetType = UNSET
    """So many messages between `prev_id` and this one are not shown, see `max_shown_per_second`; `since` and `history`
    have them."""
    visible_at: _Time | UnsetType = UNSET
    """In an early copy, for moderators and whose it is: when it comes to all, with `prev_id`, to you as well; unless it
    is taken back before. It does not move your last id."""
    role: _Role | None
    """The author's highest; null: anonymous."""
    reply_to: _Id | UnsetType = UNSET
    """The message that it answers, where its author said so; nobody has checked that there is one."""
    emotes: Annotated[list[EmoteData], Meta(min_length=1, max_length=EMOTES_SHOWN)] | UnsetType = UNSET
    """There where it has some that the room knows: the first 50, in their order. `message` stays as it was sent."""
    nonce: Nonce | UnsetType = UNSET
    """As its author gave it; in the author's own copy alone. In that of a moderator who allowed it that of their
    action."""
    hold_id: _Id | UnsetType = UNSET
    """Of a message that waited for a moderator; in the copies of its author and of who allowed it alone."""
    action_id: _Id | UnsetType = UNSET
    """In the copy of who allowed it alone: where the audit log has that."""


class PinData(Struct, frozen=True, gc=False):
    """What is pinned."""

    message: MessageData
    moderator_user_id: _Id | None
    """Who pinned it."""
    timestamp: _Time
    """When it was pinned."""


class RoomJoinedData(Struct, frozen=True, gc=False):
    """`data` of room_joined."""

    room_id: _Id
    connection_count: _Count
    """Open connections of the room on all edges, this one included."""
    last_id: _EntryId
    """The last entry of the room's log before this connection's; 0: there is none."""
    epoch: str
    """Another one for every life of the room, and after each loss of stored messages: for `epoch` of the address."""
    you: You
    policy: PolicyData
    pinned: PinData | UnsetType | None = UNSET
    """null: nothing is. Left out where it cannot be read just now."""
    recovered: bool | UnsetType = UNSET
    """There where the address had a `since`: whether everything since then follows."""


class AuthenticatedData(Struct, frozen=True, gc=False):
    """`data` of authenticated."""

    expires_at: _Time | None
    """When the new token ends; null: it does not."""
    you: You


class MessageDeletedData(Struct, frozen=True, kw_only=True, gc=False):
    """`data` of message_deleted."""

    id: _Id
    """Of this entry, in the same order as messages."""
    prev_id: _EntryId | UnsetType = UNSET
    """As of a message."""
    skipped: _Positive | UnsetType = UNSET
    """As of a message."""
    visible_at: _Time | UnsetType = UNSET
    """As of a message."""
    message_id: _Id
    """What is gone."""
    user_id: _Id | None
    """Of its author; null: anonymous."""
    username: str
    moderator_user_id: _Id | None
    """null: its author took it back."""
    timestamp: _Time
    nonce: Nonce | UnsetType = UNSET
    """As who asked for it gave it; in their own copy alone."""
    action_id: _Id | UnsetType = UNSET
    """What it can be undone by, or found in the audit log; in the same copy alone."""


class MessagesPurgedData(Struct, frozen=True, kw_only=True, gc=False):
    """`data` of messages_purged."""

    id: _Id
    """Of this entry, in the same order as messages."""
    prev_id: _EntryId | UnsetType = UNSET
    """As of a message."""
    skipped: _Positive | UnsetType = UNSET
    """As of a message."""
    visible_at: _Time | UnsetType = UNSET
    """As of a message."""
    user_id: _Id | None
    """All messages of this author are gone; null: of the anonymous one of this name."""
    username: str
    up_to_id: _EntryId
    """Up to this one."""
    moderator_user_id: _Id | None
    timestamp: _Time
    nonce: Nonce | UnsetType = UNSET
    """As who asked for it gave it; in their own copy alone."""
    action_id: _Id | UnsetType = UNSET
    """What it can be undone by, or found in the audit log; in the same copy alone."""


class RoomClearedData(Struct, frozen=True, kw_only=True, gc=False):
    """`data` of room_cleared."""

    id: _Id
    """Of this entry, in the same order as messages."""
    prev_id: _EntryId | UnsetType = UNSET
    """As of a message."""
    skipped: _Positive | UnsetType = UNSET
    """As of a message."""
    visible_at: _Time | UnsetType = UNSET
    """As of a message."""
    up_to_id: _EntryId
    """All messages up to this one are gone."""
    moderator_user_id: _Id | None
    timestamp: _Time
    nonce: Nonce | UnsetType = UNSET
    """As who asked for it gave it; in their own copy alone."""
    action_id: _Id | UnsetType = UNSET
    """What it can be undone by, or found in the audit log; in the same copy alone."""


class RoomPolicyData(Struct, frozen=True, kw_only=True, gc=False):
    """`data` of room_policy."""

    id: _Id
    """Of this entry, in the same order as messages."""
    prev_id: _EntryId | UnsetType = UNSET
    """As of a message."""
    skipped: _Positive | UnsetType = UNSET
    """As of a message."""
    visible_at: _Time | UnsetType = UNSET
    """As of a message."""
    policy: PolicyData
    moderator_user_id: _Id | None
    timestamp: _Time
    nonce: Nonce | UnsetType = UNSET
    """As who asked for it gave it; in their own copy alone."""
    action_id: _Id | UnsetType = UNSET
    """What it can be undone by, or found in the audit log; in the same copy alone."""


class MessagePinnedData(Struct, frozen=True, kw_only=True, gc=False):
    """`data` of message_pinned."""

    id: _Id
    """Of this entry, in the same order as messages. Of two frames about the pin the one with the higher id holds."""
    prev_id: _EntryId | UnsetType = UNSET
    """As of a message."""
    skipped: _Positive | UnsetType = UNSET
    """As of a message."""
    visible_at: _Time | UnsetType = UNSET
    """As of a message."""
    message: MessageData
    """What is pinned from now on, in place of what was."""
    moderator_user_id: _Id | None
    timestamp: _Time
    nonce: Nonce | UnsetType = UNSET
    """As who asked for it gave it; in their own copy alone."""
    action_id: _Id | UnsetType = UNSET
    """What it can be undone by; in the same copy alone."""


class MessageUnpinnedData(Struct, frozen=True, kw_only=True, gc=False):
    """`data` of message_unpinned."""

    id: _Id
    """Of this entry, in the same order as messages. Of two frames about the pin the one with the higher id holds."""
    prev_id: _EntryId | UnsetType = UNSET
    """As of a message."""
    skipped: _Positive | UnsetType = UNSET
    """As of a message."""
    visible_at: _Time | UnsetType = UNSET
    """As of a message."""
    message_id: _Id
    """What was pinned; nothing is any more, whatever you have shown."""
    moderator_user_id: _Id | None
    timestamp: _Time
    nonce: Nonce | UnsetType = UNSET
    """As who asked for it gave it; in their own copy alone."""
    action_id: _Id | UnsetType = UNSET
    """What it can be undone by; in the same copy alone."""


class HistoryData(Struct, frozen=True, gc=False):
    """`data` of a history."""

    messages: list[MessageData]
    """Oldest first."""
    has_more: bool
    """Whether there are still older ones."""


class PersonData(Struct, frozen=True, gc=False):
    """Somebody, at a time."""

    username: str
    user_id: _Id | None
    """null: anonymous."""
    timestamp: _Time


class UserLeftData(Struct, frozen=True, gc=False):
    """`data` of user_left."""

    username: str
    user_id: _Id | None
    """null: anonymous."""


class RoomStatsData(Struct, frozen=True, gc=False):
    """`data` of room_stats."""

    connection_count: _Count
    joined: _Count
    """How many came since the last one, or since joins were last announced one by one."""
    left: _Count


class ReactionsData(Struct, frozen=True, gc=False):
    """`data` of reactions: how many there were since the last one."""

    counts: dict[_Emoji, _Positive]
    """Of those to no message: an emoji, or an emote as `:name:`. At most 100 different ones."""
    messages: dict[_MessageKey, dict[_Emoji, _Positive]]
    """The same by the id of a message, which is text here. At most 200 of them all."""


class ModerationActionData(Struct, frozen=True, gc=False):
    """`data` of a moderation_action."""

    action: _Action
    target_user_id: _Id | None
    """null: an anonymous target."""
    moderator_user_id: _Count
    """0: a rule of the room did it."""
    duration_minutes: Annotated[int, Meta(ge=0, le=LONGEST_DURATION_MINUTES)]
    """0: permanent."""
    timestamp: _Time
    target_username: str | UnsetType | None = UNSET
    """There for an anonymous target."""
    nonce: Nonce | UnsetType = UNSET
    """As who asked for it gave it; in their own copy alone."""
    action_id: _Id | UnsetType = UNSET
    """What it can be undone by; in the same copy alone."""
    warning_id: _Id | UnsetType = UNSET
    """Of warn alone."""
    hold_id: _Id | UnsetType = UNSET
    """Of deny alone."""


class WarningData(Struct, frozen=True, gc=False):
    """`data` of a warning."""

    warning_id: _Id
    """For acknowledge_warning."""
    reason: Annotated[str, Meta(min_length=1, max_length=REASON_LENGTH)]
    timestamp: _Time
    """When it was issued."""


class MessageHeldData(Struct, frozen=True, gc=False):
    """`data` of message_held."""

    hold_id: _Id
    nonce: Nonce | None
    """Of the message; null where it had none."""
    state: Literal["waiting", "allowed"]
    """What is known of it by now."""
    expires_at: _Time
    """When it is rejected where nobody has decided."""


class MessageRejectedData(Struct, frozen=True, gc=False):
    """`data` of message_rejected."""

    hold_id: _Id
    nonce: Nonce | None
    """Of the message; null where it had none."""
    state: Literal["denied", "expired"]
    """expired: nobody decided in time."""


class WarningClosedData(Struct, frozen=True, gc=False):
    """`data` of warning_closed."""

    warning_id: _Id


class ReportedData(Struct, frozen=True, gc=False):
    """`data` of reported."""

    message_id: _Id | UnsetType = UNSET
    """The message that was reported; not there where somebody was."""
    nonce: Nonce | UnsetType = UNSET
    """Of the report, where it had one."""


class UndoneData(Struct, frozen=True, gc=False):
    """`data` of undone."""

    action_id: _Id
    """Of the undo, which may be undone in turn."""
    undoes: _Id
    """What was undone."""
    not_undone: list[str]
    """What stays as it is: fields of the policy that were changed since, `sanctions` where one that the action lifted
    could not be imposed again, `messages` where it took some back, `pin` where what was pinned before can't be read."""
    nonce: Nonce | UnsetType = UNSET
    """Of the frame that asked for it, where it had one."""


class SanctionData(Struct, frozen=True, gc=False):
    """A ban or mute in force."""

    sanction_id: _Id
    action: _Sanction
    target_user_id: _Id | None
    """null: an anonymous target."""
    scope: _Scope
    reason: str
    moderator_user_id: _Id | None
    """null: a rule did it."""
    created_at: _Time
    expires_at: _Time | None
    """null: it does not end."""
    target_username: str | UnsetType = UNSET
    """Of an anonymous target."""


class ModerationFeedData(Struct, frozen=True, kw_only=True, gc=False):
    """`data` of moderation_feed. What stands behind `on` is there where it is true."""

    on: bool
    """false: you are told no more; you asked for that, or are no moderator of the room any more."""
    event_id: _EntryId | UnsetType = UNSET
    """What happens later has a higher one, as does what is sent again for `since`; for `since`, if nothing comes."""
    held: Annotated[list[_Object], Meta(max_length=OPEN_ITEMS)] | UnsetType = UNSET
    """Messages that wait for a decision; of these three lists each has the newest open ones, the newest first."""
    reports: Annotated[list[_Object], Meta(max_length=OPEN_ITEMS)] | UnsetType = UNSET
    unban_requests: Annotated[list[_Object], Meta(max_length=OPEN_ITEMS)] | UnsetType = UNSET
    sanctions: Annotated[list[SanctionData], Meta(max_length=SANCTIONS_SHOWN)] | UnsetType = UNSET
    """In force here, the newest first: at most 200 of this room, and 200 that hold everywhere, which are sent to those
    alone who are moderators or above by their token."""
    has_more_sanctions: bool | UnsetType = UNSET
    """There are older ones: GraphQL's `sanctions` lists them."""
    shield: ShieldData | UnsetType | None = UNSET
    """What lies over the policy; null: nothing."""
    raid: "ModerationEventData | UnsetType | None" = UNSET
    """The last `moderation_event` of the kind `raid`; null: there was none in ten minutes."""
    recovered: bool | UnsetType = UNSET
    """With `since`, or where it comes by itself: whether all that you missed follows. false: there was more than 500
    events, or a day, can tell; the newest follow."""
    nonce: Nonce | UnsetType = UNSET
    """Of the frame that asked for it, where it had one."""


class FieldChangeData(Struct, frozen=True, gc=False):
    """A field of the policy that an action changed."""

    field: str
    before: Any
    after: Any


class FeedActionData(Struct, frozen=True, kw_only=True, gc=False):
    """A row of the audit log."""

    action_id: _Id
    action: str
    """As in GraphQL's `auditLog`, or one of a later version."""
    moderator_user_id: _Id | None
    """null: a rule did it."""
    moderator_role: _Role | None
    target_user_id: _Id | None
    """null: none, or an anonymous target."""
    scope: _Scope
    reason: str
    target_username: str | UnsetType = UNSET
    """Of an anonymous target."""
    duration_minutes: _Count | UnsetType = UNSET
    """Of ban and mute; 0: permanent."""
    message_id: _Id | UnsetType = UNSET
    message: str | UnsetType = UNSET
    """The text that was taken back, for which a rule muted, or that waits or waited for a moderator."""
    changes: list[FieldChangeData] | UnsetType = UNSET
    undoes: _Id | UnsetType = UNSET
    """The action that it undoes."""
    completes: _Id | UnsetType = UNSET
    """The deletion whose message it says: that could not be read before."""
    rule: str | UnsetType = UNSET
    """The name of the rule that was saved or deleted, or that muted, or has a message wait."""
    sanction_ids: list[_Id] | UnsetType = UNSET
    """In force from now on."""
    lifted_ids: list[_Id] | UnsetType = UNSET
    """No longer in force."""


class ModerationEventData(Struct, frozen=True, kw_only=True, gc=False):
    """`data` of moderation_event."""

    event_id: _Id
    """Rises, in one order that is the same for all moderators; not one by one."""
    kind: str
    """`action`, or what else `details` tells of. Ignore those that you do not know."""
    timestamp: _Time
    action: FeedActionData | UnsetType = UNSET
    """The row of the audit log that it tells of, where there is one."""
    details: _Object | UnsetType = UNSET
    """What else there is to say of its kind."""


class BanData(Struct, frozen=True, gc=False):
    """The ban that keeps a user out."""

    id: _Id
    """For `requestUnban` of GraphQL."""
    reason: str
    """As whoever banned them wrote; may be empty."""
    expires_at: _Time | None
    """null: permanent."""
    can_appeal: bool
    """They may ask now to have it lifted."""


class ErrorData(Struct, frozen=True, gc=False):
    """`data` of an error."""

    message: str
    """A fixed text for each code, but for `blocked`, where a rule may have one of its own."""
    code: ErrorCode
    retry_after_ms: _Count | UnsetType = UNSET
    """How long to wait, where waiting helps."""
    nonce: Nonce | UnsetType = UNSET
    """Of the frame that was refused, where it had one."""
    sanction: BanData | UnsetType = UNSET
    """While connecting, of a signed-in user at whom a ban is aimed."""
    decided_by: _Id | UnsetType | None = UNSET
    """Of `already_decided`: who did, or banned its author; null: nobody, time was up."""
    decision: Literal["allowed", "denied", "expired"] | UnsetType = UNSET
    """Of `already_decided`."""


class RoomJoined(Struct, frozen=True, gc=False, tag="room_joined", tag_field="type"):
    """The first frame after a successful join."""

    data: RoomJoinedData


class Authenticated(Struct, frozen=True, gc=False, tag="authenticated", tag_field="type"):
    """The token was replaced, to the one who asked."""

    data: AuthenticatedData


class ChatMessage(Struct, frozen=True, gc=False, tag="chat_message", tag_field="type"):
    """A message, to everybody in the room; in one order that is the same for all."""

    data: MessageData


class MessageDeleted(Struct, frozen=True, gc=False, tag="message_deleted", tag_field="type"):
    """One message was taken back: it is not to be shown any more."""

    data: MessageDeletedData


class MessagesPurged(Struct, frozen=True, gc=False, tag="messages_purged", tag_field="type"):
    """All messages of one author were taken back."""

    data: MessagesPurgedData


class RoomCleared(Struct, frozen=True, gc=False, tag="room_cleared", tag_field="type"):
    """All messages were taken back."""

    data: RoomClearedData


class RoomPolicy(Struct, frozen=True, gc=False, tag="room_policy", tag_field="type"):
    """The policy of the room was changed."""

    data: RoomPolicyData


class MessagePinned(Struct, frozen=True, gc=False, tag="message_pinned", tag_field="type"):
    """A message was pinned, in place of what was before. It is until another one is, until message_unpinned, or until
    message_deleted, messages_purged or room_cleared take it back, which end the pin by themselves."""

    data: MessagePinnedData


class MessageUnpinned(Struct, frozen=True, gc=False, tag="message_unpinned", tag_field="type"):
    """Nothing is pinned any more."""

    data: MessageUnpinnedData


class History(Struct, frozen=True, gc=False, tag="history", tag_field="type"):
    """Older messages, to the one who asked."""

    data: HistoryData


class UserJoined(Struct, frozen=True, gc=False, tag="user_joined", tag_field="type"):
    """Somebody's first connection in the room opened; told to the others."""

    data: PersonData


class UserLeft(Struct, frozen=True, gc=False, tag="user_left", tag_field="type"):
    """Somebody's last connection in the room closed."""

    data: UserLeftData


class RoomStats(Struct, frozen=True, gc=False, tag="room_stats", tag_field="type"):
    """In place of user_joined and user_left in a crowded room, at most once a second."""

    data: RoomStatsData


class TypingStart(Struct, frozen=True, gc=False, tag="typing_start", tag_field="type"):
    """Somebody else began to type."""

    data: PersonData


class TypingStop(Struct, frozen=True, gc=False, tag="typing_stop", tag_field="type"):
    """Somebody else no longer types."""

    data: PersonData


class Reactions(Struct, frozen=True, gc=False, tag="reactions", tag_field="type"):
    """What people reacted with, at most once a second. Nothing of it is kept."""

    data: ReactionsData


class ModerationAction(Struct, frozen=True, gc=False, tag="moderation_action", tag_field="type"):
    """A moderator imposed or lifted a sanction. Warn: to who warned alone, as the answer."""

    data: ModerationActionData


class RoomWarning(Struct, frozen=True, gc=False, tag="warning", tag_field="type"):
    """You were warned: what you write is refused before this is acknowledged."""

    data: WarningData


class MessageHeld(Struct, frozen=True, gc=False, tag="message_held", tag_field="type"):
    """A message of yours waits for a moderator, or did when you were away; to nobody else."""

    data: MessageHeldData


class MessageRejected(Struct, frozen=True, gc=False, tag="message_rejected", tag_field="type"):
    """A message of yours that waited for a moderator is not published; to nobody else."""

    data: MessageRejectedData


class WarningClosed(Struct, frozen=True, gc=False, tag="warning_closed", tag_field="type"):
    """A warning needs no acknowledging any more, wherever that was done; also the answer to acknowledge_warning."""

    data: WarningClosedData


class Undone(Struct, frozen=True, gc=False, tag="undone", tag_field="type"):
    """An action was undone, to who asked for it; the room is told of what that changes."""

    data: UndoneData


class Reported(Struct, frozen=True, gc=False, tag="reported", tag_field="type"):
    """Moderators have the report, to who filed it; also where they had the same one from them before."""

    data: ReportedData


class ModerationFeed(Struct, frozen=True, gc=False, tag="moderation_feed", tag_field="type"):
    """The answer to moderation_feed: what a moderator begins with; later that they begin anew, or are told no more."""

    data: ModerationFeedData


class ModerationEvent(Struct, frozen=True, gc=False, tag="moderation_event", tag_field="type"):
    """Something happened that moderators see, to those who asked with moderation_feed."""

    data: ModerationEventData


class Pong(Struct, frozen=True, gc=False, tag="pong", tag_field="type"):
    """The answer to a ping."""

    data: NoData


class Error(Struct, frozen=True, gc=False, tag="error", tag_field="type"):
    """Something was refused. The connection stays open, unless a close follows."""

    data: ErrorData


EntryFrame = MessageDeleted | MessagesPurged | RoomCleared | RoomPolicy | MessagePinned | MessageUnpinned
"""What tells an entry of the log that is no message."""
ServerFrame = (
    RoomJoined
    | Authenticated
    | ChatMessage
    | MessageDeleted
    | MessagesPurged
    | RoomCleared
    | RoomPolicy
    | MessagePinned
    | MessageUnpinned
    | History
    | UserJoined
    | UserLeft
    | RoomStats
    | TypingStart
    | TypingStop
    | Reactions
    | ModerationAction
    | RoomWarning
    | WarningClosed
    | MessageHeld
    | MessageRejected
    | Undone
    | Reported
    | ModerationFeed
    | ModerationEvent
    | Pong
    | Error
)
