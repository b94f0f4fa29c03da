"""LoRA while it trains (Hu et al. 2021): peft's adapters in our networks, and their weights back as changes."""

from collections.abc import Mapping

from torch import Tensor, nn

from ldmcli.models.lora import Change, Changes

TARGETS = ("to_q", "to_k", "to_v", "to_out.0", "q_proj", "k_proj", "v_proj", "out_proj")
"""Every attention's matrices: those of the U-Net as diffusers' train_text_to_image_lora has them, then those of the text tower."""

DOWN, UP, BASE = ".lora_A.default.weight", ".lora_B.default.weight", ".base_layer."


def add_adapters(network: nn.Module, rank: int, alpha: float) -> None:
    """Freeze the network and put an adapter on every attention matrix. They change nothing yet: `up` begins with zeros."""
    from peft import LoraConfig, inject_adapter_in_model

    network.requires_grad_(False)
    settings = LoraConfig(r=rank, lora_alpha=alpha, init_lora_weights="gaussian", target_modules=list(TARGETS))  # type: ignore[arg-type]
    inject_adapter_in_model(settings, network)


def changes_in(state: Mapping[str, Tensor], alpha: float) -> Changes:
    """The adapters in a state dict by the name of their layer."""
    names = [key.removesuffix(DOWN) for key in state if key.endswith(DOWN)]
    return {name: Change(state[name + DOWN], state[name + UP], alpha) for name in names}


def merged(state: Mapping[str, Tensor], alpha: float) -> dict[str, Tensor]:
    """The state dict of the network without adapters that computes the same. One that has none stays as it is."""
    plain = {key.replace(BASE, "."): value for key, value in state.items() if not key.endswith((DOWN, UP))}
    for name, change in changes_in(state, alpha).items():
        plain[f"{name}.weight"] = plain[f"{name}.weight"] + change.of(plain[f"{name}.weight"])
    return plain
