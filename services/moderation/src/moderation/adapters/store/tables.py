"""The tables. Rows stay in this package. A docstring becomes the comment of its table and must hold no semicolon.
Indexes on a part of the rows are in migrations/0003_open_indexes.py, 0005_outbox_indexes.py and 0008_audit_indexes.py:
Tortoise knows none."""

from typing import Any

from tortoise import fields
from tortoise.indexes import Index
from tortoise.models import Model

SECRET_LENGTH = 128
SLUG_LENGTH = 512  # bytes of 128 letters; PostgreSQL counts letters, so this is generous
NAME_LENGTH = 255
REASON_LENGTH = 500
ADDRESS_LENGTH = 64
NONCE_LENGTH = 64
CLAIM_LENGTH = 32
JTI_LENGTH = 128
DIGEST_LENGTH = 64
SALT_LENGTH = 32
KIND_LENGTH = 32
CONNECTION_LENGTH = 128
ROLE_LENGTH = 32
RULE_NAME_LENGTH = 400  # bytes of 100 letters


class SanctionRow(Model):
    """One ban or mute. The row stays when it is over."""

    id = fields.BigIntField(primary_key=True, generated=True)
    kind = fields.SmallIntField()
    target_user_id = fields.BigIntField()
    target_username = fields.CharField(max_length=NAME_LENGTH)
    slug = fields.CharField(max_length=SLUG_LENGTH, null=True)
    reason = fields.CharField(max_length=REASON_LENGTH)
    moderator_user_id = fields.BigIntField()
    moderator_rank = fields.SmallIntField()
    created_at_ms = fields.BigIntField()
    expires_at_ms = fields.BigIntField(null=True)
    lifted_at_ms = fields.BigIntField(null=True)
    """When it ended; null: nobody has found yet that it did. Equal to expires_at_ms: by its time, not by anybody."""
    evidence_erased_at_ms = fields.BigIntField(null=True)

    class Meta:
        table = "sanction"
        app = "moderation"
        indexes = (
            Index(fields=("target_user_id", "lifted_at_ms"), name="sanction_by_target"),
            Index(fields=("slug", "id"), name="sanction_by_slug"),
            Index(fields=("lifted_at_ms", "expires_at_ms"), name="sanction_in_force"),
        )


class SanctionAddressRow(Model):
    """An address from which anonymous connections are held by a sanction."""

    id = fields.BigIntField(primary_key=True, generated=True)
    sanction_id = fields.BigIntField()
    address = fields.CharField(max_length=ADDRESS_LENGTH)

    class Meta:
        table = "sanction_address"
        app = "moderation"
        unique_together = (("sanction_id", "address"),)
        indexes = (Index(fields=("address",), name="sanction_address_by_address"),)


