"""What the owner of a session must do, in the order in which the session says it."""

from msgspec import Struct

from ws_edge.protocol.close import CloseCode
from ws_edge.protocol.identity import UserId
from ws_edge.protocol.sanction import Action, Scope


class Reply(Struct, frozen=True, gc=False):
    """Send this frame to the client."""

    frame: bytes


class Post(Struct, frozen=True, gc=False):
    """Have this message admitted and stored; the nonce may be empty."""

    text: str
    nonce: str


class StartTyping(Struct, frozen=True, gc=False):
    """Publish that the client's user types, or still does; who hears it twice shows it once."""


class StopTyping(Struct, frozen=True, gc=False):
    """Publish that the client's user no longer types."""


class Moderate(Struct, frozen=True, gc=False):
    """Ask moderation for this; the nonce belongs into the error frame when it is refused."""

    action: Action
    target_user_id: UserId | None
    target_username: str | None
    duration_minutes: int
    reason: str
    scope: Scope
    nonce: str = ""


class Disconnect(Struct, frozen=True, gc=False):
    """Close the connection; the last effect there is."""

    code: CloseCode


Effect = Reply | Post | StartTyping | StopTyping | Moderate | Disconnect
