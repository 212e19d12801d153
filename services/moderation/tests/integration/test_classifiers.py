"""Rules that ask a classifier: one replica, real NATS, SQLite, a classifier over HTTP, and the stream of an edge."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import grpc.aio
import pytest
from classifier_server import SECRET, ClassifierServer, classifier_server
from prometheus_client import CollectorRegistry

from chassis.nats_connection import NatsSettings
from moderation.bootstrap import serving
from moderation.config import Config
from moderation.domain import classifiers
from moderation.telemetry import Metrics
from moderation.usecases import classify
from salon.moderation.v1 import moderation_pb2 as pb, moderation_pb2_grpc as pb_grpc, rules_pb2

pytestmark = pytest.mark.integration
ADMIN = pb.Speaker(user_id=1, username="boss", rank=pb.RANK_ADMIN)
OWNER = pb.Speaker(user_id=3, username="owner", rank=pb.RANK_USER, owner=True)
ANA = pb.Speaker(user_id=5, username="ana", address="10.0.0.5", rank=pb.RANK_USER, connection="e:1")
BEN = pb.Speaker(user_id=6, username="ben", address="10.0.0.6", rank=pb.RANK_USER, connection="e:2")
ADMITTED, SANCTIONED = pb.Verdict.DECISION_ADMITTED, pb.Verdict.DECISION_SANCTIONED
BLOCKED, HELD = pb.Verdict.REFUSAL_BLOCKED, pb.Verdict.REFUSAL_HELD


class Nats(Protocol):
    url: str


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than a busy machine needs."""
    monkeypatch.setattr(classify, "ASKED_FOR_S", 30)


@pytest.fixture
def classifier() -> Iterator[ClassifierServer]:
    with classifier_server() as server:
        yield server


class Stream:
    """An edge's, which gives messages their numbers in the order of asking."""

    def __init__(self, call: Any) -> None:
        self._call, self._number = call, 0

    async def say(self, *texts: str, who: pb.Speaker = ANA, slug: str = "live", nonce: str = "") -> list[int]:
        checks = []
        for text in texts:
            self._number += 1
            checks.append(pb.MessageCheck(id=self._number, speaker=who, slug=slug, life=1, text=text, nonce=nonce))
        await self._call.write(pb.AdmitRequest(messages=checks))
        return [check.id for check in checks]

    async def told(self, number: int) -> list[pb.Verdict]:
        """So many verdicts, as they come."""
        verdicts: list[pb.Verdict] = []
        while len(verdicts) < number:
            verdicts += (await self._call.read()).verdicts
        return verdicts

    async def verdict(self, text: str, **more: Any) -> pb.Verdict:
        await self.say(text, **more)
        (verdict,) = await self.told(1)
        return verdict


class Replica:
    def __init__(self, channel: grpc.aio.Channel, metrics: Metrics) -> None:
        self.stub = pb_grpc.ModerationServiceStub(channel)
        self._metrics = metrics

    async def save(
        self, url: str, *, actor: pb.Speaker = ADMIN, rule_id: int = 0, secret: str = SECRET, **more: Any
    ) -> pb.ExecuteResponse:
        values: dict[str, Any] = {
            "name": "asks",
            "kind": rules_pb2.RULE_KIND_CLASSIFIER,
            "action": rules_pb2.RULE_ACTION_REFUSE,
        }
        change = pb.SaveRule(rule_id=rule_id, rule=rules_pb2.Rule(url=url, **(values | more)), secret=secret)
        return await self.stub.Execute(pb.ExecuteRequest(actor=actor, slug="live", save_rule=change), timeout=60)

    @asynccontextmanager
    async def stream(self) -> AsyncIterator[Stream]:
        call = self.stub.Admit()
        assert isinstance(await call.read(), pb.AdmitResponse)
        yield Stream(call)
        call.cancel()

    def metric(self, name: str, **labels: str) -> float | None:
        return self._metrics.registry.get_sample_value(f"salon_moderation_{name}", labels)


