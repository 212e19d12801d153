"""Whether a message may be published and a connection come in: sanction, then repeat, then warning, then policy, then
limit, then the rules about texts. Of what is not refused, policy and rules may have some wait for a moderator."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple

from moderation.domain.erasures import LogRef
from moderation.domain.last_seen import LastSeen, LastSeenBuffer
from moderation.domain.people import NO_CLAIMS, Claims, Speaker
from moderation.domain.policy import EXEMPT_RANKS, Policy, is_held_by, refusal_by
from moderation.domain.policy_cache import PolicyCache
from moderation.domain.raids import RaidWatch
from moderation.domain.rule_book import Match, RuleBook
from moderation.domain.rule_judge import Asked, RuleJudge
from moderation.domain.same_text import digest_of
from moderation.domain.sanction_cache import BANS, MUTES_AND_BANS, SanctionCache
from moderation.domain.slow_mode import Place, SlowMode
from moderation.domain.spoken_texts import Said, SpokenTexts
from moderation.domain.verdicts import ADMITTED, ADMITTED_WITH_PLACE, HELD, REPEATED, WARNING_PENDING, Decision, Verdict
from moderation.domain.visits import Visit, VisitBuffer
from moderation.domain.warnings import WarningCache
from moderation.domain.windows import AdmittedNonces, CarryMatcher, SlidingWindowLimiter

_NS_PER_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may be said."""

    messages_per_window: int
    window_s: int
    messages_per_address: int
    """Of all anonymous connections of one address together."""


@dataclass(frozen=True, slots=True)
class Now:
    """Two clocks: windows go by one that never jumps, sanctions by the one that people read."""

    monotonic_ns: int
    wall_ms: int
    """Unix milliseconds."""


class MessageCheck(NamedTuple):
    """May this message be published? A tuple, because one is made for every message."""

    speaker: Speaker
    slug: str
    life: int
    nonce: str
    """May be empty."""
    number: int = 0
    """As its edge counts messages: none of a connection has the same."""
    without_policy: bool = False
    """Policy and warnings are judged with another check of the same message."""
    text: str = ""
    """Empty: not known."""
    claims: Claims = NO_CLAIMS
    """Of the speaker's token."""
    text_elsewhere: bool = False
    """Whether the text was said before is asked of the room's home, which is another replica."""
    text_alone: bool = False
    """That is what is asked here, of a message that was admitted elsewhere."""
    log: LogRef | None = None
    """Of the room; None: its edge is one of before, and did not say."""


class ArrivalCheck(NamedTuple):
    """May this connection come in?"""

    speaker: Speaker
    slug: str
    is_final: bool
    """The last check before it is let in."""


class CarriedAdmission(NamedTuple):
    """A message that another replica admitted."""

    speaker: Speaker
    life: int
    nonce: str
    """May be empty."""
    age_ms: int
    """How long ago that was."""
    counts: bool
    """False: it is older than the window, only its nonce is to be known."""
    slug: str = ""
    """Where it holds a place in a room with slow mode; empty: it holds none."""
    number: int = 0
    """As in MessageCheck."""


class ReleasedAdmission(NamedTuple):
    """A message that was admitted, and could not be stored, or was refused afterwards."""

    speaker: Speaker
    slug: str
    life: int
    nonce: str
    """May be empty."""
    number: int
    """As in MessageCheck."""


class Waiting(NamedTuple):
    """A message that waits for classifiers, and counts as said meanwhile."""

    message: MessageCheck
    said: Verdict
    """Where nothing is against it."""
    is_held: bool
    """The policy holds it."""
    asked: Asked


