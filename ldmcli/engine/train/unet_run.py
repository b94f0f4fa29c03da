"""One U-Net training run from the inside: the loss of a step, validation, samples, saving."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from ldmcli.config.training import TrainUNetConfig
from ldmcli.data.captioned import CaptionedImages
from ldmcli.data.row_sources import rows_of
from ldmcli.data.text_file import read_text, text_lines
from ldmcli.diffusion.loop import last
from ldmcli.diffusion.objective import (
    by_quartile,
    denoising_loss,
    draw_timesteps,
    min_snr_weight,
    snr,
    spread_timesteps,
    squared_error,
    variance_only_loss,
)
from ldmcli.diffusion.schedule import NoiseSchedule
from ldmcli.diffusion.solver import make_solver
from ldmcli.engine.session import Session
from ldmcli.engine.train.context import DataSplit, GlobalBatch
from ldmcli.engine.train.trainable import TrainableNetworks, one_network
from ldmcli.engine.train.training_loop import compiled
from ldmcli.engine.train.unet_batches import Batch, Caches, draw_batch, predict, shares
from ldmcli.errors import LdmError
from ldmcli.models.saving import keep_component, keep_tokenizer, save_pipeline_files
from ldmcli.models.scorer import Scorer, load_scorer
from ldmcli.outputs.images import to_pillow
from ldmcli.prompts.comments import comment_note
from ldmcli.prompts.syntax import syntax_note
from ldmcli.records.events import Event
from ldmcli.records.notes import Note, Saved
from ldmcli.reports.sheets import contact_sheet, save_sheet
from ldmcli.training.ema import kept
from ldmcli.training.loop import Terms
from ldmcli.training.order import generator_for
from ldmcli.training.state import TrainState

SAMPLE_STEPS, SAMPLE_GUIDANCE = 25, 4.0
VALIDATED = 256
"""Rows of a validation: held-out pictures, each as often as it takes."""


class UNetRun:
    """The closures of one U-Net run: loss, validation, samples and saving share these things."""

    def __init__(
        self,
        config: TrainUNetConfig,
        split: DataSplit,
        trainable: TrainableNetworks,
        prepared: Any,
        accelerator: Any,
        schedule: NoiseSchedule,
        caches: Caches,
    ) -> None:
        """prepared: the network as the loss calls it."""
        self.config, self.trainable, self.accelerator, self.schedule = config, trainable, accelerator, schedule
        self.network = compiled(prepared, config)
        self.frozen, self.cached, self.order, self.batch = trainable.frozen, caches.train, split.order, GlobalBatch.of(config, accelerator)
        self.train_rows = rows_of(split.train_rows)
        self.eval_data, self.val_rows = caches.train, torch.tensor(split.val_rows)
        if caches.held_out is not None:
            self.eval_data, self.val_rows = caches.held_out, torch.arange(len(split.val_rows))
        self.validated: tuple[int, dict[str, float]] = (-1, {})
        """Of which step, and what was found."""
        self.prompts = sample_prompts(config, split.data, split.val_rows or split.train_rows)

    def loss(self, step: int, part: int) -> Terms:
        """One accumulation part of this process's share of the global batch."""
        rows = self.train_rows[self.order.batch(step, self.batch.per_step)]
        generator = generator_for(self.config.seed, "unet", step)
        timesteps = partial(draw_timesteps, shift=self.config.timestep_shift)
        batch = draw_batch(self.cached, rows, self.schedule, timesteps, generator, self.config.cfg_dropout)
        gamma, share = self.config.snr_gamma, batch.share(self.batch.share(part))
        answer, target, t = predict(self.network, self.cached, share, self.schedule, self.accelerator.device)
        weight = None if gamma is None else min_snr_weight(snr(self.schedule, t), gamma, self.schedule.prediction)
        return {"loss": denoising_loss(answer, target, weight)}

    def validate(self, state: TrainState) -> dict[str, float]:
        """Unweighted loss on held-out pictures, overall and per quarter of the timesteps, with the weights that would be shipped.

        Noise, timesteps and captions never change and come from a generator of their own: training is the same with and without.
        Beside it the loss of a predictor that knows only the variance of the latents. At the same step it is not done twice.
        """
        if not len(self.val_rows):
            return {}
        if self.validated[0] != state.step:
            self.validated = state.step, self._figures(one_network(self.trainable.inference_networks(state.weights())))
        return self.validated[1]

    def looks(self) -> list[Callable[[], object]]:
        """What validation and samples need at once, done once each: a batch of held-out pictures, and pictures for as many prompts."""

        def validating() -> None:
            batch = self._held_out_batch()
            self._errors(one_network(self._now()), batch.share(slice(self.config.batch_size)))

        def sampling() -> None:
            self._draw(self._session(self._now()), 0, steps=1)

        return [*([validating] if len(self.val_rows) else []), sampling]

    def sample(self, state: TrainState) -> Generator[Event, None, dict[str, float]]:
        """The fixed prompts with fixed seeds, as many at once as a training step has. Returns their CLIPScore where --sample-clipscore
        names a scorer."""
        session = self._session(self.trainable.inference_networks(state.weights()))
        pictures: list[Image.Image] = []
        while len(pictures) < len(self.prompts):
            pictures += self._draw(session, len(pictures), steps=SAMPLE_STEPS)
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
        self.trainable.save(self.config.output, state.weights())
        if not (model / "model_index.json").is_file():
            keep_component(model, "vae", frozen.vae_path, frozen.vae)
            if not self.config.train_text_encoder:
                keep_component(model, "text_encoder", frozen.text_path, frozen.text.encoder)
            keep_tokenizer(model, frozen.tokenizer, frozen.text.tokenizer)
            own = {"text_mask": self.config.text_mask, "cfg_dropout": self.config.cfg_dropout}
            save_pipeline_files(model, self.schedule.to_file(), {"_ldm": own})
        yield Saved("model", model)

    def _now(self) -> dict[str, Any]:
        """The parts with the weights of this moment, as `TrainableNetworks.inference_networks` has them."""
        return self.trainable.inference_networks(kept(self.trainable.network))

    def _held_out_batch(self) -> Batch:
        """All rows of a validation; the same ones whenever it is asked for."""
        rows = self.val_rows.repeat(-(-VALIDATED // len(self.val_rows)))[:VALIDATED]
        return draw_batch(self.eval_data, rows, self.schedule, spread_timesteps, generator_for(self.config.seed, "validation"), 0.0)

    @torch.no_grad()
    def _errors(self, network: Any, batch: Batch) -> Tensor:
        """Squared error of each picture, (b,)."""
        answer, target, _ = predict(network, self.eval_data, batch, self.schedule, self.accelerator.device)
        return squared_error(answer, target)

    def _figures(self, network: Any) -> dict[str, float]:
        batch = self._held_out_batch()
        parts = shares(len(batch.t), self.config.batch_size)
        errors, t = torch.cat([self._errors(network, batch.share(part)) for part in parts]), batch.t.to(self.accelerator.device)
        quarters = by_quartile(errors, t, self.schedule.num_timesteps)
        named = {f"val_loss_q{number}": value for number, value in enumerate(quarters, 1)}
        known = variance_only_loss(self.schedule, t).mean().item()
        return {"val_loss": errors.mean().item(), **named, "val_variance_only": known}

    def _session(self, parts: Mapping[str, Any]) -> Session:
        """A model that samples. parts: the networks that train."""
        text = replace(self.frozen.text, encoder=parts.get("text_encoder", self.frozen.text.encoder))
        return Session(parts["unet"], self.frozen.vae, text, self.schedule, self.accelerator.device)

    def _draw(self, session: Session, first: int, *, steps: int) -> list[Image.Image]:
        """Pictures of the prompts from number `first` on, which is their seed too. Guidance doubles what the U-Net has at once, and a
        decoder takes more than it: pictures are decoded one by one."""
        seeds = range(first, min(first + max(self.config.batch_size // 2, 1), len(self.prompts)))
        prompts = [self.prompts[seed] for seed in seeds]
        context = session.encode_prompts(prompts, [""] * len(prompts), guided=True)
        solver = make_solver("ddim", self.schedule, steps)
        shape = session.latent_shape(self.config.size, self.config.size)
        samples = last(session.denoise(context, list(seeds), shape, solver, guidance=SAMPLE_GUIDANCE))
        return [to_pillow(session.decode(latents[None]))[0] for latents in samples]


def sample_prompts(config: TrainUNetConfig, data: CaptionedImages, rows: Sequence[int]) -> list[str]:
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
        lines = _prompt_lines(config.prompts)
        if comments := [number for number, line in enumerate(lines, 1) if line.startswith("#")]:
            yield Note(comment_note(str(config.prompts), comments))
        if foreign := syntax_note(((line, "none") for line in lines if not line.startswith("#")), instead=False):
            yield Note(foreign, warning=True)


def _prompt_lines(path: Path) -> list[str]:
    return [line.strip() for line in text_lines(read_text(path))]
