"""Stable Diffusion 1.x and 2.x in their published shape and a small width, as scripts/build_sd14.py makes them from configs."""

import json
import sys
from pathlib import Path

from published import ENTRIES, write_tokenizer

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from build_sd14 import build  # noqa: E402, F401

LENGTH = 77
PARTS = {
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "scheduler": ["diffusers", "PNDMScheduler"],
}
UNET_1 = {
    "_class_name": "UNet2DConditionModel",
    "sample_size": 64,
    "block_out_channels": [32, 32, 64, 64],
    "cross_attention_dim": 64,
    "attention_head_dim": 8,
}
UNET_2 = {**UNET_1, "block_out_channels": [64, 64, 128, 128], "attention_head_dim": [1, 1, 2, 2], "use_linear_projection": True}
VAE = {
    "_class_name": "AutoencoderKL",
    "block_out_channels": [32, 32, 64, 64],
    "layers_per_block": 2,
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "sample_size": 512,
    "scaling_factor": 0.18215,
}
TEXT = {
    "architectures": ["CLIPTextModel"],
    "model_type": "clip_text_model",
    "vocab_size": len(ENTRIES),
    "hidden_size": 64,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 1,
    "max_position_embeddings": LENGTH,
    "bos_token_id": len(ENTRIES) - 2,
    "eos_token_id": 2,
}
SCHEDULER = {
    "_class_name": "PNDMScheduler",
    "_diffusers_version": "0.7.0.dev0",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "clip_sample": False,
}


def write_configs(folder: Path, family: int, prediction: str = "epsilon") -> Path:
    """The configs and the tokenizer of SD 1.x or 2.x, as their folders on the hub have them."""
    bodies = {
        "model_index.json": {"_class_name": "StableDiffusionPipeline", "_diffusers_version": "0.8.0", **PARTS},
        "unet/config.json": {1: UNET_1, 2: UNET_2}[family],
        "vae/config.json": VAE,
        "text_encoder/config.json": {**TEXT, "hidden_act": {1: "quick_gelu", 2: "gelu"}[family]},
        "scheduler/scheduler_config.json": {**SCHEDULER, "prediction_type": prediction},
    }
    for name, body in bodies.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(body))
    pad = {1: "<|endoftext|>", 2: "!"}[family]
    special = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>", "pad_token": pad}
    write_tokenizer(folder / "tokenizer", {"model_max_length": LENGTH, "tokenizer_class": "CLIPTokenizer", **special}, special)
    return folder
