"""Train the conditional U-Net on cached latents and cached captions; VAE and text encoder are frozen and never run in the loop.

Unless the text encoder trains along, or only adapters do: see trained.py.
"""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import torch

from ldmcli.config.training import TrainUNetConfig
from ldmcli.data.decoders import Decoders
from ldmcli.engine.train.batch_size import Trial, fit_batch_size
from ldmcli.engine.train.checkpointing import Hooks
from ldmcli.engine.train.distributed import run_on_all_processes
from ldmcli.engine.train.dry_run import planned
from ldmcli.engine.train.held_out import check_enough
from ldmcli.engine.train.initial_weights import initial_notes, initial_unet, load_frozen, resolve_parts, resolve_schedule
from ldmcli.engine.train.run_folder import agree_on_settings, plain, resume, run_folder
from ldmcli.engine.train.trainable import select_trainable
from ldmcli.engine.train.training_loop import loop_config, make_accelerator, make_state, prefetching, run_loop, sample_ids
from ldmcli.engine.train.unet_caches import build_caches, held_out_caches
from ldmcli.engine.train.unet_run import UNetRun, prompts_notes
from ldmcli.engine.train.vae import captioned, split, usable_pixels
from ldmcli.records.events import Event
from ldmcli.records.notes import Note
from ldmcli.records.training import TrainDone
from ldmcli.records.words import counted
from ldmcli.reports.loss_plot import plot_losses
from ldmcli.runtime.processes import Processes
from ldmcli.training.order import SampleOrder
from ldmcli.training.signals import Requests


@run_on_all_processes
def train_unet(config: TrainUNetConfig, processes: Processes, requests: Requests) -> Iterator[Event]:
    """Yield records until the run has ended; RUN/model is then a StableDiffusionPipeline folder."""
    data = captioned(config)
    if config.dry_run:
        yield from planned(config, data, train_unet)
        return
    asked, config = config, resolve_parts(config)
    yield from prompts_notes(config)
    frozen = load_frozen(config)
    yield from (Note(text, warning=True) for text in data.problems)
    accelerator, note = make_accelerator(config)
    yield note
    agreed = agree_on_settings(config, data, processes)
    with run_folder(config, processes), Decoders(config.workers) as decoders:
        pixels, usable = yield from usable_pixels(data, config, processes, decoders)
        train_rows, val_rows = split(usable, config.seed, config.held_out)
        check_enough(len(train_rows), len(val_rows), config, processes.count)
        yield Note(f"{counted(len(train_rows), 'picture')} to train on, {len(val_rows)} held out, from {data.source} ({data.layout})")
        cached = yield from build_caches(data, pixels, frozen, config, accelerator, processes)
        judged = yield from held_out_caches(cached, data, val_rows, frozen, config, accelerator, processes, decoders)
        torch.manual_seed(config.seed)  # initial weights
        unet = initial_unet(config, frozen)
        config, schedule = resolve_schedule(config, frozen, unet)
        yield from initial_notes(config, asked, frozen, unet)
        trainable = select_trainable(config, unet, frozen)
        yield from trainable.notes(config.output)
        order = SampleOrder(len(train_rows), config.seed)

        def made(config: TrainUNetConfig, prepared: Any) -> UNetRun:
            per_step = config.batch_size * config.grad_accum * accelerator.num_processes
            return UNetRun(
                config, data, trainable, prepared, accelerator, schedule, frozen, cached, train_rows, val_rows, order, per_step, judged
            )

        def trial(config: TrainUNetConfig, network: Any) -> Trial:
            run = made(config, network)
            return Trial(run.loss, looks=run.looks())

        config = yield from fit_batch_size(config, len(train_rows), trainable.network, accelerator, processes, trial)
        processes.gather(None)  # whoever failed until here could not answer DDP
        state, prepared = make_state(trainable.network, config, accelerator, trainable.groups(config))
        settings = {**agreed, **plain(asdict(config)), **trainable.facts(config)}
        yield from resume(state, config, settings, processes, len(train_rows))
        loop = loop_config(config, len(train_rows), accelerator.num_processes)
        run = made(config, prepared)
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
        yield TrainDone(config.output, config.output / "model", state.step, run.validate(state))
