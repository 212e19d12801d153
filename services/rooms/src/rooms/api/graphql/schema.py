"""The schema: types, limits, caches, and what of its errors is logged."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from traceback import format_exception
from typing import Any

import strawberry
import structlog
from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    OperationDefinitionNode,
    SelectionSetNode,
    ValidationContext,
    ValidationRule,
)
from strawberry.extensions import AddValidationRules, MaxTokensLimiter, ParserCache, SchemaExtension, ValidationCache
from strawberry.schema.config import StrawberryConfig
from strawberry.types import ExecutionContext

from rooms.api.graphql.errors import unexpected_cause
from rooms.api.graphql.fields import Mutation, Query
from rooms.api.graphql.request import Request
from rooms.api.graphql.types import SCALARS

QUERY_LIMIT_CHARACTERS = 16_384
VARIABLES_LIMIT_BYTES = 65_536
TOKEN_LIMIT = 1000
DEPTH_LIMIT = 8
NESTING_LIMIT = 50
ALIAS_LIMIT = 15
FIELD_LIMIT = 300
_MANY = 10**6
_log = structlog.get_logger()


class ChosenOperation(SchemaExtension):
    """A document of several operations needs the name of one; left alone, Strawberry takes the first."""

    def on_validate(self) -> Iterator[None]:
        """Stands behind the validation cache, whose answer does not depend on the name."""
        execution = self.execution_context
        document = execution.graphql_document
        operations = [d for d in document.definitions if isinstance(d, OperationDefinitionNode)] if document else []
        request: Request = execution.context
        if len(operations) > 1 and not request.operation_name and not execution.pre_execution_errors:
            execution.pre_execution_errors = [GraphQLError("Say by operationName which operation is meant")]
        yield


@dataclass(frozen=True, slots=True)
class _Shape:
    """What a selection comes to once its fragments are spread."""

    depth: int = 0
    """Fields within fields, introspection left out."""
    nesting: int = 0
    """Fragments within fragments count as well: whatever walks the document recurses as deep as this."""
    aliases: int = 0
    fields: int = 0


class ShapeLimit(ValidationRule):
    """Depth, nesting, aliases and number of fields of a document.

    Strawberry's own limiters walk every spread again: a few hundred tokens of fragments that each spread the next one
    twice keep them busy for years, and a new class each request keeps the validation cache from ever being hit. Here a
    fragment is measured once.
    """

    def __init__(self, context: ValidationContext) -> None:
        super().__init__(context)
        definitions = context.document.definitions
        self._fragments = {d.name.value: d for d in definitions if isinstance(d, FragmentDefinitionNode)}
        self._measured: dict[str, _Shape] = {}
        operations = [d for d in definitions if isinstance(d, OperationDefinitionNode)]
        shapes = [self._measure(operation.selection_set) for operation in operations]
        self._limit("depth", max((s.depth for s in shapes), default=0), DEPTH_LIMIT)
        self._limit("nesting", max((s.nesting for s in shapes), default=0), NESTING_LIMIT)
        self._limit("number of aliases", sum(s.aliases for s in shapes), ALIAS_LIMIT)
        self._limit("number of fields", sum(s.fields for s in shapes), FIELD_LIMIT)

    def _limit(self, what: str, found: int, allowed: int) -> None:
        if found > allowed:
            self.context.report_error(GraphQLError(f"The query's {what} is over the limit of {allowed}"))

    def _measure(self, selections: SelectionSetNode | None) -> _Shape:
        depth = nesting = aliases = fields = 0
        for node in selections.selections if selections else ():
            shape = self._measure_node(node)
            depth, nesting = max(depth, shape.depth), max(nesting, shape.nesting)
            aliases, fields = min(aliases + shape.aliases, _MANY), min(fields + shape.fields, _MANY)
        return _Shape(depth, nesting, aliases, fields)

    def _measure_node(self, node: Any) -> _Shape:
        if isinstance(node, FragmentSpreadNode):
            inner = self._measure_fragment(node.name.value)
        else:
            inner = self._measure(node.selection_set)
        if not isinstance(node, FieldNode):
            return replace(inner, nesting=inner.nesting + 1)
        depth = 0 if node.name.value.startswith("__") else inner.depth + 1
        return _Shape(depth, inner.nesting + 1, inner.aliases + (node.alias is not None), inner.fields + 1)

    def _measure_fragment(self, name: str) -> _Shape:
        """Unknown fragments and cycles are refused by rules of their own; here they weigh nothing."""
        if name not in self._measured:
            self._measured[name] = _Shape()
            if fragment := self._fragments.get(name):
                self._measured[name] = self._measure(fragment.selection_set)
        return self._measured[name]


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
