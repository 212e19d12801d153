"""What was admitted is remembered for a time, and never too much of it."""

from ws_edge.protocol.identity import Life
from ws_edge.protocol.limits import NONCE_AGE_S, NONCES_LIMIT, AdmittedNonces


def test_a_nonce_is_known_to_its_participant_in_its_life_alone() -> None:
    nonces = AdmittedNonces()
    nonces.note("u:1", Life(1), "n", "hi", 0.0)
    assert nonces.knows("u:1", Life(1), "n", "hi", 1.0)
    assert not nonces.knows("u:2", Life(1), "n", "hi", 1.0)
    assert not nonces.knows("u:1", Life(2), "n", "hi", 1.0)
    assert not nonces.knows("u:1", Life(1), "m", "hi", 1.0)


def test_a_nonce_is_forgotten_some_time_after_it_was_noted_first() -> None:
    nonces = AdmittedNonces()
    nonces.note("u:1", Life(1), "n", "hi", 0.0)
    nonces.note("u:1", Life(1), "n", "hi", 60.0)
    assert nonces.knows("u:1", Life(1), "n", "hi", NONCE_AGE_S - 0.001)
    assert not nonces.knows("u:1", Life(1), "n", "hi", NONCE_AGE_S)
    assert len(nonces) == 0


def test_beyond_the_limit_the_oldest_nonce_is_forgotten_first() -> None:
    nonces = AdmittedNonces()
    for number in range(NONCES_LIMIT + 1):
        nonces.note("u:1", Life(1), str(number), "hi", 0.0)
    assert len(nonces) == NONCES_LIMIT
    assert [nonces.knows("u:1", Life(1), nonce, "hi", 0.0) for nonce in ("0", "1", str(NONCES_LIMIT))] == [
        False,
        True,
        True,
    ]


def test_a_nonce_with_another_text_is_another_message() -> None:
    nonces = AdmittedNonces()
    nonces.note("u:1", Life(1), "n", "hi", 0.0)
    assert not nonces.knows("u:1", Life(1), "n", "ho", 1.0)
    nonces.note("u:1", Life(1), "n", "ho", 60.0)
    assert nonces.knows("u:1", Life(1), "n", "ho", 60.0 + NONCE_AGE_S - 0.001)
    assert not nonces.knows("u:1", Life(1), "n", "hi", 60.0)
