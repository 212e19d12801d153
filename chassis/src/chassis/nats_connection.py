"""NATS: where it is, the way in, and one connection that lasts."""

import asyncio
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote, urlsplit

import nkeys
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from chassis.errors import BadSetting
from chassis.grpc_security import client_trust
from chassis.settings import is_loopback, read_file, secret, setting, text
from chassis.tasks import end_tasks, to_its_end

NATS_TROUBLES = (NatsError, OSError, TimeoutError, RuntimeError)
"""What a call of the client raises while NATS is away; the last one is what uvloop says of a closed transport."""
_CREDENTIALS_HEADS = ("BEGIN NATS USER JWT", "BEGIN USER NKEY SEED")
_HOST_AND_PORT = re.compile(r"[^\s/,:@]+:[0-9]{1,5}", re.ASCII)
_CONNECT_TIMEOUT_S = 2
_RECONNECT_WAIT_S = 0.25
_PING_INTERVAL_S = 3
"""After some of these without an answer a link is given up. What was sent on it must not arrive minutes later: the
stream knows for two minutes alone what it has stored already."""
_CONNECT_AGAIN_S = 0.5
_CLOSE_DEADLINE_S = 2.0
_TROUBLES_LIMIT = 100
_log = structlog.get_logger(__name__)


def nats_url(raw: str) -> str:
    """Addresses of NATS servers, without white space around them. Raises ValueError; the text is not shown, it may
    hold a password."""
    parts = [part.strip() for part in raw.split(",")]
    if not all(_is_nats_address(part) for part in parts):
        raise ValueError("must be nats://host:port, several separated by commas; special characters of a login as %XX")
    if any(_is_half_a_login(part) for part in parts):
        raise ValueError("must have a user and a password, or a token alone, before the @")
    return ",".join(parts)


def _is_half_a_login(text: str) -> bool:
    url = urlsplit(text if "://" in text else f"nats://{text}")
    return "@" in url.netloc and (not url.username or url.password == "")


def _is_nats_address(text: str) -> bool:
    if "://" not in text and not _HOST_AND_PORT.fullmatch(text):
        return False
    try:
        url = urlsplit(text if "://" in text else f"nats://{text}")
        is_server = url.scheme in ("nats", "tls") and bool(url.hostname) and url.port != 0
    except ValueError:
        return False
    return is_server and url.path in ("", "/") and not url.query and not url.fragment and not re.search(r"\s", text)


@dataclass(frozen=True, slots=True)
class NatsAccess:
    """Where NATS is and how this service gets in."""

    servers: tuple[str, ...]
    user: str = ""
    password: str = ""
    token: str = ""
    credentials_file: str = ""
    tls: ssl.SSLContext | None = None

    def __repr__(self) -> str:
        """Without secrets."""
        return f"NatsAccess(servers={len(self.servers)}, tls={self.tls is not None})"

    def demand(self) -> None:
        """For production: refuse to be without a login wherever others reach NATS. Raises BadSetting."""
        if self.user or self.token or self.credentials_file:
            return
        for server in self.servers:
            host = urlsplit(server).hostname or ""
            if not is_loopback(host):
                wanted = "NATS_USER: must be set, or NATS_CREDENTIALS_FILE,"
                raise BadSetting(f"{wanted} for {host} when SALON_ENV=production")

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of nats-py's connect."""
        given = {
            "user": self.user,
            "password": self.password,
            "token": self.token,
            "user_credentials": self.credentials_file,
            "tls": self.tls,
        }
        return {"servers": list(self.servers), **{name: value for name, value in given.items() if value}}


