"""Where pictures go: never over something else, and nothing half-written."""

import pytest
from PIL import Image

from ldmcli.cli import main


@pytest.fixture
def generate(model, capsys):
    """Run `ldm generate` in this process; returns (exit code, stdout, stderr)."""

    def run(output, *arguments):
        code = main(["generate", "a dog", "-m", str(model), "-s", "5", "--steps", "1", "-o", str(output), *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def refused(answer, *words):
    code, out, err = answer
    assert code == 2 and out == ""
    assert err.startswith("error: ") and "Traceback" not in err
    for word in words:
        assert word in err
    return True


def test_a_folder_takes_the_next_free_numbers(generate, tmp_path):
    for _ in range(2):
        assert generate(f"{tmp_path}/new/", "-n", "2")[0] == 0
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == [
        "00000_seed5.png", "00001_seed6.png", "00002_seed5.png", "00003_seed6.png", "manifest.jsonl",
    ]  # fmt: skip


def test_a_number_that_another_program_took_meanwhile_is_passed_over(generate, tmp_path):
    (tmp_path / "00007_seed1.png").write_text("someone else's")
    (tmp_path / "notes.txt").write_text("mine")
    code, out, _ = generate(f"{tmp_path}/")
    assert code == 0 and out.strip() == str(tmp_path / "00008_seed5.png")
    assert (tmp_path / "00007_seed1.png").read_text() == "someone else's"


def test_overwrite_does_not_make_a_folder_lose_pictures(generate, tmp_path):
    generate(f"{tmp_path}/", "--overwrite")
    generate(f"{tmp_path}/", "--overwrite")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["00000_seed5.png", "00001_seed5.png", "manifest.jsonl"]


def test_a_file_is_written_under_its_name_and_kept_unless_told_otherwise(generate, tmp_path):
    path = tmp_path / "deep" / "dog.png"
    assert generate(path)[0] == 0
    first = path.read_bytes()
    assert refused(generate(path, "--cfg", "7"), "already exists", "--overwrite")
    assert path.read_bytes() == first
    assert generate(path, "--cfg", "7", "--overwrite")[0] == 0
    assert path.read_bytes() != first
    assert [p.name for p in path.parent.iterdir()] == ["dog.png"]


@pytest.mark.parametrize("extra", [(), ("--overwrite",)])
def test_a_link_is_never_written_through(generate, tmp_path, extra):
    target = tmp_path / "precious.png"
    target.write_text("precious")
    (tmp_path / "link.png").symlink_to(target)
    assert refused(generate(tmp_path / "link.png", *extra), "link")
    assert target.read_text() == "precious" and (tmp_path / "link.png").is_symlink()


def test_a_dangling_link_is_refused_too(generate, tmp_path):
    (tmp_path / "link.png").symlink_to(tmp_path / "nowhere.png")
    assert refused(generate(tmp_path / "link.png", "--overwrite"), "link")
    assert not (tmp_path / "nowhere.png").exists()


@pytest.mark.parametrize("name", ["dog.gif", "dog.TIFF"])
def test_a_name_that_is_no_picture_is_refused(generate, tmp_path, name):
    assert refused(generate(tmp_path / name), ".png")
    assert list(tmp_path.iterdir()) == []


def test_several_pictures_do_not_fit_one_file(generate, tmp_path):
    assert refused(generate(tmp_path / "dog.png", "-n", "2"), "2 pictures", "folder")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("output", ["file", "file/", "file/sub/", "file/dog.png"])
def test_a_file_where_a_folder_is_needed_is_refused(generate, tmp_path, output):
    (tmp_path / "file").write_text("in the way")
    assert refused(generate(f"{tmp_path}/{output}"))
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_folder_that_cannot_be_made_is_exit_1(generate):
    code, out, err = generate("/proc/ldm/")
    assert code == 1 and out == "" and err.startswith("error: cannot make the folder /proc/ldm")


@pytest.mark.parametrize("prompt", ["../../x", "CON", "a/b", "x" * 10_000, "\N{DOG FACE}", "", "nul\x01"])
def test_a_prompt_never_decides_the_name_of_the_file(model, tmp_path, prompt):
    assert main(["generate", "-p", prompt, "-m", str(model), "-s", "1", "--steps", "1", "-o", f"{tmp_path}/out/", "-q"]) == 0
    assert [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.png")] == ["out/00000_seed1.png"]
    assert Image.open(tmp_path / "out" / "00000_seed1.png").text["parameters"].startswith(prompt)


def test_a_full_disk_is_exit_1_and_leaves_no_picture_behind(generate, tmp_path, monkeypatch):
    from ldmcli.outputs import output_plan as outputs

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(outputs, "write_exclusively", full)
    code, out, err = generate(f"{tmp_path}/")
    assert code == 1 and out == "" and "No space left on device" in err
    (manifest,) = tmp_path.iterdir()  # which says that a command began, and of no picture
    assert manifest.name == "manifest.jsonl" and manifest.read_text().count("\n") == 1
