"""Bad inputs beyond the 58: values that a stranger writes into JSON, sizes that are declared and not there, and the other way round."""

import os
import tarfile
import zipfile
from pathlib import Path
from typing import Any

from hostile import seeds
from hostile.workspace import GIB, Row, Workspace, bomb, deep, draw, sparse, train, written

WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
FEW, MANY, NAN = -1, 10**7, float("nan")


def _config(part: str, **values: Any) -> Any:
    """A model whose config.json of a part has other values."""
    name = {"scheduler": "scheduler/scheduler_config.json", "model_index": "model_index.json"}.get(part, f"{part}/config.json")
    return lambda w, here: draw(w.spoilt(here, {name: lambda body: {**body, **values}}))


def _tokenizer(**files: Any) -> Any:
    return lambda w, here: draw(w.spoilt(here, {f"tokenizer/{name}.json": body for name, body in files.items()}))


def _raw(name: str, body: bytes) -> Any:
    return lambda w, here: draw(w.spoilt(here, {name: body}))


def _lora(settings: Any) -> Any:
    return lambda w, here: draw(w.model, "--lora", written(here / "l.safetensors", seeds.lora(settings)))


def _sparse(name: str, size: int = 5 * GIB, begin: bytes = b"") -> Any:
    """A model of which one file is huge and takes no room."""

    def make(w: Workspace, here: Path) -> list[object]:
        model = w.spoilt(here, {})
        sparse(model / name, size, begin)
        return draw(model)

    return make


def _fifo(w: Workspace, here: Path) -> list[object]:
    model = w.spoilt(here, {"unet/config.json": None})
    os.mkfifo(model / "unet" / "config.json")
    return draw(model)


def _linked(w: Workspace, here: Path) -> list[object]:
    model = w.spoilt(here, {"unet/config.json": None})
    (model / "unet" / "config.json").symlink_to("/dev/zero")
    return draw(model)


def _index(body: Any) -> Any:
    def make(w: Workspace, here: Path) -> list[object]:
        return draw(w.spoilt(here, {WEIGHTS: None, f"{WEIGHTS}.index.json": body}))

    return make


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


WORDS = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}
STRANGE = {**WORDS, "pad_token": "x" * 100}
ADDED = {f"<{number}>": 516 + number for number in range(2000)}
NULLS = dict.fromkeys(("format", "step", "files", "facts"))
LISTS = ("block_out_channels", [32] * 100)

