"""Which commands --resume takes for the one that a folder was begun with."""

import io
import json
import shutil

import pytest
from outputs import pictures, stamps
from PIL import Image
from safetensors.torch import load_file, save_file

from ldmcli import __version__
from ldmcli.engine.generate.picture_writer import EARLIER_VERSIONS
from ldmcli.engine.sampling import metadata
from ldmcli.outputs import picture_files


def test_with_another_option_it_is_another_command_with_new_numbers(begin_five, draw_five, tmp_path):
    begin_five()
    before = stamps(tmp_path / "out")
    code, out, err = draw_five("--resume", "--cfg", "5", "-q")
    assert code == 0 and [line.rpartition("/")[2] for line in out.split()] == [f"{5 + i:05d}_seed{5 + i}.png" for i in range(5)]
    assert {name: stamp for name, stamp in stamps(tmp_path / "out").items() if name in before} == before
    assert "knows of no such command yet" in draw_five("--resume", "--cfg", "6")[2]


def test_another_seed_is_another_command_too(begin_five, draw_five, tmp_path):
    begin_five()
    assert draw_five("--resume", "-q", seed=("-s", "50"))[1].split()[0].endswith("00005_seed50.png")
    assert draw_five("--resume", "-q")[1].split()[0].endswith("00000_seed5.png")


def test_what_plain_networks_began_they_finish(draw_five, tmp_path, evaluations):
    """So do batches from before there were inference copies, whose command has the digest of one with --no-fuse."""
    draw_five("--no-fuse")
    expected, before = pictures(tmp_path / "out"), stamps(tmp_path / "out")
    (tmp_path / "out" / "00003_seed8.png").unlink()
    evaluations.clear()
    code, _, err = draw_five("--resume")
    assert code == 0 and "goes on so" in err and evaluations == [2, 2]
    assert pictures(tmp_path / "out") == expected
    assert {name for name, stamp in stamps(tmp_path / "out").items() if stamp != before[name]} == {"00003_seed8.png"}


@pytest.mark.parametrize("version", EARLIER_VERSIONS)
def test_what_an_earlier_version_drew_is_finished(draw_five, tmp_path, evaluations, monkeypatch, version):
    with monkeypatch.context() as earlier:
        earlier.setattr(metadata, "__version__", version)
        earlier.setattr(metadata, "instruction_set", lambda device: "another")  # or none, as long as it was not recorded
        earlier.setattr(picture_files, "xmp_packet", lambda texts: None)
        draw_five("--no-fuse")
    expected, before = pictures(tmp_path / "out"), stamps(tmp_path / "out")
    (tmp_path / "out" / "00003_seed8.png").unlink()
    evaluations.clear()
    assert draw_five("--resume")[0] == 0 and evaluations == [2, 2]
    kept = {name: stamp for name, stamp in stamps(tmp_path / "out").items() if stamp == before[name]}
    assert before.keys() - kept.keys() == {"00003_seed8.png"}
    with Image.open(tmp_path / "out" / "00003_seed8.png") as again, Image.open(io.BytesIO(expected["00003_seed8.png"])) as first:
        assert again.tobytes() == first.tobytes() and json.loads(again.text["ldm"])["ldm"] == __version__


def test_strict_does_not_make_it_another_command(begin_five, draw_five, evaluations):
    begin_five()
    evaluations.clear()
    assert draw_five("--resume", "--strict")[0] == 0 and evaluations == []


def test_a_drawn_seed_is_kept(draw_five, tmp_path):
    _, out, err = draw_five("--json", seed=())
    seed = json.loads(out)["images"][0]["seed"]
    assert f"seed {seed} (drawn)" in err
    expected = pictures(tmp_path / "out")
    (tmp_path / "out" / f"00001_seed{seed + 1}.png").unlink()
    _, out, err = draw_five("--json", "--resume", seed=())
    assert f"seed {seed} (as before)" in err and pictures(tmp_path / "out") == expected
    assert [image["seed"] for image in json.loads(out)["images"]] == [seed + i for i in range(5)]


def test_other_weights_make_other_pictures_beside_the_old_ones(draw_five, model, tmp_path, evaluations):
    changed = shutil.copytree(model, tmp_path / "tiny")
    draw_five("-m", str(changed))
    expected = pictures(tmp_path / "out")
    path = changed / "unet" / "diffusion_pytorch_model.safetensors"
    save_file({key: value * 1.1 for key, value in load_file(path).items()}, path, metadata={"format": "pt"})
    evaluations.clear()
    assert draw_five("-m", str(changed), "--resume")[0] == 0 and len(evaluations) == 6
    assert len(pictures(tmp_path / "out")) == 10 and expected.items() <= pictures(tmp_path / "out").items()


def test_in_a_new_folder_it_starts_from_the_beginning(draw_five):
    code, out, err = draw_five("--resume", "--json")
    assert code == 0 and len(json.loads(out)["images"]) == 5 and "starts from the beginning" in err


def test_a_single_file_cannot_be_resumed(generate, tmp_path):
    code, _, err = generate("a dog", "-o", tmp_path / "dog.png", "--resume")
    assert code == 2 and "--resume reads the manifest of a folder" in err
