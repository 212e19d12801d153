"""python -m tools.admission_bench: how long a verdict takes in a room without rules and in one with many.

One real moderation process, with NATS and SQLite, is asked for 2,000 verdicts a second of 20,000 speakers over one
stream, in the batches of an edge: what comes within 4 ms. Stretches of the rows take turns, so that whatever else the
machine does meets all of them. The rules are 1,000 terms and ten expressions, the texts those in which people chat, all
as in tools.rules_bench. Printed are milliseconds from request to answer, and CPU of moderation a message.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import statistics
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from collections import defaultdict
from pathlib import Path
from typing import TypeAlias

import grpc
import grpc.aio

from salon.moderation.v1 import moderation_pb2 as pb, moderation_pb2_grpc as pb_grpc, rules_pb2
from tools.ports import held_port
from tools.rules_bench import CHATTING, EXPRESSIONS, messages, terms

BATCH_MS = 4
BATCH = 8
SPEAKERS = 20_000
STRETCH_S = 2.0
STRETCHES = 12
"""Of each row; the first one is not counted."""
RULED = "ruled"
Call: TypeAlias = "grpc.aio.StreamStreamCall[pb.AdmitRequest, pb.AdmitResponse]"
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


async def started(folder: Path, nats_port: int) -> tuple[Process, int]:
    """Moderation, and its port."""
    settings = {
        "MODERATION_PORT": "0",
        "MODERATION_DATABASE_URL": f"sqlite://{folder}/moderation.sqlite3",
        "NATS_URL": f"nats://127.0.0.1:{nats_port}",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "moderation", env={**os.environ, **settings}, stdout=PIPE
    )
    assert process.stdout is not None
    while line := await process.stdout.readline():
        if (entry := json.loads(line))["event"] == "serving":
            return process, int(entry["port"])
    raise SystemExit("moderation ended")


async def save_rules(stub: pb_grpc.ModerationServiceAsyncStub) -> None:
    """For the one room."""
    admin = pb.Speaker(user_id=1, username="admin", rank=pb.RANK_ADMIN)
    hold = rules_pb2.RULE_ACTION_HOLD
    for rule in (
        rules_pb2.Rule(name="terms", kind=rules_pb2.RULE_KIND_TERMS, action=hold, patterns=terms()),
        rules_pb2.Rule(name="expressions", kind=rules_pb2.RULE_KIND_REGEX, action=hold, patterns=EXPRESSIONS),
    ):
        request = pb.ExecuteRequest(actor=admin, slug=RULED, save_rule=pb.SaveRule(rule=rule))
        answer = await stub.Execute(request, timeout=60)
        if answer.outcome != pb.ExecuteResponse.OUTCOME_DONE:
            raise SystemExit(f"the rule was refused: {answer}")


def cpu_s(process: Process) -> float:
    """What it has used until now."""
    fields = Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii").rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


class Asking:
    """One stream to moderation, and what was measured of it by row."""

    def __init__(self, process: Process, call: Call) -> None:
        self._process = process
        self._call = call
        self._numbers = iter(range(1, sys.maxsize))
        self.took_ms: dict[str, list[float]] = defaultdict(list)
        self.cpu_us: dict[str, list[float]] = defaultdict(list)

    async def stretch(self, row: str, slug: str, texts: list[str]) -> None:
        """Ask in that room for STRETCH_S."""
        requests = [self._batch(slug, texts) for _ in range(round(STRETCH_S * 1000 / BATCH_MS))]
        sent_s: list[float] = []
        reading = asyncio.create_task(self._answers(sent_s, len(requests)))
        before_s, began_s = cpu_s(self._process), time.perf_counter()
        for position, request in enumerate(requests):
            await asyncio.sleep(max(0.0, began_s + position * BATCH_MS / 1000 - time.perf_counter()))
            sent_s.append(time.perf_counter())
            await self._call.write(request)
        self.took_ms[row] += await reading
        self.cpu_us[row].append((cpu_s(self._process) - before_s) / (len(requests) * BATCH) * 1e6)

    def forget(self) -> None:
        """What was measured so far."""
        self.took_ms.clear()
        self.cpu_us.clear()

    def _batch(self, slug: str, texts: list[str]) -> pb.AdmitRequest:
        return pb.AdmitRequest(messages=[self._check(slug, texts, next(self._numbers)) for _ in range(BATCH)])

    def _check(self, slug: str, texts: list[str], number: int) -> pb.MessageCheck:
        who = number % SPEAKERS + 1
        speaker = pb.Speaker(user_id=who, username=f"u{who}", address="10.0.0.1", rank=pb.RANK_USER)
        return pb.MessageCheck(id=number, speaker=speaker, slug=slug, life=1, text=texts[number % len(texts)])

    async def _answers(self, sent_s: list[float], count: int) -> list[float]:
        took = []
        for position in range(count):
            await self._call.read()
            took.append((time.perf_counter() - sent_s[position]) * 1000)
        return took


async def measure(process: Process, stub: pb_grpc.ModerationServiceAsyncStub) -> None:
    """Print a line for each kind of room and texts."""
    rows = {
        "no rules": ("free", messages(CHATTING)),
        "rules, English": (RULED, messages(CHATTING, "en")),
        "rules, ten languages": (RULED, messages(CHATTING)),
    }
    call = stub.Admit()
    await call.read()  # the limits
    asking = Asking(process, call)
    for number in range(STRETCHES + 1):
        for row, (slug, texts) in rows.items():
            await asking.stretch(row, slug, texts)
        if not number:
            asking.forget()
    call.cancel()
    for row, took_ms in asking.took_ms.items():
        cuts = statistics.quantiles(took_ms, n=1000)
        print(
            f"{row:<22} p50 {cuts[499]:.2f}  p99 {cuts[989]:.2f}  p99.9 {cuts[998]:.2f} ms;"
            f"  CPU {statistics.median(asking.cpu_us[row]):.0f} µs a message"
        )


async def main() -> None:
    """Start what is measured, and stop it."""
    random.seed(1)  # the terms and the texts
    nats_port = held_port()
    with tempfile.TemporaryDirectory() as folder:
        nats = await asyncio.create_subprocess_exec(
            "nats-server", "-a", "127.0.0.1", "-p", str(nats_port), "-js", "-sd", folder, stderr=PIPE
        )
        moderation = None
        try:
            moderation, port = await started(Path(folder), nats_port)
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                stub: pb_grpc.ModerationServiceAsyncStub = pb_grpc.ModerationServiceStub(channel)
                await save_rules(stub)
                await measure(moderation, stub)
        finally:
            for process in (moderation, nats):
                if process is not None:
                    process.terminate()
                    await process.communicate()


if __name__ == "__main__":
    asyncio.run(main())
