"""The indexes of the registry find what looking at every connection would."""

from dataclasses import dataclass

from edge_world import NeverWarned
from hypothesis import given, settings, strategies as st

from ws_edge.chat.registry import ConnectionRegistry
from ws_edge.errors import CloseCode, ErrorCode
from ws_edge.protocol.identity import ConnectionId, Identity, Life, Rank, RoomId, Slug, Speaker, UserId
from ws_edge.protocol.rooms import Membership
from ws_edge.protocol.sanctions import Action, Sanction, SanctionEvent, Scope
from ws_edge.room.room import Room


@dataclass(eq=False)
class Somebody(NeverWarned):
    """An occupant that only stands in the indexes."""

    id: ConnectionId
    speaker: Speaker
    slug: Slug | None = None
    membership: Membership | None = None
    room: Room | None = None

    def settle_rank(self) -> None: ...

    def stop_typing(self) -> None: ...

    def write(self, frames: bytes) -> None: ...

    def unsent_bytes(self) -> int:
        return 0

    def close_slow_consumer(self) -> None: ...

    def give_way(self) -> None: ...

    def end(self, code: CloseCode, error: ErrorCode | None = None) -> None: ...


ADDRESSES = ["192.0.2.1", "192.0.2.2"]
_speakers = st.one_of(
    st.builds(
        lambda user_id, name, address: Speaker(
            Identity(UserId(user_id), name, None, (), Rank.USER, None), address, "e:1"
        ),
        st.integers(1, 3),
        st.sampled_from(["Anonymous_1", "Anonymous_2"]),
        st.sampled_from(ADDRESSES),
    ),
    st.builds(
        lambda name, address: Speaker(Identity(None, name, None, (), Rank.ANONYMOUS, None), address, "e:1"),
        st.sampled_from(["Anonymous_1", "Anonymous_2"]),
        st.sampled_from(ADDRESSES),
    ),
)
_steps = st.lists(st.tuples(_speakers, st.integers(0, 3), st.booleans()), max_size=25)


def event(user_id: int | None, name: str | None, addresses: frozenset[str]) -> SanctionEvent:
    target = None if user_id is None else UserId(user_id)
    ban = Sanction(1, Action.BAN, target, name, addresses, None, Rank.ADMIN, None)
    return SanctionEvent(1, Action.BAN, target, name, UserId(9), 0, Scope.EVERYWHERE, None, 0, (ban,))


@given(_steps)
@settings(deadline=None)
def test_the_indexes_find_what_looking_at_everybody_finds(steps: list[tuple[Speaker, int, bool]]) -> None:
    registry, here = ConnectionRegistry(), list[Somebody]()
    for number, (speaker, life, is_leaving) in enumerate(steps, start=1):
        one = Somebody(ConnectionId(number), speaker, Slug(f"s{life}"))
        registry.add(one)
        here.append(one)
        if life:
            one.membership = Membership(RoomId(life), Life(life), Slug(f"s{life}"), 1, 1, crowded=False)
            registry.note_membership(one)
        if is_leaving:
            gone = here.pop(number % len(here))
            registry.discard(gone)
            registry.discard(gone)
    assert (list(registry), len(registry)) == (here, len(here))
    assert registry.member_count == sum(one.membership is not None for one in here)
    for life in range(1, 4):
        assert registry.of_life(Life(life)) == [one for one in here if one.membership and one.membership.life == life]
    for user_id, name in ((1, None), (3, None), (None, "Anonymous_1"), (None, "Anonymous_3"), (None, None)):
        for addresses in (frozenset[str](), frozenset(ADDRESSES[:1])):
            meant = [
                one
                for one in here
                if _is_meant(one.speaker, user_id, name)
                or (one.speaker.identity.user_id is None and one.speaker.address in addresses)
            ]
            assert sorted(one.id for one in registry.within_reach(event(user_id, name, addresses))) == sorted(
                one.id for one in meant
            )
        ranks = [one.speaker.identity.rank for one in here if _is_meant(one.speaker, user_id, name)]
        target = None if user_id is None else UserId(user_id)
        assert registry.connected_rank(target, name, None) == max(ranks, default=None)
        there = [one.speaker.identity.rank for one in here if _is_meant(one.speaker, user_id, name) if one.slug == "s1"]
        assert registry.connected_rank(target, name, Slug("s1")) == max(there, default=None)


def _is_meant(speaker: Speaker, user_id: int | None, name: str | None) -> bool:
    identity = speaker.identity
    if user_id is not None:
        return identity.user_id == user_id
    return identity.user_id is None and identity.username == name
