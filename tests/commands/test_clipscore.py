"""`ldm clipscore` from the command line, with a CLIP of tiny random weights and pictures of its own."""

import csv
import json
from dataclasses import fields

import pytest
from PIL import Image
from tiny_clip import draw_pictures

from ldmcli.records.scores import ClipScoreReport

PROMPTS = ["a dog", "cat and dog", "red circle", "and and and", "zebra", "cat"]


@pytest.fixture
def score(ldm, clip):
    """Run the command with the tiny CLIP; returns (exit code, stdout, stderr)."""
    return lambda *argv: ldm("clipscore", *map(str, argv), "--clip-model", str(clip), "--device", "cpu")


@pytest.fixture
def body(score):
    """The document of --json of a run that went well."""

    def run(*argv):
        code, out, err = score(*argv, "--json")
        assert code == 0, err
        return json.loads(out)

    return run


@pytest.fixture
def drawn(tmp_path):
    """Six pictures and a manifest."""
    return write(tmp_path / "drawn", draw_pictures(6))


def write(folder, pictures, prompts=PROMPTS):
    folder.mkdir()
    rows = []
    for number, (picture, prompt) in enumerate(zip(pictures, prompts, strict=True)):
        picture.save(folder / f"{number:05d}.png")
        rows.append(json.dumps({"path": f"{number:05d}.png", "prompt": prompt}))
    (folder / "manifest.jsonl").write_text("\n".join(rows))
    return folder


def test_the_json_has_every_promised_key_and_agrees_with_its_items(body, drawn):
    report = body(drawn)
    promised = {"clip_model", "n", "cosine_mean", "clip_score", "clipscore_w2.5", "sd", "ci95", "truncated", "baseline_shuffled", "items"}
    assert promised <= set(report) and len(report) == len(fields(ClipScoreReport))
    cosines = [item["cosine"] for item in report["items"]]
    mean = sum(cosines) / 6
    assert [item["caption"] for item in report["items"]] == PROMPTS and report["n"] == 6
    assert report["cosine_mean"] == pytest.approx(mean) and report["clip_score"] == pytest.approx(100 * mean)
    assert report["clipscore_w2.5"] == pytest.approx(2.5 * sum(max(c, 0) for c in cosines) / 6)
    assert report["sd"] == pytest.approx(100 * (sum((c - mean) ** 2 for c in cosines) / 5) ** 0.5)
    assert report["ci95"][0] < report["clip_score"] < report["ci95"][1] and report["baseline_shuffled"] is None


def test_the_same_command_gives_the_same_figures(body, drawn):
    assert body(drawn, "--baseline", "shuffled") == body(drawn, "--baseline", "shuffled")


def test_cocos_own_pictures_are_scored_with_all_their_captions(body, coco):
    report = body("--data", coco, "--baseline", "shuffled")
    assert (report["n"], report["pictures"], report["resampled"]) == (48, 24, "pictures")
    assert isinstance(report["baseline_shuffled"], float) and 0 < report["shuffled_p"] <= 1


def test_pictures_that_share_a_prompt_are_drawn_again_together(body, tmp_path):
    folder = write(tmp_path / "twice", draw_pictures(6), ["a dog", "a dog", "a dog", "cat", "cat", "cat"])
    report = body(folder)
    assert (report["pictures"], report["captions"], report["resampled"]) == (6, 2, "captions")


def test_a_prefix_is_put_before_every_caption(body, drawn):
    plain, prefixed = body(drawn), body(drawn, "--prefix", "a cat and ")
    assert prefixed["prefix"] == "a cat and " and prefixed["clip_score"] != plain["clip_score"]
    assert [item["caption"] for item in prefixed["items"]] == PROMPTS


def test_references_that_are_the_captions_give_a_cosine_of_1_to_the_harmonic_mean(body, drawn, tmp_path):
    file = tmp_path / "references.json"
    file.write_text(json.dumps({f"{number:05d}.png": ["zebra and", prompt] for number, prompt in enumerate(PROMPTS)}))
    report = body(drawn, "--references", file)
    for item in report["items"]:
        a = 2.5 * max(item["cosine"], 0)
        assert item["ref_clip_score"] == pytest.approx(2 * a / (a + 1), abs=1e-5)
    assert report["ref_clip_score"] == pytest.approx(sum(item["ref_clip_score"] for item in report["items"]) / 6)


def test_a_set_compared_with_itself_shows_no_difference(score, body, drawn):
    report = body(drawn, "--compare", drawn)
    assert report["compare"]["difference"] == 0 and not report["compare"]["shown"] and report["compare"]["n"] == 6
    assert "no difference shown" in score(drawn, "--compare", drawn)[1]


def test_a_paired_difference_is_that_of_the_items(body, drawn, tmp_path):
    other = write(tmp_path / "other", draw_pictures(12)[6:])
    report, theirs = body(drawn, "--compare", other), body(other)
    apart = [100 * (a["cosine"] - b["cosine"]) for a, b in zip(report["items"], theirs["items"], strict=True)]
    low, high = report["compare"]["ci95"]
    assert report["compare"]["difference"] == pytest.approx(sum(apart) / 6, abs=1e-6)
    assert low < sum(apart) / 6 < high and report["compare"]["shown"] == (not low <= 0 <= high)


