"""Run by Alembic; the engine comes from `Database.upgrade`."""

from alembic import context

from medfed.storage.database.tables import Base

engine = context.config.attributes["engine"].execution_options(medfed_write=True)
with engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
    )
    with context.begin_transaction():
        if connection.dialect.name == "postgresql":
            # Two coordinators that start together must not both make the tables.
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7244537)")
        context.run_migrations()
