"""What moderation counts, for Prometheus."""

import time
from collections import Counter as Tally
from collections.abc import Iterable, Mapping, Sized
from functools import partial

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from chassis.metrics import ServiceMetrics
from moderation.domain.classifiers import Lines, Outcome
from moderation.domain.last_seen import LastSeenBuffer
from moderation.domain.rule_book import RuleBook
from moderation.domain.verdicts import Decision, Verdict


class Metrics:
    """Everything that is counted."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.registry = registry
        self.service = ServiceMetrics("moderation", registry)
        """Calls, and dependencies that are up."""
        verdicts = Counter("salon_moderation_verdicts", "Answers to checks.", ["decision"], registry=registry)
        told = set(Decision) - {Decision.WAITING}
        self._verdicts = {d: verdicts.labels(d.name.lower()) for d in told}
        self._reported = Counter(
            "salon_moderation_reported", "Messages that edges admitted by what they were lent.", registry=registry
        )
        self._ready = Gauge("salon_moderation_ready", "1: database and NATS answer.", registry=registry)
        self._in_force = Gauge("salon_moderation_sanctions_in_force", "Sanctions in memory.", registry=registry)
        self._policies = Gauge(
            "salon_moderation_policies", "Rooms whose policy asks for anything, in memory.", registry=registry
        )
        self._warnings = Gauge("salon_moderation_warnings_open", "Open warnings in memory.", registry=registry)
        self._rules = Gauge("salon_moderation_ruled_slugs", "Slugs with rules that are looked at.", registry=registry)
        self._compiled = Gauge(
            "salon_moderation_ruled_slugs_compiled", "Those of them whose rules are in memory.", registry=registry
        )
        self._unjudged = Gauge(
            "salon_moderation_messages_unjudged", "Messages that no rule could see in time.", registry=registry
        )
        self._dropped = Gauge(
            "salon_moderation_rules_dropped", "How often a slug's rules gave way to others.", registry=registry
        )
        self._cut = Gauge(
            "salon_moderation_messages_too_slow",
            "Messages refused: reading them took too long.",
            registry=registry,
        )
        self._asked = Gauge(
            "salon_moderation_classifier_calls",
            "How often classifiers were asked, or not, by what came of it.",
            ["outcome"],
            registry=registry,
        )
        self._breakers = Gauge(
            "salon_moderation_classifier_breakers_open",
            "Rules whose classifier is not asked just now, because it failed.",
            registry=registry,
        )
        self._classifier_seconds = Histogram(
            "salon_moderation_classifier_seconds",
            "How long classifiers took.",
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3),
            registry=registry,
        )
        self._waiting = Gauge("salon_moderation_sightings_waiting", "Sightings not written yet.", registry=registry)
        self._lost = Gauge("salon_moderation_sightings_lost", "Sightings lost for want of room.", registry=registry)
        self._outbox = Gauge(
            "salon_moderation_outbox_waiting", "Commands that are not done in their room's log yet.", registry=registry
        )
        self._oldest = Gauge(
            "salon_moderation_outbox_oldest_seconds", "For how long the oldest of them has waited.", registry=registry
        )

    def outbox(self, waiting: int, oldest_s: float) -> None:
        """What the outbox has not done yet, as the database has it: every replica says the same."""
        self._outbox.set(waiting)
        self._oldest.set(oldest_s)

    def count(self, verdicts: Iterable[Verdict]) -> None:
        """Verdicts that were given together: of each decision once, since a counter takes a lock."""
        for decision, count in Tally(verdict.decision for verdict in verdicts).items():
            self._verdicts[decision].inc(count)

    def count_reported(self, messages: int) -> None:
        """So many were admitted by edges, by what they were lent."""
        self._verdicts[Decision.ADMITTED].inc(messages)
        self._reported.inc(messages)

    def classified(self, seconds: float) -> None:
        """A classifier was asked, and took so long."""
        self._classifier_seconds.observe(seconds)

    def dependencies(self, are_up: Mapping[str, bool]) -> None:
        """Who answers at this moment; the replica is ready when all do."""
        self.service.dependencies(are_up)
        self._ready.set(all(are_up.values()))

    def watch(
        self,
        *,
        cache: Sized,
        policies: Sized,
        warnings: Sized,
        last_seen: LastSeenBuffer,
        rules: RuleBook,
        classifiers: Lines,
    ) -> None:
        """Read these whenever somebody asks for metrics."""
        self._in_force.set_function(lambda: len(cache))
        self._policies.set_function(lambda: len(policies))
        self._warnings.set_function(lambda: len(warnings))
        self._rules.set_function(lambda: len(rules))
        self._compiled.set_function(lambda: rules.compiled)
        self._unjudged.set_function(lambda: rules.unjudged)
        self._dropped.set_function(lambda: rules.dropped)
        self._cut.set_function(lambda: rules.cut)
        for outcome in Outcome:
            self._asked.labels(outcome.name.lower()).set_function(partial(classifiers.outcomes.__getitem__, outcome))
        self._breakers.set_function(lambda: classifiers.open_breakers(time.monotonic_ns()))
        self._waiting.set_function(lambda: len(last_seen))
        self._lost.set_function(lambda: last_seen.lost)
