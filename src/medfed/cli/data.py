"""``medfed data``: fetch public data sets, make synthetic ones."""

import click


@click.group()
def data() -> None:
    """Fetch public data sets, make synthetic ones."""
