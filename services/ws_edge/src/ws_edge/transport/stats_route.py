"""GET /monitoring/chat/stats."""

from sanic import HTTPResponse, Request, json

from ws_edge.ports import InvalidToken, Rooms, RoomsUnavailable, Tokens, TokensUnavailable
from ws_edge.protocol.identity import Rank
from ws_edge.transport.bearer import CHALLENGE, bearer_token
from ws_edge.transport.sanic_app import SanicApp
from ws_edge.transport.traced import traced


def add_stats_route(app: SanicApp, tokens: Tokens, rooms: Rooms) -> None:
    """For admins and superusers: connections over all edges."""

    async def stats(request: Request) -> HTTPResponse:
        token = bearer_token(request)
        try:
            if token is None:
                raise InvalidToken
            viewer = await tokens.verify(token)
        except InvalidToken:
            return json({"message": "Invalid token"}, 401, CHALLENGE)
        except TokensUnavailable:
            return json({"message": "Service unavailable"}, 503)
        if viewer.rank < Rank.ADMIN:
            return json({"message": "Access denied"}, 403)
        try:
            connections = await rooms.stats()
        except RoomsUnavailable:
            return json({"message": "Service unavailable"}, 503)
        return json(
            {
                "total_connections": sum(connections.values()),
                "active_rooms": len(connections),
                "rooms": {str(room_id): connections[room_id] for room_id in sorted(connections)},
            }
        )

    app.add_route(traced(stats), "/monitoring/chat/stats", methods=["GET"], name="stats")
