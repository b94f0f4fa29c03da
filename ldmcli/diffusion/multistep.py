"""Solvers that remember the last prediction: dpm++2m, dpm++2m-sde, unipc. Coroutines; see `plan.Walk`.

All three integrate the predicted x_0 exactly over lambda = log(signal / noise) = -log(sigma), in which a step is h long.
Lu et al. 2022 is arXiv 2211.01095, Zhao et al. 2023 is arXiv 2302.04867.
"""

import math

from torch import Tensor

from ldmcli.diffusion.grid import signal_noise
from ldmcli.diffusion.objective import predicted_x0
from ldmcli.diffusion.plan import Call, Plan, StepNoiseSource, Walk

# x = signal x_0 + noise eps with signal^2 + noise^2 = 1; *_next: at the end of the step


def dpmpp_2m(plan: Plan, x: Tensor, step_noise: StepNoiseSource) -> Walk:
    """DPM-Solver++(2M) (Lu et al. 2022, algorithm 2): one evaluation a step, second order from the last two."""
    x0_before: Tensor | None = None
    for i, t, sigma, sigma_next in plan.stops():
        answer = yield Call(i, t, sigma, x, x)
        x0 = predicted_x0(plan.prediction, x, answer, *signal_noise(sigma))
        x = plan.kept(exponential_step(x, extrapolate(plan, i, x0, x0_before), sigma, sigma_next), i + 1)
        x0_before = x0
    return x


def dpmpp_2m_sde(plan: Plan, x: Tensor, step_noise: StepNoiseSource) -> Walk:
    """SDE-DPM-Solver++(2M) (Lu et al. 2022): as dpm++2m, but every step forgets and adds noise."""
    x0_before: Tensor | None = None
    for i, t, sigma, sigma_next in plan.stops():
        signal, noise = signal_noise(sigma)
        signal_next, noise_next = signal_noise(sigma_next)
        keep = sigma_next / sigma  # exp(-h)
        answer = yield Call(i, t, sigma, x, x)
        x0 = predicted_x0(plan.prediction, x, answer, signal, noise)
        x = (
            noise_next / noise * keep * x
            + signal_next * (1 - keep**2) * extrapolate(plan, i, x0, x0_before)
            + noise_next * math.sqrt(1 - keep**2) * step_noise(i)
        )
        x = plan.kept(x, i + 1)
        x0_before = x0
    return x


def unipc(plan: Plan, x: Tensor, step_noise: StepNoiseSource) -> Walk:
    """UniPC of order 2 with B(h) = e^h - 1 (Zhao et al. 2023): dpm++2m, but each step is taken again once its end is evaluated."""
    x_start = x  # where the last step began
    history: list[Tensor] = []  # x_0 as predicted before, newest last
    for i, t, sigma, sigma_next in plan.stops():
        answer = yield Call(i, t, sigma, x, x)
        x0 = predicted_x0(plan.prediction, x, answer, *signal_noise(sigma))
        if history:
            x = exponential_step(x_start, interpolate(plan, i, x0, history), plan.sigmas[i - 1], sigma)
        x_start = x
        x = plan.kept(exponential_step(x, extrapolate(plan, i, x0, history[-1] if history else None), sigma, sigma_next), i + 1)
        history = [*history[-1:], x0]
    return x


def exponential_step(x: Tensor, x0: Tensor, sigma: float, sigma_next: float) -> Tensor:
    """From sigma to sigma_next, exact if the predicted x_0 stayed x0: DPM-Solver++ of order 1, which is DDIM. x, x0: (B, C, h, w)."""
    signal_next, noise_next = signal_noise(sigma_next)
    return noise_next / signal_noise(sigma)[1] * x + signal_next * (1 - sigma_next / sigma) * x0


def extrapolate(plan: Plan, i: int, x0: Tensor, x0_before: Tensor | None) -> Tensor:
    """x_0 half-way through step i, on the line through the last two predictions."""
    if x0_before is None or plan.sigmas[i + 1] == 0:  # no line yet; or a step that is infinitely long
        return x0
    h_before, h = (math.log(plan.sigmas[j] / plan.sigmas[j + 1]) for j in (i - 1, i))
    return x0 + 0.5 * h / h_before * (x0 - x0_before)


def interpolate(plan: Plan, i: int, x0: Tensor, history: list[Tensor]) -> Tensor:
    """Mean x_0 over the step that ended at stop i, now that the prediction there is known (UniC of Zhao et al. 2023)."""
    *earlier, x0_before = history
    if not earlier:
        return x0_before + 0.5 * (x0 - x0_before)
    h_before, h = (math.log(plan.sigmas[j] / plan.sigmas[j + 1]) for j in (i - 2, i - 1))
    # weights of both slopes: order conditions R rho = b with B(h) = e^-h - 1, solved by hand
    big_b = math.expm1(-h)
    b1 = (big_b / -h - 1) / big_b
    b2 = 2 * ((big_b / -h - 1) / -h - 0.5) / big_b
    ratio = -h_before / h
    weight_back = (b1 - b2) / (1 - ratio)
    return x0_before + weight_back / ratio * (earlier[0] - x0_before) + (b1 - weight_back) * (x0 - x0_before)
