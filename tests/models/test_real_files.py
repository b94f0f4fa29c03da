"""Checkpoint files as people have them, a row each: every tensor is the one that diffusers takes, or the error says what is wrong."""

import json
import struct

import diffusers
import pytest
import torch
from real_files import TEXT_1, TEXT_2, changed_file, fp8, renamed, transformers_text, without
from safetensors.torch import load_file, save_file

from ldmcli.errors import LdmError, NotFound
from ldmcli.models.loading import load_text_encoder, load_unet, load_vae
from ldmcli.models.source import find_model

LOADERS = {"unet": load_unet, "vae": load_vae, "text_encoder": load_text_encoder}


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """SD 2.x whose text has its published width, by which the text tower of a merged file is known."""
    from families import build, write_configs

    folder = tmp_path_factory.mktemp("wide")
    configs = write_configs(folder / "configs", 2, "v_prediction")
    text = {"hidden_size": 1024, "num_attention_heads": 16, "intermediate_size": 96, "num_hidden_layers": 1}
    unet = {"cross_attention_dim": 1024, "block_out_channels": [64] * 4, "attention_head_dim": [1] * 4}
    for name, values in (("text_encoder", text), ("unet", unet)):
        path = configs / name / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | values))
    build(configs, folder)
    return folder


def by_diffusers(path, configs):
    """The state dicts and configs that from_single_file makes of a file, given the family's configs."""
    pipeline = diffusers.StableDiffusionPipeline.from_single_file(
        path, config=str(configs), local_files_only=True, torch_dtype=torch.float32
    )
    networks = {name: getattr(pipeline, name) for name in LOADERS}
    states = {
        name: {key.removeprefix("text_model."): value for key, value in network.state_dict().items() if "position_ids" not in key}
        for name, network in networks.items()
    }
    return states, {name: network.config for name, network in networks.items()}


FILES = {  # name: family, or the wide one, and the change
    "4: from a diffusers folder, without the layer that is not run": (2, lambda tensors: without(tensors, "resblocks.23.")),
    "5: a text tower with the names of transformers": ("wide", transformers_text),
    "5: the same, with the layer that is not run": ("wide", lambda tensors: (again(tensors), transformers_text(tensors))),
    "9: NovelAI, without text_model.": (1, lambda tensors: renamed(tensors, f"{TEXT_1}text_model.", TEXT_1)),
    "9: weights in 8 bits": (2, fp8),
    "9: a text projection too many": (1, lambda tensors: tensors.update({f"{TEXT_1}text_projection.weight": torch.zeros(64, 64)})),
    "9: the same below text_model.": (1, lambda tensors: tensors.update({f"{TEXT_1}text_model.text_projection.weight": torch.zeros(2, 2)})),
}


def again(tensors):
    """The first layer once more, as layer 23."""
    layer = {key.replace(".0.", ".23.", 1): value + 1 for key, value in tensors.items() if f"{TEXT_2}transformer.resblocks.0." in key}
    assert layer
    tensors.update(layer)


ROWS = [pytest.param(2 if kind == "wide" else kind, row, id=row) for row, (kind, _) in FILES.items()]
FIRST = pytest.mark.parametrize("family", [1], indirect=True)


@pytest.mark.parametrize(("family", "row"), ROWS, indirect=["family"])
def test_every_tensor_and_head_is_the_one_that_diffusers_takes(built, wide, tmp_path, row):
    kind, change = FILES[row]
    folder = wide if kind == "wide" else built
    path = changed_file(folder / "single.safetensors", tmp_path / "file.safetensors", change)
    as_published = path
    if "NovelAI" in row:  # diffusers does not know its names; A1111 puts this back
        as_published = changed_file(path, tmp_path / "named.safetensors", lambda t: renamed(t, TEXT_1, f"{TEXT_1}text_model."))
    states, configs = by_diffusers(as_published, folder / "diffusers")
    loaded = {name: load(path) for name, load in LOADERS.items()}
    for name, ours in loaded.items():
        state = ours.state_dict()
        assert state.keys() == states[name].keys() - {"text_projection.weight"}
        assert all(torch.equal(value, states[name][key]) for key, value in state.items())
        for key in ("num_hidden_layers", "num_attention_heads", "hidden_act", "intermediate_size", "attention_head_dim"):
            theirs = getattr(configs[name], key, None) if name != "vae" else None
            mine = getattr(ours.config, key, None)
            assert mine == (tuple(theirs) if isinstance(theirs, list) else theirs), key
    if kind == "wide":
        assert (loaded["text_encoder"].config.hidden_act, loaded["unet"].config.use_linear_projection) == ("gelu", True)


