"""`generate --trace` of prompts that are weighted, long or guided in part."""

import numpy as np
import pytest

LONG = "a (dog:1.4), " * 6


def test_a_picture_with_every_reading_is_byte_for_byte_the_untraced_one(trace, generate, tmp_path):
    how = ["--weighting", "a1111", "--long-prompts", "--cfg-interval", "0.3,0.7"]
    trace(*how, prompt=LONG)
    assert generate(LONG, "-s", "5", "-o", tmp_path / "plain.png", "-q", "--no-fuse", *how)[0] == 0
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
        monkeypatch.setattr("ldmcli.engine.session.ldm_settings", lambda path: {"text_mask": True})
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
