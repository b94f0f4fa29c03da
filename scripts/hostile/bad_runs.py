"""Training that begins with something wrong: captions, pictures, checkpoints and run folders for the rows of listed.py."""

import fcntl
import json
import shutil
from pathlib import Path
from typing import Any

from hostile.workspace import Workspace, train


def coco(change: Any) -> Any:
    """Training on a captions file that is changed."""

    def make(w: Workspace, here: Path) -> list[object]:
        name = "annotations/captions_train2017.json"
        return train(w.spoilt(here, {name: change}, w.coco), here / "run")

    return make


def first(**values: Any) -> Any:
    """The captions file with another first picture."""
    return lambda body: {**body, "images": [{**body["images"][0], **values}, *body["images"][1:]]}


def first_picture(change: Any, *options: object) -> Any:
    """Training on pictures of which the first is changed."""

    def make(w: Workspace, here: Path) -> list[object]:
        data = w.spoilt(here, {}, w.coco)
        change(sorted((data / "train2017").iterdir())[0])
        return train(data, here / "run", *options)

    return make


def drawn(mode: str, size: tuple[int, int] = (64, 64), **options: Any) -> Any:
    def change(path: Path) -> None:
        from PIL import Image

        Image.new(mode, size).save(path, **options)

    return change


def turned(path: Path) -> None:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (64, 32), "red").save(path, exif=exif)


def resumed(change: Any, *options: object) -> Any:
    """A run whose newest checkpoint is changed, gone on with."""

    def make(w: Workspace, here: Path) -> list[object]:
        run = Path(shutil.copytree(w.run, here / "run"))
        change(run / "checkpoints" / "step-000002")
        return train(w.coco, run, "--save-every", "1", "--resume", "auto", "--max-steps", "3", *options)

    return make


def newer(checkpoint: Path) -> None:
    path = checkpoint / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))


def two_trainers(w: Workspace, here: Path) -> list[object]:
    """The folder is locked, as by another trainer."""
    run = here / "run"
    run.mkdir()
    lock = (run / ".lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    w.held.append(lock)
    return train(w.coco, run)


def dangling(body: Any) -> Any:
    return {**body, "annotations": [*body["annotations"], {"id": 999, "image_id": 999, "caption": "x"}]}


def no_captions(body: Any) -> Any:
    return {**body, "annotations": [{**row, "caption": None} if row["id"] < 4 else row for row in body["annotations"]]}


def damaged(checkpoint: Path) -> None:
    (checkpoint / "network.safetensors").write_bytes(b"x")
