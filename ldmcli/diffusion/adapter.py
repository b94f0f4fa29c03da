"""Any scheduler of diffusers as a solver of ours. The only place here that imports diffusers, and only when such a name is asked for."""

import copy
import inspect
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from torch import Tensor

from ldmcli.config.sampling import Spacing
from ldmcli.diffusion.catalogue import Scheduler
from ldmcli.diffusion.grid import SIGMA_CLIP, sigma_at, training_sigmas
from ldmcli.diffusion.noise import StepNoise
from ldmcli.diffusion.plan import Call, Plan, StepNoiseSource, Walk
from ldmcli.diffusion.schedule import NoiseSchedule
from ldmcli.diffusion.start import StartPicture
from ldmcli.errors import UsageError


@dataclass(frozen=True, eq=False)
class ForeignPlan(Plan):
    """The stops of a diffusers scheduler. build: a fresh one, since they keep state."""

    build: Callable[[], Any] = field(kw_only=True)
    init_noise_sigma: float = field(kw_only=True)
    config: dict[str, Any] = field(kw_only=True)
    """What the scheduler was built from, resolved."""


def plan_foreign(row: Scheduler, schedule: NoiseSchedule, steps: int, spacing: Spacing, *, sigma_clip: bool) -> ForeignPlan:
    """Lay out `steps` steps of the class that the row names.

    Raises UsageError where a package is missing, or where the class cannot walk this schedule.
    """
    options = _class_options(row, schedule, sigma_clip)
    try:
        import diffusers

        config = {**schedule.to_file(), "clip_sample": False, "thresholding": False, "timestep_spacing": spacing, **options}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scheduler = getattr(diffusers, row.class_name).from_config(config)
            scheduler.set_timesteps(steps)
    except ImportError as error:
        raise UsageError(
            f"{row.name} needs the package {row.needs or error.name}.", hint=f"pip install {row.needs or error.name}"
        ) from error
    except (AssertionError, IndexError, ValueError) as error:
        raise UsageError(f"{row.name} cannot do {steps} steps on this {schedule.name} schedule: {error!r}.", hint="Try dpm++2m.") from error
    sigmas = training_sigmas(schedule)
    timesteps = tuple(float(t) for t in scheduler.timesteps)
    return ForeignPlan(
        schedule,
        timesteps,
        tuple(sigma_at(t, sigmas) for t in timesteps),
        build=partial(copy.deepcopy, scheduler),  # some classes take long to make: they lay out a thousand steps first
        init_noise_sigma=float(scheduler.init_noise_sigma),
        config={key: value for key, value in scheduler.config.items() if not key.startswith("_") and key != "trained_betas"},
    )


def _class_options(row: Scheduler, schedule: NoiseSchedule, sigma_clip: bool) -> dict[str, Any]:
    """What the class is told beyond the schedule. Raises UsageError where it cannot start at sigma 164 and would have to."""
    options = dict(row.options)
    steepest = training_sigmas(schedule)[-1]
    if steepest > SIGMA_CLIP and row.sigma_space and sigma_clip:
        if row.karras or not row.clips:
            raise UsageError(
                f"{row.name} cannot start below the sigma of {steepest:.0f} at which this {schedule.name} model ends.",
                hint="Use dpm++2m, unipc, euler or heun, which can; --no-sigma-clip tries all the same.",
            )
        options["lambda_min_clipped"] = -5.1
    if row.karras:
        options["use_karras_sigmas"] = True
    return options


def foreign(plan: Plan, noise: Tensor, step_noise: StepNoiseSource | None, picture: StartPicture | None = None) -> Walk:
    """Drive the scheduler. One that adds noise draws it itself, from the generators of each picture. picture: see `Solver.walk`."""
    assert isinstance(plan, ForeignPlan)
    scheduler = plan.build()
    first, redrawn = len(plan.skipped), None if picture is None else picture.redrawn
    if picture is not None and hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(first)
    timesteps = scheduler.timesteps[first:]
    x = noise * plan.init_noise_sigma
    if picture is not None and (first or redrawn is None):
        x = scheduler.add_noise(picture.latents, noise, timesteps[:1])
    extra: dict[str, Any] = {}
    if isinstance(step_noise, StepNoise):
        if "generator" in inspect.signature(scheduler.step).parameters:
            extra["generator"] = step_noise.generators
        if hasattr(scheduler, "noise_sampler_seed"):  # DPM++ SDE: a Brownian tree for each picture
            scheduler.noise_sampler_seed = [generator.initial_seed() for generator in step_noise.generators]
    for i, t in enumerate(timesteps):
        model_input = scheduler.scale_model_input(x, t)
        answer = yield Call(i, plan.timesteps[i], plan.sigmas[i], model_input, x)
        x = scheduler.step(answer, t, x, **extra).prev_sample
        if picture is not None and redrawn is not None:
            last = i + 1 == len(timesteps)
            stays = picture.latents if last else scheduler.add_noise(picture.latents, noise, timesteps[i + 1 : i + 2])
            x = (1 - redrawn) * stays + redrawn * x
    return x
