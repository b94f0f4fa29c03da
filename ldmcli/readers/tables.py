"""What the files of a model, a LoRA, a training run and a cache may say: one table a file, with types and bounds.

Bounds are wide of anything that was ever published and narrow enough that nothing which keeps them can take a machine down. The configs of
networks have theirs beside their fields, in networks/configs.py.
"""

from collections.abc import Iterator
from typing import Any

from ldmcli.readers.rules import Anything, Either, Fault, Flag, Listed, Named, Nothing, Number, Record, Rule, Text, optional, whole

INF = float("inf")
MOST_LAYERS, MOST_WIDTH, MOST_WORDS, MOST_LENGTH = 128, 32_768, 1_000_000, 4_096
"""Of a text tower or any stack; channels of a layer; entries of a vocabulary; tokens of a window."""
MOST_ADDED = 1_000
"""Tokens beside the vocabulary: each costs a search of its own in every prompt."""
MOST_NUMBER = 2**24
"""Of a token."""
MOST_SIDE = 65_536
"""Pixels."""


class Merge(Rule):
    """Two pieces of a word, in a list or with a blank between: CLIP has 48,894 of them."""

    def holds(self, value: Any) -> bool:
        """See the class."""
        return type(value) is str or (type(value) is list and len(value) == 2 and type(value[0]) is type(value[1]) is str)

    def faults(self, value: Any) -> Iterator[Fault]:
        """See the class."""
        if not self.holds(value):
            yield "", value, "a pair of texts"


PRESET = Record(
    {
        "scheduler": Text(),
        "steps": whole(1, 1000),
        "spacing": Text(),
        "cfg_interval": Listed(Number(0, 1), 2, 2),
        "cfg_reuse": whole(1, 1000),
    }
)

PART = Either(Listed(Either(Text(), Nothing()), 8), Text(), Nothing())

MODEL_INDEX = Record(
    {
        "_class_name": Either(Text(), Nothing(), Listed(Text(), 8)),
        **dict.fromkeys(("unet", "vae", "text_encoder", "tokenizer", "scheduler", "safety_checker", "feature_extractor"), PART),
        "_ldm": Record(
            {
                "text_mask": Flag(),
                "cfg_dropout": Number(0, 1),
                "defaults": Record({"scheduler": Text(), "steps": whole(1, 1000), "cfg": Number(0, 1000)}),
                "presets": Record({"balanced": PRESET, "fast": PRESET}),
                "examples": Anything(),  # what cannot be typed is left out
            }
        ),
    }
)
"""model_index.json, with what `ldm` adds to it."""

SCHEDULER = Record(
    {
        "_class_name": optional(Text()),
        "num_train_timesteps": whole(1, 100_000),
        "beta_start": Number(0, 1, above=True),
        "beta_end": Number(0, 1, above=True),
        "beta_schedule": Text(),
        "prediction_type": Text(),
        "steps_offset": whole(0, 1000),
        "set_alpha_to_one": Flag(),
        "timestep_spacing": optional(Text()),
        "rescale_betas_zero_snr": optional(Flag()),
        "use_flow_sigmas": optional(Flag()),
        "trained_betas": optional(Listed(Number(0, 1), 100_000)),
    }
)
"""scheduler_config.json, and what the .yaml beside a checkpoint file says in its own words."""

SHARDS = Record({"weight_map": Named(Text(), 1_000_000)}, required=("weight_map",))
"""A *.index.json."""

NUMBERS = Named(whole(0, MOST_NUMBER), MOST_WORDS)
"""vocab.json."""
ADDED_NUMBERS = Named(whole(0, MOST_NUMBER), MOST_ADDED)
"""added_tokens.json."""

_ONE = {"content": Text(), **dict.fromkeys(("special", "single_word", "lstrip", "rstrip", "normalized"), Flag())}
_ROLE = Either(Record(_ONE, required=("content",)), Text(), Nothing())
_ROLES = dict.fromkeys(("bos_token", "eos_token", "unk_token", "pad_token"), _ROLE)

TOKENIZER = Record(
    {
        "model": Record({"vocab": NUMBERS, "merges": Listed(Merge(), MOST_WORDS)}, required=("vocab", "merges")),
        "added_tokens": optional(Listed(Record({"id": whole(0, MOST_NUMBER), **_ONE}, required=("id", "content")), MOST_ADDED)),
    },
    required=("model",),
)
"""tokenizer.json."""

TOKENIZER_CONFIG = Record(
    {
        **_ROLES,
        "model_max_length": optional(Number(1, INF)),
        "added_tokens_decoder": Named(Record(_ONE, required=("content",)), MOST_ADDED),
    }
)
"""tokenizer_config.json. transformers writes 10**30 for a tokenizer without a length."""
SPECIAL_TOKENS = Record(_ROLES)
"""special_tokens_map.json."""

_TOWER = {
    "num_hidden_layers": whole(1, MOST_LAYERS),
    "num_attention_heads": whole(1, 1024),
    "hidden_size": whole(1, MOST_WIDTH),
    "intermediate_size": whole(1, 4 * MOST_WIDTH),
    "projection_dim": whole(1, MOST_WIDTH),
    "layer_norm_eps": Number(0, 1, above=True),
    "hidden_act": Text(),
}
SCORER = Record(
    {
        "model_type": optional(Text()),
        "projection_dim": whole(1, MOST_WIDTH),
        "text_config": optional(Record({**_TOWER, "vocab_size": whole(1, MOST_WORDS), "max_position_embeddings": whole(2, MOST_LENGTH)})),
        "vision_config": optional(
            Record({**_TOWER, "image_size": whole(1, 4096), "patch_size": whole(1, 4096), "num_channels": whole(1, 16)})
        ),
    }
)
"""config.json of transformers' CLIPModel."""

_SIDES = Either(whole(1, 4096), Named(whole(1, 4096), 8))
PROCESSOR = Record({"size": optional(_SIDES), "crop_size": optional(_SIDES), "image_mean": optional(Listed(Number(-1e6, 1e6), 16)),
                    "image_std": optional(Listed(Number(0, 1e6, above=True), 16)), "resample": optional(whole(0, 5)),
                    "rescale_factor": optional(Number(0, 1e6))})  # fmt: skip
"""preprocessor_config.json."""

_ALPHA = Number(0, 1e6)
LORA_PARTS = ("unet", "text_encoder")
LORA = Record(
    {f"{part}.{key}": rule for part in LORA_PARTS for key, rule in
     {"lora_alpha": _ALPHA, "use_rslora": optional(Flag()), "alpha_pattern": optional(Named(_ALPHA, 100_000))}.items()}
)  # fmt: skip
"""peft's settings as diffusers keeps them in the header of a LoRA."""

CHECKPOINT = Record(
    {
        "format": whole(0, 2**31),
        "step": whole(0, 2**53),
        "files": Named(Text(), 1000),
        "facts": Record(
            {
                "settings": Named(Anything()),
                "processes": whole(1, 1_000_000),
            }
        ),
    },
    required=("format", "step", "files", "facts"),
)
"""manifest.json of a checkpoint. What it says of the state is looked at beside the tensors, in training/state.py."""

CACHE_ENTRY = Record({"bad": Named(Text(100_000), 100_000_000)})
"""entry.json of a cache."""
