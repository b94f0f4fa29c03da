"""Model folders as people have them: of old diffusers, with variants and learned tokens. StableDiffusionPipeline decides."""

import json
import shutil

import diffusers
import pytest
import torch
import transformers
from published import ENTRIES
from safetensors.torch import load_file, save_file

from ldmcli.engine.session import open_session
from ldmcli.errors import LdmError, NotFound
from ldmcli.models.hub import files_to_get
from ldmcli.models.layout import PARTS
from ldmcli.models.loading import load_unet, load_vae
from ldmcli.models.source import find_model
from ldmcli.models.tokenizer import load_tokenizer
from ldmcli.runtime.device import select_runtime


def opened(folder, **options):
    return open_session(find_model(str(folder), **options), select_runtime("cpu", "auto"))


def set_json(path, **values):
    """Change keys of a JSON file; ... drops one."""
    body = json.loads(path.read_text()) | values
    path.write_text(json.dumps({key: value for key, value in body.items() if value is not ...}))


SCHEDULER, UNET, VAE = "scheduler/scheduler_config.json", "unet/config.json", "vae/config.json"
OLD = {  # file, what it says instead, how many corrections are said
    "7: steps_offset 0": (SCHEDULER, {"steps_offset": 0}, 1),
    "7: no steps_offset": (SCHEDULER, {"steps_offset": ...}, 1),
    "7: a scheduler that knows none": (SCHEDULER, {"_class_name": "DPMSolverSinglestepScheduler", "steps_offset": ...}, 0),
    "7: sample_size of diffusers 0.8": (UNET, {"_diffusers_version": "0.8.0", "sample_size": 8}, 1),
    "7: sample_size of a development version": (UNET, {"_diffusers_version": "0.9.0.dev0", "sample_size": 8}, 0),
    "7: sample_size of diffusers 0.30": (UNET, {"_diffusers_version": "0.30.0", "sample_size": 8}, 0),
    "7: a large sample_size of diffusers 0.2": (UNET, {"_diffusers_version": "0.2.2", "sample_size": 96}, 0),
    "8: no scaling_factor": (VAE, {"scaling_factor": ...}, 1),
    "as it is": (VAE, {}, 0),
}


@pytest.mark.parametrize("row", OLD)
def test_old_configs_are_corrected_as_the_pipeline_does_it_and_said(own_copy, row):
    file, values, said = OLD[row]
    set_json(own_copy / file, **values)
    if "_class_name" in values:
        set_json(own_copy / "model_index.json", scheduler=["diffusers", values["_class_name"]])
    ours, theirs = opened(own_copy), diffusers.StableDiffusionPipeline.from_pretrained(own_copy, local_files_only=True)
    assert ours.schedule.steps_offset == theirs.scheduler.config.get("steps_offset", 0)
    assert ours.unet.config.sample_size == theirs.unet.config.sample_size
    assert ours.vae.config.scaling_factor == theirs.vae.config.scaling_factor
    assert len(ours.notes) == said and all(str(own_copy / file) in note and "StableDiffusionPipeline" in note for note in ours.notes)


def test_a_vae_alone_without_scaling_factor_is_taken_with_that_of_diffusers(own_copy, published):
    set_json(own_copy / VAE, scaling_factor=...)
    session = opened(published, vae=str(own_copy / "vae"))
    assert session.vae.config.scaling_factor == diffusers.AutoencoderKL.from_pretrained(own_copy / "vae").config.scaling_factor == 0.18215
    assert [str(own_copy / "vae") in note for note in session.notes] == [True]


def named(folder, variant, *components):
    """Give the weights of these components the name of a variant, and other values."""
    for component in components or ("unet", "vae", "text_encoder"):
        path = next((folder / component).glob("*.safetensors"))
        tensors = {key: value + 0.5 for key, value in load_file(path).items()}
        save_file(tensors, path.with_suffix(f".{variant}.safetensors"))
    return folder


@pytest.mark.parametrize("variant", ["bf16", "non_ema", "fp16"])
def test_a_variant_is_taken_where_it_is_asked_for(own_copy, variant):
    plain = load_unet(own_copy).conv_in.weight
    named(own_copy, variant, "unet")
    source = find_model(str(own_copy), variant=variant)
    theirs = diffusers.UNet2DConditionModel.from_pretrained(own_copy / "unet", variant=variant)
    assert torch.equal(load_unet(source.path, **source.picking).conv_in.weight, theirs.conv_in.weight)
    assert torch.equal(load_unet(own_copy).conv_in.weight, plain)
    assert torch.equal(load_vae(source.path, **source.picking).decoder.conv_in.weight, load_vae(own_copy).decoder.conv_in.weight)
    assert source.overrides() == {"variant": variant}


@pytest.mark.parametrize("variant", ["bf16", "non_ema"])
def test_weights_that_are_only_a_variant_say_how_they_are_taken(own_copy, variant):
    named(own_copy, variant)
    for component in ("unet", "vae", "text_encoder"):
        (next(path for path in (own_copy / component).glob("*.safetensors") if path.name.count(".") == 1)).unlink()
    with pytest.raises(NotFound) as caught:
        opened(own_copy)
    assert f"only as the variant {variant}" in caught.value.message and f"--variant {variant}" in caught.value.hint
    opened(own_copy, variant=variant)


