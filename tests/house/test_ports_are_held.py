"""Ports that must be known before their server starts belong to one process, and no outgoing connection gets them."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tools import ports
from tools.ports import held_ports

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import sys
from tools.ports import held_ports
print(*held_ports(60), flush=True)
sys.stdin.read()
"""


def test_processes_that_run_at_the_same_time_hold_other_ports() -> None:
    command = [sys.executable, "-c", PROGRAM]
    started = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    found = [held_ports(60)]
    for process in started:
        assert process.stdout is not None
        found.append([int(port) for port in process.stdout.readline().split()])
    for process in started:
        process.communicate()
    assert len({port for each in found for port in each}) == 4 * 60


def test_what_a_process_held_is_to_be_had_again_when_it_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    program = "from tools.ports import _claimed_block; print(_claimed_block())"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    block = int(done.stdout)
    monkeypatch.setattr("random.sample", lambda *_: [block])
    assert ports._claimed_block() == block
    with pytest.raises(OSError, match="every block of ports is taken"):
        ports._claimed_block()


def test_a_port_that_somebody_listens_on_is_passed_over() -> None:
    found = ports._held_ports()
    before = next(found)
    with socket.create_server(("127.0.0.1", before + 1)):
        assert next(found) > before + 1


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the ports that it chooses from")
def test_no_held_port_is_one_that_the_system_chooses() -> None:
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    if first < 32_000:
        pytest.skip(f"this machine was told to choose ports from {first} on")
    assert not [port for port in held_ports(60) if first <= port <= last]
