"""The tables. Times are Unix milliseconds, so that both databases compare them alike.
Indexes on a part of the rows are in the migrations alone."""

from datetime import UTC, datetime
from typing import ClassVar

from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model


def to_ms(when: datetime) -> int:
    """As a column has it: Unix milliseconds."""
    return int(when.timestamp() * 1000)


def from_ms(ms: int) -> datetime:
    """In UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC)


class RoomRow(Model):
    """One life of a room. The primary key is the life and never used again."""

    life = fields.BigIntField(primary_key=True, generated=True)
    room_id = fields.BigIntField(unique=True)
    slug = fields.CharField(max_length=128, unique=True)
    created_ms = fields.BigIntField()
    connection_count = fields.IntField(db_default=0)
    version = fields.BigIntField(db_default=0)
    crowded = fields.BooleanField(db_default=False)
    visited = fields.BooleanField(db_default=False)
    empty_since_ms = fields.BigIntField(null=True)
    partition_number = fields.SmallIntField(null=True)

    class Meta:
        table = "room"


class KeptSettingsRow(Model):
    """What holds against a slug and survives its rooms."""

    slug = fields.CharField(max_length=128, primary_key=True)
    room_id = fields.BigIntField(unique=True)
    owner = fields.BigIntField(null=True)
    name = fields.CharField(max_length=200)
    description = fields.TextField(null=True)
    is_public = fields.BooleanField()
    allow_anonymous = fields.BooleanField()
    created_ms = fields.BigIntField()
    last_used_ms = fields.BigIntField(null=True)

    class Meta:
        table = "kept_settings"
        indexes: ClassVar = (
            Index(fields=["last_used_ms"], name="kept_settings_by_use"),
            Index(fields=["owner"], name="kept_settings_by_owner"),
        )


class InvitationRow(Model):
    """Who may enter a private slug."""

    id = fields.BigIntField(primary_key=True, generated=True)
    slug = fields.CharField(max_length=128)
    user_id = fields.BigIntField()
    invited_by = fields.BigIntField()
    created_ms = fields.BigIntField()

    class Meta:
        table = "invitation"
        unique_together: ClassVar = (("slug", "user_id"),)


class ParticipantRow(Model):
    """A person in one life of a room. Users stay when they go offline, anonymous ones do not, unless they are away."""

    id = fields.BigIntField(primary_key=True, generated=True)
    life = fields.BigIntField()
    key = fields.CharField(max_length=64)
    user_id = fields.BigIntField(null=True, db_index=True)
    username = fields.TextField()
    connections = fields.IntField()
    announced = fields.BooleanField()
    joined_ms = fields.BigIntField()
    version = fields.BigIntField()
    away = fields.IntField(db_default=0)
    away_until_ms = fields.BigIntField(null=True)

    class Meta:
        table = "participant"
        unique_together: ClassVar = (("life", "key"),)
        indexes: ClassVar = (Index(fields=["life", "id"], name="participant_pages"),)


class ConnectionRow(Model):
    """One open connection."""

    id = fields.BigIntField(primary_key=True, generated=True)
    edge = fields.CharField(max_length=32)
    number = fields.BigIntField()
    life = fields.BigIntField(db_index=True)
    participant_id = fields.BigIntField(db_index=True)
    rank = fields.SmallIntField()
    stale = fields.BooleanField(db_default=False)

    class Meta:
        table = "connection"
        unique_together: ClassVar = (("edge", "number"),)


class EdgeLeaseRow(Model):
    """How long an edge incarnation is believed to live, by the clock of the database."""

    edge = fields.CharField(max_length=32, primary_key=True)
    expires_ms = fields.BigIntField()
    ordinal = fields.BigIntField(db_default=0)
    """The highest one of the edge's requests that carry ranks; 0: none came."""

    class Meta:
        table = "edge_lease"


class EndedLifeRow(Model):
    """A life that is over and whose participants and connections are still to be removed."""

    life = fields.BigIntField(primary_key=True, generated=False)
    reap_after_ms = fields.BigIntField()

    class Meta:
        table = "ended_life"
        indexes: ClassVar = (Index(fields=["reap_after_ms"], name="ended_life_by_time"),)


class DormantLogRow(Model):
    """The log of a life that is over, which may go on until it is to be purged."""

    life = fields.BigIntField(primary_key=True, generated=False)
    slug = fields.CharField(max_length=128)
    room_id = fields.BigIntField()
    partition_number = fields.SmallIntField(null=True)
    created_ms = fields.BigIntField()
    purge_after_ms = fields.BigIntField()
    claimed_until_ms = fields.BigIntField(db_default=0)

    class Meta:
        table = "dormant_log"
        indexes: ClassVar = (
            Index(fields=["purge_after_ms"], name="dormant_log_by_time"),
            Index(fields=["slug"], name="dormant_log_by_slug"),
            Index(fields=["room_id"], name="dormant_log_by_room"),
        )


class DeletedSlugRow(Model):
    """What ended for good, by deleteChatRoom or for edges of now: no edge may register this life, or an earlier one,
    again."""

    slug = fields.CharField(max_length=128, primary_key=True)
    last_life = fields.BigIntField()
    deleted_ms = fields.BigIntField()

    class Meta:
        table = "deleted_slug"
        indexes: ClassVar = (Index(fields=["deleted_ms"], name="deleted_slug_by_time"),)


class DeletedLifeRow(Model):
    """A life that deleteChatRoom ended: who asks for it is told so."""

    life = fields.BigIntField(primary_key=True, generated=False)
    deleted_ms = fields.BigIntField()

    class Meta:
        table = "deleted_life"
        indexes: ClassVar = (Index(fields=["deleted_ms"], name="deleted_life_by_time"),)


class EmoteRow(Model):
    """An image that is shown in place of :name:, in rooms of a slug or everywhere."""

    id = fields.BigIntField(primary_key=True, generated=True)
    slug = fields.CharField(max_length=128)
    """Empty: everywhere."""
    name = fields.CharField(max_length=100)
    url = fields.CharField(max_length=500)
    alt = fields.CharField(max_length=200)
    created_by = fields.BigIntField()
    created_ms = fields.BigIntField()

    class Meta:
        table = "emote"
        unique_together: ClassVar = (("slug", "name"),)


class EmoteChangeRow(Model):
    """The version of the last change of a slug's emotes."""

    slug = fields.CharField(max_length=128, primary_key=True)
    version = fields.BigIntField()

    class Meta:
        table = "emote_change"
        indexes: ClassVar = (Index(fields=["version"], name="emote_change_by_version"),)


class BlockRow(Model):
    """Whom a user does not want to read."""

    id = fields.BigIntField(primary_key=True, generated=True)
    user_id = fields.BigIntField()
    blocked_user_id = fields.BigIntField()
    created_ms = fields.BigIntField()

    class Meta:
        table = "block"
        unique_together: ClassVar = (("user_id", "blocked_user_id"),)


class VideoRow(Model):
    """The catalogue of videos that the service keeps itself."""

    id = fields.BigIntField(primary_key=True, generated=False)
    title = fields.CharField(max_length=200)
    created_ms = fields.BigIntField()

    class Meta:
        table = "video"


class CounterRow(Model):
    """The next public room id that the server chooses."""

    name = fields.CharField(max_length=32, primary_key=True)
    next = fields.BigIntField()

    class Meta:
        table = "counter"


class LogPositionRow(Model):
    """The highest sequence of one partition of the log, only ever raised."""

    partition_number = fields.SmallIntField(primary_key=True, generated=False)
    highest = fields.BigIntField()
    resumed = fields.BigIntField()

    class Meta:
        table = "log_position"
