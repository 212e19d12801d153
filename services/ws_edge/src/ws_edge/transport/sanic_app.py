"""The type of the application, with Sanic's default configuration and context, and that of its requests."""

from types import SimpleNamespace
from typing import Any

from sanic import Request, Sanic
from sanic.config import Config

SanicApp = Sanic[Config, SimpleNamespace]


UNREAD = "NONE"
"""The method, as Sanic has it, of a request whose head could not be read."""


class EdgeRequest(Request):
    """To answer a request that it could not read, Sanic makes another one, without a method and with the same address,
    and fails again where the address was the reason."""

    def __init__(self, url_bytes: bytes, headers: Any, version: str, method: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(b"*" if method == UNREAD else url_bytes, headers, version, method, *args, **kwargs)
