"""Everything that moderation raises on purpose, but for what comes out of the store (chassis.errors:
DatabaseUnavailable and, under it, OutcomeUnknown).

ModerationError
├── MalformedRequest          a call that breaks the contract of gRPC: INVALID_ARGUMENT
├── NotPermitted              the table of rights refuses an action: an answer to Act, PERMISSION_DENIED elsewhere
├── SanctionNotFound          there is no sanction with that id, or none of one's own: an answer to Execute, NOT_FOUND
│                             elsewhere
├── SanctionIsOver            a command has nothing to change any more: caught in usecases/execute.py
├── RuleNotFound              there is no such rule of that slug: an answer to Execute, NOT_FOUND elsewhere
├── RuleRefused               a rule that can't be used, or is one too many: an answer to Execute
├── TooManyPolicies           so many slugs have a policy that no other one gets one: RESOURCE_EXHAUSTED
├── TooManyRoles              as many have roles in a room as may: an answer to Execute
├── TooManyRevocations        as many tokens are revoked as may be: an answer to Execute
├── MessageNotFound           there is no such message, or it was taken back before: an answer to Execute
├── WarningNotFound           who reports of a warning was never given it: an answer to Execute
├── HoldNotFound              no message waits, or waited, there under that id: an answer to Execute
├── HoldFull                  as many messages of the author, or in the room, wait as may: an answer to Execute
├── HoldDecided               somebody has decided about the message, or time has: an answer to Execute
├── RoomGone                  the life of the room that a held message was sent in is over: an answer to Execute
├── ActionNotFound            there is no such row of the audit log where somebody acts: an answer to Execute
├── CannotUndo                it took messages back, or changed a rule: an answer to Execute
├── AlreadyUndone             it was undone before: an answer to Execute
├── NothingToUndo             nothing is left as it made it: an answer to Execute
├── ReportNotFound            there is no such report of that slug: an answer to Execute, NOT_FOUND elsewhere
├── TooManyReports            somebody has reported as much as they may just now: an answer to Execute
├── AlreadyDecided            somebody else, or the time, decided before: an answer to Execute
├── UnbanRequestNotFound      there is no such unban request of that slug: an answer to Execute, NOT_FOUND elsewhere
├── AlreadyRequested          there is an open unban request about that ban: an answer to Execute
├── RequestedTooSoon          one was denied less than a day ago: an answer to Execute
├── NoteNotFound              there is no such note of that slug: an answer to Execute, NOT_FOUND elsewhere
├── TooManyNotes              there are as many of somebody in a room as may be: an answer to Execute
├── NonceTaken                the actor gave it to another command just now: an answer to Execute
├── MessageWanted             an undo depends on a message of the log: caught in usecases/execute.py
├── LogUnavailable            NATS does not answer, or has no such stream: the outbox tries again
├── TurnAwaited               an earlier change of the same pin is to be told first: caught in usecases/outbox.py
├── ClaimLost                 another replica works on what the outbox has to do: caught in usecases/outbox.py
├── ClassifierFailed          a classifier was not reached, or gave no answer: caught in usecases/classify.py
└── StartFailed               the replica cannot run: exit code 1

api/grpc/status.py says what a caller reads of them.
"""

from typing import Any


class ModerationError(Exception):
    """What is refused, or cannot be."""


class MalformedRequest(ModerationError):
    """A request that breaks the contract; the text names the field."""

    def __init__(self, field: str) -> None:
        super().__init__(f"bad {field}")


class NotPermitted(ModerationError):
    """Rank or role of who acts are not enough."""


class SanctionNotFound(ModerationError):
    """There never was a sanction with that id."""


class SanctionIsOver(ModerationError):
    """When the command got the lock of commands, the sanction that it lifts was no longer in force, or one that it
    would impose was."""


class RuleNotFound(ModerationError):
    """No rule, of that slug, has this id."""


class RuleRefused(ModerationError):
    """The text says which pattern, or which limit, and why; for whoever wrote it."""


class TooManyPolicies(ModerationError):
    """So many slugs have a policy that no other one gets one."""


class TooManyRoles(ModerationError):
    """As many have roles in that room as may."""


class TooManyRevocations(ModerationError):
    """As many tokens are revoked as may be."""


class MessageNotFound(ModerationError):
    """There is no such message in the log, or it was taken back before."""


class WarningNotFound(ModerationError):
    """There is no such warning of that target."""


class HoldNotFound(ModerationError):
    """No message of that slug waits, or has waited, under this id."""


class HoldFull(ModerationError):
    """No other message of that author, or in that room, may wait."""


class HoldDecided(ModerationError):
    """Somebody has decided about a held message, or time has: `hold` is a Hold of the domain, as it is since."""

    def __init__(self, hold: Any) -> None:
        super().__init__(hold.state.name)
        self.hold = hold


class RoomGone(ModerationError):
    """The message was sent in another life of the room."""


class ActionNotFound(ModerationError):
    """The audit log has no such row, or it is not one of a person, or of another room than the one that is acted in."""


class CannotUndo(ModerationError):
    """The action took messages back, or changed a rule."""


class AlreadyUndone(ModerationError):
    """The action was undone before."""


class NothingToUndo(ModerationError):
    """Nothing is left as the action made it."""


class ReportNotFound(ModerationError):
    """No report, of that slug, has this id."""


class TooManyReports(ModerationError):
    """The reporter has filed as many as they may just now."""

    def __init__(self, retry_after_ms: int) -> None:
        super().__init__("too many reports")
        self.retry_after_ms = retry_after_ms


class AlreadyDecided(ModerationError):
    """What is to be decided about is closed."""

    def __init__(self, by: int) -> None:
        super().__init__("already decided")
        self.by = by
        """The user who decided; 0: nobody, its time was over."""


class UnbanRequestNotFound(ModerationError):
    """No unban request, of that slug, has this id."""


class AlreadyRequested(ModerationError):
    """The user has asked, and nobody has decided yet."""


class RequestedTooSoon(ModerationError):
    """The user has asked, and was denied."""

    def __init__(self, retry_after_ms: int) -> None:
        super().__init__("requested too soon")
        self.retry_after_ms = retry_after_ms


class NoteNotFound(ModerationError):
    """No note, of that slug, has this id."""


class TooManyNotes(ModerationError):
    """There are as many notes of that person in that room as may be."""


class NonceTaken(ModerationError):
    """The same person sent a command of another kind, or for another room, with this nonce within two minutes."""


class MessageWanted(ModerationError):
    """Whether this message can still be read is to be looked up first."""

    def __init__(self, message_id: int) -> None:
        super().__init__()
        self.message_id = message_id


class LogUnavailable(ModerationError):
    """The log could not be read or written; the text says why."""


class ClaimLost(ModerationError):
    """Somebody else has taken over what the outbox had to do."""


class TurnAwaited(ModerationError):
    """An earlier change of the pin of that log is not in it yet."""


class StartFailed(ModerationError):
    """The text is for an operator: why the replica cannot run."""


class ClassifierFailed(ModerationError):
    """A classifier was not reached, or what came was no answer; the text says why."""
