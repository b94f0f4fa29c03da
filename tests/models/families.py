"""Stable Diffusion 1.x and 2.x in their published shape and a small width, as scripts/build_sd14.py makes them from configs."""

import json
import sys
from pathlib import Path

import torch
from published import ENTRIES, write_tokenizer
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

from build_sd14 import build  # noqa: E402

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


def build_family(folder: Path, family: int) -> Path:
    """SD 1.x (epsilon) or 2.x (v) as a diffusers folder, with fp16 files and as a single file, each as it was published."""
    build(write_configs(folder / "configs", family, {1: "epsilon", 2: "v_prediction"}[family]), folder)
    if family == 2:  # as published: a last layer that is not run, and what only CLIP's own training needs
        tensors = load_file(folder / "single.safetensors")
        prefix = "cond_stage_model.model."
        last = {key.replace(".1.", ".23.", 1): value for key, value in tensors.items() if f"{prefix}transformer.resblocks.1." in key}
        extra = {f"{prefix}logit_scale": torch.tensor(4.6), f"{prefix}text_projection": torch.randn(64, 64)}
        whole = {key: value.clone() for key, value in {**tensors, **last, **extra}.items()}
        save_file(whole, folder / "single.safetensors", {"modelspec.prediction_type": "v"})
    return folder
