"""Events are published once; who acts waits until the server has them, and not for a server that is away."""

from collections.abc import Callable

import pytest
import structlog
from nats.errors import ConnectionClosedError

from chassis.nats_connection import NatsSettings
from moderation.adapters.nats import FEED_SUBJECT, ROLES_SUBJECT, SUBJECT, TOKENS_SUBJECT, WARNINGS_SUBJECT, NatsEvents
from moderation.domain.feed import FeedHead
from moderation.domain.people import Rank, Target
from moderation.domain.revocations import Revocation
from moderation.domain.roles import RoomRoles
from moderation.domain.sanctions import Action, SanctionEvent, Scope
from moderation.domain.warnings import RoomWarning, WarningState

EVENT = SanctionEvent(7, Action.UNMUTE, Target(5, ""), 1, 0, Scope.ROOM, "live", 0)


class FakeConnection:
    """In place of NatsConnection: what was done with it, in turn."""

    def __init__(self, *, is_connected: bool = True, failure: Exception | None = None) -> None:
        self.is_connected = is_connected
        self.done: list[object] = []
        self._failure = failure

    @property
    def client(self) -> "FakeConnection":
        return self

    async def publish(self, subject: str, payload: bytes, *, headers: dict[str, str] | None) -> None:
        self.done.append((subject, payload))
        if self._failure is not None:
            raise self._failure

    async def confirm(self) -> None:
        self.done.append("confirmed")


@pytest.fixture
def over() -> Callable[[FakeConnection], NatsEvents]:
    """NatsEvents over such a connection."""

    def made(connection: FakeConnection) -> NatsEvents:
        events = NatsEvents(
            NatsSettings().access,
            encode=lambda event: str(event.event_id).encode(),
            encode_warnings=lambda changed: b",".join(str(each.id).encode() for each in changed),
            encode_roles=lambda roles: f"{roles.slug} {roles.version}".encode(),
            encode_revocation=lambda revocation: revocation.jti.encode(),
            encode_feed=lambda heads: b",".join(head.slug.encode() for head in heads),
            encode_holds=lambda changed: b",".join(str(each.id).encode() for each in changed),
            decode=lambda _: EVENT,
            received=lambda _: None,
            restored=lambda: None,
        )
        events.connection = connection  # type: ignore[assignment] # all that is used of it
        return events

    return made


async def test_an_event_is_published_and_then_confirmed(over: Callable[[FakeConnection], NatsEvents]) -> None:
    connection = FakeConnection()
    await over(connection).publish(EVENT)
    assert connection.done == [(SUBJECT, b"7"), "confirmed"]


async def test_so_are_warnings_and_none_are_not(over: Callable[[FakeConnection], NatsEvents]) -> None:
    connection = FakeConnection()
    ana = Target(5, "")
    issued = [RoomWarning(n, "live", ana, "x", 9, Rank.ADMIN, 0, WarningState.ISSUED, n) for n in (8, 9)]
    await over(connection).publish_warnings(issued)
    await over(connection).publish_warnings([])
    assert connection.done == [(WARNINGS_SUBJECT, b"8,9"), "confirmed"]


async def test_the_roles_of_a_room_are_published_on_a_subject_of_their_own(
    over: Callable[[FakeConnection], NatsEvents],
) -> None:
    connection = FakeConnection()
    await over(connection).publish_roles(RoomRoles("live", 12, 5, ()))
    assert connection.done == [(ROLES_SUBJECT, b"live 12"), "confirmed"]


async def test_so_is_how_far_the_moderators_feeds_have_come(over: Callable[[FakeConnection], NatsEvents]) -> None:
    connection = FakeConnection()
    await over(connection).publish_feed([FeedHead("live", 4), FeedHead("other", 5)])
    assert connection.done == [(FEED_SUBJECT, b"live,other"), "confirmed"]


@pytest.mark.parametrize(
    ("connection", "problem"),
    [
        (FakeConnection(is_connected=False), "not connected"),
        (FakeConnection(failure=ConnectionClosedError()), "ConnectionClosedError"),
        (FakeConnection(failure=RuntimeError("unable to perform operation; the handler is closed")), "RuntimeError"),
    ],
    ids=["away", "closed", "closing"],
)
async def test_an_event_that_nats_may_not_have_is_said_in_the_log_and_stops_nothing(
    over: Callable[[FakeConnection], NatsEvents], connection: FakeConnection, problem: str
) -> None:
    with structlog.testing.capture_logs() as logs:
        await over(connection).publish(EVENT)
    assert "confirmed" not in connection.done
    assert [(line["event"], line["event_id"], line["problem"]) for line in logs] == [
        ("event_not_confirmed", 7, problem)
    ]


async def test_a_revoked_token_is_published_for_edges(over: Callable[[FakeConnection], NatsEvents]) -> None:
    connection = FakeConnection()
    await over(connection).publish_revocation(Revocation(0, "a", 0, 5_000, 3))
    assert connection.done == [(TOKENS_SUBJECT, b"a"), "confirmed"]
