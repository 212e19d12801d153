"""Rules about the texts of a room: what they may say, and what a text comes to under them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import chain
from urllib.parse import urlsplit

from moderation.domain import expressions, terms
from moderation.domain.expressions import SLOW_PROGRAM, ExpressionSearch, expressions_problem, program_size
from moderation.domain.people import Rank
from moderation.domain.shapes import (
    capitals_percent,
    domain_problem,
    domains_of,
    is_allowed,
    longest_repeat,
    longest_word,
    most_marks,
)
from moderation.domain.terms import TermSearch, term_problem
from moderation.domain.text_forms import TextForms

MOST_TERMS = 1_000
MOST_DOMAINS = 1_000
LONGEST_NAME = 100
LONGEST_TOLD = 500
LONGEST_URL = 500
LONGEST_MUTE_MINUTES = 40_320
"""Four weeks."""
_BYTES_A_DOMAIN = 200


class RuleKind(IntEnum):
    """What a rule looks at. The values are stored."""

    TERMS = 1
    REGEX = 2
    LINKS = 3
    CAPS = 4
    REPEATS = 5
    LONG_WORDS = 6
    ZALGO = 7
    CLASSIFIER = 8
    """What somebody's own classifier says of it, which is asked over HTTP."""


class RuleAction(IntEnum):
    """What a rule does with a text, the strictest last. The values are stored."""

    FLAG = 1
    HOLD = 2
    REFUSE = 3
    MUTE = 4


class RuleMode(IntEnum):
    """Whether a rule is looked at, and acts. The values are stored."""

    OFF = 1
    DRY_RUN = 2
    ON = 3


class OnFailure(IntEnum):
    """What becomes of a message where a classifier is late, or away. The values are stored."""

    ALLOW = 1
    HOLD = 2


THRESHOLDS = {
    RuleKind.CAPS: range(1, 101),
    RuleKind.REPEATS: range(2, 1001),
    RuleKind.LONG_WORDS: range(2, 1001),
    RuleKind.ZALGO: range(1, 101),
}
"""From which value on a rule of a kind hits: percent of the letters; times; characters; marks on one character."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. rule_problem() says whether it can be used."""

    name: str
    kind: RuleKind
    action: RuleAction
    mode: RuleMode = RuleMode.ON
    patterns: tuple[str, ...] = ()
    """Of TERMS words and phrases, `*` at an end; of REGEX expressions of RE2; of others none."""
    allow: tuple[str, ...] = ()
    """Of LINKS domains, each with all that is in it; of others none."""
    threshold: int = 0
    """As THRESHOLDS; of other kinds 0."""
    mute_minutes: int = 0
    """Of MUTE; of others 0."""
    exempt_from: Rank = Rank.MODERATOR
    """Who ranks so high, or higher, is not judged."""
    told: str = ""
    """What the author of a refused text reads; empty: the usual sentence."""
    url: str = ""
    """Of CLASSIFIER: who is asked; of others empty."""
    on_failure: OnFailure = OnFailure.ALLOW
    """Of CLASSIFIER; of others ALLOW."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A rule that a text is against, and the pattern or host that shows it; empty for kinds that have none."""

    rule: Rule
    pattern: str

    @property
    def acts(self) -> bool:
        """Whether it does more than being listed."""
        return self.rule.mode is RuleMode.ON


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the rules say about one text."""

    hits: tuple[Hit, ...] = ()
    """Of each rule one at most, dry runs as well, in the order of the rules."""

    @property
    def decisive(self) -> Hit | None:
        """The strictest of those that act, of several mutes the longest; None: nothing is done."""
        acting = [hit for hit in self.hits if hit.acts]
        return max(acting, key=lambda hit: (hit.rule.action, hit.rule.mute_minutes), default=None)


NO_HITS = Judgement()


def rule_problem(rule: Rule) -> str | None:
    """Why a rule can't be used, for whoever wrote it, or None."""
    checks = (_form_problem, _action_problem, _KIND_PROBLEMS.get(rule.kind, _threshold_problem))
    return next((problem for check in checks if (problem := check(rule))), None)


