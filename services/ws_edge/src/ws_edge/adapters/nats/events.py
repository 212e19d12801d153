"""Between the events on NATS, with the few header lines that matter, and the words of ports.py."""

from chassis.traces import read_trace
from salon.events.v1.events_pb2 import ChatMessage, Person, Presence, Typing
from ws_edge.protocol.identity import ConnectionId, Life, MessageId, Rank, RoomId, Speaker, UserId
from ws_edge.protocol.rooms import Participant, PresenceChanged, StoredMessage, TypingChanged

_VERSION = b"NATS/1.0"


def stored_subject(room_id: RoomId, life: Life) -> str:
    """Where a room's messages are published, and kept."""
    return f"salon.v1.room.{room_id}.{life}.message"


def live_subject(room_id: RoomId, life: Life, kind: str) -> str:
    """Where a room's events arrive."""
    return f"salon.v1.live.{room_id}.{life}.{kind}"


def encode_message(
    speaker: Speaker, text: str, *, edge: str, token: int, nonce: str, reply_to: MessageId | None = None
) -> bytes:
    """A chat message as it is stored."""
    identity = speaker.identity
    return ChatMessage(
        text=text,
        user_id=identity.user_id or 0,
        username=identity.username,
        edge=edge,
        token=token,
        nonce=nonce,
        reply_to=reply_to or 0,
        role=identity.rank.role or "",
    ).SerializeToString()


def decode_message(headers: bytes, payload: bytes, *, prev_id: MessageId | None = None) -> StoredMessage:
    """A message with what the stream wrote into its headers; prev_id where they do not say. Raises ValueError."""
    event = ChatMessage.FromString(payload)
    if prev_id is None:
        prev_id = MessageId(read_number(headers, b"Nats-Last-Sequence: "))
    return StoredMessage(
        MessageId(read_number(headers, b"Nats-Sequence: ")),
        prev_id,
        to_milliseconds(read_text(headers, b"Nats-Time-Stamp: ")),
        event.text,
        UserId(event.user_id) if event.user_id else None,
        event.username,
        event.edge,
        event.token,
        event.nonce,
        MessageId(event.reply_to) if event.reply_to else None,
        event.role or (Rank.USER.role if event.user_id else None),
    )


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
        user_id=UserId(event.user_id) if event.user_id else None,
        username=event.username,
        active=event.active,
        edge=event.edge,
        connection=ConnectionId(event.connection),
        at_ms=event.at_ms,
    )


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
    return f"{timestamp[:19]}.{timestamp[20:-1]:0<3.3}Z"
