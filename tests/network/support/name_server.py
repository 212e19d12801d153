"""A name server that answers every question with the addresses that it has just now."""

import asyncio
import socket
from typing import Self


class NameServer(asyncio.DatagramProtocol):
    """Knows IPv4 addresses alone."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)
        self.port = 0

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 0))
        self.port = self._transport.get_extra_info("sockname")[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._transport.close()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """RFC 1035: the question comes back with an answer for each address, none where it is not of type A."""
        end = data.index(0, 12) + 5
        found = self.addresses if data[end - 4 : end - 2] == b"\0\1" else []
        head = data[:2] + b"\x84\x00\0\1" + len(found).to_bytes(2) + bytes(4)
        answers = [b"\xc0\x0c\0\1\0\1" + bytes(4) + b"\0\4" + socket.inet_aton(address) for address in found]
        self._transport.sendto(head + data[12:end] + b"".join(answers), addr)
