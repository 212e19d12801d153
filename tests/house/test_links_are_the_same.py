"""What moderation and edges take for a link, and for the same text: in two copies, since services share no code of
theirs."""

from pathlib import Path

import pytest

SERVICES = Path(__file__).resolve().parents[2] / "services"


@pytest.mark.parametrize("module", ["links.py", "same_text.py"])
def test_both_say_the_same(module: str) -> None:
    by_moderation = SERVICES / "moderation/src/moderation/domain" / module
    by_edges = SERVICES / "ws_edge/src/ws_edge/protocol" / module
    assert by_moderation.read_text() == by_edges.read_text()
