"""--resume completes what is not there or not as it was: nothing drawn twice, nothing overwritten."""

import io
import json
import shutil

import pytest
from outputs import pictures, rows_of, stamps
from PIL import Image
from safetensors.torch import load_file, save_file

from ldmcli import __version__
from ldmcli.cli import main
from ldmcli.engine.generate.picture_writer import EARLIER_VERSIONS
from ldmcli.engine.sampling import metadata
from ldmcli.outputs import picture_files

FIVE = ("a dog", "-n", "5", "--batch-size", "2", "--steps", "2", "-o")


@pytest.fixture
def draw(generate, tmp_path):
    """Five small pictures in batches of two, into `out`."""
    return lambda *argv, seed=("-s", "5"): generate(*FIVE, f"{tmp_path}/out/", *seed, *argv)


@pytest.fixture(scope="module")
def five(model, tmp_path_factory):
    """What the first such command wrote."""
    folder = tmp_path_factory.mktemp("five") / "out"
    assert main(["generate", *FIVE, f"{folder}/", "-s", "5", "-m", str(model), "--device", "cpu"]) == 0
    return folder


@pytest.fixture
def begin(five, tmp_path):
    """Let `out` be as it is after the first `draw()`."""
    return lambda: shutil.copytree(five, tmp_path / "out")


