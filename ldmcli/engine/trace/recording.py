"""A session that writes down what happens in it. It draws the very picture that the plain networks draw unwatched."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ldmcli.diffusion.loop import DenoiseStep
from ldmcli.diffusion.solver import Solver
from ldmcli.diffusion.start import Start
from ldmcli.engine.session import Session
from ldmcli.networks.attention import TextContext
from ldmcli.networks.probe import record_cross_attention, record_shapes
from ldmcli.records.notes import Memory
from ldmcli.reports.progressive import evenly
from ldmcli.runtime.memory import memory

# h w size of an attention map, L text tokens, C latent channels

COARSEST, FINEST = 8, 32
"""Sides of the attention layers that are shown. Finer layers mark textures and coarser ones cannot tell left from right; Stable
Diffusion draws its objects at 16 (Hertz et al. 2022, sec. 3)."""

MANY_PICTURES, FEW_PICTURES, SMALL = 50, 12, 256 * 256
"""Calls of which pictures are kept: decoding four pictures a call costs more than the call itself where pictures are large."""


@dataclass(frozen=True)
class CallNumbers:
    """One evaluation of the U-Net in numbers. norms: of x_t and of the answers (L2, over all values); share: of attention per position."""

    index: int
    t: float
    sigma: float
    norms: dict[str, float | None]
    cosine: float | None
    seconds: float
    share: list[float]


@dataclass
class Recording:
    """What a traced session has seen so far."""

    stages: list[tuple[str, float, Memory]] = field(default_factory=list)
    """(name, seconds, memory at its end)."""
    context: TextContext | None = None
    solver: Solver | None = None
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """What each part of the U-Net puts out, and the tensors between the stages."""
    layers: dict[str, Tensor] = field(default_factory=dict)
    """Attention layer -> (h, w, L): mean over heads and calls, for the prompt (not for the negative one)."""
    heads: dict[str, int] = field(default_factory=dict)
    picture: Tensor | None = None
    """(1, 3, H, W) in [-1, 1]: what came out in the end."""
    calls: list[CallNumbers] = field(default_factory=list)
    kept: dict[int, tuple[DenoiseStep, Tensor]] = field(default_factory=dict)
    """Call -> (what the loop saw, attention (h, w, L)) of the calls that are shown as pictures."""

    def average(self) -> Tensor:
        """(h, w, L): attention of the shown layers, averaged over layers, heads and calls; over L it sums to one."""
        return merged(self.layers)


@dataclass
class TracedSession(Session):
    """A session for one picture, recorded. load_s: what it took to come so far."""

    record: Recording = field(default_factory=Recording)
    load_s: float = 0.0

    def __post_init__(self) -> None:
        self.record.stages.append(("load", self.load_s, memory(self.device)))

    def encode_prompts(self, prompts: Sequence[str], negatives: Sequence[str], **options: Any) -> TextContext:
        """As in Session; the context is kept."""
        clock = time.perf_counter()
        self.record.context = super().encode_prompts(prompts, negatives, **options)
        self._stage("text encoder", clock)
        return self.record.context

    def denoise_from(self, context: TextContext, start: Start, solver: Solver, **options: Any) -> Iterator[DenoiseStep]:
        """As in Session; every call is written down."""
        record, seen = self.record, dict[str, Tensor]()
        record.solver = solver
        record.shapes["noise"] = tuple(start.noise.shape)
        pixels = start.noise.shape[2] * start.noise.shape[3] * self.vae.config.downscale**2
        kept_calls = evenly(solver.num_calls, MANY_PICTURES if pixels <= SMALL else FEW_PICTURES)

        def see_shape(part: str, shape: tuple[int, ...]) -> None:
            if shape[0] >= record.shapes.get(part, shape)[0]:  # of a guided call, if there is one
                record.shapes[part] = shape

        def see_map(layer: str, weights: Tensor) -> None:
            record.heads[layer] = weights.shape[1]
            seen[layer] = weights[-1].mean(dim=0)  # the prompt's row is the last; the mean is over the heads

        began = clock = time.perf_counter()
        with record_cross_attention(self.unet, see_map), record_shapes(self.unet, see_shape):
            for step in super().denoise_from(context, start, solver, **options):
                attention = merged(seen).cpu()
                share = attention.mean(dim=(0, 1)).tolist()
                record.calls.append(numbers_of(step, share, clock))
                for layer, weights in seen.items():
                    before = record.layers.get(layer, torch.zeros(()))
                    record.layers[layer] = before + (weights.cpu() - before) / len(record.calls)  # the running mean
                if step.index in kept_calls:
                    record.kept[step.index] = (step, attention)
                if step.final is not None:
                    self._stage("U-Net and solver", began)
                yield step
                clock = time.perf_counter()

    def decode(self, latents: Tensor, **options: Any) -> Tensor:
        """As in Session, and timed."""
        clock = time.perf_counter()
        pictures = super().decode(latents, **options)
        if self.record.picture is None:  # the first is the finished one, the others are on the way to it
            self.record.picture = pictures
            self._stage("VAE decoder", clock)
        return pictures

    def _stage(self, name: str, began: float) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.record.stages.append((name, time.perf_counter() - began, memory(self.device)))


def numbers_of(step: DenoiseStep, share: list[float], began: float) -> CallNumbers:
    """The numbers of one call."""

    def norm(x: Tensor | None) -> float | None:
        return None if x is None else float(x.norm())

    delta = None if step.uncond is None else step.cond - step.uncond
    norms = {
        "x": norm(step.latents),
        "uncond": norm(step.uncond),
        "cond": norm(step.cond),
        "delta": norm(delta),
        "guided": norm(step.guided),
    }
    cosine = None if step.uncond is None else float(F.cosine_similarity(step.uncond.flatten(), step.cond.flatten(), dim=0))
    return CallNumbers(step.index, step.timestep, step.sigma, norms, cosine, time.perf_counter() - began, share)


def shown_layers(sizes: dict[str, tuple[int, int]]) -> list[str]:
    """The layers whose shorter side is COARSEST to FINEST; where there are none, those of the finest map there is."""
    shown = [name for name, size in sizes.items() if COARSEST <= min(size) <= FINEST]
    largest = max((min(size) for size in sizes.values()), default=0)
    return shown or [name for name, size in sizes.items() if min(size) == largest]


def merged(maps: dict[str, Tensor]) -> Tensor:
    """Mean of the shown layers on the grid of the finest. maps: (h, w, L) by layer. Returns (h, w, L), sums over L are one, as theirs."""
    sizes = {name: (attention.shape[0], attention.shape[1]) for name, attention in maps.items()}
    shown = shown_layers(sizes)
    grid = max(sizes[name] for name in shown)
    planes = [maps[name].permute(2, 0, 1)[None] for name in shown]  # (1, L, h, w)
    return torch.cat([F.interpolate(plane, grid, mode="bilinear") for plane in planes]).mean(dim=0).permute(1, 2, 0)
