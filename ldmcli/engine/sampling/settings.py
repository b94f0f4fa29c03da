"""What pictures depend on besides prompt and seed: resolved from the command line, the model and our defaults, and what is said of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ldmcli.config.checks import check
from ldmcli.config.generation import TILED_ABOVE, GenerateConfig
from ldmcli.diffusion.catalogue import resolve
from ldmcli.diffusion.guidance import guided_calls
from ldmcli.diffusion.midway import begun_midway
from ldmcli.diffusion.solver import Solver, make_solver
from ldmcli.engine.jobs import Job
from ldmcli.engine.parts import check_fit
from ldmcli.engine.sampling.presets import preset_values
from ldmcli.engine.sampling.start_image import StartImage, drawn_size, open_picture, start_image
from ldmcli.engine.session import Session
from ldmcli.errors import UsageError
from ldmcli.prompts.length import MOST_CHARACTERS, length_note
from ldmcli.prompts.syntax import syntax_note
from ldmcli.records.notes import Note
from ldmcli.records.words import counted

DEFAULTS: dict[str, Any] = {"scheduler": "dpm++2m", "steps": 20, "cfg": 7.5}
"""Where neither the command line nor the model says anything."""


@dataclass(frozen=True)
class SamplingSettings:
    """Everything resolved: what the pictures depend on besides prompt and seed."""

    solver: Solver
    steps: int
    cfg: float
    width: int
    height: int
    guided: tuple[bool, ...]
    """For every call of the solver, whether the U-Net is evaluated without the prompt too."""
    vae_dtype: str = "fp32"
    tiled: bool = False
    """Whether pictures are decoded in tiles."""
    notes: tuple[str, ...] = ()
    """What the user should know, in sentences."""
    start: StartImage | None = None
    """A picture to start from."""
    cfg_interval: tuple[float, float] | None = None
    """Where it is guided, as shares of the timesteps; None: everywhere."""

    @property
    def unet_evaluations(self) -> int:
        """Of one picture."""
        return len(self.guided) + sum(self.guided)


def resolve_settings(config: GenerateConfig, session: Session, own: dict[str, Any]) -> SamplingSettings:
    """Command line over the model's own defaults (`_ldm` in model_index.json) over ours. Raises UsageError."""
    preset, preset_notes = preset_values(config.preset, own)
    defaults = {**DEFAULTS, **own.get("defaults", {}), **preset}
    interval = config.cfg_interval or defaults.get("cfg_interval")
    picture = None if config.init_image is None else open_picture(config.init_image, "--init-image")
    width, height = drawn_size(config, picture, session)
    scale = session.vae.config.downscale
    for name, value in (("width", width), ("height", height)):
        check(value % scale == 0, f"--{name} {value} is not a multiple of {scale}, the VAE's factor.")
    steps = defaults["steps"] if config.steps is None else config.steps
    row = resolve(config.scheduler or defaults["scheduler"])
    of_preset = preset.get("spacing") if config.scheduler is None else None  # which goes with its scheduler
    solver = make_solver(row.name, session.schedule, steps, spacing=config.spacing or of_preset, sigma_clip=config.sigma_clip)
    start = None if picture is None else start_image(config, picture, (width, height), session)
    solver = solver if start is None else begun_midway(solver, start.strength)
    if solver.num_calls:  # with --strength 0 the VAE may be any
        check_fit(session.unet, session.vae, session.text)
    cfg = float(defaults["cfg"] if config.cfg is None else config.cfg)
    during = guided_calls(solver.timesteps, interval, session.schedule.num_timesteps)
    guided = during if cfg > 1 else (False,) * solver.num_calls
    idle = interval is not None and not any(guided)
    notes = (
        *preset_notes,
        *solver.notes,
        *["no timestep of this run is guided: --cfg-interval has no effect but to turn guidance off"] * idle,
    )
    tiled = width * height > TILED_ABOVE if config.tiled_decode is None else config.tiled_decode
    if tiled and config.tiled_decode is None:
        notes = (*notes, f"{width} x {height} pixels are decoded in tiles; --no-tiled-decode takes more memory and has no seams")
    if picture is not None and not (config.width and config.height) and picture.size != (width, height):
        across, down = picture.size
        notes = (*notes, f"--init-image has {across} x {down} pixels and is drawn at {width} x {height}; --size says otherwise")
    return SamplingSettings(solver, steps, cfg, width, height, guided, session.vae_dtype, tiled, notes, start, interval)


def prompt_notes(jobs: Sequence[Job], session: Session, *, strict: bool) -> Iterator[Note]:
    """What the user should know about the prompts, negative ones too. With `strict` one that is too long is a UsageError."""
    asked = [(job.prompt, job.config.weighting, job.config.long_prompts) for job in jobs]
    ends = [(job.towards.prompt, job.config) for job in jobs if job.towards and job.towards.prompt]
    asked += [(prompt, config.weighting, config.long_prompts) for prompt, config in ends]
    negatives = [job.config for job in jobs if job.config.negative_prompt.strip()]
    asked += [(config.negative_prompt, config.weighting, config.long_prompts) for config in negatives]
    for text, weighting, long in dict.fromkeys(asked):
        if len(text) > MOST_CHARACTERS:
            message = length_note(len(text))
            if strict:
                raise UsageError(f"{message}.", hint="Shorten it, or leave out --strict.")
            yield Note(message, warning=True)
        windows = session.text.windows(text, weighting=weighting, long=long)
        over = windows[0].dropped_tokens
        if over:
            message = f"the prompt has {counted(over, 'token')} too many; this was left out: {windows[0].dropped[:200]!r}"
            if strict:
                raise UsageError(message, hint="Shorten it, use --long-prompts, or leave out --strict.")
            yield Note(message, warning=True)
        if "<|endoftext|>" in text or "<|startoftext|>" in text:
            yield Note("the prompt spells out one of CLIP's special tokens; text after <|endoftext|> counts for little", warning=True)
        if not text.strip():
            yield Note("an empty prompt draws without any text: whatever the model likes", warning=True)
    foreign = syntax_note((text[:MOST_CHARACTERS], weighting) for text, weighting, _ in asked)
    if foreign:
        yield Note(foreign, warning=True)
