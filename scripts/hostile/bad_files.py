"""Bad files of other kinds beyond the 58: checkpoints, records, prompts, captions, scorers, shards, settings."""

import tarfile
import zipfile
from pathlib import Path
from typing import Any

from hostile import seeds
from hostile.workspace import GIB, Row, Workspace, bomb, deep, draw, sparse, train, written

MANY, NAN = 10**7, float("nan")


def _manifest(change: Any) -> Any:
    """A run whose newest checkpoint has another manifest: it goes on from the one before."""

    def make(w: Workspace, here: Path) -> list[object]:
        run = w.spoilt(here, {"checkpoints/step-000002/manifest.json": change}, w.run)
        return train(w.coco, run, "--resume", "auto", "--save-every", "1", "--max-steps", "2")

    return make


def _cache(body: bytes) -> Any:
    def make(w: Workspace, here: Path) -> list[object]:
        run = w.spoilt(here, {}, w.run)
        for entry in run.rglob("entry.json"):
            entry.write_bytes(body)
        return train(w.coco, run, "--resume", "auto", "--save-every", "1", "--max-steps", "3")

    return make


def _record(*options: object, **facts: Any) -> Any:
    return lambda w, here: ["generate", "-m", w.model, "--device", "cpu", "--from-image", w.picture(here, **facts), *options]


def _prompts(body: bytes) -> Any:
    return lambda w, here: ["generate", "-f", written(here / "p.txt", body), *draw(w.model)[2:]]


def _scores(name: str, body: bytes | Any) -> Any:
    def make(w: Workspace, here: Path) -> list[object]:
        path = here / name
        body(path) if callable(body) else written(path, body)
        return ["clipscore", w.drawn, "--clip-model", "bundled", "--captions", path]

    return make


def _scorer(name: str, change: Any) -> Any:
    return lambda w, here: ["clipscore", w.drawn, "--clip-model", w.spoilt(here, {name: change}, seeds.SCORER)]


def _shard(*parts: bytes) -> Any:
    return lambda w, here: train(sparse(here / "000.tar", 6 * GIB, b"".join(parts)), here / "run")


def _member(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


def _packed(w: Workspace, here: Path) -> list[object]:
    """A checkpoint of 4 GiB in four megabytes."""
    with zipfile.ZipFile(here / "m.ckpt", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive, archive.open("a/data.pkl", "w") as member:
        for _ in range(16):
            member.write(bytes(2**24))
    return draw(here / "m.ckpt", "--allow-pickle", "--tokenizer", w.model)


def _notes(w: Workspace, here: Path) -> list[object]:
    """A picture of ours with three GiB of text behind its pixels."""
    whole = w.drawn.read_bytes()
    begin = whole[:-12] + (3 * GIB).to_bytes(4) + b"tEXt"
    return ["generate", "-m", w.model, "--from-image", sparse(here / "p.png", 3 * GIB + 10_000, begin)]


def _toml(body: bytes) -> Any:
    return lambda w, here: draw(w.model, "--config", written(here / "o.toml", body))


def _yaml(body: bytes) -> Any:
    def make(w: Workspace, here: Path) -> list[object]:
        written(here / "single.yaml", body)
        (here / "single.safetensors").symlink_to(w.single)
        return draw(here / "single.safetensors", "--tokenizer", w.single.parent / "diffusers")

    return make


def _large_yaml(w: Workspace, here: Path) -> list[object]:
    arguments = _yaml(b"")(w, here)
    sparse(here / "single.yaml", 5 * GIB)
    return arguments


def _large_vocabulary(w: Workspace, here: Path) -> list[object]:
    return draw(w.single, "--tokenizer", sparse(here / "bpe_simple_vocab_16e6.txt.gz", 5 * GIB))


def _many_layers(body: Any) -> Any:
    return {**body, "vision_config": {**body["vision_config"], "num_hidden_layers": MANY}}


def _large_crop(body: Any) -> Any:
    return {**body, "crop_size": {"height": 10**6, "width": 10**6}}


NULLS = dict.fromkeys(("format", "step", "files", "facts"))

FILES = [
    Row("checkpoint: a manifest of nulls", _manifest(NULLS), 0, "manifest.json", True),
    Row("checkpoint: a deep manifest", _manifest(deep(5000)), 0, "manifest.json", True),
    Row("checkpoint: files outside", _manifest(lambda body: {**body, "files": {"../../x": "0"}}), 0, "../../x", True),
    Row("cache: an entry that is a list", _cache(b"[]"), 0, "", True),
    Row("cache: a deep entry", _cache(deep(5000)), 0, "", True),
    Row("record: another size, --verify", _record("--verify", width=4096, height=4096), 1, "4096 x 4096"),
    Row("record: deep", _record(text=deep(3000).decode()), 1, "damaged"),
    Row("record: 10**400 steps", _record(scheduler={"steps": 10**400}), 1, "damaged"),
    Row("record: NaN guidance", _record(cfg=NAN), 1, "damaged"),
    Row("picture: three GiB of notes", _notes, 1, "p.png"),
    Row("picture: 400 megapixels to begin with", lambda w, here: draw(w.model, "--init-image", bomb(here / "b.png")), 1, "pixels"),
    Row("prompt of 10 MB", _prompts(b"dog " * 2_500_000), 0, "of which the first", True),
    Row("prompts: /dev/zero", lambda w, here: ["generate", "-f", "/dev/zero", *draw(w.model)[2:]], 2, "is a device"),
    Row("prompts: a deep line", _prompts(b'{"prompt": ' + deep(5000) + b"}"), 2, "line 1"),
    Row("prompts: a number of 5,000 digits", _prompts(b'{"prompt": "a", "seed": ' + b"9" * 5000 + b"}"), 2, "line 1"),
    Row("captions: a deep line", _scores("c.jsonl", deep(5000)), 1, "nested"),
    Row("captions: five GiB", _scores("c.txt", lambda path: sparse(path, 5 * GIB)), 1, "bytes; at most"),
    Row("captions: a device", _scores("c.txt", lambda path: path.symlink_to("/dev/zero")), 1, "device"),
    Row("captions: ids that are lists", _scores("c.json", b'{"images": [{"id": [1]}], "annotations": []}'), 2, "captions"),
    Row("scorer: 10**7 layers", _scorer("config.json", _many_layers), 1, "vision_config.num_hidden_layers"),
    Row("scorer: a crop of 10**6", _scorer("preprocessor_config.json", _large_crop), 1, "crop_size"),
    Row("shard: a picture of five GiB", _shard(_member("x.png", 5 * GIB)), 1, "picture"),
    Row("shard: a pax header of five GiB", _shard(_member("x", 5 * GIB, tarfile.XHDTYPE)), 1, "a header of"),
    Row("shard: 5,000 headers in headers", _shard(_member("x", 0, tarfile.XHDTYPE) * 5000), 1, "tar"),
    Row("pickle: 256 MB in one", _packed, 1, "would unpack to"),
    Row("TOML: deep", _toml(b"steps = " + deep(3000)), 2, "o.toml"),
    Row("TOML: /dev/zero", lambda w, here: draw(w.model, "--config", "/dev/zero"), 2, "no regular file"),
    Row("YAML: deep", _yaml(b"a: " + deep(3000)), 1, "YAML"),
    Row("YAML: five GiB", _large_yaml, 1, "bytes; at most"),
    Row("YAML: NaN schedule", _yaml(b"model:\n  params:\n    linear_start: .nan\n    first_stage_config: {}\n"), 1, "beta_start"),
    Row("vocabulary: a bomb", _large_vocabulary, 1, "bytes; at most"),
]  # fmt: skip
