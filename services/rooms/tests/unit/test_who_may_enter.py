"""Who comes into a private room, and by which key a person is counted."""

import pytest

from rooms.domain.people import ConnectionId, EdgeId, Person, Rank, UserId
from rooms.domain.rooms import may_enter


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
