"""One comparison under way: the reference, and every scheduler at every number of steps, each a row of the report."""

import platform
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ldmcli import __version__
from ldmcli.config.measuring import CompareConfig
from ldmcli.config.sampling import Spacing
from ldmcli.engine.compare.plan import Cell
from ldmcli.engine.compare.statistics import interval
from ldmcli.engine.compare.walk import reference_latents, walk, walk_all
from ldmcli.engine.jobs import Job
from ldmcli.engine.sampling.batch import Latents, decoded_together
from ldmcli.engine.sampling.metadata import recorded_texts
from ldmcli.engine.sampling.native_size import too_large
from ldmcli.engine.sampling.open_model import OpenModel
from ldmcli.engine.sampling.settings import SamplingSettings
from ldmcli.metrics.psnr import psnr
from ldmcli.metrics.rmse import rmse
from ldmcli.models.hashes import weights_hash
from ldmcli.models.scorer import Scorer
from ldmcli.outputs.picture_files import encode_picture
from ldmcli.prompts.weighting import words
from ldmcli.records.comparison import ComparedRow
from ldmcli.records.events import Event
from ldmcli.records.notes import Note, Place
from ldmcli.records.words import counted
from ldmcli.reports.comparison_grid import Shown
from ldmcli.runtime.files import write_file
from ldmcli.runtime.team import Team

WARM_UP_CALLS = 2