@FIRST
def test_a_shape_that_does_not_fit_is_an_error_and_not_reshaped(built, tmp_path):
    def turned(tensors):
        key = "model.diffusion_model.input_blocks.0.0.weight"
        tensors["model.diffusion_model.time_embed.0.weight"] = tensors["model.diffusion_model.time_embed.0.weight"].T.contiguous()
        assert tensors[key].dim() == 4

    with pytest.raises(LdmError, match="time_embedding.linear_1.weight has shape"):
        load_unet(changed_file(built / "single.safetensors", tmp_path / "a.safetensors", turned))


@FIRST
def test_endings_in_capitals_count(built, tmp_path):
    (tmp_path / "MODEL.SAFETENSORS").symlink_to(built / "single.safetensors")
    assert find_model(str(tmp_path / "MODEL.SAFETENSORS"), tokenizer=str(built / "diffusers")).name == "MODEL"
    (tmp_path / "OTHER.CKPT").touch()
    with pytest.raises(LdmError, match="OTHER.CKPT is a pickle"):
        find_model(str(tmp_path / "OTHER.CKPT"))


def packed(header, body=b""):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


TENSOR = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
DAMAGED = {
    "cut off": (None, "is truncated: got"),
    "too long": (packed({"a": TENSOR}, bytes(12)), "4 bytes at its end belong to no tensor"),
    "a shape that lies": (packed({"a": {**TENSOR, "shape": [3]}}, bytes(8)), "a is said to be F32 (3,) in bytes 0 to 8"),
    "a gap": (packed({"a": {**TENSOR, "data_offsets": [4, 12]}}, bytes(12)), "a is said to be F32"),
    "two in one place": (packed({"a": TENSOR, "b": TENSOR}, bytes(8)), "b is said to be F32"),
    "no tensors": (packed([]), "its header is no list of tensors"),
    "a pickle under another name": (b"PK\x03\x04" + bytes(90), "it is a zip archive, such as a .ckpt of torch"),
    "a web page": (b"<html>not found</html>", "it is a page of text"),
    "empty": (b"", "is damaged or not a safetensors file"),
    "a pointer": (b"version https://git-lfs.github.com/spec/v1\n", "is a git-lfs pointer"),
}


DAMAGED_PICKLES = {
    "cut off": (b"PK\x03\x04" + bytes(900), "is truncated: its list of contents"),
    "a web page": (b"<html>not found</html>", "is damaged or no file of torch: it is a page of text"),
    "a model of another tool": (b"GGUF" + bytes(90), "is damaged or no file of torch: it is a GGUF file"),
    "empty": (b"", "is damaged or no file of torch: it is empty"),
    "a pointer": (b"version https://git-lfs.github.com/spec/v1\n", "is a git-lfs pointer"),
}


@pytest.mark.parametrize("row", DAMAGED_PICKLES)
def test_a_damaged_pickle_is_named_before_its_tokenizer_is_asked_for(tmp_path, monkeypatch, row):
    body, said = DAMAGED_PICKLES[row]
    path = tmp_path / "model.ckpt"
    path.write_bytes(body)
    monkeypatch.setattr("ldmcli.models.source.TOKENIZERS", ())  # none is on this machine
    for model, vae in ((str(path), None), ("bundled", str(path))):
        with pytest.raises(LdmError) as caught:
            find_model(model, vae=vae, allow_pickle=True)
        assert said in caught.value.message


@FIRST
@pytest.mark.parametrize("row", DAMAGED)
def test_a_damaged_file_is_named_before_its_tokenizer_is_asked_for(built, tmp_path, monkeypatch, row):
    body, said = DAMAGED[row]
    path = tmp_path / "model.safetensors"
    path.write_bytes((built / "single.safetensors").read_bytes()[:-100] if body is None else body)
    monkeypatch.setattr("ldmcli.models.source.TOKENIZERS", ())  # none is on this machine
    for look in (lambda: find_model(str(path)), lambda: find_model("bundled", vae=str(path))):
        with pytest.raises(LdmError) as caught:
            look()
        assert said in caught.value.message and "tokenizer" not in caught.value.message


@FIRST
def test_headers_of_whole_files_are_believed(built, tmp_path):
    odd = {"empty": torch.zeros(0), "one": torch.tensor(1.0), "small": torch.zeros(3, dtype=torch.float8_e5m2)}
    save_file(odd, tmp_path / "a.safetensors")
    from ldmcli.models.header import read_header

    assert read_header(tmp_path / "a.safetensors").shapes == {"empty": (0,), "one": (), "small": (3,)}
    tensors = load_file(built / "single.safetensors")
    assert read_header(built / "single.safetensors").shapes == {key: tuple(value.shape) for key, value in tensors.items()}
    with pytest.raises(NotFound, match="nothing.safetensors is missing"):
        read_header(tmp_path / "nothing.safetensors")
