"""Events of the moderators' feed: whom one is about."""

import pytest
from msgspec import UNSET

from ws_edge.protocol.feed import FeedEvent
from ws_edge.protocol.identity import Slug
from ws_edge.protocol.server_frames import FeedActionData, ModerationEventData

AT = "2025-11-27T16:33:00.000Z"
AGAINST_5 = FeedActionData(
    action_id=4,
    action="resolve_report",
    moderator_user_id=8,
    moderator_role="admin",
    target_user_id=5,
    scope="room",
    reason="",
)


@pytest.mark.parametrize(
    ("kind", "details", "action", "about_5"),
    [
        ("report", {"target_user_id": 5}, UNSET, True),
        ("report", {"target_user_id": 6}, UNSET, False),
        ("report", {"target_user_id": None}, UNSET, False),
        ("report", UNSET, UNSET, False),
        ("report_resolved", {"report_id": 3}, AGAINST_5, True),
        ("report_resolved", UNSET, AGAINST_5, True),
        ("action", UNSET, AGAINST_5, False),
    ],
)
def test_a_report_is_about_its_target(kind: str, details: object, action: object, about_5: bool) -> None:
    data = ModerationEventData(event_id=1, kind=kind, timestamp=AT, action=action, details=details)  # type: ignore[arg-type]
    event = FeedEvent(Slug("s"), data)
    assert event.is_report_about(5) is about_5
    assert not event.is_report_about(None)