class AuditRow(Model):
    """One thing that was done. Its id is the id of the event."""

    id = fields.BigIntField(primary_key=True, generated=True)
    action = fields.SmallIntField()
    target_user_id = fields.BigIntField()
    target_username = fields.CharField(max_length=NAME_LENGTH)
    moderator_user_id = fields.BigIntField()
    moderator_rank = fields.SmallIntField()
    duration_minutes = fields.IntField()
    scope = fields.SmallIntField()
    slug = fields.CharField(max_length=SLUG_LENGTH)
    reason = fields.CharField(max_length=REASON_LENGTH)
    at_ms = fields.BigIntField()
    imposed_id = fields.BigIntField(null=True)
    lifted_ids: list[int] = fields.JSONField()
    followed_address = fields.CharField(max_length=ADDRESS_LENGTH, null=True)
    """Set where the service itself added an address to a sanction; empty when the address was erased."""
    evidence_erased_at_ms = fields.BigIntField(null=True)
    nonce = fields.CharField(max_length=NONCE_LENGTH, null=True)
    """The client's, where it sent one; the command is known by it for two minutes."""
    message_id = fields.BigIntField(null=True)
    """Of a deletion and of a pin; its author is the target."""
    message_text: str | None = fields.TextField(null=True)
    """Of a deletion, a mute by rule or a hold; empty when it was erased, null where the log could not be read before
    the message was gone."""
    purged = fields.BooleanField(null=True)
    """Of a sanction: the target's messages were taken back with it."""
    details: dict[str, Any] | None = fields.JSONField(null=True)
    """Of a change of the policy, by an undo too, or of a rule: its version, the fields as they were before and as they
    are since. Of one of the pin: its version, the life, the ids of what was pinned before and of what is since; of an
    undo of one under `pin`. Of a hold and of decisions about it: which (hold_id), and of the hold by which
    rule. Of a mute by rule: which one. Of a role: the version of the room's roles, and the role
    before and since. Of revoked tokens which (jti, or before_ms). Of an erased user the
    sanctions that were made anew (imposed_ids). Of an undo what the frame calls it (action), the
    sanctions that it imposed (imposed_ids) and which of before those are again (again_of), and what it left
    (not_undone). Of a deletion whose message was read later: the row of the deletion (completes)."""
    undoes_id = fields.BigIntField(null=True)
    """Of an undo: what it undoes."""
    chain = fields.CharField(max_length=SLUG_LENGTH, null=True)
    """As domain/audit.py has it, as everything below; null: the row is from before there were chains."""
    previous_digest = fields.CharField(max_length=DIGEST_LENGTH, null=True)
    digest = fields.CharField(max_length=DIGEST_LENGTH, null=True)
    evidence_salt = fields.CharField(max_length=SALT_LENGTH, null=True)
    evidence_digest = fields.CharField(max_length=DIGEST_LENGTH, null=True)

    class Meta:
        table = "audit"
        app = "moderation"
        indexes = (
            Index(fields=("at_ms",), name="audit_by_time"),
            Index(fields=("slug", "id"), name="audit_by_slug"),
            Index(fields=("slug", "action", "id"), name="audit_by_kind"),
            Index(fields=("moderator_user_id", "id"), name="audit_by_actor"),
            Index(fields=("target_user_id", "target_username", "id"), name="audit_by_target"),
        )


class PolicyRow(Model):
    """The policy of the rooms of a slug, across their lives."""

    slug = fields.CharField(max_length=SLUG_LENGTH, primary_key=True)
    version = fields.BigIntField()
    """Rises over all rows."""
    policy: dict[str, Any] = fields.JSONField()
    """Fields that were ever changed, those of later versions of this service included, which every change keeps."""
    field_versions: dict[str, int] | None = fields.JSONField(null=True)
    """Of each field the last version that named it, where that was not before this was kept: for replicas of before,
    which undo by it. Those of now go by the audit log."""

    class Meta:
        table = "policy"
        app = "moderation"
        indexes = (Index(fields=("version",), name="policy_by_version"),)


class PinRow(Model):
    """What is pinned in a slug, of the newest of its lives in which anything was."""

    slug = fields.CharField(max_length=SLUG_LENGTH, primary_key=True)
    life = fields.BigIntField()
    version = fields.BigIntField()
    """Rises over all rows."""
    message: dict[str, Any] | None = fields.JSONField(null=True)
    """As the log had it; null: nothing is pinned any more. Gone in the transaction in which it is taken back."""
    moderator_user_id = fields.BigIntField()
    changed_at_ms = fields.BigIntField()

    class Meta:
        table = "pin"
        app = "moderation"
        indexes = (
            Index(fields=("version",), name="pin_by_version"),
            Index(fields=("changed_at_ms",), name="pin_by_time"),
        )


class WarningRow(Model):
    """A warning of somebody in the rooms of a slug. Stays when it is acknowledged."""

    id = fields.BigIntField(primary_key=True, generated=False)
    """The audit row of the command."""
    slug = fields.CharField(max_length=SLUG_LENGTH)
    target_user_id = fields.BigIntField()
    target_username = fields.CharField(max_length=NAME_LENGTH)
    reason = fields.CharField(max_length=REASON_LENGTH)
    moderator_user_id = fields.BigIntField()
    moderator_rank = fields.SmallIntField()
    created_at_ms = fields.BigIntField()
    state = fields.SmallIntField()
    delivered_at_ms = fields.BigIntField(null=True)
    """When it was first reported that its target was sent it."""
    closed_at_ms = fields.BigIntField(null=True)
    """Null: it is open."""
    version = fields.BigIntField()
    """Rises over all rows."""

    class Meta:
        table = "warning"
        app = "moderation"
        indexes = (
            Index(fields=("version",), name="warning_by_version"),
            Index(fields=("slug", "closed_at_ms"), name="warning_by_slug"),
            Index(fields=("target_user_id", "target_username"), name="warning_by_target"),
            Index(fields=("closed_at_ms", "created_at_ms"), name="warning_by_end"),
        )


