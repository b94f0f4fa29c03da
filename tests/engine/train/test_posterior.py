"""What a picture is to a U-Net: draws of its posterior, or the mode of it."""

import torch
from runs import config_for, events_of

from ldmcli.diffusion.objective import add_noise
from ldmcli.diffusion.schedule import make_schedule
from ldmcli.engine.train import unet_run
from ldmcli.engine.train.unet_batches import CachedData, draw_batch, predict
from ldmcli.training.order import generator_for

PICTURES, SHAPE = 4, (4, 8, 8)


def shown(std):
    """What the network is given of four pictures, and their latents without noise as its target implies them."""
    mean = torch.arange(PICTURES, dtype=torch.float32)[:, None, None, None].expand(PICTURES, *SHAPE).contiguous()
    one = torch.ones(PICTURES, dtype=torch.int64)
    cached = CachedData(mean, std, torch.zeros(2, 2, 4), None, torch.zeros(PICTURES, dtype=torch.int64), torch.arange(PICTURES), one)
    schedule, given = make_schedule("cosine", "epsilon"), []

    def network(noisy, t, context):
        given.append(noisy)
        return noisy

    batch = draw_batch(cached, torch.arange(PICTURES), schedule, lambda s, n, g: torch.full((n,), 300), generator_for(0, "unet", 0), 0.0)
    predict(network, cached, batch, schedule, torch.device("cpu"))
    return given[0], lambda latents: add_noise(schedule, latents, batch.noise, batch.t), mean, batch


def test_without_a_deviation_the_latents_are_the_mean():
    noisy, noised, mean, _ = shown(None)
    assert torch.equal(noisy, noised(mean))


def test_with_one_they_are_a_draw_with_noise_of_its_own():
    noisy, noised, mean, batch = shown(torch.full((PICTURES, *SHAPE), 0.5))
    assert torch.equal(noisy, noised(mean + 0.5 * batch.posterior_noise)) and not torch.equal(noisy, noised(mean))


def test_the_option_decides_in_training_and_validation(coco, model, tmp_path, monkeypatch):
    seen = []

    def watched(network, cached, *rest):
        seen.append(cached.std is None)
        return predict(network, cached, *rest)

    monkeypatch.setattr(unet_run, "predict", watched)
    for posterior, crop in (("sample", "center"), ("mode", "center"), ("mode", "random")):
        seen.clear()
        run = tmp_path / f"{posterior}-{crop}"
        options = {"posterior": posterior, "crop": crop, "cache": tmp_path / "cache", "max_steps": 1, "val_every": 1}
        list(events_of(config_for("unet", coco, model, run, **options)))
        assert len(seen) > 1 and set(seen) == {posterior == "mode"}
        assert f'posterior = "{posterior}"' in (run / "config.toml").read_text()