def test_a_variant_that_is_nowhere_is_named_with_those_that_are_there(own_copy):
    named(own_copy, "bf16", "unet")
    with pytest.raises(NotFound, match="no weights of the variant fp8: it has bf16"):
        find_model(str(own_copy), variant="fp8")
    names = [path.relative_to(own_copy).as_posix() for path in own_copy.rglob("*") if path.is_file()]
    wanted = list(files_to_get(names, PARTS, "some/model", variant="bf16"))
    assert "unet/diffusion_pytorch_model.bf16.safetensors" in wanted and "vae/diffusion_pytorch_model.safetensors" in wanted
    with pytest.raises(NotFound, match="no weights of the variant fp8"):
        list(files_to_get(names, PARTS, "some/model", variant="fp8"))


@pytest.mark.parametrize("name", ["FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler", "EDMEulerScheduler"])
def test_schedulers_of_another_process_are_refused_by_name(own_copy, name):
    index = json.loads((own_copy / "model_index.json").read_text())
    set_json(own_copy / "model_index.json", scheduler=["diffusers", name])
    with pytest.raises(LdmError, match=f"the scheduler {name} is for"):
        find_model(str(own_copy))
    set_json(own_copy / "model_index.json", **index)
    set_json(own_copy / SCHEDULER, _class_name=name)
    with pytest.raises(LdmError, match=f"the scheduler {name} is for"):
        opened(own_copy)
    set_json(own_copy / SCHEDULER, _class_name="DPMSolverMultistepScheduler", use_flow_sigmas=True)
    with pytest.raises(LdmError, match="flow matching"):
        opened(own_copy)


LEARNED = ("<cat-toy>", "<cat-toy>_1", "<cat-toy>_2", "<Style>")
PROMPTS = ("a <cat-toy> and a dog", "a<CAT-TOY>and <cat-toy>", "<style> <Style> cat", "<cat-toy>_1 dog", "a dog", "<cat-toy> " * 9)


def with_learned(folder, form):
    """The folder with learned tokens, as load_textual_inversion and save_pretrained leave it, in the files of three ages."""
    tokenizer = transformers.CLIPTokenizer.from_pretrained(folder / "tokenizer")
    tokenizer.add_tokens(list(LEARNED))
    encoder = transformers.CLIPTextModel.from_pretrained(folder / "text_encoder")
    encoder.resize_token_embeddings(len(tokenizer))
    encoder.save_pretrained(folder / "text_encoder")
    if form == "tokenizer.json":
        tokenizer.save_pretrained(folder / "tokenizer")
        return
    shutil.rmtree(folder / "tokenizer")
    from published import LENGTH, write_tokenizer

    numbers = {content: len(ENTRIES) + place for place, content in enumerate(LEARNED)}
    flags = {"lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
    special = {place: {"content": ENTRIES[place], **flags, "special": True} for place in (len(ENTRIES) - 2, len(ENTRIES) - 1)}
    decoder = {str(n): token for n, token in (special | {n: {"content": c, **flags, "special": False} for c, n in numbers.items()}).items()}
    own = {"added_tokens_decoder": decoder} if form == "added_tokens_decoder" else {}
    write_tokenizer(folder / "tokenizer", {"model_max_length": LENGTH, **own})
    (folder / "tokenizer" / "added_tokens.json").write_text(json.dumps(numbers))


@pytest.mark.parametrize("form", ["tokenizer.json", "added_tokens_decoder", "added_tokens.json"])
def test_learned_tokens_are_read_as_the_pipeline_reads_them(own_copy, form):
    with_learned(own_copy, form)
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(own_copy, local_files_only=True)
    text = opened(own_copy).text
    for prompt in PROMPTS:
        tokens = text.tokens(prompt)
        with torch.no_grad():
            theirs, _ = pipeline.encode_prompt(prompt, "cpu", 1, False)
        asked = pipeline.maybe_convert_prompt(prompt, pipeline.tokenizer)
        ids = pipeline.tokenizer(asked, padding="max_length", max_length=len(tokens.ids), truncation=True).input_ids
        assert tokens.ids.tolist() == ids
        assert (text.states([tokens]) - theirs).abs().max() <= 1e-5
    spelled = text.tokenizer.word_positions([("a <cat-toy>", 1.0)])
    assert [word for word, *_ in spelled] == ["a", "<cat-toy>", "<cat-toy>_1", "<cat-toy>_2"]


def test_learned_tokens_with_gaps_are_refused(own_copy):
    (own_copy / "tokenizer" / "added_tokens.json").write_text(json.dumps({"<cat-toy>": len(ENTRIES) + 3}))
    with pytest.raises(LdmError, match="<cat-toy> cannot be number"):
        load_tokenizer(own_copy / "tokenizer", 12)
