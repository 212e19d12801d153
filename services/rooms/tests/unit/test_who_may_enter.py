"""Who comes into a private room, what was decided about one before, and by which key a person is counted."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from rooms.domain.people import ConnectionId, EdgeId, Life, Person, Rank, RoomId, Slug, UserId
from rooms.domain.rooms import Room, RoomSettings, check_quota, check_unchanged, may_enter
from rooms.errors import NotPermitted, RoomNotFound, TooManyRooms

ROOM = Room(Life(1), RoomId(2), Slug("a"), RoomSettings("A"), UserId(7), "live", datetime(2025, 11, 27, tzinfo=UTC))


@pytest.mark.parametrize(
    ("user_id", "rank", "is_invited", "may"),
    [
        (7, Rank.USER, False, True),
        (8, Rank.USER, True, True),
        (8, Rank.ADMIN, False, True),
        (8, Rank.SUPERUSER, False, True),
        (8, Rank.MODERATOR, False, False),
        (8, Rank.USER, False, False),
    ],
)
def test_the_creator_the_invited_and_admins_enter_a_private_room(
    user_id: int, rank: Rank, is_invited: bool, may: bool
) -> None:
    found = may_enter(
        user_id=UserId(user_id),
        rank=rank,
        is_public=False,
        allow_anonymous=True,
        owner=UserId(7),
        is_invited=is_invited,
    )
    assert found is may


def test_everybody_signed_in_enters_a_public_room_even_without_anonymous_people() -> None:
    assert may_enter(
        user_id=UserId(8), rank=Rank.USER, is_public=True, allow_anonymous=False, owner=None, is_invited=False
    )


def test_a_user_is_one_person_on_every_connection_and_each_anonymous_connection_is_one() -> None:
    edge = EdgeId("e" * 32)
    user, nobody = Person(UserId(7), "ana", Rank.USER), Person(None, "Anonymous_1", Rank.ANONYMOUS)
    assert [user.key(edge, ConnectionId(n)) for n in (1, 2)] == ["u:7", "u:7"]
    assert [nobody.key(edge, ConnectionId(n)) for n in (1, 2)] == [f"c:{edge}:1", f"c:{edge}:2"]


def test_what_was_decided_about_a_room_holds_as_long_as_it_is_the_same_and_has_the_same_owner() -> None:
    renamed = replace(ROOM, settings=RoomSettings("B"), life=None)
    assert check_unchanged(ROOM, renamed) is renamed
    for gone in (None, replace(ROOM, room_id=RoomId(3))):
        with pytest.raises(RoomNotFound):
            check_unchanged(ROOM, gone)
    with pytest.raises(NotPermitted):
        check_unchanged(ROOM, replace(ROOM, owner=None))


def test_no_more_rooms_are_kept_for_a_user_than_the_quota() -> None:
    check_quota(19, 20)
    with pytest.raises(TooManyRooms):
        check_quota(20, 20)
