"""python -m tools.rules_bench: what judging a message by 1,000 terms and ten expressions costs, and compiling them.

The messages are the innocent ones of the development corpus, put together to 120 characters by language: those of the
kinds in which people chat, and all of them, of which many were written to look like a term. The first row is a loop
that always does the same, to compare machines by.
"""

# ruff: noqa: S311 - what is measured is no secret

import random
import re
import resource
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from moderation.domain.folding import search_codes, texts_for_expressions
from moderation.domain.people import Rank
from moderation.domain.rules import Rule, RuleAction, RuleKind, RuleSet
from moderation.domain.terms import TermSearch

CORPUS = Path(__file__).resolve().parent.parent / "services/moderation/tests/corpus"
CHATTING = {"chat", "accents", "caps", "names_places"}
CHARACTERS = 120
MESSAGES_A_LANGUAGE = 20
TERMS = 1_000
EXPRESSIONS = (
    r"free\W*nitro",
    r"\d{9,}",
    r"(buy|sell)\W+(cheap\W+)?(gold|followers)",
    r"\bcasino\w*\b",
    r"discord\W*gg",
    r"t\.me/\w+",
    r"\bsub(scribe)? to my\b",
    r"(check|see) my (bio|profile)",
    r"\bonlyfans?\b",
    r"earn \$?\d+ (a|per) day",
)
SYLLABLES = ("ba", "ko", "ti", "zar", "mon", "ple", "dro", "fis", "gha", "qu", "ster", "lin", "vok", "ra", "del", "hu")


def terms() -> list[str]:
    """Those of the corpus, and words that nobody says."""
    found = dict.fromkeys((CORPUS / "terms.txt").read_text(encoding="utf-8").splitlines())
    while len(found) < TERMS:
        found["".join(random.choices(SYLLABLES, k=random.randint(3, 5)))] = None
    return list(found)


def messages(kinds: set[str] | None, only: str | None = None) -> list[str]:
    """Of each language as many, or of one only."""
    by_language = defaultdict(list)
    for line in (CORPUS / "innocents.tsv").read_text(encoding="utf-8").splitlines()[1:]:
        _, language, kind, text = line.split("\t")
        if (kinds is None or kind in kinds) and only in (None, language):
            by_language[language].append(re.sub(r"\\[nt]", " ", text))
    found = []
    for texts in by_language.values():
        for _ in range(MESSAGES_A_LANGUAGE):
            message = ""
            while len(message) < CHARACTERS:
                message += random.choice(texts) + " "
            found.append(message[:CHARACTERS])
    return found


def cost_us(judge: Callable[[str], object], texts: list[str]) -> str:
    """Microseconds of CPU a message: quartiles and mean over the messages, of each the least of twenty short rounds,
    which other programs disturbed least."""
    spent = []
    for text in texts:
        judge(text)
        rounds = []
        for _ in range(20):
            began_ns = time.thread_time_ns()
            for _ in range(5):
                judge(text)
            rounds.append((time.thread_time_ns() - began_ns) / 5_000)
        spent.append(min(rounds))
    low, median, high = statistics.quantiles(spent)
    return f"{median:7.1f} median, quartiles {low:.1f} and {high:.1f}, mean {statistics.mean(spent):.1f}"


def main() -> None:
    """Print a table."""
    random.seed(1)
    rules = [
        Rule("terms", RuleKind.TERMS, RuleAction.HOLD, patterns=tuple(terms())),
        Rule("expressions", RuleKind.REGEX, RuleAction.HOLD, patterns=EXPRESSIONS),
    ]
    RuleSet(rules[1:])
    before_kib, began_ns = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.thread_time_ns()
    several = [RuleSet(rules) for _ in range(10)]
    compiled_ms = (time.thread_time_ns() - began_ns) / 1e7
    memory_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib) / 10 / 1024
    print(f"compiling {TERMS:,} terms and {len(EXPRESSIONS)} expressions: {compiled_ms:.0f} ms, {memory_mib:.1f} MiB")
    search, both, none = TermSearch(rules[0].patterns), several[0], RuleSet([])
    for name, texts in (("chatting", messages(CHATTING)), ("all kinds", messages(None))):
        print(f"{name}: {len(texts)} messages of {CHARACTERS} characters, µs")
        for what, judge in (
            ("sum(range(1000))", lambda _: sum(range(1000))),
            ("no rules", lambda text: none.judge(text, Rank.USER)),
            ("folded for terms", lambda text: search_codes(text)),
            ("terms", search.found_in),
            ("folded for expressions", texts_for_expressions),
            ("terms and expressions", lambda text: both.judge(text, Rank.USER)),
        ):
            print(f"  {what:<24}{cost_us(judge, texts)}")


if __name__ == "__main__":
    main()
