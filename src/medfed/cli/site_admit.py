"""``medfed site admit``: a released model approved for a hospital, by whoever has its machine."""

from pathlib import Path

import click

from medfed.cli.site_serve import CONSOLE
from medfed.config import Settings

PATH = click.Path(path_type=Path)


@click.command()
@click.argument("folder", type=PATH)
@click.argument("model", type=PATH)
@click.option("--guideline", default="", help="Address of the guideline to read its results with.")
@click.option("--title", default="", help="Title of that guideline.")
@click.option("--database", help="URL of the console's database (MEDFED_DATABASE).")
@click.pass_obj
def admit(
    settings: Settings, folder: Path, model: Path, guideline: str, title: str, database: str | None
) -> None:
    """Approve MODEL for the hospital of FOLDER, so that its console can ask it.

    MODEL is a run's folder or its model.safetensors. The file is copied, and known by its digest.
    """
    from medfed.federation.site_folder import SiteFolder

    SiteFolder(folder).settings()  # before a console's folder is made in it
    from medfed.services.console import Console, Faces  # imports SQLAlchemy
    from medfed.services.machine_acts import whoever

    faces = Faces(folder, coordinates=False)
    console = Console.open(folder / CONSOLE, database or settings.database, faces=faces)
    try:
        if console.desk is None:
            raise AssertionError("a hospital's console has a desk")
        link = {"title": title, "url": guideline}
        row = console.desk.models.enter(whoever(), model, guideline=link)
    finally:
        console.close()
    click.echo(f'Approved "{row.title}", model {row.sha256}')
