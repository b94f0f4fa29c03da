"""From a bucket and to it: a VAE, a U-Net and pictures, through a server that breaks connections off and is gone for a while, are what a
disk would have given."""

import io
import json
import tarfile
from pathlib import Path

import pytest
from runs import argv_for

from ldmcli.data.fingerprints import timed_fingerprint
from ldmcli.data.layouts import load_captioned
from ldmcli.data.pictures import read_squares
from ldmcli.runtime import remote

NOT_THE_SAME = ("seconds", "images_per_s", "command", "model")
"""What a clock measured, and what a model is called."""
STEPS = {"max_steps": 4, "save_every": 2, "val_every": 2, "sample_every": 2, "batch_size": 4, "lr_schedule": "constant"}


@pytest.fixture(scope="module")
def shards(coco, tmp_path_factory):
    """The pictures of `coco` in three tar files."""
    folder = tmp_path_factory.mktemp("shards")
    captions: dict[int, str] = {}
    for row in json.loads((coco / "annotations/captions_train2017.json").read_text())["annotations"]:
        captions.setdefault(row["image_id"], row["caption"])
    for number in range(3):
        with tarfile.open(folder / f"{number:03}.tar", "w") as archive:
            for picture in range(8 * number + 1, 8 * number + 9):
                archive.add(coco / f"train2017/{picture:012}.png", f"{picture:02}.png")
                text = tarfile.TarInfo(f"{picture:02}.txt")
                body = captions[picture].encode()
                text.size = len(body)
                archive.addfile(text, io.BytesIO(body))
    return folder


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch):
    from ldmcli.engine.train import unet, unet_run, vae

    monkeypatch.setattr(unet_run, "SAMPLE_STEPS", 2)
    monkeypatch.setattr(unet_run, "VALIDATED", 16)
    monkeypatch.setattr(remote, "PIECE", 150_000)
    monkeypatch.setattr(remote, "FIRST_PAUSE_S", 0.02)
    monkeypatch.setattr(remote, "LONGEST_PAUSE_S", 0.1)
    monkeypatch.setattr("servers.FALLEN_S", 0.2)
    for command in (unet, vae):
        monkeypatch.setattr(command, "plot_losses", lambda log, target: None)


def run(ldm, *argv):
    code, out, error = ldm(*argv)
    assert code == 0, error
    return out, error


def lines(body: bytes) -> list[dict]:
    """log.jsonl or manifest.jsonl without what a clock measured."""
    return [{k: v for k, v in json.loads(line).items() if k not in NOT_THE_SAME} for line in body.splitlines()]


def assert_same(there: dict[str, bytes], here: Path, *, but: tuple[str, ...] = ()):
    """The same files with the same bytes, but for times and paths."""
    local = {str(path.relative_to(here)): path.read_bytes() for path in here.rglob("*") if path.is_file()}
    local = {name: body for name, body in local.items() if not name.startswith("cache/") and not Path(name).name.startswith(".")}
    assert there.keys() == local.keys()
    for name, body in local.items():
        if name.endswith(".jsonl"):
            assert lines(there[name]) == lines(body), name
        elif not name.endswith(("config.toml", "manifest.json", *but)):  # which state where a run lies
            assert there[name] == body, name


def test_every_layout_is_read_where_it_lies(bucket, web, coco, shards, tmp_path):
    captioned = tmp_path / "captioned"
    captioned.mkdir()
    for name in ("000000000001", "000000000002"):
        (captioned / f"{name}.png").write_bytes((coco / f"train2017/{name}.png").read_bytes())
        (captioned / f"{name}.txt").write_text(f"picture {name}")
    (web.folder / "000.tar").write_bytes((shards / "000.tar").read_bytes())
    in_bucket = bucket.put(shards)
    for url, local in [
        (in_bucket, shards), (f"{in_bucket}/{{000..002}}.tar", shards), (f"{in_bucket}/001.tar", shards / "001.tar"),
        (f"{web.url}/{{000..000}}.tar", shards / "000.tar"), (bucket.put(coco), coco), (bucket.put(captioned), captioned),
    ]:  # fmt: skip
        there, here = load_captioned(Path(url)), load_captioned(local)
        assert [(one.id, one.captions) for one in there.images] == [(one.id, one.captions) for one in here.images]
        assert there.layout == here.layout and there.source == url
        for one, other in list(zip(there.images, here.images, strict=True))[::7]:
            assert (read_squares(one, 8, "center") == read_squares(other, 8, "center")).all()


