"""`ldm generate`: prompts to pictures."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from ldmcli.commands import options
from ldmcli.commands.asked import asked_for, find_source, settled
from ldmcli.commands.combinations import refuse_senseless
from ldmcli.commands.replaying import replay
from ldmcli.config.generation import parse_interval
from ldmcli.console import output
from ldmcli.console.asking import ask_prompt, on_terminal
from ldmcli.diffusion import catalogue
from ldmcli.engine.jobs import check_trace
from ldmcli.engine.naming import find_target
from ldmcli.errors import UsageError
from ldmcli.models import listing
from ldmcli.models.examples import example_prompts


def generate(
    prompts: Annotated[list[str] | None, typer.Argument(metavar="PROMPT...", show_default=False)] = None,
    more: Annotated[list[str] | None, typer.Option("-p", "--prompt", help="Another prompt; repeatable.")] = None,
    prompts_file: Annotated[
        str | None, typer.Option("-f", "--prompts-file", "--from-file", help="One prompt a line, or JSON Lines; - is stdin.")
    ] = None,
    sweep: Annotated[list[str] | None, typer.Option("--sweep", help="Such as cfg=3,5,7.5; repeat for every combination.")] = None,
    from_image: Annotated[Path | None, typer.Option("--from-image", help="Draw again what a picture of ours records.")] = None,
    verify: Annotated[bool, typer.Option("--verify", help="With --from-image: compare the pixels, write nothing.")] = False,
    negative_prompt: Annotated[str | None, typer.Option("--negative-prompt", "--negative", help="What to steer away from.")] = None,
    model: Annotated[
        str | None, typer.Option("-m", "--model", help="bundled (the default), a run, a diffusers folder, a .safetensors file or a hub id.")
    ] = None,
    vae: Annotated[str | None, typer.Option("--vae", help="Another VAE than the model's own: a model, its vae/ or a file.")] = None,
    tokenizer: Annotated[str | None, typer.Option("--tokenizer", help="Folder with CLIP's tokenizer, for a .safetensors file.")] = None,
    lora: Annotated[
        list[str] | None, typer.Option("--lora", metavar="FILE[:SCALE]", help="A LoRA file, or a folder or run with one; repeatable.")
    ] = None,
    allow_pickle: options.AllowPickleOption = None,
    offline: options.OfflineOption = False,
    scheduler: Annotated[str | None, typer.Option("--scheduler", "--sampler", help="See --list-schedulers.")] = None,
    steps: Annotated[int | None, typer.Option("--steps", "--num-inference-steps", help="1 to 999.")] = None,
    cfg: Annotated[
        float | None, typer.Option("--cfg", "--cfg-scale", "--guidance-scale", help="1 or less: no guidance, half the work.")
    ] = None,
    cfg_rescale: Annotated[float | None, typer.Option("--cfg-rescale", help="0 to 1 (Lin et al. 2023).")] = None,
    cfg_interval: Annotated[
        str | None, typer.Option("--cfg-interval", metavar="LO,HI", help="Guide only there: 1 is pure noise, 0 the end.")
    ] = None,
    weighting: Annotated[str | None, typer.Option("--weighting", help="a1111: (word:1.3), (word) and [word] weigh.")] = None,
    long_prompts: Annotated[
        bool | None, typer.Option("--long-prompts/--no-long-prompts", help="Encode a long prompt in pieces instead of cutting it.")
    ] = None,
    measure: Annotated[bool | None, typer.Option("--measure", help="Draw again without each approximate choice and compare.")] = None,
    spacing: Annotated[str | None, typer.Option("--spacing", help="leading, linspace or trailing.")] = None,
    sigma_clip: Annotated[
        bool | None, typer.Option("--sigma-clip/--no-sigma-clip", help="Start cosine models at sigma 164 (the default).")
    ] = None,
    seed: options.SeedOption = None,
    num_images: Annotated[int | None, typer.Option("-n", "--num-images", help="Pictures per prompt.")] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", help="Pictures at a time (default 8).")] = None,
    width: Annotated[int | None, typer.Option("-W", "--width", help="Pixels (default: the model's).")] = None,
    height: Annotated[int | None, typer.Option("-H", "--height", help="Pixels (default: the model's).")] = None,
    size: Annotated[str | None, typer.Option("--size", help="WIDTHxHEIGHT.")] = None,
    out: Annotated[
        str | None, typer.Option("-o", "--output", help="A file, a folder/ (default outputs/), or a template: out/{prompt}-{seed}.png.")
    ] = None,
    file_format: Annotated[str | None, typer.Option("--format", help="png (the default), webp (lossless) or jpg.")] = None,
    grid: Annotated[bool | None, typer.Option("--grid", help="Also write one sheet of all pictures.")] = None,
    overwrite: Annotated[bool | None, typer.Option("--overwrite", help="Replace a file that exists.")] = None,
    resume: Annotated[bool | None, typer.Option("--resume", help="Skip what the folder's manifest says is finished.")] = None,
    metadata: Annotated[bool | None, typer.Option("--metadata/--no-metadata", help="Settings inside the file (the default).")] = None,
    upscale: Annotated[int | None, typer.Option("--upscale", help="Enlarge so many times, for looking.")] = None,
    resample: Annotated[str | None, typer.Option("--resample", help="How --upscale enlarges: nearest (the default) or lanczos.")] = None,
    progressive: Annotated[str | None, typer.Option("--progressive", help="Also write the way there: strip, gif or frames.")] = None,
    progressive_kind: Annotated[
        str | None, typer.Option("--progressive-kind", help="x0, what the model predicted (the default), or xt, the noisy picture.")
    ] = None,
    preview: Annotated[bool | None, typer.Option("--preview", help="Show the picture in the terminal while it is drawn.")] = None,
    trace: Annotated[
        Path | None, typer.Option("--trace", help="Take one picture apart: trace.html and trace.jsonl in this folder.")
    ] = None,
    strict: Annotated[bool | None, typer.Option("--strict", help="A prompt or line that cannot be used as it is, is an error.")] = None,
    device: options.DeviceOption = "auto",
    dtype: Annotated[str | None, typer.Option("--dtype", help="auto, fp32, fp16 or bf16.")] = None,
    vae_dtype: Annotated[str | None, typer.Option("--vae-dtype", help="The VAE's precision, if another: auto, fp32, fp16 or bf16.")] = None,
    tiled_decode: Annotated[
        bool | None,
        typer.Option(
            "--tiled-decode/--no-tiled-decode", "--vae-tiling/--no-vae-tiling", help="Decode in tiles (default: beyond 1024 x 1024)."
        ),
    ] = None,
    low_memory: Annotated[
        bool | None,
        typer.Option("--low-memory", help="Hold one network at a time; the same pictures, and every batch reads the files again."),
    ] = None,
    fuse: Annotated[
        bool | None,
        typer.Option("--fuse/--no-fuse", help="On a CPU: packed weights, fused operations (the default)."),
    ] = None,
    as_json: options.JsonOption = False,
    quiet: options.QuietOption = False,
    list_schedulers: Annotated[bool, typer.Option("--list-schedulers", help="Print the schedulers and exit.")] = False,
    list_models: Annotated[bool, typer.Option("--list-models", help="Print the models that are on this machine and exit.")] = False,
) -> None:
    """Draw each PROMPT and print the paths of the pictures."""
    if list_schedulers:
        return output.show_schedulers(catalogue.SCHEDULERS, as_json=as_json)
    if list_models:
        return output.show_models(listing.list_models(), as_json=as_json, quiet=quiet)
    width, height = options.picture_size(size, width, height)
    given = {
        "negative_prompt": negative_prompt, "model": model, "vae": vae, "tokenizer": tokenizer,
        "loras": tuple(lora) if lora else None, "allow_pickle": allow_pickle,
        "scheduler": scheduler, "steps": steps, "cfg": cfg, "cfg_rescale": cfg_rescale,
        "cfg_interval": None if cfg_interval is None else parse_interval(cfg_interval), "weighting": weighting,
        "long_prompts": long_prompts, "measure": measure,
        "spacing": spacing, "sigma_clip": sigma_clip, "seed": seed, "num_images": num_images, "batch_size": batch_size, "width": width,
        "height": height, "output": out, "overwrite": overwrite, "resume": resume, "metadata": metadata, "upscale": upscale,
        "resample": resample, "progressive": progressive, "progressive_kind": progressive_kind, "preview": preview, "grid": grid,
        "format": file_format and file_format.lower().replace("jpeg", "jpg"), "trace": trace, "strict": strict,
        "device": options.device_name(device),
        "dtype": dtype and options.dtype_name(dtype),
        "vae_dtype": vae_dtype and options.dtype_name(vae_dtype, "--vae-dtype"),
        "tiled_decode": tiled_decode, "low_memory": low_memory, "fuse": fuse,
    }  # fmt: skip
    given = {key: value for key, value in given.items() if value is not None}
    if preview:
        check_preview(quiet=quiet)
    refuse_senseless(given, from_image=from_image is not None, as_json=as_json, quiet=quiet, sweep=sweep or ())
    typed = [*(prompts or ()), *(more or ())]
    if from_image is not None:
        if typed or prompts_file is not None or sweep:
            raise UsageError("--from-image draws that picture's own prompt.", hint="Leave out the prompts, --prompts-file and --sweep.")
        return replay(from_image, given, verify=verify, as_json=as_json, quiet=quiet)
    if verify:
        raise UsageError("--verify goes with --from-image PICTURE.")
    config = settled(given)
    if not typed and prompts_file is None and not (as_json or quiet) and on_terminal():
        typed = [ask_prompt(example_prompts(find_source(config).path), model)]
    requests, unusable = asked_for(typed, prompts_file, sweep or [], config)
    check_trace(config, requests)
    find_target(config, sum(request.config.num_images for request in requests))
    source = find_source(config)

    from ldmcli.engine.generate import run_generate

    output.show_generated(run_generate(config, source, requests, unusable), as_json=as_json, quiet=quiet)


def check_preview(*, quiet: bool) -> None:
    """Raises UsageError where there is no terminal to draw on, and to ask what it can show."""
    if quiet:
        raise UsageError("--preview and --quiet do not go together.")
    if not on_terminal():
        raise UsageError("--preview needs a terminal.", hint="Leave it out where input or output is a file or a pipe; see --progressive.")
    if not os.get_terminal_size(sys.stdout.fileno()).columns:
        raise UsageError("--preview needs a terminal that knows its size.", hint="Try: stty rows 24 cols 80")
