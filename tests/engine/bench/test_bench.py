"""`ldm bench` with the tiny model: what it reports."""

import json
import math
import os
from importlib.util import find_spec

import pytest
import torch
from safetensors.torch import load_file

from ldmcli.config.measuring import BenchConfig
from ldmcli.engine.bench.plan import plan_cells
from ldmcli.engine.bench.run import run_bench
from ldmcli.engine.bench.timing import draw_batch
from ldmcli.engine.sampling.settings import resolve_settings
from ldmcli.engine.session import open_session
from ldmcli.models.source import find_model
from ldmcli.networks.engines import ENGINES
from ldmcli.records.costs import BenchReport
from ldmcli.runtime.device import select_runtime

KEYS = {
    "dtype", "batch_size", "width", "height", "steps", "num_unet_calls", "load_s", "encode_s", "denoise_s", "decode_s", "total_s",
    "unet_call_ms", "images_per_s", "params", "weight_bytes", "peak_vram_bytes", "peak_rss_bytes", "psnr_vs_fp32", "nonfinite",
    "flops_per_image", "achieved_flops_per_s", "fraction_of_peak", "error",
}  # fmt: skip
"""What CLI.md promises of a row."""

TIMING = {
    "load_s", "encode_s", "denoise_s", "decode_s", "total_s", "unet_call_ms", "images_per_s", "peak_vram_bytes", "peak_rss_bytes",
    "growth_bytes", "achieved_flops_per_s", "fraction_of_peak", "cpu_share",
}  # fmt: skip
"""What differs from run to run."""


pytestmark = [pytest.mark.early, pytest.mark.usefixtures("short_bursts")]


def report_of(model, **options) -> BenchReport:
    """The report of the engine, without a command line."""
    events = list(run_bench(BenchConfig(**{"runs": 2, "warmup": 1, "steps": (2,), "device": "cpu", **options}), find_model(str(model))))
    return next(event for event in events if isinstance(event, BenchReport))


def test_stdout_is_one_document_with_every_promised_key(bench):
    code, out, err = bench("--json", "--scheduler", "heun", "--dtype", "bf16", "--batch-size", "1,2", "--cfg", "2")
    assert code == 0 and err.startswith("device cpu")
    body = json.loads(out)
    assert set(body) == {"schema", "env", "rows"} and body["schema"] == 1 and len(body["rows"]) == 2
    for row, batch_size in zip(body["rows"], (1, 2), strict=True):
        assert row.keys() >= KEYS and row["error"] is None
        assert (row["dtype"], row["batch_size"], row["width"], row["height"]) == ("bf16", batch_size, 64, 64)
        assert (row["steps"], row["num_unet_calls"], row["scheduler"]) == (2, 3, "heun")
        total = row["total_s"]
        assert set(total) == {"median", "mean", "stddev", "min", "max", "times"} and len(total["times"]) == 2
        assert total["min"] <= total["median"] <= total["max"] and total["stddev"] >= 0
        assert row["images_per_s"] == pytest.approx(batch_size / total["median"])
        assert row["unet_call_ms"] == pytest.approx(1000 * row["denoise_s"] / 3)
        assert row["achieved_flops_per_s"] == pytest.approx(row["flops_per_image"] * row["images_per_s"], rel=1e-6)
        assert row["fraction_of_peak"] == pytest.approx(row["achieved_flops_per_s"] / body["env"]["matmul_flops_per_s"]["bf16"])
        assert row["peak_vram_bytes"] is None and row["peak_rss_bytes"] > 0
        assert row["nonfinite"] == 0 and 10 < row["psnr_vs_fp32"] < 100
    assert set(body["env"]["half_precision"]) == {"bf16"}
    assert not any(value and os.sep in str(value) for key, value in body["env"].items() if key != "system")


def test_what_is_not_a_timing_is_the_same_twice(model):
    shared = {"batch_sizes": (2,), "schedulers": ("euler-a",), "runs": 1}

    def figures():
        rows = report_of(model, dtypes=("fp32", "bf16"), **shared).body()["rows"]
        return [{key: value for key, value in row.items() if key not in TIMING} for row in rows]

    first = figures()
    assert first == figures() and first[0]["psnr_vs_fp32"] is None
    # whether the fp32 pictures come from a row or are drawn on the side
    assert report_of(model, dtypes=("bf16",), **shared).rows[0].psnr_vs_fp32 == first[1]["psnr_vs_fp32"]


