"""--resume completes what is not there or not as it was: nothing drawn twice, nothing overwritten."""

import pytest
from outputs import pictures, rows_of, stamps
from PIL import Image

CHANGES = {
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-200]),
    "empty": lambda path: path.write_bytes(b""),
    "deleted": lambda path: path.unlink(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_file_that_was_changed_or_deleted_is_drawn_again_and_no_other(begin_five, draw_five, tmp_path, evaluations, change):
    begin_five()
    expected, before = pictures(tmp_path / "out"), stamps(tmp_path / "out")
    victim = tmp_path / "out" / "00003_seed8.png"
    change(victim)
    evaluations.clear()
    assert draw_five("--resume")[0] == 0
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
def test_what_only_the_manifest_claims_is_never_written_over(begin_five, draw_five, tmp_path, evaluations, become):
    out = tmp_path / "out"
    begin_five()
    expected = pictures(out)[VICTIM]
    kept = become(out)
    before, names = kept.read_bytes(), {path.name for path in out.iterdir()}
    code, _, err = draw_five("--resume")
    assert code == 0 and kept.read_bytes() == before and names <= {path.name for path in out.iterdir()}, err
    assert expected in [body for name, body in pictures(out).items() if name.endswith("seed8.png")]
    evaluations.clear()
    assert draw_five("--resume")[0] == 0 and evaluations == [] and kept.read_bytes() == before


def test_nothing_is_added_to_a_manifest_that_is_a_link(draw_five, tmp_path, evaluations):
    (tmp_path / "out").mkdir()
    (tmp_path / "thesis.txt").write_text("mine")
    (tmp_path / "out" / "manifest.jsonl").symlink_to(tmp_path / "thesis.txt")
    for more in ((), ("--resume",)):
        code, out, err = draw_five(*more)
        assert code == 1 and out == "" and "manifest.jsonl is a link to somewhere else" in err and evaluations == []
    assert (tmp_path / "thesis.txt").read_text() == "mine" and not pictures(tmp_path / "out")


def test_a_grid_that_is_not_ours_is_not_written_over(draw_five, tmp_path):
    draw_five("--grid")
    grid = tmp_path / "out" / "00000-00004.grid.png"
    before = grid.read_bytes()
    (tmp_path / "out" / VICTIM).unlink()
    assert draw_five("--grid", "--resume")[0] == 0 and grid.read_bytes() == before
    grid.write_text("mine")
    assert draw_five("--grid", "--resume")[0] == 0 and grid.read_text() == "mine"
    assert (tmp_path / "out" / "00000-00004.grid-2.png").read_bytes() == before


def test_a_picture_that_was_written_but_not_noted_is_kept_and_noted(begin_five, draw_five, tmp_path):
    begin_five()
    manifest = tmp_path / "out" / "manifest.jsonl"
    lines = manifest.read_bytes().splitlines(True)
    manifest.write_bytes(b"".join(lines[:-1]) + lines[-1][:30])
    before = stamps(tmp_path / "out")
    assert draw_five("--resume")[0] == 0
    assert stamps(tmp_path / "out") == before and rows_of(tmp_path / "out")[-1]["path"] == "00004_seed9.png"


def test_a_picture_of_another_command_in_its_place_is_never_overwritten(begin_five, draw_five, generate, tmp_path, evaluations):
    out = tmp_path / "out"
    begin_five()
    expected = pictures(out)
    manifest = out / "manifest.jsonl"
    manifest.write_bytes(b"".join(manifest.read_bytes().splitlines(True)[:3]))  # as if it had been killed after two pictures
    for number in (2, 3, 4):
        (out / f"{number:05d}_seed{number + 5}.png").unlink()
    assert generate("a cat", "-s", "7", "--steps", "2", "-o", f"{out}/", "-q")[1] == f"{out}/00005_seed7.png\n"  # beyond all five
    (out / "00005_seed7.png").rename(out / "00002_seed7.png")
    foreign = (out / "00002_seed7.png").read_bytes()
    assert draw_five("--resume")[0] == 0
    assert (out / "00002_seed7.png").read_bytes() == foreign
    assert (out / "00003_seed7.png").read_bytes() == expected["00002_seed7.png"]  # the next number that is free with its seed
    (row,) = [row for row in rows_of(out) if row.get("path") == "00003_seed7.png"]
    assert (row["number"], row["planned"]) == (3, 2)
    assert len(pictures(out)) == 6
    evaluations.clear()
    assert draw_five("--resume", "-q")[1].split()[2] == f"{out}/00003_seed7.png" and evaluations == []