def test_a_shard_that_was_written_anew_is_other_data(bucket, online, shards):
    url = bucket.put(shards)
    before = timed_fingerprint(load_captioned(Path(url)))
    online("another")
    assert timed_fingerprint(load_captioned(Path(url))) == before
    body = bytearray((shards / "001.tar").read_bytes())
    body[700] ^= 1
    bucket.client.put_object(Bucket="tests", Key=f"{url[11:]}/001.tar", Body=bytes(body))
    online("another")
    assert timed_fingerprint(load_captioned(Path(url))) != before


def test_train_and_draw_from_a_bucket_to_a_bucket(bucket, online, shards, model, ldm, tmp_path):
    local, url = tmp_path / "local", bucket.put(shards)
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a dog\na red line\ncircle\n")
    bucket.client.put_object(Bucket="tests", Key=f"{url[11:]}/p/prompts.txt", Body=prompts.read_bytes())
    vae, unet, out = (f"{bucket.empty()}/{name}" for name in ("vae", "unet", "out"))
    bucket.proxy.drop_every, bucket.proxy.drop_after = 3, 20_000

    falls, dropped = bucket.proxy.falls, bucket.proxy.dropped

    run(ldm, *argv_for("vae", shards, model, local / "vae", **STEPS))
    run(ldm, *argv_for("vae", url, model, vae, **{**STEPS, "max_steps": 2}))
    online("second-machine")  # has nothing yet: the run is gone on with from the bucket
    bucket.proxy.falls_after = bucket.proxy.passed + 100_000
    said, _ = run(ldm, *argv_for("vae", url, model, vae, **STEPS, resume="auto"))
    assert said.strip().endswith(f"{vae}/model")
    assert_same(bucket.holds(vae), local / "vae")

    run(ldm, *argv_for("unet", shards, model, local / "unet", **{**STEPS, "vae": local / "vae"}))
    bucket.proxy.falls_after = bucket.proxy.passed + 100_000
    run(ldm, *argv_for("unet", url, model, unet, **{**STEPS, "vae": vae}))
    assert_same(bucket.holds(unet), local / "unet")

    drawing = ("--device", "cpu", "--steps", 2, "-n", 2, "-s", 3, "--size", "32")
    run(ldm, "generate", "-m", local / "unet", "-f", prompts, "-o", local / "out/", *drawing)
    bucket.proxy.falls_after = bucket.proxy.passed + 20_000
    said, _ = run(ldm, "generate", "-m", unet, "-f", f"{url}/p/prompts.txt", "-o", f"{out}/", *drawing)
    there = bucket.holds(out)
    assert said.split() == [f"{out}/{name}" for name in sorted(there) if name.endswith(".png")] and len(said.split()) == 6
    assert_same(there, local / "out")

    assert bucket.proxy.falls - falls == 3 and bucket.proxy.dropped > dropped

    gone = sorted(there)[2]
    bucket.client.delete_object(Bucket="tests", Key=f"{out[11:]}/{gone}")
    online("third-machine")
    run(ldm, "generate", "-m", unet, "-f", f"{url}/p/prompts.txt", "-o", f"{out}/", *drawing, "--resume")
    assert {name: body for name, body in bucket.holds(out).items() if name.endswith(".png")} == {
        name: body for name, body in there.items() if name.endswith(".png")
    }  # fmt: skip
    said, _ = run(ldm, "generate", "-m", unet, "a dog", "-o", f"{out}/", *drawing)  # nothing is overwritten
    assert {Path(name).name[:5] for name in said.split()} == {"00006", "00007"}


