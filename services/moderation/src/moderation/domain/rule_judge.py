"""What the rules say of a message, and what follows from it."""

from moderation.domain.kept_rules import EVERYWHERE
from moderation.domain.people import Speaker, Target
from moderation.domain.rule_book import Match, RuleBook, decisive
from moderation.domain.rule_flags import FlagBuffer, Flagged
from moderation.domain.rule_hits import HitBuffer, MuteQueue, RuleHit, RuleMute
from moderation.domain.rules import RuleAction
from moderation.domain.verdicts import UNJUDGED, Decision, Verdict
from moderation.domain.windows import SlidingWindowLimiter

_NS_PER_MS = 1_000_000


class RuleJudge:
    """Judges by the rules that are compiled, and keeps what they hit and ask for until somebody takes it.

    What is refused counts for no rate limit, and reading a hostile text takes up to 60 ms: so who had as many messages
    refused here, or held, as they may say in a window has to wait as if they had said them."""

    def __init__(self, book: RuleBook, by_speaker: SlidingWindowLimiter, by_address: SlidingWindowLimiter) -> None:
        """The limiters are its own; the second one is of all anonymous connections of an address together."""
        self._book = book
        self._by_speaker = by_speaker
        self._by_address = by_address
        self.hits = HitBuffer()
        """To be written."""
        self.flags = FlagBuffer()
        """To be told to moderators."""
        self.mutes = MuteQueue()
        """To be imposed."""

    def judge(self, speaker: Speaker, slug: str, text: str, *, now_ns: int, wall_ms: int) -> Verdict | None:
        """What there is against a message of somebody who is not exempt; None: nothing. An empty text is one that is
        not known. By both clocks, as Now."""
        if not self._book.judges_in(slug):
            return None
        if (limited := self.limited(speaker, now_ns)) is not None:
            return limited
        found = self._book.find(slug, text, speaker.rank)
        deciding = decisive(found.matches) if found.matches else None
        for match in found.matches:
            self.hits.note(_hit_of(match, speaker, slug, text, wall_ms, acted=match is deciding))
        if deciding is not None:
            self.flags.note(slug, _flagged_by(deciding, speaker, text))
        if deciding is not None and deciding.kept.rule.action >= RuleAction.REFUSE:
            self.count(speaker, now_ns)
            if deciding.kept.rule.action is RuleAction.MUTE:
                self.mutes.put(_mute_of(deciding, speaker, slug, text, wall_ms))
            return Verdict(Decision.BLOCKED, told=deciding.kept.rule.told)
        if deciding is not None and deciding.kept.rule.action is RuleAction.HOLD:
            return Verdict(Decision.HELD, rule_id=deciding.kept.id, rule_name=deciding.kept.rule.name)
        if found.is_all:
            return None
        self._book.unjudged += 1
        acts = self._book.acts_in(slug) or self._book.acts_in(EVERYWHERE)
        return UNJUDGED if acts and self._book.refuses_unjudged else None

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