@asynccontextmanager
async def replica_on(url: str, folder: Path, *, private: bool = True) -> AsyncIterator[Replica]:
    config = Config(
        port=0, database_url=f"sqlite://{folder}/m.sqlite3", nats=NatsSettings(url), classifier_private=private
    )
    metrics = Metrics(CollectorRegistry())
    async with (
        serving(config, metrics=metrics) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        yield Replica(channel, metrics)


async def test_what_a_classifier_says_becomes_of_the_message(
    nats_server: Nats, migrated_folder: Path, classifier: ClassifierServer
) -> None:
    async with replica_on(nats_server.url, migrated_folder) as replica, replica.stream() as edge:
        saved = await replica.save(classifier.url, told="Not here")
        assert (saved.outcome, saved.rule.rule.url) == (pb.ExecuteResponse.OUTCOME_DONE, classifier.url)
        assert (await edge.verdict("hello")).decision == ADMITTED
        held = await edge.verdict("hold that")
        assert (held.refusal, held.held.rule_id, held.held.rule_name) == (HELD, saved.rule.id, "asks")
        refused = await edge.verdict("refuse that")
        assert (refused.refusal, refused.told) == (BLOCKED, "Not here")
        (asked, *_) = classifier.asked
        assert asked["type"] == "message.classify"
        assert asked["data"] == {
            "text": "hello",
            "room": "live",
            "author": {"user_id": 5, "username": "ana", "rank": "user"},
            "rule": {"id": saved.rule.id, "name": "asks"},
            "test": False,
        }
        assert classifier.unsigned == 0
        tried = await replica.stub.TestText(pb.TestTextRequest(actor=ADMIN, slug="live", text="refuse it"), timeout=60)
        assert [(hit.rule_id, hit.pattern) for hit in tried.hits] == [(saved.rule.id, "it says refuse")]
        assert classifier.asked[-1]["data"] | {"rule": 0} == {
            "text": "refuse it",
            "room": "live",
            "author": None,
            "rule": 0,
            "test": True,
        }
        assert replica.metric("classifier_calls", outcome="answered") == 4


@pytest.mark.parametrize("word", ["late", "broken", "moved", "long", "silly"])
async def test_without_an_answer_in_time_a_message_goes_by_on_failure(
    nats_server: Nats,
    migrated_folder: Path,
    classifier: ClassifierServer,
    word: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if word == "late":
        monkeypatch.setattr(classify, "ASKED_FOR_S", 0.3)
    async with replica_on(nats_server.url, migrated_folder) as replica, replica.stream() as edge:
        saved = await replica.save(classifier.url)
        assert (await edge.verdict(f"{word} one")).decision == ADMITTED
        holds = rules_pb2.RULE_ON_FAILURE_HOLD
        saved = await replica.save(classifier.url, rule_id=saved.rule.id, secret="", on_failure=holds)
        assert saved.rule.rule.on_failure == holds
        assert (await edge.verdict(f"{word} two")).refusal == HELD
        assert classifier.redirected == 0
        assert replica.metric("classifier_calls", outcome="late" if word == "late" else "failed") == 2


async def test_a_message_that_waits_keeps_nobody_else_and_its_author_stays_in_order(
    nats_server: Nats, migrated_folder: Path, classifier: ClassifierServer
) -> None:
    async with replica_on(nats_server.url, migrated_folder) as replica, replica.stream() as edge:
        await replica.save(classifier.url)
        await edge.verdict("hello")
        (late,) = await edge.say("late one")
        behind, again = await edge.say("hello", "late one", nonce="n")
        (elsewhere,) = await edge.say("hello", slug="other")
        (others,) = await edge.say("hello", who=BEN)  # a message that is classified, and answered at once
        assert {verdict.id for verdict in await edge.told(2)} == {elsewhere, others}
        classifier.release.set()
        assert [verdict.id for verdict in await edge.told(3)] == [late, behind, again]


async def test_what_is_sent_again_while_it_waits_becomes_the_same(
    nats_server: Nats, migrated_folder: Path, classifier: ClassifierServer
) -> None:
    async with replica_on(nats_server.url, migrated_folder) as replica, replica.stream() as edge:
        await replica.save(classifier.url)
        await edge.say("late one", nonce="n")
        await edge.say("late one", nonce="n")
        classifier.release.set()
        first, second = await edge.told(2)
        assert [first.decision, second.decision] == [ADMITTED, pb.Verdict.DECISION_REPEATED]
        await edge.say("refuse it", "refuse it", nonce="m")
        assert [verdict.refusal for verdict in await edge.told(2)] == [BLOCKED, BLOCKED]


async def test_a_classifier_that_fails_again_and_again_is_not_asked_for_a_while(
    nats_server: Nats, migrated_folder: Path, classifier: ClassifierServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classifiers, "OPEN_NS", 600_000_000_000)
    async with replica_on(nats_server.url, migrated_folder) as replica, replica.stream() as edge:
        await replica.save(classifier.url)
        for number in range(7):
            assert (await edge.verdict(f"broken {number}")).decision == ADMITTED
        assert len(classifier.asked) == 5
        assert replica.metric("classifier_breakers_open") == 1
        assert replica.metric("classifier_calls", outcome="open") == 2


async def test_a_mute_that_comes_while_a_message_waits_holds_for_it(
    nats_server: Nats, migrated_folder: Path, classifier: ClassifierServer
) -> None:
    async with replica_on(nats_server.url, migrated_folder) as replica, replica.stream() as edge:
        await replica.save(classifier.url)
        await edge.say("late one")
        mute = pb.ChangeSanction(action=pb.ACTION_MUTE, target_user_id=5, scope=pb.SCOPE_ROOM, duration_minutes=1)
        done = await replica.stub.Execute(pb.ExecuteRequest(actor=ADMIN, slug="live", change_sanction=mute), timeout=60)
        assert done.outcome == pb.ExecuteResponse.OUTCOME_DONE
        classifier.release.set()
        (verdict,) = await edge.told(1)
        assert (verdict.decision, verdict.refusal) == (SANCTIONED, pb.Verdict.REFUSAL_UNSPECIFIED)


async def test_classifiers_are_for_admins_and_their_urls_too(
    nats_server: Nats, migrated_folder: Path, classifier: ClassifierServer
) -> None:
    async with replica_on(nats_server.url, migrated_folder) as replica:
        assert (await replica.save(classifier.url, actor=OWNER)).outcome == pb.ExecuteResponse.OUTCOME_NOT_PERMITTED
        rule_id = (await replica.save(classifier.url)).rule.id
        words = {"kind": rules_pb2.RULE_KIND_TERMS, "patterns": ["blarg"]}
        for refused in (
            await replica.save(classifier.url, actor=OWNER, rule_id=rule_id),
            await replica.save("", actor=OWNER, rule_id=rule_id, secret="", **words),
            await replica.stub.Execute(
                pb.ExecuteRequest(actor=OWNER, slug="live", delete_rule=pb.DeleteRule(rule_id=rule_id)), timeout=60
            ),
        ):
            assert refused.outcome == pb.ExecuteResponse.OUTCOME_NOT_PERMITTED
        for actor, url in ((OWNER, ""), (ADMIN, classifier.url)):
            listed = await replica.stub.ListRules(pb.ListRulesRequest(actor=actor, slug="live"), timeout=60)
            assert [rule.rule.url for rule in listed.rules] == [url]
        assert (await replica.save(classifier.url, secret="")).problem == "A new classifier has a secret"
        assert (await replica.save(classifier.url, secret="guess")).problem.startswith("A secret is whsec_")


async def test_private_addresses_are_refused_and_not_asked(
    nats_server: Nats, migrated_folder: Path, classifier: ClassifierServer
) -> None:
    async with replica_on(nats_server.url, migrated_folder) as replica:
        rule_id = (await replica.save(classifier.url)).rule.id
    async with replica_on(nats_server.url, migrated_folder, private=False) as replica, replica.stream() as edge:
        assert (await edge.verdict("refuse it")).decision == ADMITTED
        assert classifier.asked == []
        for url, problem in (
            (classifier.url, "The url of a classifier begins with https://"),
            (classifier.url.replace("http:", "https:"), "The classifier is at no public address"),
            ("https://localhost/classify", "The classifier is at no public address"),
        ):
            assert (await replica.save(url, rule_id=rule_id)).problem == problem


async def test_a_message_whose_stream_has_gone_is_concluded_all_the_same(
    nats_server: Nats, migrated_folder: Path, classifier: ClassifierServer
) -> None:
    async with replica_on(nats_server.url, migrated_folder) as replica:
        await replica.save(classifier.url)
        async with replica.stream() as gone:
            await gone.say("late one", nonce="n")
            await asyncio.to_thread(classifier.is_late.wait, 60)
        async with replica.stream() as edge:
            await edge.say("late one", nonce="n")
            classifier.release.set()
            (verdict,) = await edge.told(1)
            assert verdict.decision == pb.Verdict.DECISION_REPEATED
