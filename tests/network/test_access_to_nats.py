"""The three services at real NATS servers: with a login, with TLS, with credentials, in a cluster; and refused."""

import asyncio
import base64
import hashlib
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import nats
import nkeys
import pytest
from certificates import Authority
from network_processes import Nats, Starter, Trio, until

from tools.ports import held_ports

pytestmark = pytest.mark.slow

PASSWORD = "kX/9+q#t@1="
LOGIN = f'authorization {{ user: salon, password: "{PASSWORD}" }}'
KNOWN = {"NATS_USER": "salon", "NATS_PASSWORD": PASSWORD}


def said(trio: Trio, text: str) -> None:
    for service in trio.all:
        until(lambda s=service: text in s.process.text(), f"{service.kind} says {text!r}", trio.processes)  # type: ignore[misc]


def is_clean(trio: Trio) -> bool:
    """No traceback, no password, and no line for each attempt."""
    texts = [process.text() for process in trio.processes]
    lines = max(text.count("nats_failed") + text.count("nats_error") for text in texts)
    return not any("Traceback" in text or PASSWORD in text for text in texts) and lines <= 5


def test_a_login_lets_in_and_one_that_is_no_longer_valid_is_said_and_waited_for(starter: Starter) -> None:
    server = starter.nats(LOGIN)
    trio = starter.trio(NATS_URL=server.url, **KNOWN)
    trio.until_ready()
    trio.until_nats(is_up=True)
    known = server.config.read_text()
    server.stop()
    server.config.write_text(known.replace(PASSWORD, "another"))
    server.process.start()
    trio.until_nats(is_up=False)
    said(trio, "Authorization Violation")
    server.stop()
    server.config.write_text(known)
    server.process.start()
    trio.until_nats(is_up=True)
    assert is_clean(trio)


def test_a_login_that_a_running_server_revokes_is_tried_again(starter: Starter) -> None:
    """The server ends the connection with an error then, and nats-py gives up."""
    server = starter.nats(LOGIN)
    trio = starter.trio(NATS_URL=server.url, **KNOWN)
    trio.until_ready()
    known = server.config.read_text()
    server.config.write_text(known.replace(PASSWORD, "another"))
    server.process.signal(1)
    trio.until_nats(is_up=False)
    said(trio, "Authorization Violation")
    server.config.write_text(known)
    server.process.signal(1)
    trio.until_nats(is_up=True)
    assert is_clean(trio)


def tls(authority: Authority, *names: str) -> str:
    pair = authority.issue(*names)
    return f'tls {{ cert_file: "{pair.certificate}", key_file: "{pair.key}" }}'


