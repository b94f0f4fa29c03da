"""--stream: shards are read as they are drawn; what a run computes is a function of the shards, the seed and the step."""

import json
import tarfile
from dataclasses import replace

import pytest
import torch
from runs import LOOKING, assert_same_bits, config_for, events_of, stop_after

from ldmcli.data.layouts import load_captioned
from ldmcli.data.shards import Keys
from ldmcli.data.streamed import ShardImages, load_streamed
from ldmcli.engine.train import streamed_captions
from ldmcli.errors import LdmError, UsageError
from ldmcli.training.block_order import BlockOrder

STREAMED = {"stream": True, "no_cache": True, "shuffle_block": 2, "batch_size": 4, "max_steps": 6, "val_every": 3, "save_every": 3}


def tar(path, folder, pictures, *, damaged=()):
    with tarfile.open(path, "w") as archive:
        for number in pictures:
            text = folder / f"{number}.txt"
            text.write_text(f"picture {number}\nnumber {number}\n" if number % 2 else f"picture {number}")
            picture = folder / "bad.png" if number in damaged else folder / f"train2017/{number:012}.png"
            (folder / "bad.png").write_bytes(b"no picture")
            archive.add(picture, f"{number:02}.png")
            archive.add(text, f"{number:02}.txt")


@pytest.fixture(scope="module")
def shards(coco, tmp_path_factory):
    """24 pictures in five shards, with their counts."""
    import shutil

    folder, scratch = tmp_path_factory.mktemp("streamed"), tmp_path_factory.mktemp("scratch")
    shutil.copytree(coco / "train2017", scratch / "train2017")
    for number in range(5):
        tar(folder / f"{number}.tar", scratch, range(5 * number + 1, min(5 * number + 6, 25)))
    (folder / "sizes.json").write_text(json.dumps({"0.tar": 5, "1.tar": 5, "2.tar": 5, "3.tar": 5, "4.tar": 4}))
    return folder


def test_the_same_pictures_as_with_an_index(shards, tmp_path):
    data, indexed = load_streamed(shards, kept=2), load_captioned(shards)
    assert list(data.images) == list(indexed.images) and len(data) == 24 and data.layout == "5 WebDataset shards, streamed"
    assert data.images[7:9] == list(indexed.images[7:9])
    assert len(load_streamed(shards, kept=2, limit=7).images) == 7
    for shard in shards.glob("*.tar"):
        (tmp_path / shard.name).write_bytes(shard.read_bytes())
    assert list(load_streamed(tmp_path, kept=2).images)[3].captions == indexed.images[3].captions  # counted, where nothing says so
    (tmp_path / "sizes.json").write_text('{"0.tar": 5}')
    with pytest.raises(UsageError, match="does not say how many pictures 1.tar has"):
        load_streamed(tmp_path, kept=2)


def test_starting_reads_no_shard_and_few_are_remembered(shards, monkeypatch):
    from ldmcli.data import streamed

    read, original = [], streamed.read_shard
    monkeypatch.setattr(streamed, "read_shard", lambda path, keys: read.append(path.name) or original(path, keys))
    data = load_streamed(shards, kept=2)
    order = BlockOrder(data.images.counts, 0, 2)
    assert len(order.batch(3, 4)) == 4 and read == []
    for number in order.places(0, order.count):
        data.images[number]
    assert sorted(read) == ["0.tar", "1.tar", "2.tar", "3.tar", "4.tar"]  # block by block, each once


def test_what_a_shard_lacks_its_others_stand_in_for(coco, tmp_path):
    tar(tmp_path / "a.tar", _scratch(coco, tmp_path), [1, 2, 3])
    images = ShardImages([tmp_path / "a.tar"], [5], Keys(), 2)
    assert [image.id for image in images] == ["a/01", "a/02", "a/03", "a/01", "a/02"]


def _scratch(coco, tmp_path):
    import shutil

    shutil.copytree(coco / "train2017", tmp_path / "scratch/train2017")
    return tmp_path / "scratch"


def test_a_stopped_run_goes_on_to_the_same_bits(shards, coco, model, kind, tmp_path):
    def config(name, **changes):
        return config_for(kind, shards, model, tmp_path / name, **{**STREAMED, **changes})

    list(events_of(config("straight")))
    stop_after(config("stopped"), 2)
    list(events_of(config("stopped", resume="auto")))
    assert_same_bits(tmp_path / "straight", tmp_path / "stopped", step=6)
    assert not (tmp_path / "straight/cache").exists()
    with pytest.raises(UsageError, match="shuffle_block: 2 then, 3 now"):
        list(events_of(config("stopped", resume="auto", shuffle_block=3, max_steps=7)))


@pytest.fixture(params=["vae", "unet"])
def kind(request):
    return request.param


