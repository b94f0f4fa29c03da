"""What becomes of a picture in memory: a file, what lies beside it, a line of the manifest, a record."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from ldmcli.config.generation import GenerateConfig
from ldmcli.engine.jobs import Job
from ldmcli.engine.sampling.batch import DecodedPicture
from ldmcli.engine.sampling.metadata import other_settings, recorded_texts
from ldmcli.engine.sampling.settings import SamplingSettings
from ldmcli.errors import LdmError
from ldmcli.outputs.claims import is_free, is_picture_of
from ldmcli.outputs.images import enlarge
from ldmcli.outputs.manifest import Manifest, identity
from ldmcli.outputs.naming import INDEX, progress_target
from ldmcli.outputs.output_plan import OutputPlan, Written, write_beside, write_new
from ldmcli.outputs.picture_files import encode_picture, sheet_texts
from ldmcli.records.pictures import FailedItem, ImageRecord
from ldmcli.reports.index_page import write_index
from ldmcli.reports.progressive import save_progress

EARLIER_VERSIONS = ("0.1.0",)
"""Of ldm, whose pictures are those of this one but for the version that they state: a batch that one began is not drawn again."""


class Finished(NamedTuple):
    """What came of a job: a record or an error."""

    job: Job
    record: ImageRecord | None
    error: LdmError | None = None


class PictureWriter:
    """Where one command writes. resumed: it goes on with what an earlier run of it began, numbers and names included."""

    def __init__(self, config: GenerateConfig, model: str, outputs: OutputPlan, manifest: Manifest | None, *, resumed: bool) -> None:
        self.config, self.model, self.outputs, self.manifest, self.resumed = config, model, outputs, manifest, resumed
        self.copies: dict[int, int] = {}

    def claim(self, jobs: Iterable[tuple[Job, SamplingSettings]]) -> None:
        """Settle all names before anything is drawn, where they do not count by themselves: a resumed run gives the same."""
        if self.outputs.file is None and not self.outputs.target.numbered:
            numbers: list[int] = []

            def values() -> Iterator[dict[str, Any]]:
                for job, settings in jobs:
                    numbers.append(job.number)
                    yield self._values(job, settings)

            self.outputs, copies = self.outputs.claiming(values())
            self.copies = {number: copy for number, copy in zip(numbers, copies, strict=True) if copy}

    def begin(self, command: str, seed: int, pictures: int, threads: int, *, join: bool) -> None:
        """Claim the numbers of a command that the folder does not know yet. join: see `Manifest.claim`."""
        if self.manifest and not self.resumed:
            free = self.outputs.free_number
            row = self.manifest.claim(command, seed=seed, pictures=pictures, threads=threads, free=free, join=join)
            self.outputs = self.outputs.numbered_from(row["first"])
            self.resumed = join

    def earlier(self, job: Job, facts: dict[str, Any]) -> dict[str, Any] | None:
        """What an earlier run of this command noted about this picture."""
        if not (self.resumed and self.manifest):
            return None
        number = self.outputs.first + job.number
        by_version = (identity(facts | {"ldm": version}) for version in (facts["ldm"], *EARLIER_VERSIONS))
        return next((row for name in by_version if (row := self.manifest.pictures.get((name, number)))), None)

    def already(self, row: dict[str, Any] | None) -> ImageRecord | None:
        """The record of a picture that an earlier run finished and that is still the same."""
        return self.manifest.finished(row) if self.manifest and row else None

    def finish(
        self,
        job: Job,
        settings: SamplingSettings,
        facts: dict[str, Any],
        drawn: DecodedPicture,
        *,
        dropped_tokens: int,
        seconds: float,
        before: dict[str, Any] | None,
    ) -> Finished:
        """Enlarge if asked, write, note in the manifest. before: the row of this picture from an earlier run."""
        if drawn.error is not None:
            return self.failed(job, drawn.error)
        assert drawn.picture is not None
        picture = enlarge(drawn.picture, self.config.upscale, self.config.resample)
        texts = recorded_texts(facts, settings, retried=drawn.retried) if self.config.metadata else None
        before = before if before and self._may_replace(before["path"], facts) else None
        written = self._write_picture(job, settings, picture, texts, before)
        path, number = written.path, before["number"] if before else written.number
        progress = self._write_progress(self.config.progressive, drawn, path) if self.config.progressive else None
        record = ImageRecord(
            path=str(path),
            prompt=job.prompt,
            negative_prompt=job.config.negative_prompt,
            seed=job.seed,
            steps=settings.steps,
            num_unet_calls=settings.solver.num_calls,
            scheduler=settings.solver.name,
            cfg=settings.cfg,
            width=picture.width,
            height=picture.height,
            truncated_tokens=dropped_tokens,
            seconds=round(seconds, 4),
            progress=str(progress) if progress else None,
            guided_calls=sum(settings.guided) if settings.cfg_interval or settings.cfg_reuse > 1 else None,
            vae_retried_in_fp32=drawn.retried or None,
        )
        if self.manifest:
            more: dict[str, Any] = {} if job.config.weighting == "none" else {"weighting": job.config.weighting}
            more |= {"model": self.model, "settings": other_settings(job)}
            planned = self.outputs.first + job.number
            places = {"number": number} if number == planned else {"number": number, "planned": planned}
            self.manifest.add(record, id=identity(facts), **places, line=job.line, **more)
        return Finished(job, record)

    def _write_picture(
        self, job: Job, settings: SamplingSettings, picture: Image.Image, texts: dict[str, str] | None, before: dict[str, Any] | None
    ) -> Written:
        return write_new(
            encode_picture(picture, self.outputs.target.kind, texts), self.outputs, job.number, self._values(job, settings),
            copy=self.copies.get(job.number, 0), resumed=self.resumed, replace=before["path"] if before else None,
        )  # fmt: skip

    def _may_replace(self, name: str, facts: dict[str, Any]) -> bool:
        """Whether a file that the manifest names is a picture by its name and by what it says itself, or is gone."""
        path = self.outputs.folder / name
        return path.suffix == self.outputs.target.ending and (is_free(path) or is_picture_of(path, facts))

    def _write_progress(self, kind: str, drawn: DecodedPicture, path: Path) -> Path:
        """Beside the picture. kind: as --progressive names it."""
        progress = progress_target(kind, path)
        frames = [(t, enlarge(frame, self.config.upscale, self.config.resample)) for t, frame in drawn.frames]
        save_progress(kind, frames, progress, provenance=self.config.metadata)
        return progress

    def failed(self, job: Job, error: LdmError, *, in_manifest: bool = True) -> Finished:
        """in_manifest: noted there too; where nothing can be drawn at all the folder stays as it was."""
        if self.manifest and in_manifest:
            row = asdict(failed_item(job, error))
            self.manifest.append({"status": "failed", "number": self.outputs.first + job.number, "seed": job.seed, **row})
        return Finished(job, None, error)

    def write_grid(self, sheet: Image.Image, pictures: int) -> Path:
        """The sheet of --grid, named by the numbers of the command."""
        first = self.outputs.first
        target = self.outputs.folder / f"{first:05}-{first + pictures - 1:05}.grid.png"
        body = encode_picture(sheet, "png", sheet_texts("grid"), provenance=self.config.metadata)
        return write_beside(body, target, replace=self.resumed)

    def write_index(self) -> Path | None:
        """The page of --index, from all that the folder's manifest knows by now."""
        if self.manifest is None:
            return None
        path = self.outputs.folder / INDEX
        write_index(path, Manifest(self.outputs.folder).pictures.values())
        return path

    def _values(self, job: Job, settings: SamplingSettings) -> dict[str, Any]:
        """What a template may name, apart from the number."""
        return {
            "seed": job.seed, "prompt": job.prompt, "scheduler": settings.solver.name, "steps": settings.steps, "cfg": settings.cfg,
            "width": settings.width, "height": settings.height, "model": self.model,
        }  # fmt: skip


def failed_item(job: Job, error: LdmError) -> FailedItem:
    """The entry of `failed`."""
    return FailedItem(line=job.line, prompt=job.prompt, error=error.message, exit_code=error.exit_code)
