"""Who may enter, and who may manage."""

from datetime import UTC, datetime

import pytest

from rooms.domain.people import Life, Rank, RoomId, Slug, UserId, Viewer
from rooms.domain.rooms import AutoCreate, Room, RoomPolicy, RoomSettings, SettingsChange, may_enter, may_manage

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("is_public", "allow", "may"), [(True, True, True), (True, False, False), (False, True, False)]
)
def test_anonymous_users_enter_public_rooms_that_allow_them(is_public: bool, allow: bool, may: bool) -> None:
    found = may_enter(
        user_id=None, rank=Rank.ANONYMOUS, is_public=is_public, allow_anonymous=allow, owner=None, is_invited=False
    )
    assert found is may


@pytest.mark.parametrize(
    ("user_id", "rank", "may"),
    [(7, Rank.USER, True), (8, Rank.USER, False), (8, Rank.MODERATOR, False), (8, Rank.ADMIN, True)],
)
def test_the_creator_and_admins_manage_a_room(user_id: int, rank: Rank, may: bool) -> None:
    room = Room(Life(1), RoomId(1), Slug("a"), RoomSettings("a"), UserId(7), "live", NOW)
    assert may_manage(Viewer(UserId(user_id), "x", rank), room) is may


def test_user_1_manages_no_auto_created_room() -> None:
    room = Room(Life(1), RoomId(1), Slug("a"), RoomSettings("a"), None, "live", NOW)
    assert room.created_by == 1
    assert not may_manage(Viewer(UserId(1), "x", Rank.USER), room)


def test_a_change_leaves_what_it_does_not_name_and_may_remove_the_description() -> None:
    before = RoomSettings("a", "text", True, True)
    assert SettingsChange(is_public=False).apply(before) == RoomSettings("a", "text", False, True)
    assert SettingsChange(description=None).apply(before) == RoomSettings("a", None, True, True)


@pytest.mark.parametrize(
    ("mode", "slug", "kept", "may"),
    [("any", "5", False, True), ("slugs", "a", False, True), ("slugs", "5", False, False), ("slugs", "5", True, True),
     ("never", "a", False, False), ("never", "a", True, True), ("never", "video-5", False, True)],
)  # fmt: skip
def test_auto_create_restricts_neither_videos_nor_kept_settings(mode: str, slug: str, kept: bool, may: bool) -> None:
    assert RoomPolicy(auto_create=AutoCreate(mode)).may_create(Slug(slug), has_kept_settings=kept) is may