@dataclass(frozen=True, slots=True)
class NatsSettings:
    """What an operator sets."""

    url: str = setting("NATS_URL", nats_url, "nats://127.0.0.1:4222", "the NATS servers, several separated by commas")
    user: str = setting("NATS_USER", text, "", "user of NATS; with NATS_PASSWORD")
    password: str = secret("NATS_PASSWORD", text, "", "password of that user")
    credentials_file: str = setting(
        "NATS_CREDENTIALS_FILE", text, "", "credentials file of NATS (JWT and seed) instead of user and password"
    )
    tls_ca_file: str = setting(
        "NATS_TLS_CA_FILE", text, "", "certificate authorities of the NATS servers, in PEM; set, TLS is demanded"
    )

    @property
    def access(self) -> NatsAccess:
        """What the settings come to. Raises BadSetting."""
        servers = [_Server.read(part) for part in self.url.split(",")]
        logins = {server.login for server in servers if server.login != ("", "")}
        self._check(logins)
        # The login applies to all servers, those included that the cluster itself makes known.
        in_url, in_url_secret = next(iter(logins), ("", ""))
        return NatsAccess(
            servers=tuple(server.address for server in servers),
            user=self.user or (in_url if in_url_secret else ""),
            password=self.password or in_url_secret,
            token="" if in_url_secret else in_url,
            credentials_file=self.credentials_file,
            tls=client_trust("NATS_TLS_CA_FILE", self.tls_ca_file) if self.tls_ca_file else None,
        )

    def _check(self, logins: set[tuple[str, str]]) -> None:
        if self.user and not self.password:
            raise BadSetting("NATS_PASSWORD: must be set together with NATS_USER")
        if self.password and not self.user:
            raise BadSetting("NATS_USER: must be set together with NATS_PASSWORD")
        if self.user and self.credentials_file:
            raise BadSetting("NATS_CREDENTIALS_FILE: not together with NATS_USER")
        if logins and (self.user or self.credentials_file):
            raise BadSetting("NATS_URL: no user in it together with NATS_USER or NATS_CREDENTIALS_FILE")
        if len(logins) > 1:
            raise BadSetting("NATS_URL: must name the same user for every server")
        if self.credentials_file and not _are_credentials(read_file("NATS_CREDENTIALS_FILE", self.credentials_file)):
            raise BadSetting("NATS_CREDENTIALS_FILE: must be a credentials file of NATS, with a user's JWT and seed")


def _are_credentials(text: str) -> bool:
    """nats-py reads the file each time it connects, and takes what stands in the line after each of the two heads."""
    lines = text.splitlines()
    heads = [next((at for at, line in enumerate(lines[:-1]) if head in line), None) for head in _CREDENTIALS_HEADS]
    if None in heads:
        return False
    jwt, seed = (lines[at + 1] for at in heads if at is not None)
    try:
        nkeys.from_seed(bytearray(seed.encode()))  # type: ignore[no-untyped-call] # it has no types
    except (nkeys.NkeysError, ValueError):
        return False
    return jwt.count(".") == 2


@dataclass(frozen=True, slots=True)
class _Server:
    address: str
    login: tuple[str, str]
    """User and password, or a token and nothing."""

    @classmethod
    def read(cls, text: str) -> "_Server":
        url = urlsplit(text if "://" in text else f"nats://{text}")
        address = f"{url.scheme}://{url.netloc.rpartition('@')[2]}"
        return cls(address, (unquote(url.username or ""), unquote(url.password or "")))


class SecuredClient(Client):
    """nats-py's client, which does not fall back to plain text, and does not fall over who has given up waiting.
    Replaces private methods, so the version is pinned."""

    def _connect_command(self) -> bytes:
        # Where the server offers no TLS, the password would be sent in plain text.
        assert self._current_server is not None
        wants_tls = "tls" in self.options or self._current_server.uri.scheme == "tls"
        if wants_tls and not self._server_info.get("tls_required"):
            raise NatsError("nats: TLS is wanted and the server does not demand it")
        return super()._connect_command()

    async def _process_pong(self) -> None:
        # nats-py raises, and so ends its read loop, where whoever waited for the answer was cancelled.
        if self._pongs and self._pongs[0].done():
            del self._pongs[0]
            self._pings_outstanding = 0
            return
        await super()._process_pong()


