"""Train the autoencoder: reconstruction plus a small KL, latents measured at the end so that the U-Net sees unit variance."""

from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import Any

import torch

from ldmcli.autoencoder.losses import PERCEPTUAL
from ldmcli.config.training import TrainConfig, TrainVAEConfig
from ldmcli.data.cache import Entry, checked_pictures, decoded_pictures
from ldmcli.data.captioned import CaptionedImages
from ldmcli.data.decoders import Decoders
from ldmcli.data.layouts import load_captioned
from ldmcli.data.pictures import CROPS
from ldmcli.data.row_sources import DecodedOnDemand, RowSource
from ldmcli.data.shards import Keys
from ldmcli.engine.train.adversarial import AdversarialLoss
from ldmcli.engine.train.batch_size import Trial, fit_batch_size
from ldmcli.engine.train.checkpointing import Hooks
from ldmcli.engine.train.distributed import run_on_all_processes
from ldmcli.engine.train.dry_run import planned
from ldmcli.engine.train.held_out import Placed, centre_squares, check_enough, held_out_count, looked_at
from ldmcli.engine.train.run_folder import agree_on_settings, resume, run_folder, write_skipped
from ldmcli.engine.train.training_loop import loop_config, make_accelerator, make_state, prefetching, run_loop, sample_ids
from ldmcli.engine.train.vae_run import VAERun
from ldmcli.errors import LdmError
from ldmcli.models.corrections import correction_notes
from ldmcli.models.loading import load_vae
from ldmcli.models.perceptual import Perceptual, load_lpips
from ldmcli.models.source import find_component
from ldmcli.networks.configs import VAEConfig
from ldmcli.networks.vae import VAE
from ldmcli.records.events import Event
from ldmcli.records.notes import Note
from ldmcli.records.training import TrainDone
from ldmcli.records.words import counted
from ldmcli.reports.loss_plot import plot_losses
from ldmcli.runtime.processes import Processes
from ldmcli.training.order import SampleOrder, generator_for
from ldmcli.training.signals import Requests

SAID = 5
"""Unusable pictures that are named on the terminal."""


