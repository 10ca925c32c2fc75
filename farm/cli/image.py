"""`farm image`: build the guest image, or say where the cached one is."""

import json

import click
from rich.console import Console

from farm.host.cache import Store
from farm.host.workdir import Workdir
from farm.image import build_image


@click.command()
@click.option("--recipe", default="debian", show_default=True, help="Name of a recipe, or a path to a recipe's folder.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
def command(recipe: str, as_json: bool) -> None:
    """Build the guest image of a recipe unless it is in the cache.

    \b
    Example: farm image --recipe debian
    """
    workdir = Workdir.default()
    with Console(stderr=True).status("looking for the image") as status:
        store = Store(workdir.root / "store")
        image = build_image(recipe, workdir, store, lambda phase: status.update(f"image: {phase}"))
    if as_json:
        click.echo(json.dumps({
            "recipe": recipe, "digest": image.digest, "path": str(image.path), "cached": image.cached,
            "bytes": image.path.stat().st_blocks * 512,
        }))
    else:
        click.echo(f"{image.path}\nrecipe {recipe}, digest {image.digest}, {image.path.stat().st_blocks >> 11} MiB, "
                   + ("cached" if image.cached else "built now"))
