"""How services know each other over gRPC: a shared token, or certificates for mutual TLS, or both."""

import re
import ssl
from collections.abc import Iterable
from dataclasses import dataclass

from chassis.errors import BadSetting
from chassis.settings import is_loopback, read_file, secret, setting, text

_TOKEN = re.compile(r"[!-+\--~]{32,1024}", re.ASCII)


def service_tokens(raw: str) -> tuple[str, ...]:
    """The tokens that callers may present, the one to present first. Raises ValueError, without the text."""
    tokens = tuple(part.strip() for part in raw.split(","))
    if not all(_TOKEN.fullmatch(token) for token in tokens):
        raise ValueError(
            "must be 32 or more printable ASCII characters without spaces; two separated by a comma while it is changed"
        )
    return tokens


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
        """For production: refuse to be without any of it wherever others reach the network. Raises BadSetting."""
        for host in hosts:
            if not self.tokens and not self.is_encrypted and not is_loopback(host):
                wanted = "SALON_SERVICE_TOKEN: must be set, or SALON_GRPC_TLS_CERT_FILE,"
                raise BadSetting(f"{wanted} for {host} when SALON_ENV=production")


@dataclass(frozen=True, slots=True)
class GrpcSettings:
    """What an operator sets."""

    service_token: tuple[str, ...] = secret(
        "SALON_SERVICE_TOKEN",
        service_tokens,
        (),
        "what the services present to each other, at least 32 characters; `new,old` while it is changed",
    )
    tls_cert_file: str = setting(
        "SALON_GRPC_TLS_CERT_FILE", text, "", "certificate of this service, in PEM, for mutual TLS between services"
    )
    tls_key_file: str = setting("SALON_GRPC_TLS_KEY_FILE", text, "", "its key, in PEM")
    tls_ca_file: str = setting(
        "SALON_GRPC_TLS_CA_FILE", text, "", "certificate authorities of the other services, in PEM"
    )

    @property
    def security(self) -> GrpcSecurity:
        """Read the files and see that they belong together. Raises BadSetting."""
        files = {
            "SALON_GRPC_TLS_CERT_FILE": self.tls_cert_file,
            "SALON_GRPC_TLS_KEY_FILE": self.tls_key_file,
            "SALON_GRPC_TLS_CA_FILE": self.tls_ca_file,
        }
        if not any(files.values()):
            return GrpcSecurity(self.service_token)
        for name, path in files.items():
            if not path:
                raise BadSetting(f"{name}: must be set together with the other SALON_GRPC_TLS_…_FILE")
        certificate, key, authority = (read_file(name, path).encode() for name, path in files.items())
        client_trust("SALON_GRPC_TLS_CA_FILE", self.tls_ca_file)
        try:
            # An encrypted key is refused: without this, OpenSSL would ask for its password at the terminal.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
                self.tls_cert_file, self.tls_key_file, password=lambda: b""
            )
        except (ssl.SSLError, ValueError):
            raise BadSetting("SALON_GRPC_TLS_KEY_FILE: must be the PEM key of SALON_GRPC_TLS_CERT_FILE") from None
        return GrpcSecurity(self.service_token, certificate, key, authority)


def client_trust(name: str, ca_file: str) -> ssl.SSLContext:
    """A client's context that believes these certificate authorities alone. Raises BadSetting."""
    read_file(name, ca_file)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(ca_file)
    except (ssl.SSLError, ValueError):
        raise BadSetting(f"{name}: must hold certificates in PEM") from None
    return context
