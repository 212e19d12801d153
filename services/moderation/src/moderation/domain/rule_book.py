"""The rules of all slugs as a replica knows them: which slugs have any, and those compiled that are asked for."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, cast

from moderation.domain.kept_rules import EVERYWHERE, KeptRule, RulesState
from moderation.domain.people import Rank
from moderation.domain.rules import Hit, Judgement, RuleKind, RuleMode, RuleSet, compiled_bytes
from moderation.domain.text_forms import TextForms

MOST_COMPILED = 1_000
MOST_COMPILED_BYTES = 256 << 20
"""Of compiled rules, as far as it can be told before; those that were not asked for longest go first."""
NOT_AGAIN_NS = 60_000_000_000
"""What was dropped is not compiled again for messages for so long: where more is asked for than there is room for,
rules would do nothing but come and go."""
_REMEMBERED = 10_000
_BYTES_A_SLUG = 16 << 10


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
        """Takes up to some 100 ms for 1,000 terms. A rule that a library refuses is left out, and holds up no other."""
        self.version = version
        self.left_out: list[tuple[int, Exception]] = []
        """Rules by id, and why."""
        try:
            self._sets = [RuleSet([each.rule for each in kept])]
        except Exception:  # noqa: BLE001 - whatever a library raises about one rule, the others hold
            self._sets = [each for one in kept for each in self._alone(one)]
        self._kept = {id(each.rule): each for each in kept}
        self.classifiers = [each for each in kept if _is_classifier(each)]
        self.cost_bytes = cost_bytes(kept)

    def _alone(self, kept: KeptRule) -> list[RuleSet]:
        """One rule, if it can be compiled."""
        try:
            return [RuleSet([kept.rule])]
        except Exception as failure:  # noqa: BLE001 - see above
            self.left_out.append((kept.id, failure))
            return []

    def matches(self, text: str | TextForms, rank: int) -> Iterator[Match]:
        """What a text of somebody of that rank, whom nothing else exempts, is against: of each rule once."""
        for rules in self._sets:
            for hit in rules.judge(text, cast(Rank, rank)).hits:
                yield Match(self._kept[id(hit.rule)], hit)


def _is_classifier(kept: KeptRule) -> bool:
    return kept.rule.kind is RuleKind.CLASSIFIER and kept.rule.mode is not RuleMode.OFF


def cost_bytes(kept: Iterable[KeptRule]) -> int:
    """What the rules of a slug take in memory once they are compiled, about."""
    return _BYTES_A_SLUG + compiled_bytes(each.rule for each in kept)


class Found(NamedTuple):
    """What the rules that are compiled say of one text."""

    matches: list[Match]
    is_all: bool
    """False: rules hold there as well that could not see the text."""
    is_unseen: bool
    """Whether one of these is on."""
    is_cut: bool
    """Whether the time was up before rules that are on had seen all ways to read it."""
    classifiers: tuple[KeptRule, ...] = ()
    """Those that are to be asked besides."""


class RuleBook:
    """Of each slug the newest rules, whichever way they came first."""

    def __init__(self, *, refuses_unjudged: bool = False) -> None:
        self.refuses_unjudged = refuses_unjudged
        """Whether messages are refused that a rule would have to see and can't; else they go on."""
        self.is_in_use = False
        """Whether there are any rules that are looked at: asked for every message, so it is no more than read."""
        self.on_change: Callable[[], None] = lambda: None
        """Called when rules that are looked at were changed."""
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
        self._stored: dict[str, tuple[int, dict[int, KeptRule]]] = {}
        """Of outdated ones their version as it is stored, and the rules by id."""
        self._dropped_at_ns: OrderedDict[str, int] = OrderedDict()
        self._too_large: OrderedDict[str, int] = OrderedDict()
        """For who comes, by the same clock."""
        self.dropped = 0
        """How often rules gave way to others, so far."""
        self.cut = 0
        """How many messages were refused because reading them took too long."""
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
        if judges:
            self.on_change()

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

    def unread(self) -> list[str]:
        """Those compiled that were changed since, and nobody has said to `hold_to` how."""
        return [slug for slug in self._outdated if self._stored.get(slug, (0, {}))[0] < self._versions[slug]]

    def hold_to(self, slug: str, version: int, kept: Iterable[KeptRule]) -> None:
        """What was compiled of an outdated slug acts from now on as these say, which are stored: rules that are gone or
        off, and patterns that are gone, do nothing any more."""
        if slug in self._outdated:
            self._stored[slug] = max(version, self._versions[slug]), {each.id: each for each in kept}

    def has_room(self, slug: str, more_bytes: int = 0) -> bool:
        """Whether so much can be put for that slug, and no other gives way."""
        known = self._compiled.get(slug)
        others = len(self._compiled) - (known is not None)
        others_bytes = self._compiled_bytes - (0 if known is None else known.cost_bytes)
        return others < MOST_COMPILED and others_bytes + more_bytes <= MOST_COMPILED_BYTES

    def may_come(self, slug: str, now_ns: int) -> bool:
        """Whether the rules of a room are to be compiled where somebody comes in: nobody shall make others give way by
        looking around. now_ns is of the clock that never jumps."""
        return self.has_room(slug) and not _is_lately(self._too_large, slug, now_ns)

    def was_too_large(self, slug: str, now_ns: int) -> None:
        """There was no room for it when somebody came."""
        _remember(self._too_large, slug, now_ns)

    def was_dropped_lately(self, slug: str, now_ns: int) -> bool:
        """Whether its rules gave way to others within the last minute."""
        return _is_lately(self._dropped_at_ns, slug, now_ns)

    def put(self, slug: str, compiled: CompiledRules, now_ns: int = 0) -> None:
        """Judge by these from now on, if any of them is looked at still. What was not asked for longest gives way."""
        state = self._states.get(slug)
        stored = self._stored.get(slug)
        self._drop(slug)
        if state is None:
            return
        if state.version > compiled.version:  # changed meanwhile
            self._outdated.add(slug)
            if stored is not None and stored[0] > compiled.version:
                self._stored[slug] = stored
        self._compiled[slug] = compiled
        self._compiled_bytes += compiled.cost_bytes
        others = (known for known in [*self._compiled] if known not in (EVERYWHERE, slug))
        while len(self._compiled) > MOST_COMPILED or self._compiled_bytes > MOST_COMPILED_BYTES:
            other = next(others, None)
            if other is None:
                return
            self._drop(other)
            self.dropped += 1
            _remember(self._dropped_at_ns, other, now_ns)

    def find(self, slug: str, text: str | TextForms, rank: int) -> Found:
        """What a text in that room is against: the rules for everywhere first. An empty one is one that is not
        known."""
        forms = text if isinstance(text, TextForms) else TextForms(text)
        matches: list[Match] = []
        classifiers: list[KeptRule] = []
        is_all, is_unseen, is_cut = True, False, False
        for key in (EVERYWHERE, slug):
            state = self._states.get(key)
            if state is None:
                continue
            compiled = self._compiled.get(key)
            if compiled is None or not forms.text:
                is_all, is_unseen = False, is_unseen or state.acts
                continue
            self._compiled.move_to_end(key)
            classifiers += self._classifiers_of(key, compiled, rank)
            try:
                found = [*compiled.matches(forms, rank)]
                if key in self._stored:
                    found, is_known = _as_stored(found, self._stored[key][1], rank)
                    is_all, is_unseen = is_all and is_known, is_unseen or (not is_known and state.acts)
                matches += found
            except Exception as failure:  # noqa: BLE001 - a text that a library fails at must not take others with it
                self._failure, is_all, is_unseen = failure, False, is_unseen or state.acts
            if forms.is_cut:
                is_all, is_cut = False, is_cut or state.acts
        return Found(matches, is_all, is_unseen, is_cut, tuple(classifiers))

    def _classifiers_of(self, slug: str, compiled: CompiledRules, rank: int) -> list[KeptRule]:
        """Those that judge somebody of that rank; of outdated rules as they are stored."""
        if not compiled.classifiers and slug not in self._stored:
            return []
        stored = self._stored.get(slug)
        known = compiled.classifiers if stored is None else filter(_is_classifier, stored[1].values())
        return [kept for kept in known if rank < kept.rule.exempt_from]

    def take_failure(self) -> Exception | None:
        """What judging a text has raised since this was last asked, a defect; None: nothing."""
        failure, self._failure = self._failure, None
        return failure

    def _drop(self, slug: str) -> None:
        self._outdated.discard(slug)
        self._stored.pop(slug, None)
        dropped = self._compiled.pop(slug, None)
        if dropped is not None:
            self._compiled_bytes -= dropped.cost_bytes


def _as_stored(found: Iterable[Match], stored: Mapping[int, KeptRule], rank: int) -> tuple[list[Match], bool]:
    """What is left of it by the rules as they are stored; False: a rule was hit by a pattern that it has no more, and
    nobody knows of the others."""
    left, is_known = [], True
    for match in found:
        kept = stored.get(match.kept.id)
        if kept is None or kept.rule.mode is RuleMode.OFF or rank >= kept.rule.exempt_from:
            continue
        if kept.rule.kind is match.hit.rule.kind and (
            match.hit.pattern in kept.rule.patterns or not match.hit.rule.patterns
        ):
            left.append(Match(kept, Hit(kept.rule, match.hit.pattern)))
        else:
            is_known = False
    return left, is_known


def _remember(times: OrderedDict[str, int], slug: str, now_ns: int) -> None:
    times[slug] = now_ns
    times.move_to_end(slug)
    if len(times) > _REMEMBERED:
        times.popitem(last=False)


def _is_lately(times: Mapping[str, int], slug: str, now_ns: int) -> bool:
    at_ns = times.get(slug)
    return at_ns is not None and now_ns < at_ns + NOT_AGAIN_NS