class NatsConnection:
    """Connects with `run`, however long it takes, and stays connected until that is cancelled.

    nats-py reconnects by itself, but gives up when a server ends the connection with an error, such as credentials
    that are no longer valid; then a new client begins anew, with the same subscriptions. So it does after an exception
    that nobody foresaw.
    """

    def __init__(
        self,
        access: NatsAccess,
        name: str,
        *,
        connected: Callable[[], None] = lambda: None,
        subscriptions: Mapping[str, Callable[[Msg], Awaitable[None]]] = MappingProxyType({}),
        no_echo: bool = False,
    ) -> None:
        """`connected` is called after every connect and reconnect, once the subscriptions stand; `no_echo` leaves out
        what this connection itself has published."""
        self._access = access
        self._name = name
        self._connected = connected
        self._subscriptions = subscriptions
        self._no_echo = no_echo
        self._has_ended = asyncio.Event()
        self._told: set[str] = set()
        self.client = SecuredClient()
        """The client of this moment: another one after NATS has ended the connection for good."""

    @property
    def is_connected(self) -> bool:
        """Whether messages arrive and leave just now."""
        return self.client.is_connected

    async def run(self) -> None:
        """Connect and stay connected until cancelled; then disconnect within 2 s."""
        keeping = asyncio.create_task(self._keep_connected())
        try:
            await asyncio.wait({keeping})
            keeping.result()
        finally:
            await to_its_end(self._end(keeping))

    async def confirm(self) -> None:
        """Wait until the server has what was sent. The client writes a PING at once, past the commands that wait for
        its next turn, so that its answer proves nothing of them; the answer to a second one does. Raises NatsError,
        OSError or TimeoutError."""
        await self.client.flush()
        await self.client.flush()

    async def _end(self, keeping: asyncio.Task[None]) -> None:
        await end_tasks({keeping})
        await self._close()

    async def _keep_connected(self) -> None:
        while True:
            self._has_ended.clear()
            try:
                await self._stay_connected()
            except Exception as problem:  # noqa: BLE001 - whatever it was, a new client may do better
                await self._on_error(problem)
                await self._close()
            await asyncio.sleep(_CONNECT_AGAIN_S)
            self.client = SecuredClient()

    async def _stay_connected(self) -> None:
        await self.client.connect(
            **self._access.options,
            name=self._name,
            no_echo=self._no_echo,
            connect_timeout=_CONNECT_TIMEOUT_S,
            reconnect_time_wait=_RECONNECT_WAIT_S,  # type: ignore[arg-type] # it sleeps for it, fractions work
            max_reconnect_attempts=-1,
            ping_interval=_PING_INTERVAL_S,
            error_cb=self._on_error,
            disconnected_cb=self._on_disconnected,
            reconnected_cb=self._on_connected,
            closed_cb=self._on_closed,
        )
        for subject, receive in self._subscriptions.items():
            await self.client.subscribe(subject, cb=receive)
        if self._subscriptions:
            await self.confirm()
        await self._on_connected()
        await self._has_ended.wait()

    async def _on_error(self, problem: Exception) -> None:
        """Logged once each: while NATS is away every attempt at a server fails in the same way. What is no trouble of
        NATS is a defect, and logged with its trace."""
        reason = str(problem) or type(problem).__name__
        if reason not in self._told and len(self._told) < _TROUBLES_LIMIT:
            self._told.add(reason)
            defect = None if isinstance(problem, NATS_TROUBLES) else problem
            _log.warning("nats_failed", reason=reason, exc_info=defect)

    async def _on_disconnected(self) -> None:
        _log.warning("nats_disconnected")

    async def _on_connected(self) -> None:
        _log.info("nats_connected")
        self._connected()
        self._told.clear()

    async def _on_closed(self) -> None:
        self._has_ended.set()

    async def _close(self) -> None:
        # In a task of its own: when the server goes away at this moment, the client waits for a future that it has
        # cancelled itself, and what comes of that must not be taken for our own cancellation.
        ending = asyncio.create_task(self._disconnect())
        await asyncio.wait({ending}, timeout=_CLOSE_DEADLINE_S)
        ending.cancel()
        await asyncio.gather(ending, return_exceptions=True)
        if ending.cancelled():
            _log.warning("nats_not_closed")

    async def _disconnect(self) -> None:
        """What was published before is written out, where the server still takes it."""
        try:
            async with asyncio.timeout(_CLOSE_DEADLINE_S / 2):
                if self.client.is_connected:
                    await self.client.flush()
        except NATS_TROUBLES as problem:
            _log.warning("events_lost_at_exit", reason=type(problem).__name__)
        try:
            await self.client.close()
        except NATS_TROUBLES as problem:
            _log.warning("nats_not_closed", reason=type(problem).__name__)
