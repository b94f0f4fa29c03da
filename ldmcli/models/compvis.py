"""Names of tensors in CompVis' and OpenCLIP's code, from ours, which are those of diffusers and transformers. Imports no torch."""

import re

from ldmcli.networks.configs import UNetConfig, VAEConfig

_UNET = {
    "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2", "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0", "conv_out": "out.2",
}  # fmt: skip
_RESNET = {
    "norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0", "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}  # fmt: skip


def unet_name(key: str, config: UNetConfig) -> str:
    """CompVis counts every block of a half of the U-Net in one row: `input_blocks.4.0` is the first ResNet block of the second level."""
    stem, _, parameter = key.rpartition(".")
    found = re.match(r"(down|mid|up)_blocks?\.(?:(\d+)\.)?([a-z]+)\.(\d+)\.(.+)", stem)
    if found is None:
        return f"{_UNET[stem]}.{parameter}"
    half, level, kind, place, rest = found[1], int(found[2] or 0), found[3], int(found[4]), f"{found[5]}.{parameter}"
    depth = config.layers_per_block
    if kind == "downsamplers":
        return f"input_blocks.{(level + 1) * (depth + 1)}.0.op.{parameter}"
    if kind == "upsamplers":
        after = 2 if config.up_block_types[level].startswith("CrossAttn") else 1
        return f"output_blocks.{level * (depth + 1) + depth}.{after}.conv.{parameter}"
    if kind == "resnets":
        rest = f"{_RESNET[found[5]]}.{parameter}"
    if half == "mid":
        return f"middle_block.{1 if kind == 'attentions' else 2 * place}.{rest}"
    block = f"input_blocks.{1 + level * (depth + 1) + place}" if half == "down" else f"output_blocks.{level * (depth + 1) + place}"
    return f"{block}.{1 if kind == 'attentions' else 0}.{rest}"


_VAE = {
    r"\.mid_block\.resnets\.0\.": ".mid.block_1.", r"\.mid_block\.resnets\.1\.": ".mid.block_2.",
    r"\.mid_block\.attentions\.0\.": ".mid.attn_1.", r"\.group_norm\.": ".norm.", r"\.to_(q|k|v)\.": r".\1.",
    r"\.to_out\.0\.": ".proj_out.", r"\.resnets\.": ".block.", r"\.(down|up)samplers\.0\.": r".\1sample.",
    r"\.conv_shortcut\.": ".nin_shortcut.", r"\.conv_norm_out\.": ".norm_out.", r"\.down_blocks\.": ".down.",
}  # fmt: skip


def vae_name(key: str, config: VAEConfig) -> str:
    """CompVis counts the decoder's levels from the full picture down, diffusers in the order in which they are run."""
    last = len(config.block_out_channels) - 1
    return re.sub(r"\.up_blocks\.(\d+)", lambda found: f".up.{last - int(found[1])}", _renamed(key, _VAE))


_OPEN_CLIP = {
    r"^embeddings\.token_embedding\.weight": "token_embedding.weight", r"^embeddings\.position_embedding\.weight": "positional_embedding",
    r"^encoder\.layers\.": "transformer.resblocks.", r"\.self_attn\.out_proj\.": ".attn.out_proj.",
    r"\.self_attn\.([qkv])_proj\.(\w+)": r".attn.in_proj_\2.\1",
    r"\.layer_norm(\d)\.": r".ln_\1.", r"\.fc1\.": ".c_fc.", r"\.fc2\.": ".c_proj.", r"^final_layer_norm\.": "ln_final.",
}  # fmt: skip


def open_clip_name(key: str) -> str:
    """The text tower of SD 2.x. OpenCLIP keeps q, k and v in one tensor; a last `.q`, `.k` or `.v` says which third is meant."""
    return _renamed(key, _OPEN_CLIP)


def _renamed(key: str, table: dict[str, str]) -> str:
    for pattern, name in table.items():
        key = re.sub(pattern, name, key)
    return key
