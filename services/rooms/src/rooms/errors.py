"""Everything that the service raises on purpose, but for what the chassis raises (chassis.errors: DatabaseUnavailable).

RoomsError
├── MalformedRequest          a call that breaks the contract of gRPC
├── TooManyInFlight           more calls at once than are allowed
├── SyncSuperseded            a sync that its edge has given up
└── Refusal                   what people are answered, each with the code that GraphQL shows
    ├── NotSignedIn           UNAUTHENTICATED
    ├── NotPermitted          FORBIDDEN
    │   ├── SlugReserved
    │   ├── TooManyRooms
    │   ├── TooManyEmotes
    │   ├── TooManyNotes
    │   ├── TooManyBlocks
    │   ├── TooManyRoles
    │   └── TooManyRevocations
    ├── RoomNotFound          NOT_FOUND
    ├── SanctionNotFound      NOT_FOUND
    ├── ActionNotFound        NOT_FOUND
    ├── RuleNotFound          NOT_FOUND
    ├── ReportNotFound        NOT_FOUND
    ├── UnbanRequestNotFound  NOT_FOUND
    ├── NoteNotFound          NOT_FOUND
    ├── SlugTaken             CONFLICT
    ├── CannotUndo            CONFLICT
    ├── AlreadyUndone         CONFLICT
    ├── NothingToUndo         CONFLICT
    ├── AlreadyDecided        CONFLICT
    ├── AlreadyRequested      CONFLICT
    ├── RequestedTooSoon      CONFLICT
    ├── InvalidInput          INVALID
    └── ServiceUnavailable    UNAVAILABLE
        └── ModerationUnavailable

api/grpc/status.py says what a caller over gRPC reads of them, api/graphql/errors.py what one over GraphQL does.
"""

from typing import ClassVar


class RoomsError(Exception):
    """The text holds no secret."""


class MalformedRequest(RoomsError):
    """A request that breaks the contract; the text names the field."""


class TooManyInFlight(RoomsError):
    """As many calls as are allowed at once are in flight, those included that no caller waits for any more."""


class SyncSuperseded(RoomsError):
    """The edge has given it up and gone on; another sync does all of it anew."""


class Refusal(RoomsError):
    """Something a caller asked for and does not get. The text may be shown."""

    code: ClassVar[str]
    text: ClassVar[str]

    def __init__(self, text: str | None = None) -> None:
        super().__init__(text or self.text)


class NotSignedIn(Refusal):
    """Only signed-in users may do this."""

    code = "UNAUTHENTICATED"
    text = "Sign in first"


class NotPermitted(Refusal):
    """The viewer's rank, or whose room it is, does not allow it."""

    code = "FORBIDDEN"
    text = "You do not have permission to do this"


class SlugReserved(NotPermitted):
    """The operator keeps the slug for admins."""

    text = "The slug is reserved"


class TooManyRooms(NotPermitted):
    """As many rooms' settings are kept for this user as may be."""

    text = "You keep as many rooms as you may: delete one first"


class TooManyEmotes(NotPermitted):
    """The slug has as many emotes as it may."""

    text = "There are as many emotes as there may be: delete one first"


class TooManyNotes(NotPermitted):
    """There are as many notes of that person in that room as there may be."""

    text = "There are as many notes as there may be: delete one first"


class TooManyBlocks(NotPermitted):
    """The user has blocked as many as they may."""

    text = "You block as many users as you may: unblock one first"


class TooManyRoles(NotPermitted):
    """As many have roles in the room as may."""

    text = "As many have roles in this room as may: take one back first"


class TooManyRevocations(NotPermitted):
    """As many tokens are revoked as may be."""

    text = "As many tokens are revoked as may be"


class RoomNotFound(Refusal):
    """No room, living or with kept settings, answers to the reference."""

    code = "NOT_FOUND"
    text = "Room not found"


class SanctionNotFound(Refusal):
    """No sanction has this id."""

    code = "NOT_FOUND"
    text = "Sanction not found"


class ActionNotFound(Refusal):
    """No action has this id."""

    code = "NOT_FOUND"
    text = "Action not found"


class CannotUndo(Refusal):
    """The action took messages back, or changed a rule."""

    code = "CONFLICT"
    text = "This cannot be undone"


class AlreadyUndone(Refusal):
    """The action was undone before."""

    code = "CONFLICT"
    text = "This was undone already"


class NothingToUndo(Refusal):
    """Nothing is left as the action made it."""

    code = "CONFLICT"
    text = "Nothing is left to undo"


class RuleNotFound(Refusal):
    """No rule has this id, or none of that slug."""

    code = "NOT_FOUND"
    text = "Rule not found"


class ReportNotFound(Refusal):
    """No report has this id."""

    code = "NOT_FOUND"
    text = "Report not found"


class UnbanRequestNotFound(Refusal):
    """No unban request has this id."""

    code = "NOT_FOUND"
    text = "Unban request not found"


class NoteNotFound(Refusal):
    """No note has this id."""

    code = "NOT_FOUND"
    text = "Note not found"


class SlugTaken(Refusal):
    """The slug lives, or its kept settings are somebody else's."""

    code = "CONFLICT"
    text = "The slug is in use"


class AlreadyDecided(Refusal):
    """The first decision holds; the text says whose it was."""

    code = "CONFLICT"
    text = "This was decided already"

    @classmethod
    def by(cls, user_id: int) -> "AlreadyDecided":
        """Whose decision it was; 0: nobody's, its time was over."""
        return cls(f"User {user_id} has decided already" if user_id else "Its time was over before anybody decided")


class AlreadyRequested(Refusal):
    """The user has asked, and nobody has decided yet."""

    code = "CONFLICT"
    text = "You have asked already"


class RequestedTooSoon(Refusal):
    """The user has asked, and was denied; the text says when they may again."""

    code = "CONFLICT"
    text = "You may ask again later"

    @classmethod
    def again_in(cls, retry_after_ms: int) -> "RequestedTooSoon":
        """In so many milliseconds."""
        return cls(f"You may ask again in {-(-retry_after_ms // 60_000)} minutes")


class InvalidInput(Refusal):
    """An argument breaks a rule; the text says which."""

    code = "INVALID"
    text = "Invalid input"


class ServiceUnavailable(Refusal):
    """A dependency did not answer within its deadline; trying again later helps."""

    code = "UNAVAILABLE"
    text = "Service unavailable"


class ModerationUnavailable(ServiceUnavailable):
    """No replica of the moderation service answered."""
