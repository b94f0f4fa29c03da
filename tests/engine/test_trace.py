"""`generate --trace`: what is written about a picture, and that the picture does not change."""

import html
import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

from ldmcli.engine.tracing import shown_layers
from ldmcli.models.source import find_model
from ldmcli.reports.html import in_bytes, in_seconds, in_thousands

PROMPT = "red dog"


@pytest.fixture
def trace(generate, tmp_path):
    """Draw with --trace; returns (lines of trace.jsonl by kind, text of trace.html)."""

    def run(*argv, prompt=PROMPT):
        code, out, err = generate(prompt, "-s", "5", "-o", tmp_path / "dog.png", "-q", "--trace", tmp_path / "look", "--overwrite", *argv)
        assert code == 0, err
        assert out.splitlines()[-1] == str(tmp_path / "look" / "trace.html")
        kinds = {}
        for line in (tmp_path / "look" / "trace.jsonl").read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            kinds.setdefault(row["kind"], []).append(row)
        return kinds, (tmp_path / "look" / "trace.html").read_text(encoding="utf-8")

    return run


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def test_the_traced_picture_is_byte_for_byte_the_untraced_one(trace, generate, tmp_path):
    trace()
    assert generate(PROMPT, "-s", "5", "-o", tmp_path / "plain.png", "-q")[0] == 0
    assert (tmp_path / "dog.png").read_bytes() == (tmp_path / "plain.png").read_bytes()


def test_tokens_have_ids_and_a_mask_and_are_joined_to_words(trace):
    kinds, _ = trace()
    tokens = kinds["token"]
    assert [token["position"] for token in tokens] == list(range(24))
    assert [token["piece"] for token in tokens[:6]] == ["<|startoftext|>", "r", "e", "d", "dog", "<|endoftext|>"]
    assert [token["mask"] for token in tokens] == [1] * 6 + [0] * 18
    assert all(isinstance(token["id"], int) for token in tokens) and tokens[6]["id"] == tokens[5]["id"]
    words = [(word["label"], word["positions"]) for word in kinds["word"]]
    assert words == [("start", [0]), ("red", [1, 2, 3]), ("dog", [4]), ("end", [5]), ("18 pads", list(range(6, 24)))]


def test_attention_of_all_positions_sums_to_one_everywhere(trace):
    kinds, _ = trace()
    maps = np.array([row["map"] for row in kinds["attention"]])
    assert maps.shape == (24, 8, 8) and abs(maps.sum(axis=0) - 1).max() < 1e-5
    assert abs(sum(word["share"] for word in kinds["word"]) - 1) < 1e-5
    assert all(abs(sum(row["share"]) - 1) < 1e-5 for row in [*kinds["call"], *kinds["layer"]])
    for word in kinds["word"]:
        assert word["share"] == pytest.approx(maps[word["positions"]].sum(axis=0).mean(), abs=1e-6)
    assert len({row["layer"] for row in kinds["layer"]}) == 7
    assert [row["shown"] for row in kinds["layer"]] == [row["height"] == 8 for row in kinds["layer"]]


def test_the_average_is_that_of_the_calls(trace):
    kinds, _ = trace()
    mean = np.mean([row["share"] for row in kinds["call"]], axis=0)
    assert np.allclose(mean, [word["share"] for word in kinds["word"]], atol=1e-6)


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


def test_tensors_parts_components_and_stages_are_those_of_the_model(trace, model):
    kinds, _ = trace()
    shapes = {row["tensor"]: row["shape"] for row in kinds["tensor"]}
    assert shapes["text states"] == [2, 24, 32] and shapes["noise"] == [1, 4, 8, 8] and shapes["U-Net input"] == [2, 4, 8, 8]
    assert shapes["picture"] == [1, 3, 64, 64] and shapes["pixels"] == [64, 64, 3]
    assert {row["tensor"]: row["bytes"] for row in kinds["tensor"]}["noise"] == 4 * 8 * 8 * 4
    from safetensors.torch import load_file

    stored = sum(
        value.numel() for value in load_file(find_model(str(model)).path / "unet" / "diffusion_pytorch_model.safetensors").values()
    )
    assert {row["component"]: row["parameters"] for row in kinds["component"]}["U-Net"] == stored
    names = ["conv_in", "down_blocks.0", "down_blocks.1", "mid_block", "up_blocks.0", "up_blocks.1", "conv_out"]
    assert [row["part"] for row in kinds["part"]] == names and [row["text"] for row in kinds["part"]] == [False, *[True] * 5, False]
    assert [row["stage"] for row in kinds["stage"]] == ["load", "text encoder", "U-Net and solver", "VAE decoder"]
    # Linux keeps the two counters apart, so the peak may lag a little behind.
    assert all(row["seconds"] > 0 and row["peak_rss_bytes"] > 0.9 * row["rss_bytes"] > 0 for row in kinds["stage"])