def test_shards_are_streamed_from_a_bucket(bucket, shards, model, ldm, monkeypatch, tmp_path):
    """With room for two of the three shards at a time."""
    size = max(path.stat().st_size for path in shards.glob("*.tar"))
    url, streamed = bucket.put(shards), {**STEPS, "max_steps": 6, "stream": True, "shuffle_block": 1}
    run(ldm, *argv_for("vae", shards, model, tmp_path / "local", **streamed))
    monkeypatch.setenv("LDM_REMOTE_CACHE_GB", str(2.5 * size / 1e9))
    cache = tmp_path / "first-machine"
    bucket.proxy.drop_every, bucket.proxy.drop_after = 3, 20_000
    bucket.proxy.falls_after = bucket.proxy.passed + size
    run(ldm, *argv_for("vae", url, model, tmp_path / "there", **streamed))
    assert sum(path.stat().st_size for path in (cache / "entries").rglob("*.tar")) <= 2.5 * size
    there = {str(path.relative_to(tmp_path / "there")): path.read_bytes() for path in (tmp_path / "there").rglob("*") if path.is_file()}
    assert_same({name: body for name, body in there.items() if not Path(name).name.startswith(".")}, tmp_path / "local")


def test_parts_in_a_bucket(bucket, generate, ldm, tmp_path):
    url = bucket.empty()
    drawing = ("a dog", "-n", 2, "--batch-size", 1, "--steps", 1, "-s", 1)
    for number in (1, 2):
        assert generate(*drawing, "--shard", f"{number}/2", "-o", f"{tmp_path}/part-{number}/")[0] == 0
    code, _, error = generate(*drawing, "--shard", "2/2", "-o", f"{url}/all-1/")
    assert code == 2 and "has to end in the number of the part" in error and not bucket.holds(url)
    code, _, error = ldm("generate", "--merge", tmp_path / "part-1", "-o", f"{url}/all/")  # the other is missing
    assert code == 3 and f"--resume -o {url}/all/" in error
    said, _ = run(ldm, "generate", "--merge", tmp_path / "part-2", "-o", f"{url}/all")
    there = bucket.holds(f"{url}/all")
    assert len(said.split()) == 2 and {f"{url}/all/{name}" for name in there} == {*said.split(), f"{url}/all/manifest.jsonl"}
    assert len(lines(there["manifest.jsonl"])) == 3


def test_what_was_made_is_kept_where_it_cannot_be_sent(bucket, generate, monkeypatch):
    monkeypatch.setattr(remote, "PATIENCE_S", 0.5)
    url, original = bucket.empty(), remote.store

    def refused(local, place):
        bucket.proxy.down()
        monkeypatch.setattr(remote, "store", original)
        return original(local, place)

    monkeypatch.setattr(remote, "store", refused)
    drawing = ("a dog", "--steps", 1, "-s", 1, "-o", f"{url}/")
    try:
        code, _, error = generate(*drawing)
    finally:
        bucket.proxy.up()
    assert code != 0 and "tried for 0.5 seconds" in error and "--resume sends it" in error and not bucket.holds(url)
    code, said, _ = generate(*drawing, "--resume")
    assert code == 0 and list(bucket.holds(url)) == ["00000_seed1.png", "manifest.jsonl"] and said.strip() == f"{url}/00000_seed1.png"


@pytest.mark.parametrize(("argv", "code", "said"), [
    (("generate", "a dog", "-o", "https://example.org/out/"), 2, "results are written to s3:// and gs:// or a disk"),
    (("compare-schedulers", "a dog", "-o", "s3://tests/out"), 2, "compare-schedulers writes to this disk"),
    (("generate", "a dog", "-m", "s3://tests/model.ckpt"), 1, "is a pickle"),
    (("generate", "a dog", "-m", "s3://tests/nothing", "--offline"), 6, "the network is not to be used"),
    (("train-vae", "--data", "s3://tests/nothing/{00..03}.tar"), 6, "no such folder"),
])  # fmt: skip
def test_what_cannot_be_is_one_line(bucket, ldm, monkeypatch, argv, code, said):
    monkeypatch.setenv("HF_HUB_OFFLINE", "")  # given back after --offline has set it
    found, out, error = ldm(*argv)
    assert (found, out) == (code, "") and said in error and error.count("\n") <= 2
