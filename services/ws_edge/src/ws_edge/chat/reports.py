"""What a client reports goes to moderation; the client alone is told that it is there."""

from typing import Protocol

from ws_edge.chat.registry import Connection
from ws_edge.errors import ErrorCode
from ws_edge.ports import Moderation, ReportOutcome
from ws_edge.protocol import codec
from ws_edge.protocol.session import FileReport
from ws_edge.room.outcomes import Author

_REFUSALS = {
    ReportOutcome.NOT_PERMITTED: ErrorCode.NOT_MODERATOR,
    ReportOutcome.NOT_FOUND: ErrorCode.NOT_FOUND,
}


class Reporter(Author, Connection, Protocol):
    """A connection that reports."""


async def file_report(moderation: Moderation, client: Reporter, action: FileReport) -> ErrorCode | None:
    """Have one report kept; None: the client is answered. Raises ModerationUnavailable."""
    room = client.room
    if room is None:
        return None  # gone meanwhile: nobody is to be answered
    answer = await moderation.file_report(client.speaker, room.slug, room.log, action.report)
    if answer.outcome is ReportOutcome.TOO_MANY:
        client.refuse(ErrorCode.RATE_LIMITED, retry_after_ms=answer.retry_after_ms, nonce=action.nonce)
        return None
    if answer.outcome is not ReportOutcome.REPORTED:
        return _REFUSALS[answer.outcome]
    client.write(codec.reported(action.report.message_id, nonce=action.nonce))
    return None