class HoldRow(Model):
    """A message that waits for a moderator, or has waited."""

    id = fields.BigIntField(primary_key=True, generated=True)
    slug = fields.CharField(max_length=SLUG_LENGTH)
    log_partition = fields.IntField()
    room_id = fields.BigIntField()
    life = fields.BigIntField()
    user_id = fields.BigIntField()
    username = fields.CharField(max_length=NAME_LENGTH)
    connection = fields.CharField(max_length=CONNECTION_LENGTH)
    address = fields.CharField(max_length=ADDRESS_LENGTH)
    """Of an anonymous author, for a ban that reaches it; empty when it was decided about."""
    rank = fields.SmallIntField()
    role = fields.CharField(max_length=ROLE_LENGTH)
    text = fields.TextField()
    """Empty when it was decided about: the audit row of the hold has it as evidence, the outbox until it is stored."""
    nonce = fields.CharField(max_length=NONCE_LENGTH)
    number = fields.BigIntField()
    reply_to = fields.BigIntField()
    rule_id = fields.BigIntField()
    rule_name = fields.CharField(max_length=RULE_NAME_LENGTH)
    state = fields.SmallIntField()
    held_at_ms = fields.BigIntField()
    decided_by = fields.BigIntField(default=0)
    decided_at_ms = fields.BigIntField(null=True)
    """Null: it waits."""
    action_id = fields.BigIntField(null=True)
    """The audit row of the decision."""

    class Meta:
        table = "hold"
        app = "moderation"
        indexes = (
            Index(fields=("decided_at_ms", "held_at_ms"), name="hold_by_end"),
            Index(fields=("slug", "decided_at_ms", "id"), name="hold_by_slug"),
            Index(fields=("user_id", "username", "decided_at_ms"), name="hold_by_author"),
            Index(fields=("user_id", "nonce"), name="hold_by_nonce"),
        )


class RuleRow(Model):
    """A rule of the rooms of a slug, or for everywhere where that is empty."""

    id = fields.BigIntField(primary_key=True, generated=True)
    slug = fields.CharField(max_length=SLUG_LENGTH)
    version = fields.BigIntField()
    rule: dict[str, Any] = fields.JSONField()
    changed_by = fields.BigIntField()
    changed_at_ms = fields.BigIntField()
    hits = fields.BigIntField(default=0)
    acted = fields.BigIntField(default=0)
    secret = fields.CharField(max_length=SECRET_LENGTH, null=True)
    """Of a classifier, as the next two. What its requests are signed with; empty, or null: nothing is."""
    earlier_secret = fields.CharField(max_length=SECRET_LENGTH, null=True)
    earlier_until_ms = fields.BigIntField(null=True)

    class Meta:
        table = "rule"
        app = "moderation"
        indexes = (Index(fields=("slug", "id"), name="rule_by_slug"),)


class RulesRow(Model):
    """What replicas have to know of the rules of a slug before they read them."""

    slug = fields.CharField(max_length=SLUG_LENGTH, primary_key=True)
    version = fields.BigIntField()
    """Rises over all rows. The row stays when the last rule is deleted."""
    judges = fields.BooleanField()
    acts = fields.BooleanField()

    class Meta:
        table = "rules_of_slug"
        app = "moderation"
        indexes = (Index(fields=("version",), name="rules_by_version"),)


class RuleHitRow(Model):
    """One of the last messages that a rule hit."""

    id = fields.BigIntField(primary_key=True, generated=True)
    rule_id = fields.BigIntField()
    slug = fields.CharField(max_length=SLUG_LENGTH)
    at_ms = fields.BigIntField()
    user_id = fields.BigIntField()
    username = fields.CharField(max_length=NAME_LENGTH)
    text = fields.TextField()
    pattern = fields.TextField()
    action = fields.SmallIntField()
    acted = fields.BooleanField()

    class Meta:
        table = "rule_hit"
        app = "moderation"
        indexes = (
            Index(fields=("rule_id", "id"), name="rule_hit_by_rule"),
            Index(fields=("at_ms",), name="rule_hit_by_time"),
            Index(fields=("user_id",), name="rule_hit_by_user"),
        )