def test_captions_are_those_of_the_pictures(shards, model):
    from ldmcli.models.text import load_conditioner
    from ldmcli.training.order import generator_for

    data, text = load_streamed(shards, kept=3), load_conditioner(model, use_mask=True)
    rows = torch.zeros(24, 1)
    cached = streamed_captions.streamed_captions(data.images, text, rows, rows, 1)
    from ldmcli.engine.train.unet_batches import draw_captions

    pictures = torch.tensor([0, 5, 23, 8])
    chosen = draw_captions(cached, pictures, generator_for(0, "x"), 0.0)
    captions = [data.images[int(c) // 64].captions[int(c) % 64] for c in chosen]
    assert [int(c) // 64 for c in chosen] == pictures.tolist()
    expected = text.states([text.tokens(caption) for caption in captions]).half()
    assert torch.equal(cached.states[chosen].half(), expected) and torch.equal(
        cached.mask[chosen], text.mask([*map(text.tokens, captions)])
    )
    dropped = draw_captions(cached, pictures, generator_for(0, "x"), 1.0)
    assert torch.equal(cached.states[dropped[:1]].half(), text.states([text.tokens("")]).half())


def test_unusable_pictures_are_replaced_and_counted(coco, model, tmp_path):
    (tmp_path / "data").mkdir()
    scratch = _scratch(coco, tmp_path)
    for number in range(2):
        tar(tmp_path / f"data/{number}.tar", scratch, range(12 * number + 1, 12 * number + 13), damaged=(3, 20))
    changes = {**STREAMED, "max_steps": 5, "held_out": 0.0}
    list(events_of(config_for("vae", tmp_path / "data", model, tmp_path / "run", **changes)))
    with pytest.raises(LdmError, match="more than 0 unusable"):
        list(events_of(config_for("vae", tmp_path / "data", model, tmp_path / "strict", **changes, max_bad=0)))


@pytest.mark.parametrize("changes", [{"crop": "random"}, {"no_cache": False}, {"train_text_encoder": True}])
def test_what_does_not_go_with_it(shards, model, tmp_path, changes):
    with pytest.raises(UsageError, match="--stream"):
        config_for("unet", shards, model, tmp_path, **{**STREAMED, **changes})


def test_a_plan_for_several_processes(shards, model, tmp_path):
    from ldmcli.records.training import RunPlan

    config = config_for(
        "vae", shards, model, tmp_path / "run", **{**STREAMED, "max_steps": None, "epochs": 10, "batch_size": 2}, dry_run=True
    )
    one, three = (list(events_of(replace(config, planned_processes=n)))[-1] for n in (1, 3))
    assert isinstance(one, RunPlan) and isinstance(three, RunPlan)
    assert (one.pictures_per_step, three.pictures_per_step, three.processes) == (2, 6, 3)
    assert abs(one.steps - 3 * three.steps) <= 3 and not (tmp_path / "run").exists()


def test_torchruns_restart_goes_on_by_itself(shards, model, tmp_path, ldm, monkeypatch):
    from runs import argv_for, log_of, saved

    argv = argv_for("vae", shards, model, tmp_path / "run", **{**LOOKING, "batch_size": 4, "max_steps": 3})
    assert ldm(*argv)[0] == 0
    assert ldm(*argv)[0] == 2  # the folder holds a run
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    code, _, error = ldm(*argv, "--max-steps", "5")
    assert code == 0 and "resumed step-000003" in error
    assert saved(tmp_path / "run")[-1] == 5 and [row["step"] for row in log_of(tmp_path / "run")] == [1, 2, 3, 4, 5]


def test_what_stands_in_for_an_unusable_picture_has_its_own_captions(coco, model, tmp_path):
    """And one that is drawn again and again counts once."""
    from ldmcli.data.decoders import Decoders
    from ldmcli.data.row_sources import StreamedPictures
    from ldmcli.models.text import load_conditioner

    scratch = _scratch(coco, tmp_path)
    tar(tmp_path / "a.tar", scratch, [1, 2, 3], damaged=[1, 3])
    data, text = load_streamed(tmp_path / "a.tar", kept=2), load_conditioner(model, use_mask=True)
    with Decoders() as decoders:
        pixels = StreamedPictures(data, data.images, 32, "center", decoders, 2)
        rows = torch.zeros(3, 1)
        cached = streamed_captions.streamed_captions(data.images, text, rows, rows, 1, pixels.stand_in)
        shown = pixels[torch.tensor([2, 0, 1, 0, 2])]
        assert all(torch.equal(picture, shown[2]) for picture in shown) and len(pixels.bad) == 2
        expected = text.states([text.tokens("picture 2")]).half()[0]
        numbers = torch.tensor([64 * picture + k for picture in range(3) for k in range(len(data.images[picture].captions))])
        assert all(torch.equal(state, expected) for state in cached.states[numbers].half())
        assert all(torch.equal(mask, text.mask([text.tokens("picture 2")])[0]) for mask in cached.mask[numbers])
        pixels.places.clear()
        assert pixels.stand_in(0).id == "a/02" and len(pixels.bad) == 2
        fewer = StreamedPictures(data, data.images, 32, "center", decoders, 1)
        with pytest.raises(LdmError, match="more than 1 unusable picture "):
            fewer[torch.tensor([0, 2])]
