"""`ldm generate`: prompts to pictures."""

from typing import Annotated

import typer

from ldmcli.commands import options
from ldmcli.config import GenerateConfig
from ldmcli.console import output
from ldmcli.diffusion import catalogue
from ldmcli.models.source import find_model


def generate(
    prompts: Annotated[list[str] | None, typer.Argument(metavar="PROMPT...", show_default=False)] = None,
    more: Annotated[list[str] | None, typer.Option("-p", "--prompt", help="Another prompt; repeatable.")] = None,
    negative_prompt: Annotated[str, typer.Option("--negative-prompt", "--negative", help="What to steer away from.")] = "",
    model: options.ModelOption = "bundled",
    scheduler: Annotated[str | None, typer.Option("--scheduler", "--sampler", help="See --list-schedulers.")] = None,
    steps: Annotated[int | None, typer.Option("--steps", "--num-inference-steps", help="1 to 999.")] = None,
    cfg: Annotated[
        float | None, typer.Option("--cfg", "--cfg-scale", "--guidance-scale", help="1 or less: no guidance, half the work.")
    ] = None,
    cfg_rescale: Annotated[float, typer.Option("--cfg-rescale", help="0 to 1 (Lin et al. 2023).")] = 0.0,
    spacing: Annotated[str | None, typer.Option("--spacing", help="leading, linspace or trailing.")] = None,
    sigma_clip: Annotated[bool, typer.Option("--sigma-clip/--no-sigma-clip", help="Start cosine models at sigma 164.")] = True,
    seed: options.SeedOption = None,
    num_images: Annotated[int, typer.Option("-n", "--num-images", help="Pictures per prompt.")] = 1,
    batch_size: Annotated[int, typer.Option("--batch-size", help="Pictures at a time.")] = 8,
    width: Annotated[int | None, typer.Option("-W", "--width", help="Pixels (default: the model's).")] = None,
    height: Annotated[int | None, typer.Option("-H", "--height", help="Pixels (default: the model's).")] = None,
    size: Annotated[str | None, typer.Option("--size", help="WIDTHxHEIGHT.")] = None,
    out: Annotated[str, typer.Option("-o", "--output", help="A .png file, or a folder.")] = "outputs/",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that exists.")] = False,
    metadata: Annotated[bool, typer.Option("--metadata/--no-metadata", help="Settings inside the PNG.")] = True,
    upscale: Annotated[int, typer.Option("--upscale", help="Enlarge so many times, for looking.")] = 1,
    resample: Annotated[str, typer.Option("--resample", help="How --upscale enlarges: nearest or lanczos.")] = "nearest",
    strict: Annotated[bool, typer.Option("--strict", help="A prompt that is too long is an error.")] = False,
    device: options.DeviceOption = "auto",
    dtype: options.DtypeOption = "auto",
    as_json: options.JsonOption = False,
    quiet: options.QuietOption = False,
    list_schedulers: Annotated[bool, typer.Option("--list-schedulers", help="Print the schedulers and exit.")] = False,
) -> None:
    """Draw each PROMPT and print the paths of the pictures."""
    if list_schedulers:
        return output.show_schedulers(catalogue.SCHEDULERS, as_json=as_json)
    row = catalogue.resolve(scheduler) if scheduler is not None else None
    if steps is not None:
        catalogue.check_steps(row or catalogue.resolve("ddim"), steps)
    width, height = options.picture_size(size, width, height)
    config = GenerateConfig(
        prompts=(*(prompts or ()), *(more or ())), negative_prompt=negative_prompt, model=model, scheduler=row.name if row else None,
        steps=steps, cfg=cfg, cfg_rescale=cfg_rescale, spacing=spacing, sigma_clip=sigma_clip, seed=None if seed == -1 else seed,
        num_images=num_images, batch_size=batch_size, width=width, height=height, output=out, overwrite=overwrite, metadata=metadata,
        upscale=upscale, resample=resample, strict=strict, device=options.device_name(device), dtype=options.dtype_name(dtype),
    )  # fmt: skip
    source = find_model(config.model)

    from ldmcli.engine.generate import run_generate

    output.show_generated(run_generate(config, source), as_json=as_json, quiet=quiet)
