"""Regular expressions: in time in proportion to the text, and refused with a reason."""

import time

import pytest

from moderation.domain.expressions import (
    LONGEST_EXPRESSION,
    MOST_EXPRESSIONS,
    ExpressionSearch,
    expressions_problem,
    memory_bytes,
)
from moderation.domain.folding import texts_for_expressions


def finds(expression: str, text: str) -> bool:
    return bool(ExpressionSearch([expression]).found_in(texts_for_expressions(text)))


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        (r"free\W*nitro", "get FREE  nitro"),
        (r"free\W*nitro", "fr33 n1tr0"),
        (r"free\W*nitro", "f r e e nitrooooo"),
        (r"\d{9,}", "call 123456789"),
        (r"(?-i:x)Y", "xy"),
        ("enculé", "ENCULÉ"),
        ("дурак", "ДУРАК"),
        (r"^hi$", "hi"),
    ],
)
def test_an_expression_sees_the_text_folded(expression: str, text: str) -> None:
    assert finds(expression, text)


def test_an_expression_that_does_not_match_says_nothing() -> None:
    assert not finds(r"\bcat\b", "concatenate")


@pytest.mark.parametrize(
    ("expressions", "problem"),
    [
        ([r"free\W*nitro"], None),
        ([], "There must be 1 to 50 expressions"),
        (["a"] * (MOST_EXPRESSIONS + 1), "There must be 1 to 50 expressions"),
        ([""], "An expression is empty"),
        (["a" * (LONGEST_EXPRESSION + 1)], "An expression has more than 260 characters"),
        (["(a"], "(a: missing ): (?i)(a"),
        (["(?<=a)b"], "(?<=a)b: invalid perl operator: (?<="),
        ([r"(a)\1"], r"(a)\1: invalid escape sequence: \1"),
        (["((a{100}){10}){10}"], "((a{100}){10}){10}: invalid repetition size: {10}"),
        ([r"\pL{100}"], r"\pL{100}: it is too large"),
        (["a*"], "a*: it matches every text"),
        ([".{0,50}x"] * 10, "The expressions are too large together"),
    ],
)
def test_expressions_that_cannot_be_used_are_refused_with_a_reason(expressions: list[str], problem: str | None) -> None:
    assert expressions_problem(expressions) == problem


@pytest.mark.parametrize("expression", ["(a+)+$b", "(a|aa)+b", "(.*a){10}c", "(a|b)*a(a|b){12}c"])
def test_hostile_expressions_cost_in_proportion_to_the_text(expression: str) -> None:
    assert expressions_problem([expression]) is None
    search = ExpressionSearch([expression])

    def cost_s(length: int) -> float:
        began = time.thread_time()
        for _ in range(10):
            search.found_in(["ab" * (length // 2)])
        return time.thread_time() - began

    cost_s(1_000)
    assert cost_s(80_000) / max(cost_s(10_000), 1e-4) < 8 * 4


def test_an_automaton_may_grow_with_its_program() -> None:
    assert 256 << 10 < memory_bytes(["free nitro"]) < 300 << 10
    assert memory_bytes(["a.{0,90}b"]) < memory_bytes(["a.{0,90}b", "(", "b.{0,90}c"]) < 2 << 20
    assert memory_bytes([f"a.{{0,{n}}}b" for n in range(40, 90)]) == 8 << 20
    many = [f"a.{{0,{n}}}b" for n in range(1, 12)]
    assert ExpressionSearch(many).found_in(["a12345b", b"a1b"]) == {*range(11)}
