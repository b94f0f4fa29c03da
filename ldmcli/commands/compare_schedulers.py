"""`ldm compare-schedulers`: the same noise through every scheduler."""

from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from ldmcli.commands import options
from ldmcli.commands.asked import asked_for
from ldmcli.config.checks import check
from ldmcli.config.generation import GenerateConfig
from ldmcli.config.measuring import CompareConfig
from ldmcli.console import output
from ldmcli.diffusion import catalogue
from ldmcli.engine.compare_plan import plan_cells, plan_folder
from ldmcli.engine.jobs import changed
from ldmcli.models.source import find_model


def compare_schedulers(
    prompts: Annotated[list[str] | None, typer.Argument(metavar="PROMPT...", show_default=False)] = None,
    more: Annotated[list[str] | None, typer.Option("-p", "--prompt", help="Another prompt; repeatable.")] = None,
    prompts_file: Annotated[str | None, typer.Option("-f", "--prompts-file", "--from-file", help="One prompt a line; - is stdin.")] = None,
    schedulers: Annotated[
        str, typer.Option("--schedulers", "--samplers", help="Names with commas between; see generate --list-schedulers.")
    ] = ",".join(CompareConfig().schedulers),
    steps: Annotated[str, typer.Option("--steps", help="Step counts with commas between.")] = ",".join(map(str, CompareConfig().steps)),
    equal_nfe: Annotated[bool, typer.Option("--equal-nfe", help="Read --steps as U-Net calls, equal for all.")] = False,
    seeds: Annotated[int, typer.Option("--seeds", help="Pictures per prompt: seed, seed + 1, ...")] = 1,
    reference_steps: Annotated[int, typer.Option("--reference-steps", help="Of the DDIM walk that errors are measured against.")] = 250,
    clip_model: Annotated[str, typer.Option("--clip-model", help="For CLIPScore: auto, none, bundled, a folder or a hub id.")] = "auto",
    negative_prompt: Annotated[str, typer.Option("--negative-prompt", "--negative", help="What to steer away from.")] = "",
    model: Annotated[str, typer.Option("-m", "--model", help="`bundled`, a training run or a diffusers folder.")] = "bundled",
    cfg: Annotated[float | None, typer.Option("--cfg", "--cfg-scale", "--guidance-scale", help="1 or less: no guidance.")] = None,
    cfg_rescale: Annotated[float, typer.Option("--cfg-rescale", help="0 to 1 (Lin et al. 2023).")] = 0.0,
    spacing: Annotated[
        str | None, typer.Option("--spacing", help="leading, linspace or trailing for all (default: each one's own).")
    ] = None,
    sigma_clip: Annotated[bool, typer.Option("--sigma-clip/--no-sigma-clip", help="Start cosine models at sigma 164.")] = True,
    seed: options.SeedOption = None,
    batch_size: Annotated[int, typer.Option("--batch-size", help="Pictures at a time.")] = 8,
    width: Annotated[int | None, typer.Option("-W", "--width", help="Pixels (default: the model's).")] = None,
    height: Annotated[int | None, typer.Option("-H", "--height", help="Pixels (default: the model's).")] = None,
    size: Annotated[str | None, typer.Option("--size", help="WIDTHxHEIGHT.")] = None,
    out: Annotated[Path | None, typer.Option("-o", "--output", help="Folder (default outputs/compare-N).")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the results in the folder.")] = False,
    device: options.DeviceOption = "auto",
    dtype: Annotated[str, typer.Option("--dtype", help="auto, fp32, fp16 or bf16.")] = "auto",
    as_json: options.JsonOption = False,
    quiet: options.QuietOption = False,
) -> None:
    """Draw each PROMPT from the same noise by every scheduler, and show how far each is from a converged walk."""
    width, height = options.picture_size(size, width, height)
    drawing = GenerateConfig(
        negative_prompt=negative_prompt, model=model, cfg=cfg, cfg_rescale=cfg_rescale, spacing=spacing, sigma_clip=sigma_clip,
        seed=None if seed == -1 else seed, num_images=seeds, batch_size=batch_size, width=width, height=height, strict=True,
        device=options.device_name(device), dtype=options.dtype_name(dtype),
    )  # fmt: skip
    changed(drawing, {"scheduler": "ddim", "steps": reference_steps})
    config = CompareConfig(
        drawing=drawing, schedulers=tuple(catalogue.resolve(name).name for name in schedulers.split(",")),
        steps=tuple(sorted(options.whole_numbers(steps, "--steps") or ())), equal_nfe=equal_nfe, reference_steps=reference_steps,
        clip_model=clip_model, output=out, overwrite=overwrite,
    )  # fmt: skip
    requests, _, notes = asked_for([*(prompts or ()), *(more or ())], prompts_file, [], drawing)
    for request in requests:
        check(
            request.config in (drawing, changed(drawing, {"prompts": (request.prompt,)})),
            f"line {request.line} of the prompts has options of its own; a comparison gives the same to all.",
            "Name them on the command line.",
        )
    source = find_model(model)
    plan_cells(config)  # mistakes in the names, the step counts and the folder show here
    plan_folder(config)

    from ldmcli.engine.compare_schedulers import run_comparison

    events = run_comparison(config, source, [request.prompt for request in requests])
    output.show_comparison(chain(notes, events), as_json=as_json, quiet=quiet)
