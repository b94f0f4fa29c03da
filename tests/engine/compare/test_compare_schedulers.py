"""`ldm compare-schedulers` with the tiny model: what it promises, what it repeats, what it does when something fails."""

import csv
import json
import statistics
from functools import partial

import pytest
import torch
from safetensors.torch import save_file

PROMISED = {
    "scheduler", "steps", "num_unet_calls", "seconds", "seconds_per_call", "clip_score", "latent_rmse_to_reference", "psnr_to_reference",
    "images", "settings", "error",
}  # fmt: skip
"""What CLI.md promises of a row."""

TIMING = ("seconds", "seconds_per_call")


@pytest.fixture
def compare(ldm, model, clip, monkeypatch):
    """The command with the tiny model and the tiny CLIP on one thread of the CPU."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    options = ("-m", model, "--clip-model", clip, "--device", "cpu", "-s", "3", "--cfg", "2")
    return partial(ldm, "compare-schedulers", "a dog", "dog dog", *options)


def body_of(run, *argv):
    """The document of --json of a run that went well, which is also what results.json holds."""
    code, out, err = run(*argv, "--json")
    assert code == 0, err
    return json.loads(out)


def test_stdout_is_one_document_with_every_promised_key(compare, tmp_path):
    options = ("--schedulers", "ddim,pndm,heun,euler-a", "--steps", "3,4", "--seeds", "2", "--reference-steps", "12")
    body = body_of(compare, *options, "-o", tmp_path / "cmp")
    assert body == json.loads((tmp_path / "cmp" / "results.json").read_text())
    assert body["schema"] == 1 and body["env"]["reference"]["steps"] == 12 and body["env"]["pictures"] == 4
    assert len(list(csv.DictReader((tmp_path / "cmp" / "results.csv").open()))) == len(body["rows"]) == 8
    calls = {"ddim": lambda n: n, "pndm": lambda n: n + 1, "heun": lambda n: 2 * n - 1, "euler-a": lambda n: n}
    for row in body["rows"]:
        assert row.keys() >= PROMISED and row["error"] is None and row["seconds"] > 0
        assert row["num_unet_calls"] == calls[row["scheduler"]](row["steps"])
        assert len(row["images"]) == 4 and all((tmp_path / "cmp" / image).is_file() for image in row["images"])
        assert row["clip_score"] == pytest.approx(100 * statistics.mean(row["items"]["cosine"]))
        if row["scheduler"] == "euler-a":  # adds noise: it has no picture to converge to
            assert row["latent_rmse_to_reference"] is None and row["psnr_to_reference"] is None
        else:
            assert row["latent_rmse_to_reference"] == pytest.approx(statistics.median(row["items"]["latent_rmse"]))


def test_what_is_not_a_timing_is_the_same_twice(compare, tmp_path):
    def figures(folder):
        body = body_of(compare, "--schedulers", "unipc,euler-a", "--steps", "4", "--reference-steps", "8", "-o", folder)
        return {**body, "rows": [{key: value for key, value in row.items() if key not in TIMING} for row in body["rows"]]}

    first = figures(tmp_path / "first")
    assert first == figures(tmp_path / "second")
    pictures = [image for row in first["rows"] for image in row["images"]]
    assert pictures and all((tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes() for name in pictures)


def test_a_reference_read_from_disk_is_the_one_that_was_walked(compare, tmp_path):
    walk = partial(compare, "--schedulers", "ddim", "--steps", "4", "--reference-steps", "8", "-o", tmp_path / "cmp", "--overwrite")
    (_, first, walked), (_, second, read) = walk("--json"), walk("--json")
    assert "walked in" in walked and "read from disk" in read
    assert json.loads(first)["rows"][0]["items"] == json.loads(second)["rows"][0]["items"]


def test_the_reference_walk_has_no_distance_to_itself(compare, tmp_path):
    row = body_of(compare, "--schedulers", "ddim", "--steps", "8", "--reference-steps", "8", "-o", tmp_path / "cmp")["rows"][0]
    assert row["latent_rmse_to_reference"] == 0


def test_a_configuration_that_fails_is_a_row_and_the_others_run(compare, tmp_path):
    code, out, err = compare("--schedulers", "dpm2,ddim", "--steps", "4", "--reference-steps", "8", "-o", tmp_path / "cmp", "--json")
    failed, fine = json.loads(out)["rows"]
    assert code == 3 and "1 of 2 configurations failed" in err
    assert failed["error"] and failed["seconds"] is None and failed.keys() == fine.keys()
    assert fine["error"] is None and fine["latent_rmse_to_reference"] > 0


def test_equal_calls_are_equal_for_all(compare, tmp_path):
    rows = body_of(compare, "--schedulers", "ddim,heun", "--steps", "7", "--equal-nfe", "--reference-steps", "8", "-o", tmp_path / "cmp")[
        "rows"
    ]
    assert [(row["steps"], row["num_unet_calls"]) for row in rows] == [(7, 7), (4, 7)]


def test_one_spacing_gives_all_the_same_timesteps(compare, tmp_path):
    argv = ("--schedulers", "dpm++2m,unipc,euler", "--steps", "5", "--reference-steps", "8", "--spacing", "trailing")
    rows = body_of(compare, *argv, "-o", tmp_path / "cmp")["rows"]
    assert {(row["settings"]["spacing"], row["settings"]["sigma_max"], row["settings"]["sigma_min"]) for row in rows} == {
        ("trailing", rows[0]["settings"]["sigma_max"], rows[0]["settings"]["sigma_min"])
    }


def test_a_damaged_reference_is_drawn_again_and_that_is_told(compare, tmp_path):
    run = partial(
        compare, "--schedulers", "ddim", "--steps", "4", "--reference-steps", "8", "-o", tmp_path / "cmp", "--overwrite", "--json"
    )
    _, first, _ = run()
    nan, empty = sorted((tmp_path / "cmp" / "references").iterdir())
    save_file({"latents": torch.full((4, 8, 8), torch.nan)}, nan)
    empty.write_bytes(b"")
    code, second, err = run()
    assert code == 0 and f"{nan} is damaged, and drawn again" in err and f"{empty} is damaged, and drawn again" in err
    assert json.loads(first)["rows"][0]["items"] == json.loads(second)["rows"][0]["items"]
    assert "read from disk" in run()[2]
