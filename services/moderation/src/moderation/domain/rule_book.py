"""The rules of all slugs as a replica knows them: which slugs have any, and those compiled that are asked for."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, cast

from moderation.domain.kept_rules import EVERYWHERE, KeptRule, RulesState
from moderation.domain.people import Rank
from moderation.domain.rules import Hit, Judgement, Rule, RuleKind, RuleSet, rule_problem

MOST_COMPILED = 1_000
MOST_COMPILED_BYTES = 256 << 20
"""Of compiled rules, as far as it can be told before; those that were not asked for longest go first."""
TERMS_A_SET = 2_000
_BYTES_A_SET = 16 << 10
_BYTES_A_TERM = 3 << 10
_BYTES_A_REGEX_RULE = 2 << 20
"""An automaton grows as texts need it, up to 8 MiB; few do."""


class Match(NamedTuple):
    """A rule that a text is against."""

    kept: KeptRule
    hit: Hit


def decisive(matches: Sequence[Match]) -> Match | None:
    """The strictest of those that act, of several mutes the longest; None: nothing is done."""
    found = Judgement(tuple(match.hit for match in matches)).decisive
    return next((match for match in matches if match.hit is found), None)


class CompiledRules:
    """The rules of a slug, or those for everywhere, at one version."""

    def __init__(self, version: int, kept: Sequence[KeptRule]) -> None:
        """Takes up to some 100 ms for 1,000 terms. A rule that this version of the service refuses is left out."""
        self.version = version
        try:
            self._sets = _sets_of(kept)
        except Exception:  # noqa: BLE001 - whatever a library raises about one rule, the others hold
            kept = [each for each in kept if rule_problem(each.rule) is None]
            self._sets = _sets_of(kept)
        self._kept = {id(each.rule): each for each in kept}
        terms = sum(len(each.rule.patterns) for each in kept if each.rule.kind is RuleKind.TERMS)
        expressions = sum(each.rule.kind is RuleKind.REGEX for each in kept)
        self.cost_bytes = _BYTES_A_SET + terms * _BYTES_A_TERM + expressions * _BYTES_A_REGEX_RULE

    def matches(self, text: str, rank: int) -> Iterator[Match]:
        """What a text of somebody of that rank, whom nothing else exempts, is against: of each rule once."""
        for rules in self._sets:
            for hit in rules.judge(text, cast(Rank, rank), is_vip=False).hits:
                yield Match(self._kept[id(hit.rule)], hit)


def _sets_of(kept: Sequence[KeptRule]) -> list[RuleSet]:
    """In their order. Nothing else runs in the process while a library puts together the terms of one set, some 10 ms
    for 1,000: so more than TERMS_A_SET are several, which are looked through one after the other."""
    sets: list[RuleSet] = []
    rules: list[Rule] = []
    terms = 0
    for each in kept:
        more = len(each.rule.patterns) if each.rule.kind is RuleKind.TERMS else 0
        if terms and terms + more > TERMS_A_SET:
            sets.append(RuleSet(rules))
            rules, terms = [], 0
        rules.append(each.rule)
        terms += more
    return [*sets, RuleSet(rules)]


class Found(NamedTuple):
    """What the rules that are compiled say of one text."""

    matches: list[Match]
    is_all: bool
    """False: rules hold there as well that could not see the text."""


class RuleBook:
    """Of each slug the newest rules, whichever way they came first."""

    def __init__(self, *, refuses_unjudged: bool = False) -> None:
        self.refuses_unjudged = refuses_unjudged
        """Whether messages are refused that a rule would have to see and can't; else they go on."""
        self.is_in_use = False
        """Whether there are any rules that are looked at: asked for every message, so it is no more than read."""
        self.unjudged = 0
        """How many there were, of either kind."""
        self.read_up_to = 0
        """Whatever was read from the database had at most this version, and nothing before it was left out."""
        self._states: dict[str, RulesState] = {}
        """Of the slugs that have rules which are looked at."""
        self._versions: dict[str, int] = {}
        """Of all slugs that ever had any."""
        self._compiled: OrderedDict[str, CompiledRules] = OrderedDict()
        self._compiled_bytes = 0
        self._outdated: set[str] = set()
        self._failure: Exception | None = None

    def __len__(self) -> int:
        """Slugs that have rules which are looked at, everywhere counted as one."""
        return len(self._states)

    @property
    def compiled(self) -> int:
        """Slugs whose rules are in memory."""
        return len(self._compiled)

    def apply(self, state: RulesState) -> None:
        """The rules of a slug were changed, now or earlier."""
        slug, version, judges, _ = state
        if self._versions.get(slug, 0) >= version:
            return
        self._versions[slug] = version
        if judges:
            self._states[slug] = state
            if slug in self._compiled:
                self._outdated.add(slug)
        else:
            self._states.pop(slug, None)
            self._drop(slug)
        self.is_in_use = bool(self._states)

    def read(self, states: Iterable[RulesState]) -> None:
        """The next ones that the database has after `read_up_to`, in the order of their versions."""
        for state in states:
            self.apply(state)
            self.read_up_to = state.version

    def acts_in(self, slug: str) -> bool:
        """Whether a rule of that slug, or for EVERYWHERE, is on; without those for everywhere in the first case."""
        state = self._states.get(slug)
        return state is not None and state.acts

    def judges_in(self, slug: str) -> bool:
        """Whether any rule looks at what is said there, those for everywhere included."""
        return slug in self._states or EVERYWHERE in self._states

    def missing(self, slugs: Iterable[str]) -> list[str]:
        """Of these and EVERYWHERE those that have rules which are not compiled."""
        return [slug for slug in {EVERYWHERE, *slugs} if slug in self._states and slug not in self._compiled]

    def outdated(self) -> list[str]:
        """Those compiled whose rules were changed since. They hold until the new ones are put."""
        return list(self._outdated)

    def needs(self, slug: str) -> bool:
        """Whether it has rules that are to be compiled, or compiled again."""
        return slug in self._outdated or (slug in self._states and slug not in self._compiled)

    def version_of(self, slug: str) -> int:
        """Of its last change that is known here; 0: none is."""
        return self._versions.get(slug, 0)

    def at_version(self, slug: str, version: int) -> CompiledRules | None:
        """Those compiled, if they are that version."""
        known = self._compiled.get(slug)
        return known if known is not None and known.version == version else None

    def put(self, slug: str, compiled: CompiledRules) -> None:
        """Judge by these from now on, if any of them is looked at still."""
        state = self._states.get(slug)
        self._drop(slug)
        if state is None:
            return
        if state.version > compiled.version:  # changed meanwhile
            self._outdated.add(slug)
        self._compiled[slug] = compiled
        self._compiled_bytes += compiled.cost_bytes
        others = [known for known in self._compiled if known not in (EVERYWHERE, slug)]
        while others and (len(self._compiled) > MOST_COMPILED or self._compiled_bytes > MOST_COMPILED_BYTES):
            self._drop(others.pop(0))

    def find(self, slug: str, text: str, rank: int) -> Found:
        """What a text in that room is against: the rules for everywhere first."""
        matches: list[Match] = []
        is_all = True
        for key in (EVERYWHERE, slug):
            if key not in self._states:
                continue
            compiled = self._compiled.get(key)
            if compiled is None or not text:
                is_all = False
                continue
            self._compiled.move_to_end(key)
            try:
                matches += compiled.matches(text, rank)
            except Exception as failure:  # noqa: BLE001 - a text that a library fails at must not take others with it
                self._failure, is_all = failure, False
        return Found(matches, is_all)

    def take_failure(self) -> Exception | None:
        """What judging a text has raised since this was last asked, a defect; None: nothing."""
        failure, self._failure = self._failure, None
        return failure

    def _drop(self, slug: str) -> None:
        self._outdated.discard(slug)
        dropped = self._compiled.pop(slug, None)
        if dropped is not None:
            self._compiled_bytes -= dropped.cost_bytes
