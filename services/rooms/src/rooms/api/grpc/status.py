"""What a caller reads of an exception: a status, and a text of ours. Everything else is INTERNAL, and logged."""

from grpc import StatusCode

from chassis.errors import DatabaseUnavailable
from chassis.grpc_server import Status, StatusTable
from rooms.errors import MalformedRequest, SyncSuperseded, TooManyInFlight

STATUSES: StatusTable = {
    MalformedRequest: Status(StatusCode.INVALID_ARGUMENT),
    TooManyInFlight: Status(StatusCode.RESOURCE_EXHAUSTED, "too many calls at once"),
    SyncSuperseded: Status(StatusCode.UNAVAILABLE, "the edge has gone on without this sync"),
    DatabaseUnavailable: Status(StatusCode.UNAVAILABLE, "database away"),
}
