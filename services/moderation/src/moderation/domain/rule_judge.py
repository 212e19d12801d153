"""What the rules say of a message, and what follows from it."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from moderation.domain.classifiers import is_waited_for
from moderation.domain.kept_rules import EVERYWHERE, KeptRule
from moderation.domain.people import Speaker, Target
from moderation.domain.rule_book import Found, Match, RuleBook, decisive
from moderation.domain.rule_flags import FlagBuffer, Flagged
from moderation.domain.rule_hits import HitBuffer, MuteQueue, RuleHit, RuleMute
from moderation.domain.rules import RuleAction
from moderation.domain.text_forms import TextForms
from moderation.domain.verdicts import UNJUDGED, Decision, Verdict
from moderation.domain.windows import SlidingWindowLimiter

_NS_PER_MS = 1_000_000
CHARGED_NS = 5 * _NS_PER_MS
"""A text counts as one refused message for each time that it takes so long."""
LONGEST_TEXT_NS = 100 * _NS_PER_MS
"""What is not read until then is refused."""
LONGEST_BATCH_NS = 400 * _NS_PER_MS
"""What is asked at once and is not judged until then is refused: edges wait 1.5 s for an answer."""
SLOW_NS = _NS_PER_MS
BURST_NS = 200 * _NS_PER_MS
SHARE = 3
"""Texts that take longer than SLOW_NS may take so long together, and a third of the time after that. What has to be
read more closely beyond that is refused: it is mostly what somebody wrote to take long."""
RETRY_MS = 1_000
BEHIND = 500
"""Messages of those that are judged at once that classifiers are to be asked about though nothing waits for it; beyond
that the oldest go. Then they are asked, as far as there are calls left."""


class Asked(NamedTuple):
    """A message about which classifiers are asked, with what the other rules say of it."""

    speaker: Speaker
    slug: str
    text: str
    wall_ms: int
    found: Found

    @property
    def waits_for(self) -> list[KeptRule]:
        """The classifiers whose answers it waits for."""
        return [kept for kept in self.found.classifiers if is_waited_for(kept.rule)]

    @property
    def behind(self) -> list[KeptRule]:
        """The others."""
        return [kept for kept in self.found.classifiers if not is_waited_for(kept.rule)]


class AskedBehind(NamedTuple):
    """A message that has had its verdict, about which classifiers are asked that only flag, or run dry."""

    asked: Asked
    is_decided: bool
    """Another rule has acted."""


class RuleJudge:
    """Judges by the rules that are compiled, and keeps what they hit and ask for until somebody takes it.

    What is refused counts for no rate limit, and reading a hostile text takes up to 60 ms, whether a rule hits it or
    not: so who had as many messages refused here, or held, as they may say in a window, or as many times CHARGED_NS
    taken, has to wait as if they had said them. And nobody else waits longer than LONGEST_BATCH_NS for all texts
    together."""

    def __init__(
        self,
        book: RuleBook,
        by_speaker: SlidingWindowLimiter,
        by_address: SlidingWindowLimiter,
        cpu_ns: Callable[[], int] | None = None,
    ) -> None:
        """The limiters are its own; the second one is of all anonymous connections of an address together. `cpu_ns`
        says what time of a processor was used so far; None: nothing is limited by it."""
        self._book = book
        self._by_speaker = by_speaker
        self._by_address = by_address
        self._cpu_ns = cpu_ns
        self._left_ns = BURST_NS
        self._at_ns = 0
        self._batch_ns = 0
        """Used so far for what is judged at `_at_ns`."""
        self.hits = HitBuffer()
        """To be written."""
        self.flags = FlagBuffer()
        """To be told to moderators."""
        self.mutes = MuteQueue()
        """To be imposed."""
        self.behind: deque[AskedBehind] = deque(maxlen=BEHIND)
        """To be asked about."""

    def judge(self, speaker: Speaker, slug: str, text: str, *, now_ns: int, wall_ms: int) -> Verdict | Asked | None:
        """What there is against a message of somebody who is not exempt; None: nothing. An empty text is one that is
        not known. By both clocks, as Now: all that is asked at once has the same. Asked: it waits for classifiers, and
        for conclude."""
        if not self._book.judges_in(slug):
            return None
        if (limited := self.limited(speaker, now_ns)) is not None:
            return limited
        found = self._find(speaker, slug, text, now_ns)
        asked = Asked(speaker, slug, text, wall_ms, found)
        if found.classifiers and asked.waits_for and not self._is_refused(found):
            return asked
        return self.conclude(asked, (), now_ns)

    def conclude(self, asked: Asked, answers: Sequence[Match], now_ns: int) -> Verdict | None:
        """The same, with what the classifiers have against it that it waited for."""
        speaker, slug, text, wall_ms, found = asked
        matches = [*found.matches, *answers]
        deciding = decisive(matches) if matches else None
        for match in matches:
            self.hits.note(_hit_of(match, speaker, slug, text, wall_ms, acted=match is deciding))
        if deciding is not None:
            self.flags.note(slug, _flagged_by(deciding, speaker, text))
        if found.classifiers and asked.behind and not (self._is_refused(found) or _refuses(deciding)):
            self.behind.append(AskedBehind(asked, is_decided=deciding is not None))
        if deciding is not None and _refuses(deciding):
            self.count(speaker, now_ns)
            if deciding.kept.rule.action is RuleAction.MUTE:
                self.mutes.put(_mute_of(deciding, speaker, slug, text, wall_ms))
            return Verdict(Decision.BLOCKED, told=deciding.kept.rule.told)
        if deciding is not None and deciding.kept.rule.action is RuleAction.HOLD:
            return Verdict(Decision.HELD, rule_id=deciding.kept.id, rule_name=deciding.kept.rule.name)
        if found.is_all:
            return None
        if found.is_cut:
            self._book.cut += 1
            return Verdict(Decision.RATE_LIMITED, max(RETRY_MS, -(-self._wait_ns(speaker, now_ns) // _NS_PER_MS)))
        self._book.unjudged += 1
        return UNJUDGED if found.is_unseen and self._book.refuses_unjudged else None

    def conclude_behind(self, behind: AskedBehind, answers: Sequence[Match]) -> None:
        """What classifiers that nothing waits for have against a message that has had its verdict."""
        speaker, slug, text, wall_ms, _ = behind.asked
        deciding = decisive(answers) if answers and not behind.is_decided else None
        for match in answers:
            self.hits.note(_hit_of(match, speaker, slug, text, wall_ms, acted=match is deciding))
        if deciding is not None:
            self.flags.note(slug, _flagged_by(deciding, speaker, text))

    def _is_refused(self, found: Found) -> bool:
        """Whether it is, whatever classifiers say."""
        unseen = not found.is_all and (found.is_cut or (found.is_unseen and self._book.refuses_unjudged))
        return unseen or _refuses(decisive(found.matches) if found.matches else None)

    def _find(self, speaker: Speaker, slug: str, text: str, now_ns: int) -> Found:
        if self._cpu_ns is None:
            return self._book.find(slug, text, speaker.rank)
        if now_ns != self._at_ns:
            self._left_ns = min(BURST_NS, self._left_ns + max(0, now_ns - self._at_ns) // SHARE)
            self._at_ns, self._batch_ns = now_ns, 0
        if self._batch_ns > LONGEST_BATCH_NS:
            acts = self._book.acts_in(slug) or self._book.acts_in(EVERYWHERE)
            return Found([], is_all=False, is_unseen=acts, is_cut=acts)
        cpu_ns, began_ns = self._cpu_ns, self._cpu_ns()
        longest_ns = min(LONGEST_TEXT_NS, self._left_ns)
        forms = TextForms(text, lambda: cpu_ns() - began_ns >= longest_ns)
        found = self._book.find(slug, forms, speaker.rank)
        used_ns = cpu_ns() - began_ns
        self._batch_ns += used_ns
        if used_ns > SLOW_NS:
            self._left_ns -= used_ns
            for _ in range(used_ns // CHARGED_NS):
                self.count(speaker, now_ns)
        return found

    def limited(self, speaker: Speaker, now_ns: int) -> Verdict | None:
        """Whether somebody has to wait for what they were refused here, or held."""
        wait_ns = self._wait_ns(speaker, now_ns)
        return Verdict(Decision.RATE_LIMITED, -(-wait_ns // _NS_PER_MS)) if wait_ns else None

    def _wait_ns(self, speaker: Speaker, now_ns: int) -> int:
        wait_ns = self._by_speaker.wait_ns(speaker.user_id or speaker.connection, now_ns)
        if speaker.user_id:
            return wait_ns
        return max(wait_ns, self._by_address.wait_ns(speaker.address, now_ns))

    def count(self, speaker: Speaker, now_ns: int) -> None:
        """A message of theirs was refused here, or is held: that costs the database something."""
        self._by_speaker.accept(speaker.user_id or speaker.connection, speaker.connection, now_ns)
        if not speaker.user_id:
            self._by_address.accept(speaker.address, speaker.connection, now_ns)


def _refuses(deciding: Match | None) -> bool:
    return deciding is not None and deciding.kept.rule.action >= RuleAction.REFUSE


def _hit_of(match: Match, speaker: Speaker, slug: str, text: str, wall_ms: int, *, acted: bool) -> RuleHit:
    kept, hit = match
    user_id, username, action = speaker.user_id, speaker.username, hit.rule.action
    return RuleHit(kept.id, slug, wall_ms, user_id, username, text, hit.pattern, action, acted=acted)


def _flagged_by(match: Match, speaker: Speaker, text: str) -> Flagged:
    kept, hit = match
    return Flagged(kept.id, hit.rule.name, hit.rule.action, speaker.user_id, speaker.username, text)


def _mute_of(match: Match, speaker: Speaker, slug: str, text: str, wall_ms: int) -> RuleMute:
    kept, hit = match
    target = Target(speaker.user_id, "" if speaker.user_id else speaker.username)
    return RuleMute(target, slug, hit.rule.mute_minutes, kept.id, hit.rule.name, text, wall_ms)
