"""The sockets that the edge listens on."""

import socket


def bind(host: str, port: int, *, count: int = 1) -> list[socket.socket]:
    """`count` sockets on one port, which the kernel spreads connections over; port 0: any. Raises OSError.

    The first is bound alone for a moment: sharing would hide that somebody else has the port.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    alone = socket.socket(family, kind, protocol)
    alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        alone.bind(address)
    except OSError:
        alone.close()
        raise
    if count == 1:
        return [alone]
    taken = alone.getsockname()
    alone.close()
    return [_bind_shared(family, kind, protocol, taken) for _ in range(count)]


def adopt(fd: int) -> socket.socket:
    """The bound socket that a parent process handed down."""
    return socket.socket(fileno=fd)


def _bind_shared(family: int, kind: int, protocol: int, address: tuple[object, ...]) -> socket.socket:
    sock = socket.socket(family, kind, protocol)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(address)
    return sock
