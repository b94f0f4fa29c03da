"""Train the conditional U-Net on cached latents and cached captions; VAE and text encoder are frozen and never run in the loop."""

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ldmcli.config import TrainUNetConfig
from ldmcli.data.cache import Entry, filled, fingerprint, pixels_fingerprint, to_unit_range
from ldmcli.data.captioned import CaptionedImages
from ldmcli.data.layouts import load_captioned
from ldmcli.data.pictures import CROPS
from ldmcli.data.rows import ComputedOnDemand, Rows, flip_some
from ldmcli.diffusion.schedule import make_schedule
from ldmcli.engine.dry_run import planned
from ldmcli.engine.run_folder import resume, run_folder, settings_of
from ldmcli.engine.session import check_fit, make_codec
from ldmcli.engine.train_vae import split, usable_pixels
from ldmcli.engine.training_run import Hooks, loop_config, make_accelerator, make_state, run_loop, sample_ids
from ldmcli.engine.unet_run import Cached, Frozen, UNetRun
from ldmcli.models.loading import load_unet, load_vae
from ldmcli.models.source import find_component
from ldmcli.models.text import load_conditioner
from ldmcli.networks.configs import UNetConfig
from ldmcli.networks.unet import UNet
from ldmcli.records import Event, Note, Progress, TrainDone
from ldmcli.reports.loss_plot import plot_losses
from ldmcli.training.order import SampleOrder


def train_unet(config: TrainUNetConfig) -> Iterator[Event]:
    """Yield records until the run has ended; RUN/model is then a StableDiffusionPipeline folder."""
    data = load_captioned(
        config.data, images=config.images, captions=config.captions, limit=config.limit, allow_missing=config.allow_missing
    )
    if config.dry_run:
        yield from planned(config, data, train_unet)
        return
    frozen = load_frozen(config)
    yield from (Note(text, warning=True) for text in data.problems)
    yield Note(f"VAE {config.vae}, text encoder {config.text_encoder}: both frozen")
    accelerator, note = make_accelerator(config)
    yield note
    with run_folder(config):
        pixels, usable = yield from usable_pixels(data, config, accelerator)
        train_rows, val_rows = split(usable, config.seed, config.held_out)
        yield Note(f"{len(train_rows)} pictures to train on, {len(val_rows)} held out, from {data.source} ({data.layout})")
        with accelerator.main_process_first():
            cached = yield from build_caches(data, pixels, frozen, config, accelerator)
        torch.manual_seed(config.seed)  # initial weights
        schedule = make_schedule(config.schedule, config.prediction, zero_snr=config.zero_terminal_snr)  # type: ignore[arg-type]
        unet = starting_unet(config, frozen)
        unet.recompute = config.gradient_checkpointing
        state, prepared = make_state(unet, config, accelerator)
        settings = settings_of(config, data)
        yield from resume(state, config, settings)
        loop = loop_config(config, len(train_rows), accelerator.num_processes)
        order = SampleOrder(len(train_rows), config.seed)
        run = UNetRun(
            config, data, unet, prepared, accelerator, schedule, frozen, cached, train_rows, val_rows, order, loop.pictures_per_step
        )
        hooks = Hooks(run.save_model, run.sample, run.validate)
        yield from run_loop(
            state,
            run.loss,
            loop,
            config,
            settings,
            accelerator,
            hooks,
            sample_ids(data, train_rows, order, loop.pictures_per_step),
        )
        plot_losses(config.output / "log.jsonl", config.output / "loss.png")
        yield TrainDone(config.output, config.output / "model", state.step, run.validate(state))


def load_frozen(config: TrainUNetConfig) -> Frozen:
    """The VAE and the text encoder that --vae and --text-encoder name."""
    vae_folder, text_folder = find_component(config.vae, "vae"), find_component(config.text_encoder, "text_encoder")
    return Frozen(load_vae(vae_folder), vae_folder, load_conditioner(text_folder, use_mask=config.text_mask), text_folder)


def starting_unet(config: TrainUNetConfig, frozen: Frozen) -> UNet:
    """A new U-Net, or a copy of the one that --init names. Raises LdmError when that one belongs to other latents or text."""
    if config.init is None:
        return UNet(unet_config(config, frozen))
    unet = load_unet(find_component(config.init, "unet"))
    check_fit(unet, frozen.vae, frozen.text)
    return unet.train().requires_grad_(True)


def unet_config(config: TrainUNetConfig, frozen: Frozen) -> UNetConfig:
    """The network that the options describe: text attention at every level."""
    levels, latents = len(config.channels), frozen.vae.config.latent_channels
    return UNetConfig(
        sample_size=config.size // frozen.vae.config.downscale,
        in_channels=latents,
        out_channels=latents,
        down_block_types=("CrossAttnDownBlock2D",) * levels,
        up_block_types=("CrossAttnUpBlock2D",) * levels,
        block_out_channels=config.channels,
        layers_per_block=config.layers,
        cross_attention_dim=frozen.text.encoder.config.hidden_size,
        attention_head_dim=config.heads,
    )


def build_caches(
    data: CaptionedImages, pixels: Rows, frozen: Frozen, config: TrainUNetConfig, accelerator: Any
) -> Generator[Event, None, Cached]:
    """Encode every view of every picture and every distinct caption, once, or with --no-cache when asked for.

    Returns Cached as the generator's value.
    """
    cache = config.cache or config.output / "cache"
    device = accelerator.device
    vae, encoder = frozen.vae.to(device), frozen.text.encoder.to(device)
    codec = make_codec(vae)

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
        encoded, text = ComputedOnDemand(len(pixels) * flips, latents), ComputedOnDemand(len(captions), states)
        mean, std, vectors = encoded.of("mean"), encoded.of("std"), text.of("states")
    else:
        key = fingerprint(pixels_fingerprint(data, config.size, config.crop), flips, _weights(frozen.vae_folder / "vae"))
        entry = yield from _drain(
            filled(cache / f"latents-{key}", len(pixels) * flips, 64, lambda a, b: latents(torch.arange(a, b)), "encode pictures")
        )
        text_key = fingerprint(*captions, _weights(frozen.text_folder / "text_encoder"), _weights(frozen.text_folder / "tokenizer"))
        text_entry = yield from _drain(
            filled(cache / f"text-{text_key}", len(captions), 256, lambda a, b: states(torch.arange(a, b)), "encode captions")
        )
        mean, std, vectors = entry.arrays["mean"], entry.arrays["std"], text_entry.arrays["states"]
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


def _weights(folder: Path) -> str:
    """A fingerprint of a component's files by content."""
    import hashlib

    digest = hashlib.blake2b(digest_size=8)
    for path in sorted(p for p in folder.iterdir() if p.is_file()):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def _drain(events: Iterator[Progress | Entry]) -> Generator[Event, None, Entry]:
    """Pass progress on; returns the entry that comes last."""
    for event in events:
        if isinstance(event, Entry):
            return event
        yield event
    raise AssertionError("a cache ends with its entry")
