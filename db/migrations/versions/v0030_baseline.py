"""Create all tables of 0.3.0, each under row-level security.

Numbers up to 0029 were never released.
"""

import re
from pathlib import Path

from alembic import context, op

revision = "0030"
down_revision = None
branch_labels = None
depends_on = None
FUNCTIONS = "d4c9608a24d99e9d171226601df1f3987e98f0a4b2593ce7203d4317e170e1cd"
"""The digest of all `db.migrate.FUNCTIONS`. From 0.3.0 on a change of these files takes the next number."""

# Row-level security is forced, so it holds for the owner too. The owner's policy lets the functions that run as the
# owner read across tenants. The application's role sees one tenant at a time, and none by default.
_ROW_SECURITY = """
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
CREATE POLICY owner_functions ON {table} TO CURRENT_USER USING (true) WITH CHECK (true);
"""
_OF_TENANT = """
CREATE POLICY tenant_only ON {table} TO {role}
    USING (tenant_id = nullif(current_setting('app.tenant_id', true), ''))
    WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), ''));
GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {role};
"""
_OF_NO_TENANT = """
CREATE POLICY console_only ON {table} TO {role} USING (true) WITH CHECK (true);
GRANT SELECT, INSERT ON {table} TO {role};
"""


def upgrade() -> None:
    role = context.config.attributes["application_role"]
    tables = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")
    op.execute(tables)
    for table in re.findall(r"(?m)^CREATE TABLE (\w+)", tables):
        access = _OF_NO_TENANT if table == "ended_sessions" else _OF_TENANT
        op.execute((_ROW_SECURITY + access).format(table=table, role=role))
    op.execute(f"GRANT SELECT ON job_rows TO {role}")
    # The application checks the revision at its start.
    op.execute(f"GRANT USAGE ON SCHEMA public TO {role}")
    op.execute(f"GRANT SELECT ON alembic_version TO {role}")
