"""What roles that are there already learn with a new revision; migrations use it."""

import json
from collections.abc import Mapping, Sequence

import sqlalchemy as sa
from alembic import op


def teach_roles(added: Mapping[str, Sequence[str]]) -> None:
    """Give rights to roles by name. Roles that somebody changed keep their other rights.

    Args:
        added: The rights of each role, written out in the revision: what a later program calls
            them is no business of it.
    """
    roles = sa.table("roles", sa.column("name", sa.String), sa.column("rights", sa.Text))
    connection = op.get_bind()
    for name, rights in connection.execute(sa.select(roles.c.name, roles.c.rights)).all():
        known = json.loads(rights)
        new = [right for right in added.get(name, ()) if right not in known]
        if new:
            changed = roles.update().where(roles.c.name == name)
            connection.execute(changed.values(rights=json.dumps([*known, *new])))