class FeedEventRow(Model):
    """Something that the moderators of a slug are told. Kept for a day, and no more than some 600 of a slug."""

    id = fields.BigIntField(primary_key=True, generated=False)
    """Rises over all slugs as events are committed, and is no lower than the time of the replica that wrote it."""
    slug = fields.CharField(max_length=SLUG_LENGTH)
    previous_id = fields.BigIntField()
    """The event of the slug before it; 0: none that was kept."""
    number = fields.BigIntField()
    """Of the events of the slug, counted from the oldest that was kept when it was written."""
    kind = fields.CharField(max_length=KIND_LENGTH)
    data: dict[str, Any] = fields.JSONField()
    action_id = fields.BigIntField(null=True)
    """The audit row that it tells of, which holds what of that is erased one day."""
    at_ms = fields.BigIntField()

    class Meta:
        table = "feed_event"
        app = "moderation"
        indexes = (Index(fields=("slug", "id"), name="feed_event_by_slug"),)


class RoomRolesRow(Model):
    """The roles of the rooms of a slug, across their lives."""

    slug = fields.CharField(max_length=SLUG_LENGTH, primary_key=True)
    version = fields.BigIntField()
    """Rises over all rows."""
    owner = fields.BigIntField()
    """Whose room it was when they were given, 0: nobody's."""
    roles: list[list[int]] = fields.JSONField()
    """By user id: user id, role, who gave it, and when, in Unix milliseconds."""

    class Meta:
        table = "room_roles"
        app = "moderation"
        indexes = (
            Index(fields=("version",), name="room_roles_by_version"),
            Index(fields=("owner", "version"), name="room_roles_by_owner"),
        )


class ReportRow(Model):
    """What a viewer reported, with the message as it was said. Stays when it is decided."""

    id = fields.BigIntField(primary_key=True, generated=True)
    slug = fields.CharField(max_length=SLUG_LENGTH)
    reporter_user_id = fields.BigIntField()
    reporter_username = fields.CharField(max_length=NAME_LENGTH)
    category = fields.SmallIntField()
    note = fields.CharField(max_length=REASON_LENGTH)
    target_user_id = fields.BigIntField()
    target_username = fields.CharField(max_length=NAME_LENGTH)
    """As the chat shows it, of users as well."""
    message_id = fields.BigIntField(null=True)
    message_at_ms = fields.BigIntField(null=True)
    message_text: str | None = fields.TextField(null=True)
    """Empty when it was erased."""
    before_ids: list[int] = fields.JSONField()
    after_ids: list[int] = fields.JSONField()
    created_at_ms = fields.BigIntField()
    state = fields.SmallIntField()
    closed_at_ms = fields.BigIntField(null=True)
    closed_by = fields.BigIntField()
    evidence_erased_at_ms = fields.BigIntField(null=True)

    class Meta:
        table = "report"
        app = "moderation"
        unique_together = (("reporter_user_id", "message_id"),)
        indexes = (
            Index(fields=("slug", "state", "id"), name="report_by_slug"),
            Index(fields=("state", "id"), name="report_by_state"),
            Index(fields=("reporter_user_id", "created_at_ms"), name="report_by_reporter"),
            Index(fields=("target_user_id", "target_username", "id"), name="report_by_target"),
            Index(fields=("created_at_ms",), name="report_by_time"),
        )


class UnbanRequestRow(Model):
    """What a banned user asked, of a slug, or of everywhere where that is empty. Stays when it is decided."""

    id = fields.BigIntField(primary_key=True, generated=True)
    sanction_id = fields.BigIntField()
    slug = fields.CharField(max_length=SLUG_LENGTH)
    user_id = fields.BigIntField()
    username = fields.CharField(max_length=NAME_LENGTH)
    text = fields.CharField(max_length=REASON_LENGTH)
    created_at_ms = fields.BigIntField()
    state = fields.SmallIntField()
    closed_at_ms = fields.BigIntField(null=True)
    closed_by = fields.BigIntField()
    note = fields.CharField(max_length=REASON_LENGTH)
    evidence_erased_at_ms = fields.BigIntField(null=True)

    class Meta:
        table = "unban_request"
        app = "moderation"
        indexes = (
            Index(fields=("sanction_id", "id"), name="unban_request_by_sanction"),
            Index(fields=("slug", "state", "id"), name="unban_request_by_slug"),
            Index(fields=("state", "id"), name="unban_request_by_state"),
            Index(fields=("user_id", "id"), name="unban_request_by_user"),
            Index(fields=("created_at_ms",), name="unban_request_by_time"),
        )


