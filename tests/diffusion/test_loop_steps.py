"""The denoising loop as its callers meet it: steps one by one, lazily, with gradients left as they were."""

import dataclasses

import pytest
import torch

from ldmcli.diffusion.guidance import guide
from ldmcli.diffusion.loop import denoise, last
from ldmcli.diffusion.noise import StepNoise, noise_for
from ldmcli.diffusion.objective import add_noise, predicted_noise, predicted_x0, target
from ldmcli.diffusion.schedule import make_schedule
from ldmcli.diffusion.solver import make_solver

SEEDS, SHAPE = (1, 2), (4, 4, 4)
SCHEDULE = make_schedule("scaled-linear", "epsilon")


def predict(x, index):
    return 0.1 * x, torch.tanh(x)


def steps_of(name, count=4, predict=predict, **settings):
    solver = make_solver(name, SCHEDULE, count)
    return denoise(predict, solver, noise_for(SEEDS, SHAPE), step_noise=StepNoise(SEEDS, SHAPE), **{"guidance": 3.0, **settings})


@pytest.mark.parametrize(("name", "calls"), [("ddim", 4), ("pndm", 5), ("heun", 7), ("dpm++2m-sde", 4)])
def test_there_is_one_step_for_every_evaluation_and_only_the_last_is_final(name, calls):
    steps = list(steps_of(name))
    assert [step.index for step in steps] == list(range(calls))
    assert {step.total for step in steps} == {calls}
    assert all(step.final is None for step in steps[:-1])
    assert torch.equal(steps[-1].final, last(steps_of(name)))


def test_grad_mode_does_not_leak_through_the_generator():
    weight = torch.ones((), requires_grad=True)
    assert torch.is_grad_enabled()
    for step in steps_of("euler", predict=lambda x, index: (None, weight * torch.tanh(x))):
        assert torch.is_grad_enabled()
        assert not step.latents.requires_grad and not step.cond.requires_grad
    assert not step.final.requires_grad


def test_steps_are_made_only_when_asked_for():
    seen = []

    def spy(x, index):
        seen.append(index)
        return None, x

    steps = steps_of("ddim", predict=spy)
    assert seen == []
    next(steps)
    assert seen == [0]


def test_without_guidance_there_is_no_unconditional_answer():
    step = next(steps_of("ddim", predict=lambda x, index: (None, torch.tanh(x)), guidance=1.0))
    assert step.uncond is None
    assert torch.equal(step.guided, step.cond)


def test_guidance_of_one_is_the_conditional_answer():
    uncond, cond = torch.randn(2, 1, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(guide(uncond, cond, 1.0), cond)


@pytest.mark.parametrize("name", ["ddim", "euler", "dpm++2m", "heun-karras"])
def test_with_an_all_knowing_network_every_step_predicts_the_picture_and_the_last_one_is_it(name):
    picture = noise_for([9, 10], SHAPE)
    solver = make_solver(name, SCHEDULE, 6)

    def know(x, index):
        # the noise that x = signal * picture + sigma * noise holds
        t = torch.tensor(solver.timesteps[index])
        low, share = int(t), float(t) - int(t)
        sigmas = ((1 - SCHEDULE.alphas_cumprod) / SCHEDULE.alphas_cumprod).sqrt()
        sigma = sigmas[low] + share * (sigmas[min(low + 1, 999)] - sigmas[low])
        return None, (x * (1 + sigma**2).sqrt() - picture) / sigma

    for step in denoise(know, solver, noise_for(SEEDS, SHAPE), guidance=1.0):
        # Karras' timesteps are interpolated in log sigma, so sigma read back from t is a little off
        torch.testing.assert_close(step.denoised, picture, atol=0.05 if "karras" in name else 1e-3, rtol=0)
    torch.testing.assert_close(step.final, picture, atol=0.15 if name == "ddim" else 0.01, rtol=0)  # ddim stops at alpha_bar[0]


@pytest.mark.parametrize("kind", ["epsilon", "v"])
def test_the_target_gives_back_the_picture_and_the_noise(kind):
    schedule = make_schedule("scaled-linear", kind)
    picture, noise, t = noise_for([1], SHAPE), noise_for([2], SHAPE), torch.tensor([400])
    x_t, answer = add_noise(schedule, picture, noise, t), target(schedule, picture, noise, t)
    signal, sigma = (float(part) for part in schedule.signal_noise(t, picture))
    torch.testing.assert_close(predicted_x0(kind, x_t, answer, signal, sigma), picture)
    torch.testing.assert_close(predicted_noise(kind, x_t, answer, signal, sigma), noise)


def test_half_precision_answers_leave_the_walk_in_float32():
    step = next(steps_of("euler", predict=lambda x, index: (None, torch.tanh(x).bfloat16())))
    assert step.cond.dtype == step.latents.dtype == step.denoised.dtype == torch.float32


def test_a_step_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        next(steps_of("ddim")).index = 3


def test_a_stochastic_solver_asks_for_its_noise():
    with pytest.raises(AssertionError, match="step_noise"):
        last(denoise(predict, make_solver("ddpm", SCHEDULE, 3), noise_for(SEEDS, SHAPE), guidance=2.0))
