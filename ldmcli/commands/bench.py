"""`ldm bench`: how fast, how large, how exact."""

from pathlib import Path
from typing import Annotated

import typer

from ldmcli.commands import options
from ldmcli.config.measuring import BenchConfig
from ldmcli.engine.bench_plan import plan_cells
from ldmcli.models.source import find_model


def bench(
    model: Annotated[str, typer.Option("-m", "--model", help="`bundled`, a training run or a diffusers folder.")] = "bundled",
    dtype: Annotated[str, typer.Option("--dtype", help="auto, fp32, fp16, bf16; several with commas.")] = "auto",
    batch_size: Annotated[str, typer.Option("--batch-size", help="Pictures at a time; several with commas.")] = "1",
    size: Annotated[str | None, typer.Option("--size", help="WIDTHxHEIGHT; several with commas (default: the model's).")] = None,
    steps: Annotated[str | None, typer.Option("--steps", help="Several with commas (default: the model's).")] = None,
    scheduler: Annotated[str | None, typer.Option("--scheduler", "--sampler", help="Several with commas (default: the model's).")] = None,
    cfg: Annotated[float | None, typer.Option("--cfg", "--cfg-scale", "--guidance-scale", help="1 or less: no guidance.")] = None,
    prompt: Annotated[str, typer.Option("-p", "--prompt", help="What every picture shows.")] = "a dog",
    seed: Annotated[int, typer.Option("-s", "--seed", help="Picture i of a batch has seed + i; -1 draws one.")] = 0,
    runs: Annotated[int, typer.Option("--runs", help="Timed runs of each configuration; the median counts.")] = 7,
    warmup: Annotated[int, typer.Option("--warmup", help="Runs before them that do not count.")] = 2,
    compile: Annotated[bool, typer.Option("--compile", help="torch.compile the U-Net (in the warm-up).")] = False,
    compare: Annotated[str | None, typer.Option("--compare", help="diffusers: the same pictures through its pipeline, in turn.")] = None,
    pixel_space: Annotated[bool, typer.Option("--pixel-space", help="What the same U-Net costs on pixels, without the VAE.")] = False,
    train: Annotated[bool, typer.Option("--train", help="Also time training steps, on made-up latents.")] = False,
    train_batch_size: Annotated[int, typer.Option("--train-batch-size", help="Pictures of a training step.")] = 16,
    export_json: Annotated[Path | None, typer.Option("--export-json", help="Write what --json prints to a file.")] = None,
    export_csv: Annotated[Path | None, typer.Option("--export-csv", help="One line for each configuration.")] = None,
    export_markdown: Annotated[Path | None, typer.Option("--export-markdown", help="A table for an issue or a README.")] = None,
    chart: Annotated[Path | None, typer.Option("--chart", help="A PNG with a bar for each configuration.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")] = False,
    device: options.DeviceOption = "auto",
    as_json: options.JsonOption = False,
    quiet: options.QuietOption = False,
) -> None:
    """Draw the same pictures again and again, and report time, memory, exactness and what the machine could do."""
    sizes = [options.picture_size(part, None, None) for part in options.names(size)] if size is not None else []
    config = BenchConfig(
        model=model, dtypes=tuple(options.dtype_name(part) for part in options.names(dtype)), sizes=tuple(sizes),
        batch_sizes=options.whole_numbers(batch_size, "--batch-size") or (), steps=options.whole_numbers(steps, "--steps") or (),
        schedulers=options.names(scheduler) if scheduler is not None else (), cfg=cfg, prompt=prompt, seed=None if seed == -1 else seed,
        runs=runs, warmup=warmup, compile=compile, compare=compare, pixel_space=pixel_space, train=train,
        train_batch_size=train_batch_size, device=options.device_name(device), export_json=export_json, export_csv=export_csv,
        export_markdown=export_markdown, chart=chart, overwrite=overwrite,
    )  # fmt: skip
    plan_cells(config)  # every value is looked at before anything is loaded
    source = find_model(config.model)

    from ldmcli.console.tables import show_bench
    from ldmcli.engine.bench import run_bench

    show_bench(run_bench(config, source), as_json=as_json, quiet=quiet)
