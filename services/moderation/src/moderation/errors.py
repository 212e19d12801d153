"""Everything that moderation raises on purpose, and what comes of it.

ModerationError
 ├─ BadRequest               a request cannot be meant; the text names the field (INVALID_ARGUMENT)
 ├─ NotPermitted             the table of rights refuses an action (an answer to Act, PERMISSION_DENIED elsewhere)
 ├─ SanctionNotFound         there never was a sanction with that id (NOT_FOUND)
 ├─ SanctionIsOver           it was lifted before its turn to be lifted came (never leaves usecases/execute.py)
 └─ StartFailed              the replica cannot run; the text tells an operator why (exit code 1)

Of the chassis' errors two come out of the store: DatabaseUnavailable (UNAVAILABLE), trying again later may help, and
under it OutcomeUnknown, what was to be changed may be stored or not. It is named here and not imported: the domain
raises NotPermitted and imports no chassis.
"""


class ModerationError(Exception):
    """What is refused, or cannot be."""


class BadRequest(ModerationError):
    """The request cannot be meant."""

    def __init__(self, field: str) -> None:
        super().__init__(f"bad {field}")


class NotPermitted(ModerationError):
    """Rank or role of who acts are not enough."""


class SanctionNotFound(ModerationError):
    """There never was a sanction with that id."""


class SanctionIsOver(ModerationError):
    """The sanction was no longer in force when it was this command's turn."""


class StartFailed(ModerationError):
    """The text tells an operator why the replica cannot run."""
