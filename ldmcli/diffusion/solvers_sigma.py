"""Solvers that walk along sigma with x = x_0 + sigma eps (Karras et al. 2022): euler, euler-a, heun. Coroutines; see `plan.Walk`."""

from math import sqrt

from torch import Tensor

from ldmcli.diffusion.plan import Call, Plan, StepNoiseSource, Walk
from ldmcli.diffusion.schedule import Prediction

# d: the slope dx/dsigma; *_next: at the end of the step


def euler(plan: Plan, x: Tensor, step_noise: StepNoiseSource) -> Walk:
    """Euler's method on the probability flow: the first-order half of Karras et al. 2022, algorithm 1."""
    for i, t, sigma, sigma_next in plan.stops():
        answer = yield Call(i, t, sigma, _model_input(x, sigma), x)
        d = (x - _denoised(plan.prediction, x, answer, sigma)) / sigma
        x = plan.kept(x + d * (sigma_next - sigma), i + 1)
    return x


def euler_ancestral(plan: Plan, x: Tensor, step_noise: StepNoiseSource) -> Walk:
    """Euler to below the next sigma, then fresh noise up to it, as DDPM does (k-diffusion's euler_ancestral)."""
    for i, t, sigma, sigma_next in plan.stops():
        sigma_down = sigma_next**2 / sigma
        sigma_up = sigma_next * sqrt(1 - (sigma_next / sigma) ** 2)  # down^2 + up^2 = next^2
        answer = yield Call(i, t, sigma, _model_input(x, sigma), x)
        d = (x - _denoised(plan.prediction, x, answer, sigma)) / sigma
        x = plan.kept(x + d * (sigma_down - sigma) + step_noise(i) * sigma_up, i + 1)
    return x


def heun(plan: Plan, x: Tensor, step_noise: StepNoiseSource) -> Walk:
    """Heun's method: an Euler step, then again with the mean of the slopes at both ends (Karras et al. 2022, algorithm 1)."""
    for i, t, sigma, sigma_next in plan.stops():
        answer = yield Call(2 * i, t, sigma, _model_input(x, sigma), x)
        d = (x - _denoised(plan.prediction, x, answer, sigma)) / sigma
        trial = plan.kept(x + d * (sigma_next - sigma), 2 * i + 1)
        if sigma_next == 0:  # no slope there
            return trial
        answer = yield Call(2 * i + 1, plan.timesteps[i + 1], sigma_next, _model_input(trial, sigma_next), trial)
        d_next = (trial - _denoised(plan.prediction, trial, answer, sigma_next)) / sigma_next
        x = plan.kept(x + (d + d_next) / 2 * (sigma_next - sigma), 2 * i + 2)
    return x


def _model_input(x: Tensor, sigma: float) -> Tensor:
    return x / sqrt(sigma**2 + 1)


def _denoised(kind: Prediction, x: Tensor, answer: Tensor, sigma: float) -> Tensor:
    if kind == "epsilon":
        return x - sigma * answer
    return answer * (-sigma / sqrt(sigma**2 + 1)) + x / (sigma**2 + 1)
