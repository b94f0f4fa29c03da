"""Every table: what real files say is taken, and what cannot be is refused by file and key, whatever is wrong with it."""

import copy
import json
import time

import pytest
from test_properties import READERS

from ldmcli.errors import LdmError

WRONG = {
    "NaN": float("nan"),
    "negative": -1,
    "huge": 10**30,
    "10**7": 10**7,
    "null": None,
    "a text": "x",
    "a list": [1] * 100,
    "an object": {},
}

KEYS = {
    "unet": ("layers_per_block", "block_out_channels", "norm_num_groups", "cross_attention_dim", "attention_head_dim", "in_channels"),
    "vae": ("layers_per_block", "block_out_channels", "norm_num_groups", "latent_channels", "scaling_factor", "down_block_types"),
    "text_encoder": ("num_hidden_layers", "hidden_size", "num_attention_heads", "max_position_embeddings", "vocab_size"),
    "scheduler": ("num_train_timesteps", "beta_start", "beta_end", "steps_offset", "set_alpha_to_one"),
    "model_index": ("_ldm.text_mask", "_ldm.defaults.steps", "_ldm.defaults.scheduler"),
    "shard index": ("weight_map", "weight_map.a"),
    "scorer": ("text_config.num_hidden_layers", "vision_config.image_size", "vision_config.hidden_size"),
    "scorer's processor": ("crop_size.height",),
    "tokenizer.json": ("model.vocab", "model.merges", "added_tokens"),
    "tokenizer_config": ("added_tokens_decoder",),
    "lora settings": ("unet.lora_alpha", "unet.alpha_pattern", "unet.alpha_pattern.to_v"),
}


def put(body, key, value):
    """A copy with another value. Keys of the LoRA's settings and of its patterns hold dots themselves."""
    body = copy.deepcopy(body)
    at, rest = body, key
    while True:
        name = next(name for name in sorted(at, key=len, reverse=True) if rest == name or rest.startswith(f"{name}."))
        if rest == name:
            at[name] = value
            return body
        at, rest = at[name], rest[len(name) + 1 :]


@pytest.mark.parametrize(("name", "key"), [(name, key) for name, keys in KEYS.items() for key in keys])
def test_a_wrong_value_is_refused_by_file_and_key_at_once(tmp_path, name, key):
    reader = READERS[name]
    reader.prepare(tmp_path)
    refused = 0
    for what, value in WRONG.items():
        began = time.perf_counter()
        try:
            reader.take(tmp_path, json.dumps(put(reader.seeds[0], key, value)).encode())
        except LdmError as error:
            refused += 1
            assert reader.name.rpartition("/")[2] in error.message, what
            assert key.split(".")[-1] in error.message, (what, error.message)
            assert "\n" not in error.message and len(error.message) < 500
        assert time.perf_counter() - began < 1, what
    assert refused >= 5


@pytest.mark.parametrize("pattern", ["(a|a)*b", ".*", "^to_v$", "to_[qv]", "to_v\n"])
def test_a_pattern_that_is_no_name_of_a_layer_is_refused(tmp_path, pattern):
    reader = READERS["lora settings"]
    reader.prepare(tmp_path)
    with pytest.raises(LdmError, match="alpha_pattern.*no name of a layer; refused"):
        reader.take(tmp_path, json.dumps(put(reader.seeds[0], "unet.alpha_pattern", {pattern: 2})).encode())
