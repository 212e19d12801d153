"""Between the events on NATS, with the few header lines that matter, and the words of ports.py."""

import structlog
from google.protobuf.message import DecodeError

from chassis.traces import read_trace
from salon.events.v1 import events_pb2
from salon.events.v1.events_pb2 import Person, Presence, ReactionCount, Reactions, Typing
from ws_edge.adapters.grpc.convert import policy_from_proto
from ws_edge.protocol.emotes import REACTION_LIMIT_CHARACTERS
from ws_edge.protocol.holds import Allowed
from ws_edge.protocol.identity import ConnectionId, MessageId, Rank, Speaker, UserId
from ws_edge.protocol.log import (
    LogEntry,
    LogRef,
    MessageDeleted,
    MessagePinned,
    MessagesPurged,
    MessageUnpinned,
    PolicyChanged,
    RoomCleared,
    StoredMessage,
    UnknownEntry,
    entry_id,
)
from ws_edge.protocol.policies import LONGEST_DELAY_S
from ws_edge.protocol.reactions import EMOJI_LIMIT, MESSAGE_LIMIT, Reacted, ReactionSums
from ws_edge.protocol.rooms import Participant, PresenceChanged, TypingChanged

_log = structlog.get_logger(__name__)

_VERSION = b"NATS/1.0"
_SEQUENCE, _STAMP, _LAST_SEQUENCE = b"Nats-Sequence: ", b"Nats-Time-Stamp: ", b"Nats-Last-Sequence: "
_MILLISECONDS_END = len("2026-01-02T03:04:05.678")
_LONGEST_DELAY_MS = LONGEST_DELAY_S * 1000


def log_subject(log: LogRef) -> str:
    """Where the entries of a log are published, and kept."""
    return f"salon.v1.log.{log.partition}.{log.room_id}.{log.life}"


def erasures_subject(log: LogRef) -> str:
    """Where what takes messages back is kept before it is in the log."""
    return f"{log_subject(log)}.erasures"


def live_subject(log: LogRef, kind: str) -> str:
    """Where a room's events arrive."""
    return f"salon.v1.live.{log.room_id}.{log.life}.{kind}"


def encode_message(
    speaker: Speaker,
    text: str,
    *,
    edge: str,
    token: int,
    nonce: str,
    reply_to: MessageId | None = None,
    max_shown: int = 0,
    delay_ms: int = 0,
) -> bytes:
    """A chat message as it is stored."""
    # Field by field, and only what is there: by keywords it takes more than twice as long.
    entry = events_pb2.LogEntry()
    message, identity = entry.message, speaker.identity
    message.text = text
    message.username = identity.username
    message.edge = edge
    message.token = token
    if identity.user_id is not None:
        message.user_id = identity.user_id
        message.role = identity.role or ""
    if nonce:
        message.nonce = nonce
    if reply_to is not None:
        message.reply_to = reply_to
    if max_shown:
        message.max_shown_per_second = max_shown
    if delay_ms:
        message.delay_ms = delay_ms
    return entry.SerializeToString()


def decode_entry(headers: bytes, payload: bytes, partition: int, *, prev_id: MessageId | None = None) -> LogEntry:
    """An entry with what the stream wrote into its headers; prev_id where they do not say. Raises ValueError."""
    try:
        entry = events_pb2.LogEntry.FromString(payload)
    except DecodeError:
        _log.warning("log_entry_malformed", payload=payload[:32].hex())
        entry = events_pb2.LogEntry()  # it has its place in the order all the same
    sequence, stamp, last_sequence = _read_place(headers, is_last_known=prev_id is not None)
    if prev_id is None:
        prev_id = entry_id(last_sequence, partition)
    number, at = entry_id(sequence, partition), to_milliseconds(stamp)
    if entry.HasField("message"):
        return _message(number, prev_id, at, entry)
    return _command_entry(number, prev_id, at, entry)


def _read_place(headers: bytes, *, is_last_known: bool) -> tuple[int, str, int]:
    """Sequence and time of an entry, and the sequence before it in its log; that is not read where it is known. Raises
    ValueError."""
    lines = headers.rsplit(b"\r\n", 5)
    if len(lines) == 6:
        # The stream writes them in this order, behind those of whoever published.
        _, sequence, stamp, last_sequence, _, _ = lines
        is_in_order = sequence.startswith(_SEQUENCE) and stamp.startswith(_STAMP)
        if is_in_order and last_sequence.startswith(_LAST_SEQUENCE):
            numbers = int(sequence[len(_SEQUENCE) :]), int(last_sequence[len(_LAST_SEQUENCE) :])
            return numbers[0], stamp[len(_STAMP) :].decode("ascii"), numbers[1]
    last = 0 if is_last_known else read_number(headers, _LAST_SEQUENCE)
    return read_number(headers, _SEQUENCE), read_text(headers, _STAMP), last


def _message(number: MessageId, prev_id: MessageId, at: str, entry: events_pb2.LogEntry) -> StoredMessage:
    message = entry.message
    user_id, edge, token, allowed = message.user_id, message.edge, message.token, None
    if message.hold_id:
        origin = entry.origin
        key = f"u:{user_id}" if user_id else f"c:{message.connection}"
        allowed = Allowed(message.hold_id, key, origin.nonce, origin.action_id)
        edge, token = origin.edge, origin.token
    return StoredMessage(
        number,
        prev_id,
        at,
        message.text,
        UserId(user_id) if user_id else None,
        message.username,
        edge,
        token,
        message.nonce,
        MessageId(message.reply_to) if message.reply_to else None,
        message.role or (Rank.USER.role if user_id else None),
        allowed,
        message.max_shown_per_second,
        min(message.delay_ms, _LONGEST_DELAY_MS),
    )