def test_the_deviation_is_that_of_pictures_from_the_same_noise(model):
    found = report_of(model, dtypes=("bf16",), batch_sizes=(2,), seed=5).rows[0]
    cell = plan_cells(BenchConfig(model=str(model), steps=(2,), batch_sizes=(2,)))[0]
    drawn = []
    for dtype in ("fp32", "bf16"):
        session = open_session(find_model(str(model)), select_runtime("cpu", dtype), fuse=True)  # as it draws itself
        own = {"defaults": {"cfg": 3.0}}
        drawn.append(draw_batch(session, resolve_settings(cell, session, own), "a dog", 5, 2).pictures.double())
    errors = (drawn[0] - drawn[1]).square().mean(dim=(1, 2, 3))
    assert found.psnr_vs_fp32 == pytest.approx((10 * (4 / errors).log10()).mean().item(), rel=1e-6)


def test_the_figures_describe_the_model(model):
    row = report_of(model, dtypes=("bf16",)).rows[0]
    files = {"text_encoder": "text_encoder/model", "unet": "unet/diffusion_pytorch_model", "vae": "vae/diffusion_pytorch_model"}
    held = {name: sum(value.numel() for value in load_file(model / f"{path}.safetensors").values()) for name, path in files.items()}
    assert row.params["text_encoder"] == held["text_encoder"] and row.params["unet"] == held["unet"]
    assert row.params["vae_encoder"] + row.params["vae_decoder"] == held["vae"]
    assert row.weight_bytes["unet"] == 2 * held["unet"]
    assert row.weight_bytes["vae_decoder"] == 4 * row.params["vae_decoder"]  # force_upcast keeps it in fp32
    assert row.flops["unet_call"] < row.flops["unet_plain"] and row.flops_per_image < row.flops["plain_total"]


def test_the_same_pictures_are_drawn_in_turn_with_diffusers(model):
    row = report_of(model, compare=("diffusers",), batch_sizes=(2,), schedulers=("ddim",), steps=(3,), runs=3).rows[0]
    (peer,) = row.compare
    assert row.error is None and peer.peer == "diffusers" and peer.num_unet_calls == row.num_unet_calls == 3
    assert peer.max_difference < 1 and peer.psnr > 48  # levels of 0 to 255
    assert peer.precision == "fp32" and 0 < peer.growth_bytes < 2**31 and 0 < row.growth_bytes < 2**31
    ratios = sorted(theirs / ours for theirs, ours in zip(peer.total_s.times, peer.ours_s.times, strict=True))
    assert peer.ratio == pytest.approx(ratios[1])
    assert ratios[0] <= peer.ratio_ci95[0] <= peer.ratio <= peer.ratio_ci95[1] <= ratios[2]


def test_training_steps_are_those_of_the_trainer(model):
    row = report_of(model, train=True, train_batch_size=4, runs=3).training[0]
    assert (row.mixed_precision, row.batch_size, row.width, row.error) == ("no", 4, 64, None)
    assert len(row.step_s.times) == 3 and row.images_per_s == pytest.approx(4 / row.step_s.median)
    assert row.achieved_flops_per_s == pytest.approx(row.flops_per_step / row.step_s.median)
    assert 0 < row.fraction_of_peak < 2 and math.isfinite(row.fraction_of_peak)


def test_training_that_cannot_be_is_a_row_beside_the_others(bench):
    code, out, _ = bench("--json", "--train", "--dtype", "fp16")
    body = json.loads(out)
    assert code == 3 and "needs a GPU" in body["training"][0]["error"] and body["rows"][0]["error"] is None


def test_the_matmul_roof_is_found_by_real_products():
    from ldmcli.engine.bench.machine import matmul_peak

    assert 1e8 < matmul_peak(torch.device("cpu"), torch.float32) < 1e15


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_another_engine_is_drawn_in_turn_with(model, exported, name):
    for package in ENGINES[name].packages:
        pytest.importorskip(package)
    options = {"batch_sizes": (1,), "schedulers": ("ddim",), "steps": (2,), "runs": 1}
    row = report_of(model, compare=("diffusers", name), **options).rows[0]
    assert row.error is None and [peer.peer for peer in row.compare] == ["diffusers", name]
    assert all(peer.max_difference < 1 and peer.num_unet_calls == 2 for peer in row.compare)


@pytest.mark.skipif(find_spec("openvino") is None, reason="needs openvino")
def test_another_engine_may_be_what_is_measured(model, exported):
    report = report_of(model, backend="openvino", batch_sizes=(1,), schedulers=("ddim",), steps=(2,))
    assert report.env["backend"] == "openvino" and report.rows[0].error is None
