"""Run by Alembic, with the connection that `farm.results.database` hands over."""

from alembic import context

from farm.results.schema import METADATA

context.configure(
    connection=context.config.attributes["connection"], target_metadata=METADATA,
    # SQLite cannot alter a table in place.
    render_as_batch=True,
    # All steps or none.
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