def _command_entry(number: MessageId, prev_id: MessageId, at: str, entry: events_pb2.LogEntry) -> LogEntry:
    origin = (entry.origin.edge, entry.origin.token, entry.origin.nonce, entry.origin.action_id)
    match entry.WhichOneof("entry"):
        case "message_deleted":
            one = entry.message_deleted
            author, by, message_id = _user(one.user_id), _user(one.moderator_user_id), MessageId(one.message_id)
            keys: tuple[str, ...] = (one.message_key,) if one.message_key else ()
            return MessageDeleted(number, prev_id, at, message_id, author, one.username, by, keys, *origin)
        case "messages_purged":
            many = entry.messages_purged
            author, by, up_to_id = _user(many.user_id), _user(many.moderator_user_id), MessageId(many.up_to_id)
            keys = tuple(many.message_keys)
            return MessagesPurged(number, prev_id, at, author, many.username, up_to_id, by, keys, *origin)
        case "room_cleared":
            all_of_them = entry.room_cleared
            by, up_to_id = _user(all_of_them.moderator_user_id), MessageId(all_of_them.up_to_id)
            return RoomCleared(number, prev_id, at, up_to_id, by, tuple(all_of_them.message_keys), *origin)
        case "policy_changed":
            change = entry.policy_changed
            policy = policy_from_proto(change.version, change.policy)
            return PolicyChanged(number, prev_id, at, policy, _user(change.moderator_user_id), *origin)
        case "message_pinned":
            pin = entry.message_pinned
            by, message_id = _user(pin.moderator_user_id), MessageId(pin.message_id)
            return MessagePinned(number, prev_id, at, message_id, pin.version, by, *origin)
        case "message_unpinned":
            end = entry.message_unpinned
            by, message_id = _user(end.moderator_user_id), MessageId(end.message_id)
            return MessageUnpinned(number, prev_id, at, message_id, end.version, by, *origin)
        case _:
            return UnknownEntry(number, prev_id, at, *origin)


def _user(number: int) -> UserId | None:
    return UserId(number) if number else None


def encode_typing(change: TypingChanged) -> bytes:
    """A start or a stop of typing, as it is published."""
    return Typing(
        key=change.key,
        user_id=change.user_id or 0,
        username=change.username,
        active=change.active,
        edge=change.edge,
        connection=change.connection,
        at_ms=change.at_ms,
    ).SerializeToString()


def decode_typing(payload: bytes) -> TypingChanged:
    """One connection's start or stop. Raises DecodeError."""
    event = Typing.FromString(payload)
    return TypingChanged(
        key=event.key,
        user_id=_user(event.user_id),
        username=event.username,
        active=event.active,
        edge=event.edge,
        connection=ConnectionId(event.connection),
        at_ms=event.at_ms,
    )


def encode_reactions(sums: ReactionSums, *, edge: str) -> bytes:
    """What members of this edge reacted with."""
    counts = [ReactionCount(emoji=each.emoji, message_id=each.message_id or 0, count=each.count) for each in sums]
    return Reactions(edge=edge, counts=counts).SerializeToString()


def decode_reactions(payload: bytes) -> tuple[str, list[Reacted]]:
    """The edge, and what its members reacted with. Raises DecodeError."""
    event = Reactions.FromString(payload)
    counts = event.counts[: EMOJI_LIMIT + MESSAGE_LIMIT]
    found = [
        Reacted(each.emoji, MessageId(each.message_id) if each.message_id else None, each.count)
        for each in counts
        if each.count > 0 and each.message_id >= 0 and 0 < len(each.emoji) <= REACTION_LIMIT_CHARACTERS
    ]
    return event.edge, found


def decode_presence(payload: bytes) -> PresenceChanged:
    """One transaction of the rooms service. Raises DecodeError."""
    event = Presence.FromString(payload)
    return PresenceChanged(
        first_version=event.first_version,
        version=event.version,
        connection_count=event.connection_count,
        crowded=event.crowded,
        joined=tuple(_participant(person) for person in event.joined),
        left=tuple(_participant(person) for person in event.left),
        joined_count=event.joined_count,
        left_count=event.left_count,
        at_ms=event.at_ms,
    )


def _participant(person: Person) -> Participant:
    return Participant(person.key, UserId(person.user_id) if person.user_id else None, person.username, person.version)


def read_number(headers: bytes, name: bytes) -> int:
    """The value of `name` (written `Name: `, with the blank) as a number. Raises ValueError."""
    start = headers.index(name) + len(name)
    return int(headers[start : headers.index(b"\r", start)])


def read_text(headers: bytes, name: bytes) -> str:
    """The value of `name`, which is ASCII. Raises ValueError."""
    start = headers.index(name) + len(name)
    return headers[start : headers.index(b"\r", start)].decode("ascii")


def read_trace_header(headers: bytes) -> str | None:
    """The trace of whoever published, None where they sent none that can be one."""
    try:
        return read_trace(read_text(headers, b"\r\ntraceparent: "))
    except ValueError:
        return None


def read_status(headers: bytes) -> int:
    """The status of a reply that is no message ("NATS/1.0 404 ..."), or 0."""
    if not headers.startswith(_VERSION + b" "):
        return 0
    start = len(_VERSION) + 1
    return int(headers[start : start + 3])


def to_milliseconds(timestamp: str) -> str:
    """RFC 3339 in UTC with exactly three digits: the server writes up to nine and leaves out trailing zeros.

    >>> to_milliseconds("2026-01-02T03:04:05.1Z")
    '2026-01-02T03:04:05.100Z'
    """
    if len(timestamp) > _MILLISECONDS_END:
        return f"{timestamp[:_MILLISECONDS_END]}Z"
    return f"{timestamp[:19]}.{timestamp[20:-1]:0<3}Z"