def _form_problem(rule: Rule) -> str | None:
    if not 1 <= len(rule.name.strip()) <= LONGEST_NAME:
        return f"A name has 1 to {LONGEST_NAME} characters"
    if len(rule.told) > LONGEST_TOLD:
        return f"What is told has at most {LONGEST_TOLD} characters"
    if rule.patterns and rule.kind not in (RuleKind.TERMS, RuleKind.REGEX):
        return f"{rule.kind.name} takes no patterns"
    if rule.allow and rule.kind is not RuleKind.LINKS:
        return f"{rule.kind.name} takes no domains to allow"
    if rule.threshold and rule.kind not in THRESHOLDS:
        return f"{rule.kind.name} takes no threshold"
    if (rule.url or rule.on_failure is not OnFailure.ALLOW) and rule.kind is not RuleKind.CLASSIFIER:
        return f"{rule.kind.name} asks no classifier"
    return None


def _action_problem(rule: Rule) -> str | None:
    if rule.action is not RuleAction.MUTE:
        return f"{rule.action.name} takes no minutes" if rule.mute_minutes else None
    if not 1 <= rule.mute_minutes <= LONGEST_MUTE_MINUTES:
        return f"A mute takes 1 to {LONGEST_MUTE_MINUTES} minutes"
    return None


def _threshold_problem(rule: Rule) -> str | None:
    allowed = THRESHOLDS[rule.kind]
    if rule.threshold not in allowed:
        return f"The threshold of {rule.kind.name} is {allowed.start} to {allowed.stop - 1}"
    return None


def _terms_problem(rule: Rule) -> str | None:
    if not 1 <= len(rule.patterns) <= MOST_TERMS:
        return f"There must be 1 to {MOST_TERMS:,} terms"
    return next((problem for term in rule.patterns if (problem := term_problem(term))), None)


def _links_problem(rule: Rule) -> str | None:
    if len(rule.allow) > MOST_DOMAINS:
        return f"At most {MOST_DOMAINS:,} domains are allowed"
    return next((problem for domain in rule.allow if (problem := domain_problem(domain))), None)


def _classifier_problem(rule: Rule) -> str | None:
    """As far as the rule itself says: whether its host may be asked is said by whoever asks it."""
    if rule.action is RuleAction.FLAG and rule.on_failure is OnFailure.HOLD:
        return "Nothing waits for a classifier that flags: on_failure is ALLOW"
    return None if _is_url(rule.url) else f"A classifier has a url of up to {LONGEST_URL} characters, and no user in it"


def _is_url(url: str) -> bool:
    """Of HTTP, in the form in which it is sent."""
    if len(url) > LONGEST_URL or not url.isascii() or not all("!" <= sign <= "~" for sign in url):
        return False
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    is_there = parts.scheme in ("http", "https") and bool(parts.hostname) and port != 0
    return is_there and "@" not in parts.netloc and not parts.fragment


_KIND_PROBLEMS: dict[RuleKind, Callable[[Rule], str | None]] = {
    RuleKind.TERMS: _terms_problem,
    RuleKind.REGEX: lambda rule: expressions_problem(rule.patterns),
    RuleKind.LINKS: _links_problem,
    RuleKind.CLASSIFIER: _classifier_problem,
}
_MEASURES: dict[RuleKind, Callable[[str], int]] = {
    RuleKind.CAPS: capitals_percent,
    RuleKind.REPEATS: longest_repeat,
    RuleKind.LONG_WORDS: longest_word,
    RuleKind.ZALGO: most_marks,
}


def compiled_bytes(rules: Iterable[Rule]) -> int:
    """What these take in memory once they are compiled, about, and when texts have made their automata grow."""
    return sum(_COMPILED_BYTES.get(rule.kind, _few)(rule) for rule in rules if rule.mode is not RuleMode.OFF)


