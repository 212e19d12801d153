"""How a service proves who it is to the other services and to NATS, and how it knows them. The same text in each."""

import ipaddress
import re
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import nkeys

_TOKEN = re.compile(r"[!-+\--~]{32,1024}", re.ASCII)
_CREDENTIALS_HEADS = ("BEGIN NATS USER JWT", "BEGIN USER NKEY SEED")
_HOST_AND_PORT = re.compile(r"[^\s/,:@]+:[0-9]{1,5}", re.ASCII)


class BadSetting(Exception):
    """A setting that cannot be used; the text begins with its name."""


def with_files(environ: Mapping[str, str], secrets: Iterable[str]) -> dict[str, str]:
    """The environment with each secret that is given as a file (NAME_FILE) put in under its name. Raises BadSetting."""
    found = dict(environ)
    for name in secrets:
        path = found.pop(f"{name}_FILE", "")
        if not path:
            continue
        if found.get(name):
            raise BadSetting(f"{name}_FILE: not together with {name}")
        found[name] = _file(f"{name}_FILE", path).rstrip("\r\n")
        if not found[name]:
            raise BadSetting(f"{name}_FILE: the file is empty")
    return found


def _file(name: str, path: str) -> str:
    try:
        return Path(path).read_text("utf-8")
    except OSError as problem:
        raise BadSetting(f"{name}: cannot be read: {problem.strerror or 'unreadable'}") from None
    except ValueError:  # not UTF-8, or a path with a zero byte in it
        raise BadSetting(f"{name}: cannot be read: not a text file") from None


def service_tokens(raw: str) -> tuple[str, ...]:
    """The tokens that callers may present, the one to present first. Raises ValueError, without the text."""
    tokens = tuple(part.strip() for part in raw.split(","))
    if not all(_TOKEN.fullmatch(token) for token in tokens):
        raise ValueError(
            "must be 32 or more printable ASCII characters without spaces; two separated by a comma while it is changed"
        )
    return tokens


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


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass(frozen=True, slots=True)
class GrpcSecurity:
    """What gRPC of this service presents and demands. Nothing: whoever reaches the port is believed."""

    tokens: tuple[str, ...] = ()
    """Each is accepted; the first one is presented."""
    certificate: bytes = b""
    key: bytes = b""
    authority: bytes = b""
    """PEM. All three, for mutual TLS, or none."""

    def __repr__(self) -> str:
        """Without secrets."""
        return f"GrpcSecurity(tokens={len(self.tokens)}, tls={self.is_encrypted})"

    @property
    def is_encrypted(self) -> bool:
        """Mutual TLS."""
        return bool(self.certificate)

    def demand(self, hosts: Iterable[str]) -> None:
        """Refuse to be without any of it in production wherever others reach the network. Raises BadSetting."""
        for host in hosts:
            if not self.tokens and not self.is_encrypted and not is_loopback(host):
                wanted = "SALON_SERVICE_TOKEN: must be set, or SALON_GRPC_TLS_CERT_FILE,"
                raise BadSetting(f"{wanted} for {host} when SALON_ENV=production")


def grpc_security(tokens: tuple[str, ...], cert_file: str, key_file: str, ca_file: str) -> GrpcSecurity:
    """Read the files and see that they belong together. Raises BadSetting."""
    files = {
        "SALON_GRPC_TLS_CERT_FILE": cert_file,
        "SALON_GRPC_TLS_KEY_FILE": key_file,
        "SALON_GRPC_TLS_CA_FILE": ca_file,
    }
    if not any(files.values()):
        return GrpcSecurity(tokens)
    for name, path in files.items():
        if not path:
            raise BadSetting(f"{name}: must be set together with the other SALON_GRPC_TLS_…_FILE")
    certificate, key, authority = (_file(name, path).encode() for name, path in files.items())
    trust("SALON_GRPC_TLS_CA_FILE", ca_file)
    try:
        # An encrypted key is refused: without this, OpenSSL would ask for its password at the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert_file, key_file, password=lambda: b"")
    except (ssl.SSLError, ValueError):
        raise BadSetting("SALON_GRPC_TLS_KEY_FILE: must be the PEM key of SALON_GRPC_TLS_CERT_FILE") from None
    return GrpcSecurity(tokens, certificate, key, authority)


def trust(name: str, ca_file: str) -> ssl.SSLContext:
    """A client's context that believes these certificate authorities alone. Raises BadSetting."""
    _file(name, ca_file)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(ca_file)
    except (ssl.SSLError, ValueError):
        raise BadSetting(f"{name}: must hold certificates in PEM") from None
    return context


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
        """Refuse to be without a login in production wherever others reach NATS. Raises BadSetting."""
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


def nats_access(
    url: str, user: str = "", password: str = "", credentials_file: str = "", ca_file: str = ""
) -> NatsAccess:
    """Raises BadSetting."""
    servers = [_NatsServer.read(part) for part in url.split(",")]
    logins = {server.login for server in servers if server.login != ("", "")}
    if user and not password:
        raise BadSetting("NATS_PASSWORD: must be set together with NATS_USER")
    if password and not user:
        raise BadSetting("NATS_USER: must be set together with NATS_PASSWORD")
    if user and credentials_file:
        raise BadSetting("NATS_CREDENTIALS_FILE: not together with NATS_USER")
    if logins and (user or credentials_file):
        raise BadSetting("NATS_URL: no user in it together with NATS_USER or NATS_CREDENTIALS_FILE")
    if len(logins) > 1:
        raise BadSetting("NATS_URL: must name the same user for every server")
    if credentials_file and not _are_credentials(_file("NATS_CREDENTIALS_FILE", credentials_file)):
        raise BadSetting("NATS_CREDENTIALS_FILE: must be a credentials file of NATS, with a user's JWT and seed")
    # The login applies to all servers, those included that the cluster itself makes known.
    in_url, secret = next(iter(logins), ("", ""))
    return NatsAccess(
        servers=tuple(server.address for server in servers),
        user=user or (in_url if secret else ""),
        password=password or secret,
        token="" if secret else in_url,
        credentials_file=credentials_file,
        tls=trust("NATS_TLS_CA_FILE", ca_file) if ca_file else None,
    )


def _are_credentials(text: str) -> bool:
    """nats-py reads the file each time it connects, and takes what stands in the line after each of the two heads."""
    lines = text.splitlines()
    heads = [next((at for at, line in enumerate(lines[:-1]) if head in line), None) for head in _CREDENTIALS_HEADS]
    if None in heads:
        return False
    jwt, seed = (lines[at + 1] for at in heads if at is not None)
    try:
        nkeys.from_seed(bytearray(seed.encode()))  # type: ignore[no-untyped-call]  # it has no types
    except (nkeys.NkeysError, ValueError):
        return False
    return jwt.count(".") == 2


@dataclass(frozen=True, slots=True)
class _NatsServer:
    address: str
    login: tuple[str, str]
    """User and password, or a token and nothing."""

    @classmethod
    def read(cls, text: str) -> "_NatsServer":
        url = urlsplit(text if "://" in text else f"nats://{text}")
        address = f"{url.scheme}://{url.netloc.rpartition('@')[2]}"
        return cls(address, (unquote(url.username or ""), unquote(url.password or "")))
