"""Whole files of every kind that a stranger may hand over, as small as they can be: what mutations begin with."""

import gzip
import io
import json
import struct
import tarfile
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo
from tokenizers.pre_tokenizers import ByteLevel

import ldmcli
from ldmcli.outputs.manifest import RECORD_KEYS

BUNDLED = Path(ldmcli.__file__).parent / "models" / "bundled"
SCORER = Path(ldmcli.__file__).parent / "models" / "bundled_scorer"

LETTERS = sorted(ByteLevel.alphabet())
WORDS = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS), "do", "dog</w>", "<|startoftext|>", "<|endoftext|>"]
VOCAB = {word: number for number, word in enumerate(WORDS)}
MERGES = "#version: 0.2\nd o\ndo g</w>\n"
TOKEN = {"content": "<cat>", "lstrip": False, "normalized": True, "rstrip": False, "single_word": False, "special": False}
TOKENIZER_CONFIG = {
    "bos_token": "<|startoftext|>", "eos_token": {**TOKEN, "content": "<|endoftext|>"}, "pad_token": "<|endoftext|>",
    "unk_token": "<|endoftext|>", "model_max_length": 77, "added_tokens_decoder": {str(len(WORDS)): TOKEN},
}  # fmt: skip


def config(*parts: str, root: Path = BUNDLED) -> Any:
    """A JSON file of the bundled models."""
    return json.loads(root.joinpath(*parts).read_text(encoding="utf-8"))


def safetensors(tensors: dict[str, tuple[int, ...]], metadata: dict[str, str] | None = None) -> bytes:
    """A file of fp32 zeros."""
    header: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    reached = 0
    for name, shape in tensors.items():
        size = 4
        for side in shape:
            size *= side
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [reached, reached + size]}
        reached += size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + b"\0" * reached


LORA_SETTINGS = {
    "unet.r": 2,
    "unet.lora_alpha": 4,
    "unet.alpha_pattern": {"to_v": 2},
    "unet.use_rslora": True,
    "unet.target_modules": ["to_v"],
}


def lora(settings: Any) -> bytes:
    """One layer, with these settings of peft."""
    keys = {"unet.down_blocks.0.to_v.lora_A.weight": (2, 4), "unet.down_blocks.0.to_v.lora_B.weight": (4, 2)}
    return safetensors(keys, {"lora_adapter_metadata": settings if isinstance(settings, str) else json.dumps(settings)})


def picture(kind: str = "PNG", texts: dict[str, str] | None = None, **options: Any) -> bytes:
    """8 x 8 pixels. texts: of a PNG."""
    buffer = io.BytesIO()
    info = PngInfo()
    for key, text in (texts or {}).items():
        info.add_text(key, text)
    drawn = Image.radial_gradient("L").resize((8, 8)).convert("P" if kind == "GIF" else "RGB")
    drawn.save(buffer, format=kind, **({"pnginfo": info} if kind == "PNG" else {}), **options)
    return buffer.getvalue()


RECORD = {
    "schema": 1, "ldm": "1.0", "model": "bundled", "unet_sha256": "0" * 64, "dtype": "fp32", "vae_dtype": "fp32", "tiled_decode": False,
    "prompt": "a dog", "negative_prompt": "", "seed": 1, "cfg": 2.0, "cfg_rescale": 0.0, "cfg_interval": None, "weighting": "none",
    "long_prompts": False, "width": 8, "height": 8, "upscale": 1, "resample": "nearest", "batch_size": 1,
    "scheduler": {"name": "ddim", "steps": 10, "spacing": "leading", "sigma_clipped": False, "timesteps": [1]},
    "loras": [{"name": "x", "sha256": "0" * 64, "scale": 1.0}], "init_image": {"name": "a.png", "sha256": "0" * 64}, "strength": 0.5,
}  # fmt: skip

GRAPH = {
    "1": {"class_type": "KSampler", "inputs": {"positive": ["2", 0], "negative": ["3", 0]}},
    "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "a dog"}},
    "3": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry"}},
    "4": {"class_type": "SaveImage", "inputs": {"images": ["1", 0]}},
}
PARAMETERS = (
    'a (dog:1.2), <lora:x:0.5>\nNegative prompt: blurry\nSteps: 10, Sampler: DDIM, CFG scale: 2, Seed: 1, Size: 8x8, Version: "a, b"'
)

COCO = {
    "images": [{"id": 1, "file_name": "1.png"}, {"id": 2, "file_name": "2.png"}],
    "annotations": [{"id": 1, "image_id": 1, "caption": "a dog"}, {"id": 2, "image_id": 2, "caption": "a cat"}],
}
KARPATHY = {"images": [{"filename": "1.png", "filepath": "", "split": "train", "cocoid": 1, "sentences": [{"raw": "a dog"}]}]}
ROW = {"file_name": "1.png", "text": ["a dog", "a cat"]}
PROMPT_LINE = {"prompt": "a dog", "seed": 1, "cfg": 2.5, "steps": 9, "cfg_interval": "0.2,0.8", "num_images": 2, "width": 64}
MANIFEST_ROW: dict[str, Any] = {
    **dict.fromkeys(RECORD_KEYS), 
    "status": "ok", "id": "0" * 16, "number": 0, "sha256": "0" * 64, "path": "0.png", "progress": None, "prompt": "a dog", "seed": 1,
}  # fmt: skip
MANIFEST = {
    "format": 1,
    "step": 3,
    "files": {},
    "facts": {"settings": {"batch_size": 8}, "processes": 1, "state": {"ema_updates": 0, "scaler": None}},
}
YAML = (
    b"model:\n  params:\n    linear_start: 0.00085\n    linear_end: 0.012\n    timesteps: 1000\n    scale_factor: 0.18215\n"
    b"    parameterization: v\n    first_stage_config: {a: 1}\n"
)
TOML = b'steps = 20\nscheduler = "ddim"\ncfg = 2.5\nsize = "64x64"\nlora = ["a:1"]\n'


def rows() -> bytes:
    """A Parquet file with two pictures."""
    import pyarrow
    from pyarrow import parquet

    buffer = io.BytesIO()
    cells = [{"bytes": picture(), "path": "0.png"}, {"bytes": picture(), "path": None}]
    parquet.write_table(pyarrow.table({"image": cells, "text": ["a dog", "a cat"]}), buffer, row_group_size=1)
    return buffer.getvalue()


def shard() -> bytes:
    """Two samples."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, body in (
            ("0.png", picture()),
            ("0.txt", b"a dog"),
            ("1.png", picture()),
            ("1.json", b'{"caption": "a cat"}'),
            ("\u00e9" * 120, b""),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
    return buffer.getvalue()


def vocabulary() -> bytes:
    """A short bpe_simple_vocab_16e6.txt.gz."""
    return gzip.compress(b"version\nd o\ndo g</w>", mtime=0)
