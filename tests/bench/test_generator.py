"""The load generator against a server that writes several messages into one frame."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from loadtests.bench import generator
from loadtests.bench.generator import Load
from loadtests.bench.measuring import Bench, flaw_of
from loadtests.bench.processes import Processes, listens
from loadtests.bench.systems import PRESENCE_LIMIT, Running, Wire
from tools.ports import held_port

SERVER = Path(__file__).with_name("support") / "line_server.py"
WIRE = Wire(
    path="/",
    frame='{"publish":{"data":{"message":"%m","from":%d}}}',
    hello='{"connect":{"token":"%k"}}\n{"subscribe":{"channel":"room:%g"}}',
    ack='"subscribe":{',
    ping="{}",
    pong="{}",
)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    processes = Processes(tmp_path)
    try:
        port = held_port()
        pid = processes.start("server", [sys.executable, str(SERVER), str(port)])
        processes.wait_until(lambda: listens(port), "server")
        yield Running(port, WIRE, {"server": (pid,)}, processes, processes.stop_all)
    finally:
        processes.stop_all()


def test_every_line_of_a_frame_is_a_message_of_its_own(bench: Bench, running: Running) -> None:
    load = Load(12, groups=3, senders=12, rate=400, send_s=0.5, settle_s=0.1)
    phases = generator.run(bench.program, running, load, bench.tokens)
    assert flaw_of(phases["join"], phases["send"], 12) == ""
    assert (phases["send"]["sent"], phases["send"]["deliveries"]) == (200, 800)


def test_what_senders_send_first_is_heard_and_not_counted(bench: Bench, running: Running) -> None:
    load = Load(12, groups=3, senders=12, rate=400, send_s=0.5, settle_s=0.1)
    phases = {
        warm: generator.run(bench.program, running, replace(load, warm=warm), bench.tokens) for warm in (0.0, 1000.0)
    }
    for each in phases.values():
        assert flaw_of(each["join"], each["send"], 12) == ""
        assert (each["send"]["sent"], each["send"]["deliveries"]) == (200, 800)


def test_memory_is_read_again_after_members_were_still(bench: Bench, running: Running) -> None:
    load = Load(6, groups=2, settle_s=0, still_s=0.3)
    joined = generator.run(bench.program, running, load, bench.tokens)["join"]
    assert joined["idle_s"] >= 0.3
    assert joined["still_kib"]["server"] >= joined["empty_kib"]["server"] > 0


def test_members_say_hello_with_their_own_room_and_answer_pings(bench: Bench, running: Running) -> None:
    joined = generator.run(bench.program, running, Load(6, groups=2, settle_s=0), bench.tokens)["join"]
    assert (joined["joined"], joined["refused"], joined["lost"]) == (6, 0, 0)


def test_crowded_rooms_may_be_spoken_to_in_another_way() -> None:
    crowded = Wire(path="/crowded")
    running = Running(1, WIRE, {}, Processes(Path()), lambda: None, crowded=crowded)

    def path_of(load: Load) -> str:
        arguments = list(generator.arguments(running, load, Path("tokens")))
        return arguments[arguments.index("--path") + 1]

    assert path_of(Load(PRESENCE_LIMIT)) == "/"
    assert path_of(Load(PRESENCE_LIMIT + 1)) == "/crowded"
    assert path_of(Load(PRESENCE_LIMIT * 4, groups=4)) == "/"
