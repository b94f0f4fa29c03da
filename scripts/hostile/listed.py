"""The 58 bad inputs that every version must tell in one line."""

import os
import pickle
import shutil
from pathlib import Path
from typing import Any

from hostile.bad_runs import coco, damaged, dangling, drawn, first, first_picture, newer, no_captions, resumed, turned, two_trainers
from hostile.workspace import Row, Workspace, bomb, draw, train, written

UNET, VAE = "unet/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.safetensors"


def _tensors(change: Any) -> Any:
    """A weights file whose tensors are changed."""

    def spoil(raw: bytes) -> bytes:
        from safetensors.torch import load, save

        tensors = load(raw)
        return save(change(tensors) or tensors)

    return spoil


def _without_one(tensors: dict[str, Any]) -> None:
    del tensors["conv_out.bias"]


def _other_shape(tensors: dict[str, Any]) -> None:
    tensors["conv_out.bias"] = tensors["conv_out.bias"][:1].clone()


def _nan(tensors: dict[str, Any]) -> None:
    tensors["conv_out.bias"] *= float("nan")


class _Evil:
    """Whoever unpickles it makes a file."""

    def __reduce__(self) -> Any:
        return os.system, ("touch sentinel",)


def _spoilt(name: str, change: Any, *more: object) -> Any:
    return lambda w, here: draw(w.spoilt(here, {name: change}), *more)


def _set(**values: Any) -> Any:
    return lambda body: {**body, **values}


def _only_bin(w: Workspace, here: Path) -> list[object]:
    model = w.spoilt(here, {})
    (model / UNET).rename(model / "unet" / "diffusion_pytorch_model.bin")
    return draw(model)


def _words(*options: object) -> Any:
    return lambda w, here: draw(w.model, *options)


def _prompt(text: str, *options: object) -> Any:
    return lambda w, here: ["generate", text, *draw(w.model)[2:], *options]


def _file(body: bytes | str) -> Any:
    return lambda w, here: ["generate", "-f", written(here / "p.txt", body), *draw(w.model)[2:]]


def _taken(w: Workspace, here: Path) -> list[object]:
    path = written(here / "taken.png", b"mine")
    return [*draw(w.model)[:-2], "-o", path]


def _beside(w: Workspace) -> list[object]:
    return ["--tokenizer", w.single.parent / "diffusers", "--size", "64"]


FAST = ("--lr", "1e30", "--max-steps", 20, "--warmup", 0)
MANY = ("--batch-size", 64, "-n", 64, "--no-tiled-decode")

