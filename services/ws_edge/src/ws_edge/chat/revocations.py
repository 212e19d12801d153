"""Revoked tokens on one worker: heard of by events, read again every second, refused, and their sockets closed."""

import asyncio
from collections.abc import Iterable

from chassis.tasks import in_slices
from ws_edge.chat.registry import Connection, ConnectionRegistry
from ws_edge.errors import CLOSE_OF, ErrorCode, InvalidToken, ModerationUnavailable, TokensUnavailable
from ws_edge.ports import REVOCATIONS_PER_READ, Ports, Tokens
from ws_edge.protocol.identity import Identity
from ws_edge.protocol.revocations import Revocation

FIRST_READ_S = 2.0
"""So long a token waits where this worker has not read yet what is revoked."""


class RevocationReader:
    """Keeps what is revoked true. While moderation is away, what was read last holds."""

    __slots__ = ("_connections", "_first_read", "_ports", "_read_up_to")

    def __init__(self, ports: Ports, connections: ConnectionRegistry) -> None:
        self._ports = ports
        self._connections = connections
        self._read_up_to = 0
        self._first_read = asyncio.Event()

    def apply(self, revocations: Iterable[Revocation]) -> None:
        """Refuse these from now on, and close who is connected with one."""
        revoked = self._ports.revoked
        new = [revocation for revocation in revocations if revoked.apply(revocation)]
        if not new:
            return
        # By one token nobody is indexed: that is rare, and a look at each connection.
        of_users = [r.user_id for r in new if r.user_id is not None]
        reached = list(self._connections) if len(of_users) < len(new) else self._connections.of_users(of_users)
        self._ports.tasks.go_through(reached, self._enforce, "close revoked tokens")

    async def refresh(self) -> None:
        """Read what was revoked since the last time: an event may be lost."""
        try:
            is_all = False
            while not is_all:
                part = await self._ports.moderation.revocations_after(self._read_up_to)
                self.apply(part)
                if part:
                    self._read_up_to = max(self._read_up_to, part[-1].version)
                is_all = len(part) < REVOCATIONS_PER_READ
        except ModerationUnavailable:
            return
        self._first_read.set()

    async def drop_ended(self) -> None:
        """Let go of what has no effect any more."""
        revoked, now_s = self._ports.revoked, self._ports.clock.unix_s()
        await in_slices(revoked.listed(), lambda key: revoked.drop_ended(key, now_s=now_s))

    async def demand_unrevoked(self, identity: Identity) -> None:
        """Returns, in the turn of the event loop in which that is looked up, where the token is not revoked. Raises
        InvalidToken; TokensUnavailable where nothing was read yet."""
        if not self._first_read.is_set():
            try:
                async with asyncio.timeout(FIRST_READ_S):
                    await self._first_read.wait()
            except TimeoutError:
                raise TokensUnavailable("what is revoked was not read yet") from None
        if self._ports.revoked.includes(identity):
            raise InvalidToken("revoked")

    def _enforce(self, connection: Connection) -> None:
        """As where the token has expired."""
        if self._ports.revoked.includes(connection.speaker.identity):
            connection.end(CLOSE_OF[ErrorCode.INVALID_TOKEN], ErrorCode.INVALID_TOKEN)


class RevocableTokens:
    """Implements Tokens, by one that knows nothing of revoking."""

    __slots__ = ("_revocations", "_tokens")

    def __init__(self, tokens: Tokens, revocations: RevocationReader) -> None:
        self._tokens = tokens
        self._revocations = revocations

    async def verify(self, token: str) -> Identity:
        """See Tokens."""
        identity = await self._tokens.verify(token)
        await self._revocations.demand_unrevoked(identity)
        return identity
