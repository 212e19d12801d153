"""The calls about rules over gRPC, and what they come to in the stream of an edge: one replica, real NATS, SQLite."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

import grpc
import grpc.aio
import pytest
from prometheus_client import CollectorRegistry

from chassis.nats_connection import NatsSettings
from moderation.bootstrap import serving
from moderation.config import Config
from moderation.telemetry import Metrics
from salon.moderation.v1 import moderation_pb2 as pb, moderation_pb2_grpc as pb_grpc, rules_pb2

pytestmark = pytest.mark.integration
Eventually: TypeAlias = Callable[..., Awaitable[None]]
ADMIN = pb.Speaker(user_id=1, username="boss", rank=pb.RANK_ADMIN)
MODERATOR = pb.Speaker(user_id=2, username="mod", rank=pb.RANK_MODERATOR)
ANA = pb.Speaker(user_id=5, username="ana", address="10.0.0.5", rank=pb.RANK_USER, connection="e:1")
WORDS = rules_pb2.Rule(
    name="words",
    kind=rules_pb2.RULE_KIND_TERMS,
    patterns=["blarg"],
    action=rules_pb2.RULE_ACTION_REFUSE,
    told="Mind your words",
)


class Nats(Protocol):
    url: str


class Replica:
    def __init__(self, channel: grpc.aio.Channel, metrics: Metrics) -> None:
        self.stub = pb_grpc.ModerationServiceStub(channel)
        self._metrics = metrics

    async def save(
        self, rule: rules_pb2.Rule = WORDS, slug: str = "live", actor: pb.Speaker = ADMIN
    ) -> pb.ExecuteResponse:
        request = pb.ExecuteRequest(actor=actor, slug=slug, save_rule=pb.SaveRule(rule=rule))
        return await self.stub.Execute(request, timeout=60)

    async def say(self, *texts: str, slug: str = "live") -> list[pb.Verdict]:
        messages = [pb.MessageCheck(id=n, speaker=ANA, slug=slug, life=1, text=text) for n, text in enumerate(texts, 1)]
        async with self.stream() as (_, ask):
            return list((await ask(pb.AdmitRequest(messages=messages))).verdicts)

    @asynccontextmanager
    async def stream(
        self,
    ) -> AsyncIterator[tuple[pb.AdmitResponse, Callable[[pb.AdmitRequest], Awaitable[pb.AdmitResponse]]]]:
        call = self.stub.Admit()
        first = await call.read()
        assert isinstance(first, pb.AdmitResponse)

        async def ask(request: pb.AdmitRequest) -> pb.AdmitResponse:
            await call.write(request)
            answer = await call.read()
            assert isinstance(answer, pb.AdmitResponse)
            return answer

        yield first, ask
        call.cancel()

    def metric(self, name: str) -> float | None:
        return self._metrics.registry.get_sample_value(f"salon_moderation_{name}")


@asynccontextmanager
async def replica_on(
    url: str, folder: Path, rules_outage: Literal["allow", "refuse"] = "allow"
) -> AsyncIterator[Replica]:
    config = Config(
        port=0, database_url=f"sqlite://{folder}/m.sqlite3", nats=NatsSettings(url), rules_outage=rules_outage
    )
    metrics = Metrics(CollectorRegistry())
    async with (
        serving(config, metrics=metrics) as port,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        yield Replica(channel, metrics)


async def test_a_rule_is_saved_listed_tried_judges_and_its_hits_outlive_the_replica(
    nats_server: Nats, migrated_folder: Path
) -> None:
    async with replica_on(nats_server.url, migrated_folder) as replica:
        saved = await replica.save()
        assert (saved.outcome, saved.rule.rule.told) == (pb.ExecuteResponse.OUTCOME_DONE, "Mind your words")
        listed = await replica.stub.ListRules(pb.ListRulesRequest(actor=ADMIN, slug="live"), timeout=60)
        assert list(listed.rules) == [saved.rule]
        tried = await replica.stub.TestText(pb.TestTextRequest(actor=ADMIN, slug="live", text="BLARG"), timeout=60)
        assert (tried.decisive_rule_id, [hit.pattern for hit in tried.hits]) == (saved.rule.id, ["blarg"])
        blocked, admitted = await replica.say("blarg", "hello")
        assert (blocked.refusal, blocked.told) == (pb.Verdict.REFUSAL_BLOCKED, "Mind your words")
        assert admitted.decision == pb.Verdict.DECISION_ADMITTED
        assert (replica.metric("ruled_slugs"), replica.metric("ruled_slugs_compiled")) == (1, 1)
        active = await replica.stub.ListActive(
            pb.ListActiveRequest(slugs=["other", "live"], room_only=True, with_policies=True), timeout=60
        )
        assert (list(active.ruled_slugs), active.ruled_everywhere) == (["live"], False)
        await replica.save(slug="")
        active = await replica.stub.ListActive(pb.ListActiveRequest(with_policies=True), timeout=60)
        assert (list(active.ruled_slugs), active.ruled_everywhere) == ([], True)
        old = await replica.stub.ListActive(pb.ListActiveRequest(slugs=["live"]), timeout=60)
        assert (list(old.ruled_slugs), old.ruled_everywhere) == ([], False)
    async with replica_on(nats_server.url, migrated_folder) as replica:  # written when the first one stopped
        request = pb.ListRuleHitsRequest(actor=ADMIN, rule_id=saved.rule.id, first=9)
        (hit,) = (await replica.stub.ListRuleHits(request, timeout=60)).hits
        assert (hit.text, hit.username, hit.acted) == ("blarg", "ana", True)
        assert [verdict.refusal for verdict in await replica.say("blarg")] == [pb.Verdict.REFUSAL_BLOCKED]


async def test_what_is_refused_over_grpc(nats_server: Nats, migrated_folder: Path) -> None:
    async with replica_on(nats_server.url, migrated_folder) as replica:
        rule = rules_pb2.Rule(
            name="x", kind=rules_pb2.RULE_KIND_REGEX, action=rules_pb2.RULE_ACTION_FLAG, patterns=["("]
        )
        refused = await replica.save(rule)
        assert refused.outcome == pb.ExecuteResponse.OUTCOME_RULE_REFUSED
        assert refused.problem.startswith("(: missing )")
        assert (await replica.save(actor=MODERATOR)).outcome == pb.ExecuteResponse.OUTCOME_NOT_PERMITTED
        gone = pb.ExecuteRequest(actor=ADMIN, delete_rule=pb.DeleteRule(rule_id=7))
        assert (await replica.stub.Execute(gone, timeout=60)).outcome == pb.ExecuteResponse.OUTCOME_NOT_FOUND
        for call, status in (
            (replica.stub.ListRules(pb.ListRulesRequest(actor=MODERATOR)), grpc.StatusCode.PERMISSION_DENIED),
            (replica.stub.TestText(pb.TestTextRequest(actor=MODERATOR)), grpc.StatusCode.PERMISSION_DENIED),
            (replica.stub.TestText(pb.TestTextRequest(actor=ADMIN, text="x" * 1001)), grpc.StatusCode.INVALID_ARGUMENT),
            (replica.stub.ListRuleHits(pb.ListRuleHitsRequest(actor=ADMIN, rule_id=7)), grpc.StatusCode.NOT_FOUND),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as told:
                await call
            assert told.value.code() is status


@pytest.mark.parametrize("outage", ["allow", "refuse"])
async def test_the_setting_is_told_to_edges_and_decides_about_messages_whose_text_is_not_known(
    nats_server: Nats, migrated_folder: Path, outage: Literal["allow", "refuse"]
) -> None:
    async with replica_on(nats_server.url, migrated_folder, outage) as replica:
        async with replica.stream() as (first, _):
            assert first.limits.refuse_unjudged == (outage == "refuse")
        await replica.save()
        (verdict,) = await replica.say("")
        unjudged = pb.Verdict.DECISION_UNSPECIFIED if outage == "refuse" else pb.Verdict.DECISION_ADMITTED
        assert (verdict.decision, replica.metric("messages_unjudged")) == (unjudged, 1)
