"""What drawing takes is estimated before anything runs."""

import torch

from ldmcli.config.generation import GenerateConfig
from ldmcli.engine.generate import memory_estimate as estimate
from ldmcli.engine.generate.low_memory import is_offloaded, open_low_memory
from ldmcli.engine.sampling.settings import resolve_settings
from ldmcli.engine.session import open_session
from ldmcli.models.source import find_model
from ldmcli.networks.file_weights import stays_in_file
from ldmcli.networks.packed import PackedConv
from ldmcli.runtime.device import select_runtime


def test_what_will_not_fit_is_refused_before_it_runs_and_told_where_it_is_forced(generate, tmp_path, monkeypatch):
    assert "estimated" not in generate("a dog", "--steps", "2", "-o", f"{tmp_path}/enough/")[2]
    monkeypatch.setattr(estimate, "available_bytes", lambda device: 2**20)
    code, out, err = generate("a dog", "--steps", "2", "--size", "320x320", "-o", f"{tmp_path}/none/")
    assert code == 5 and out == "" and "estimated to take" in err and "--force" in err and not list(tmp_path.glob("none/*"))
    code, _, err = generate("a dog", "--steps", "2", "--size", "320x320", "--force", "-o", f"{tmp_path}/little/")
    assert code == 0 and len(list(tmp_path.glob("little/*.png"))) == 1
    assert err.count("is estimated to take") == 1 and "--low-memory" in err
    assert err.index("is estimated") < err.index("denoise") if "denoise" in err else True


def test_the_estimate_counts_what_is_still_in_its_file(model, monkeypatch):
    def needed(smallest):
        monkeypatch.setattr("ldmcli.networks.file_weights.SMALLEST", smallest)
        session = open_session(find_model(str(model)), select_runtime("cpu", "fp32"), fuse=True)
        settings = resolve_settings(GenerateConfig(width=64, height=64), session, {})
        return estimate.needed_bytes(session, settings, 1)[1], session

    in_memory, session = needed(2**40)
    in_file, _ = needed(1)
    weights = [weight for network in (session.unet, session.vae) for weight in network.parameters() if weight.dim() == 4]
    assert in_memory < in_file <= in_memory + sum(4 * weight.numel() for weight in weights)


def test_the_estimate_grows_with_the_batch_and_shrinks_with_tiles_and_precision(model):
    session = open_low_memory(find_model("bundled"), select_runtime("cpu", "fp32"))
    whole = resolve_settings(GenerateConfig(width=512, height=512, tiled_decode=False), session, {})
    tiled = resolve_settings(GenerateConfig(width=512, height=512, tiled_decode=True), session, {})
    assert estimate.unet_bytes(session, whole, 4) == 4 * estimate.unet_bytes(session, whole, 1)
    assert estimate.vae_bytes(session, tiled) < estimate.vae_bytes(session, whole) / 3
    small = resolve_settings(GenerateConfig(), session, {})
    assert [estimate.vae_bytes(session, small, size) / estimate.vae_bytes(session, small) for size in (2, 16, 17)] == [2, 16, 16]
    assert estimate.vae_bytes(session, whole, 16) == estimate.vae_bytes(session, whole)
    half = open_low_memory(find_model("bundled"), select_runtime("cpu", "bf16"), vae_dtype="bf16")
    assert estimate.unet_bytes(half, whole, 1) * 2 == estimate.unet_bytes(session, whole, 1)
    assert next(half.vae.parameters()).dtype == torch.bfloat16 and is_offloaded(half.vae)


def test_low_memory_keeps_no_packed_copy_of_what_is_in_its_file(generate, tmp_path, monkeypatch):
    sessions = []

    def opened(*arguments, **options):
        sessions.append(open_low_memory(*arguments, **options))
        return sessions[-1]

    monkeypatch.setattr("ldmcli.networks.file_weights.SMALLEST", 1)
    monkeypatch.setattr("ldmcli.engine.generate.run.open_low_memory", opened)
    assert generate("a dog", "--steps", "2", "--low-memory", "-o", tmp_path / "dog.png")[0] == 0
    layers = [layer for layer in sessions[0].vae.modules() if isinstance(layer, PackedConv)]  # the network that was used last
    assert layers and all(not layer.keeps and stays_in_file(layer.weight) for layer in layers)
