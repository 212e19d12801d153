"""Between the events on NATS and the words of ports.py."""

from salon.events.v1.events_pb2 import ChatMessage, Person, Presence, Typing
from ws_edge.adapters.nats_headers import read_number, read_text, to_milliseconds
from ws_edge.ports import Participant, PresenceChanged, StoredMessage, TypingChanged
from ws_edge.protocol.identity import ConnectionId, Life, MessageId, RoomId, Speaker, UserId


def stored_subject(room_id: RoomId, life: Life) -> str:
    """Where a room's messages are published, and kept."""
    return f"salon.v1.room.{room_id}.{life}.message"


def live_subject(room_id: RoomId, life: Life, kind: str) -> str:
    """Where a room's events arrive."""
    return f"salon.v1.live.{room_id}.{life}.{kind}"


def encode_message(speaker: Speaker, text: str, *, edge: str, token: int, nonce: str) -> bytes:
    """A chat message as it is stored."""
    identity = speaker.identity
    return ChatMessage(
        text=text, user_id=identity.user_id or 0, username=identity.username, edge=edge, token=token, nonce=nonce
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
    )


def encode_typing(change: TypingChanged) -> bytes:
    """A start or a stop."""
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
    """Raises DecodeError."""
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
    """Raises DecodeError."""
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
