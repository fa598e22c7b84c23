"""Alembic's entry: runs the versions on the connection that `storage.migrating.migrate` opened."""

from alembic import context

from storage import copies, missing_webhooks  # noqa: F401 -- the tables that are described there
from storage.models import Base

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=Base.metadata, transaction_per_migration=False)
with context.begin_transaction():
    context.run_migrations()