@run_on_all_processes
def train_vae(config: TrainVAEConfig, processes: Processes, requests: Requests) -> Iterator[Event]:
    """Yield records until the run has ended; RUN/model/vae is then an AutoencoderKL with its own scaling factor."""
    data = captioned(config)
    if config.dry_run:
        yield from planned(replace(config, adversarial_start=0), data, train_vae)  # the dearest steps are those to plan for
        return
    yield from (Note(text, warning=True) for text in data.problems)
    accelerator, note = make_accelerator(config)
    yield note
    settings = agree_on_settings(config, data, processes)
    perceptual = perceptual_term(config, accelerator.device, processes)
    with run_folder(config, processes), Decoders(config.workers) as decoders:
        pixels, usable = yield from usable_pixels(data, config, processes, decoders)
        train_rows, val_rows = split(usable, config.seed, config.held_out)
        check_enough(len(train_rows), len(val_rows), config, processes.count)
        yield Note(f"{counted(len(train_rows), 'picture')} to train on, {len(val_rows)} held out, from {data.source} ({data.layout})")
        torch.manual_seed(config.seed)  # initial weights
        vae = initial_vae(config)
        yield from initial_notes(config, vae)
        order, views = SampleOrder(len(train_rows), config.seed), len(CROPS[config.crop])
        judged: RowSource | None = None
        if views > 1:
            seen = looked_at(train_rows, val_rows)
            judged = Placed((yield from centre_squares(data, seen, config, processes, decoders))[1], seen)

        def made(config: TrainVAEConfig, vae: VAE, prepared: Any, adversary: AdversarialLoss | None) -> VAERun:
            per_step = config.batch_size * config.grad_accum * accelerator.num_processes
            return VAERun(
                config, vae, prepared, accelerator, pixels, train_rows, val_rows, order, per_step, views, perceptual, adversary, judged
            )

        def trial(config: TrainVAEConfig, vae: VAE) -> Trial:
            dearest = replace(config, adversarial_start=0)
            adversary = AdversarialLoss(dearest, accelerator, alone=True) if config.adversarial_weight else None
            run = made(config, vae, vae, adversary)
            return Trial(run.loss, adversary.learner if adversary else None, run.looks())

        config = yield from fit_batch_size(config, len(train_rows), vae, accelerator, processes, trial)
        settings |= {"batch_size": config.batch_size, "auto_batch": config.auto_batch}
        processes.gather(None)  # whoever failed until here could not answer DDP
        state, prepared = make_state(vae, config, accelerator)
        adversary = AdversarialLoss(config, accelerator) if config.adversarial_weight else None
        state.opponent = adversary.learner if adversary else None
        yield from resume(state, config, settings, processes, len(train_rows))
        loop = loop_config(config, len(train_rows), accelerator.num_processes)
        if adversary and adversary.start >= loop.max_steps:
            yield Note(f"the discriminator joins after step {adversary.start}, and the run has {loop.max_steps}", warning=True)
        run = made(config, vae, prepared, adversary)
        hooks = Hooks(run.save_model, run.sample, run.validate)
        yield from run_loop(
            state,
            prefetching(run.loss, pixels, train_rows, order, config, accelerator),
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
        scale = run.scaling_factor or run.latent_frame(state)[1]  # a run that was finished already has saved nothing
        yield from run.collapse(state)
        yield TrainDone(config.output, config.output / "model", state.step, {"scaling_factor": scale, **run.validate(state)})


def initial_vae(config: TrainVAEConfig) -> VAE:
    """A new VAE, or a copy of the one that --init names. Raises LdmError when that one cannot halve the pictures' side often enough."""
    if config.init is None:
        return VAE(vae_config(config))
    vae = load_vae(find_component(config.init, "vae", alone=True))
    if config.size % vae.config.downscale:
        raise LdmError(f"--size {config.size} is not a multiple of {vae.config.downscale}, by which --init {config.init} shrinks pictures.")
    return vae.train().requires_grad_(True)


def initial_notes(config: TrainVAEConfig, vae: VAE) -> Iterator[Note]:
    """What --init brings along, said aloud."""
    if config.init is None:
        return
    yield from map(Note, correction_notes((find_component(config.init, "vae", alone=True), "vae")))
    kept = f"latents keep scale {vae.config.scaling_factor:.4g} and centre of {config.init}, so that its U-Net still fits; see --new-scale"
    yield Note("latents get a new scale and centre: no U-Net of before will fit" if config.new_scale else kept)


def vae_config(config: TrainVAEConfig) -> VAEConfig:
    """The network that the options describe."""
    levels = len(config.channels)
    return VAEConfig(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=config.channels,
        layers_per_block=config.layers,
        latent_channels=config.latent_channels,
        norm_num_groups=next(g for g in (32, 16, 8, 4) if all(c % g == 0 for c in config.channels)),
        sample_size=config.size,
        scaling_factor=1.0,
    )


def perceptual_term(config: TrainVAEConfig, device: torch.device, processes: Processes) -> Perceptual | None:
    """What --perceptual names, when it has a weight. Raises UsageError or NotFound where LPIPS cannot be had."""
    if not config.perceptual_weight:
        return None
    if config.perceptual != "lpips":
        return PERCEPTUAL[config.perceptual]
    if not processes.main:
        processes.gather(None)  # the first one fetches the weights
    lpips = load_lpips(device)
    if processes.main:
        processes.gather(None)
    return lpips


def captioned(config: TrainConfig) -> CaptionedImages:
    """The pictures and captions that the options name. Raises LdmError."""
    keys = Keys(config.image_key, config.caption_key) if config.image_key or config.caption_key else None
    return load_captioned(
        config.data, images=config.images, captions=config.captions, limit=config.limit, allow_missing=config.allow_missing, keys=keys
    )


def usable_pixels(
    data: CaptionedImages, config: TrainConfig, processes: Processes, decoders: Decoders
) -> Generator[Event, None, tuple[RowSource, list[int]]]:
    """Decode all pictures (cached, unless --no-cache).

    Returns (pixels (N V, 3, S, S) uint8, numbers of usable pictures) as the generator's value.
    Raises LdmError when more than --max-bad are unusable; RUN/skipped.jsonl lists them in any case.
    """
    found: Entry | dict[str, str] | None = None
    if config.no_cache:
        events: Iterator[Any] = checked_pictures(data, config.size, process_group=processes, decoders=decoders)
    else:
        cache = config.cache or config.output / "cache"
        events = decoded_pictures(data, config.size, cache, crop=config.crop, process_group=processes, decoders=decoders)
    for event in events:
        if isinstance(event, Entry | dict):
            found = event
        else:
            yield event
    assert found is not None
    pixels: RowSource = found.arrays["pixels"] if isinstance(found, Entry) else DecodedOnDemand(data, config.size, config.crop, decoders)
    bad: dict[str, str] = found.facts["bad"] if isinstance(found, Entry) else found
    if processes.main:
        write_skipped(config.output, data, bad)
    if len(bad) > config.max_bad:
        raise LdmError(
            f"{counted(len(bad), 'unusable picture')}, more than --max-bad {config.max_bad}: " + "; ".join(list(bad.values())[:3]),
            hint=f"{config.output / 'skipped.jsonl'} lists them.",
        )
    yield from (Note(f"left out {reason}", warning=True) for reason in list(bad.values())[:SAID])
    if len(bad) > SAID:
        yield Note(f"left out {len(bad) - SAID} more: {config.output / 'skipped.jsonl'} lists them", warning=True)
    return pixels, [row for row in range(len(data)) if str(row) not in bad]


def split(rows: list[int], seed: int, share: float) -> tuple[list[int], list[int]]:
    """(training, held-out) rows, by picture, as a function of the seed; see held_out_count."""
    count = held_out_count(len(rows), share)
    shuffled = [rows[i] for i in torch.randperm(len(rows), generator=generator_for(seed, "split")).tolist()]
    return sorted(shuffled[count:]), sorted(shuffled[:count])
