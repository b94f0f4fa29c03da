"""Pickled checkpoints as training frameworks write them: the tensors are read, nothing that the file names is run."""

import collections
import datetime
import enum
import functools
import json
import os
import pathlib
import pickle
import sys
import types
import zipfile

import numpy
import pytest
import torch

from ldmcli.errors import LdmError
from ldmcli.models.folder_checks import check_headers
from ldmcli.models.layout import shard_names
from ldmcli.models.source import find_model
from ldmcli.models.weights import read_tensors

RAN = []


class Callback:
    """Stands for one of Lightning's."""

    def __init__(self):
        self.state = {"best": numpy.float32(0.5)}

    def __setstate__(self, state):
        RAN.append("__setstate__")


class SamplingSettings(dict):
    """A dict of a class of its own, like Lightning's AttributeDict."""

    def __setitem__(self, key, value):
        RAN.append("__setitem__")


class Phase(enum.Enum):
    FIT = 1


class Called:
    """Whoever unpickles it calls `what`."""

    def __init__(self, what, *arguments):
        self.what, self.arguments = what, arguments

    def __reduce__(self):
        return self.what, self.arguments


def note(*arguments):
    RAN.append(arguments)


def of_settings():
    filled = SamplingSettings()
    dict.update(filled, lr=1e-4, steps=[1, 2])
    return filled


BESIDE = {
    "callbacks": lambda: {"callbacks": {Callback: {"best_model_score": torch.tensor(0.1)}, "state": Callback()}},
    "numpy's numbers": lambda: {"best": numpy.float64(0.25), "row": numpy.arange(3), "kind": numpy.dtype("float32")},
    "settings": lambda: {"hyper_parameters": of_settings(), "lists": collections.defaultdict(list, a=[1])},
    "paths and dates": lambda: {"path": pathlib.PurePosixPath("a/b"), "time": datetime.datetime(2023, 1, 1)},
    "enumerations": lambda: {"phase": Phase.FIT},
    "functions": lambda: {
        "lambda": functools.partial(note, 1),
        "made": Called(note, "made"),
        "file": Called(open, "RAN", "w"),
        "type": types.SimpleNamespace(a=1),
    },
}


@pytest.fixture
def tensors():
    whole = torch.arange(12.0).reshape(3, 4)
    return {
        "half": whole.half(), "part": whole[1:, ::2], "turned": whole.T, "one": torch.tensor(2), "none": torch.empty(0, 3),
        "learned": torch.nn.Parameter(whole.bfloat16()), "bits": torch.tensor([True, False]),
    }  # fmt: skip


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("row", BESIDE)
def test_what_stands_beside_the_weights_does_not_keep_them_from_being_read(tmp_path, tensors, row, protocol):
    RAN.clear()
    path = tmp_path / "model.ckpt"
    torch.save({**BESIDE[row](), "epoch": 3, "state_dict": tensors}, path, pickle_protocol=protocol)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)  # else this row would prove nothing
    found = read_tensors(path)
    assert found.keys() == tensors.keys() and not RAN and not pathlib.Path("RAN").exists()
    for key, value in tensors.items():
        assert found[key].dtype == value.dtype and torch.equal(found[key], value.detach()), key


HARM = {
    "os.system": (os.system, "touch RAN"),
    "eval": (eval, "RAN.append(1)"),
    "exec": (exec, "open('RAN', 'w')"),
    "__import__": (__import__, "antigravity"),
    "sys.exit": (sys.exit, 3),
}


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("row", HARM)
def test_a_file_that_names_what_could_do_harm_is_refused_and_not_run(tmp_path, monkeypatch, tensors, row, protocol):
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": tensors, "more": Called(*HARM[row])}, "model.ckpt", pickle_protocol=protocol)
    with pytest.raises(LdmError, match="contains code or is damaged; refused, nothing was run"):
        read_tensors(pathlib.Path("model.ckpt"))
    assert [path.name for path in tmp_path.iterdir()] == ["model.ckpt"] and "antigravity" not in sys.modules


def test_damaged_archives_are_named(tmp_path, tensors):
    path = tmp_path / "model.ckpt"
    torch.save({"state_dict": tensors, **BESIDE["callbacks"]()}, path)
    for number, spoil in enumerate((lambda body: body[: len(body) // 2], lambda body: body[40:], lambda body: b"")):
        (tmp_path / f"{number}.ckpt").write_bytes(spoil(path.read_bytes()))
        with pytest.raises(LdmError, match="is damaged or no file of torch|contains code or is damaged|is truncated"):
            read_tensors(tmp_path / f"{number}.ckpt")
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(tmp_path / "less.ckpt", "w") as less:
        for name in whole.namelist():
            if not name.endswith("/data/0"):
                less.writestr(name, whole.read(name))
    with pytest.raises(LdmError, match="is damaged or no file of torch"):
        read_tensors(tmp_path / "less.ckpt")


def test_a_view_beyond_its_storage_is_refused(tmp_path):
    from ldmcli.models.pickles import tensor_of

    with pytest.raises(RuntimeError):
        tensor_of(torch.zeros(4), 0, (3, 4), (4, 1))


@pytest.mark.parametrize(("name", "allowed"), [("diffusion_pytorch_model.safetensors.index.json", True), ("m.bin.index.json", False)])
def test_an_index_lists_files_of_its_own_kind_alone(tmp_path, name, allowed):
    """One of safetensors that names a pickle would open it without --allow-pickle."""
    kind = ".safetensors" if allowed else ".bin"
    (tmp_path / name).write_text(json.dumps({"weight_map": {"a": f"1{kind}", "b": f"2{kind}"}}))
    assert shard_names(tmp_path / name) == [f"1{kind}", f"2{kind}"]
    for other in (".bin", ".safetensors", ".pt", ".safetensors.pkl", ""):
        if other != kind:
            (tmp_path / name).write_text(json.dumps({"weight_map": {"a": f"1{kind}", "b": f"w{other}"}}))
            with pytest.raises(LdmError, match=f"lists w{other}, which is no {kind} file"):
                shard_names(tmp_path / name)


def test_an_archive_that_unpacks_to_more_than_it_has_is_refused(tmp_path):
    """torch.save packs nothing; four GiB of zeros fit into a few megabytes otherwise."""
    (tmp_path / "unet").mkdir()
    path = tmp_path / "unet" / "diffusion_pytorch_model.bin"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * 2**22)
    with pytest.raises(LdmError, match="would unpack to 4194304 bytes") as late:
        read_tensors(path)
    for early in (lambda: check_headers(tmp_path, "unet", allow_pickle=True), lambda: find_model(str(path), allow_pickle=True)):
        with pytest.raises(LdmError) as caught:
            early()
        assert (caught.value.message, caught.value.hint) == (late.value.message, late.value.hint)
