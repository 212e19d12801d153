"""Who a connection belongs to."""

import re

import pytest
from msgspec.structs import replace

from ws_edge.protocol.identity import AnonymousNames, Identity, Rank, Speaker, UserId, target_routing_key

ANA = Identity(UserId(7), "ana", "ana@example.org", ("user",), Rank.USER, 1_764_261_000.0)
NOBODY = Identity(None, "Anonymous_192.0.2.7", None, (), Rank.ANONYMOUS, None)


def test_ranks_are_ordered_as_the_contract_says_whatever_their_numbers() -> None:
    order = [Rank.ANONYMOUS, Rank.USER, Rank.MODERATOR, Rank.OWNER, Rank.ADMIN, Rank.SUPERUSER]
    assert sorted(Rank) == order
    assert [int(rank) for rank in order] == [1, 2, 3, 6, 4, 5]
    assert (Rank.OWNER > Rank.MODERATOR, Rank.OWNER < Rank.ADMIN) == (True, True)
    assert (Rank.OWNER >= Rank.OWNER, Rank.OWNER <= Rank.OWNER, Rank.OWNER >= Rank.ADMIN) == (True, True, False)


def test_the_rank_in_a_room_is_the_higher_one_of_token_and_room() -> None:
    owner = ANA.in_room("owner", Rank.OWNER)
    assert (owner.rank, owner.token_rank, owner.role, owner.roles_here) == (
        Rank.OWNER,
        Rank.USER,
        "owner",
        ("user", "owner"),
    )
    assert owner.in_room("moderator", Rank.MODERATOR).rank is Rank.MODERATOR
    assert owner.in_room(None, None) == ANA
    admin = replace(ANA, rank=Rank.ADMIN, roles=("admin",)).in_room("moderator", Rank.MODERATOR)
    assert (admin.rank, admin.token_rank, admin.role, admin.roles_here) == (
        Rank.ADMIN,
        None,
        "admin",
        ("admin", "moderator"),
    )
    assert admin.in_room("moderator", Rank.MODERATOR) is admin


def test_since_when_the_room_is_its_owners_bounds_a_rank_that_the_room_gives_alone() -> None:
    owner = ANA.in_room("owner", Rank.OWNER, 1_000)
    assert owner.owned_since_ms == 1_000
    assert owner.in_room("owner", Rank.OWNER, 1_000) is owner
    assert owner.in_room("owner", Rank.OWNER, 2_000).owned_since_ms == 2_000
    assert owner.in_room(None, None) == ANA
    staff = replace(ANA, rank=Rank.MODERATOR)
    assert staff.in_room("moderator", Rank.MODERATOR, 1_000).owned_since_ms == 0
    assert staff.in_room("owner", Rank.OWNER, 1_000).owned_since_ms == 1_000


def test_a_vip_ranks_as_a_user_and_is_shown_as_one_where_nothing_ranks_higher() -> None:
    vip = ANA.in_room("vip", Rank.USER)
    assert (vip.rank, vip.token_rank, vip.is_vip, vip.role, vip.roles_here) == (
        Rank.USER,
        None,
        True,
        "vip",
        ("user", "vip"),
    )
    assert replace(ANA, rank=Rank.MODERATOR).in_room("vip", Rank.USER).role == "moderator"
    assert (ANA.is_vip, ANA.role, NOBODY.role) == (False, "user", None)


def test_a_user_is_one_participant_on_all_connections() -> None:
    assert Speaker(ANA, "192.0.2.7", "e1:1").key == Speaker(ANA, "192.0.2.8", "e2:5").key == "u:7"


def test_each_anonymous_connection_is_a_participant_of_its_own() -> None:
    assert Speaker(NOBODY, "192.0.2.7", "e1:1").key == "c:e1:1"
    assert Speaker(NOBODY, "192.0.2.7", "e1:2").key == "c:e1:2"


def test_where_a_name_hides_the_address_the_home_goes_by_the_name() -> None:
    hidden = Identity(None, "Anonymous_5f3c9a7700112233", None, (), Rank.ANONYMOUS, None)
    shown = Identity(None, "Anonymous_2001:db8:1:2:3::4", None, (), Rank.ANONYMOUS, None)
    assert Speaker(hidden, "192.0.2.7", "e1:1").routing_key == "Anonymous_5f3c9a7700112233"
    assert Speaker(shown, "2001:db8:1:2::/64", "e1:1").routing_key == "a:2001:db8:1:2::/64"


def test_a_window_has_one_home_by_user_or_by_address() -> None:
    assert Speaker(ANA, "192.0.2.7", "e1:1").routing_key == "u:7"
    first, second = Speaker(NOBODY, "192.0.2.7", "e1:1"), Speaker(NOBODY, "192.0.2.7", "e2:9")
    assert first.routing_key == second.routing_key == "a:192.0.2.7"


@pytest.mark.parametrize(
    ("user_id", "username", "key"),
    [
        (7, None, "u:7"),
        (None, "Anonymous_192.168.1.10", "a:192.168.1.10"),
        (None, "Anonymous_2001:db8:1:2:3::4", "a:2001:db8:1:2::/64"),
        (None, "Anonymous_2001:db8:1:2::/64", "a:2001:db8:1:2::/64"),
        (None, "Anonymous_::ffff:192.0.2.7", "a:192.0.2.7"),
        (None, "Anonymous_5f3c9a", "Anonymous_5f3c9a"),
        (None, "somebody", "somebody"),
        (None, None, ""),
    ],
)
def test_an_action_goes_to_the_home_of_its_target(user_id: int | None, username: str | None, key: str) -> None:
    assert target_routing_key(None if user_id is None else UserId(user_id), username) == key


@pytest.mark.parametrize("name", ["Anonymous_10.0.0.1", "Anonymous_2001:db8:1:2:3::4", "Anonymous_5f3c9a7700112233"])
def test_what_an_anonymous_person_says_is_judged_where_actions_on_their_name_are_carried_out(name: str) -> None:
    anonymous = Identity(None, name, None, (), Rank.ANONYMOUS, None)
    for address in ("10.0.0.1", "2001:db8:1:2::/64"):
        if "_5" in name or (":" in name) == (":" in address):
            assert Speaker(anonymous, address, "e:1").routing_key == target_routing_key(None, name)


def test_who_has_no_token_is_named_after_their_address() -> None:
    assert AnonymousNames(None).identity("192.0.2.7") == NOBODY


def test_a_hashed_name_hides_the_address_and_is_the_same_for_its_64_network_alone() -> None:
    names, others = AnonymousNames("key"), AnonymousNames("another key")
    assert re.fullmatch(r"Anonymous_[0-9a-f]{16}", names.name("192.0.2.7"))
    assert names.name("2001:db8::1") == names.name("2001:db8::2") != names.name("2001:db8:0:1::1")
    assert len({names.name("192.0.2.7"), names.name("192.0.2.8"), others.name("192.0.2.7")}) == 3
