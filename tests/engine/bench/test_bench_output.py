"""`ldm bench` with the tiny model: failures, files and tables."""

import csv
import json
import shutil

from PIL import Image
from safetensors.torch import load_file, save_file


def test_a_configuration_that_fails_is_a_row_and_the_others_run(bench, tmp_path):
    code, out, err = bench("--json", "--scheduler", "dpm2,ddim", "--export-csv", tmp_path / "rows.csv")
    assert code == 3 and "error: 1 of 2 could not be measured" in err
    failed, fine = json.loads(out)["rows"]
    assert "cannot start below the sigma" in failed["error"] and failed["total_s"] is None and failed.keys() == fine.keys()
    assert fine["error"] is None and fine["total_s"]["median"] > 0
    rows = list(csv.DictReader((tmp_path / "rows.csv").open()))
    assert [bool(row["error"]) for row in rows] == [True, False] and float(rows[1]["total_s.median"]) > 0


def test_when_every_configuration_fails_the_first_failure_decides_the_exit(bench):
    code, out, err = bench("--json", "--scheduler", "dpm2")
    assert code == 2 and [row["error"] is None for row in json.loads(out)["rows"]] == [False]
    assert "error: dpm2 cannot start below" in err


def test_half_precision_that_overflows_is_counted_and_still_timed(ldm, model, tmp_path, short_bursts):
    broken = tmp_path / "model"
    shutil.copytree(model, broken)
    path = broken / "unet" / "diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    weights["conv_out.weight"] *= 1e5  # fine in fp32 and bf16, infinite in fp16
    save_file(weights, path, metadata={"format": "pt"})
    code, out, _ = ldm("bench", "-m", broken, "--device", "cpu", "--runs", 1, "--steps", 2, "--dtype", "fp16", "--json")
    row = json.loads(out)["rows"][0]
    assert code == 0 and row["nonfinite"] > 0 and row["psnr_vs_fp32"] is None and row["total_s"]["median"] > 0


def test_the_files_hold_what_was_measured(bench, tmp_path):
    files = {name: tmp_path / "new" / f"bench.{name}" for name in ("json", "csv", "markdown")}
    exports = [part for name, path in files.items() for part in (f"--export-{name}", path)]
    code, out, _ = bench("--json", "--batch-size", "1,2", *exports, "--chart", tmp_path / "new" / "bars.png")
    assert code == 0
    body = json.loads(out)
    assert json.loads(files["json"].read_text()) == body
    rows = list(csv.DictReader(files["csv"].open()))
    for row, told in zip(rows, body["rows"], strict=True):
        assert float(row["total_s.median"]) == told["total_s"]["median"] and int(row["params.unet"]) == told["params"]["unet"]
        assert [float(part) for part in row["total_s.times"].split()] == told["total_s"]["times"]
    lines = files["markdown"].read_text().splitlines()
    assert len(lines) == 4 and len({line.count("|") for line in lines}) == 1 and set(lines[1]) == set("| -")
    with Image.open(tmp_path / "new" / "bars.png") as chart:
        assert chart.format == "PNG" and chart.width > 600 and len(chart.convert("RGB").getcolors(1 << 24)) > 10


def test_a_file_that_exists_is_kept_unless_told_otherwise(bench, tmp_path):
    path = tmp_path / "bench.json"
    path.write_text("mine")
    code, out, err = bench("--export-json", path)
    assert code == 2 and out == "" and "exists" in err and path.read_text() == "mine"
    assert bench("--export-json", path, "--overwrite", "-q")[0] == 0
    assert json.loads(path.read_text())["schema"] == 1


def test_quiet_prints_bare_medians(bench):
    code, out, err = bench("-q", "--scheduler", "ddim,dpm2")
    first, second = out.splitlines()
    assert code == 3 and float(first) > 0 and second == "-"
