"""Weights that stay in their file: the same numbers as the library reads, gone from memory when nobody holds or needs them."""

import gc
import sys
from pathlib import Path

import pytest
import torch
from inference_pairs import KINDS, compare, inputs, random_values
from safetensors.torch import load_file, save_file

from ldmcli.models.weights import TYPES, read_tensors
from ldmcli.networks import file_weights, packed, winograd
from ldmcli.networks.attention import TextContext
from ldmcli.networks.configs import UNetConfig
from ldmcli.networks.file_weights import let_go, stays_in_file
from ldmcli.networks.inference import InferenceUNet
from ldmcli.networks.packed import PackedConv, PackedLinear, packed_in_turn
from ldmcli.networks.unet import UNet

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="counts pages as Linux tells of them")


@pytest.fixture
def large(tmp_path):
    """Four tensors of 4 MiB and some small ones in a file."""
    path = tmp_path / "weights.safetensors"
    generator = torch.Generator().manual_seed(0)
    tensors = {f"large.{i}": torch.randn(1024, 1024, generator=generator) for i in range(4)}
    save_file({**tensors, "small": torch.arange(3.0), "none": torch.empty(0, 4), "one": torch.tensor(2.5)}, path)
    return path


def pages(path: Path) -> tuple[int, int]:
    """(mappings of a file, bytes of them in this process's memory)."""
    blocks = Path("/proc/self/smaps").read_text().split("VmFlags:")
    ours = [block for block in blocks if str(path) in block]
    return len(ours), sum(1024 * int(block.split("Rss:")[1].split()[0]) for block in ours)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("smallest", [1, 2**20], ids=["mapped", "read"])
def test_every_type_is_what_the_library_reads(kind, smallest, tmp_path, monkeypatch):
    monkeypatch.setattr(file_weights, "SMALLEST", smallest)
    path, values = tmp_path / "weights.safetensors", torch.arange(-12, 12).view(2, 3, 4)
    save_file(
        {"first": torch.ones(3, dtype=torch.uint8), "values": values.to(TYPES[kind]), "none": torch.empty(0, 2, dtype=TYPES[kind])}, path
    )
    ours, theirs = read_tensors(path), load_file(path)
    assert ours.keys() == theirs.keys()
    for key, tensor in theirs.items():
        assert ours[key].dtype == tensor.dtype and ours[key].shape == tensor.shape
        assert torch.equal(ours[key].view(torch.uint8), tensor.view(torch.uint8))
    assert stays_in_file(ours["values"]) == (smallest == 1)


def test_a_type_of_its_own_is_read_by_the_library(tmp_path, monkeypatch):
    path = tmp_path / "weights.safetensors"
    save_file({"values": torch.ones(2, dtype=torch.complex64)}, path)
    assert "C64" not in TYPES and torch.equal(read_tensors(path)["values"], torch.ones(2, dtype=torch.complex64))


@LINUX
def test_what_is_let_go_leaves_memory_and_is_read_again(large):
    tensors, wanted = read_tensors(large), load_file(large)
    assert pages(large)[1] < 2**20  # nothing large has been read
    found = tensors["large.1"]
    assert torch.equal(found, wanted["large.1"])
    del wanted
    assert pages(large)[1] >= 4 * 2**20
    let_go(found[512:])  # of a part, all of it
    let_go(tensors["small"])
    assert pages(large)[1] < 2**20
    assert torch.equal(found, load_file(large)["large.1"]) and tensors["small"].tolist() == [0, 1, 2]


@LINUX
def test_a_tensor_that_nobody_holds_is_unmapped_alone(large):
    tensors = read_tensors(large)
    assert pages(large)[0] == 4
    del tensors["large.0"], tensors["large.2"]
    gc.collect()
    assert pages(large)[0] == 2 and stays_in_file(tensors["large.1"])
    assert not stays_in_file(tensors["large.1"].clone()) and not stays_in_file(torch.empty(0)) and not stays_in_file(tensors["small"])


def test_what_is_written_to_a_tensor_is_not_written_to_the_file(large):
    before = large.read_bytes()
    read_tensors(large)["large.3"].zero_()
    assert large.read_bytes() == before


@pytest.fixture(scope="module")
def of_files(tmp_path_factory):
    """A network of each kind whose weights are mapped from a file."""

    def build(kind):
        config, path = UNetConfig(**KINDS[kind]), tmp_path_factory.mktemp("mapped") / "unet.safetensors"
        save_file(random_values(UNet(config)).state_dict(), path)
        with torch.device("meta"):
            unet = UNet(config)
        unet.load_state_dict(read_tensors(path), assign=True)
        return unet.eval().requires_grad_(False)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(file_weights, "SMALLEST", 1)
        return {kind: build(kind) for kind in KINDS}


@pytest.mark.skipif(not packed.can_pack(), reason="this torch lacks the operations that the copies are made of")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("from_numbers", [1, 5000], ids=["all", "the large ones"])
def test_a_copy_that_multiplies_in_place_answers_as_the_plain_network(kind, from_numbers, of_files, monkeypatch, kernels):
    monkeypatch.setattr(packed, "IN_PLACE", from_numbers)
    plain = of_files[kind]
    copy = InferenceUNet(plain)
    compare(plain, copy, *inputs(2, (8, 8), guided=True))
    linears = [layer for layer in copy.modules() if isinstance(layer, PackedLinear)]
    assert {layer.packed is None for layer in linears} == ({True} if from_numbers == 1 else {True, False})
    assert not any(stays_in_file(layer.weight) for layer in copy.modules() if isinstance(layer, PackedConv) and not layer.weight.is_mkldnn)


@torch.no_grad()
@pytest.mark.skipif(not packed.can_pack(), reason="this torch lacks the operations that the copies are made of")
@pytest.mark.parametrize("fewest", [2**20, 1], ids=["oneDNN", "Winograd"])
def test_convolutions_packed_in_turn_answer_in_the_same_bytes_and_stay_in_their_file(fewest, of_files, monkeypatch):
    monkeypatch.setattr(winograd, "FEWEST_TILES", fewest)
    monkeypatch.setattr(winograd, "NARROWEST", 1)
    plain = of_files[next(iter(KINDS))]
    kept, in_turn = InferenceUNet(plain), InferenceUNet(plain)
    packed_in_turn(in_turn)
    convolutions = [layer for layer in in_turn.modules() if isinstance(layer, PackedConv)]
    for rows in (2, 1, 2):
        latents, timesteps, text = inputs(rows, (8, 8), guided=False)
        assert torch.equal(*(unet(latents, timesteps, TextContext(*text)) for unet in (kept, in_turn)))
        assert all(stays_in_file(layer.weight) and layer.spread is None for layer in convolutions)
    assert any(layer.spreads for layer in convolutions) == (fewest == 1)


@LINUX
@pytest.mark.skipif(not packed.can_pack(), reason="this torch lacks the operations that the copies are made of")
def test_a_weight_in_its_file_takes_no_memory_between_its_turns(large):
    weight = read_tensors(large)["large.0"]
    layer, x = PackedLinear(weight), torch.randn(4, 1024, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(layer(x), x @ weight.t(), atol=1e-3)
    layer(x)
    assert pages(large)[1] < 2**20
    layer.add_to(torch.zeros(4, 1024), x)
    assert pages(large)[1] < 2**20
