"""Optimizer steps of the U-Net's own trainer, on made-up latents and captions: no data set, no files."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from ldmcli.config.measuring import BenchConfig
from ldmcli.config.training import TrainUNetConfig
from ldmcli.data.captioned import CaptionedImage, CaptionedImages
from ldmcli.engine.bench.costs import META
from ldmcli.engine.session import Session
from ldmcli.engine.train.accelerator import make_accelerator
from ldmcli.engine.train.context import DataSplit
from ldmcli.engine.train.initial_weights import FrozenNetworks
from ldmcli.engine.train.trainable import select_trainable
from ldmcli.engine.train.training_loop import loop_config, make_state
from ldmcli.engine.train.unet_batches import CachedData, Caches
from ldmcli.engine.train.unet_run import UNetRun
from ldmcli.metrics.spread import spread
from ldmcli.networks.attention import TextContext
from ldmcli.networks.configs import UNetConfig
from ldmcli.networks.unet import UNet
from ldmcli.records.costs import TrainingRow
from ldmcli.records.events import Event
from ldmcli.records.notes import Progress
from ldmcli.runtime.memory import memory, reset_peak
from ldmcli.training.loop import train
from ldmcli.training.order import SampleOrder

# B pictures, C latent channels, h w latent size, L tokens, D text width

MIXED_PRECISION: dict[str, Any] = {"auto": "auto", "fp32": "no", "fp16": "fp16", "bf16": "bf16"}


def measure_training(session: Session, folder: Path, config: BenchConfig, peaks: dict[str, float]) -> Iterator[Event | TrainingRow]:
    """Train a copy of the session's U-Net for --warmup and --runs steps. peaks: FLOP/s of a matrix product by precision."""
    side, size = session.native_size, config.train_batch_size
    settings = TrainUNetConfig(
        data=folder, output=folder, size=side, batch_size=size, max_steps=config.warmup + config.runs, warmup=0, lr=1e-5,
        mixed_precision=MIXED_PRECISION[config.dtypes[0]], device=config.device, compile=config.compile, held_out=0.0,
        text_mask=session.text.use_mask,
    )  # fmt: skip
    accelerator, _ = make_accelerator(settings)
    unet = UNet(session.unet.config)
    unet.load_state_dict(session.unet.state_dict())
    frozen = FrozenNetworks(session.vae, folder, session.text, folder, folder)
    trainable = select_trainable(settings, unet, frozen)
    state, prepared = make_state(trainable.network, settings, accelerator)
    pictures = CaptionedImages("made up", tuple(CaptionedImage(str(i), folder, ("a dog",)) for i in range(size)))
    split = DataSplit(pictures, list(range(size)), [], SampleOrder(size, seed=0))
    run = UNetRun(settings, split, trainable, prepared, accelerator, session.schedule, Caches(made_up(session, size)))
    reset_peak(accelerator.device)
    seconds = []
    loop = loop_config(settings, size, accelerator.num_processes)
    for step in train(state, run.loss, loop, accelerator, split.ids(size)):
        yield Progress("training steps", step.step, step.total, memory(accelerator.device))
        seconds.append(step.seconds)
    times, used = spread(seconds[config.warmup :]), memory(accelerator.device)
    flops = count_step(unet.config, size, session.latent_shape(side, side), session.text.encoder.config.max_position_embeddings)
    achieved = flops / times.median
    peak = peaks.get({"no": "fp32"}.get(accelerator.mixed_precision, accelerator.mixed_precision))
    yield TrainingRow(
        mixed_precision=accelerator.mixed_precision,
        batch_size=size,
        width=side,
        height=side,
        step_s=times,
        images_per_s=size / times.median,
        flops_per_step=flops,
        achieved_flops_per_s=achieved,
        fraction_of_peak=None if peak is None else achieved / peak,
        peak_vram_bytes=used.peak_vram_bytes,
        peak_rss_bytes=used.peak_rss_bytes,
    )


def made_up(session: Session, count: int) -> CachedData:
    """What the caches of a data set of `count` pictures with one caption each would hold."""
    generator = torch.Generator().manual_seed(0)
    latents = (count, *session.latent_shape(session.native_size, session.native_size))
    tokens = [session.text.tokens(text) for text in ("a dog", "")]
    return CachedData(
        mean=torch.randn(latents, generator=generator).half(),
        std=torch.full(latents, 0.1).half(),
        states=session.text.states(tokens).half().cpu(),
        mask=session.text.mask(tokens),
        caption_rows=torch.zeros(count, dtype=torch.int64),
        first=torch.arange(count),
        counts=torch.ones(count, dtype=torch.int64),
    )


def count_step(config: UNetConfig, batch_size: int, shape: tuple[int, int, int], length: int) -> int:
    """FLOP of one forward and backward pass of a batch, on the meta device. The optimizer's are few and are left out."""
    from torch.utils.flop_counter import FlopCounterMode

    with META:
        unet = UNet(config)
        x, t = torch.empty(batch_size, *shape), torch.empty(batch_size)
        context = TextContext(torch.empty(batch_size, length, config.cross_attention_dim))
        with FlopCounterMode(display=False) as counter:
            unet(x, t, context).sum().backward()
    return counter.get_total_flops()
