"""Operations of migrations that make indexes beside running replicas: on PostgreSQL nobody waits for them, and one that
a start which was broken off left unfinished is dropped and made anew. Their migration says `atomic = False`."""

from tortoise.migrations import operations as ops
from tortoise.migrations.schema_editor.base import BaseSchemaEditor
from tortoise.migrations.schema_generator.state import State

_IS_VALID = (
    "SELECT i.indisvalid AS is_valid FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid"
    " WHERE c.relname = $1 AND pg_table_is_visible(c.oid)"
)


class AddPartialIndex(ops.TortoiseOperation):
    """An index that no model knows, as Tortoise has none on a part of the rows."""

    def __init__(self, name: str, rows: str) -> None:
        self.name = name
        self.rows = rows

    def describe(self) -> str:
        """For the log."""
        return f"Add index {self.name}"

    async def database_forward(
        self, app_label: str, old_state: State, new_state: State, state_editor: BaseSchemaEditor | None = None
    ) -> None:
        """Make it."""
        if state_editor is not None:
            await _make(state_editor, self.name, self.rows)

    async def database_backward(
        self, app_label: str, old_state: State, new_state: State, state_editor: BaseSchemaEditor | None = None
    ) -> None:
        """Drop it."""
        if state_editor is not None:
            await _drop(state_editor, self.name)


class AddIndex(ops.AddIndex):
    """An index of a model. It has a name and plain columns."""

    async def database_forward(
        self, app_label: str, old_state: State, new_state: State, state_editor: BaseSchemaEditor | None = None
    ) -> None:
        """Make it."""
        if state_editor is not None:
            table = new_state.apps.get_model(f"{app_label}.{self.model_name}")._meta.db_table
            await _make(state_editor, str(self.index.name), f"{table} ({', '.join(self.index.fields)})")

    async def database_backward(
        self, app_label: str, old_state: State, new_state: State, state_editor: BaseSchemaEditor | None = None
    ) -> None:
        """Drop it."""
        if state_editor is not None:
            await _drop(state_editor, str(self.index.name))


async def _make(editor: BaseSchemaEditor, name: str, rows: str) -> None:
    concurrently = _concurrently(editor)
    if concurrently:
        found = await editor.client.execute_query_dict(_IS_VALID, [name])
        if found and not found[0]["is_valid"]:
            await _drop(editor, name)
    await editor.client.execute_script(f"CREATE INDEX {concurrently} IF NOT EXISTS {name} ON {rows}")


async def _drop(editor: BaseSchemaEditor, name: str) -> None:
    await editor.client.execute_script(f"DROP INDEX {_concurrently(editor)} IF EXISTS {name}")


def _concurrently(editor: BaseSchemaEditor) -> str:
    return "CONCURRENTLY" if editor.client.capabilities.dialect == "postgres" else ""
