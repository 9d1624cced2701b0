"""``medfed parts``: everything a study can be made of."""

import json

import click

from medfed.core import registry
from medfed.core.errors import PartError
from medfed.core.options import Option, describe
from medfed.services.part_list import part_json, summary


@click.command()
@click.argument("kind", required=False, type=click.Choice(sorted(registry.KINDS)))
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def parts(kind: str | None, name: str | None, as_json: bool) -> None:
    """List the parts, of one KIND or the one called NAME, with their options."""
    kinds = [kind] if kind else [k for k in registry.KINDS if registry.names(k)]
    if name:
        registry.load(kind or "", name)  # complains when there is none
    found = {k: [n for n in registry.names(k) if name in (None, n)] for k in kinds}
    if as_json:
        listing = {k: {n: _as_json(k, n) for n in members} for k, members in found.items()}
        click.echo(json.dumps(listing, ensure_ascii=False))
        return
    for each, members in found.items():
        click.secho(each, bold=True)
        for member in members:
            _show(each, member)


def _show(kind: str, name: str) -> None:
    try:
        cls = registry.load(kind, name)
    except PartError as error:
        click.echo(f"  {name}: {error}")
        return
    click.echo(f"  {click.style(name, fg='cyan')}: {summary(cls)}")
    for option in describe(cls):
        click.echo(f"      {option.name} = {_default(option)}  {_words(option)}")


def _default(option: Option) -> str:
    return "(required)" if option.required else json.dumps(option.default)


def _words(option: Option) -> str:
    extra = ""
    if option.choices:
        extra = f" [{', '.join(map(str, option.choices))}]"
    elif option.low is not None and option.high is not None:
        extra = f" [{option.low:g} to {option.high:g}]"
    return f"# {option.help or option.type_name}{extra}"


def _as_json(kind: str, name: str) -> dict[str, object]:
    about = part_json(kind, name)
    return {**about, "options": {each.pop("name"): each for each in about["options"]}}
