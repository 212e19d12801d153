"""POST /dev/token: tokens for trying things out on one's own machine."""

import re
from typing import Final, Protocol

import msgspec
from sanic import HTTPResponse, NotFound, Request, json

from ws_edge.errors import RoleNotAllowed
from ws_edge.protocol.address import is_loopback
from ws_edge.transport.sanic_app import SanicApp, is_json

_HOST: Final = re.compile(r"(?P<name>localhost|[0-9.]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?", re.ASCII)
_PROXY_HEADERS: Final = (
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
)


class DevTokens(Protocol):
    """An issuer of development tokens."""

    def issue(self, username: str, user_id: int | None, roles: tuple[str, ...]) -> str:
        """A signed token; user_id None: the issuer chooses one. Raises RoleNotAllowed."""


class _TokenRequest(msgspec.Struct, frozen=True):
    username: str
    user_id: int | None = None
    roles: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= len(self.username.strip()) <= 64 or len(self.roles) > 8:
            raise ValueError("username or roles out of bounds")
        if self.user_id is not None and not 1 <= self.user_id < 2**53:
            raise ValueError("user_id out of bounds")


def add_dev_token_route(app: SanicApp, issuer: DevTokens | None) -> None:
    """Without an issuer, and for whoever is not on this machine, there is no such address."""

    async def issue(request: Request) -> HTTPResponse:
        if issuer is None or not _is_local(request):
            raise NotFound
        # A page of another site can send anything but this content type without asking first.
        if not is_json(request):
            return json({"message": "Content-Type must be application/json"}, 415)
        try:
            wanted = msgspec.json.decode(request.body, type=_TokenRequest)
        except (msgspec.MsgspecError, ValueError):
            return json({"message": "username, user_id or roles are not as expected"}, 400)
        try:
            token = issuer.issue(wanted.username.strip(), wanted.user_id, wanted.roles or ("user",))
        except RoleNotAllowed:
            return json({"message": "Role not allowed"}, 403)
        return json({"token": token}, headers={"Cache-Control": "no-store"})

    app.add_route(issue, "/dev/token", methods=["POST"], name="dev_token")


def _is_local(request: Request) -> bool:
    """Whether a program or a page of this machine asks, and nobody through a proxy on it: to a proxy's upstream all
    requests come from the loopback, and many proxies name the upstream in Host."""
    hosts = request.headers.getall("host", [])
    host = _HOST.fullmatch(hosts[0].strip().lower()) if len(hosts) == 1 else None
    return (
        is_loopback(request.ip)
        # A foreign name that resolves to this machine is a foreign page's.
        and host is not None
        and (host["name"] == "localhost" or is_loopback(host["name"].strip("[]")))
        and not any(name in request.headers for name in _PROXY_HEADERS)
        # Proxies are asked with whole addresses, and some ask their upstream in HTTP/1.0.
        and request.raw_url.startswith(b"/")
        and request.version == "1.1"
        and request.headers.get("origin", f"http://{host[0]}").strip().lower() == f"http://{host[0]}"
        and request.headers.get("sec-fetch-site", "none").strip().lower() in ("none", "same-origin")
    )
