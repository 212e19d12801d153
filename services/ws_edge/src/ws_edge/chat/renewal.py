"""A token that is renewed on an open connection."""

import asyncio
from typing import Protocol

import structlog
from msgspec.structs import replace

from chassis.logs import place_of
from ws_edge.chat.sanctions import SanctionReader
from ws_edge.errors import CloseCode, ErrorCode, InvalidToken, ModerationUnavailable, TokensUnavailable, TurnedAway
from ws_edge.ports import Tokens
from ws_edge.protocol.identity import Identity, Speaker
from ws_edge.room.room import Room

_log = structlog.get_logger(__name__)


class Bearer(Protocol):
    """A connection whose token is renewed."""

    renewal_turn: asyncio.Lock | None
    """Its renewals are one after the other; None: there was none yet."""

    @property
    def room(self) -> Room | None:
        """Where it is; None: gone meanwhile."""

    @property
    def speaker(self) -> Speaker:
        """Who holds it."""

    def register(self, speaker: Speaker) -> None:
        """From now on the same user has this rank, or the one of the room where that is higher, and these roles; of
        another rank than before rooms is told."""

    def renewed(self) -> None:
        """Take away what the registered roles do not allow, go by the new end of the token, and tell the client."""

    def refuse(self, code: ErrorCode, *, retry_after_ms: int = 0, nonce: str = "") -> None:
        """Tell why not; the connection stays as it was."""

    def end(self, code: CloseCode, error: ErrorCode | None = None) -> None:
        """Close."""


async def renew(client: Bearer, token: str, tokens: Tokens, sanction_reader: SanctionReader) -> None:
    """Replace the token of an open connection, or tell why not."""
    if client.renewal_turn is None:
        client.renewal_turn = asyncio.Lock()
    async with client.renewal_turn:
        identity = await _verify(token, tokens)
        if isinstance(identity, ErrorCode):
            client.refuse(identity)
        elif client.room is not None:
            await _replace(client, client.room, identity, sanction_reader)


async def _verify(token: str, tokens: Tokens) -> Identity | ErrorCode:
    try:
        return await tokens.verify(token)
    except InvalidToken:
        return ErrorCode.INVALID_TOKEN
    except TokensUnavailable:
        return ErrorCode.UNAVAILABLE
    except Exception as failure:  # noqa: BLE001 - whatever it was, the client is answered
        # The exception's words may be the token's: its kind and place are enough.
        _log.error("renewal_failed", kind=type(failure).__name__, place=place_of(failure))
        return ErrorCode.UNAVAILABLE


async def _replace(client: Bearer, room: Room, identity: Identity, sanction_reader: SanctionReader) -> None:
    """Register first: a ban that comes while moderation is asked is then held against the new rank."""
    before = client.speaker
    if identity.user_id != before.identity.user_id:
        client.refuse(ErrorCode.INVALID_TOKEN)
        return
    speaker = Speaker(replace(identity, username=before.identity.username), before.address, before.connection)
    client.register(speaker)
    try:
        await sanction_reader.demand_entry(client.speaker, room.slug, final=True)
    except TurnedAway as refusal:
        client.end(refusal.close, refusal.code)
    except ModerationUnavailable:
        client.register(before)
        client.refuse(ErrorCode.UNAVAILABLE)
    else:
        client.renewed()
