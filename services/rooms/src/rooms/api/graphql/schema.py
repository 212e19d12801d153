"""The schema: types, limits, caches, and what of its errors is logged."""

from traceback import format_exception

import strawberry
import structlog
from graphql import GraphQLError
from strawberry.extensions import AddValidationRules, MaxTokensLimiter, ParserCache, ValidationCache
from strawberry.schema.config import StrawberryConfig
from strawberry.types import ExecutionContext

from rooms.api.graphql.errors import unexpected_cause
from rooms.api.graphql.limits import TOKEN_LIMIT, ChosenOperation, ShapeLimit
from rooms.api.graphql.mutation import Mutation
from rooms.api.graphql.query import Query
from rooms.api.graphql.scalars import SCALARS

_log = structlog.get_logger()


class RoomsSchema(strawberry.Schema):
    """Logs defects alone: neither what clients did wrong, nor documents, nor variables."""

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """One line for each exception that nobody expected."""
        for error in errors:
            if cause := unexpected_cause(error):
                path = ".".join(map(str, error.path or ()))
                # Written out here: renderers of exceptions like to show local variables.
                _log.error("graphql_field_failed", path=path, traceback="".join(format_exception(cause)))


def build_schema() -> RoomsSchema:
    """The one schema of the service; it holds no state but its caches."""
    return RoomsSchema(
        query=Query,
        mutation=Mutation,
        config=StrawberryConfig(scalar_map=SCALARS, disable_field_suggestions=True),
        extensions=[
            lambda: MaxTokensLimiter(max_token_count=TOKEN_LIMIT),
            ParserCache,
            # The rule stands before the validation cache, whose key it is part of.
            lambda: AddValidationRules([ShapeLimit]),
            ValidationCache,
            ChosenOperation,
        ],
    )


schema = build_schema()
