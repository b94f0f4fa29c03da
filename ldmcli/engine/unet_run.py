"""One U-Net training run from the inside: the loss of a step, validation, samples, saving."""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ldmcli.config.training import TrainUNetConfig
from ldmcli.data.captioned import CaptionedImages
from ldmcli.data.rows import Rows, draw_views
from ldmcli.data.text_file import read_text, text_lines
from ldmcli.diffusion.objective import (
    add_noise,
    by_quartile,
    denoising_loss,
    draw_timesteps,
    min_snr_weight,
    snr,
    spread_timesteps,
    squared_error,
    target,
    variance_only_loss,
)
from ldmcli.diffusion.schedule import NoiseSchedule
from ldmcli.diffusion.solver import make_solver
from ldmcli.engine.prompts_file import comments_said
from ldmcli.engine.session import Session
from ldmcli.engine.starting_point import Frozen
from ldmcli.engine.trained import Trained, one_network
from ldmcli.errors import LdmError
from ldmcli.images import to_pillow
from ldmcli.models.saving import keep_component, keep_tokenizer, save_pipeline_files
from ldmcli.models.scorer import Scorer, load_scorer
from ldmcli.networks.attention import TextContext
from ldmcli.records.events import Event
from ldmcli.records.notes import Note, Saved
from ldmcli.reports.sheets import contact_sheet, save_sheet
from ldmcli.training.loop import Terms
from ldmcli.training.order import SampleOrder, generator_for, pick
from ldmcli.training.state import TrainState

Timesteps = Callable[[NoiseSchedule, int, torch.Generator], Tensor]
"""How the timesteps of a batch are drawn."""

SAMPLE_STEPS, SAMPLE_GUIDANCE = 25, 4.0


@dataclass(frozen=True)
class Cached:
    """What the loop draws from, fp16: memory-mapped, or computed on demand.

    The views of picture n are rows n V to n V + V - 1 of mean and std.
    mean, std: (N V, C, h, w) of the scaled posterior; states: (M, L, D) of every distinct caption, the empty one last, or where the
    text tower trains along (M, L) int32, their tokens;
    mask: (M, L) bool or None; first, counts: (N,) int64, the picture's captions are caption_rows[first : first + counts].
    """

    mean: Rows
    std: Rows
    states: Rows
    mask: Tensor | None
    caption_rows: Tensor
    first: Tensor
    counts: Tensor
    views: int = 1


