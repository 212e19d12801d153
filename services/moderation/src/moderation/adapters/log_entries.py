"""Entries of a room's log as they are stored: what this service reads of messages, and the entries that it writes."""

from dataclasses import asdict
from typing import NamedTuple

from google.protobuf.message import DecodeError

from moderation.domain.commands import LogChange
from moderation.domain.erasures import Erasure, ErasureKind, LoggedMessage
from moderation.domain.holds import Publication
from moderation.domain.people import Target
from moderation.domain.pins import PinAction, PinChange
from moderation.domain.policy import PolicyChange
from salon.events.v1 import events_pb2 as pb
from salon.moderation.v1 import policy_pb2


class Stored(NamedTuple):
    """What the stream has under one sequence."""

    id: int
    at_ms: int
    key: str
    """Its Nats-Msg-Id, or empty."""
    payload: bytes


def message_of(stored: Stored) -> LoggedMessage | None:
    """None where it is no message."""
    entry = _read(stored)
    if entry is None or entry.WhichOneof("entry") != "message":
        return None
    said = entry.message
    author, text = (said.user_id, said.username), said.text
    return LoggedMessage(stored.id, stored.at_ms, *author, text, stored.key, said.role, said.reply_to)


def takes_back(stored: Stored, key: str, author: Target, *, since_ms: int) -> bool:
    """Whether an entry takes back a message with that key, of that author, that was to be stored at `since_ms`, Unix
    milliseconds, and may have been. Where it was not it is not to be seen any more either: all that was said before the
    entry is taken back. An entry of before takes it back only where it names it."""
    entry = _read(stored)
    kind = None if entry is None else entry.WhichOneof("entry")
    if entry is None or kind is None:
        return False
    if kind == "message_deleted":
        return entry.message_deleted.message_key == key
    if kind == "messages_purged":
        purged = entry.messages_purged
        is_author = Target(purged.user_id, "" if purged.user_id else purged.username) == author
        return key in purged.message_keys or (stored.at_ms >= since_ms and is_author)
    return kind == "room_cleared" and (key in entry.room_cleared.message_keys or stored.at_ms >= since_ms)


def encode_change(action_id: int, change: LogChange) -> bytes:
    """The entry that tells of it; the same bytes whoever encodes it."""
    edge, token, nonce = change.origin
    entry = pb.LogEntry(origin=pb.CommandOrigin(edge=edge, token=token, nonce=nonce, action_id=action_id))
    if isinstance(change, PolicyChange):
        _tell_policy(entry, change)
    elif isinstance(change, PinChange):
        _tell_pin(entry, change)
    elif isinstance(change, Publication):
        _say(entry, change)
    else:
        _tell_erasure(entry, change)
    return entry.SerializeToString(deterministic=True)


def _tell_policy(entry: pb.LogEntry, change: PolicyChange) -> None:
    entry.policy_changed.version = change.version
    entry.policy_changed.moderator_user_id = change.moderator_user_id
    entry.policy_changed.policy.CopyFrom(policy_pb2.Policy(**asdict(change.policy)))


def _tell_pin(entry: pb.LogEntry, change: PinChange) -> None:
    told = entry.message_pinned if change.action is PinAction.PIN else entry.message_unpinned
    told.message_id = change.message_id
    told.version = change.version
    told.moderator_user_id = change.moderator_user_id


def _say(entry: pb.LogEntry, change: Publication) -> None:
    message = change.message
    entry.message.text = message.text
    entry.message.user_id = message.author.user_id
    entry.message.username = message.author.username
    entry.message.nonce = message.nonce
    entry.message.reply_to = message.reply_to
    entry.message.role = message.role
    entry.message.hold_id = change.hold_id
    if not message.author.user_id:
        entry.message.connection = message.author.connection


def _tell_erasure(entry: pb.LogEntry, erasure: Erasure) -> None:
    user_id = erasure.author.user_id if erasure.author else 0
    if erasure.kind is ErasureKind.DELETE:
        entry.message_deleted.MergeFrom(
            pb.MessageDeleted(
                message_id=erasure.message_id,
                user_id=user_id,
                username=erasure.username,
                moderator_user_id=erasure.moderator_user_id,
                message_key=next(iter(erasure.message_keys), ""),
            )
        )
    elif erasure.kind is ErasureKind.PURGE:
        entry.messages_purged.MergeFrom(
            pb.MessagesPurged(
                user_id=user_id,
                username=erasure.username,
                up_to_id=erasure.last_id,
                moderator_user_id=erasure.moderator_user_id,
                message_keys=erasure.message_keys,
            )
        )
    else:
        entry.room_cleared.MergeFrom(
            pb.RoomCleared(
                up_to_id=erasure.last_id,
                moderator_user_id=erasure.moderator_user_id,
                message_keys=erasure.message_keys,
            )
        )


def _read(stored: Stored) -> pb.LogEntry | None:
    try:
        return pb.LogEntry.FromString(stored.payload)
    except DecodeError:
        return None  # nobody can show it either
