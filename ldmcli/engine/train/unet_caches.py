"""What never changes while a U-Net trains, encoded once: every view of every picture and every distinct caption."""

from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ldmcli.config.training import TrainUNetConfig
from ldmcli.data.cache import filled, pixels_fingerprint, to_unit_range
from ldmcli.data.captioned import CaptionedImages
from ldmcli.data.fingerprints import fingerprint
from ldmcli.data.pictures import CROPS
from ldmcli.data.row_sources import ComputedOnDemand, RowSource, StreamedPictures, flip_some
from ldmcli.data.row_views import Repeated
from ldmcli.data.streamed import ShardImages
from ldmcli.engine.parts import make_codec
from ldmcli.engine.train.context import DataSplit, RunContext
from ldmcli.engine.train.held_out import centre_squares
from ldmcli.engine.train.initial_weights import FrozenNetworks
from ldmcli.engine.train.pictures import place_of
from ldmcli.engine.train.streamed_captions import streamed_captions
from ldmcli.engine.train.text_cache import encode_captions, forward_progress, weights_fingerprint
from ldmcli.engine.train.unet_batches import CachedData
from ldmcli.models.tokenizer import Tokens
from ldmcli.records.events import Event
from ldmcli.records.notes import Note
from ldmcli.runtime.processes import Processes

# N pictures, V views of each, M captions, C latent channels, h w latent size


def build_caches(
    data: CaptionedImages, pixels: RowSource, frozen: FrozenNetworks, config: TrainUNetConfig, context: RunContext
) -> Generator[Event, None, CachedData]:
    """Encode all, or with --no-cache when asked for.

    With --train-text-encoder captions are only cut into tokens, since the states would be old after one step.
    Returns CachedData as the generator's value.
    """
    device, processes = context.device, context.processes
    if isinstance(data.images, ShardImages):
        mean, std = yield from encoded_pictures(data, pixels, config.crop, frozen, config, device, processes)
        frozen.text.encoder.to(device)
        shown = pixels.stand_in if isinstance(pixels, StreamedPictures) else None
        return streamed_captions(data.images, frozen.text, mean, std, flips_of(config), shown)
    captions = [*dict.fromkeys(c for image in data.images for c in image.captions), ""]
    tokens = [frozen.text.tokens(caption) for caption in captions]
    yield from cut_captions(captions, tokens)
    mean, std = yield from encoded_pictures(data, pixels, config.crop, frozen, config, device, processes)
    encoder = frozen.text.encoder.to(device)

    def states(rows: Tensor) -> dict[str, Tensor]:
        return {"states": frozen.text.states([tokens[row] for row in rows.tolist()])}

    vectors: RowSource
    if config.train_text_encoder:
        vectors = torch.stack([one.ids for one in tokens]).int()
    elif config.no_cache:
        vectors = ComputedOnDemand(len(captions), states).of("states")
    else:
        at_once = 16 if device.type == "cpu" else 256
        vectors = yield from encode_captions(cache_of(config), captions, tokens, frozen, states, processes, at_once)
        encoder.cpu()
    row = {caption: number for number, caption in enumerate(captions)}
    counts = torch.tensor([len(image.captions) for image in data.images])
    return CachedData(
        mean,
        std,
        vectors,
        frozen.text.mask(tokens),
        torch.tensor([row[c] for image in data.images for c in image.captions]),
        counts.cumsum(0) - counts,
        counts,
        len(CROPS[config.crop]) * flips_of(config),
    )


def held_out_caches(
    cached: CachedData, split: DataSplit, frozen: FrozenNetworks, config: TrainUNetConfig, context: RunContext
) -> Generator[Event, None, CachedData | None]:
    """The held-out pictures by their centre, in the order of val_rows, where --crop random trains on other squares; else None."""
    val_rows = split.val_rows
    if len(CROPS[config.crop]) == 1 or not val_rows:
        return None
    some, pixels = yield from centre_squares(split.data, val_rows, config, context.processes, context.decoders)
    mean, std = yield from encoded_pictures(some, pixels, "center", frozen, config, context.device, context.processes)
    rows = torch.tensor(val_rows)
    return replace(cached, mean=mean, std=std, first=cached.first[rows], counts=cached.counts[rows], views=flips_of(config))