class UNetRun:
    """The closures of one U-Net run: loss, validation, samples and saving share these things."""

    def __init__(
        self,
        config: TrainUNetConfig,
        data: CaptionedImages,
        trained: Trained,
        prepared: Any,
        accelerator: Any,
        schedule: NoiseSchedule,
        frozen: Frozen,
        cached: Cached,
        train_rows: list[int],
        val_rows: list[int],
        order: SampleOrder,
        per_step: int,
    ) -> None:
        self.config, self.trained, self.accelerator, self.schedule = config, trained, accelerator, schedule
        self.network = torch.compile(prepared) if config.compile else prepared
        self.frozen, self.cached, self.order, self.per_step = frozen, cached, order, per_step
        self.train_rows, self.val_rows = torch.tensor(train_rows), torch.tensor(val_rows)
        self.prompts = sample_prompts(config, data, val_rows or train_rows)

    def loss(self, step: int, part: int) -> Terms:
        """One accumulation part of this process's share of the global batch."""
        size = self.config.batch_size
        first = (part * self.accelerator.num_processes + self.accelerator.process_index) * size
        rows = self.train_rows[self.order.batch(step, self.per_step)]
        generator = generator_for(self.config.seed, "unet", step)
        share, gamma = slice(first, first + size), self.config.snr_gamma
        answer, wanted, t = self._answer(self.network, rows, draw_timesteps, generator, self.config.cfg_dropout, share)
        weight = None if gamma is None else min_snr_weight(snr(self.schedule, t), gamma, self.schedule.prediction)
        return {"loss": denoising_loss(answer, wanted, weight)}

    @torch.no_grad()
    def validate(self, state: TrainState) -> dict[str, float]:
        """Unweighted loss on held-out pictures, overall and per quarter of the timesteps, with the weights that would be shipped.

        Noise, timesteps and captions never change and come from a generator of their own: training is the same with and without.
        Beside it the loss of a predictor that knows only the variance of the latents.
        """
        if not len(self.val_rows):
            return {}
        generator = generator_for(self.config.seed, "validation")
        rows = self.val_rows.repeat(-(-256 // len(self.val_rows)))[:256]
        answer, wanted, t = self._answer(self._shipped(state), rows, spread_timesteps, generator, 0.0, slice(None))
        errors = squared_error(answer, wanted)
        quarters = by_quartile(errors, t, self.schedule.num_timesteps)
        known = variance_only_loss(self.schedule, t).mean().item()
        named = {f"val_loss_q{number}": value for number, value in enumerate(quarters, 1)}
        return {"val_loss": errors.mean().item(), **named, "val_variance_only": known}

    def sample(self, state: TrainState) -> Generator[Event, None, dict[str, float]]:
        """The fixed prompts with fixed seeds. Returns their CLIPScore where --sample-clipscore names a scorer."""
        shipped = self.trained.shipped(state.weights())
        text = replace(self.frozen.text, encoder=shipped.get("text_encoder", self.frozen.text.encoder))
        session = Session(shipped["unet"], self.frozen.vae, text, self.schedule, self.accelerator.device)
        context = session.encode_prompts(self.prompts, [""] * len(self.prompts), guided=True)
        solver = make_solver("ddim", self.schedule, SAMPLE_STEPS)
        shape, seeds = session.latent_shape(self.config.size, self.config.size), range(len(self.prompts))
        latents = None
        for step in session.denoise(context, list(seeds), shape, solver, guidance=SAMPLE_GUIDANCE):
            latents = step.final
        assert latents is not None
        pictures = to_pillow(session.decode(latents))
        sheet = contact_sheet(pictures, columns=8, labels=self.prompts)
        yield Saved("samples", save_sheet(sheet, self.config.output / "samples" / f"step-{state.step:06d}.png"))
        return {} if self.scorer is None else {"clip_score": 100 * self.scorer.score(pictures, self.prompts).mean().item()}

    @cached_property
    def scorer(self) -> Scorer | None:
        """Loaded at the first sheet."""
        name = self.config.sample_clipscore
        return None if name is None else load_scorer(name, self.accelerator.device)

    def save_model(self, state: TrainState) -> Iterator[Event]:
        """Write RUN/model: the averaged weights and the frozen parts."""
        model, frozen = self.config.output / "model", self.frozen
        self.trained.save(self.config.output, state.weights())
        if not (model / "model_index.json").is_file():
            keep_component(model, "vae", frozen.vae_path, frozen.vae)
            if not self.config.train_text_encoder:
                keep_component(model, "text_encoder", frozen.text_path, frozen.text.encoder)
            keep_tokenizer(model, frozen.tokenizer, frozen.text.tokenizer)
            own = {"text_mask": self.config.text_mask, "cfg_dropout": self.config.cfg_dropout}
            save_pipeline_files(model, self.schedule.to_file(), {"_ldm": own})
        yield Saved("model", model)

    def _answer(
        self, network: Any, rows: Tensor, timesteps: Timesteps, generator: torch.Generator, dropout: float, share: slice
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What the network answers, what it should, and when, for `share` of a batch.

        Everything random is drawn for the whole batch, so that shares agree. rows: (B,) int64. Returns (b, C, h, w) twice and (b,) int64.
        """
        cached, device = self.cached, self.accelerator.device
        captions = draw_captions(cached, rows, generator, dropout)[share]
        shape = (len(rows), *cached.mean.shape[1:])
        drawn, noise = torch.randn(shape, generator=generator)[share], torch.randn(shape, generator=generator)[share].to(device)
        t = timesteps(self.schedule, len(rows), generator)[share].to(device)
        seen = draw_views(rows, cached.views, generator)[share]
        latents = (cached.mean[seen].float() + cached.std[seen].float() * drawn).to(device)
        mask = None if cached.mask is None else cached.mask[captions].to(device)
        text = cached.states[captions].to(device)
        context = TextContext(text.float() if text.is_floating_point() else text, mask)
        noisy = add_noise(self.schedule, latents, noise, t).contiguous(memory_format=torch.channels_last)
        return network(noisy, t, context), target(self.schedule, latents, noise, t), t

    def _shipped(self, state: TrainState) -> nn.Module:
        """What `network` is, with the weights that would be shipped."""
        return one_network(self.trained.shipped(state.weights()))


def draw_captions(cached: Cached, rows: Tensor, generator: torch.Generator, dropout: float) -> Tensor:
    """One caption of each picture, the empty one with probability `dropout`. rows: (B,). Returns (B,) rows of cached.states."""
    captions = cached.caption_rows[cached.first[rows] + pick(cached.counts[rows], generator)]
    dropped = torch.rand(len(rows), generator=generator) < dropout
    return captions.masked_fill(dropped, len(cached.states) - 1)


def sample_prompts(config: TrainUNetConfig, data: CaptionedImages, rows: list[int]) -> list[str]:
    """--prompts FILE, one a line, or the first captions of eight pictures of the data."""
    if config.prompts is None:
        return [data.images[row].captions[0] for row in rows[:: max(len(rows) // 8, 1)][:8]]
    prompts = [line for line in _prompt_lines(config.prompts) if line and not line.startswith("#")]
    if not prompts:
        raise LdmError(f"--prompts {config.prompts} holds no prompt.")
    return prompts


def prompts_notes(config: TrainUNetConfig) -> Iterator[Note]:
    """What is to be said of --prompts FILE. Raises NotFound and LdmError, before anything is computed."""
    if config.prompts is not None:
        comments = [number for number, line in enumerate(_prompt_lines(config.prompts), 1) if line.startswith("#")]
        if comments:
            yield Note(comments_said(str(config.prompts), comments))


def _prompt_lines(path: Path) -> list[str]:
    return [line.strip() for line in text_lines(read_text(path))]