PROGRAMS = {
    "ddim": ["--scheduler", "ddim"],
    "no guidance": ["--cfg", "1"],
    "rescaled, negative prompt": ["--cfg-rescale", "0.7", "--negative-prompt", 'a "red" dog'],
    "stochastic": ["--scheduler", "ddpm"],
    "two calls a step": ["--scheduler", "heun", "--no-sigma-clip"],
    "bf16": ["--dtype", "bf16"],
    "wide": ["--size", "96x64", "--scheduler", "unipc", "--spacing", "trailing"],
    "walked by diffusers": ["--scheduler", "deis", "--no-sigma-clip"],
    "weighted": ["--weighting", "a1111"],
    "long, weighted": ["--weighting", "a1111", "--long-prompts", "--negative-prompt", "[red] circle"],
    "long negative prompt": ["--long-prompts", "--negative-prompt", "red circle, " * 6],
    "guided in the middle": ["--cfg-interval", "0.3,0.7"],
    "guided in the middle, all at once": [
        "--cfg-interval", "0.3,0.7", "--cfg-rescale", "0.7", "--weighting", "a1111", "--long-prompts", "--scheduler", "heun",
    ],
    "guided at first, bf16": ["--cfg-interval", "0.5,1", "--dtype", "bf16", "--scheduler", "pndm"],
    "guided nowhere": ["--cfg-interval", "0.96,0.97"],
}  # fmt: skip
LONG = "a (dog:1.4), " * 6


@pytest.mark.parametrize("how", PROGRAMS)
def test_the_fifteen_lines_draw_the_picture_again(trace, tmp_path, monkeypatch, how):
    prompt = LONG if how.startswith("long,") or "at once" in how else "it's a (dog:1.4)"
    kinds, page = trace("--steps", "5", *PROGRAMS[how], prompt=prompt)
    program = kinds["loop"][0]["program"]
    assert len(re.findall(r"<div><code>", page)) in ((16,) if re.search("in the middle|at first", how) else (14, 15))
    monkeypatch.chdir(tmp_path)
    with torch.enable_grad():  # the program turns gradients off for good; this puts the mode back
        exec(compile(program, "again.py", "exec"), {})
    assert np.array_equal(pixels(tmp_path / "again.png"), pixels(tmp_path / "dog.png"))


def test_a_picture_with_every_reading_is_byte_for_byte_the_untraced_one(trace, generate, tmp_path):
    how = ["--weighting", "a1111", "--long-prompts", "--cfg-interval", "0.3,0.7"]
    trace(*how, prompt=LONG)
    assert generate(LONG, "-s", "5", "-o", tmp_path / "plain.png", "-q", *how)[0] == 0
    assert (tmp_path / "dog.png").read_bytes() == (tmp_path / "plain.png").read_bytes()


def test_weights_stand_beside_their_words(trace):
    kinds, page = trace("--weighting", "a1111", prompt="(red:1.4) [dog]")
    words = [(word["label"], word["weight"], word["positions"]) for word in kinds["word"]]
    assert words[:4] == [("start", 1, [0]), ("red", 1.4, [1, 2, 3]), ("dog", 0.909091, [4]), ("end", 1, [5])]
    assert [token["weight"] for token in kinds["token"][:6]] == [1, 1.4, 1.4, 1.4, 0.909091, 1]
    assert "× 1.4<" in page and "× 0.9091<" in page and "multiplied by it" in page
    plain, page = trace(prompt="(red:1.4) [dog]")
    assert {row["weight"] for row in [*plain["word"], *plain["token"]]} == {1} and "multiplied by it" not in page


def test_brackets_are_words_where_they_are_text(trace):
    kinds, _ = trace(prompt="(dog)")
    assert [word["label"] for word in kinds["word"] if word["role"] == "word"] == ["(", "dog", ")"]


def test_a_long_prompt_stands_in_several_windows(trace):
    kinds, page = trace("--long-prompts", prompt="red circle, dog, green square, dog")
    tokens, words = kinds["token"], {word["label"]: word["positions"] for word in kinds["word"]}
    assert [token["position"] for token in tokens] == list(range(48)) and [token["window"] for token in tokens] == [0] * 24 + [1] * 24
    assert words["2 starts"] == [0, 24] and words["green"] == list(range(13, 18)) and words["dog"] == [27]
    assert words["square"] == [*range(18, 23), 25]  # the window is full before its last letter
    assert all(tokens[position]["role"] == "word" for word in ("red", "green", "dog") for position in words[word])
    maps = np.array([row["map"] for row in kinds["attention"]])
    assert maps.shape == (48, 8, 8) and abs(maps.sum(axis=0) - 1).max() < 1e-5 and maps[24:].sum() > 0
    assert {row["tensor"]: row["shape"] for row in kinds["tensor"]}["text states"] == [2, 48, 32]
    assert "read in 2 windows of 24 positions" in " ".join(page.split())


