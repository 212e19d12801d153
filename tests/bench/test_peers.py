"""The servers that Salon is compared with: where they come from, and that they do what is measured."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtests.bench import installs, measuring
from loadtests.bench.generator import Load
from loadtests.bench.installs import NotInstalled
from loadtests.bench.measuring import Bench
from loadtests.bench.peers import PEERS
from loadtests.bench.systems import PRESENCE_LIMIT, System

BUILT_WITHIN_S = 200
"""A test may take 300. What Go has compiled until then it does not compile again."""
CENTRIFUGO = [name for name in PEERS if name.startswith("Centrifugo")]


@pytest.fixture
def no_go(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    found = (installs.go, installs.centrifugo, installs.gathering_server)
    for once in found:
        once.cache_clear()
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(installs, "GO_FOLDER", str(tmp_path))
    yield
    for once in found:
        once.cache_clear()


@pytest.mark.parametrize("name", CENTRIFUGO)
@pytest.mark.usefixtures("no_go")
def test_a_machine_without_go_is_told_what_is_missing(name: str) -> None:
    with pytest.raises(NotInstalled, match=r"^go is missing$"):
        PEERS[name]()


def test_an_installation_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hanging = tmp_path / "npm"
    hanging.write_text("#!/bin/sh\nexec sleep 60\n")
    hanging.chmod(0o755)
    (tmp_path / "node").symlink_to(hanging)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(installs, "WITHIN_S", 0.2)
    installs.node_modules.cache_clear()
    with pytest.raises(NotInstalled, match=r"^npm ci was not done within 0\.2 s$"):
        installs.node_modules()


@pytest.fixture(params=CENTRIFUGO)
def centrifugo(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> System:
    monkeypatch.setattr(installs, "WITHIN_S", BUILT_WITHIN_S)
    try:
        return PEERS[request.param]()
    except NotInstalled as reason:
        pytest.skip(f"Centrifugo cannot be had here: {reason}")


@pytest.mark.slow
@pytest.mark.parametrize("members", [200, PRESENCE_LIMIT + 100])
def test_members_of_centrifugo_hear_everything_once(
    bench: Bench, centrifugo: System, tmp_path: Path, members: int
) -> None:
    running = centrifugo.start(tmp_path)
    try:
        load = Load(members, senders=10, rate=50, send_s=1, settle_s=0.2)
        figures, flaw = measuring.fan_out(bench, running, centrifugo, load)
    finally:
        running.stop()
    assert flaw == ""
    assert figures["deliveries_per_s"] > members
    assert 250 < figures["frame_bytes"] < 450


@pytest.mark.slow
def test_centrifugo_confirms_each_join_in_small_rooms(bench: Bench, centrifugo: System, tmp_path: Path) -> None:
    running = centrifugo.start(tmp_path)
    try:
        figures, flaw = measuring.joins(bench, running, Load(400, groups=200, settle_s=0.2))
    finally:
        running.stop()
    assert flaw == ""
    assert figures["joins_per_s"] > 0
