"""Events on NATS: of sanctions for every edge and every other replica, of warnings, held messages, the roles of rooms,
revoked tokens and the moderators' feed for every edge."""

import asyncio
from collections.abc import Callable, Sequence

import structlog
from nats.aio.msg import Msg

from chassis.nats_connection import NATS_TROUBLES, NatsAccess, NatsConnection
from chassis.traces import TRACE_HEADER, hold_trace, read_trace, trace_headers
from moderation.domain.feed import FeedHead
from moderation.domain.holds import Hold
from moderation.domain.revocations import Revocation
from moderation.domain.roles import RoomRoles
from moderation.domain.sanctions import SanctionEvent
from moderation.domain.warnings import RoomWarning

SUBJECT = "salon.v1.moderation.sanction"
WARNINGS_SUBJECT = "salon.v1.moderation.warning"
ROLES_SUBJECT = "salon.v1.moderation.roles"
TOKENS_SUBJECT = "salon.v1.moderation.tokens"
FEED_SUBJECT = "salon.v1.moderation.feed"
HOLDS_SUBJECT = "salon.v1.moderation.hold"
_PUBLISH_DEADLINE_S = 1.0

_log = structlog.get_logger()


class NatsEvents:
    """The port Events. run connects and stays connected; NATS being away stops nothing."""

    def __init__(
        self,
        access: NatsAccess,
        *,
        encode: Callable[[SanctionEvent], bytes],
        encode_warnings: Callable[[Sequence[RoomWarning]], bytes],
        encode_roles: Callable[[RoomRoles], bytes],
        encode_revocation: Callable[[Revocation], bytes],
        encode_feed: Callable[[Sequence[FeedHead]], bytes],
        encode_holds: Callable[[Sequence[Hold]], bytes],
        decode: Callable[[bytes], SanctionEvent],
        received: Callable[[SanctionEvent], None],
        restored: Callable[[], None],
    ) -> None:
        self._encode = encode
        self._encode_warnings = encode_warnings
        self._encode_roles = encode_roles
        self._encode_revocation = encode_revocation
        self._encode_feed = encode_feed
        self._encode_holds = encode_holds
        self._decode = decode
        self._received = received
        self.connection = NatsConnection(
            access, "moderation", connected=restored, subscriptions={SUBJECT: self._receive}, no_echo=True
        )
        """For what else the service says to NATS."""

    @property
    def is_connected(self) -> bool:
        """Whether events arrive and leave just now."""
        return self.connection.is_connected

    async def run(self) -> None:
        """Connect, however long it takes, and listen until cancelled."""
        await self.connection.run()

    async def publish(self, event: SanctionEvent) -> None:
        """See Events."""
        await self._publish(SUBJECT, self._encode(event), event_id=event.event_id)

    async def publish_warnings(self, changed: Sequence[RoomWarning]) -> None:
        """See Events."""
        if changed:
            await self._publish(WARNINGS_SUBJECT, self._encode_warnings(changed), event_id=changed[0].id)

    async def publish_roles(self, roles: RoomRoles) -> None:
        """See Events."""
        await self._publish(ROLES_SUBJECT, self._encode_roles(roles), roles_version=roles.version)

    async def publish_revocation(self, revocation: Revocation) -> None:
        """See Events."""
        await self._publish(TOKENS_SUBJECT, self._encode_revocation(revocation), revocation_version=revocation.version)

    async def publish_feed(self, heads: Sequence[FeedHead]) -> None:
        """See Events."""
        await self._publish(FEED_SUBJECT, self._encode_feed(heads), feed_event_id=heads[-1].event_id)

    async def publish_holds(self, changed: Sequence[Hold]) -> None:
        """See Events."""
        if changed:
            await self._publish(HOLDS_SUBJECT, self._encode_holds(changed), hold_id=changed[0].id)

    async def _publish(self, subject: str, payload: bytes, **names: int) -> None:
        """While NATS is away the client keeps what it can for later; nobody waits for it then."""
        try:
            async with asyncio.timeout(_PUBLISH_DEADLINE_S):
                await self.connection.client.publish(subject, payload, headers=trace_headers() or None)
                if self.connection.is_connected:
                    await self.connection.confirm()
                    return
            problem = "not connected"
        except NATS_TROUBLES as error:
            problem = type(error).__name__
        _log.warning("event_not_confirmed", **names, problem=problem)

    async def _receive(self, message: Msg) -> None:
        with hold_trace(read_trace((message.headers or {}).get(TRACE_HEADER))):
            try:
                event = self._decode(message.data)
            except ValueError as problem:
                _log.warning("event_not_understood", problem=str(problem))
                return
            self._received(event)
