"""The type of the application, with Sanic's default configuration and context."""

from types import SimpleNamespace

from sanic import Sanic
from sanic.config import Config

SanicApp = Sanic[Config, SimpleNamespace]
