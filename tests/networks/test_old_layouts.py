"""Weights published under the names of older library versions."""

import diffusers
import pytest
import torch
import transformers

from ldmcli.networks.clip_text import CLIPText, without_prefix
from ldmcli.networks.configs import CLIPTextConfig, VAEConfig
from ldmcli.networks.vae import VAE, with_current_names

OLD = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


@pytest.mark.parametrize("convolutions", [False, True], ids=["matrices", "1x1 convolutions"])
def test_the_attention_names_of_old_vaes_are_understood(convolutions, tmp_path):
    torch.manual_seed(0)
    options = {"block_out_channels": (8,), "norm_num_groups": 4}
    theirs = diffusers.AutoencoderKL(**options)
    state = {}
    for key, value in theirs.state_dict().items():
        if ".attentions." in key:
            for new, old in OLD.items():
                if f".{new}." in key:
                    value = value[:, :, None, None] if convolutions and value.dim() == 2 else value
                    key = key.replace(f".{new}.", f".{old}.")
        state[key] = value
    assert sum(name in key for name in OLD.values() for key in state if ".attentions." in key) == 16
    ours = VAE(VAEConfig(**options))
    ours.load_state_dict(with_current_names(state))
    pictures = torch.randn(1, 3, 8, 8)
    assert torch.allclose(ours.encode(pictures).mean, theirs.encode(pictures).latent_dist.mean, atol=1e-5)


def test_current_names_are_left_alone():
    state = VAE(VAEConfig(block_out_channels=(8,), norm_num_groups=4)).state_dict()
    renamed = with_current_names(state)
    assert list(renamed) == list(state)
    assert all(renamed[key] is state[key] for key in state)


def test_the_prefix_and_the_position_ids_of_old_text_encoders_are_dropped():
    options = {
        "vocab_size": 20,
        "hidden_size": 8,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "eos_token_id": 19,
    }
    theirs = transformers.CLIPTextModel(transformers.CLIPTextConfig(bos_token_id=18, pad_token_id=1, **options)).eval()
    state = {f"text_model.{key}": value for key, value in theirs.state_dict().items()}
    state["text_model.embeddings.position_ids"] = torch.arange(77)[None]
    ours = CLIPText(CLIPTextConfig(**options)).eval()
    ours.load_state_dict(without_prefix(state))
    ids = torch.tensor([[18, 3, 4, 19]])
    assert torch.allclose(ours(ids), theirs(ids).last_hidden_state, atol=1e-5)