class RevocationRow(Model):
    """One token, or what tokens a user had before a time, that edges refuse."""

    key = fields.CharField(max_length=JTI_LENGTH + 2, primary_key=True)
    """As Revocation.key."""
    user_id = fields.BigIntField()
    jti = fields.CharField(max_length=JTI_LENGTH)
    before_ms = fields.BigIntField()
    until_ms = fields.BigIntField()
    version = fields.BigIntField()
    """Rises over all rows."""

    class Meta:
        table = "revocation"
        app = "moderation"
        indexes = (
            Index(fields=("version",), name="revocation_by_version"),
            Index(fields=("until_ms",), name="revocation_by_end"),
        )


class NoteRow(Model):
    """What a moderator wrote of somebody, for the moderators of a slug."""

    id = fields.BigIntField(primary_key=True, generated=True)
    slug = fields.CharField(max_length=SLUG_LENGTH)
    target_user_id = fields.BigIntField()
    target_username = fields.CharField(max_length=NAME_LENGTH)
    text = fields.TextField()
    author_user_id = fields.BigIntField()
    author_username = fields.CharField(max_length=NAME_LENGTH)
    author_rank = fields.SmallIntField()
    created_at_ms = fields.BigIntField()

    class Meta:
        table = "note"
        app = "moderation"
        indexes = (
            Index(fields=("slug", "target_user_id", "target_username", "id"), name="note_by_target"),
            Index(fields=("created_at_ms",), name="note_by_time"),
            Index(fields=("target_user_id",), name="note_by_user"),
            Index(fields=("author_user_id",), name="note_by_author"),
        )


class VisitRow(Model):
    """When a user was first and last in the rooms of a slug, under a name."""

    id = fields.BigIntField(primary_key=True, generated=True)
    user_id = fields.BigIntField()
    slug = fields.CharField(max_length=SLUG_LENGTH)
    name = fields.CharField(max_length=NAME_LENGTH)
    first_seen_ms = fields.BigIntField()
    last_seen_ms = fields.BigIntField()

    class Meta:
        table = "visit"
        app = "moderation"
        unique_together = (("user_id", "slug", "name"),)
        indexes = (Index(fields=("last_seen_ms",), name="visit_by_time"),)


class OutboxRow(Model):
    """What a command has to do in the log of a room. Stays a while when that is done."""

    action_id = fields.BigIntField(primary_key=True, generated=False)
    """The audit row of the command."""
    kind = fields.SmallIntField()
    log_partition = fields.IntField()
    room_id = fields.BigIntField()
    life = fields.BigIntField()
    details: dict[str, Any] = fields.JSONField()
    entry_id = fields.BigIntField(null=True)
    attempts = fields.IntField(default=0)
    made_at_ms = fields.BigIntField()
    resolved_at_ms = fields.BigIntField(null=True)
    due_at_ms = fields.BigIntField()
    """From then on anybody may take it: whoever has it moves this on for as long as it works."""
    claim = fields.CharField(max_length=CLAIM_LENGTH)
    done_at_ms = fields.BigIntField(null=True)

    class Meta:
        table = "outbox"
        app = "moderation"


class SightingRow(Model):
    """When somebody was last seen in a room from an address."""

    id = fields.BigIntField(primary_key=True, generated=True)
    user_id = fields.BigIntField()
    name = fields.CharField(max_length=NAME_LENGTH)
    slug = fields.CharField(max_length=SLUG_LENGTH)
    address = fields.CharField(max_length=ADDRESS_LENGTH)
    seen_at_ms = fields.BigIntField()

    class Meta:
        table = "sighting"
        app = "moderation"
        unique_together = (("user_id", "name", "slug", "address"),)
        indexes = (Index(fields=("seen_at_ms",), name="sighting_by_time"),)
