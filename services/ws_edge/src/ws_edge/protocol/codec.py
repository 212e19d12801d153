"""Bytes to client frames, and server frames to bytes that are ready for the socket."""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from ws_edge.errors import ErrorCode, MalformedFrame, RefusedFrame, UnknownType
from ws_edge.protocol import server_frames
from ws_edge.protocol.emotes import ADDRESSES_SENT_CHARACTERS, NO_EMOTES, EmoteTable
from ws_edge.protocol.feed import FeedState
from ws_edge.protocol.frames import TYPES, ClientFrame, NoData, Nonce
from ws_edge.protocol.holds import Allowed, Decided, HeldMessage, HoldState
from ws_edge.protocol.identity import Identity, MessageId, UserId
from ws_edge.protocol.log import (
    Erasure,
    LogEntry,
    MessageDeleted,
    MessagePinned,
    MessagesPurged,
    MessageUnpinned,
    PolicyChanged,
    RoomCleared,
    StoredMessage,
    UnknownEntry,
)
from ws_edge.protocol.pins import Pin
from ws_edge.protocol.policies import Policy
from ws_edge.protocol.reactions import ReactionSums
from ws_edge.protocol.sanctions import BanNotice, Sanction, rights
from ws_edge.protocol.server_frames import You
from ws_edge.protocol.warnings import RoomWarning

# ValueError: msgspec's own errors and bad UTF-8. RecursionError: brackets that nobody closes, where the interpreter
# allows less depth than they have.
_UNREADABLE = (ValueError, RecursionError)
MOST_BRACKETS = 512
"""Objects and arrays in one frame, itself included. It bounds their nesting too: msgspec's bound for that is the
interpreter's, which differs between versions of Python and is higher on each of them."""
_SMALL_BYTES = 2 * MOST_BRACKETS
_TEXT = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)  # the last one may lack its end: no second look at its bytes

# --- from the client -------------------------------------------------------------------------------------------------


class _Envelope(msgspec.Struct):
    """What can still be read of a frame that was refused."""

    type: object = None
    data: msgspec.Raw = msgspec.Raw(b"{}")


class _Nonce(msgspec.Struct):
    nonce: Nonce = ""


_frame_decoder: msgspec.json.Decoder[ClientFrame] = msgspec.json.Decoder(ClientFrame)
_envelope_decoder = msgspec.json.Decoder(_Envelope)
_nonce_decoder = msgspec.json.Decoder(_Nonce)


def decode(payload: bytes) -> ClientFrame:
    """Read one text frame. Raises MalformedFrame or UnknownType, with the nonce where it could be read."""
    if len(payload) > _SMALL_BYTES and _has_too_many_brackets(payload):
        raise MalformedFrame
    try:
        return _frame_decoder.decode(payload)
    except _UNREADABLE:
        raise _refusal(payload) from None


def nonce_of(payload: bytes) -> str:
    """The nonce of a frame that is not handled; empty where there is none."""
    if len(payload) > _SMALL_BYTES and _has_too_many_brackets(payload):
        return ""
    try:
        return _nonce_decoder.decode(_envelope_decoder.decode(payload).data).nonce
    except _UNREADABLE:
        return ""


def _has_too_many_brackets(payload: bytes) -> bool:
    """Asked of frames above _SMALL_BYTES alone: a smaller one that closes all its brackets has no room for so many."""
    return _brackets(payload) > MOST_BRACKETS and _brackets(_TEXT.sub(b"", payload)) > MOST_BRACKETS


def _brackets(payload: bytes) -> int:
    return payload.count(b"[") + payload.count(b"{")


def _refusal(payload: bytes) -> RefusedFrame:
    try:
        frame_type = _envelope_decoder.decode(payload).type
    except _UNREADABLE:
        return MalformedFrame()
    if isinstance(frame_type, str) and frame_type not in TYPES:
        return UnknownType(nonce_of(payload))
    return MalformedFrame(nonce_of(payload))


# --- to the client ---------------------------------------------------------------------------------------------------

_encode = msgspec.json.Encoder().encode


