"""POST /dev/token: tokens for trying things out on one's own machine."""

from typing import Protocol

import msgspec
from sanic import HTTPResponse, NotFound, Request, json

from ws_edge.protocol.address import is_loopback
from ws_edge.transport.content import is_json
from ws_edge.transport.sanic_app import SanicApp


class RoleNotAllowed(Exception):
    """The issuer gives no token with such a role."""


class DevTokens(Protocol):
    """An issuer of development tokens."""

    def issue(self, username: str, user_id: int | None, roles: tuple[str, ...]) -> str:
        """A signed token; user_id None: the issuer chooses one. Raises RoleNotAllowed."""


class _Wish(msgspec.Struct, frozen=True):
    username: str
    user_id: int | None = None
    roles: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= len(self.username.strip()) <= 64 or len(self.roles) > 8:
            raise ValueError("username or roles out of bounds")
        if self.user_id is not None and not 1 <= self.user_id < 2**53:
            raise ValueError("user_id out of bounds")


def add_dev_token_route(app: SanicApp, issuer: DevTokens | None) -> None:
    """Without an issuer there is no such address."""

    async def issue(request: Request) -> HTTPResponse:
        if issuer is None:
            raise NotFound
        if not _is_local(request):
            return json({"message": "Only from this machine"}, 403)
        # A page of another site can send anything but this content type without asking first.
        if not is_json(request):
            return json({"message": "Content-Type must be application/json"}, 415)
        try:
            wish = msgspec.json.decode(request.body, type=_Wish)
        except (msgspec.MsgspecError, ValueError):
            return json({"message": "username, user_id or roles are not as expected"}, 400)
        try:
            token = issuer.issue(wish.username.strip(), wish.user_id, wish.roles or ("user",))
        except RoleNotAllowed:
            return json({"message": "Role not allowed"}, 403)
        return json({"token": token}, headers={"Cache-Control": "no-store"})

    app.add_route(issue, "/dev/token", methods=["POST"], name="dev_token")


def _is_local(request: Request) -> bool:
    """The Host header too: a foreign name that resolves to this machine is a foreign page's."""
    host = request.headers.get("host", "").strip().lower()
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return is_loopback(request.ip) and (name == "localhost" or is_loopback(name))