@pytest.mark.parametrize("ending", ["json", "jsonl", "csv"])
def test_every_pair_is_written_to_a_file(score, drawn, tmp_path, ending):
    file = tmp_path / f"pairs.{ending}"
    assert score(drawn, "-o", file)[0] == 0
    text = file.read_text()
    readers = {
        "json": json.loads,
        "jsonl": lambda t: list(map(json.loads, t.splitlines())),
        "csv": lambda t: [*csv.DictReader(t.splitlines())],
    }
    rows = readers[ending](text)
    assert [row["caption"] for row in rows] == PROMPTS and all(-1 <= float(row["cosine"]) <= 1 for row in rows)
    assert score(drawn, "-o", file)[0] == 2 and file.read_text() == text
    assert score(drawn, "-o", file, "--overwrite")[0] == 0


def test_the_table_names_both_scales_and_fits_80_columns(score, drawn):
    code, out, _ = score(drawn, "--baseline", "shuffled", "--compare", drawn)
    assert code == 0 and max(map(len, out.splitlines())) <= 80 + len(str(drawn))  # the folder's name is as long as it is
    for words in ("100 x cosine, as torchmetrics", "2.5 x max(cosine, 0), Hessel et al. 2021", "tiny-clip", "permutation test", "95 %"):
        assert words in out


def test_quiet_prints_the_bare_number(score, body, drawn):
    code, out, err = score(drawn, "-q")
    assert code == 0 and err == "" and float(out) == pytest.approx(body(drawn)["clip_score"], abs=1e-4)


def test_a_picture_that_cannot_be_read_is_told_after_the_others_are_scored(score, drawn):
    (drawn / "00002.png").write_bytes(b"no picture")
    code, out, err = score(drawn, "--json")
    assert code == 3 and json.loads(out)["n"] == 5 and "00002.png" in err


def test_an_end_token_in_a_caption_is_warned_of(score, tmp_path):
    folder = write(tmp_path / "odd", draw_pictures(2), ["a cat<|endoftext|> zebra", "dog"])
    code, out, err = score(folder)
    assert code == 0 and "warning: a caption spells out <|endoftext|>" in err


def test_a_transparent_picture_is_scored_on_white(body, tmp_path):
    clear, white = Image.new("RGBA", (40, 40), (0, 0, 0, 0)), Image.new("RGB", (40, 40), "white")
    report = body(write(tmp_path / "clear", [clear, white], ["dog", "dog"]))
    assert report["items"][0]["cosine"] == pytest.approx(report["items"][1]["cosine"], abs=1e-6)


MISTAKES = {
    "no picture": (),
    "two places of captions": ("x", "--data", "d", "--captions", "c.json"),
    "baseline": ("x", "--baseline", "magic"),
    "batch size": ("x", "--batch-size", "0"),
    "limit": ("x", "--limit", "0"),
    "kind of file": ("x", "-o", "scores.xlsx"),
    "folder of the file": ("x", "-o", "no/such/folder/scores.csv"),
    "device": ("x", "--device", "toaster"),
}


@pytest.mark.parametrize("what", MISTAKES)
def test_a_mistake_is_told_before_torch_is_imported(light, what):
    done = light("clipscore", *MISTAKES[what])
    assert done.returncode == 2 and done.stdout == "" and done.stderr.startswith("error: "), done.stderr


def test_a_missing_scorer_is_told_before_torch_is_imported(light):
    done = light("clipscore", "x", "--clip-model", "no/such/folder/model")
    assert done.returncode == 6 and done.stderr.startswith("error: no CLIP model at")


def test_shuffling_needs_two_captions(score, tmp_path):
    folder = write(tmp_path / "one", draw_pictures(2), ["dog", "dog"])
    assert score(folder, "--baseline", "shuffled")[0] == 2


def test_sets_without_a_common_prompt_cannot_be_compared(score, drawn, tmp_path):
    other = write(tmp_path / "other", draw_pictures(6), [f"{prompt} two" for prompt in PROMPTS])
    code, _, err = score(drawn, "--compare", other)
    assert code == 2 and "0 captions in common" in err


def test_fid_of_few_pictures_is_refused(score, drawn):
    code, out, err = score(drawn, "--fid", drawn)
    assert code == 2 and out == "" and "2,048 are needed" in err and "10,000 advised" in err


def test_without_a_choice_a_strangers_pictures_need_openais_clip(ldm, drawn):
    code, _, err = ldm("clipscore", str(drawn), "--offline")
    assert code == 6 and "openai/clip-vit-large-patch14 is not in the cache" in err and "hf download" in err


def test_pictures_of_the_bundled_model_go_to_the_bundled_scorer(ldm, tmp_path):
    assert ldm("generate", "a red apple", "a dog", "--steps", "2", "-s", "1", "-o", f"{tmp_path}/out/", "-q")[0] == 0
    code, out, err = ldm("clipscore", f"{tmp_path}/out", "--json", "--baseline", "shuffled", "--offline")
    assert code == 0 and json.loads(out)["clip_model"] == "bundled"
    assert "its scores compare only among themselves" in err