def text_frame(payload: bytes, *, is_compressed: bool = False) -> bytes:
    """One whole unmasked WebSocket text frame."""
    first, length = b"\xc1" if is_compressed else b"\x81", len(payload)
    if length < 126:
        return first + length.to_bytes(1) + payload
    if length < 65536:
        return first + b"\x7e" + length.to_bytes(2) + payload
    return first + b"\x7f" + length.to_bytes(8) + payload


def _written(frame: server_frames.ServerFrame) -> bytes:
    try:
        return text_frame(_encode(frame))
    except UnicodeEncodeError:
        # A name out of a token may hold half a surrogate pair, which no UTF-8 can carry: it is shown as "?".
        text = json.dumps(msgspec.to_builtins(frame), ensure_ascii=False, separators=(",", ":"))
        return text_frame(text.encode(errors="replace"))


def room_joined(
    room_id: int,
    connection_count: int,
    last_id: int,
    *,
    epoch: str,
    you: You,
    policy: Policy,
    pin: Pin | UnsetType | None = None,
    recovered: bool | None = None,
    emotes: EmoteTable = NO_EMOTES,
) -> bytes:
    """The first frame of a room; `pin` UNSET: not known, `recovered` where it was asked for alone, `emotes` those of
    the room."""
    data = server_frames.RoomJoinedData(
        room_id=room_id,
        connection_count=connection_count,
        last_id=last_id,
        epoch=epoch,
        you=you,
        policy=_policy(policy),
        pinned=_pin(pin, room_id, emotes) if isinstance(pin, Pin) else pin,
        recovered=UNSET if recovered is None else recovered,
    )
    return _written(server_frames.RoomJoined(data))


def authenticated(expires_at_s: float | None, you: You) -> bytes:
    """The token was replaced; `expires_at_s` in Unix seconds, None: it does not end."""
    expires_at = None if expires_at_s is None else rfc3339(int(expires_at_s * 1000))
    return _written(server_frames.Authenticated(server_frames.AuthenticatedData(expires_at=expires_at, you=you)))


def entry(
    entry: LogEntry,
    room_id: int,
    *,
    prev_id: int | None = None,
    nonce: str = "",
    action_id: int = 0,
    hold_id: int = 0,
    emotes: EmoteTable = NO_EMOTES,
    skipped: int = 0,
    visible_ms: int = 0,
    is_besides: bool = False,
) -> bytes:
    """An entry of the log, of a kind that is shown; `prev_id` in place of the stored one, `nonce` and `action_id` in
    the copy of whose message or command it is alone, `hold_id` in that of who waited or allowed it, `emotes` those of
    the room, `skipped`: so many messages between it and `prev_id` were left out, `visible_ms` in an early copy, which
    is not part of the chain: when it comes to all, `is_besides` in another one that is none."""
    shown_before = entry.prev_id if prev_id is None else prev_id
    if isinstance(entry, StoredMessage):
        message = _message(
            entry,
            room_id,
            UNSET if visible_ms or is_besides else shown_before,
            nonce or UNSET,
            emotes=emotes,
            action_id=action_id,
            hold_id=hold_id,
            skipped=skipped,
            visible_ms=visible_ms,
        )
        return _written(server_frames.ChatMessage(message))
    frame: server_frames.EntryFrame
    if isinstance(entry, PolicyChanged):
        frame = _policy_changed(entry, shown_before, nonce or UNSET, action_id or UNSET)
    elif isinstance(entry, MessagePinned | MessageUnpinned):
        frame = _pin_entry(entry, room_id, shown_before, nonce or UNSET, action_id or UNSET, emotes)
    else:
        assert not isinstance(entry, UnknownEntry)
        frame = _erasure(entry, shown_before, nonce or UNSET, action_id or UNSET)
    if skipped or visible_ms or is_besides:
        data = msgspec.structs.replace(
            frame.data,
            prev_id=UNSET if visible_ms or is_besides else shown_before,
            skipped=skipped or UNSET,
            visible_at=rfc3339(visible_ms) if visible_ms else UNSET,
        )
        frame = msgspec.structs.replace(frame, data=data)
    return _written(frame)