LISTED = [
    Row("1 no such model", lambda w, here: draw(Path("nowhere")), 6, "no model at"),
    Row("2 a hub id, offline", lambda w, here: draw(Path("CompVis/stable-diffusion-v1-4"), "--offline"), 6, "hf download"),
    Row("3 no model_index.json", _spoilt("model_index.json", None), 6, "model_index.json"),
    Row("4 a U-Net without a key", _spoilt(UNET, _tensors(_without_one)), 1, "conv_out.bias"),
    Row("5 a tensor of another shape", _spoilt(UNET, _tensors(_other_shape)), 1, "has shape (1,)"),
    Row("6 a file that was cut off", _spoilt(UNET, lambda raw: raw[:-100]), 1, "truncated"),
    Row("7 a git-lfs pointer", _spoilt(UNET, b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"), 6, "git lfs pull"),
    Row("8 random bytes", _spoilt(UNET, os.urandom(5000)), 1, "damaged"),
    Row("9 the tensors of another model", lambda w, here: draw(shutil.copy(w.model / VAE, here / "m.safetensors")), 1, "diffusers folder"),
    Row("10 an evil pickle", lambda w, here: draw(written(here / "m.ckpt", pickle.dumps(_Evil()))), 1, "refused"),
    Row("11 pickled weights alone", _only_bin, 1, "--allow-pickle"),
    Row("12 os.system as a part", _spoilt("model_index.json", _set(unet=["os", "system"])), 1, "no code was run"),
    Row("13 a tokenizer without words", _spoilt("tokenizer/vocab.json", None), 6, "vocab.json"),
    Row("14 NaN among the weights", _spoilt(UNET, _tensors(_nan)), 4, "conv_out.bias"),
    Row("15 a VAE with scaling_factor 0", _spoilt("vae/config.json", _set(scaling_factor=0)), 1, "scaling_factor"),
    Row("16 a U-Net that takes 9 channels", _spoilt("unet/config.json", _set(in_channels=9)), 1, "inpainting"),
    Row("17 a single file, offline", lambda w, here: draw(w.single, *_beside(w)), 0, "", True),
    Row("18 --steps 1001", _words("--steps", 1001), 2, "--steps"),
    Row("19 --steps 1 with DDIM", _words("--scheduler", "ddim"), 0, "", True),
    Row("20 --cfg nan", _words("--cfg", "nan"), 2, "--cfg"),
    Row("21 --seed 2**64", _words("--seed", 2**64), 2, "--seed"),
    Row("22 --width 63", _words("--width", 63), 2, "--width"),
    Row("23 --width 10**6", _words("--width", 10**6), 2, "GiB"),
    Row("24 an unknown scheduler", _words("--scheduler", "magic"), 2, "magic"),
    Row("25 Karras without an end", _words("--scheduler", "dpm++2m-karras", "--no-sigma-clip"), (0, 2), "", True),
    Row("26 an empty prompt", _prompt(""), 0, "empty prompt", True),
    Row("27 blanks alone", _prompt("   "), 0, "empty prompt", True),
    Row("28 10,000 words", _prompt("dog " * 10_000), 0, "left out", True),
    Row("29 marks of the terminal", _prompt("[/red] [bold]"), 0, "", True),
    Row("30 control characters", _prompt("\x1b[31m \x07 \u202e"), 0, "", True),
    Row("31 a script", _prompt("<script>alert(1)</script>"), 0, "", True),
    Row("32 ../../x", _prompt("../../x"), 0, "", True),
    Row("33 half a surrogate pair", _prompt(os.fsdecode(b"\xff")), 2, "UTF-8"),
    Row("34 a NUL byte", _file(b"a\0dog\n"), 2, "line 1"),
    Row("35 <|endoftext|>", _prompt("a cat<|endoftext|> zebra"), 0, "special tokens", True),
    Row("36 no such prompts file", lambda w, here: ["generate", "-f", here / "nothing", *draw(w.model)[2:]], 6, "no such file"),
    Row("36 an empty prompts file", _file(b""), 2, "no usable prompt"),
    Row("36 Latin-1", _file("caf\u00e9\n".encode("latin-1")), 2, "line 1"),
    Row("37 one prompt twice", _file("a dog\na dog\n"), 0, "", True),
    Row("38 --batch-size 0", _words("--batch-size", 0), 2, "--batch-size"),
    Row("39 a file for a folder", lambda w, here: [*draw(w.model)[:-2], "-o", f"{written(here / 'f', b'x')}/"], 2, "error: "),
    Row("40 a picture that exists", _taken, 2, "--overwrite"),
    Row("41 captions that are no JSON", coco(lambda body: b"{"), 1, "JSON"),
    Row("41 captions that are a list", coco(lambda body: []), 1, "not a COCO captions file"),
    Row("42 one id twice", coco(lambda body: {**body, "images": [body["images"][0]] * 2}), 1, "duplicate ids"),
    Row("43 a caption of no picture", coco(dangling), 0, "", True),
    Row("44 captions that are none", coco(no_captions), 0, "", True),
    Row("45 ../..", coco(first(file_name="../../x.png")), 1, "refused"),
    Row("46 a picture that is missing", coco(first(file_name="gone.png")), 6, "--allow-missing"),
    Row("47 a JPEG that was cut off", first_picture(lambda path: path.write_bytes(path.read_bytes()[:60])), 0, "", True),
    Row("48 400 megapixels", first_picture(bomb), 0, "", True),
    Row("49 grey, 16 bits", first_picture(drawn("I;16")), 0, "", True),
    Row("50 1 x 5000", first_picture(drawn("RGB", (1, 5000))), 0, "", True),
    Row("51 turned by EXIF", first_picture(turned), 0, "", True),
    Row("52 fewer pictures than a batch", lambda w, here: train(w.coco, here / "run", "--batch-size", 100), 2, "batch"),
    Row("53 resumed with other settings", resumed(lambda checkpoint: None, "--lr", "0.5"), 2, "--force"),
    Row("54 the newest checkpoint damaged", resumed(damaged), 0, "checksum", True),
    Row("55 a checkpoint of a newer version", resumed(newer), 1, "newer version"),
    Row("56 two trainers in one folder", two_trainers, 1, "error: "),
    Row("57 a learning rate of 1e30", lambda w, here: train(w.coco, here / "run", *FAST), 4, "error: ", True),
    Row("58 too little memory", _words("--size", "4096x4096", *MANY), 5, "--force", True),
]  # fmt: skip
