"""Train the conditional U-Net on cached latents and cached captions; VAE and text encoder are frozen and never run in the loop.

Unless the text encoder trains along, or only adapters do: see trained.py.
"""

from collections.abc import Generator, Iterator
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from ldmcli.config.training import TrainUNetConfig
from ldmcli.data.cache import filled, fingerprint, pixels_fingerprint, to_unit_range
from ldmcli.data.captioned import CaptionedImages
from ldmcli.data.decoders import Decoders
from ldmcli.data.layouts import load_captioned
from ldmcli.data.pictures import CROPS
from ldmcli.data.rows import ComputedOnDemand, Rows, flip_some
from ldmcli.engine.dry_run import planned
from ldmcli.engine.fit_batch import Trial, fitted
from ldmcli.engine.run_folder import agreed_settings, plain, resume, run_folder
from ldmcli.engine.run_keeper import Hooks
from ldmcli.engine.session import make_codec
from ldmcli.engine.starting_point import Frozen, load_frozen, starting_notes, starting_unet, with_parts, with_schedule
from ldmcli.engine.text_cache import cached_text, drained, weights_fingerprint
from ldmcli.engine.together import by_all_processes
from ldmcli.engine.train_vae import split, usable_pixels
from ldmcli.engine.trained import what_trains
from ldmcli.engine.training_run import loop_config, make_accelerator, make_state, reading_ahead, run_loop, sample_ids
from ldmcli.engine.unet_run import Cached, UNetRun
from ldmcli.records.events import Event
from ldmcli.records.notes import Note
from ldmcli.records.training import TrainDone
from ldmcli.records.words import counted
from ldmcli.reports.loss_plot import plot_losses
from ldmcli.runtime.processes import Processes
from ldmcli.training.order import SampleOrder
from ldmcli.training.signals import Requests


@by_all_processes
def train_unet(config: TrainUNetConfig, processes: Processes, requests: Requests) -> Iterator[Event]:
    """Yield records until the run has ended; RUN/model is then a StableDiffusionPipeline folder."""
    data = load_captioned(
        config.data, images=config.images, captions=config.captions, limit=config.limit, allow_missing=config.allow_missing
    )
    if config.dry_run:
        yield from planned(config, data, train_unet)
        return
    asked, config = config, with_parts(config)
    frozen = load_frozen(config)
    yield from (Note(text, warning=True) for text in data.problems)
    accelerator, note = make_accelerator(config)
    yield note
    agreed = agreed_settings(config, data, processes)
    with run_folder(config, processes), Decoders(config.workers) as decoders:
        pixels, usable = yield from usable_pixels(data, config, processes, decoders)
        train_rows, val_rows = split(usable, config.seed, config.held_out)
        yield Note(f"{counted(len(train_rows), 'picture')} to train on, {len(val_rows)} held out, from {data.source} ({data.layout})")
        cached = yield from build_caches(data, pixels, frozen, config, accelerator, processes)
        torch.manual_seed(config.seed)  # initial weights
        unet = starting_unet(config, frozen)
        config, schedule = with_schedule(config, frozen, unet)
        yield from starting_notes(config, asked, frozen, unet)
        trained = what_trains(config, unet, frozen)
        yield from trained.notes(config.output)
        order = SampleOrder(len(train_rows), config.seed)

        def made(config: TrainUNetConfig, prepared: Any) -> UNetRun:
            per_step = config.batch_size * config.grad_accum * accelerator.num_processes
            return UNetRun(config, data, trained, prepared, accelerator, schedule, frozen, cached, train_rows, val_rows, order, per_step)

        def trial(config: TrainUNetConfig, network: Any) -> Trial:
            return Trial(made(config, network).loss)

        config = yield from fitted(config, len(train_rows), trained.network, accelerator, processes, trial)
        processes.gather(None)  # whoever failed until here could not answer DDP
        state, prepared = make_state(trained.network, config, accelerator, trained.groups(config))
        settings = {**agreed, **plain(asdict(config)), **trained.facts(config)}
        yield from resume(state, config, settings, processes)
        loop = loop_config(config, len(train_rows), accelerator.num_processes)
        run = made(config, prepared)
        hooks = Hooks(run.save_model, run.sample, run.validate)
        yield from run_loop(
            state,
            reading_ahead(run.loss, pixels, train_rows, order, config, accelerator),
            loop,
            config,
            settings,
            accelerator,
            hooks,
            sample_ids(data, train_rows, order, loop.pictures_per_step),
            processes,
            requests,
        )
        if not processes.main:
            return
        plot_losses(config.output / "log.jsonl", config.output / "loss.png")
        yield TrainDone(config.output, config.output / "model", state.step, run.validate(state))


def build_caches(
    data: CaptionedImages, pixels: Rows, frozen: Frozen, config: TrainUNetConfig, accelerator: Any, processes: Processes
) -> Generator[Event, None, Cached]:
    """Encode every view of every picture and every distinct caption, once, or with --no-cache when asked for.

    With --train-text-encoder captions are only cut into tokens, since the states would be old after one step.
    Returns Cached as the generator's value.
    """
    cache = config.cache or config.output / "cache"
    device = accelerator.device
    vae, encoder = frozen.vae.to(device).to(memory_format=torch.channels_last), frozen.text.encoder.to(device)  # type: ignore[call-overload]
    codec = make_codec(vae)
    # On a CPU a batch that stays in its caches is faster; a GPU wants to be filled.
    pictures_at_once, captions_at_once = (8, 16) if device.type == "cpu" else (64, 256)
    flips = 2 if config.flip else 1

    @torch.no_grad()
    def latents(rows: Tensor) -> dict[str, Tensor]:
        pictures = flip_some(pixels[rows // flips], rows % flips == 1)
        mean, std = codec.encode(to_unit_range(pictures).to(device))
        return {"mean": mean, "std": std}

    captions = [*dict.fromkeys(c for image in data.images for c in image.captions), ""]
    tokens = [frozen.text.tokens(caption) for caption in captions]

    def states(rows: Tensor) -> dict[str, Tensor]:
        return {"states": frozen.text.states([tokens[row] for row in rows.tolist()])}

    mean: Rows
    std: Rows
    vectors: Rows
    if config.no_cache:
        encoded = ComputedOnDemand(len(pixels) * flips, latents)
        mean, std = encoded.of("mean"), encoded.of("std")
    else:
        key = fingerprint(pixels_fingerprint(data, config.size, config.crop), flips, weights_fingerprint(frozen.vae_path, "vae"))
        entry = yield from drained(
            filled(
                cache / f"latents-{key}",
                len(pixels) * flips,
                pictures_at_once,
                lambda a, b: latents(torch.arange(a, b)),
                "encode pictures",
                processes,
            )
        )
        mean, std = entry.arrays["mean"], entry.arrays["std"]
    if config.train_text_encoder:
        vectors = torch.stack([one.ids for one in tokens]).int()
    elif config.no_cache:
        vectors = ComputedOnDemand(len(captions), states).of("states")
    else:
        vectors = yield from cached_text(cache, captions, tokens, frozen, states, processes, captions_at_once)
        encoder.cpu()
    row = {caption: number for number, caption in enumerate(captions)}
    counts = torch.tensor([len(image.captions) for image in data.images])
    return Cached(
        mean,
        std,
        vectors,
        frozen.text.mask(tokens),
        torch.tensor([row[c] for image in data.images for c in image.captions]),
        counts.cumsum(0) - counts,
        counts,
        len(CROPS[config.crop]) * flips,
    )