def besides(
    message: StoredMessage, room_id: int, *, nonce: str = "", emotes: EmoteTable = NO_EMOTES, visible_ms: int = 0
) -> bytes:
    """A message besides the chain of what a client is shown; `visible_ms`: see `entry`."""
    hold_id = 0 if message.allowed is None else message.allowed.hold_id
    own = {"hold_id": hold_id, "visible_ms": visible_ms}
    shown = _message(message, room_id, UNSET, nonce or UNSET, emotes=emotes, **own)
    return _written(server_frames.ChatMessage(shown))


def own_entry(
    stored: LogEntry, room_id: int, emotes: EmoteTable = NO_EMOTES, *, skipped: int = 0, visible_ms: int = 0
) -> bytes:
    """The copy of whose message or command an entry is."""
    action_id = hold_id = 0
    if not isinstance(stored, StoredMessage):
        action_id = stored.action_id
    elif stored.allowed is not None:
        hold_id = stored.allowed.hold_id
    return entry(
        stored,
        room_id,
        nonce=stored.nonce,
        action_id=action_id,
        hold_id=hold_id,
        emotes=emotes,
        skipped=skipped,
        visible_ms=visible_ms,
    )


def allowed_entry(
    stored: StoredMessage,
    allowed: Allowed,
    room_id: int,
    *,
    nonce: str = "",
    emotes: EmoteTable = NO_EMOTES,
    skipped: int = 0,
    visible_ms: int = 0,
    is_besides: bool = False,
) -> bytes:
    """The copy of who allowed a message; `nonce` in place of that of their action, `is_besides`: see `entry`."""
    return entry(
        stored,
        room_id,
        nonce=nonce or allowed.nonce,
        action_id=allowed.action_id,
        hold_id=allowed.hold_id,
        emotes=emotes,
        skipped=skipped,
        visible_ms=visible_ms,
        is_besides=is_besides,
    )


def _erasure(
    entry: Erasure, prev_id: int, nonce: str | UnsetType, action_id: int | UnsetType
) -> server_frames.EntryFrame:
    match entry:
        case MessageDeleted():
            return server_frames.MessageDeleted(
                server_frames.MessageDeletedData(
                    id=entry.id,
                    prev_id=prev_id,
                    message_id=entry.message_id,
                    user_id=entry.user_id,
                    username=entry.username,
                    moderator_user_id=entry.moderator_user_id,
                    timestamp=entry.at,
                    nonce=nonce,
                    action_id=action_id,
                )
            )
        case MessagesPurged():
            return server_frames.MessagesPurged(
                server_frames.MessagesPurgedData(
                    id=entry.id,
                    prev_id=prev_id,
                    user_id=entry.user_id,
                    username=entry.username,
                    up_to_id=entry.up_to_id,
                    moderator_user_id=entry.moderator_user_id,
                    timestamp=entry.at,
                    nonce=nonce,
                    action_id=action_id,
                )
            )
        case RoomCleared():  # pragma: no branch - mypy proves that there is no other erasure
            return server_frames.RoomCleared(
                server_frames.RoomClearedData(
                    id=entry.id,
                    prev_id=prev_id,
                    up_to_id=entry.up_to_id,
                    moderator_user_id=entry.moderator_user_id,
                    timestamp=entry.at,
                    nonce=nonce,
                    action_id=action_id,
                )
            )


def _policy_changed(
    entry: PolicyChanged, prev_id: int, nonce: str | UnsetType, action_id: int | UnsetType
) -> server_frames.RoomPolicy:
    return server_frames.RoomPolicy(
        server_frames.RoomPolicyData(
            id=entry.id,
            prev_id=prev_id,
            policy=_policy(entry.policy),
            moderator_user_id=entry.moderator_user_id,
            timestamp=entry.at,
            nonce=nonce,
            action_id=action_id,
        )
    )


def _pin_entry(
    entry: MessagePinned | MessageUnpinned,
    room_id: int,
    prev_id: int,
    nonce: str | UnsetType,
    action_id: int | UnsetType,
    emotes: EmoteTable,
) -> server_frames.EntryFrame:
    if isinstance(entry, MessageUnpinned):
        return server_frames.MessageUnpinned(
            server_frames.MessageUnpinnedData(
                id=entry.id,
                prev_id=prev_id,
                message_id=entry.message_id,
                moderator_user_id=entry.moderator_user_id,
                timestamp=entry.at,
                nonce=nonce,
                action_id=action_id,
            )
        )
    assert entry.message is not None
    return server_frames.MessagePinned(
        server_frames.MessagePinnedData(
            id=entry.id,
            prev_id=prev_id,
            message=_message(entry.message, room_id, emotes=emotes),
            moderator_user_id=entry.moderator_user_id,
            timestamp=entry.at,
            nonce=nonce,
            action_id=action_id,
        )
    )


