"""What a checkpoint file predicts, and for which size it was made: marks, metadata, a .yaml beside it, the network, the option."""

from functools import cache

import pytest
import torch
from real_files import answering
from safetensors.torch import load_file, save_file

from ldmcli.engine import session
from ldmcli.engine.session import open_session
from ldmcli.errors import LdmError
from ldmcli.models.loading import load_vae
from ldmcli.models.source import find_model
from ldmcli.models.text import load_conditioner
from ldmcli.runtime.device import select_runtime

EPSILON, V = {"modelspec.prediction_type": "epsilon"}, {"modelspec.prediction_type": "v"}
MARK, ZERO = ("v_pred",), ("v_pred", "ztsnr")
YAML = """
model:
  target: ldm.models.diffusion.ddpm.LatentDiffusion
  params:
{}    linear_start: 0.00085
    linear_end: 0.0120
    timesteps: 1000
    first_stage_config: {{}}
"""
YAML_V, YAML_EPS = YAML.format('    parameterization: "v"\n'), YAML.format("")

# family, whether the network answers with noise, marks, metadata, .yaml, --prediction: what it predicts, side in pixels
ROWS = {
    "SD 1.x, the network answers with noise": (1, True, (), None, None, None, "epsilon", 512),
    "SD 1.x, the network answers with the picture": (1, False, (), None, None, None, "v", 512),
    "SD 2.x, the network answers with noise": (2, True, (), None, None, None, "epsilon", 512),
    "SD 2.x, the network answers with the picture": (2, False, (), None, None, None, "v", 768),
    "the mark v_pred": (1, True, MARK, None, None, None, "v", 512),
    "the mark ztsnr alone": (1, True, ("ztsnr",), None, None, None, "v", 512),
    "both marks over the metadata": (1, True, ZERO, EPSILON, None, None, "v", 512),
    "the metadata over the network": (1, True, (), V, None, None, "v", 512),
    "a .yaml with v": (1, True, (), None, YAML_V, None, "v", 512),
    "a .yaml without a word is epsilon": (2, False, (), None, YAML_EPS, None, "epsilon", 512),
    "a .yaml of something else is left alone": (1, True, (), None, "name: my model\n", None, "epsilon", 512),
    "--prediction over marks and metadata": (1, False, MARK, V, YAML_V, "epsilon", "epsilon", 512),
    "--prediction over the network": (2, True, (), None, None, "v", "v", 768),
}


kept_vae, kept_conditioner = cache(load_vae), cache(load_conditioner)


def opened(built, path, **options):
    return open_session(find_model(str(path), tokenizer=str(built / "diffusers"), **options), select_runtime("cpu", "auto"))


@cache
def tensors_of(single, noise):
    """Of the file with this U-Net, to be read only."""
    tensors = {key: value.clone() for key, value in load_file(single).items()}
    answering(tensors, noise=noise)
    return tensors


def made(built, tmp_path, row):
    _, noise, marks, metadata, text, *_ = ROWS[row]
    if text is not None:
        (tmp_path / "model.yaml").write_text(text)
    tensors = tensors_of(built / "single.safetensors", noise)
    save_file({**tensors, **{mark: torch.tensor([]) for mark in marks}}, tmp_path / "model.safetensors", metadata)
    return tmp_path / "model.safetensors"


@pytest.fixture
def kept(built, monkeypatch):
    """VAE and text tower, which no row changes, are read once."""
    file = built / "single.safetensors"
    monkeypatch.setattr(session, "load_vae", lambda *_, **__: kept_vae(file))
    monkeypatch.setattr(session, "load_conditioner", lambda _, tokenizer, **__: kept_conditioner(file, tokenizer))


@pytest.mark.parametrize(("family", "row"), [pytest.param(ROWS[row][0], row, id=row) for row in ROWS], indirect=["family"])
def test_what_a_file_predicts(built, kept, tmp_path, row):
    *_, marks, _, _, asked, prediction, side = ROWS[row]
    found = opened(built, made(built, tmp_path, row), prediction=asked)
    assert (found.schedule.prediction, found.native_size) == (prediction, side)
    assert (found.schedule.zero_snr, found.schedule.file_spacing) == ((True, "trailing") if "ztsnr" in marks else (False, None))


@pytest.mark.parametrize("family", [1], indirect=True)
def test_a_pickle_is_asked_for_its_marks_too(built, tmp_path):
    tensors = load_file(made(built, tmp_path, "the mark v_pred"))
    torch.save({"state_dict": tensors}, tmp_path / "model.CKPT")
    assert opened(built, tmp_path / "model.CKPT", allow_pickle=True).schedule.prediction == "v"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model: [", "is not readable YAML"),
        (YAML.format('    parameterization: "x0"\n'), "parameterization: 'x0'; eps and v are supported"),
        (YAML.format("    linear_start: much\n").replace("    linear_start: 0.00085\n", ""), "has a schedule that is no number"),
        (YAML.format("    scale_factor: none\n"), "scaling_factor = 'none'"),
    ],
)
@pytest.mark.parametrize("family", [1], indirect=True)
def test_a_yaml_that_cannot_be_honoured_is_named(built, tmp_path, text, said):
    path = made(built, tmp_path, "the metadata over the network")
    path.with_suffix(".yaml").write_text(text)
    with pytest.raises(LdmError) as caught:
        opened(built, path)
    assert said in caught.value.message


@pytest.mark.parametrize("family", [1], indirect=True)
def test_a_yaml_says_the_schedule_and_the_scale(built, tmp_path):
    path = made(built, tmp_path, "the metadata over the network")
    path.with_suffix(".yaml").write_text(YAML.format("    scale_factor: 0.5\n").replace("0.0120", "0.02"))
    found = opened(built, path)
    assert found.vae.config.scaling_factor == 0.5
    assert found.schedule.betas[-1] == pytest.approx(0.02) and found.schedule.betas[0] == pytest.approx(0.00085)


def test_the_option_wins_over_a_folder(published):
    runtime = select_runtime("cpu", "auto")
    for asked, wanted in ((None, "epsilon"), ("v", "v")):
        assert open_session(find_model(str(published), prediction=asked), runtime).schedule.prediction == wanted
