"""Train the autoencoder: reconstruction plus a small KL, latents measured at the end so that the U-Net sees unit variance."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from ldmcli.autoencoder.losses import PERCEPTUAL
from ldmcli.config.training import TrainVAEConfig
from ldmcli.data.captioned import CaptionedImages
from ldmcli.data.decoders import Decoders
from ldmcli.engine.train.accelerator import open_run
from ldmcli.engine.train.adversarial import AdversarialLoss
from ldmcli.engine.train.batch_size import Trial, fit_batch_size
from ldmcli.engine.train.checkpointing import Hooks
from ldmcli.engine.train.context import GlobalBatch, RunContext
from ldmcli.engine.train.distributed import run_on_all_processes
from ldmcli.engine.train.dry_run import plan_run
from ldmcli.engine.train.held_out import held_out_squares
from ldmcli.engine.train.pictures import split_pictures
from ldmcli.engine.train.resume import resume
from ldmcli.engine.train.run_folder import agree_on_settings, run_folder
from ldmcli.engine.train.training_loop import loop_config, make_state, prefetching, run_loop
from ldmcli.engine.train.vae_run import ExtraLosses, Squares, VAERun
from ldmcli.errors import LdmError
from ldmcli.models.corrections import correction_notes
from ldmcli.models.hashes import weights_hash
from ldmcli.models.loading import load_vae
from ldmcli.models.perceptual import Perceptual, load_lpips
from ldmcli.models.source import find_component
from ldmcli.networks.configs import VAEConfig
from ldmcli.networks.initial_values import zero_residual_branches
from ldmcli.networks.vae import VAE
from ldmcli.records.events import Event
from ldmcli.records.notes import Note
from ldmcli.records.training import TrainDone
from ldmcli.reports.loss_plot import plot_losses
from ldmcli.runtime.processes import Processes
from ldmcli.training.signals import Requests

SAID = 5
"""Unusable pictures that are named on the terminal."""


@run_on_all_processes
def train_vae(config: TrainVAEConfig, data: CaptionedImages, processes: Processes, requests: Requests) -> Iterator[Event]:
    """Yield records until the run has ended; RUN/model/vae is then an AutoencoderKL with its own scaling factor."""
    if config.dry_run:
        yield from plan_run(replace(config, adversarial_start=0), data, train_vae)  # the dearest steps are those to plan for
        return
    accelerator = yield from open_run(config, data)
    settings = agree_on_settings(config, data, processes)
    perceptual = perceptual_term(config, accelerator.device, processes)
    with run_folder(config, processes), Decoders(config.workers) as decoders:
        context = RunContext(accelerator, processes, requests, decoders)
        pixels, split = yield from split_pictures(data, config, context)
        torch.manual_seed(config.seed)  # initial weights
        vae = initial_vae(config)
        yield from initial_notes(config, vae)
        squares = Squares(pixels, (yield from held_out_squares(split, config, context)))

        def make_trial(config: TrainVAEConfig, vae: VAE) -> Trial:
            dearest = replace(config, adversarial_start=0)
            adversary = AdversarialLoss(dearest, accelerator, alone=True) if config.adversarial_weight else None
            run = VAERun(config, split, vae, vae, accelerator, squares, ExtraLosses(perceptual, adversary))
            return Trial(run.loss, adversary.learner if adversary else None, run.looks())

        config = yield from fit_batch_size(config, len(split.train_rows), vae, accelerator, processes, make_trial)
        settings |= {"batch_size": config.batch_size, "auto_batch": config.auto_batch} | frozen_facts(config)
        processes.gather(None)  # whoever failed until here could not answer DDP
        state, prepared = make_state(vae, config, accelerator, partial(decoder_group, vae) if config.freeze_encoder else None)
        adversary = AdversarialLoss(config, accelerator) if config.adversarial_weight else None
        state.opponent = adversary.learner if adversary else None
        yield from resume(state, config, settings, processes, len(split.train_rows))
        if adversary:
            yield from adversary.notes(loop_config(config, len(split.train_rows), accelerator.num_processes).max_steps)
        run = VAERun(config, split, vae, prepared, accelerator, squares, ExtraLosses(perceptual, adversary))
        loss = prefetching(run.loss, pixels, split, GlobalBatch.of(config, accelerator))
        yield from run_loop(state, loss, Hooks(run.save_model, run.sample, run.validate), config, settings, split, context)
        if processes.main:
            plot_losses(config.output / "log.jsonl", config.output / "loss.png")
            yield from run.collapse(state)
            scale = run.scaling_factor or run.latent_frame(state)[1]  # a run that was finished already has saved nothing
            yield TrainDone(config.output, config.output / "model", state.step, {"scaling_factor": scale, **run.validate(state)})


def initial_vae(config: TrainVAEConfig) -> VAE:
    """A new VAE, or a copy of the one that --init names. Raises LdmError when that one cannot halve the pictures' side often enough."""
    if config.init is None:
        vae = VAE(vae_config(config))
        zero_residual_branches(vae)
        return vae
    vae = load_vae(find_component(config.init, "vae", alone=True))
    if config.size % vae.config.downscale:
        raise LdmError(f"--size {config.size} is not a multiple of {vae.config.downscale}, by which --init {config.init} shrinks pictures.")
    vae.train().requires_grad_(True)
    if config.freeze_encoder:
        for part in (vae.encoder, vae.quant_conv):
            part.requires_grad_(False)
    return vae


def decoder_group(vae: VAE) -> list[dict[str, Any]]:
    """Parameter group of the optimizer with --freeze-encoder: what still trains."""
    return [{"params": [parameter for parameter in vae.parameters() if parameter.requires_grad]}]


def frozen_facts(config: TrainVAEConfig) -> dict[str, str]:
    """What a resumed run must find unchanged beside its settings: the encoder that no checkpoint holds."""
    if not config.freeze_encoder or config.init is None:
        return {}
    return {"init_sha256": weights_hash(find_component(config.init, "vae", alone=True), "vae")}


def initial_notes(config: TrainVAEConfig, vae: VAE) -> Iterator[Note]:
    """What --init brings along, said aloud."""
    if config.init is None:
        return
    yield from map(Note, correction_notes((find_component(config.init, "vae", alone=True), "vae")))
    kept = f"latents keep scale {vae.config.scaling_factor:.4g} and centre of {config.init}, so that its U-Net still fits; see --new-scale"
    if config.freeze_encoder:
        yield Note("the encoder is frozen: latents stay as they are, and the decoder trains alone")
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