def _pin(pin: Pin, room_id: int, emotes: EmoteTable) -> server_frames.PinData | None:
    if pin.message is None:
        return None
    return server_frames.PinData(_message(pin.message, room_id, emotes=emotes), pin.moderator_user_id, pin.at)


@lru_cache(maxsize=256)
def _policy(policy: Policy) -> server_frames.PolicyData:
    return server_frames.PolicyData(**msgspec.structs.asdict(policy) | {"shield": _shield(policy)})


def _shield(policy: Policy) -> server_frames.ShieldData | None:
    if policy.shield is None:
        return None
    return server_frames.ShieldData(rfc3339(policy.shield.until_ms), _policy(policy.shield.underlying))


def history(
    messages: Iterable[StoredMessage],
    room_id: int,
    *,
    has_more: bool,
    emotes: EmoteTable = NO_EMOTES,
    visible_ms: Mapping[MessageId, int] = MappingProxyType({}),
) -> bytes:
    """Older messages, oldest first; `visible_ms`: of those that wait, when they come to all, Unix milliseconds."""
    shown, left = list[server_frames.MessageData](), ADDRESSES_SENT_CHARACTERS
    for message in reversed(list(messages)):
        known, due_ms = emotes if left > 0 else NO_EMOTES, visible_ms.get(message.id, 0)
        shown.insert(0, data := _message(message, room_id, emotes=known, visible_ms=due_ms))
        left -= 0 if data.emotes is UNSET else sum(len(one.url) for one in data.emotes)
    return _written(server_frames.History(server_frames.HistoryData(messages=shown, has_more=has_more)))


def you(
    identity: Identity,
    mute: Sanction | None,
    *,
    resume: str | None = None,
    blocked: tuple[UserId, ...] | None = None,
) -> You:
    """Who a connection is, and what it may do in its room; `resume` of an anonymous one, `blocked` of a signed-in one,
    where it is told."""
    return You(
        user_id=identity.user_id,
        username=identity.username,
        roles=identity.roles_here,
        may=rights(identity.rank, is_muted=mute is not None),
        muted_until=UNSET if mute is None else _end(mute),
        resume=UNSET if resume is None else resume,
        blocked=UNSET if blocked is None else blocked,
    )


def _end(sanction: Sanction) -> str | None:
    return None if sanction.expires_at_s is None else rfc3339(int(sanction.expires_at_s * 1000))


def _message(
    message: StoredMessage,
    room_id: int,
    prev_id: int | UnsetType = UNSET,
    nonce: str | UnsetType = UNSET,
    *,
    emotes: EmoteTable,
    action_id: int = 0,
    hold_id: int = 0,
    skipped: int = 0,
    visible_ms: int = 0,
) -> server_frames.MessageData:
    shown = emotes.shown_in(message.text)
    return server_frames.MessageData(
        id=message.id,
        message=message.text,
        username=message.username,
        user_id=message.user_id,
        timestamp=message.at,
        room_id=room_id,
        prev_id=prev_id,
        role=message.role,
        reply_to=UNSET if message.reply_to is None else message.reply_to,
        emotes=[server_frames.EmoteData(one.name, one.url, one.start, one.end) for one in shown] or UNSET,
        nonce=nonce,
        hold_id=hold_id or UNSET,
        action_id=action_id or UNSET,
        skipped=skipped or UNSET,
        visible_at=rfc3339(visible_ms) if visible_ms else UNSET,
    )


def user_joined(username: str, user_id: int | None, at: str) -> bytes:
    """Somebody's first connection in the room opened."""
    return _written(server_frames.UserJoined(_person(username, user_id, at)))


def user_left(username: str, user_id: int | None) -> bytes:
    """Somebody's last connection in the room closed."""
    return _written(server_frames.UserLeft(server_frames.UserLeftData(username=username, user_id=user_id)))


