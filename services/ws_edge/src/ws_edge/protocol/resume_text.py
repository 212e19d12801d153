"""The text with which an anonymous participant comes back: signed, bound to one life of a room, and good for a day."""

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass

import msgspec

from ws_edge.protocol.identity import Identity, Life, Rank, Speaker

LIFETIME_S = 86_400.0
"""From the first issue: a text is never issued anew, however often its participant comes back."""
LONGEST_TEXT = 1024
_SIGNATURE_BYTES = 16
_payload_decoder = msgspec.json.Decoder(tuple[int, str, str, str, float])


@dataclass(frozen=True, slots=True)
class FormerParticipant:
    """An anonymous participant of one life, as they first came."""

    life: Life
    username: str
    address: str
    """As Speaker.address."""
    connection: str
    """As Speaker.connection."""
    expires_at_s: float
    """Unix seconds."""

    def speaker(self, here: Speaker) -> Speaker:
        """The participant, on a connection that as a new one would be `here`."""
        identity = Identity(None, self.username, None, (), Rank.ANONYMOUS, None)
        return Speaker(identity, self.address, self.connection, here)


class ResumeTexts:
    """Issues and reads the texts. Without a key there are none."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes | None) -> None:
        self._key = key

    def issue(self, participant: FormerParticipant) -> str | None:
        """The same participant always has the same text."""
        if self._key is None:
            return None
        payload = msgspec.json.encode(
            (
                participant.life,
                participant.username,
                participant.address,
                participant.connection,
                participant.expires_at_s,
            )
        )
        return base64.urlsafe_b64encode(_signature(self._key, payload) + payload).rstrip(b"=").decode()

    def read(self, text: str, *, now_s: float) -> FormerParticipant | None:
        """Whose text it is; None: nobody's any more, or it never was one."""
        if self._key is None or len(text) > LONGEST_TEXT:
            return None
        try:
            raw = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except (ValueError, binascii.Error):
            return None
        signature, payload = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, _signature(self._key, payload)):
            return None
        try:
            life, username, address, connection, expires_at_s = _payload_decoder.decode(payload)
        except ValueError:  # signed by an edge of another version
            return None
        if now_s >= expires_at_s:
            return None
        return FormerParticipant(Life(life), username, address, connection, expires_at_s)


def derived_key(secret: str, purpose: str) -> bytes:
    """A key for one purpose alone: what is signed with it says nothing of the secret, and is good for nothing else."""
    return hmac.new(secret.encode(), purpose.encode(), hashlib.sha256).digest()


def _signature(key: bytes, payload: bytes) -> bytes:
    return hmac.new(key, payload, hashlib.sha256).digest()[:_SIGNATURE_BYTES]
