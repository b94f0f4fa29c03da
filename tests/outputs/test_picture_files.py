"""Pictures as files: the texts inside as web UIs read them, in every format."""

import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from ldmcli.errors import LdmError
from ldmcli.outputs.picture_files import encode_picture, parameters_text, picture_texts, read_texts

FACTS = {
    "prompt": "a dog",
    "negative_prompt": "blurry",
    "seed": 1234,
    "cfg": 7.5,
    "cfg_interval": None,
    "weighting": "none",
    "long_prompts": False,
    "width": 512,
    "height": 256,
    "scheduler": {"name": "dpm++2m-karras", "steps": 20},
    "unet_sha256": "0123456789abcdef" * 4,
    "model": "my-model",
    "ldm": "0.1.0",
}


def facts(**changes) -> dict:
    return {**FACTS, **changes}


def test_the_parameters_text_is_what_web_uis_write():
    assert parameters_text(FACTS, "DPM++ 2M", "Karras") == (
        "a dog\n"
        "Negative prompt: blurry\n"
        "Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7.5, Seed: 1234, Size: 512x256, "
        "Model hash: 0123456789, Model: my-model, RNG: CPU, Version: ldm 0.1.0"
    )


def test_what_is_not_the_default_is_stated():
    text = parameters_text(facts(cfg_interval=[0.2, 0.8], cfg_reuse=2, weighting="a1111", long_prompts=True), "Euler", None)
    assert "CFG scale: 7.5, Guidance interval: 0.2-0.8, Guidance reuse: 2, Seed: 1234" in text
    assert "Prompt weighting: a1111, Long prompts: on, RNG: CPU" in text


def test_what_is_empty_is_left_out():
    text = parameters_text(facts(negative_prompt=""), "Euler", None)
    assert "Negative prompt" not in text and "Schedule type" not in text and text.count("\n") == 1
    assert "CFG scale: 7, " in parameters_text(facts(cfg=7.0), "Euler", None)


SETTING = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
"""The grammar of the A1111 reader."""


def read_back(text: str) -> dict[str, str]:
    """The last line of the text as A1111's parse_generation_parameters reads it."""
    pairs = SETTING.findall(text.rpartition("\n")[2])
    assert len(pairs) >= 3
    return {key: json.loads(value) if value.startswith('"') and value.endswith('"') else value for key, value in pairs}


@pytest.mark.parametrize(
    "model", ["plain", "a, b", "C: drive", "two\nlines", 'say "hi", you', "back\\slash, comma", "日本語, é", "emoji 😀:"]
)
def test_web_uis_read_every_setting_back(model):
    got = read_back(parameters_text(facts(model=model), "DPM++ 2M", "Karras"))
    assert got == {
        "Steps": "20",
        "Sampler": "DPM++ 2M",
        "Schedule type": "Karras",
        "CFG scale": "7.5",
        "Seed": "1234",
        "Size": "512x256",
        "Model hash": "0123456789",
        "Model": model,
        "RNG": "CPU",
        "Version": "ldm 0.1.0",
    }


@pytest.mark.parametrize(
    ("model", "written"), [("C: drive", '"C: drive"'), ("a, b", '"a, b"'), ("a\nb", '"a\\nb"'), ("é:", '"é:"'), ('a "b"', 'a "b"')]
)
def test_only_what_would_break_the_line_is_quoted(model, written):
    assert f", Model: {written}, RNG: CPU" in parameters_text(facts(model=model), "Euler", None)


PROMPTS = ["a dog", "café", "日本語 😀👍🏽", "two\nlines, and: a comma", "[/red] <script>", "", "x" * 10_000, "\u202e\x1b[31m"]


FORMATS = ("png", "webp", "jpg")


def opened(body: bytes) -> Image.Image:
    return Image.open(io.BytesIO(body))


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("prompt", PROMPTS, ids=lambda p: repr(p)[:20])
def test_both_texts_come_back_from_the_file(prompt, kind):
    mine = facts(prompt=prompt, negative_prompt=prompt[:3000])
    texts = picture_texts(mine, "Euler", None)
    with opened(encode_picture(Image.new("RGB", (4, 4)), kind, texts)) as picture:
        assert picture.format == {"png": "PNG", "webp": "WEBP", "jpg": "JPEG"}[kind]
        assert read_texts(picture) == texts == {"parameters": parameters_text(mine, "Euler", None), "ldm": texts["ldm"]}
        assert json.loads(texts["ldm"]) == mine


@pytest.mark.parametrize("kind", FORMATS)
def test_the_same_facts_make_the_same_bytes(kind):
    first, second = (
        encode_picture(Image.new("RGB", (4, 4)), kind, picture_texts(mine, "Euler", None))
        for mine in (FACTS, dict(reversed(FACTS.items())))
    )
    assert first == second


@pytest.mark.parametrize("kind", FORMATS)
def test_without_texts_there_is_nothing_but_the_picture(kind):
    with opened(encode_picture(Image.new("RGB", (4, 4)), kind, None)) as picture:
        assert read_texts(picture) == {} and not picture.getexif()


def test_webp_keeps_every_pixel_and_jpg_is_near():
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    for kind, furthest in (("png", 0), ("webp", 0), ("jpg", 24)):
        with opened(encode_picture(Image.fromarray(pixels), kind, None)) as picture:
            assert abs(np.asarray(picture.convert("RGB")).astype(int) - pixels).max() <= furthest


def test_the_comment_of_a_jpg_is_what_web_uis_write():
    """Byte for byte as piexif's UserComment.dump(text, encoding="unicode"), which A1111 calls."""
    with opened(encode_picture(Image.new("RGB", (4, 4)), "jpg", picture_texts(facts(prompt="é"), "Euler", None))) as picture:
        comment = picture.getexif().get_ifd(0x8769)[0x9286]
    assert comment.startswith(b"UNICODE\0\0\xe9\0\n")


def test_a_prompt_too_long_for_a_jpg_is_an_error_that_says_what_to_do():
    with pytest.raises(LdmError, match="do not fit into a .jpg file") as caught:
        encode_picture(Image.new("RGB", (4, 4)), "jpg", picture_texts(facts(prompt="x" * 40_000), "Euler", None))
    assert "--format png" in caught.value.hint


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("negative", ["", "blurry"])
def test_another_reader_of_web_ui_pictures_reads_ours(kind, negative):
    from sd_parsers import ParserManager
    from sd_parsers.data import Generators

    texts = picture_texts(facts(prompt="a dog, sitting\non a mat", negative_prompt=negative), "DPM++ 2M", "Karras")
    info = ParserManager().parse(opened(encode_picture(Image.new("RGB", (4, 4)), kind, texts)))
    assert info.generator == Generators.AUTOMATIC1111
    (sampler,) = info.samplers
    assert sampler.name == "DPM++ 2M"
    assert {key: str(value) for key, value in sampler.parameters.items()} == {
        "scheduler": "Karras", "cfg_scale": "7.5", "seed": "1234", "steps": "20",
    }  # fmt: skip
    assert (sampler.model.name, sampler.model.hash) == ("my-model", "0123456789")
    assert [prompt.value for prompt in sampler.prompts] == ["a dog, sitting\non a mat"]
    assert [prompt.value for prompt in sampler.negative_prompts] == ([negative] if negative else [])
    assert info.metadata == {"Size": "512x256", "RNG": "CPU", "Version": "ldm 0.1.0"}
