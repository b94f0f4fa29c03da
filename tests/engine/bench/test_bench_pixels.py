"""`ldm bench --pixel-space`, alone and beside everything else, and what Stable Diffusion costs."""

import pytest
from test_bench import report_of

from ldmcli.engine.bench import pixel_space as bench_pixels
from ldmcli.engine.bench.costs import Workload

pytestmark = pytest.mark.usefixtures("short_bursts")


@pytest.fixture
def sd14(counted_once):
    """Stable Diffusion v1.4, one picture of 512 x 512 in 50 calls; test_bench_cost.py shows that these are its published configs."""
    count_costs, _ = counted_once
    configs = (bench_pixels.SD14_UNET, bench_pixels.SD14_VAE, bench_pixels.SD14_TEXT)
    return count_costs(*configs, (4, 64, 64), Workload(batch_size=1, calls=50))


def test_sd14_costs_what_is_published(sd14):
    gmac = {name: getattr(sd14, name) / 2e9 for name in ("unet_plain", "vae_decoder", "text_encoder")}
    assert gmac["unet_plain"] == pytest.approx(803, rel=0.02)  # two samples: guidance
    assert gmac["vae_decoder"] == pytest.approx(1257, rel=0.02)
    assert gmac["text_encoder"] == pytest.approx(2 * 6.65, rel=0.02)  # the prompt and the empty one
    assert sd14.plain_total / 1e12 == pytest.approx(82.9, rel=0.02)


def test_keeping_the_texts_keys_and_values_saves_what_their_projections_cost(sd14):
    # 2 samples x 77 tokens x 768 wide, to keys and to values of every one of the 16 cross-attentions
    widths = [320] * 2 + [640] * 2 + [1280] * 2 + [1280] + [1280] * 3 + [640] * 3 + [320] * 3
    assert sd14.unet_plain - sd14.unet_call == 2 * 2 * 77 * 768 * 2 * sum(widths)
    assert sd14.total == sd14.text_encoder + sd14.unet_plain + 49 * sd14.unet_call + sd14.vae_decoder


def test_pixels_cost_more_than_latents_and_stable_diffusion_is_only_counted(model):
    spaces = report_of(model, pixel_space=True, runs=1).pixel_space
    assert [(row.model, row.space, row.shape) for row in spaces] == [
        ("tiny", "latents", (4, 8, 8)), ("tiny", "pixels", (3, 64, 64)),
        ("sd-v1.4", "latents", (4, 64, 64)), ("sd-v1.4", "pixels", (3, 512, 512)),
    ]  # fmt: skip
    for latents, pixels in (spaces[:2], spaces[2:]):
        assert pixels.flops_per_call > 50 * latents.flops_per_call  # 64 times the positions; the text's share stays
        assert pixels.activation_bytes > latents.activation_bytes
        assert "vae_decoder" in latents.params and "vae_decoder" not in pixels.params
        # decoding belongs to the price of latents
        assert latents.flops_per_image > 2 * latents.flops_per_call - 1e9 and pixels.flops_per_image > pixels.flops_per_call
    assert all(row.call_s is not None for row in spaces[:2]) and all(row.call_s is None for row in spaces[2:])
    assert spaces[1].call_s.median > spaces[0].call_s.median


def test_a_call_on_pixels_that_would_take_too_long_is_not_run(model, monkeypatch):
    monkeypatch.setattr(bench_pixels, "LONGEST_CALL_S", 0)
    assert all(row.call_s is None for row in report_of(model, pixel_space=True).pixel_space)


def test_everything_at_once_fits_into_80_columns(bench, exported, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(bench_pixels, "LONGEST_CALL_S", 0)  # the test above has its time
    code, out, _ = bench("--dtype", "fp32,bf16", "--scheduler", "ddim,dpm++2m-sde-karras", "--pixel-space", "--train",
                         "--train-batch-size", 2, "--compare", "diffusers,openvino", "--runs", 1, "--steps", 1)  # fmt: skip
    assert code in (0, 3)
    assert max(len(line) for line in out.splitlines()) <= 80
    for word in (
        "configuration",
        "bf16",
        "dpm++2m-sde-karras",
        "ldm s",
        "text_encoder",
        "StableDiffusionPipeline",
        "pixels",
        "803",
        "training",
    ):
        assert word in out, word
    assert "859.52 M" in out and "123.06 M" in out and "not run" in out
