"""Every reader of a stranger's file, with whole files to begin with: what `scripts/fuzz` and the property tests run.

Each reader is the function that the commands call, on a file that lies in a folder of its own; it may raise LdmError and nothing else.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import ldmcli.commands.requests  # noqa: F401  # the readers of prompts, with all that they import
from hostile import seeds
from hostile.mutations import spoilt
from hostile.readings import (
    go_on,
    npy,
    origin_of,
    pickled,
    png_of,
    read_cells,
    read_options,
    read_prompt,
    record_of,
    text_of,
    use_schedule,
    use_tokenizer,
)
from ldmcli.config.generation import GenerateConfig
from ldmcli.data.cache_entry import open_entry
from ldmcli.data.caption_file import read_caption_file
from ldmcli.data.layouts import load_captioned
from ldmcli.data.picture_captions import find_pairs
from ldmcli.engine.generate.prompts_file import read_prompts
from ldmcli.engine.sampling.start_files import open_picture
from ldmcli.models.compvis_yaml import stated, stated_schedule
from ldmcli.models.corrections import network_config
from ldmcli.models.examples import example_prompts
from ldmcli.models.header import read_header
from ldmcli.models.layout import check_index, ldm_settings, read_json, shard_names
from ldmcli.models.lora import read_changes
from ldmcli.models.pickles import read_pickle
from ldmcli.models.scorer import BESIDE
from ldmcli.models.tokenizer import load_tokenizer
from ldmcli.models.weights import read_tensors
from ldmcli.prompts.parameters import read_parameters
from ldmcli.readers.tables import SCORER
from ldmcli.training import checkpoints


@dataclass(frozen=True)
class Reader:
    """seeds: bodies to spoil, bytes or JSON; name: of the file; read: what the commands call with the folder; beside: other files there;
    wrap: what a spoilt body is put into."""

    seeds: tuple[Any, ...]
    name: str
    read: Callable[[Path], object]
    beside: Mapping[str, bytes] | None = None
    wrap: Callable[[bytes], bytes] = bytes

    def prepare(self, folder: Path) -> None:
        """An empty folder with what stands beside the file."""
        shutil.rmtree(folder, ignore_errors=True)
        for name, body in {**(self.beside or {}), self.name: b""}.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(body)

    def take(self, folder: Path, body: bytes) -> object:
        """Put the file there and read it."""
        (folder / self.name).write_bytes(self.wrap(body))
        return self.read(folder)

    def input(self, draw: Any) -> bytes:
        """A spoilt body."""
        return spoilt(draw.choice(self.seeds), draw)


def _networks(name: str) -> Reader:
    body = seeds.config(name, "config.json")
    return Reader((body,), f"{name}/config.json", lambda folder: network_config(folder, name))


def _captions(name: str, *bodies: Any) -> Reader:
    return Reader(bodies, name, lambda folder: read_caption_file(folder / name))


def _words(name: str, body: Any) -> Reader:
    files = {"vocab.json": json.dumps(seeds.VOCAB).encode(), "merges.txt": seeds.MERGES.encode(),
             "tokenizer_config.json": json.dumps(seeds.TOKENIZER_CONFIG).encode()}  # fmt: skip
    return Reader((body,), name, use_tokenizer, {key: value for key, value in files.items() if key != name})


def _data(name: str, *bodies: Any) -> Reader:
    return Reader(bodies, name, load_captioned, {"1.png": seeds.picture(), "2.png": seeds.picture()})


def _lines(*rows: Any) -> bytes:
    return "\n".join(map(json.dumps, rows)).encode()


_WHOLE = {"model": {"vocab": seeds.VOCAB, "merges": [["d", "o"], "do g</w>"]}, "added_tokens": [{"id": 516, **seeds.TOKEN}]}
_HEADER = seeds.safetensors({"model.diffusion_model.input_blocks.0.0.weight": (2, 3), "b": ()}, {"a": "b"})

READERS: dict[str, Reader] = {
    "model_index": Reader((seeds.config("model_index.json"),), "model_index.json", check_index),
    "_ldm": Reader((seeds.config("model_index.json"),), "model_index.json", lambda folder: (ldm_settings(folder), example_prompts(folder))),
    "unet": _networks("unet"),
    "vae": _networks("vae"),
    "text_encoder": _networks("text_encoder"),
    "scheduler": Reader((seeds.config("scheduler", "scheduler_config.json"),), "scheduler/scheduler_config.json", use_schedule),
    "tokenizer.json": Reader((_WHOLE,), "tokenizer.json", use_tokenizer),
    "vocab.json": _words("vocab.json", seeds.VOCAB),
    "merges.txt": _words("merges.txt", seeds.MERGES.encode()),
    "tokenizer_config": _words("tokenizer_config.json", seeds.TOKENIZER_CONFIG),
    "special_tokens_map": _words("special_tokens_map.json", {"pad_token": "!", "eos_token": seeds.TOKEN}),
    "added_tokens": _words("added_tokens.json", {"<dog>": 517, "<cat>": 516}),
    "open_clip vocabulary": Reader((seeds.vocabulary(),), "v.gz", lambda folder: load_tokenizer(folder / "v.gz", 77)),
    "shard index": Reader(
        ({"weight_map": {"a": "m-1.safetensors"}},), "m.safetensors.index.json",
        lambda folder: shard_names(folder / "m.safetensors.index.json"),
    ),
    "safetensors": Reader(
        (_HEADER,), "w.safetensors", lambda folder: (read_header(folder / "w.safetensors"), read_tensors(folder / "w.safetensors"))
    ),
    "lora file": Reader((seeds.lora(seeds.LORA_SETTINGS),), "l.safetensors", lambda folder: read_changes(folder / "l.safetensors")),
    "lora settings": Reader(
        (seeds.LORA_SETTINGS,), "l.safetensors", lambda folder: read_changes(folder / "l.safetensors"),
        wrap=lambda body: seeds.lora(body.decode("utf-8", "replace")),
    ),
    "pickle": Reader((pickled(),), "w.ckpt", lambda folder: read_pickle(folder / "w.ckpt")),
    "yaml": Reader(
        (seeds.YAML,), "m.yaml", lambda folder: (stated(folder / "m.safetensors"), stated_schedule(folder / "m.safetensors"))
    ),
    "scorer": Reader(
        (seeds.config("config.json", root=seeds.SCORER),), "config.json", lambda folder: read_json(folder / "config.json", SCORER)
    ),
    "scorer's processor": Reader(
        (seeds.config("preprocessor_config.json", root=seeds.SCORER),), "p.json",
        lambda folder: read_json(folder / "p.json", BESIDE["preprocessor_config.json"][0]),
    ),
    "checkpoint": Reader((seeds.MANIFEST,), "step-000003/manifest.json", checkpoints.newest),
    "cache entry": Reader(({"bad": {"3": "cut short"}},), "entry.json", open_entry, {"x.npy": npy()}),
    "cached array": Reader((npy(),), "x.npy", open_entry, {"entry.json": b"{}"}),
    "record in a PNG": Reader((seeds.RECORD,), "p.png", record_of("p.png"), wrap=png_of("ldm")),
    "picture of ours": Reader((seeds.picture(texts={"ldm": json.dumps(seeds.RECORD)}),), "p.png", record_of("p.png")),
    "graph in a PNG": Reader((seeds.GRAPH,), "p.png", origin_of("p.png"), wrap=png_of("prompt")),
    "parameters": Reader((seeds.PARAMETERS.encode(),), "text", text_of(read_parameters)),
    "prompt": Reader((b"a ((dog)), [cat:0.5] {a|b} (x:1.3) BREAK AND <lora:a:1>",), "text", text_of(read_prompt)),
    "caption of a picture": Reader((seeds.picture(texts={"parameters": seeds.PARAMETERS}),), "p.png", origin_of("p.png")),
    **{
        kind: Reader((seeds.picture(kind),), "p", lambda folder: open_picture(folder / "p", "--init-image"))
        for kind in ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "TGA", "PPM", "ICO")
    },
    "prompts file": Reader(
        (_lines(seeds.PROMPT_LINE), b"a dog\n# no\na cat\n"), "p.txt", lambda folder: read_prompts(str(folder / "p.txt"), GenerateConfig())
    ),
    "prompt line": Reader((seeds.PROMPT_LINE,), "p.txt", lambda folder: read_prompts(str(folder / "p.txt"), GenerateConfig())),
    "captions .json": _captions("c.json", seeds.COCO, {"1.png": "a dog"}, [{"image": "1.png", "caption": ["a dog"]}]),
    "captions .jsonl": _captions("c.jsonl", _lines(seeds.ROW, seeds.ROW)),
    "captions .csv": _captions("c.csv", b'image,caption\n1.png,"a dog, asleep"\n'),
    "captions .txt": _captions("c.txt", b"1.png\ta dog\n2.png\ta cat\n"),
    "COCO": _data("captions_train2017.json", seeds.COCO),
    "Karpathy": _data("dataset_coco.json", seeds.KARPATHY),
    "metadata.jsonl": _data("metadata.jsonl", _lines(seeds.ROW, seeds.ROW | {"file_name": "2.png"}), seeds.ROW),
    "metadata.csv": _data("metadata.csv", b"file_name,text\n1.png,a dog\n2.png,a cat\n"),
    **({"Parquet": Reader((seeds.rows(),), "0.parquet", read_cells)} if find_spec("pyarrow") else {}),
    "tar shard": Reader((seeds.shard(),), "000.tar", load_captioned),
    "manifest": Reader((_lines(seeds.MANIFEST_ROW), seeds.MANIFEST_ROW), "manifest.jsonl", go_on),
    "manifest for scores": Reader((seeds.MANIFEST_ROW,), "manifest.jsonl", lambda folder: find_pairs([folder]), {"0.png": seeds.picture()}),
    "TOML": Reader((seeds.TOML,), "o.toml", read_options),
}  # fmt: skip
