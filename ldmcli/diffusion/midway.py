"""A walk that begins in the middle: the last steps of a longer one, for a picture under some noise instead of noise alone."""

from dataclasses import replace

from ldmcli.diffusion.solver import Solver
from ldmcli.errors import UsageError


def begun_midway(solver: Solver, strength: float) -> Solver:
    """The last int(steps * strength) steps of the solver, as diffusers counts them; strength 1 is the whole walk, 0 has no step.

    Solvers that remember start without a memory there. Raises UsageError where the strength is too low for any step.
    """
    steps = solver.settings["steps"]
    skipped = steps - min(int(steps * strength), steps)
    if skipped == steps and strength > 0:
        raise UsageError(
            f"--strength {strength:g} of {steps} steps is less than one step.",
            hint=f"Use --strength {1 / steps:.2g} or more, more --steps, or --strength 0 for the VAE alone.",
        )
    if not skipped:
        return solver
    first, plan = skipped * (2 if solver.row.two_calls else 1), solver.plan
    at = first if not solver.row.ours else skipped  # plans of diffusers' classes have a stop for every call
    timesteps = solver.timesteps[first:] if skipped < steps else ()
    notes = [f"{solver.name} takes the last {steps - skipped} of {steps} steps, from timestep {timesteps[0]:.0f}"] if timesteps else []
    if solver.row.method == "pndm" and timesteps:
        notes.append("pndm begun in the middle ends one step early, as in diffusers, and leaves some noise; ddim and dpm++2m do not")
    return replace(
        solver,
        timesteps=timesteps,
        plan=replace(plan, timesteps=plan.timesteps[at:], sigmas=plan.sigmas[at:], skipped=plan.timesteps[:at]),
        settings={**solver.settings, "calls": len(timesteps)},
        notes=(*notes, *(solver.notes if not solver.row.ours else ())),  # those of ours speak of the first steps
    )