CHANGES = {
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-200]),
    "empty": lambda path: path.write_bytes(b""),
    "deleted": lambda path: path.unlink(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_file_that_was_changed_or_deleted_is_drawn_again_and_no_other(begin, draw, tmp_path, evaluations, change):
    begin()
    expected, before = pictures(tmp_path / "out"), stamps(tmp_path / "out")
    victim = tmp_path / "out" / "00003_seed8.png"
    change(victim)
    evaluations.clear()
    assert draw("--resume")[0] == 0
    assert evaluations == [2, 2]  # its batch, so that its bytes are the same
    assert pictures(tmp_path / "out") == expected
    assert [name for name, stamp in stamps(tmp_path / "out").items() if stamp != before[name]] == [victim.name]


def rewrite_manifest(out, old, new):
    manifest = out / "manifest.jsonl"
    manifest.write_text(manifest.read_text().replace(f'"path": "{old}"', f'"path": "{new}"'))


def be_a_thesis(out):
    (out / "thesis.txt").write_text("mine")
    rewrite_manifest(out, VICTIM, "thesis.txt")
    return out / "thesis.txt"


def be_a_drawing(out):
    Image.new("RGB", (8, 8), "red").save(out / VICTIM)
    return out / VICTIM


def be_text(out):
    (out / VICTIM).write_text("mine")
    return out / VICTIM


def be_another_picture_of_ours(out):
    rewrite_manifest(out, VICTIM, "00001_seed6.png")
    (out / VICTIM).unlink()
    return out / "00001_seed6.png"


def be_a_link(out):
    (out.parent / "thesis.txt").write_text("mine")
    (out / VICTIM).unlink()
    (out / VICTIM).symlink_to(out.parent / "thesis.txt")
    return out.parent / "thesis.txt"


VICTIM = "00003_seed8.png"


@pytest.mark.parametrize("become", [be_a_thesis, be_a_drawing, be_text, be_another_picture_of_ours, be_a_link])
def test_what_only_the_manifest_claims_is_never_written_over(begin, draw, tmp_path, evaluations, become):
    out = tmp_path / "out"
    begin()
    expected = pictures(out)[VICTIM]
    kept = become(out)
    before, names = kept.read_bytes(), {path.name for path in out.iterdir()}
    code, _, err = draw("--resume")
    assert code == 0 and kept.read_bytes() == before and names <= {path.name for path in out.iterdir()}, err
    assert expected in [body for name, body in pictures(out).items() if name.endswith("seed8.png")]
    evaluations.clear()
    assert draw("--resume")[0] == 0 and evaluations == [] and kept.read_bytes() == before


def test_nothing_is_added_to_a_manifest_that_is_a_link(draw, tmp_path, evaluations):
    (tmp_path / "out").mkdir()
    (tmp_path / "thesis.txt").write_text("mine")
    (tmp_path / "out" / "manifest.jsonl").symlink_to(tmp_path / "thesis.txt")
    for more in ((), ("--resume",)):
        code, out, err = draw(*more)
        assert code == 1 and out == "" and "manifest.jsonl is a link to somewhere else" in err and evaluations == []
    assert (tmp_path / "thesis.txt").read_text() == "mine" and not pictures(tmp_path / "out")


def test_a_grid_that_is_not_ours_is_not_written_over(draw, tmp_path):
    draw("--grid")
    grid = tmp_path / "out" / "00000-00004.grid.png"
    before = grid.read_bytes()
    (tmp_path / "out" / VICTIM).unlink()
    assert draw("--grid", "--resume")[0] == 0 and grid.read_bytes() == before
    grid.write_text("mine")
    assert draw("--grid", "--resume")[0] == 0 and grid.read_text() == "mine"
    assert (tmp_path / "out" / "00000-00004.grid-2.png").read_bytes() == before


def test_a_picture_that_was_written_but_not_noted_is_kept_and_noted(begin, draw, tmp_path):
    begin()
    manifest = tmp_path / "out" / "manifest.jsonl"
    lines = manifest.read_bytes().splitlines(True)
    manifest.write_bytes(b"".join(lines[:-1]) + lines[-1][:30])
    before = stamps(tmp_path / "out")
    assert draw("--resume")[0] == 0
    assert stamps(tmp_path / "out") == before and rows_of(tmp_path / "out")[-1]["path"] == "00004_seed9.png"


def test_a_picture_of_another_command_in_its_place_is_never_overwritten(begin, draw, generate, tmp_path, evaluations):
    out = tmp_path / "out"
    begin()
    expected = pictures(out)
    manifest = out / "manifest.jsonl"
    manifest.write_bytes(b"".join(manifest.read_bytes().splitlines(True)[:3]))  # as if it had been killed after two pictures
    for number in (2, 3, 4):
        (out / f"{number:05d}_seed{number + 5}.png").unlink()
    assert generate("a cat", "-s", "7", "--steps", "2", "-o", f"{out}/", "-q")[1] == f"{out}/00005_seed7.png\n"  # beyond all five
    (out / "00005_seed7.png").rename(out / "00002_seed7.png")
    foreign = (out / "00002_seed7.png").read_bytes()
    assert draw("--resume")[0] == 0
    assert (out / "00002_seed7.png").read_bytes() == foreign
    assert (out / "00003_seed7.png").read_bytes() == expected["00002_seed7.png"]  # the next number that is free with its seed
    (row,) = [row for row in rows_of(out) if row.get("path") == "00003_seed7.png"]
    assert (row["number"], row["planned"]) == (3, 2)
    assert len(pictures(out)) == 6
    evaluations.clear()
    assert draw("--resume", "-q")[1].split()[2] == f"{out}/00003_seed7.png" and evaluations == []


def test_with_another_option_it_is_another_command_with_new_numbers(begin, draw, tmp_path):
    begin()
    before = stamps(tmp_path / "out")
    code, out, err = draw("--resume", "--cfg", "5", "-q")
    assert code == 0 and [line.rpartition("/")[2] for line in out.split()] == [f"{5 + i:05d}_seed{5 + i}.png" for i in range(5)]
    assert {name: stamp for name, stamp in stamps(tmp_path / "out").items() if name in before} == before
    assert "knows of no such command yet" in draw("--resume", "--cfg", "6")[2]


def test_another_seed_is_another_command_too(begin, draw, tmp_path):
    begin()
    assert draw("--resume", "-q", seed=("-s", "50"))[1].split()[0].endswith("00005_seed50.png")
    assert draw("--resume", "-q")[1].split()[0].endswith("00000_seed5.png")


def test_what_plain_networks_began_they_finish(draw, tmp_path, evaluations):
    """So do batches from before there were inference copies, whose command has the digest of one with --no-fuse."""
    draw("--no-fuse")
    expected, before = pictures(tmp_path / "out"), stamps(tmp_path / "out")
    (tmp_path / "out" / "00003_seed8.png").unlink()
    evaluations.clear()
    code, _, err = draw("--resume")
    assert code == 0 and "goes on so" in err and evaluations == [2, 2]
    assert pictures(tmp_path / "out") == expected
    assert {name for name, stamp in stamps(tmp_path / "out").items() if stamp != before[name]} == {"00003_seed8.png"}


@pytest.mark.parametrize("version", EARLIER_VERSIONS)
def test_what_an_earlier_version_drew_is_finished(draw, tmp_path, evaluations, monkeypatch, version):
    with monkeypatch.context() as earlier:
        earlier.setattr(metadata, "__version__", version)
        earlier.setattr(metadata, "instruction_set", lambda device: "another")  # or none, as long as it was not recorded
        earlier.setattr(picture_files, "xmp_packet", lambda texts: None)
        draw("--no-fuse")
    expected, before = pictures(tmp_path / "out"), stamps(tmp_path / "out")
    (tmp_path / "out" / "00003_seed8.png").unlink()
    evaluations.clear()
    assert draw("--resume")[0] == 0 and evaluations == [2, 2]
    kept = {name: stamp for name, stamp in stamps(tmp_path / "out").items() if stamp == before[name]}
    assert before.keys() - kept.keys() == {"00003_seed8.png"}
    with Image.open(tmp_path / "out" / "00003_seed8.png") as again, Image.open(io.BytesIO(expected["00003_seed8.png"])) as first:
        assert again.tobytes() == first.tobytes() and json.loads(again.text["ldm"])["ldm"] == __version__


def test_strict_does_not_make_it_another_command(begin, draw, evaluations):
    begin()
    evaluations.clear()
    assert draw("--resume", "--strict")[0] == 0 and evaluations == []


def test_a_drawn_seed_is_kept(draw, tmp_path):
    _, out, err = draw("--json", seed=())
    seed = json.loads(out)["images"][0]["seed"]
    assert f"seed {seed} (drawn)" in err
    expected = pictures(tmp_path / "out")
    (tmp_path / "out" / f"00001_seed{seed + 1}.png").unlink()
    _, out, err = draw("--json", "--resume", seed=())
    assert f"seed {seed} (as before)" in err and pictures(tmp_path / "out") == expected
    assert [image["seed"] for image in json.loads(out)["images"]] == [seed + i for i in range(5)]


def test_other_weights_make_other_pictures_beside_the_old_ones(draw, model, tmp_path, evaluations):
    changed = shutil.copytree(model, tmp_path / "tiny")
    draw("-m", str(changed))
    expected = pictures(tmp_path / "out")
    path = changed / "unet" / "diffusion_pytorch_model.safetensors"
    save_file({key: value * 1.1 for key, value in load_file(path).items()}, path, metadata={"format": "pt"})
    evaluations.clear()
    assert draw("-m", str(changed), "--resume")[0] == 0 and len(evaluations) == 6
    assert len(pictures(tmp_path / "out")) == 10 and expected.items() <= pictures(tmp_path / "out").items()


def test_in_a_new_folder_it_starts_from_the_beginning(draw):
    code, out, err = draw("--resume", "--json")
    assert code == 0 and len(json.loads(out)["images"]) == 5 and "starts from the beginning" in err


def test_a_single_file_cannot_be_resumed(generate, tmp_path):
    code, _, err = generate("a dog", "-o", tmp_path / "dog.png", "--resume")
    assert code == 2 and "--resume reads the manifest of a folder" in err
