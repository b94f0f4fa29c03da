"""The denoising loop. Knows no model, no prompt and no screen: it is handed a predictor and a solver."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ldmcli.diffusion.grid import signal_noise
from ldmcli.diffusion.guidance import guide
from ldmcli.diffusion.guidance import rescale as rescale_guided
from ldmcli.diffusion.objective import predicted_x0
from ldmcli.diffusion.plan import StepNoiseSource
from ldmcli.diffusion.schedule import Prediction
from ldmcli.diffusion.solver import Solver
from ldmcli.diffusion.start import StartPicture

# B pictures, C latent channels, h w latent size

Predict = Callable[[Tensor, int], tuple[Tensor | None, Tensor]]
"""(model_input (B, C, h, w), call index) -> (uncond or None, cond), each (B, C, h, w); uncond is None without guidance."""


@dataclass(frozen=True, eq=False)
class DenoiseStep:
    """What one evaluation of the network saw and answered."""

    index: int
    """Of the call, from 0."""
    total: int
    """Calls of the whole walk, which is more than its steps for heun and pndm."""
    timestep: float
    sigma: float
    latents: Tensor
    """(B, C, h, w): x_t as the network was handed it."""
    uncond: Tensor | None
    """(B, C, h, w): as the predictor gave it, which need not have evaluated it; None without guidance."""
    cond: Tensor
    guided: Tensor
    """(B, C, h, w): the one answer that guidance made of the two."""
    final: Tensor | None
    """(B, C, h, w): the finished latents, in the last step only."""
    prediction: Prediction = field(repr=False)

    @property
    def denoised(self) -> Tensor:
        """(B, C, h, w): the clean latents that the guided answer implies. Worked out when asked for."""
        return predicted_x0(self.prediction, self.latents, self.guided, *signal_noise(self.sigma))


@torch.no_grad()  # the decorator: a with-block around `yield` would leave grad off in the caller
def denoise(
    predict: Predict,
    solver: Solver,
    noise: Tensor,
    *,
    guidance: float,
    rescale: float = 0.0,
    step_noise: StepNoiseSource | None = None,
    picture: StartPicture | None = None,
) -> Iterator[DenoiseStep]:
    """Walk from noise (B, C, h, w), float32 standard normal, to latents; yields after every evaluation of the network.

    guidance: scale of classifier-free guidance; rescale: phi of `guidance.rescale`; step_noise: needed by stochastic solvers;
    picture: to start from, under this noise.
    """
    walk = solver.walk(noise, step_noise, picture)
    call, final = next(walk), None
    while final is None:
        uncond, cond = predict(call.model_input, call.index)
        cond = cond.to(noise.dtype)  # half-precision answers: the walk itself stays in float32
        if uncond is None:
            guided = cond
        else:
            uncond = uncond.to(noise.dtype)
            guided = guide(uncond, cond, guidance)
            guided = rescale_guided(guided, cond, rescale) if rescale > 0 else guided
        try:
            following = walk.send(guided)
        except StopIteration as end:
            following, final = call, end.value
        yield DenoiseStep(
            call.index, solver.num_calls, call.timestep, call.sigma, call.model_input, uncond, cond, guided, final, solver.prediction
        )
        call = following


def last(steps: Iterable[DenoiseStep]) -> Tensor:
    """The final latents (B, C, h, w) of a walk, taken to its end."""
    final = None
    for step in steps:
        final = step.final
    assert final is not None, "the walk ended before its last step"
    return final