def encoded_pictures(
    data: CaptionedImages,
    pixels: RowSource,
    crop: str,
    frozen: FrozenNetworks,
    config: TrainUNetConfig,
    device: torch.device,
    processes: Processes,
) -> Generator[Event, None, tuple[RowSource, RowSource | None]]:
    """Mean and deviation of the scaled posterior of these pixels, (N V, C, h, w) each; crop: what the pixels show.

    With --posterior mode no deviation: of a Gaussian the mean is the mode.
    """
    draws = config.posterior == "sample"
    codec = make_codec(frozen.vae.to(device).to(memory_format=torch.channels_last))  # type: ignore[call-overload]
    flips = flips_of(config)

    @torch.no_grad()
    def latents(rows: Tensor) -> dict[str, Tensor]:
        pictures = flip_some(pixels[rows // flips], rows % flips == 1)
        mean, std = codec.encode(to_unit_range(pictures).to(device))
        return {"mean": mean, "std": std}

    count = len(pixels) * flips
    if config.no_cache:
        encoded = ComputedOnDemand(count, latents)
        return encoded.of("mean"), encoded.of("std") if draws else None
    each = len(CROPS[crop]) * flips
    first, places = distinct(data)
    is_plain = len(first) == len(data)
    key = fingerprint(
        pixels_fingerprint(data, config.size, crop), flips, weights_fingerprint(frozen.vae_path, "vae"), *([] if is_plain else ["distinct"])
    )
    folder = cache_of(config) / f"latents-{key}"

    def some(start: int, end: int) -> dict[str, Tensor]:
        rows = torch.arange(start, end)
        return latents(rows if is_plain else first[rows // each] * each + rows % each)

    # On a CPU a batch that stays in its caches is faster; a GPU wants to be filled.
    at_once = 8 if device.type == "cpu" else 64
    entry = yield from forward_progress(filled(folder, len(first) * each, at_once, some, "encode pictures", processes))
    mean, std = (entry.arrays[name] if is_plain else Repeated(entry.arrays[name], places, each) for name in ("mean", "std"))
    return mean, std if draws else None


def distinct(data: CaptionedImages) -> tuple[Tensor, Tensor]:
    """(U,) the row where each different picture is listed first, and (N,) which of them stands in each row."""
    first: dict[object, int] = {}
    for row, image in enumerate(data.images):
        first.setdefault(place_of(image), row)
    number = {place: count for count, place in enumerate(first)}
    return torch.tensor([*first.values()]), torch.tensor([number[place_of(image)] for image in data.images])


def cut_captions(captions: list[str], tokens: list[Tokens]) -> Iterator[Note]:
    """A warning where captions are longer than the text encoder reads: how many, and the longest."""
    cut = [(one.dropped_tokens, caption) for caption, one in zip(captions, tokens, strict=True) if one.dropped_tokens]
    if not cut:
        return
    window = len(tokens[0].ids)
    over, longest = max(cut, key=lambda pair: pair[0])
    begin = longest if len(longest) <= 60 else longest[:59] + "…"
    yield Note(
        f"{len(cut):,} of {len(captions) - 1:,} different captions are longer than the {window} tokens that the text encoder reads; what is"
        f" behind is not learned. The longest has {window + over}: {begin!r}",
        warning=True,
    )


def flips_of(config: TrainUNetConfig) -> int:
    """Views of one square."""
    return 2 if config.flip else 1


def cache_of(config: TrainUNetConfig) -> Path:
    """Where what is encoded is kept."""
    return config.cache or config.output / "cache"
