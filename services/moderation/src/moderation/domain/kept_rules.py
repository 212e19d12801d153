"""The rules of a slug, or those for everywhere, as they are kept: how they are changed, and how many there may be."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import chain
from typing import NamedTuple

from moderation.domain.classifiers import NO_SECRETS, Secrets, secret_problem
from moderation.domain.erasures import NO_ORIGIN, LogRef, Origin
from moderation.domain.expressions import LARGEST_PROGRAMS, program_size
from moderation.domain.people import Moderator, Rank
from moderation.domain.rules import Rule, RuleKind, RuleMode, rule_problem
from moderation.domain.sanctions import Scope

EVERYWHERE = ""
"""Stands for the slug of rules that hold everywhere."""
MOST_RULES = 20
MOST_BYTES = 100 * 1024
"""Of all texts of the rules of one slug, in UTF-8. The same for everywhere."""
EXEMPTIONS = (Rank.USER, Rank.MODERATOR)
"""From which ranks on a rule may exempt: moderators and above are exempt from all of them."""


class RuleEdit(IntEnum):
    """What a command does to a rule. Audit rows hold the numbers, beside those of other actions."""

    SAVE = 24
    DELETE = 25


@dataclass(frozen=True, slots=True)
class KeptRule:
    """A rule as it is stored."""

    id: int
    """Unique over all slugs, never used again."""
    slug: str
    """EVERYWHERE, or the room's."""
    version: int
    """Rises with each change of any rule."""
    rule: Rule
    changed_by: int = 0
    changed_at_ms: int = 0
    """Unix milliseconds."""
    hits: int = 0
    """Messages that it hit since it was made, dry runs included."""
    acted: int = 0
    """Those of them that it decided about."""
    secrets: Secrets = NO_SECRETS
    """Of CLASSIFIER: what its requests are signed with."""


class RulesState(NamedTuple):
    """What a replica has to know of the rules of a slug before it reads them."""

    slug: str
    version: int
    """Of the last change of any of them; the highest holds."""
    judges: bool
    """Whether any of them is looked at."""
    acts: bool
    """Whether any of them is on."""


@dataclass(frozen=True, slots=True)
class SaveRule:
    """Make a rule, or replace one as a whole."""

    moderator: Moderator
    slug: str
    rule: Rule
    rule_id: int = 0
    """0: make one. Else of the same slug."""
    reason: str = ""
    secret: str = field(default="", repr=False)
    """Of CLASSIFIER: what its requests are signed with from now on; empty: what they were before."""


@dataclass(frozen=True, slots=True)
class DeleteRule:
    """Delete a rule."""

    moderator: Moderator
    slug: str
    """Its own."""
    rule_id: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RuleOrder:
    """A command that changes the rules of a slug, as it was sent."""

    command: SaveRule | DeleteRule
    log: LogRef | None = None
    """Nothing is told to a room."""
    origin: Origin = NO_ORIGIN


def scope_of(slug: str) -> Scope:
    """Where the rules of a slug hold."""
    return Scope.ROOM if slug else Scope.EVERYWHERE


def saving_problem(rule: Rule, secret: str = "") -> str | None:
    """Why a rule can't be saved, for whoever wrote it, or None. Takes up to some 30 ms for 1,000 terms."""
    if secret and rule.kind is not RuleKind.CLASSIFIER:
        return f"{rule.kind.name} takes no secret"
    if secret and (problem := secret_problem(secret)):
        return problem
    if rule.exempt_from not in EXEMPTIONS:
        return f"A rule exempts from {' or '.join(rank.name for rank in EXEMPTIONS)} on"
    return rule_problem(rule)


def count_problem(rules: Sequence[Rule]) -> str | None:
    """Why a slug can't have all of these rules, or None."""
    if len(rules) > MOST_RULES:
        return f"There are at most {MOST_RULES} rules in a room, and as many for everywhere"
    if sum(map(size_bytes, rules)) > MOST_BYTES:
        return f"The rules of a room, and those for everywhere, have at most {MOST_BYTES // 1024} KiB together"
    of_expressions = chain.from_iterable(rule.patterns for rule in rules if rule.kind is RuleKind.REGEX)
    if program_size(of_expressions) > LARGEST_PROGRAMS:
        return "The expressions of a room, and those for everywhere, are too large together"
    return None


def size_bytes(rule: Rule) -> int:
    """How long its texts are in UTF-8."""
    return sum(
        len(text.encode(errors="replace")) for text in (rule.name, rule.told, rule.url, *rule.patterns, *rule.allow)
    )


def state_of(slug: str, version: int, rules: Iterable[Rule]) -> RulesState:
    """What there is to know of these rules, which are all of a slug."""
    modes = {rule.mode for rule in rules}
    return RulesState(slug, version, bool(modes - {RuleMode.OFF}), RuleMode.ON in modes)
