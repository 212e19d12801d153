"""What moderation and edges take for a link: in two copies, since services share no code of theirs."""

from pathlib import Path

SERVICES = Path(__file__).resolve().parents[2] / "services"


def test_both_say_the_same() -> None:
    by_moderation = SERVICES / "moderation/src/moderation/domain/links.py"
    by_edges = SERVICES / "ws_edge/src/ws_edge/protocol/links.py"
    assert by_moderation.read_text() == by_edges.read_text()
