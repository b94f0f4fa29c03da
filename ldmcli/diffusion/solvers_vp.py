"""Solvers that walk the training timesteps themselves: ddim, ddpm, pndm. Coroutines; see `plan.Walk`."""

from math import sqrt

from torch import Tensor

from ldmcli.diffusion.objective import predicted_noise, predicted_x0
from ldmcli.diffusion.plan import Call, Plan, StepNoiseSource, Walk

# t, prev: where a step starts and ends; alpha_bar: the picture's share of the variance; signal, sigma: the square roots of
# alpha_bar and of what is left


def ddim(plan: Plan, x: Tensor, step_noise: StepNoiseSource) -> Walk:
    """Denoising diffusion implicit models with eta 0 (Song et al. 2020, eq. 12)."""
    alpha_bars, final = _alpha_bars(plan)
    jump = len(alpha_bars) // plan.whole
    for i, t in enumerate(map(int, plan.timesteps)):
        signal, sigma = _roots(alpha_bars[t])
        signal_prev, sigma_prev = _roots(alpha_bars[t - jump] if t >= jump else final)
        answer = yield Call(i, float(t), sigma / signal, x, x)
        x0 = predicted_x0(plan.prediction, x, answer, signal, sigma)
        noise = predicted_noise(plan.prediction, x, answer, signal, sigma)
        x = plan.kept(signal_prev * x0 + sigma_prev * noise, i + 1)
    return x


def ddpm(plan: Plan, x: Tensor, step_noise: StepNoiseSource) -> Walk:
    """Ancestral sampling with the posterior's variance (Ho et al. 2020, eq. 7), over the steps that are visited."""
    alpha_bars, _ = _alpha_bars(plan)
    stops = [int(t) for t in plan.timesteps]
    for i, (t, prev) in enumerate(zip(stops, [*stops[1:], -1], strict=True)):
        alpha_bar, alpha_bar_prev = alpha_bars[t], alpha_bars[prev] if prev >= 0 else 1.0
        signal, sigma = _roots(alpha_bar)
        alpha = alpha_bar / alpha_bar_prev
        to_x0 = sqrt(alpha_bar_prev) * (1 - alpha) / (1 - alpha_bar)
        to_x = sqrt(alpha) * (1 - alpha_bar_prev) / (1 - alpha_bar)
        variance = max((1 - alpha_bar_prev) / (1 - alpha_bar) * (1 - alpha), 1e-20)

        answer = yield Call(i, float(t), sigma / signal, x, x)
        x = to_x0 * predicted_x0(plan.prediction, x, answer, signal, sigma) + to_x * x
        if t > 0:  # not `prev >= 0`: diffusers draws at the last step unless it stands at 0, and the draws must stay in step
            x = x + sqrt(variance) * step_noise(i)
        x = plan.kept(x, i + 1)
    return x


def pndm(plan: Plan, x: Tensor, step_noise: StepNoiseSource) -> Walk:
    """Pseudo linear multistep (Liu et al. 2022, eq. 9 and 12), without Runge-Kutta: the second timestep is visited twice instead."""
    alpha_bars, final = _alpha_bars(plan)
    jump = len(alpha_bars) // plan.whole

    def move(x: Tensor, answer: Tensor, t: int, prev: int) -> Tensor:
        alpha_bar, alpha_bar_prev = alpha_bars[t], alpha_bars[prev] if prev >= 0 else final
        signal, sigma = _roots(alpha_bar)
        noise = predicted_noise(plan.prediction, x, answer, signal, sigma)
        scale = alpha_bar * sqrt(1 - alpha_bar_prev) + sqrt(alpha_bar * (1 - alpha_bar) * alpha_bar_prev)
        return sqrt(alpha_bar_prev / alpha_bar) * x - (alpha_bar_prev - alpha_bar) / scale * noise

    # the second call repeats the first step, also where the walk begins in the middle: as diffusers does, which then ends a step early
    stops = pndm_timesteps([int(t) for t in (*plan.skipped, *plan.timesteps)])[len(plan.skipped) :]
    start = x
    history: list[Tensor] = []  # newest last
    for i, t in enumerate(stops):
        signal, sigma = _roots(alpha_bars[t])
        answer = yield Call(i, float(t), sigma / signal, x, x)
        if i == 1:  # the first step once more, now with the mean of its two ends
            x = move(start, (answer + history[0]) / 2, t + jump, t)
        else:
            history = [*history[-3:], answer]
            x = move(x, _adams_bashforth(history), t, t - jump)
        x = plan.kept(x, i + 1)
    return x


def pndm_timesteps(stops: list[int]) -> list[int]:
    """One timestep a call: the second is visited twice."""
    return [*stops[:2], *stops[1:]]


def _adams_bashforth(history: list[Tensor]) -> Tensor:
    """The answer extrapolated over the step ahead from the last one to four (newest last)."""
    match history:
        case [a]:
            return a
        case [b, a]:
            return (3 * a - b) / 2
        case [c, b, a]:
            return (23 * a - 16 * b + 5 * c) / 12
        case [d, c, b, a]:
            return (55 * a - 59 * b + 37 * c - 9 * d) / 24
    raise AssertionError(f"{len(history)} answers in the history")


def _alpha_bars(plan: Plan) -> tuple[list[float], float]:
    """alpha_bar of every training timestep, and of the point after the last one."""
    alpha_bars: list[float] = plan.schedule.alphas_cumprod.tolist()
    return alpha_bars, 1.0 if plan.schedule.set_alpha_to_one else alpha_bars[0]


def _roots(alpha_bar: float) -> tuple[float, float]:
    return sqrt(alpha_bar), sqrt(1 - alpha_bar)
