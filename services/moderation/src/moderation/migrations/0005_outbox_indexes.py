"""What the outbox has still to do, what may go, and by which nonce a command is known again."""

from tortoise import migrations

from chassis.index_operations import AddPartialIndex

_PARTIAL = {
    "outbox_open": "outbox (due_at_ms) WHERE done_at_ms IS NULL",
    "outbox_open_by_life": "outbox (life) WHERE done_at_ms IS NULL",
    "outbox_done": "outbox (done_at_ms) WHERE done_at_ms IS NOT NULL",
    "audit_by_nonce": "audit (moderator_user_id, nonce) WHERE nonce IS NOT NULL",
}


class Migration(migrations.Migration):
    dependencies = [("moderation", "0004_outbox")]

    initial = False
    atomic = False

    operations = [AddPartialIndex(name, rows) for name, rows in _PARTIAL.items()]
