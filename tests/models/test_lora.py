"""LoRA files of every spelling against diffusers, and files that do not fit."""

import copy
import json
from functools import cache

import diffusers
import pytest
import torch
from safetensors.torch import save_file

from ldmcli.engine.session import open_session
from ldmcli.errors import LdmError, NonFinite, NotFound, UsageError
from ldmcli.models.lora_source import LORA_FILE, find_lora
from ldmcli.models.source import find_model
from ldmcli.networks.attention import TextContext
from ldmcli.runtime.device import select_runtime

pytestmark = pytest.mark.early

RANK = 3


def change(weight, generator, rank=RANK):
    """Random (down, up) for a weight, convolutions included, of a size that shows."""
    down = torch.randn(rank, *weight.shape[1:], generator=generator) * 0.1
    up = torch.randn(len(weight), rank, *[1] * (weight.dim() - 2), generator=generator) * 0.1
    return down, up


@cache
def pipeline_of(model):
    """As it lies in its folder, without a VAE; to be copied before it is changed."""
    return diffusers.StableDiffusionPipeline.from_pretrained(model, vae=None, local_files_only=True)


def weights_of(model, *, convolutions=False):
    """{part: {layer: weight}} of what LoRAs change."""
    pipeline = pipeline_of(model)
    ends = ("to_q", "to_v", "to_out.0", "ff.net.2", "proj_in", *(["conv1", "downsamplers.0.conv"] if convolutions else []))
    unet = {name: layer.weight for name, layer in pipeline.unet.named_modules() if name.endswith(ends)}
    text = {name: layer.weight for name, layer in pipeline.text_encoder.named_modules() if name.endswith(("q_proj", "fc1"))}
    return {"unet": unet, "text_encoder": {name.removeprefix("text_model."): weight for name, weight in text.items()}}


def kohya(model, generator, parts=("unet",)):
    """Without the text tower: what diffusers 0.42 makes of its names, transformers 5 does not find."""
    tensors = {}
    for part in parts:
        for name, weight in weights_of(model, convolutions=True)[part].items():
            key = {"unet": "lora_unet_", "text_encoder": "lora_te_text_model_"}[part] + name.replace(".", "_")
            down, up = change(weight, generator)
            tensors |= {f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up, f"{key}.alpha": torch.tensor(1.5)}
    return tensors, None


def peft(model, generator, parts=("unet", "text_encoder")):
    tensors = {}
    for part in parts:
        for name, weight in weights_of(model)[part].items():
            key = f"{part}.{'text_model.' if part == 'text_encoder' else ''}{name}"
            down, up = change(weight, generator)
            tensors |= {f"{key}.lora_A.weight": down, f"{key}.lora_B.weight": up}
    return tensors, None


def peft_with_settings(model, generator):
    """Alphas in the header: one for all, another for some, and the root of the rank where peft divides by that."""
    tensors, _ = peft(model, generator, parts=("unet",))
    settings = {"r": RANK, "lora_alpha": 6, "target_modules": ["to_q", "to_v", "to_out.0", "ff.net.2", "proj_in"]}
    settings |= {"alpha_pattern": {"to_v": 2, "mid_block.attentions.0.proj_in": 9}, "use_rslora": True}
    return tensors, {f"unet.{key}": value for key, value in settings.items()}


def attention_processors(model, generator):
    """As diffusers wrote them in 2023."""
    tensors = {}
    for name, weight in weights_of(model)["unet"].items():
        block, dot, end = name.partition(".to_")
        if dot:
            key = f"unet.{block}.processor.to_{end.removesuffix('.0')}_lora"
            down, up = change(weight, generator)
            tensors |= {f"{key}.down.weight": down, f"{key}.up.weight": up}
    return tensors, None


SPELLINGS = {"kohya": kohya, "peft": peft, "peft with settings": peft_with_settings, "attention processors": attention_processors}


def written(folder, tensors, settings):
    header = {"format": "pt"} | ({"lora_adapter_metadata": json.dumps(settings)} if settings else {})
    save_file(tensors, folder / LORA_FILE, metadata=header)
    return folder / LORA_FILE


@pytest.fixture(scope="module")
def folder(built):
    return built / "diffusers"


@pytest.fixture(scope="module")
def unchanged(folder):
    """A session without a LoRA."""
    return open_session(find_model(str(folder)), select_runtime("cpu", "fp32"))


def pipeline_with(model, lora):
    """diffusers' pipeline with this LoRA as `it`."""
    pipeline = copy.deepcopy(pipeline_of(model))
    pipeline.load_lora_weights(lora.parent, weight_name=lora.name, adapter_name="it")
    return pipeline


def answers(model, lora, pipeline, *, scale):
    """(states of a prompt, the U-Net's answer) by ours and by diffusers."""
    session = open_session(find_model(str(model), loras=[f"{lora}:{scale}"]), select_runtime("cpu", "fp32"))
    pipeline.set_adapters(["it"], [scale])
    generator = torch.Generator().manual_seed(0)
    noise, t = torch.randn(1, 4, 16, 16, generator=generator), torch.tensor([500.0])
    ids = session.text.tokens("a cat and a dog").ids[None]
    with torch.no_grad():
        states = session.text.encoder(ids), pipeline.text_encoder(ids).last_hidden_state
        return states, (session.unet(noise, t, TextContext(states[0])), pipeline.unet(noise, t, states[0]).sample)


FAMILIES = [(1, "kohya"), (2, "kohya"), (2, "peft"), (1, "peft with settings"), (1, "attention processors")]