def room_stats(connection_count: int, joined: int, left: int) -> bytes:
    """Instead of single joins and leaves in a crowded room."""
    data = server_frames.RoomStatsData(connection_count=connection_count, joined=joined, left=left)
    return _written(server_frames.RoomStats(data))


def typing(active: bool, username: str, user_id: int | None, at: str) -> bytes:
    """Somebody started, or stopped, typing."""
    frame = server_frames.TypingStart if active else server_frames.TypingStop
    return _written(frame(_person(username, user_id, at)))


def _person(username: str, user_id: int | None, at: str) -> server_frames.PersonData:
    return server_frames.PersonData(username=username, user_id=user_id, timestamp=at)


def reactions(sums: ReactionSums) -> bytes:
    """What people reacted with since the last one."""
    messages: dict[str, dict[str, int]] = {}
    for (message_id, emoji), count in sums.messages.items():
        messages.setdefault(str(message_id), {})[emoji] = count
    return _written(server_frames.Reactions(server_frames.ReactionsData(counts=sums.counts, messages=messages)))


def moderation_action(
    word: str,
    target_user_id: int | None,
    target_username: str | None,
    moderator_user_id: int,
    duration_minutes: int,
    at: str,
    *,
    nonce: str = "",
    action_id: int = 0,
) -> bytes:
    """What a moderator did; `target_username` is sent for anonymous targets alone, `nonce` and `action_id` in the
    copy of who did it."""
    data = server_frames.ModerationActionData(
        action=word,
        target_user_id=target_user_id,
        moderator_user_id=moderator_user_id,
        duration_minutes=duration_minutes,
        timestamp=at,
        target_username=target_username if target_user_id is None else UNSET,
        nonce=nonce or UNSET,
        action_id=action_id or UNSET,
    )
    return _written(server_frames.ModerationAction(data))


def warning_issued(warning: RoomWarning, moderator_user_id: int, *, nonce: str = "") -> bytes:
    """To who warned somebody: that it was done."""
    data = server_frames.ModerationActionData(
        action="warn",
        target_user_id=warning.target_user_id,
        moderator_user_id=moderator_user_id,
        duration_minutes=0,
        timestamp=rfc3339(warning.created_at_ms),
        target_username=warning.target_username if warning.target_user_id is None else UNSET,
        nonce=nonce or UNSET,
        warning_id=warning.id,
    )
    return _written(server_frames.ModerationAction(data))


def message_held(hold: HeldMessage) -> bytes:
    """To the author of a message that waits, or was allowed."""
    state: Literal["waiting", "allowed"] = "allowed" if hold.state is HoldState.ALLOWED else "waiting"
    data = server_frames.MessageHeldData(hold.id, hold.nonce or None, state, rfc3339(hold.expires_at_ms))
    return _written(server_frames.MessageHeld(data))


def message_rejected(hold: HeldMessage) -> bytes:
    """To the author of a message that waited, and is not published."""
    state: Literal["denied", "expired"] = "expired" if hold.state is HoldState.EXPIRED else "denied"
    return _written(
        server_frames.MessageRejected(server_frames.MessageRejectedData(hold.id, hold.nonce or None, state))
    )


def held_denied(hold: HeldMessage, moderator_user_id: int, *, nonce: str = "", action_id: int = 0) -> bytes:
    """To who had a message rejected: that it was done."""
    data = server_frames.ModerationActionData(
        action="deny",
        target_user_id=hold.user_id,
        moderator_user_id=moderator_user_id,
        duration_minutes=0,
        timestamp=rfc3339(hold.decided_at_ms),
        target_username=hold.username if hold.user_id is None else UNSET,
        nonce=nonce or UNSET,
        action_id=action_id or UNSET,
        hold_id=hold.id,
    )
    return _written(server_frames.ModerationAction(data))


def warning(warning: RoomWarning) -> bytes:
    """To its target alone."""
    data = server_frames.WarningData(
        warning_id=warning.id, reason=warning.reason, timestamp=rfc3339(warning.created_at_ms)
    )
    return _written(server_frames.RoomWarning(data))


def warning_closed(warning_id: int) -> bytes:
    """The target need not acknowledge it any more."""
    return _written(server_frames.WarningClosed(server_frames.WarningClosedData(warning_id=warning_id)))


