"""``medfed model``: what can be done with a trained model."""

from pathlib import Path

import click

from medfed.core.errors import DataError
from medfed.storage.models import read_model


@click.group()
def model() -> None:
    """Export a trained model."""


@model.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(["pth"]), default="pth", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="File to write; beside the model.")
def export(run: Path, form: str, out: Path | None) -> None:
    """Write the model of RUN (a run's folder or a model file) in another format.

    A .pth file holds the plain tensors of a PyTorch state_dict and opens with
    torch.load(FILE, weights_only=True).
    """
    source = run / "model.safetensors" if run.is_dir() else run
    tensors, _ = read_model(source)
    target = out or source.with_suffix(f".{form}")
    if not target.parent.is_dir():
        raise DataError(f"there is no folder {target.parent}", remedy="Make it first")
    from medfed.frameworks.export import write_pth  # imports torch

    write_pth(target, tensors)
    click.echo(f"Wrote {target}")