@pytest.mark.parametrize(("family", "spelling"), FAMILIES, indirect=["family"])
def test_both_networks_answer_as_in_diffusers(folder, unchanged, tmp_path, spelling):
    lora = written(tmp_path, *SPELLINGS[spelling](folder, torch.Generator().manual_seed(1)))
    pipeline = pipeline_with(folder, lora)
    for scale in (1.0, -0.7) if spelling == "kohya" else (-0.7,):
        states, predictions = answers(folder, lora, pipeline, scale=scale)
        torch.testing.assert_close(*states, atol=2e-5, rtol=1e-4)
        torch.testing.assert_close(*predictions, atol=1e-4, rtol=1e-4)
        noise = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            before = unchanged.unet(noise, torch.tensor([500.0]), TextContext(states[0]))
        assert (before - predictions[0]).abs().max() > 0.01  # it did something


def test_the_text_tower_in_the_names_of_kohya(folder, unchanged, tmp_path):
    tensors, _ = kohya(folder, torch.Generator().manual_seed(1), parts=("text_encoder",))
    lora = written(tmp_path, tensors, None)
    session = open_session(find_model(str(folder), loras=[f"{lora}:0.5"]), select_runtime("cpu", "fp32"))
    changed = session.text.encoder.state_dict()
    for key, value in unchanged.text.encoder.state_dict().items():
        name = f"lora_te_text_model_{key.removesuffix('.weight').replace('.', '_')}"
        if key.endswith(("q_proj.weight", "fc1.weight")):  # Hu et al. 2021, sec. 4.1: W + alpha / r * B A
            value = value + 0.5 * 1.5 / RANK * (tensors[f"{name}.lora_up.weight"] @ tensors[f"{name}.lora_down.weight"])
        torch.testing.assert_close(changed[key], value, atol=1e-6, rtol=1e-5)


def test_a_single_file_model_takes_the_same_lora(built, folder, tmp_path):
    lora = written(tmp_path, *kohya(folder, torch.Generator().manual_seed(1), parts=("unet", "text_encoder")))
    words = str(folder / "tokenizer")
    single = open_session(find_model(str(built / "single.safetensors"), tokenizer=words, loras=[str(lora)]), select_runtime("cpu", "fp32"))
    whole = open_session(find_model(str(folder), loras=[str(lora)]), select_runtime("cpu", "fp32"))
    for one, other in ((single.unet, whole.unet), (single.text.encoder, whole.text.encoder)):
        wanted = other.state_dict()
        assert all(torch.equal(value, wanted[key]) for key, value in one.state_dict().items())


def test_the_scale_stands_behind_the_last_colon(tmp_path):
    file = tmp_path / "style.safetensors"
    file.touch()
    (odd := tmp_path / "a:0.5").mkdir()
    (odd / LORA_FILE).touch()
    assert (find_lora(str(file)).scale, find_lora(f"{file}:0.8").scale, find_lora(f"{file}:-2").scale) == (1.0, 0.8, -2.0)
    assert find_lora(str(odd)).scale == 1.0 and find_lora(f"{odd}:0.25").scale == 0.25
    assert find_lora(f"{file}:0.8").name == "style" and find_lora(str(odd)).path == odd / LORA_FILE


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("{}/none.safetensors", NotFound, "no such file"),
        ("{}/none.safetensors:0.8", NotFound, "none.safetensors: no such"),
        ("{}", NotFound, "does not hold one LoRA"),
        ("{}/style.safetensors:strong", UsageError, "'strong' is not a scale"),
        ("{}/style.safetensors:nan", UsageError, "finite"),
        ("{}/style.pt", LdmError, "pickle"),
    ],
)
def test_what_is_no_lora_is_told_before_anything_is_loaded(tmp_path, text, kind, said):
    for name in ("style.safetensors", "other.safetensors", "style.pt"):
        (tmp_path / name).touch()
    with pytest.raises(kind, match=said):
        find_lora(text.format(tmp_path))


@pytest.mark.parametrize(
    ("spoil", "kind", "said"),
    [
        (lambda t: {**t, LAYER + ".lora_B.weight": torch.zeros(7, RANK)}, LdmError, "layer .*attn1.to_q: it changes a weight of 7 x"),
        (lambda t: {**t, LAYER + ".lora_A.weight": torch.zeros(RANK, 7)}, LdmError, r"layer .*attn1.to_q: it changes a weight of \d+ x 7,"),
        (lambda t: {key.replace("mid_block", "last_block"): value for key, value in t.items()}, LdmError, "no layer last_block"),
        (lambda t: {key: value for key, value in t.items() if key != LAYER + ".lora_B.weight"}, LdmError, "lacks one of its two"),
        (lambda t: {**t, LAYER + ".lora_A.weight": torch.full_like(t[LAYER + ".lora_A.weight"], torch.nan)}, NonFinite, "attn1.to_q"),
        (lambda t: {**t, LAYER + ".lora_A.weight": torch.zeros(0, 8)}, LdmError, r"attn1.to_q: what it holds has shapes \(0, 8\)"),
        (lambda t: {**t, LAYER + ".lora_magnitude_vector": torch.ones(8)}, LdmError, "not part of a plain LoRA"),
        (lambda t: {"lora_te2_text_model_encoder.alpha": torch.ones(())}, LdmError, "Stable Diffusion XL"),
        (lambda t: {"conv_in.weight": torch.ones(3)}, LdmError, "no LoRA that is known here: conv_in"),
    ],
)
def test_a_lora_that_does_not_fit_names_the_layer(published, tmp_path, spoil, kind, said):
    tensors, _ = peft(published, torch.Generator().manual_seed(1))
    lora = written(tmp_path, spoil(tensors), None)
    with pytest.raises(kind, match=said):
        open_session(find_model(str(published), loras=[str(lora)]), select_runtime("cpu", "fp32"))


LAYER = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
