"""`generate --trace`: what is written about a picture, and that the picture does not change."""

import json

import numpy as np
import pytest
from PIL import Image

from ldmcli.cli import main
from ldmcli.models.source import find_model

PROMPT = "red dog"


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


@pytest.fixture(scope="module")
def plain(model, tmp_path_factory):
    """The lines of trace.jsonl by kind, of a picture with no options, for tests that only read them."""
    folder, kinds = tmp_path_factory.mktemp("plain"), {}
    argv = ("generate", PROMPT, "-m", model, "--device", "cpu", "-s", "5", "-o", folder / "dog.png", "-q", "--trace", folder / "look")
    assert main([str(word) for word in argv]) == 0
    for line in (folder / "look" / "trace.jsonl").read_text(encoding="utf-8").splitlines():
        kinds.setdefault((row := json.loads(line))["kind"], []).append(row)
    return kinds


def test_the_traced_picture_is_byte_for_byte_that_of_the_plain_networks(trace, generate, tmp_path):
    trace()
    assert generate(PROMPT, "-s", "5", "-o", tmp_path / "plain.png", "-q", "--no-fuse")[0] == 0
    assert (tmp_path / "dog.png").read_bytes() == (tmp_path / "plain.png").read_bytes()
    assert generate(PROMPT, "-s", "5", "-o", tmp_path / "copy.png", "-q")[0] == 0
    assert abs(pixels(tmp_path / "dog.png") - pixels(tmp_path / "copy.png")).max() <= 1


def test_tokens_have_ids_and_a_mask_and_are_joined_to_words(plain):
    tokens = plain["token"]
    assert [token["position"] for token in tokens] == list(range(24))
    assert [token["piece"] for token in tokens[:6]] == ["<|startoftext|>", "r", "e", "d", "dog", "<|endoftext|>"]
    assert [token["mask"] for token in tokens] == [1] * 6 + [0] * 18
    assert all(isinstance(token["id"], int) for token in tokens) and tokens[6]["id"] == tokens[5]["id"]
    words = [(word["label"], word["positions"]) for word in plain["word"]]
    assert words == [("start", [0]), ("red", [1, 2, 3]), ("dog", [4]), ("end", [5]), ("18 pads", list(range(6, 24)))]


def test_attention_of_all_positions_sums_to_one_everywhere(plain):
    maps = np.array([row["map"] for row in plain["attention"]])
    assert maps.shape == (24, 8, 8) and abs(maps.sum(axis=0) - 1).max() < 1e-5
    assert abs(sum(word["share"] for word in plain["word"]) - 1) < 1e-5
    assert all(abs(sum(row["share"]) - 1) < 1e-5 for row in [*plain["call"], *plain["layer"]])
    for word in plain["word"]:
        assert word["share"] == pytest.approx(maps[word["positions"]].sum(axis=0).mean(), abs=1e-6)
    assert len({row["layer"] for row in plain["layer"]}) == 4
    assert [row["shown"] for row in plain["layer"]] == [row["height"] == 8 for row in plain["layer"]]


def test_the_average_is_that_of_the_calls(plain):
    mean = np.mean([row["share"] for row in plain["call"]], axis=0)
    assert np.allclose(mean, [word["share"] for word in plain["word"]], atol=1e-6)


@pytest.mark.parametrize(("scheduler", "calls"), [("ddim", 6), ("heun", 11), ("pndm", 7)])
def test_every_call_has_its_numbers(trace, scheduler, calls):
    kinds, _ = trace("--scheduler", scheduler, "--steps", "6")
    rows = kinds["call"]
    assert [row["i"] for row in rows] == list(range(calls)) == list(range(kinds["run"][0]["num_unet_calls"]))
    assert all(earlier["t"] >= later["t"] and earlier["sigma"] >= later["sigma"] for earlier, later in zip(rows, rows[1:], strict=False))
    for row in rows:
        uncond, cond, delta = (row[f"{name}_norm"] for name in ("uncond", "cond", "delta"))
        law_of_cosines = uncond**2 + cond**2 - 2 * uncond * cond * row["cosine"]
        assert 0 < delta and delta**2 == pytest.approx(law_of_cosines, rel=1e-2, abs=1e-3)
        assert row["seconds"] > 0


def test_without_guidance_there_is_one_answer(trace):
    kinds, page = trace("--cfg", "1")
    assert all(row["uncond_norm"] is None and row["delta_norm"] is None and row["cond_norm"] > 0 for row in kinds["call"])
    assert kinds["tensor"][3]["shape"][0] == 1 and "uncond" not in kinds["loop"][0]["program"]
    assert "Guidance asks twice" not in page


def test_tensors_parts_components_and_stages_are_those_of_the_model(plain, model):
    shapes = {row["tensor"]: row["shape"] for row in plain["tensor"]}
    assert shapes["text states"] == [2, 24, 32] and shapes["noise"] == [1, 4, 8, 8] and shapes["U-Net input"] == [2, 4, 8, 8]
    assert shapes["picture"] == [1, 3, 64, 64] and shapes["pixels"] == [64, 64, 3]
    assert {row["tensor"]: row["bytes"] for row in plain["tensor"]}["noise"] == 4 * 8 * 8 * 4
    from safetensors.torch import load_file

    stored = sum(
        value.numel() for value in load_file(find_model(str(model)).path / "unet" / "diffusion_pytorch_model.safetensors").values()
    )
    assert {row["component"]: row["parameters"] for row in plain["component"]}["U-Net"] == stored
    names = ["conv_in", "down_blocks.0", "down_blocks.1", "mid_block", "up_blocks.0", "up_blocks.1", "conv_out"]
    assert [row["part"] for row in plain["part"]] == names
    assert [row["part"] for row in plain["part"] if row["text"]] == ["down_blocks.0", "mid_block", "up_blocks.1"]
    assert [row["stage"] for row in plain["stage"]] == ["load", "text encoder", "U-Net and solver", "VAE decoder"]
    # Linux keeps the two counters apart, so the peak may lag a little behind.
    assert all(row["seconds"] > 0 and row["peak_rss_bytes"] > 0.9 * row["rss_bytes"] > 0 for row in plain["stage"])


def test_measuring_draws_again_and_is_refused(generate, tmp_path):
    code, _, err = generate(PROMPT, "-o", tmp_path / "dog.png", "--trace", tmp_path / "look", "--measure", "--cfg-interval", "0.3,0.7")
    assert code == 2 and "--measure draws it again" in err and not (tmp_path / "look").exists()


def test_json_names_the_page(generate, tmp_path):
    code, out, _ = generate(PROMPT, "-s", "5", "-o", tmp_path / "dog.png", "--json", "--trace", tmp_path / "look")
    assert code == 0 and json.loads(out)["trace"] == str(tmp_path / "look" / "trace.html")
    assert "trace" not in json.loads(generate(PROMPT, "-o", f"{tmp_path}/", "--json")[1])


def test_a_recorded_picture_can_be_taken_apart(trace, generate, tmp_path):
    trace()
    code, out, _ = generate("--from-image", tmp_path / "dog.png", "-o", tmp_path / "again.png", "-q", "--trace", tmp_path / "second")
    assert code == 0 and out.splitlines()[-1] == str(tmp_path / "second" / "trace.html")
    assert np.array_equal(pixels(tmp_path / "again.png"), pixels(tmp_path / "dog.png"))
