"""`ldm clipscore`: how well pictures show what their captions say."""

from pathlib import Path
from typing import Annotated

import typer

from ldmcli.commands import options
from ldmcli.config.measuring import ClipScoreConfig
from ldmcli.console import output
from ldmcli.models.scorer_source import find_scorer


def clipscore(
    inputs: Annotated[list[Path] | None, typer.Argument(metavar="IMAGE|DIR...", show_default=False)] = None,
    captions: Annotated[
        Path | None,
        typer.Option("--captions", help="JSON, JSON Lines, CSV, TXT, or a folder of NAME.txt (default: the pictures' metadata)."),
    ] = None,
    data: Annotated[Path | None, typer.Option("--data", help="COCO folder; without IMAGE its own pictures are scored.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", help="Use only the first so many pictures.")] = None,
    clip_model: Annotated[
        str | None,
        typer.Option(
            "--clip-model", help="`bundled`, a folder or a hub id (default: openai/clip-vit-large-patch14; `bundled` for its own)."
        ),
    ] = None,
    prefix: Annotated[
        str, typer.Option("--prefix", help='Put before every caption, with a blank between; Hessel et al. use "A photo depicts".')
    ] = "",
    references: Annotated[Path | None, typer.Option("--references", help="Reference captions, as --captions; adds RefCLIPScore.")] = None,
    baseline: Annotated[str | None, typer.Option("--baseline", help="shuffled: the same pictures with each other's captions.")] = None,
    compare: Annotated[Path | None, typer.Option("--compare", help="Another folder of the same prompts: the paired difference.")] = None,
    fid: Annotated[Path | None, typer.Option("--fid", help="Folder of real pictures; adds FID and KID (needs torch-fidelity).")] = None,
    out: Annotated[Path | None, typer.Option("-o", "--output", help="Every pair's cosine: a .json, .jsonl or .csv file.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that exists.")] = False,
    batch_size: Annotated[int, typer.Option("--batch-size", help="Pictures at a time.")] = 32,
    seed: Annotated[int, typer.Option("-s", "--seed", help="Of the bootstrap and the permutations.")] = 0,
    device: options.DeviceOption = "auto",
    offline: Annotated[bool, typer.Option("--offline", help="Ask no hub; the cache only.")] = False,
    as_json: options.JsonOption = False,
    quiet: options.QuietOption = False,
) -> None:
    """Score pictures against their captions with a CLIP: CLIPScore with its uncertainty, floor and paired comparison."""
    config = ClipScoreConfig(
        inputs=tuple(inputs or ()), captions=captions, data=data, limit=limit, clip_model=clip_model, prefix=prefix, references=references,
        baseline=baseline, compare=compare, fid=fid, output=out, overwrite=overwrite, batch_size=batch_size, seed=seed,
        device=options.device_name(device), offline=offline,
    )  # fmt: skip
    if clip_model is not None:
        find_scorer(clip_model, offline=offline)  # a typo is told before torch is imported

    from ldmcli.engine.clipscore import run_clipscore

    output.show_scored(run_clipscore(config), as_json=as_json, quiet=quiet)
