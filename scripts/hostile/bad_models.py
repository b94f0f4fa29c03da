"""Bad models beyond the 58: values in their JSON, sizes that are declared and not there, and the other way round."""

import os
from pathlib import Path
from typing import Any

from hostile import seeds
from hostile.workspace import GIB, Row, Workspace, deep, draw, sparse, written

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


WORDS = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}
STRANGE = {**WORDS, "pad_token": "x" * 100}
ADDED = {f"<{number}>": 516 + number for number in range(2000)}
LISTS = ("block_out_channels", [32] * 100)

MODELS = [
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
]  # fmt: skip