def test_without_long_prompts_the_words_that_were_left_out_are_not_there(trace):
    kinds, page = trace(prompt="red circle, dog, green square, dog")
    words = [word["label"] for word in kinds["word"] if word["role"] == "word"]
    assert len(kinds["token"]) == 24 and words[:4] == ["red", "circle", ",", "dog"] and words[-1] != "dog" and "windows of" not in page


@pytest.mark.parametrize("hides_pads", [False, True])
def test_a_longer_negative_prompt_leaves_a_window_without_words(trace, monkeypatch, hides_pads):
    if hides_pads:
        monkeypatch.setattr("ldmcli.engine.session.own_settings", lambda path: {"text_mask": True})
    kinds, _ = trace("--long-prompts", "--negative-prompt", "red circle, " * 3)
    tokens = kinds["token"]
    assert [token["role"] for token in tokens[24:]] == ["start", "end", *["pad"] * 22] and {token["mask"] for token in tokens[24:]} == {0}
    behind = np.array([row["map"] for row in kinds["attention"]])[24:]
    assert (behind == 0).all() if hides_pads else (behind > 0).all()


def test_calls_outside_of_the_interval_have_one_answer(trace):
    kinds, page = trace("--steps", "6", "--scheduler", "ddim", "--cfg-interval", "0.3,0.7")
    guided = [0.3 <= row["t"] / 1000 <= 0.7 for row in kinds["call"]]
    assert 0 < sum(guided) < 6 and kinds["run"][0]["guided_calls"] == sum(guided)
    assert [row["uncond_norm"] is not None for row in kinds["call"]] == guided == [row["cosine"] is not None for row in kinds["call"]]
    assert all(row["cond_norm"] == row["guided_norm"] for row, twice in zip(kinds["call"], guided, strict=True) if not twice)
    assert all(abs(sum(row["share"]) - 1) < 1e-5 for row in kinds["call"])
    assert {row["part"]: row["shape"] for row in kinds["part"]}["conv_in"][0] == 2
    assert f"here at {sum(guided)} of the 6 calls" in page and "t/T in 0.3 … 0.7" in page


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


EVIL = """</script><script>document.title='owned'</script><img src=x onerror=alert(1)> {{ 7*7 }} & "quoted" """


def test_a_prompt_is_text_to_the_page(trace):
    kinds, page = trace("--negative-prompt", EVIL, prompt=EVIL)
    assert len(re.findall(r"<script", page)) == 2 and "<img src=x" not in page and "49" not in re.search(r"<h1>(.*?)</h1>", page, re.S)[1]
    assert "&lt;/script&gt;&lt;script&gt;" in page
    assert kinds["run"][0]["prompt"] == EVIL


def test_the_page_names_no_other_place(trace):
    _, page = trace()
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "") and "https://" not in page
    addresses = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert all(address.startswith("data:") for address in addresses)
    policy = html.unescape(re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1])
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-") and "unsafe" not in policy


SD = {"64": (64, 64), "32": (32, 32), "16": (16, 16), "8": (8, 8)}


@pytest.mark.parametrize(
    ("sizes", "shown"),
    [
        (SD, ["32", "16", "8"]),
        ({"8": (8, 8), "4": (4, 4)}, ["8"]),
        ({"4": (4, 4), "2": (2, 2)}, ["4"]),
        ({"96": (128, 96), "48": (64, 48)}, ["96"]),
        ({"wide": (8, 64), "flat": (4, 32)}, ["wide"]),
    ],
    ids=["SD at 512", "bundled", "only coarse ones", "only fine ones", "wide"],
)
def test_the_layers_that_can_tell_place_are_shown(sizes, shown):
    assert shown_layers(sizes) == shown


def test_figures_are_written_for_people():
    assert [in_bytes(n) for n in (512, 1536, 5 * 2**20, 3 * 2**30)] == ["512 bytes", "1.5 KiB", "5.0 MiB", "3.0 GiB"]
    assert [in_thousands(n) for n in (12, 9300, 11_172_296)] == ["12", "9.3 k", "11.2 M"]
    assert [in_seconds(s) for s in (0.0123, 2.5)] == ["12.3 ms", "2.50 s"]