def test_tls_is_demanded_of_a_server_that_the_authority_signed_for(starter: Starter, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    server = starter.nats(f"{LOGIN}\n{tls(authority, '127.0.0.1')}")
    trio = starter.trio(NATS_URL=server.url, NATS_TLS_CA_FILE=str(authority.certificate), **KNOWN)
    trio.until_ready()
    trio.until_nats(is_up=True)
    assert is_clean(trio)


@pytest.mark.parametrize(("kind", "text"), [("plain", "TLS is wanted"), ("foreign", "CERTIFICATE_VERIFY_FAILED")])
def test_a_server_without_tls_or_of_another_authority_is_refused_and_said(
    starter: Starter, tmp_path: Path, kind: str, text: str
) -> None:
    authority, other = Authority(tmp_path / "ca"), Authority(tmp_path / "other")
    server = starter.nats(LOGIN if kind == "plain" else f"{LOGIN}\n{tls(other, '127.0.0.1')}")
    trio = starter.trio(NATS_URL=server.url, NATS_TLS_CA_FILE=str(authority.certificate), **KNOWN)
    for service in trio.all:
        service.until_serving()
    said(trio, text)
    trio.until_nats(is_up=False)
    assert is_clean(trio)


class Identity:
    """A pair of NATS keys of some kind, which signs claims about others."""

    def __init__(self, prefix: int) -> None:
        import nacl.signing

        raw = bytes(nacl.signing.SigningKey.generate())
        self.seed = nkeys.encode_seed(raw, prefix)  # type: ignore[no-untyped-call] # it has no types
        self.pair: Any = nkeys.from_seed(bytearray(self.seed))  # type: ignore[no-untyped-call] # it has no types
        self.public = self.pair.public_key.decode()

    def claim(self, subject: str, name: str, nats: dict[str, Any]) -> str:
        body = {"iat": int(time.time()), "iss": self.public, "name": name, "nats": nats, "sub": subject}
        body["jti"] = base64.b32encode(hashlib.sha256(json.dumps(body).encode()).digest()).decode().rstrip("=")
        parts = [json.dumps({"typ": "JWT", "alg": "ed25519-nkey"}).encode(), json.dumps(body).encode()]
        text = ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
        signature = base64.urlsafe_b64encode(self.pair.sign(text.encode())).decode().rstrip("=")
        return f"{text}.{signature}"


def test_a_credentials_file_lets_in(starter: Starter, tmp_path: Path) -> None:
    operator, system, account, user = (
        Identity(prefix)
        for prefix in (
            nkeys.PREFIX_BYTE_OPERATOR,
            nkeys.PREFIX_BYTE_ACCOUNT,
            nkeys.PREFIX_BYTE_ACCOUNT,
            nkeys.PREFIX_BYTE_USER,
        )
    )
    limits = dict.fromkeys(("subs", "data", "payload", "imports", "exports", "conn", "leaf"), -1)
    storage = dict.fromkeys(("mem_storage", "disk_storage", "streams", "consumer"), -1)
    kinds: dict[str, dict[str, Any]] = {
        "operator": {"type": "operator", "version": 2, "system_account": system.public},
        "system": {"type": "account", "version": 2, "limits": limits},
        "account": {"type": "account", "version": 2, "limits": limits | storage},
        "user": {"type": "user", "version": 2, "pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1},
    }
    signed = operator.claim(operator.public, "operator", kinds["operator"])
    preloaded = {
        system.public: operator.claim(system.public, "system", kinds["system"]),
        account.public: operator.claim(account.public, "salon", kinds["account"]),
    }
    jwt = account.claim(user.public, "salon", kinds["user"])
    credentials = tmp_path / "salon.creds"
    credentials.write_text(
        f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user.seed.decode()}\n------END USER NKEY SEED------\n"
    )
    accounts = "\n".join(f"  {public}: {claim}" for public, claim in preloaded.items())
    server = starter.nats(
        f"operator: {signed}\nsystem_account: {system.public}\nresolver: MEMORY\nresolver_preload: {{\n{accounts}\n}}"
    )
    trio = starter.trio(NATS_URL=server.url, NATS_CREDENTIALS_FILE=str(credentials))
    trio.until_ready()
    trio.until_nats(is_up=True)
    assert is_clean(trio)


async def give_every_server_a_copy(url: str, *, is_set: bool) -> None:
    """The setting does it, or what deploy/README.md has an operator do once."""
    client = await nats.connect(url, user="salon", password=PASSWORD)
    manager = client.jsm()
    config = (await manager.stream_info("SALON_LOG_0")).config
    if not is_set:
        config = (await manager.update_stream(replace(config, num_replicas=3))).config
    assert config.num_replicas == 3
    async with asyncio.timeout(20):
        while True:
            state = (await manager.stream_info("SALON_LOG_0")).cluster
            if state is not None and state.leader and len([r for r in state.replicas or [] if r.current]) == 2:
                break
            await asyncio.sleep(0.1)
    await client.close()


def cluster(starter: Starter) -> list[Nats]:
    """Three servers that know each other."""
    routes = held_ports(3)
    known = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes)
    return [
        starter.nats(
            f"server_name: n{number}\n{LOGIN}\n"
            f'cluster {{ name: salon, listen: "127.0.0.1:{port}", routes: [{known}] }}',
            name=f"nats-{number}",
        )
        for number, port in enumerate(routes)
    ]


def connected_to(trio: Trio, servers: list[Nats]) -> list[Nats]:
    """The servers that a service is connected to, by what the kernel knows."""
    import psutil  # type: ignore[import-untyped] # no stubs are installed for it

    ports: set[int] = set()
    for process in trio.processes:
        assert process.popen is not None
        ports |= {link.raddr.port for link in psutil.Process(process.popen.pid).net_connections("tcp") if link.raddr}
    return [server for server in servers if server.port in ports]


@pytest.mark.slow
@pytest.mark.parametrize("login_in", ["url", "settings"])
def test_every_service_survives_the_loss_of_its_server_of_a_cluster_and_names_nats_when_all_are_away(
    starter: Starter, login_in: str
) -> None:
    servers = cluster(starter)
    login = "salon:kX%2F9%2Bq%23t%401%3D@" if login_in == "url" else ""
    url = ",".join(f"nats://{login}127.0.0.1:{server.port}" for server in servers)
    trio = starter.trio(NATS_URL=url, **({} if login else KNOWN | {"WS_EDGE_STREAM_REPLICAS": "3"}))
    trio.until_ready()
    trio.until_nats(is_up=True)
    asyncio.run(give_every_server_a_copy(servers[0].url, is_set=not login))
    lost = connected_to(trio, servers)[0]
    lost.process.kill()
    until(lambda: lost not in connected_to(trio, servers), "nobody is left at the lost server", trio.processes)
    trio.until_nats(is_up=True)
    for server in servers:
        if server.process.is_running:
            server.process.kill()
    trio.until_nats(is_up=False)
    for server in servers:
        server.process.start()
    trio.until_nats(is_up=True)
    assert not any("Traceback" in process.text() or PASSWORD in process.text() for process in trio.processes)
