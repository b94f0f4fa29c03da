"""The scorer against transformers' own processor and forward, and against torchmetrics; what is not a whole CLIP is refused."""

import json
import shutil
import tomllib

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_clip import LENGTH, draw_pictures
from torchmetrics.multimodal.clip_score import CLIPScore
from transformers import CLIPModel, CLIPProcessor

from ldmcli.errors import LdmError, NonFinite, NotFound
from ldmcli.metrics.clip_score import hessel_score
from ldmcli.models.scorer import load_scorer
from ldmcli.models.scorer_source import BUNDLED_SCORER, find_scorer

CAPTIONS = ["a dog", "cat and dog", "red circle", "", "and " * 60, "Ein Hund — 犬"]


@pytest.fixture(scope="module")
def scorer(clip):
    return load_scorer(str(clip))


@pytest.fixture
def copy(clip, tmp_path):
    return shutil.copytree(clip, tmp_path / "copy")


class Unwrapped(torch.nn.Module):
    """A CLIPModel whose features are tensors, as torchmetrics 1.9 expects and transformers 5 no longer gives."""

    def __init__(self, model):
        super().__init__()
        self.model, self.config = model, model.config

    def get_image_features(self, *arguments):
        return self.model.get_image_features(*arguments).pooler_output

    def get_text_features(self, *arguments):
        return self.model.get_text_features(*arguments).pooler_output


def test_cosines_are_those_of_transformers_processor_and_forward(clip, scorer):
    pictures = draw_pictures(len(CAPTIONS))
    inputs = CLIPProcessor.from_pretrained(clip)(text=CAPTIONS, images=pictures, return_tensors="pt", padding=True)
    with torch.no_grad():
        output = CLIPModel.from_pretrained(clip)(**inputs)
    theirs = (output.image_embeds * output.text_embeds).sum(dim=1)
    torch.testing.assert_close(scorer.score(pictures, CAPTIONS), theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("below_zero", [False, True])
def test_the_mean_is_torchmetrics_own(clip, scorer, below_zero):
    pictures, captions = draw_pictures(6), CAPTIONS
    if below_zero:
        kept = [place for place, cosine in enumerate(scorer.score(pictures, captions)) if cosine < 0]
        pictures, captions = [pictures[place] for place in kept], [captions[place] for place in kept]
    model = Unwrapped(CLIPModel.from_pretrained(clip)).eval()
    metric = CLIPScore(model_name_or_path=lambda: (model, CLIPProcessor.from_pretrained(clip)))
    arrays = [torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1) for picture in pictures]
    theirs = metric(arrays, captions).item()
    ours = 100 * scorer.score(pictures, captions).mean().item()
    assert max(ours, 0) == pytest.approx(theirs, abs=1e-4)  # torchmetrics clamps the mean


def test_some_pair_here_is_negative_and_some_positive(scorer):
    cosine = scorer.score(draw_pictures(6), CAPTIONS)
    assert cosine.min() < 0 < cosine.max() and cosine.std() > 0.01


def test_hessels_formula_on_our_embeddings(scorer):
    pictures = draw_pictures(6)
    image, text = (vectors.numpy().astype(np.float64) for vectors in (scorer.embed_pictures(pictures), scorer.embed_captions(CAPTIONS)))
    image, text = (vectors / np.sqrt(np.sum(vectors**2, axis=1, keepdims=True)) for vectors in (image, text))
    theirs = 2.5 * np.clip(np.sum(image * text, axis=1), 0, None)
    np.testing.assert_allclose(hessel_score(scorer.score(pictures, CAPTIONS)).numpy(), theirs, rtol=0, atol=1e-6)


def test_two_captions_that_are_too_long_do_not_tie(scorer):
    pictures = draw_pictures(1) * 2
    captions = ["cat " * 90, "dog " * 90]
    first, second = scorer.score(pictures, captions)
    assert abs(first - second) > 1e-3 and scorer.count_truncated([*captions, "a cat"]) == 2


def test_a_caption_that_is_too_long_scores_as_its_beginning_with_the_end_token(scorer):
    picture = draw_pictures(1)
    whole, cut = scorer.score(picture, ["cat " * 90]), scorer.score(picture, ["cat " * (LENGTH - 2)])
    torch.testing.assert_close(whole, cut, rtol=0, atol=1e-6)
    assert scorer.count_truncated(["cat " * (LENGTH - 2)]) == 0


def test_batches_and_neighbours_do_not_matter(clip, scorer):
    pictures = draw_pictures(6)
    one_by_one = load_scorer(str(clip), batch_size=1).score(pictures, CAPTIONS)
    torch.testing.assert_close(scorer.score(pictures, CAPTIONS), one_by_one, rtol=0, atol=1e-6)


def test_a_grey_picture_scores_as_its_rgb_twin(scorer):
    grey = draw_pictures(1)[0].convert("L")
    assert scorer.score([grey], ["a dog"]) == scorer.score([grey.convert("RGB")], ["a dog"])


def test_a_missing_weight_is_named_where_transformers_would_draw_random_numbers(copy):
    weights = load_file(copy / "model.safetensors")
    del weights["visual_projection.weight"]
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(LdmError, match="lacks weights, visual_projection"):
        load_scorer(str(copy))


def test_weights_that_are_not_numbers_are_told(copy):
    weights = load_file(copy / "model.safetensors")
    weights["text_projection.weight"][0, 0] = float("nan")
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(NonFinite):
        load_scorer(str(copy)).embed_captions(["a"])


def test_another_kind_of_model_is_refused(copy):
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "model_type": "siglip"}))
    with pytest.raises(LdmError, match="'siglip' model, not a CLIP"):
        load_scorer(str(copy))


def test_pickled_weights_are_not_opened(copy):
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(NotFound, match="no .safetensors"):
        load_scorer(str(copy))


def test_damaged_weights_are_told_in_one_line(copy):
    (copy / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(LdmError, match="cannot be loaded") as caught:
        load_scorer(str(copy))
    assert "\n" not in caught.value.message


def test_a_folder_without_its_tokenizer_is_refused(copy):
    for name in ("vocab.json", "merges.txt"):
        (copy / name).unlink()
    with pytest.raises(LdmError):
        load_scorer(str(copy))


@pytest.mark.parametrize("text", ["no/such/folder/here", "", "../gone", "a b/c"])
def test_what_is_neither_a_folder_nor_a_hub_id_is_refused(text):
    with pytest.raises(NotFound):
        find_scorer(text, offline=True)


def test_a_model_that_is_not_in_the_cache_is_missing_when_offline(tmp_path, monkeypatch):
    with pytest.raises(NotFound, match="not in the cache") as caught:
        find_scorer("nobody/no-such-clip", offline=True)
    assert "hf download nobody/no-such-clip" in caught.value.hint


def test_the_bundled_scorer_is_small_and_whole():
    assert sum(path.stat().st_size for path in BUNDLED_SCORER.iterdir()) < 4_500_000
    scorer = load_scorer("bundled")
    assert scorer.model.dtype == torch.float32 and scorer.name == "bundled"


def test_the_wheel_carries_the_bundled_scorer():
    package = BUNDLED_SCORER.parents[1]
    patterns = tomllib.loads((package.parent / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["ldmcli"]
    channel_nats = {path for pattern in patterns for path in package.glob(pattern)}
    assert {"model.safetensors", "vocab.json", "preprocessor_config.json"} <= {
        path.name for path in channel_nats if path.parent == BUNDLED_SCORER
    }
