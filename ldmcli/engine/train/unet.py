"""Train the conditional U-Net on cached latents and cached captions; VAE and text encoder are frozen and never run in the loop.

Unless the text encoder trains along, or only adapters do: see trainable.py.
"""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import torch

from ldmcli.config.training import TrainUNetConfig
from ldmcli.data.captioned import CaptionedImages
from ldmcli.data.decoders import Decoders
from ldmcli.engine.train.accelerator import open_run
from ldmcli.engine.train.batch_size import Trial, fit_batch_size
from ldmcli.engine.train.checkpointing import Hooks
from ldmcli.engine.train.context import GlobalBatch, RunContext
from ldmcli.engine.train.distributed import run_on_all_processes
from ldmcli.engine.train.dry_run import plan_run
from ldmcli.engine.train.initial_weights import initial_notes, initial_unet, load_frozen, resolve_parts, resolve_schedule
from ldmcli.engine.train.pictures import split_pictures
from ldmcli.engine.train.resume import resume
from ldmcli.engine.train.run_folder import agree_on_settings, run_folder
from ldmcli.engine.train.run_settings import plain
from ldmcli.engine.train.trainable import BLOCKS, IN_HALF, select_trainable
from ldmcli.engine.train.training_loop import make_state, prefetching, run_loop
from ldmcli.engine.train.unet_batches import Caches
from ldmcli.engine.train.unet_caches import build_caches, held_out_caches
from ldmcli.engine.train.unet_run import UNetRun, prompts_notes
from ldmcli.records.events import Event
from ldmcli.records.training import TrainDone
from ldmcli.reports.loss_plot import plot_losses
from ldmcli.runtime.processes import Processes
from ldmcli.training.signals import Requests


@run_on_all_processes
def train_unet(config: TrainUNetConfig, data: CaptionedImages, processes: Processes, requests: Requests) -> Iterator[Event]:
    """Yield records until the run has ended; RUN/model is then a StableDiffusionPipeline folder."""
    if config.dry_run:
        yield from plan_run(config, data, train_unet)
        return
    typed, config = config, resolve_parts(config)
    yield from prompts_notes(config)
    frozen = load_frozen(config)
    accelerator = yield from open_run(config, data)
    agreed = agree_on_settings(config, data, processes)
    with run_folder(config, processes), Decoders(config.workers) as decoders:
        context = RunContext(accelerator, processes, requests, decoders)
        pixels, split = yield from split_pictures(data, config, context)
        cached = yield from build_caches(data, pixels, frozen, config, context)
        caches = Caches(cached, (yield from held_out_caches(cached, split, frozen, config, context)))
        torch.manual_seed(config.seed)  # initial weights
        unet = initial_unet(config, frozen)
        config, schedule = resolve_schedule(config, frozen, unet)
        yield from initial_notes(config, typed, frozen, unet)
        trainable = select_trainable(config, unet, frozen)
        yield from trainable.notes(config.output)

        def make_run(config: TrainUNetConfig, prepared: Any) -> UNetRun:
            return UNetRun(config, split, trainable, prepared, accelerator, schedule, caches)

        def make_trial(config: TrainUNetConfig, network: Any) -> Trial:
            run = make_run(config, network)
            return Trial(run.loss, looks=run.looks())

        config = yield from fit_batch_size(config, len(split.train_rows), trainable.network, accelerator, processes, make_trial)
        processes.gather(None)  # whoever failed until here could not answer DDP
        state, prepared = make_state(trainable.network, config, accelerator, lambda: trainable.groups(config), BLOCKS, IN_HALF)
        settings = {**agreed, **plain(asdict(config)), **trainable.facts(config)}
        yield from resume(state, config, settings, processes, len(split.train_rows))
        run = make_run(config, prepared)
        loss = prefetching(run.loss, pixels, split, GlobalBatch.of(config, accelerator))
        yield from run_loop(state, loss, Hooks(run.save_model, run.sample, run.validate), config, settings, split, context)
        if processes.main:
            plot_losses(config.output / "log.jsonl", config.output / "loss.png")
            yield TrainDone(config.output, config.output / "model", state.step, run.validate(state))
