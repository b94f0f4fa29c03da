"""`generate --backend openvino`: our loop and our record, another engine's kernels."""

import json
from importlib.util import find_spec

import pytest
from PIL import Image, ImageChops

pytestmark = pytest.mark.skipif(find_spec("openvino") is None, reason="needs openvino")


def test_generate_draws_the_same_picture_and_records_the_backend(ldm, model, tmp_path, exported):
    common = ("generate", "a dog", "-m", model, "-s", "3", "--steps", "3", "--device", "cpu", "-q")
    assert ldm(*common, "-o", tmp_path / "torch.png")[0] == 0
    assert ldm(*common, "--backend", "openvino", "-o", tmp_path / "openvino.png")[0] == 0
    pictures = [Image.open(tmp_path / f"{name}.png") for name in ("torch", "openvino")]
    assert max(high for _, high in ImageChops.difference(*pictures).getextrema()) <= 1
    assert [json.loads(picture.text["ldm"]).get("backend") for picture in pictures] == [None, "openvino"]
    assert ldm("generate", "--from-image", tmp_path / "openvino.png", "-m", model, "--verify", "-q")[0] == 0
    for more in ((), ("--backend", "openvino")):  # it meets two shapes in turn
        assert ldm(*common, "--cfg-reuse", "2", *more, "-o", tmp_path / f"again{len(more)}.png")[0] == 0
    pictures = [Image.open(tmp_path / f"again{number}.png") for number in (0, 2)]
    assert max(high for _, high in ImageChops.difference(*pictures).getextrema()) <= 1
    assert json.loads(pictures[1].text["ldm"])["guided_calls"] == 2
    assert ldm(*common, "--backend", "openvino", "--low-memory", "-o", tmp_path / "no.png")[0] == 2