FOUND = [
    Row("U-Net: 10**7 layers", _config("unet", layers_per_block=MANY), 1, "layers_per_block"),
    Row("U-Net: NaN channels", _config("unet", cross_attention_dim=NAN), 1, "cross_attention_dim"),
    Row("U-Net: -1 groups", _config("unet", norm_num_groups=FEW), 1, "norm_num_groups"),
    Row("U-Net: 100 levels", _config("unet", **dict([LISTS])), 1, "block_out_channels"),
    Row("U-Net: null widths", _config("unet", block_out_channels=None), 1, "block_out_channels"),
    Row("U-Net: widths of text", _config("unet", block_out_channels=["32", "64"]), 1, "block_out_channels"),
    Row("U-Net: 32 x 32 blocks", _config("unet", layers_per_block=32, transformer_layers_per_block=32), 1, "layers_per_block"),
    Row("U-Net: 7 heads", _config("unet", attention_head_dim=7), 1, "heads"),
    Row("U-Net: sample_size 10**7", _config("unet", sample_size=MANY), 1, "sample_size"),
    Row("VAE: 10**30 layers", _config("vae", layers_per_block=10**30), 1, "layers_per_block"),
    Row("VAE: NaN scale", _config("vae", scaling_factor=NAN), 1, "scaling_factor"),
    Row("VAE: names that are lists", _config("vae", down_block_types=[["a"]] * 4), 1, "down_block_types"),
    Row("text: 10**7 layers", _config("text_encoder", num_hidden_layers=MANY), 1, "num_hidden_layers"),
    Row("text: 10**9 positions", _config("text_encoder", max_position_embeddings=10**9), 1, "max_position_embeddings"),
    Row("text: 5 heads", _config("text_encoder", num_attention_heads=5), 1, "num_attention_heads"),
    Row("scheduler: 10**12 steps", _config("scheduler", num_train_timesteps=10**12), 1, "num_train_timesteps"),
    Row("scheduler: NaN beta", _config("scheduler", beta_start=NAN), 1, "beta_start"),
    Row("scheduler: an offset of text", _config("scheduler", steps_offset="1"), 1, "steps_offset"),
    Row("_ldm: a list", _config("model_index", _ldm=[1]), 1, "_ldm"),
    Row("_ldm: 10**9 steps", _config("model_index", _ldm={"defaults": {"steps": 10**9}}), 1, "_ldm.defaults.steps"),
    Row("model_index: a part that is an object", _config("model_index", unet={"a": 1}), 1, "unet"),
    Row("model_index: 5,000 brackets", _raw("model_index.json", deep(5000)), 1, "nested"),
    Row("U-Net: a million brackets", _raw("unet/config.json", b'{"a":' + deep(500_000) + b"}"), 1, "nested"),
    Row("config.json of five GiB", _sparse("unet/config.json"), 1, "bytes; at most"),
    Row("config.json that is a FIFO", _fifo, 1, "no regular file"),
    Row("config.json that is /dev/zero", _linked, 1, "no regular file"),
    Row("vocab.json of five GiB", _sparse("tokenizer/vocab.json"), 1, "bytes; at most"),
    Row("merges.txt of five GiB", _sparse("tokenizer/merges.txt"), 1, "bytes; at most"),
    Row("tokenizer: words that are no numbers", _tokenizer(vocab={"a": "b"}), 1, "vocab.json"),
    Row("tokenizer: a length of NaN", _tokenizer(tokenizer_config={**WORDS, "model_max_length": NAN}), 1, "model_max_length"),
    Row("tokenizer: a length of 0", _tokenizer(tokenizer_config={**WORDS, "model_max_length": 0}), 1, "model_max_length"),
    Row("tokenizer: 2,000 words more", _tokenizer(added_tokens=ADDED), 1, "added_tokens.json"),
    Row("tokenizer: no end", _tokenizer(tokenizer_config=STRANGE, special_tokens_map=STRANGE), 1, "vocab.json"),
    Row("tokenizer: deep", _raw("tokenizer/tokenizer_config.json", b'{"a":' + deep(3000) + b"}"), 1, "nested"),
    Row("index: no file names", _index({"weight_map": {"a": 7}}), 1, "weight_map.a"),
    Row("index: ../x", _index({"weight_map": {"a": "../x.safetensors"}}), 1, "weight_map"),
    Row("index: a pickle", _index({"weight_map": {"a": "w.bin"}}), 1, "refused"),
    Row("index: nothing", _index([]), 1, "index.json"),
    Row("safetensors: a header of 2**63", _raw(WEIGHTS, b"\0" * 7 + b"\x80{}"), 1, "damaged"),
    Row("safetensors: a deep header", _raw(WEIGHTS, (10_006).to_bytes(8, "little") + b'{"a":' + deep(5000) + b"}"), 1, "nested"),
    Row("safetensors: negative shapes", _raw(WEIGHTS, seeds.safetensors({"a": (-1, -1)})), 1, "shape"),
    Row("LoRA: a pattern that runs for ever", _lora({"unet.lora_alpha": 1, "unet.alpha_pattern": {"(a|a)*b": 2}}), 1, "refused"),
    Row("LoRA: NaN alpha", _lora({"unet.lora_alpha": NAN}), 1, "unet.lora_alpha"),
    Row("LoRA: a list for settings", _lora([1]), 1, "lora_adapter_metadata"),
    Row("LoRA: deep settings", _lora(deep(3000).decode()), 1, "nested"),
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
