"""The JetStream stream that stores, orders and republishes every room's messages."""

from dataclasses import replace

from nats.js import JetStreamManager
from nats.js.api import RePublish, StorageType, StreamConfig
from nats.js.errors import APIError, NotFoundError

STREAM = "SALON_MESSAGES"
_DAY_S = 24 * 60 * 60
_DUPLICATE_WINDOW_S = 120
_STREAM_NAME_IN_USE = 10058

_WANTED = StreamConfig(
    name=STREAM,
    subjects=["salon.v1.room.*.*.message"],
    republish=RePublish(src="salon.v1.room.*.*.message", dest="salon.v1.live.{{wildcard(1)}}.{{wildcard(2)}}.message"),
    storage=StorageType.FILE,
    max_msgs_per_subject=500,
    max_age=_DAY_S,
    duplicate_window=_DUPLICATE_WINDOW_S,
    allow_direct=True,
)


async def ensure_stream(manager: JetStreamManager) -> None:
    """Create the stream, or bring an existing one to these settings; whatever else was chosen for it stays.

    Several workers may do this at the same time. Raises nats.errors.Error.
    """
    try:
        present = (await manager.stream_info(STREAM)).config
    except NotFoundError:
        await _create(manager)
        return
    fitted = _fit(present)
    if fitted != present:
        await manager.update_stream(fitted)


def _fit(present: StreamConfig) -> StreamConfig:
    """The number of replicas, the placement and the limits in bytes are the operator's; storage cannot be changed."""
    return replace(
        present,
        subjects=_WANTED.subjects,
        republish=_WANTED.republish,
        max_msgs_per_subject=_WANTED.max_msgs_per_subject,
        max_age=_WANTED.max_age,
        duplicate_window=_WANTED.duplicate_window,
        allow_direct=_WANTED.allow_direct,
    )


async def _create(manager: JetStreamManager) -> None:
    try:
        await manager.add_stream(_WANTED)
    except APIError as refusal:
        if refusal.err_code != _STREAM_NAME_IN_USE:
            raise
        # Another worker was quicker; if with other settings, the next look finds and corrects them.