class Admission:
    """The memory that messages and arrivals are judged by. Nothing here waits."""

    def __init__(
        self,
        limits: Limits,
        cache: SanctionCache,
        last_seen: LastSeenBuffer,
        policies: PolicyCache,
        warnings: WarningCache | None = None,
        rules: RuleBook | None = None,
        visits: VisitBuffer | None = None,
        cpu_ns: Callable[[], int] | None = None,
        raids: RaidWatch | None = None,
    ) -> None:
        """`cpu_ns`: see RuleJudge."""
        window_ns = limits.window_s * 1_000_000_000
        self.limits = limits
        self.warnings = WarningCache() if warnings is None else warnings
        """Those that wait to be acknowledged."""
        self._window_ns = window_ns
        self._cache = cache
        self._policies = policies
        self._book = RuleBook() if rules is None else rules
        self.rules = RuleJudge(
            self._book,
            SlidingWindowLimiter(limits.messages_per_window, window_ns),
            SlidingWindowLimiter(limits.messages_per_address, window_ns),
            cpu_ns,
        )
        self._last_seen = last_seen
        self._visits = visits
        self._raids = RaidWatch() if raids is None else raids
        self._by_speaker = SlidingWindowLimiter(limits.messages_per_window, window_ns)
        self._by_address = SlidingWindowLimiter(limits.messages_per_address, window_ns)
        self._nonces = AdmittedNonces()
        self._held_nonces = AdmittedNonces()
        self._slow_mode = SlowMode()
        self._texts = SpokenTexts()
        self.waiting: dict[int, Waiting] = {}
        """What waits for classifiers, each to be concluded."""
        self._waiting_nonces: dict[tuple[int | str, int, str, str], int] = {}
        """By speaker, life, nonce and text."""
        self._waiting_numbers = count(1)

    def judge_message(self, message: MessageCheck, now: Now) -> Verdict:
        """Admit it and count it, or say why not. A sanction is looked at first: a repeat may be the copy that is
        stored, if the first one got lost. WAITING: conclude says it later; of a repeat of what waits it is the same."""
        if message.text_alone:
            return self._judge_text(message, now)
        speaker, slug, _, nonce, _, without_policy, _, _, _, _, _ = message
        sanctioned_ms = self._cache.remaining_ms(speaker, slug, MUTES_AND_BANS, now_ms=now.wall_ms)
        if sanctioned_ms is not None:
            return Verdict(Decision.SANCTIONED, sanctioned_ms)
        key: int | str = speaker.user_id or speaker.connection
        now_ns = now.monotonic_ns
        if nonce and (repeated := self._repeated(message, key, now)) is not None:
            return repeated
        if not without_policy and self.warnings.is_pending(speaker, slug):
            return WARNING_PENDING
        self._note_for_raids(message, now)
        policy = None if without_policy or speaker.rank in EXEMPT_RANKS else self._policies.find(slug, now.wall_ms)
        if policy is not None and (refusal := self._refusal(policy, message, key, now)) is not None:
            return refusal
        wait_ns = self._by_speaker.wait_ns(key, now_ns)
        if not speaker.user_id:
            wait_ns = max(wait_ns, self._by_address.wait_ns(speaker.address, now_ns))
        if wait_ns:
            return Verdict(Decision.RATE_LIMITED, -(-wait_ns // _NS_PER_MS))
        judged = self._judged_by_rules(message, now) if self._book.is_in_use else None
        if judged is None and policy is not None and is_held_by(policy, message.text):
            judged = HELD
        if judged is not None:
            return self._go_by(judged, policy, message, key, now)
        self._count(message, key, now_ns)
        return ADMITTED if policy is None else self._admit_by(policy, message, key, now_ns)

    def is_plain(self, message: MessageCheck, now: Now) -> bool:
        """Whether nothing but sanctions, warnings and limits is asked for in its room: who was admitted there may go on
        until something changes, see `watch`."""
        if message.without_policy or message.text_alone or self._book.judges_in(message.slug):
            return False
        return self._policies.find(message.slug, now.wall_ms) is None

    def watch(self, on_change: Callable[[], None]) -> None:
        """Have it called whenever more may be against a message than before."""
        self._cache.on_change = self._policies.on_change = on_change
        self.warnings.on_change = self._book.on_change = on_change

    def count(self, message: MessageCheck, now: Now) -> None:
        """An edge admitted it by what it was lent."""
        self._note_for_raids(message, now)
        speaker = message.speaker
        self._count(message, speaker.user_id or speaker.connection, now.monotonic_ns)

    def _note_for_raids(self, message: MessageCheck, now: Now) -> None:
        """What rules would judge counts, whatever becomes of it."""
        speaker = message.speaker
        if not (message.without_policy or speaker.vip or speaker.rank in EXEMPT_RANKS):
            self._raids.note(speaker, message.slug, message.log, message.text, now.wall_ms)

    def _go_by(
        self, judged: Verdict | Asked, policy: Policy | None, message: MessageCheck, key: int | str, now: Now
    ) -> Verdict:
        """What rules or the policy say of a message that has nothing else against it."""
        if isinstance(judged, Asked):
            return self._wait(judged, policy, message, key, now.monotonic_ns)
        return self._hold(judged, policy, message, key, now) if judged.decision is Decision.HELD else judged

    def _wait(self, asked: Asked, policy: Policy | None, message: MessageCheck, key: int | str, now_ns: int) -> Verdict:
        """It counts at once, so that nobody says more meanwhile; its nonce is known once it is admitted, or held."""
        self._count(message._replace(nonce=""), key, now_ns)
        said = ADMITTED if policy is None else self._admit_by(policy, message, key, now_ns)
        is_held = policy is not None and is_held_by(policy, message.text)
        number = next(self._waiting_numbers)
        self.waiting[number] = Waiting(message, said, is_held, asked)
        if message.nonce:
            self._waiting_nonces[key, message.life, message.nonce, message.text] = number
        return Verdict(Decision.WAITING, waits_as=number)

    def conclude(self, number: int, answers: Sequence[Match], now: Now) -> Verdict:
        """The verdict of a message that waited, with what the classifiers have against it. What comes to nothing gives
        everything back. Sanctions that came meanwhile hold."""
        message, said, is_held, asked = self.waiting.pop(number)
        key: int | str = message.speaker.user_id or message.speaker.connection
        if message.nonce:
            del self._waiting_nonces[key, message.life, message.nonce, message.text]
        verdict = self._concluded(message, asked, answers, now) or (HELD if is_held else said)
        now_ns = now.monotonic_ns
        if verdict.decision is Decision.HELD:
            verdict = self.rules.limited(message.speaker, now_ns) or verdict
        if verdict.decision is Decision.HELD:
            self.rules.count(message.speaker, now_ns)
            if message.nonce:
                self._held_nonces.remember(key, message.life, message.nonce, "", now_ns, now_ns)
            return verdict._replace(holds_place=said.holds_place, text_open=said.text_open)
        if verdict is not said:
            self.release(ReleasedAdmission(message.speaker, message.slug, message.life, message.nonce, message.number))
        elif message.nonce:
            self._nonces.remember(key, message.life, message.nonce, message.text, now_ns, now_ns)
        return verdict

    def _concluded(self, message: MessageCheck, asked: Asked, answers: Sequence[Match], now: Now) -> Verdict | None:
        """What there is against it by now."""
        sanctioned_ms = self._cache.remaining_ms(message.speaker, message.slug, MUTES_AND_BANS, now_ms=now.wall_ms)
        if sanctioned_ms is not None:
            return Verdict(Decision.SANCTIONED, sanctioned_ms)
        return self.rules.conclude(asked, answers, now.monotonic_ns)

    def _hold(self, held: Verdict, policy: Policy | None, message: MessageCheck, key: int | str, now: Now) -> Verdict:
        """It counts as said. Repeated it is held still, as the same message, whatever was changed meanwhile."""
        now_ns = now.monotonic_ns
        if (limited := self.rules.limited(message.speaker, now_ns)) is not None:
            return limited
        self.rules.count(message.speaker, now_ns)
        self._count(message._replace(nonce=""), key, now_ns)
        if message.nonce:
            self._held_nonces.remember(key, message.life, message.nonce, "", now_ns, now_ns)
        if policy is None:
            return held
        said = self._admit_by(policy, message, key, now_ns)
        return held._replace(holds_place=said.holds_place, text_open=said.text_open)

    def _count(self, message: MessageCheck, key: int | str, now_ns: int) -> None:
        """Remember of a message that was admitted what limits go by, and its nonce."""
        speaker = message.speaker
        self._by_speaker.accept(key, speaker.connection, now_ns, message.number)
        if not speaker.user_id:
            self._by_address.accept(speaker.address, speaker.connection, now_ns, message.number)
        if message.nonce:
            self._nonces.remember(key, message.life, message.nonce, message.text, now_ns, now_ns)

    def _repeated(self, message: MessageCheck, key: int | str, now: Now) -> Verdict | None:
        """Of a message with a nonce: None where it was not sent before."""
        now_ns = now.monotonic_ns
        if self._nonces.knows(key, message.life, message.nonce, message.text, now_ns):
            return self._admitted_before(message, now)
        waits_as = self._waiting_nonces.get((key, message.life, message.nonce, message.text))
        if waits_as is not None:
            return Verdict(Decision.WAITING, waits_as=waits_as)
        if self._held_nonces and self._held_nonces.knows(key, message.life, message.nonce, "", now_ns):
            return HELD
        return None

    def _admitted_before(self, message: MessageCheck, now: Now) -> Verdict:
        """Where the text is judged elsewhere that may still be on its way, and the answer be no."""
        if not message.text_elsewhere or message.speaker.rank in EXEMPT_RANKS:
            return REPEATED
        policy = self._policies.find(message.slug, now.wall_ms)
        return REPEATED if policy is None or not policy.unique else Verdict(Decision.REPEATED, text_open=True)

    def _admit_by(self, policy: Policy, message: MessageCheck, key: int | str, now_ns: int) -> Verdict:
        """Remember of a message that was admitted what the policy goes by."""
        speaker, slug = message.speaker, message.slug
        is_slow, is_open = policy.slow_mode_seconds > 0 and not speaker.vip, policy.unique and message.text_elsewhere
        if policy.unique and not is_open:
            self._texts.say(slug, digest_of(message.text), _said(message), now_ns)
        if is_slow:
            self._slow_mode.take(key, slug, Place(now_ns, speaker.connection, message.number), now_ns)
        if is_open:
            return Verdict(Decision.ADMITTED, holds_place=is_slow, text_open=True)
        return ADMITTED_WITH_PLACE if is_slow else ADMITTED

    def _judge_text(self, message: MessageCheck, now: Now) -> Verdict:
        """Whether nobody has said that, of a message that is counted elsewhere; then it is said. REPEATED: the same
        message has, which may be published again."""
        speaker, slug = message.speaker, message.slug
        policy = None if speaker.rank in EXEMPT_RANKS else self._policies.find(slug, now.wall_ms)
        if policy is None or not policy.unique:
            return ADMITTED
        digest, said = digest_of(message.text), _said(message)
        if self._texts.is_repeated(slug, digest, said):
            return REPEATED
        if (refusal := self._repeats(message, now)) is not None:
            return refusal
        self._texts.say(slug, digest, said, now.monotonic_ns)
        return ADMITTED

    def _refusal(self, policy: Policy, message: MessageCheck, key: int | str, now: Now) -> Verdict | None:
        """What the policy of the room has against a message."""
        refusal = refusal_by(policy, message.speaker.rank, message.claims, message.text, now.wall_ms)
        if refusal is not None:
            return Verdict(*refusal)
        if policy.slow_mode_seconds and not message.speaker.vip:
            wait_ns = self._slow_mode.wait_ns(key, message.slug, policy.slow_mode_seconds, now.monotonic_ns)
            if wait_ns:
                return Verdict(Decision.SLOW_MODE, -(-wait_ns // _NS_PER_MS))
        return self._repeats(message, now) if policy.unique and not message.text_elsewhere else None

    def _repeats(self, message: MessageCheck, now: Now) -> Verdict | None:
        """Where that was said just now. Of a text that is not known, from an edge of before, nobody can say that it was
        not."""
        if not message.text:
            return Verdict(Decision.DUPLICATE)
        wait_ns = self._texts.wait_ns(message.slug, digest_of(message.text), now.monotonic_ns)
        return Verdict(Decision.DUPLICATE, -(-wait_ns // _NS_PER_MS)) if wait_ns else None

    def _judged_by_rules(self, message: MessageCheck, now: Now) -> Verdict | Asked | None:
        """What the rules have against a message."""
        if message.without_policy or message.speaker.vip or message.speaker.rank in EXEMPT_RANKS:
            return None
        speaker, slug, text = message.speaker, message.slug, message.text
        return self.rules.judge(speaker, slug, text, now_ns=now.monotonic_ns, wall_ms=now.wall_ms)

    def judge_arrival(self, arrival: ArrivalCheck, now: Now) -> Verdict:
        """The banned stay outside, the muted may read. Who is turned away was seen as well."""
        speaker, slug, is_final = arrival
        banned_ms = self._cache.remaining_ms(speaker, slug, BANS, now_ms=now.wall_ms)
        if is_final or banned_ms is not None:
            self.report_seen(speaker, slug, now)
        return ADMITTED if banned_ms is None else Verdict(Decision.SANCTIONED, banned_ms)

    def carry(self, carried: CarriedAdmission, now: Now, matcher: CarryMatcher) -> None:
        """Take over what another replica admitted. Call it the oldest first, with the same matcher for all that comes
        over one stream."""
        speaker, life, nonce, age_ms, counts, slug, number = carried
        key: int | str = speaker.user_id or speaker.connection
        at_ns = now.monotonic_ns - max(0, age_ms) * _NS_PER_MS
        if counts and at_ns + self._window_ns > now.monotonic_ns:
            self._by_speaker.carry(key, speaker.connection, at_ns, matcher, number)
            if not speaker.user_id:
                self._by_address.carry(speaker.address, speaker.connection, at_ns, matcher, number)
        if nonce:
            self._nonces.remember(key, life, nonce, "", at_ns, now.monotonic_ns)
        if slug:
            self._slow_mode.take(key, slug, Place(at_ns, speaker.connection, number), now.monotonic_ns)

    def release(self, released: ReleasedAdmission) -> None:
        """The speaker may speak as if the message had never been admitted; its nonce is new again."""
        speaker, slug, life, nonce, number = released
        key: int | str = speaker.user_id or speaker.connection
        self._by_speaker.release(key, speaker.connection, number)
        if not speaker.user_id:
            self._by_address.release(speaker.address, speaker.connection, number)
        self._slow_mode.release(key, slug, speaker.connection, number)
        self._texts.release(speaker.connection, number)
        if nonce:
            self._nonces.forget(key, life, nonce)
            self._held_nonces.forget(key, life, nonce)

    def report_seen(self, speaker: Speaker, slug: str, now: Now) -> None:
        """Somebody is in that room just now; their sanctions follow them to a new address at once."""
        seen = LastSeen.of(speaker, slug)
        if seen.is_storable:
            self._last_seen.put(seen, now.wall_ms)
            if self._visits is not None and (visit := Visit.of(speaker, slug)) is not None:
                self._visits.put(visit, now.wall_ms)
            self._cache.follow(seen, now_ms=now.wall_ms)


def _said(message: MessageCheck) -> Said:
    speaker = message.speaker
    key: int | str = speaker.user_id or speaker.connection
    return Said(speaker.connection, message.number, key, message.life, message.nonce)