def _few(_: Rule) -> int:
    return 0


_COMPILED_BYTES: dict[RuleKind, Callable[[Rule], int]] = {
    RuleKind.TERMS: lambda rule: terms.memory_bytes(rule.patterns),
    RuleKind.REGEX: lambda rule: expressions.memory_bytes(rule.patterns),
    RuleKind.LINKS: lambda rule: len(rule.allow) * _BYTES_A_DOMAIN,
}


class RuleSet:
    """Rules compiled together, to judge one text after the other. It never changes: a changed rule makes a new one."""

    def __init__(self, rules: Sequence[Rule], everywhere: "RuleSet | None" = None) -> None:
        """Of the rules of a slug, or of those that hold everywhere; these come first then. All must have passed
        rule_problem(); ones that are off are left out, and classifiers, which others ask."""
        self._rules: list[Rule] = [
            rule for rule in rules if rule.mode is not RuleMode.OFF and rule.kind is not RuleKind.CLASSIFIER
        ]
        self._everywhere = everywhere if everywhere is not None and everywhere._rules else None
        of_terms = [
            (number, pattern)
            for number, rule in enumerate(self._rules)
            if rule.kind is RuleKind.TERMS
            for pattern in rule.patterns
        ]
        self._rule_of_term = [number for number, _ in of_terms]
        self._terms = TermSearch([pattern for _, pattern in of_terms]) if of_terms else None
        self._pattern_of_term = [pattern for _, pattern in of_terms]
        self._expressions = {
            number: ExpressionSearch(rule.patterns)
            for number, rule in enumerate(self._rules)
            if rule.kind is RuleKind.REGEX
        }
        of_expressions = chain.from_iterable(self._rules[number].patterns for number in self._expressions)
        self._is_slow = program_size(of_expressions) > SLOW_PROGRAM
        self._others = [
            n for n, rule in enumerate(self._rules) if rule.kind in _MEASURES or rule.kind is RuleKind.LINKS
        ]
        self._allowed = {n: domains_of(rule.allow) for n, rule in enumerate(self._rules) if rule.kind is RuleKind.LINKS}

    def judge(self, text: str | TextForms, rank: Rank) -> Judgement:
        """What a text of somebody of that rank in the room comes to. VIPs, who are exempt, are not judged."""
        if not self._rules and self._everywhere is None:
            return NO_HITS
        forms = text if isinstance(text, TextForms) else TextForms(text)
        hits = self._hits(forms, rank)
        if self._everywhere is not None:
            hits = [*self._everywhere._hits(forms, rank), *hits]
        return Judgement(tuple(hits)) if hits else NO_HITS

    def _hits(self, forms: TextForms, rank: Rank) -> list[Hit]:
        found = self._found(forms)
        if not found:
            return []
        return [Hit(self._rules[n], found[n]) for n in sorted(found) if rank < self._rules[n].exempt_from]

    def _found(self, forms: TextForms) -> dict[int, str]:
        """By the numbers of rules what shows that the text is against them."""
        found: dict[int, str] = {}
        if self._terms is not None:
            terms_found = self._terms.found_in(forms)
            for term in sorted(terms_found, reverse=True) if terms_found else ():  # so that a rule's first one stays
                found[self._rule_of_term[term]] = self._pattern_of_term[term]
        if self._expressions and not (self._is_slow and not forms.has_time()):
            texts = forms.for_expressions
            for number, search in self._expressions.items():
                if matched := search.found_in(texts):
                    found[number] = self._rules[number].patterns[min(matched)]
        for number in self._others:
            rule = self._rules[number]
            if rule.kind is RuleKind.LINKS:
                allowed = self._allowed[number]
                unknown = next((host for host in forms.hosts if not is_allowed(host, allowed)), None)
                if unknown is not None:
                    found[number] = unknown
            elif _MEASURES[rule.kind](forms.text) >= rule.threshold:
                found[number] = ""
        return found
