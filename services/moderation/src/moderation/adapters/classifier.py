"""Classifiers over HTTP/1.1: nobody is asked at an address that was not looked at, whatever their name leads to."""

import asyncio
import socket
import ssl
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import httpcore

from moderation.domain.classifiers import (
    CALLS,
    LARGEST_ANSWER_BYTES,
    PRIVATE_ADDRESS,
    Call,
    all_public,
    host_problem,
)
from moderation.errors import ClassifierFailed

KEPT_OPEN_S = 30.0
ADDRESS_TRIED_FOR_S = 0.1
"""Where a name has several: one that says nothing leaves time for the next one."""
LOOK_UPS_AT_ONCE = 4
"""In threads of their own: one that hangs holds up other classifiers, and nothing else."""
LOOKED_UP_FOR_S = 1.0
"""When a rule is saved."""
_OK = 200


class HttpClassifier:
    """Asks. Follows no redirect, uses no proxy, and takes answers of some bytes alone."""

    def __init__(
        self,
        *,
        private: bool,
        observe: Callable[[float], None],
        look_up: Callable[[str, int], list[str]] | None = None,
    ) -> None:
        """`private`: at any address, and without TLS too. `observe` is told how many seconds each exchange took. Who is
        asked with TLS has a certificate of an authority that the machine knows, or SSL_CERT_FILE names."""
        self._private = private
        self._observe = observe
        self._names = _Names(look_up or _look_up)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl.create_default_context(),
            max_connections=CALLS,
            max_keepalive_connections=CALLS,
            keepalive_expiry=KEPT_OPEN_S,
            network_backend=_CheckedBackend(self._names, private=private),
        )

    async def ask(self, call: Call) -> bytes:
        """See ports.Classifier."""
        problem = host_problem(call.url, private=self._private)
        if problem is not None:
            raise ClassifierFailed(problem)
        began_s = time.monotonic()
        try:
            async with self._pool.stream("POST", call.url, headers=list(call.headers), content=call.body) as response:
                if response.status != _OK:
                    raise ClassifierFailed(f"status {response.status}")
                return await _read(response)
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, OSError) as problem:
            raise ClassifierFailed(str(problem) or type(problem).__name__) from problem
        finally:
            self._observe(time.monotonic() - began_s)

    async def problem(self, url: str) -> str | None:
        """See ports.Classifier."""
        problem = host_problem(url, private=self._private)
        if problem is not None or self._private:
            return problem
        parts = urlsplit(url)
        try:
            async with asyncio.timeout(LOOKED_UP_FOR_S):
                addresses = await self._names.addresses(parts.hostname or "", parts.port or 443)
        except (OSError, TimeoutError):
            return None  # it is looked up again whenever it is asked
        return None if all_public(addresses) else PRIVATE_ADDRESS

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.aclose()
        self._names.close()


async def _read(response: httpcore.Response) -> bytes:
    body = b""
    async for part in response.aiter_stream():
        body += part
        if len(body) > LARGEST_ANSWER_BYTES:
            raise ClassifierFailed("an answer that is too long")
    return body


class _Names:
    """What host names lead to."""

    def __init__(self, look_up: Callable[[str, int], list[str]]) -> None:
        self._look_up = look_up
        self._threads = ThreadPoolExecutor(LOOK_UPS_AT_ONCE, thread_name_prefix="classifier names")

    async def addresses(self, host: str, port: int) -> list[str]:
        """At least one. Raises OSError."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._look_up, host, port)

    def close(self) -> None:
        """Waits for nothing that hangs."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _look_up(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as problem:  # a label that is empty or too long
        raise OSError(f"no name: {host}") from problem
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class _CheckedBackend(httpcore.AsyncNetworkBackend):
    """Connects to the addresses that were looked at, and to no name: what it leads to a moment later counts for
    nothing. TLS is for the name all the same, which httpcore says to the connection."""

    def __init__(self, names: _Names, *, private: bool) -> None:
        self._names = names
        self._private = private
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - as httpcore asks for it
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        addresses = await self._names.addresses(host, port)
        if not (self._private or all_public(addresses)):
            raise ClassifierFailed(PRIVATE_ADDRESS)
        *others, last = addresses
        for address in others:
            try:
                return await self._inner.connect_tcp(address, port, ADDRESS_TRIED_FOR_S, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._inner.connect_tcp(last, port, timeout, local_address, socket_options)

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)
