"""What pictures depend on besides prompt and seed: resolved from the command line, the model and our defaults, and what is said of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ldmcli.config.checks import check
from ldmcli.config.generation import TILED_ABOVE, GenerateConfig
from ldmcli.diffusion.catalogue import resolve
from ldmcli.diffusion.guidance import guided_calls, reused_calls
from ldmcli.diffusion.midway import begun_midway
from ldmcli.diffusion.solver import Solver, make_solver
from ldmcli.engine.jobs import Job
from ldmcli.engine.parts import check_fit
from ldmcli.engine.sampling.presets import preset_values
from ldmcli.engine.sampling.start_files import open_picture
from ldmcli.engine.sampling.start_image import StartImage, drawn_size, start_image
from ldmcli.engine.session import Session
from ldmcli.errors import UsageError
from ldmcli.models.tokenizer import Tokens
from ldmcli.prompts.length import MOST_CHARACTERS, length_note
from ldmcli.prompts.syntax import syntax_note
from ldmcli.records.notes import Note
from ldmcli.records.words import counted

MOST_SAID = 10_000
"""Warnings about prompts that are remembered, so as not to say one twice."""

DEFAULTS: dict[str, Any] = {"scheduler": "dpm++2m", "steps": 20, "cfg": 7.5}
"""Where neither the command line nor the model says anything."""

IDLE_INTERVAL = "no timestep of this run is guided: --cfg-interval has no effect but to turn guidance off"
IDLE_REUSE = "fewer than two calls of this run are guided: --cfg-reuse has no effect"


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
    cfg_reuse: int = 1
    """Of so many guided calls one is in `guided`."""
    reused: tuple[bool, ...] = ()
    """For every call, whether it is guided by the direction of an earlier one; empty: none is."""

    @property
    def unet_evaluations(self) -> int:
        """Of one picture."""
        return len(self.guided) + sum(self.guided)

    def guided_at(self, calls: Sequence[bool], reuse: int) -> "SamplingSettings":
        """The same with guidance at these calls, one in `reuse` of them with a direction of its own."""
        guided, reused = reused_calls(calls, reuse)
        return replace(self, guided=guided, cfg_reuse=reuse, reused=reused if any(reused) else ())

    @property
    def guided_somehow(self) -> tuple[bool, ...]:
        """For every call, whether it is guided, by a direction of its own or of an earlier call."""
        return tuple(map(max, self.guided, self.reused or self.guided))


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
    reuse = config.cfg_reuse or preset.get("cfg_reuse", 1)
    notes = (
        *preset_notes,
        *solver.notes,
        *[IDLE_INTERVAL] * (interval is not None and not any(guided)),
        *[IDLE_REUSE] * (reuse > 1 and sum(guided) < 2),
    )
    tiled = width * height > TILED_ABOVE if config.tiled_decode is None else config.tiled_decode
    if tiled and config.tiled_decode is None:
        notes = (*notes, f"{width} x {height} pixels are decoded in tiles; --no-tiled-decode takes more memory and has no seams")
    if picture is not None and not (config.width and config.height) and picture.size != (width, height):
        across, down = picture.size
        notes = (*notes, f"--init-image has {across} x {down} pixels and is drawn at {width} x {height}; --size says otherwise")
    settings = SamplingSettings(solver, steps, cfg, width, height, guided, session.vae_dtype, tiled, notes, start, interval)
    return settings.guided_at(guided, reuse)


def prompt_notes(jobs: Sequence[Job], session: Session, *, strict: bool) -> Iterator[Note]:
    """What the user should know about the prompts, negative ones too. With `strict` one that is too long is a UsageError."""
    said: set[str] = set()
    for text, weighting, long in _read_as(jobs):
        for message, refused in _about(session.text.windows(text, weighting=weighting, long=long), text):
            if strict and refused is not None:
                raise UsageError(f"{message}.", hint=refused)
            if message not in said:
                yield Note(message, warning=True)
            if len(said) >= MOST_SAID:
                said.clear()
            said.add(message)
    foreign = syntax_note((text[:MOST_CHARACTERS], weighting) for text, weighting, _ in _read_as(jobs))
    if foreign:
        yield Note(foreign, warning=True)


def _about(windows: Sequence[Tokens], text: str) -> Iterator[tuple[str, str | None]]:
    """A sentence for whatever is odd about a prompt, and where --strict refuses it, what to do."""
    if len(text) > MOST_CHARACTERS:
        yield length_note(len(text)), "Shorten it, or leave out --strict."
    if over := windows[0].dropped_tokens:
        left_out = f"the prompt has {counted(over, 'token')} too many; this was left out: {windows[0].dropped[:200]!r}"
        yield left_out, "Shorten it, use --long-prompts, or leave out --strict."
    if "<|endoftext|>" in text or "<|startoftext|>" in text:
        yield "the prompt spells out one of CLIP's special tokens; text after <|endoftext|> counts for little", None
    if not text.strip():
        yield "an empty prompt draws without any text: whatever the model likes", None


def _read_as(jobs: Sequence[Job]) -> Iterator[tuple[str, str, bool]]:
    """Every prompt with its weighting and whether it may be long: those of the pictures, of the ends of frames, and negative ones.

    A picture's that comes again right away is left out: those of -n.
    """
    ends: dict[tuple[str, str, bool], None] = {}
    negatives: dict[tuple[str, str, bool], None] = {}
    last = None
    for job in jobs:
        how = job.config.weighting, job.config.long_prompts
        if last != (last := (job.prompt, *how)):
            yield last
        if job.towards and job.towards.prompt:
            ends[job.towards.prompt, *how] = None
        if job.config.negative_prompt.strip():
            negatives[job.config.negative_prompt, *how] = None
    yield from ends
    yield from negatives
