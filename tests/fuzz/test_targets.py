"""Whatever comes in, one of the documented outcomes comes out: on generated input that is nearly right, the same in
every run, and on what was found before."""

import json
from collections.abc import Mapping

import pytest
from fuzz_strategies import COMPRESSED, CONVERSATIONS, JSON, TOKENS, UPGRADES, payloads
from fuzz_targets import CORPUS, READERS, TARGETS, read_protobuf
from hypothesis import HealthCheck, given, settings, strategies as st

PROOF = settings(deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
_frames = st.builds(
    lambda type_, data: json.dumps({"type": type_, "data": data}).encode(),
    st.sampled_from(["chat_message", "moderation_action", "history", "ping", "typing_start", "authenticate"]) | JSON,
    st.dictionaries(
        st.sampled_from(["message", "nonce", "reply_to", "action", "target_user_id", "before", "limit", "token"]), JSON
    ),
)
NEARLY_RIGHT: Mapping[str, st.SearchStrategy[bytes]] = {
    "classifier": st.dictionaries(st.sampled_from(["verdict", "reason"]), JSON).map(
        lambda told: json.dumps(told).encode()
    ),
    "compression": COMPRESSED,
    "frame": _frames,
    "handshake": UPGRADES,
    "reference": st.text(max_size=140).map(str.encode),
    "resume": st.lists(JSON, min_size=4, max_size=6).map(lambda values: json.dumps(values).encode()),
    "token": TOKENS,
    "websocket": CONVERSATIONS,
}
"""Protobufs have a test of their own below."""
FILES = sorted(path for path in CORPUS.rglob("*") if path.is_file())
"""Examples, what was a fault, and as `reached-…` input by which fuzzing came to code that nothing else had reached."""


@pytest.mark.parametrize("name", NEARLY_RIGHT)
def test_what_is_nearly_right_ends_in_a_documented_outcome(name: str) -> None:
    @given(NEARLY_RIGHT[name])
    @settings(PROOF, max_examples=150)
    def check(data: bytes) -> None:
        TARGETS[name](data)

    check()


@pytest.mark.parametrize("name", TARGETS)
def test_any_bytes_end_in_a_documented_outcome(name: str) -> None:
    @given(st.binary(max_size=300))
    @settings(PROOF, max_examples=100)
    def check(data: bytes) -> None:
        TARGETS[name](data)

    check()


@pytest.mark.parametrize("name", READERS)
def test_a_protobuf_of_another_version_is_read_or_refused(name: str) -> None:
    @given(payloads(READERS[name][0].DESCRIPTOR))
    @settings(PROOF, max_examples=60)
    def check(payload: bytes) -> None:
        read_protobuf(name, payload)

    check()


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_was_found_before_ends_in_a_documented_outcome(path: object) -> None:
    assert hasattr(path, "read_bytes")
    TARGETS[path.parent.name](path.read_bytes())  # type: ignore[attr-defined]


def test_every_target_has_a_corpus() -> None:
    assert {path.parent.name for path in FILES} == set(TARGETS)
