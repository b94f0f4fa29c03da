"""A student of few steps: where the teacher's path leads, what is the same picture, one small run."""

import sys
from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler
from torch.testing import assert_close

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts" / "bundle"))
sys.path.insert(1, str(Path(__file__).parents[1] / "engine"))

import distill  # noqa: E402
from tiny import make_coco  # noqa: E402

import ldmcli  # noqa: E402
from ldmcli.diffusion.objective import add_noise  # noqa: E402
from ldmcli.diffusion.schedule import make_schedule  # noqa: E402
from ldmcli.models.source import BUNDLED  # noqa: E402
from ldmcli.networks.attention import TextContext  # noqa: E402

SCHEDULE = make_schedule("cosine", "v")
SAID, NOTHING = torch.ones(3, 4, 8), torch.zeros(3, 4, 8)
TIMES = torch.tensor([19, 499, 999])


def paths(picture):
    """A network that knows one picture, whatever is said: v of the noise that leads from it to x_t."""

    def network(noisy, t, context):
        signal, sigma = distill.signal_noise_of(SCHEDULE, t)
        return (signal * noisy - picture) / sigma

    return network


def said_times_noisy(noisy, t, context: TextContext):
    return noisy * (0.1 + 0.2 * context.states.mean(dim=(1, 2)).view(-1, 1, 1, 1))


def test_the_teachers_step_is_guided_ddim_as_diffusers_takes_it():
    noisy = torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    found = distill.guided_neighbour(said_times_noisy, SCHEDULE, noisy, TIMES, SAID, NOTHING, cfg=3.0)
    theirs = DDIMScheduler.from_config(SCHEDULE.to_file(), timestep_spacing="trailing", clip_sample=False, set_alpha_to_one=True)
    theirs.set_timesteps(distill.PATH_STEPS)
    guided = noisy * (0.1 + 3 * 0.2)
    for row, t in enumerate(TIMES.tolist()):
        assert t in theirs.timesteps
        assert_close(found[row], theirs.step(guided[row], t, noisy[row]).prev_sample, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("cfg", [1.0, 4.0])
def test_a_path_on_which_all_say_one_picture_is_consistent_and_its_end_is_that_picture(cfg):
    picture, noise = torch.randn(2, 3, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    noisy, network = add_noise(SCHEDULE, picture, noise, TIMES), paths(picture)
    both = paths(picture.repeat(2, 1, 1, 1))
    neighbour = distill.guided_neighbour(both, SCHEDULE, noisy, TIMES, SAID, NOTHING, cfg)
    assert_close(neighbour[0], picture[0], atol=1e-3, rtol=1e-3)
    assert distill.consistency_loss(network, network, SCHEDULE, noisy, neighbour, TIMES, SAID) < 1e-3
    assert distill.consistency_loss(paths(-picture), network, SCHEDULE, noisy, neighbour, TIMES, SAID) > 1, "a student of another picture"


def test_a_run_ends_in_a_model_that_draws(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(distill, "BATCH", 4)
    given = ["--data", make_coco(tmp_path / "data", 6), "--model", BUNDLED, "--latents", tmp_path / "latents.safetensors"]
    monkeypatch.setattr(sys, "argv", [str(word) for word in ("distill.py", *given, "-o", tmp_path / "run", "--steps", 3)])
    distill.main()
    assert "after 3 steps" in capsys.readouterr().out
    drawn = [ldmcli.load(model)("a dog", scheduler="lcm", steps=2, cfg=1.0, seed=0) for model in (tmp_path / "run/model", BUNDLED)]
    assert drawn[0].size == (64, 64) and drawn[0].tobytes() != drawn[1].tobytes()
