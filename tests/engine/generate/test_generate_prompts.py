"""What `generate` says about prompts and numbers, and what stops it."""

import json
import shutil

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from ldmcli.cli import main

LONG = "a dog " + " ".join("xyz" for _ in range(10))
"""1 + 1 + 30 tokens, of which 22 find room."""


@pytest.fixture
def generate(model, tmp_path, capsys):
    """Run `ldm generate` in this process; returns (exit code, stdout, stderr)."""

    def run(*arguments, using=model):
        code = main(["generate", "-m", str(using), "-s", "5", "--steps", "2", "-o", f"{tmp_path}/out/", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_each_picture_reports_how_many_tokens_of_its_prompt_were_left_out(generate):
    code, out, err = generate("a dog", LONG, "a cat", "--json")
    assert code == 0
    assert [image["truncated_tokens"] for image in json.loads(out)["images"]] == [0, 10, 0]
    assert err.count("warning: the prompt has 10 tokens too many") == 1


def test_the_picture_of_a_long_prompt_is_that_of_its_beginning(generate, tmp_path):
    words = LONG.split()
    # 1 + 1 + 18 + 2 tokens, the last of them another one; alone in its batch, since only then the same bytes are promised
    generate(LONG, " ".join(words[:8] + ["xy"]), "--batch-size", "1")
    generate(LONG + " and so on", "--no-metadata")
    first, other, longer = (Image.open(path).tobytes() for path in sorted((tmp_path / "out").glob("*.png")))
    assert first == longer != other


def test_a_prompt_of_10000_words_gives_one_warning(generate):
    code, out, err = generate("word " * 10_000, "--json")
    assert code == 0 and err.count("warning") == 1 and len(err) < 2000
    assert json.loads(out)["images"][0]["truncated_tokens"] == 4 * 10_000 - 22


def test_strict_refuses_a_prompt_that_is_too_long_and_draws_nothing(generate, tmp_path):
    code, out, err = generate("a dog", LONG, "--strict")
    assert code == 2 and out == "" and "error: the prompt has 10 tokens too many" in err
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("prompt", ["", "   ", "\t\n"])
def test_a_prompt_without_words_draws_and_warns(generate, prompt):
    code, out, err = generate("-p", prompt, "-q")
    assert code == 0 and out.endswith(".png\n") and "warning: an empty prompt" in err


def test_a_special_token_in_the_prompt_warns(generate):
    code, _, err = generate("a dog <|endoftext|> a cat")
    assert code == 0 and "warning: the prompt spells out one of CLIP's special tokens" in err


def test_one_step_of_ddim_draws_and_says_what_is_odd_about_it(generate):
    code, _, err = generate("a dog", "--steps", "1", "--scheduler", "ddim")
    assert code == 0 and "The first timestep is 1 of 1000" in err


def test_the_seconds_of_a_picture_are_its_share_of_its_own_batch(generate):
    code, out, _ = generate("a dog", "-n", "5", "--batch-size", "2", "--steps", "20", "--json")
    report = json.loads(out)
    seconds = [image["seconds"] for image in report["images"]]
    timing = report["timing"]
    apart = max(abs(seconds[0] - seconds[1]), abs(seconds[2] - seconds[3]))
    assert apart <= timing["decode_s"] and min(seconds) > 0  # an equal share, and then its own decoding
    assert sum(seconds) >= timing["encode_s"] + timing["denoise_s"] + timing["decode_s"] - 0.001  # it all belongs to some picture,
    assert sum(seconds) + timing["load_s"] <= timing["total_s"] + 0.001  # and no second to two of them


def test_a_drawn_seed_is_said_and_recorded(model, tmp_path, capsys):
    assert main(["generate", "a dog", "-m", str(model), "--steps", "1", "-s", "-1", "-o", f"{tmp_path}/", "--json"]) == 0
    captured = capsys.readouterr()
    seed = json.loads(captured.out)["images"][0]["seed"]
    assert f"seed {seed} (drawn)" in captured.err and 0 <= seed < 2**32


def test_the_largest_seed_draws_and_one_picture_more_is_a_usage_error(generate):
    assert generate("a dog", "-s", str(2**64 - 1), "-q")[0] == 0
    code, _, err = generate("a dog", "-s", str(2**64 - 1), "-n", "2")
    assert code == 2 and "2**64 - 1" in err


@pytest.fixture
def spoiled(model, tmp_path):
    """A copy of the model with one tensor changed by a function."""

    def make(name, file, key, change):
        folder = shutil.copytree(model, tmp_path / "spoiled")
        path = folder / name / file
        state = load_file(path)
        state[key] = change(state[key])
        save_file(state, path, metadata={"format": "pt"})
        return folder

    return make


WEIGHTS = "diffusion_pytorch_model.safetensors"


def test_weights_of_nan_are_exit_4_name_the_tensor_and_leave_no_picture(generate, spoiled, tmp_path):
    bad = spoiled("unet", WEIGHTS, "conv_out.weight", lambda value: value * torch.nan)
    code, out, err = generate("a dog", using=bad)
    assert code == 4 and out == "" and "conv_out.weight holds NaN" in err
    assert list((tmp_path / "out").iterdir()) == []


def rows_of(manifest):
    return [json.loads(line) for line in manifest.read_text().splitlines()]


@pytest.mark.parametrize(("part", "key"), [("unet", "conv_out.weight"), ("vae", "decoder.conv_out.weight")])
def test_latents_or_pictures_that_overflow_are_exit_4_and_never_a_black_file(generate, spoiled, tmp_path, part, key):
    bad = spoiled(part, WEIGHTS, key, lambda value: value * 1e38)
    code, out, err = generate("a dog", using=bad)
    assert code == 4 and out == "" and "NaN or infinity" in err and "Traceback" not in err
    (manifest,) = (tmp_path / "out").iterdir()
    assert manifest.name == "manifest.jsonl" and [row.get("status") for row in rows_of(manifest)] == [None, "failed"]


def test_half_precision_on_a_cpu_draws_and_says_that_it_is_slow_where_it_is(generate, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"architecture": "x86_64"}, raising=False)
    for name in ("bf16", "float16"):
        code, _, err = generate("a dog", "--dtype", name, "--device", "cpu")
        assert code == 0
        (line,) = [line for line in err.splitlines() if "emulated" in line]
        assert "slow" in line
    assert "emulated" not in generate("a dog", "--device", "cpu")[2]
