"""What a caller reads of an exception: a status and a text of ours."""

from grpc import StatusCode

from chassis.errors import DatabaseUnavailable
from chassis.grpc_server import Status, StatusTable
from moderation.errors import (
    LogUnavailable,
    MalformedRequest,
    NoteNotFound,
    NotPermitted,
    ReportNotFound,
    RuleNotFound,
    SanctionNotFound,
    TooManyPolicies,
    UnbanRequestNotFound,
)

STATUSES: StatusTable = {
    MalformedRequest: Status(StatusCode.INVALID_ARGUMENT),
    NotPermitted: Status(StatusCode.PERMISSION_DENIED, "not permitted"),
    SanctionNotFound: Status(StatusCode.NOT_FOUND, "no such sanction"),
    TooManyPolicies: Status(StatusCode.RESOURCE_EXHAUSTED, "too many policies"),
    ReportNotFound: Status(StatusCode.NOT_FOUND, "no such report"),
    UnbanRequestNotFound: Status(StatusCode.NOT_FOUND, "no such unban request"),
    NoteNotFound: Status(StatusCode.NOT_FOUND, "no such note"),
    RuleNotFound: Status(StatusCode.NOT_FOUND, "no such rule"),
    LogUnavailable: Status(StatusCode.UNAVAILABLE, "log away"),
    DatabaseUnavailable: Status(StatusCode.UNAVAILABLE, "database away"),
}
