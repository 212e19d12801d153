"""Effects are values."""

import pytest

from ws_edge.errors import CloseCode
from ws_edge.protocol.commands import ClearRoom
from ws_edge.protocol.session import Disconnect, Moderate, Post, Reply, StartTyping, StopTyping


def test_effects_are_equal_by_value_and_by_kind() -> None:
    assert Reply(b"x") == Reply(b"x")
    assert Post("a", "") != Post("a", "n")
    assert StartTyping() != StopTyping()  # type: ignore[comparison-overlap]  # this is what is asserted
    assert Disconnect(CloseCode.POLICY_VIOLATION).code == 1008


def test_an_effect_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Post("a", "").text = "b"  # type: ignore[misc]  # this is what is asserted


def test_an_action_has_no_nonce_unless_it_is_given_one() -> None:
    assert Moderate(ClearRoom()).nonce == ""