def undone(action_id: int, undoes: int, not_undone: Iterable[str], *, nonce: str = "") -> bytes:
    """An action was undone, to who asked for it."""
    data = server_frames.UndoneData(
        action_id=action_id, undoes=undoes, not_undone=list(not_undone), nonce=nonce or UNSET
    )
    return _written(server_frames.Undone(data))


def reported(message_id: int | None, *, nonce: str = "") -> bytes:
    """Moderators have the report, to who filed it."""
    data = server_frames.ReportedData(message_id=UNSET if message_id is None else message_id, nonce=nonce or UNSET)
    return _written(server_frames.Reported(data))


def moderation_feed(state: FeedState, policy: Policy, *, is_resumed: bool, nonce: str = "") -> bytes:
    """What a moderator begins with; `policy`: the one in force."""
    data = server_frames.ModerationFeedData(
        on=True,
        event_id=state.event_id,
        held=list(state.held),
        reports=list(state.reports),
        unban_requests=list(state.unban_requests),
        sanctions=list(state.sanctions),
        has_more_sanctions=state.has_more_sanctions,
        shield=_shield(policy),
        raid=state.raid,
        recovered=state.recovered if is_resumed else UNSET,
        nonce=nonce or UNSET,
    )
    return _written(server_frames.ModerationFeed(data))


def moderation_feed_closed(*, nonce: str = "") -> bytes:
    """Somebody is told no more."""
    return _written(server_frames.ModerationFeed(server_frames.ModerationFeedData(on=False, nonce=nonce or UNSET)))


def moderation_event(event: server_frames.ModerationEventData) -> bytes:
    """One event, to whoever is told."""
    return _written(server_frames.ModerationEvent(event))


def pong() -> bytes:
    """The answer to a ping."""
    return _PONG


def error(
    code: ErrorCode,
    *,
    retry_after_ms: int | None = None,
    nonce: str | None = None,
    told: str = "",
    ban: BanNotice | None = None,
    decided: Decided | None = None,
) -> bytes:
    """Why something was refused; `retry_after_ms` where waiting helps, `nonce` where the refused frame had one, `told`
    instead of the text of the code, `ban` where a banned user is turned away, `decided` of a message about which
    somebody has decided."""
    if retry_after_ms is None and not nonce and not told and ban is None and decided is None:
        return _PLAIN_ERRORS[code]
    return _error(code, retry_after_ms, nonce, told, ban, decided)


def _error(
    code: ErrorCode,
    retry_after_ms: int | None = None,
    nonce: str | None = None,
    told: str = "",
    ban: BanNotice | None = None,
    decided: Decided | None = None,
) -> bytes:
    data = server_frames.ErrorData(
        message=told or code.text,
        code=code,
        retry_after_ms=UNSET if retry_after_ms is None else retry_after_ms,
        nonce=nonce or UNSET,
        sanction=UNSET if ban is None else _ban(ban),
        decided_by=UNSET if decided is None else decided.by,
        decision=UNSET if decided is None else decided.word,
    )
    return _written(server_frames.Error(data))


def _ban(ban: BanNotice) -> server_frames.BanData:
    expires_at = None if ban.expires_at_ms is None else rfc3339(ban.expires_at_ms)
    return server_frames.BanData(ban.sanction_id, ban.reason, expires_at, ban.can_appeal)


_PONG = _written(server_frames.Pong(NoData()))
_PLAIN_ERRORS = {code: _error(code) for code in ErrorCode}


_FIRST_MS, _LAST_MS = -62_135_596_800_000, 253_402_300_799_999


def rfc3339(at_ms: int) -> str:
    """Unix milliseconds as UTC text with milliseconds and Z; what lies outside of the years 1 to 9999 as their end."""
    seconds, milliseconds = divmod(min(max(at_ms, _FIRST_MS), _LAST_MS), 1000)
    return f"{_second(seconds)}.{milliseconds:03d}Z"


# Frames are written in the second that they happen in: the last few seconds are asked for again and again.
@lru_cache(maxsize=64)
def _second(unix_s: int) -> str:
    return datetime.fromtimestamp(unix_s, UTC).replace(tzinfo=None).isoformat()
