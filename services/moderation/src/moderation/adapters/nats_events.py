"""Sanction events on NATS, for every edge and every other replica."""

import asyncio
from collections.abc import Callable

import structlog
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from moderation.adapters.nats_client import SecuredClient, end
from moderation.domain.sanction import SanctionEvent
from moderation.peers import NatsAccess
from moderation.trace import TRACE_HEADER, hold_trace, trace_headers

SUBJECT = "salon.v1.moderation.sanction"
_PUBLISH_DEADLINE_S = 1.0
_RECONNECT_S = 0.5
_CLOSE_DEADLINE_S = 1.0
_TROUBLES_LIMIT = 100

_log = structlog.get_logger()


class NatsEvents:
    """The port Events. run connects and stays connected; NATS being away stops nothing."""

    def __init__(
        self,
        access: NatsAccess,
        *,
        encode: Callable[[SanctionEvent], bytes],
        decode: Callable[[bytes], SanctionEvent],
        received: Callable[[SanctionEvent], None],
        restored: Callable[[], None],
    ) -> None:
        self._access = access
        self._encode = encode
        self._decode = decode
        self._received = received
        self._restored = restored
        self._client = SecuredClient()
        self._is_closed = asyncio.Event()
        self._told: set[str] = set()

    @property
    def is_connected(self) -> bool:
        """Whether events arrive and leave just now."""
        return self._client.is_connected

    async def run(self) -> None:
        """Connect, however long it takes, and listen until cancelled; then say goodbye within a second."""
        keeping = asyncio.create_task(self._keep_connected())
        try:
            await asyncio.wait({keeping})
            keeping.result()
        finally:
            await end({keeping})
            await self._close()

    async def _keep_connected(self) -> None:
        """nats-py reconnects by itself, but gives up when a server ends the connection with an error, such as
        credentials that are no longer valid; then a new client begins anew."""
        while True:
            self._is_closed.clear()
            try:
                await self._listen()
            except (NatsError, OSError, TimeoutError) as problem:
                await self._failed(problem)
                await self._close()
            await asyncio.sleep(_RECONNECT_S)
            self._client = SecuredClient()

    async def _listen(self) -> None:
        """Until the client gives up."""
        await self._client.connect(
            **self._access.options,
            name="moderation",
            no_echo=True,
            max_reconnect_attempts=-1,
            reconnect_time_wait=_RECONNECT_S,  # type: ignore[arg-type]  # it sleeps for it, fractions work
            error_cb=self._failed,
            disconnected_cb=self._disconnected,
            reconnected_cb=self._reconnected,
            closed_cb=self._closed,
        )
        await self._client.subscribe(SUBJECT, cb=self._receive)
        await self._confirm()
        await self._reconnected()
        await self._is_closed.wait()

    async def publish(self, event: SanctionEvent) -> None:
        """While NATS is away the client keeps what it can for later; nobody waits for it then."""
        try:
            async with asyncio.timeout(_PUBLISH_DEADLINE_S):
                await self._client.publish(SUBJECT, self._encode(event), headers=trace_headers() or None)
                if self._client.is_connected:
                    await self._confirm()
                    return
            problem = "not connected"
        except (NatsError, TimeoutError, OSError) as error:
            problem = type(error).__name__
        _log.warning("event_not_confirmed", event_id=event.event_id, problem=problem)

    async def _confirm(self) -> None:
        """Wait until the server has what was sent. The client writes a PING at once, past the commands that wait for
        its next turn, so that its answer proves nothing of them; the answer to a second one does."""
        await self._client.flush()
        await self._client.flush()

    async def _receive(self, message: Msg) -> None:
        with hold_trace((message.headers or {}).get(TRACE_HEADER)):
            try:
                event = self._decode(message.data)
            except ValueError as problem:
                _log.warning("event_not_understood", problem=str(problem))
                return
            self._received(event)

    async def _failed(self, problem: Exception) -> None:
        """Once each: while NATS is away every attempt at a server fails in the same way."""
        text = str(problem) or type(problem).__name__
        if text not in self._told and len(self._told) < _TROUBLES_LIMIT:
            self._told.add(text)
            _log.warning("nats_failed", problem=text)

    async def _closed(self) -> None:
        self._is_closed.set()

    async def _disconnected(self) -> None:
        _log.warning("nats_away")

    async def _reconnected(self) -> None:
        self._told.clear()
        _log.info("nats_connected")
        self._restored()

    async def _close(self) -> None:
        try:
            async with asyncio.timeout(_CLOSE_DEADLINE_S):
                await self._client.close()
        except (NatsError, TimeoutError, OSError, RuntimeError) as problem:  # the last: uvloop's closed transport
            _log.warning("nats_not_closed", problem=type(problem).__name__)