class Comparison:
    """What every cell shares: the model, the jobs, the reference and its pictures."""

    def __init__(self, config: CompareConfig, model: OpenModel, threads: int, jobs: list[Job], scorer: Scorer | None, team: Team) -> None:
        """config.output: the folder, which is there. team: its first process works out what all have drawn."""
        assert config.output is not None
        self.config, self.model, self.threads, self.team = config, model, threads, team
        self.source, self.session, self.runtime = model.source, model.session, model.runtime
        self.folder, self.jobs, self.scorer = config.output, jobs, scorer
        self.shown = Shown(prompts=[job.prompt for job in jobs], seeds=[job.seed for job in jobs], cells={}, reference=[])
        self.truth = torch.empty(0)
        self.deviation = 0.0
        self.env: dict[str, Any] = {}

    def prepare(self) -> Iterator[Event]:
        """Walk the reference, or read it; warm up; write down what was resolved."""
        drawing = self.config.drawing
        settings = self._settings("ddim", self.config.reference_steps, spacing=None)
        yield from too_large(self.session, [settings])
        text_sha256 = weights_hash(self.source.path, "text_encoder", **self.source.picking)
        facts = [{**self.model.facts(job, settings, self.threads), "text_encoder_sha256": text_sha256} for job in self.jobs]
        began = time.perf_counter()
        kept = self.folder / "references"
        first = self.jobs[: drawing.stated_batch_size]
        walked = yield from reference_latents(self.team, self.session, settings, self.jobs, drawing.stated_batch_size, facts, kept)
        if walked is None:
            yield from walk(self.session, settings, first, "warm-up", calls=WARM_UP_CALLS)
            return
        self.truth, found = walked
        took = "read from disk" if found else f"walked in {time.perf_counter() - began:.1f} s"
        yield Note(f"reference: ddim at {counted(settings.steps, 'step')}, {took}")
        self.deviation = float(self.truth.double().std())
        self.shown.reference.extend(self._pictures(self.truth))
        scores = self._cosines(self.shown.reference)
        yield from walk(self.session, settings, first, "warm-up", calls=WARM_UP_CALLS)
        self.env = self._environment(settings, scores)

    def measure(self, cell: Cell, place: Place) -> Generator[Event, None, ComparedRow | None]:
        """Draw every job by this solver, save the pictures, work out the row, which is None in all processes but the first. Yields
        progress."""
        settings = self._settings(cell.scheduler.name, cell.steps, spacing=self.config.drawing.spacing)
        stage = f"{cell.scheduler.name} {cell.steps}"
        walked = yield from walk_all(self.team, self.session, settings, self.jobs, self.config.drawing.stated_batch_size, stage, place)
        if walked is None:
            return None
        pictures = self._pictures(walked.latents)
        cosines = self._cosines(pictures)
        items: dict[str, list[float]] = {} if cosines is None else {"cosine": cosines.tolist()}
        figures: dict[str, Any] = {}
        if cosines is not None:
            figures = {"clip_score": 100 * float(cosines.mean()), "clip_score_ci95": interval(100 * cosines.double(), self.shown.prompts)}
        if not cell.scheduler.stochastic:
            errors = rmse(walked.latents, self.truth)
            likeness = psnr(_as_tensor(pictures), _as_tensor(self.shown.reference))
            low, middle, high = errors.quantile(torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)).tolist()
            items |= {"latent_rmse": errors.tolist(), "psnr": likeness.tolist()}
            figures |= {
                "latent_rmse_to_reference": middle,
                "latent_rmse_quartiles": (low, high),
                "relative_rmse": middle / self.deviation,
                "psnr_to_reference": float(likeness.quantile(0.5)),
            }
        self.shown.cells[cell.scheduler.name, cell.budget] = pictures
        return ComparedRow(
            scheduler=cell.scheduler.name,
            steps=cell.steps,
            num_unet_calls=walked.calls,
            budget=cell.budget,
            seconds=round(walked.seconds, 6),
            seconds_per_call=round(walked.seconds / (walked.calls * walked.batches), 6),
            images=[str(path) for path in self._save(cell, settings, pictures)],
            items=items,
            settings=settings.solver.settings,
            notes=list(settings.solver.notes),
            **figures,
        )

    def _environment(self, settings: SamplingSettings, scores: Tensor | None) -> dict[str, Any]:
        """What was resolved, for the report. settings, scores: of the reference."""
        drawing = self.config.drawing
        return {
            "ldm": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
            "machine": platform.machine(),
            "device": str(self.runtime.device),
            "dtype": self.runtime.dtype_name,
            "threads": self.threads,
            "batch_size": drawing.stated_batch_size,
            "model": self.source.name,
            **self.model.other_weights,
            "unet_sha256": self.model.unet_sha256,
            "prompts": list(dict.fromkeys(self.shown.prompts)),
            "seeds": sorted(set(self.shown.seeds)),
            "pictures": len(self.jobs),
            "negative_prompt": drawing.negative_prompt,
            "cfg": settings.cfg,
            "cfg_rescale": drawing.cfg_rescale,
            "width": settings.width,
            "height": settings.height,
            "spacing": drawing.spacing,
            "sigma_clip": drawing.sigma_clip,
            "equal_nfe": self.config.equal_nfe,
            "reference": {
                "scheduler": "ddim",
                "steps": settings.steps,
                "num_unet_calls": settings.solver.num_calls,
                "latent_std": self.deviation,
                "clip_score": 100 * float(scores.mean()) if scores is not None else None,
                "settings": settings.solver.settings,
            },
        }

    def _settings(self, scheduler: str, steps: int, *, spacing: Spacing | None) -> SamplingSettings:
        return self.model.settings(replace(self.config.drawing, scheduler=scheduler, steps=steps, spacing=spacing))

    def _pictures(self, latents: Tensor) -> list[Image.Image]:
        """Raises NonFinite."""
        pictures = list(decoded_together(self.session, [Latents(one[None].to(self.session.device), [], 0.0) for one in latents]))
        for one in pictures:
            if one.error is not None:
                raise one.error
        return [one.picture for one in pictures if one.picture is not None]

    def _cosines(self, pictures: list[Image.Image]) -> Tensor | None:
        captions = [words(prompt, self.config.drawing.weighting) for prompt in self.shown.prompts]
        return self.scorer.score(pictures, captions) if self.scorer else None

    def _save(self, cell: Cell, settings: SamplingSettings, pictures: list[Image.Image]) -> Iterator[Path]:
        """Each with its record, so that `generate --from-image` draws it again. Paths are given relative to the results."""
        row = cell.scheduler
        place = Path("images") / f"{row.name}-{cell.budget}"
        for job, picture in zip(self.jobs, pictures, strict=True):
            path = place / f"{job.number:05d}_seed{job.seed}.png"
            texts = recorded_texts(self.model.facts(job, settings, self.threads), settings, retried=False)
            write_file(self.folder / path, encode_picture(picture, "png", texts))
            yield path


def _as_tensor(pictures: Sequence[Image.Image]) -> Tensor:
    """8-bit pictures to (B, 3, H, W) in [-1, 1]."""
    return torch.stack([torch.from_numpy(np.array(picture)) for picture in pictures]).permute(0, 3, 1, 2).double() / 127.5 - 1
