"""A solver by name for a schedule and a number of steps: which timesteps it visits, what it calls itself, and how it walks."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from ldmcli.config.sampling import Spacing
from ldmcli.diffusion.catalogue import Scheduler, check_spacing, check_steps, resolve
from ldmcli.diffusion.grid import SIGMA_CLIP, float32, karras_sigmas, sigma_at, signal_noise, spread, timestep_at, training_sigmas
from ldmcli.diffusion.multistep import dpmpp_2m, dpmpp_2m_sde, unipc
from ldmcli.diffusion.plan import Plan, StepNoiseSource, Walk
from ldmcli.diffusion.schedule import NoiseSchedule, Prediction
from ldmcli.diffusion.solvers_sigma import euler, euler_ancestral, heun
from ldmcli.diffusion.solvers_vp import ddim, ddpm, pndm, pndm_timesteps
from ldmcli.diffusion.start import StartPicture, call_scales, keeping, noisy

METHODS: dict[str, Callable[[Plan, Tensor, StepNoiseSource], Walk]] = {
    "ddim": ddim,
    "ddpm": ddpm,
    "pndm": pndm,
    "dpm++2m": dpmpp_2m,
    "dpm++2m-sde": dpmpp_2m_sde,
    "unipc": unipc,
    "euler": euler,
    "euler-a": euler_ancestral,
    "heun": heun,
}

MULTISTEP = ("dpm++2m", "dpm++2m-sde", "unipc")
"""Methods whose state keeps unit variance although their grid is one of sigmas."""


@dataclass(frozen=True, eq=False)
class Solver:
    """A way from noise to latents, laid out for one schedule and one number of steps."""

    row: Scheduler = field(repr=False)
    timesteps: tuple[float, ...]
    """One per U-Net call, in the order of the calls."""
    init_noise_sigma: float
    """What standard normal noise is multiplied by before the first step."""
    settings: dict[str, Any]
    """Everything that was decided, to be recorded beside the picture."""
    notes: tuple[str, ...]
    """What the user should know, in sentences."""
    plan: Plan = field(repr=False)

    @property
    def name(self) -> str:
        """As --scheduler names it."""
        return self.row.name

    @property
    def stochastic(self) -> bool:
        """Whether it draws noise on the way."""
        return self.row.stochastic

    @property
    def prediction(self) -> Prediction:
        """What the network answers."""
        return self.plan.prediction

    @property
    def noise_shares(self) -> tuple[float, ...]:
        """What a difference of two answers is multiplied by to be one of predicted noise, at every call; v is signal eps - sigma x_0."""
        ours = self.row.ours and call_scales(self.plan, self.timesteps, twice=self.row.two_calls, unit_variance=True)
        return tuple(signal if self.prediction == "v" else 1.0 for signal, _ in ours or map(signal_noise, self.plan.sigmas))

    @property
    def num_calls(self) -> int:
        """Evaluations of the network, which are more than steps for heun and pndm."""
        return len(self.timesteps)

    def walk(self, noise: Tensor, step_noise: StepNoiseSource | None = None, picture: StartPicture | None = None) -> Walk:
        """Coroutine from noise (B, C, h, w), standard normal, to latents (B, C, h, w) in the same dtype and on the same device.

        Yields a Call, is sent the network's answer (B, C, h, w), returns the latents. step_noise: for stochastic solvers only.
        picture: to start from it under this noise; where a mask is redrawn in the whole walk, from the noise alone, as in diffusers.
        """
        assert step_noise is not None or not self.stochastic, f"{self.name} needs step_noise"

        if not self.row.ours:
            from ldmcli.diffusion.adapter import foreign

            return foreign(self.plan, noise, step_noise, picture)

        def on_device(step: int) -> Tensor:
            assert step_noise is not None
            return step_noise(step).to(noise, non_blocking=True)

        plan, x = self.plan, noise * self.init_noise_sigma
        if picture is not None:
            scales = call_scales(plan, self.timesteps, twice=self.row.two_calls, unit_variance=self.row.method in MULTISTEP)
            x = noisy(picture.latents, noise, scales[0]) if plan.skipped or picture.redrawn is None else x
            plan = plan if picture.redrawn is None else replace(plan, keep=keeping(picture, noise, scales))
        return METHODS[self.row.method](plan, x, on_device)


def make_solver(name: str, schedule: NoiseSchedule, steps: int, *, spacing: str | None = None, sigma_clip: bool = True) -> Solver:
    """The solver that `name` means, in any tool's spelling. Raises UsageError for a name, step count or spacing that cannot be.

    spacing: None follows the schedule's file where it says trailing, else the method's own. sigma_clip: start at sigma 164
    where the schedule goes far beyond it (cosine). Equal to the class of diffusers in `settings["class"]`, except for that clip,
    and that there are always exactly `steps` different stops.
    """
    row = resolve(name)
    check_steps(row, steps, schedule.num_timesteps)
    chosen = choose_spacing(row, schedule, spacing)
    if not row.ours:
        return _foreign_solver(row, schedule, steps, chosen, sigma_clip)
    sigmas = training_sigmas(schedule)
    clipped = row.sigma_space and sigma_clip and sigmas[-1] > SIGMA_CLIP
    top = sum(sigma <= SIGMA_CLIP for sigma in sigmas) if clipped else len(sigmas)

    plan = _plan(row, schedule, steps, chosen, sigmas[:top])
    timesteps = _calls(row, plan)
    init_noise_sigma = 1.0
    if row.sigma_space and row.method not in MULTISTEP:
        # `leading` does not start at the schedule's end, so the picture's own variance is still in x
        init_noise_sigma = math.sqrt(plan.sigmas[0] ** 2 + (chosen == "leading"))

    visited = plan.sigmas[:-1] if row.sigma_space else [sigmas[int(t)] for t in plan.timesteps]
    settings = {
        **_choices(row, schedule, steps, chosen, len(timesteps)),
        "sigma_max": max(visited),
        "sigma_min": min(visited),
        "sigma_clipped": clipped,
        "init_noise_sigma": init_noise_sigma,
    }
    return Solver(row, timesteps, init_noise_sigma, settings, tuple(_start_notes(row, plan, timesteps[0], sigmas, clipped)), plan)


def _foreign_solver(row: Scheduler, schedule: NoiseSchedule, steps: int, spacing: Spacing, sigma_clip: bool) -> Solver:
    """One that diffusers walks."""
    from ldmcli.diffusion.adapter import plan_foreign

    plan = plan_foreign(row, schedule, steps, spacing, sigma_clip=sigma_clip)
    settings = {
        **_choices(row, schedule, steps, spacing, len(plan.timesteps)),
        "sigma_clipped": "lambda_min_clipped" in plan.config and plan.config["lambda_min_clipped"] > -100,
        "init_noise_sigma": plan.init_noise_sigma,
        "config": plan.config,
    }
    notes = [f"{row.name} is walked by diffusers' {row.class_name}"]
    if row.name in ("lcm", "tcd"):
        notes.append(f"{row.name} is made for distilled models; others come out blurred or broken.")
    return Solver(row, plan.timesteps, plan.init_noise_sigma, settings, tuple(notes), plan)


def _choices(row: Scheduler, schedule: NoiseSchedule, steps: int, spacing: Spacing, calls: int) -> dict[str, Any]:
    """The settings that every solver has, ours or not."""
    return {
        "name": row.name,
        "class": row.class_name,
        "steps": steps,
        "calls": calls,
        "spacing": spacing,
        "karras": row.karras,
        "order": row.order,
        "stochastic": row.stochastic,
        "prediction": schedule.prediction,
        "schedule": schedule.name,
    }


def _start_notes(row: Scheduler, plan: Plan, first: float, sigmas: list[float], clipped: bool) -> Iterator[str]:
    """What is unusual about where the solver starts. first: its first timestep; sigmas: of all training timesteps, rising."""
    if clipped:
        yield (
            f"{row.name} starts at sigma {plan.sigmas[0]:.0f} (timestep {first:.0f}) and not at the schedule's {sigmas[-1]:.0f}; "
            "--no-sigma-clip turns this off."
        )
    if first < 0.9 * len(sigmas):
        yield (
            f"The first timestep is {first:.0f} of {len(sigmas)}: the network is handed pure noise where it expects part of "
            "a picture. Another number of steps or --spacing trailing avoids this."
        )


def choose_spacing(row: Scheduler, schedule: NoiseSchedule, requested: str | None) -> Spacing:
    """What was asked for; else trailing where the model's file says so; else the method's own, whatever the file says.

    diffusers changes the other two on the way through save and load, so a file that says them means nothing.
    """
    if requested is None:
        return "trailing" if schedule.file_spacing == "trailing" else row.spacing
    return check_spacing(row, requested)


def _plan(row: Scheduler, schedule: NoiseSchedule, steps: int, spacing: Spacing, sigmas: list[float]) -> Plan:
    """sigmas: of the training timesteps that may be visited, rising."""
    multistep = row.method in MULTISTEP
    whole = multistep or not row.sigma_space
    timesteps = spread(spacing, len(sigmas), steps, schedule.steps_offset, spare=int(multistep), whole=whole)
    if not row.sigma_space:
        return Plan(schedule, tuple(timesteps), ())
    if not multistep:
        timesteps = float32(timesteps)
    stops = [sigma_at(t, sigmas) for t in timesteps]
    if row.karras:
        # multistep solvers of diffusers span the whole schedule, the others what their spacing spans
        stops = karras_sigmas(*(sigmas[-1], sigmas[0]) if multistep else (stops[0], stops[-1]), steps)
        log_sigmas = float32([math.log(sigma) for sigma in sigmas])
        timesteps = [timestep_at(sigma, log_sigmas) for sigma in stops]
        if multistep and schedule.name != "cosine":  # there the last timesteps lie so far apart that rounding would misname the noise
            timesteps = [float(round(t)) for t in timesteps]  # before float32, which would make 763.5 of 763.499996
        timesteps = float32(timesteps)
    return Plan(schedule, tuple(timesteps), (*float32(stops), 0.0))


def _calls(row: Scheduler, plan: Plan) -> tuple[float, ...]:
    """The timestep of every U-Net call, of which pndm makes one more than steps and heun almost twice as many."""
    if row.method == "pndm":
        return tuple(map(float, pndm_timesteps([int(t) for t in plan.timesteps])))
    if row.method == "heun":
        return (plan.timesteps[0], *(t for t in plan.timesteps[1:] for _ in range(2)))
    return plan.timesteps
