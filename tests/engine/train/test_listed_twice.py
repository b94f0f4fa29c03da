"""A picture that is listed more than once trains as often, and is held out wherever it stands."""

import json

import numpy as np
import pytest
import torch
from runs import STILL, config_for, events_of
from tiny import make_coco

from ldmcli.data.layouts import load_captioned
from ldmcli.data.row_views import Repeated
from ldmcli.engine.train import unet
from ldmcli.engine.train.pictures import split, without
from ldmcli.engine.train.unet_caches import distinct
from ldmcli.records.notes import Note


@pytest.fixture(scope="module")
def thrice(tmp_path_factory):
    """24 pictures, each of which is listed three times."""
    root = make_coco(tmp_path_factory.mktemp("thrice"))
    path = root / "annotations" / "captions_train2017.json"
    notes = json.loads(path.read_text())
    images = [{**image, "id": image["id"] + 100 * turn} for turn in range(3) for image in notes["images"]]
    said = [
        {**row, "id": row["id"] + 1000 * turn, "image_id": row["image_id"] + 100 * turn}
        for turn in range(3)
        for row in notes["annotations"]
    ]
    path.write_text(json.dumps({"images": images, "annotations": said}))
    return root


def test_no_picture_both_trains_and_is_held_out(thrice):
    data = load_captioned(thrice)
    assert len(data) == 72
    rows, held_out = split(list(range(72)), 0, 0.1)
    train = without(rows, held_out, data.images)
    hidden = {data.images[row].path for row in held_out}
    assert hidden.isdisjoint(data.images[row].path for row in train)
    assert len(train) == 72 - 3 * len(hidden) and set(train) < set(rows)


@pytest.mark.parametrize(("share", "said"), [(0.1, "51 pictures to train on, 7 held out"), (0.0, "72 pictures to train on, 0 held out")])
def test_a_run_keeps_them_apart(thrice, model, tmp_path, share, said):
    config = config_for("vae", thrice, model, tmp_path / "run", **STILL, held_out=share)
    notes = [event.text for event in events_of(config) if isinstance(event, Note)]
    assert any(note.startswith(said) for note in notes), notes


def test_each_is_encoded_once(thrice, model, tmp_path, monkeypatch):
    """And every row of the list has the latents that it would have without a cache."""
    caches, build = [], unet.build_caches

    def kept(*args):
        caches.append((yield from build(*args)))
        return caches[-1]

    monkeypatch.setattr(unet, "build_caches", kept)
    options = {"max_steps": 1, "crop": "random", "flip": True, "held_out": 0.0}
    for name, more in (("cached", {"cache": tmp_path / "cache"}), ("computed", {"no_cache": True})):
        list(events_of(config_for("unet", thrice, model, tmp_path / name, **options, **more)))
    cached, computed = caches
    (stored,) = (tmp_path / "cache").glob("latents-*/mean.npy")
    assert len(cached.mean) == len(computed.mean) == 3 * len(np.load(stored))
    rows = torch.arange(0, len(cached.mean), 7)
    assert torch.allclose(cached.mean[rows].float(), computed.mean[rows].float(), atol=2e-3)
    assert torch.allclose(cached.std[rows].float(), computed.std[rows].float(), atol=2e-3)


def test_rows_of_a_list_that_names_some_again(thrice):
    first, places = distinct(load_captioned(thrice))
    assert len(first) == 24 and len(places) == 72 and torch.equal(places[first], torch.arange(24))
    rows = Repeated(torch.arange(6)[:, None], torch.tensor([2, 0, 2]), 2)  # three pictures of two views each
    assert rows.shape == (6, 1) and rows[torch.arange(6)].flatten().tolist() == [4, 5, 0, 1, 4, 5]
