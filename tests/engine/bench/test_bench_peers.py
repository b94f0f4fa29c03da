"""`ldm bench --compare`: who cannot be compared, why, and what to do about it; and stable-diffusion.cpp, where it is installed."""

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest

from ldmcli.diffusion.schedule import make_schedule
from ldmcli.diffusion.solver import make_solver
from ldmcli.engine.bench.peers import sdcpp
from ldmcli.engine.bench.peers.sdcpp import StableDiffusionCppPeer, check
from ldmcli.engine.session import open_session
from ldmcli.errors import LdmError
from ldmcli.models.source import find_model
from ldmcli.networks import exported as engines
from ldmcli.runtime.device import select_runtime

pytestmark = pytest.mark.usefixtures("short_bursts")


def test_who_is_not_installed_or_cannot_draw_it_is_a_line_and_stops_nobody(bench, monkeypatch):
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    code, out, err = bench("--json", "--compare", "onnxruntime,sdcpp,openvino,diffusers", "--scheduler", "ddim")
    [row] = json.loads(out)["rows"]
    assert code == 0 and row["error"] is None and [peer["peer"] for peer in row["compare"]] == ["diffusers"]
    said = [line for line in err.splitlines() if "is left out" in line]
    assert len(said) == 3
    assert "onnxruntime needs the packages onnxruntime and onnx. Get it with: pip install onnxruntime onnx" in said[0]
    assert "sdcpp is left out: stable-diffusion.cpp reads single files" in said[1]
    assert "pip install openvino" in said[2]


def test_the_table_shows_both_sides_whole(bench):
    _, out, _ = bench("--compare", "diffusers", "--scheduler", "ddim")
    told = out[out.index("in turn with others") :]
    assert (
        all(word in told for word in ("ldm s", "peer s", "95 %", "peer MiB", "diff", " diffusers "))
        and "\N{HORIZONTAL ELLIPSIS}" not in told
    )


@pytest.fixture
def small(stable_diffusion):
    """Stable Diffusion in small as a single file: where it is, and what it is."""
    folder = stable_diffusion(1)
    file = folder / "single.safetensors"
    source = find_model(str(file), tokenizer=folder / "diffusers" / "tokenizer")
    return source, open_session(source, select_runtime("cpu", "fp32"))


def of_shape(session, **config):
    """A session as far as the check looks at it."""
    return SimpleNamespace(unet=SimpleNamespace(config=replace(session.unet.config, **config)))


def test_stable_diffusion_cpp_is_handed_only_what_it_does_not_fall_over(small, monkeypatch):
    source, session = small
    cpu, shape = select_runtime("cpu", "fp32"), {"block_out_channels": sdcpp.CHANNELS, "cross_attention_dim": 768}
    monkeypatch.setattr(sdcpp, "find_spec", lambda name: None)
    for cannot, why in (
        (lambda: check(find_model("bundled"), cpu, session), "single files"),
        (lambda: check(source, cpu, session), "shape"),
        (lambda: check(source, cpu, of_shape(session, **shape | {"cross_attention_dim": 2048})), "shape"),
        (lambda: check(source, cpu, of_shape(session, **shape)), "needs cyllama"),
    ):
        with pytest.raises(LdmError, match=why) as refused:
            cannot()
        assert refused.value.hint
    assert "pip install cyllama" in refused.value.hint
    monkeypatch.setattr(sdcpp, "find_spec", lambda name: True)
    check(source, cpu, of_shape(session, **shape))


@pytest.mark.skipif(find_spec("cyllama") is None, reason="needs cyllama")
@pytest.mark.parametrize(
    ("name", "spacing", "taken"), [("euler", "linspace", True), ("euler", "trailing", False), ("ddim", "leading", False)]
)
def test_stable_diffusion_cpp_takes_only_steps_that_are_ours(name, spacing, taken):
    from cyllama import sd

    peer = object.__new__(StableDiffusionCppPeer)
    peer.sd, solver = sd, make_solver(name, make_schedule("scaled-linear", "epsilon"), 4, spacing=spacing)
    if taken:
        peer.prepare(None, solver)
        assert peer.steps == {"sample_method": sd.SampleMethod.EULER, "scheduler": sd.Scheduler.DISCRETE}
    else:
        with pytest.raises(LdmError, match="does not (take|space)") as refused:
            peer.prepare(None, solver)
        assert refused.value.hint == ("Add --spacing linspace." if name == "euler" else "Add --scheduler euler.")


def test_a_file_cannot_be_compared_with_diffusers(small):
    from ldmcli.engine.bench.peers.diffusers import DiffusersPeer

    source, session = small
    assert Path(source.path).is_file()
    with pytest.raises(LdmError, match="configs from the hub"):
        DiffusersPeer(source, select_runtime("cpu", "fp32"), session)
