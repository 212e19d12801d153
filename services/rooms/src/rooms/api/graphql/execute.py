"""One GraphQL request from its text to the HTTP answer.

Status: 200 once the operation was executed, whatever its errors, so that clients which read `application/json` (as
those of the frontend document do) find data and errors in a plain answer. 400 when nothing could be executed: bad JSON
in the variables, bad syntax, a document that does not fit the schema or its limits, bad variables; the body then has
no `data`, as clients which read `application/graphql-response+json` expect. 405 for a mutation over GET, 503 when the
time was up or too much is going on.
"""

import json
from collections.abc import Coroutine, Mapping
from typing import Any

import structlog
from graphql import GraphQLError
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types.execution import ExecutionResult
from strawberry.types.graphql import OperationType

from rooms.api.graphql.errors import format_error, format_refusal
from rooms.api.graphql.request import Request
from rooms.api.graphql.schema import QUERY_LIMIT_CHARACTERS, VARIABLES_LIMIT_BYTES, schema
from rooms.api.in_flight import InFlight
from rooms.domain.people import Viewer
from rooms.errors import InvalidInput, Refusal, ServiceUnavailable, TooManyInFlight
from rooms.ports import Ports

DEADLINE_S = 5.0
EXECUTION_LIMIT = 64
"""At once."""
_QUERIES = {OperationType.QUERY}
_ALL = {OperationType.QUERY, OperationType.MUTATION}
_log = structlog.get_logger()


async def execute(
    executions: InFlight,
    query: str,
    variables: bytes,
    operation_name: str,
    viewer: Viewer | None,
    context: Ports,
    allow_mutation: bool,
) -> tuple[bytes, int]:
    """The JSON body and the HTTP status. `variables` is a JSON object or empty; never raises for what a client sent.
    The execution goes on among `executions` when nobody waits for it any more."""
    try:
        request = Request(context, viewer, operation_name)
        execution = _execution(query, variables, request, _ALL if allow_mutation else _QUERIES)
        return _answer(await executions.run(request.operation_name or "graphql", execution, deadline_s=DEADLINE_S))
    except InvalidInput as refusal:
        return _refuse(400, refusal)
    except CannotGetOperationTypeError:
        return _refuse(400, InvalidInput("The document has no such operation"))
    except InvalidOperationTypeError as refusal:
        return _refuse_operation(refusal)
    except TooManyInFlight:
        return _refuse(503, ServiceUnavailable("Too many requests at once"))
    except TimeoutError:
        _log.warning("graphql_request_took_too_long", deadline_s=DEADLINE_S)
        return _refuse(503, ServiceUnavailable("The request took too long"))


def _execution(
    query: str, variables: bytes, request: Request, allowed: set[OperationType]
) -> Coroutine[Any, Any, ExecutionResult]:
    _check_length(query)
    return schema.execute(
        query,
        variable_values=_read_variables(variables),
        context_value=request,
        operation_name=request.operation_name or None,
        allowed_operation_types=allowed,
    )


def _check_length(query: str) -> None:
    if not query.strip():
        raise InvalidInput("The query is missing")
    if len(query) > QUERY_LIMIT_CHARACTERS:
        raise InvalidInput(f"The query is longer than {QUERY_LIMIT_CHARACTERS} characters")


def _read_variables(variables: bytes) -> dict[str, Any]:
    if len(variables) > VARIABLES_LIMIT_BYTES:
        raise InvalidInput(f"The variables are longer than {VARIABLES_LIMIT_BYTES} bytes")
    try:
        values = json.loads(variables) if variables else {}
    except (ValueError, RecursionError):
        raise InvalidInput("The variables are not JSON") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise InvalidInput("The variables are not a JSON object")
    return values


def _refuse_operation(refusal: InvalidOperationTypeError) -> tuple[bytes, int]:
    if refusal.operation_type is OperationType.MUTATION:
        return _refuse(405, InvalidInput("Mutations need POST"))
    return _refuse(400, InvalidInput("Subscriptions are not offered: connect to the socket"))


def _refuse(status: int, refusal: Refusal) -> tuple[bytes, int]:
    return _encode({"errors": [format_refusal(refusal)]}), status


def _answer(result: ExecutionResult) -> tuple[bytes, int]:
    errors: list[GraphQLError] = result.errors or []
    body: dict[str, Any] = {"errors": [format_error(error) for error in errors]} if errors else {}
    # Without data and without an error that names its field, no field was ever asked.
    if result.data is None and not any(error.path for error in errors):
        return _encode(body), 400
    return _encode(body | {"data": result.data}), 200


def _encode(body: Mapping[str, Any]) -> bytes:
    # Variables may hold lone surrogates, and error texts quote them; UTF-8 cannot.
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
