"""Regular expressions looked for in a text, in a time in proportion to it."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import re2

from moderation.domain.folding import fold

MOST_EXPRESSIONS = 50
LONGEST_EXPRESSION = 260
LARGEST_EXPRESSION = 1_000
LARGEST_PROGRAM = 4_000
"""Instructions of RE2, of one expression and of all of a rule."""
LARGEST_PROGRAMS = 8_000
"""Of all expressions of a slug together: a hostile text of 1,000 characters takes some 50 ms."""
SLOW_PROGRAM = 1_000
"""Of so many a hostile text takes more than some milliseconds."""
_MEMORY_BYTES, _MEMORY_BYTES_AN_INSTRUCTION, _MOST_MEMORY_BYTES = 256 << 10, 1 << 10, 8 << 20
"""For the automaton that RE2 makes as texts need it. It starts anew where it would grow larger."""


def _options(memory_bytes: int = _MOST_MEMORY_BYTES) -> re2.Options:
    options = re2.Options()
    options.max_mem = memory_bytes
    options.log_errors = False
    return options


def expression_problem(expression: str) -> str | None:
    """Why an expression can't be used, or None."""
    if not expression:
        return "An expression is empty"
    if len(expression) > LONGEST_EXPRESSION:
        return f"An expression has more than {LONGEST_EXPRESSION} characters"
    try:
        compiled = _compiled(expression)
    except re2.error as problem:
        reason = problem.args[0]
        return f"{expression}: {reason.decode(errors='replace') if isinstance(reason, bytes) else reason}"
    if compiled.programsize > LARGEST_EXPRESSION:
        return f"{expression}: it is too large"
    if compiled.search("") is not None:
        return f"{expression}: it matches every text"
    return None


def expressions_problem(expressions: Sequence[str]) -> str | None:
    """Why the expressions of a rule can't be used, or None."""
    if not 1 <= len(expressions) <= MOST_EXPRESSIONS:
        return f"There must be 1 to {MOST_EXPRESSIONS} expressions"
    for expression in expressions:
        if problem := expression_problem(expression):
            return problem
    if program_size(expressions) > LARGEST_PROGRAM:
        return "The expressions are too large together"
    return None


def program_size(expressions: Iterable[str]) -> int:
    """Instructions of RE2 of all of them together, without those that it refuses. Takes a millisecond for some 50."""
    size = 0
    for expression in expressions:
        with suppress(re2.error):
            size += _compiled(expression).programsize
    return size


def memory_bytes(expressions: Iterable[str]) -> int:
    """What their automaton may grow to as texts need it."""
    return min(_MEMORY_BYTES + program_size(expressions) * _MEMORY_BYTES_AN_INSTRUCTION, _MOST_MEMORY_BYTES)


def _folded(expression: str) -> str:
    """Without marks on its letters, as the texts that it sees are. What is ASCII is syntax as well, so it stays."""
    return "(?i)" + "".join(c if c.isascii() else fold(c) for c in expression)


def _compiled(expression: str) -> Any:
    return re2.compile(_folded(expression), _options())


class ExpressionSearch:
    """All expressions of a rule at once. They see what texts_for_expressions() gives."""

    def __init__(self, expressions: Sequence[str]) -> None:
        self._set = re2.Set.SearchSet(_options(memory_bytes(expressions)))
        for expression in expressions:
            self._set.Add(_folded(expression))
        self._set.Compile()

    def found_in(self, texts: Sequence[str | bytes]) -> set[int]:
        """The indexes of the expressions that one of these matches."""
        found: set[int] = set()
        for text in texts:
            found.update(self._set.Match(text if isinstance(text, bytes) else text.encode(errors="replace")) or ())
        return found
