#!/usr/bin/env python
"""Build a Stable Diffusion with random weights in its true shape, from a folder that holds its configs and tokenizer but no weights.

    scripts/build_sd14.py CONFIG_FOLDER OUT

writes OUT/diffusers/ (a diffusers folder), OUT/fp16/ (the same with `*.fp16.safetensors`) and OUT/single.safetensors (the layout of
CompVis and Stability AI). SD v1.4 takes 11 GB on disk and 5 GB of memory. Any SD 1.x or 2.x config of any width will do.
"""

import argparse
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel

from ldmcli.models.checkpoint import CLIP, INNER, OPEN_CLIP, UNET, VAE
from ldmcli.models.compvis import open_clip_name, unet_name, vae_name
from ldmcli.models.layout import read_json
from ldmcli.models.saving import write_json
from ldmcli.networks.clip_text import without_prefix
from ldmcli.networks.configs import UNetConfig, VAEConfig


def build(config: Path, out: Path, *, seed: int = 0) -> None:
    """Write the three forms. The initial values are those of diffusers and transformers, the outputs scaled to about one."""
    torch.manual_seed(seed)
    unet = UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(config / "unet"))
    vae = AutoencoderKL.from_config(AutoencoderKL.load_config(config / "vae"))
    text = CLIPTextModel(CLIPTextConfig.from_pretrained(config / "text_encoder"))
    with torch.no_grad():
        # As they come, the networks answer with next to nothing; grey pictures would be equal whatever draws them.
        latents, states = torch.randn(1, 4, 16, 16), torch.randn(1, 77, unet.config.cross_attention_dim)
        unet.conv_out.weight.div_(unet(latents, 500, states).sample.std())
        vae.decoder.conv_out.weight.div_(2 * vae.decode(5 * latents).sample.std())
    out.mkdir(parents=True, exist_ok=True)
    # Networks that have learned nothing cannot show what they were meant to predict; newer files state it like this.
    prediction = {"v_prediction": "v"}.get(read_json(config / "scheduler" / "scheduler_config.json").get("prediction_type", ""), "epsilon")
    metadata = {"format": "pt", "modelspec.prediction_type": prediction}
    save_file(checkpoint_tensors(unet, vae, text), out / "single.safetensors", metadata=metadata)
    networks = {"unet": unet, "vae": vae, "text_encoder": text}
    save_folder(config, out / "diffusers", networks)
    for network in networks.values():
        network.half()
    save_folder(config, out / "fp16", networks, variant="fp16")


def save_folder(config: Path, folder: Path, networks: dict[str, nn.Module], variant: str | None = None) -> None:
    """A diffusers folder without the parts that `config` names and does not hold."""
    shutil.copytree(config, folder, copy_function=shutil.copyfile, dirs_exist_ok=True)
    for name, network in networks.items():
        network.save_pretrained(folder / name, variant=variant, max_shard_size="10GB")
    index = read_json(folder / "model_index.json")
    write_json(folder / "model_index.json", {**index, "safety_checker": [None, None], "feature_extractor": [None, None]})


def checkpoint_tensors(unet: nn.Module, vae: nn.Module, text: nn.Module) -> dict[str, Tensor]:
    """The tensors of all three under the names of CompVis' code, the text tower of SD 2.x under those of OpenCLIP."""
    unet_config, vae_config = UNetConfig.from_dict(dict(unet.config)), VAEConfig.from_dict(dict(vae.config))
    tensors = {UNET + unet_name(key, unet_config): value for key, value in unet.state_dict().items()}
    for key, value in vae.state_dict().items():
        # CompVis' VAE has 1x1 convolutions where diffusers has linear layers
        as_there = value[..., None, None] if ".attentions." in key and value.dim() == 2 else value
        tensors[VAE + vae_name(key, vae_config)] = as_there
    states = without_prefix(text.state_dict())
    if text.config.hidden_act == "gelu":
        named = {OPEN_CLIP + open_clip_name(key): value for key, value in states.items()}
        tensors |= {key: value for key, value in named.items() if ".in_proj_" not in key}
        for key in {key[:-2] for key in named if ".in_proj_" in key}:
            tensors[key] = torch.cat([named[f"{key}.{part}"] for part in "qkv"])
    else:
        tensors |= {CLIP + INNER + key: value for key, value in states.items()}
        tensors[CLIP + INNER + "embeddings.position_ids"] = torch.arange(text.config.max_position_embeddings)[None]
    return {key: value.contiguous() for key, value in tensors.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    build(arguments.config, arguments.out, seed=arguments.seed)


if __name__ == "__main__":
    main()
