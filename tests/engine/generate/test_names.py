"""Templates in -o: names made of settings, safe, never twice, and the same after --resume."""

import shutil

import pytest
from outputs import pictures, rows_of

from ldmcli.config.generation import GenerateConfig
from ldmcli.errors import UsageError
from ldmcli.outputs.naming import find_target, numbers_taken, picture_name, safe

VALUES = {
    "number": 7, "seed": 5, "prompt": "a dog", "scheduler": "dpm++2m", "steps": 20, "cfg": 7.5, "width": 64, "height": 32, "model": "tiny",
}  # fmt: skip


def target(output, **options):
    return find_target(GenerateConfig(output=str(output), **options), 2)


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("{prompt}-{seed}.png", "a_dog-5.png"),
        ("{number:04}.webp", "0007.webp"),
        ("{model} {scheduler} {steps} cfg{cfg} {width}x{height}.JPEG", "tiny dpm++2m 20 cfg7.5 64x32.JPEG"),
        ("{{{seed}}}.png", "{5}.png"),
    ],
)
def test_a_template_names_a_picture_by_its_settings(tmp_path, template, name):
    found = target(tmp_path / template)
    assert picture_name(found, VALUES) == name and found.folder == tmp_path and found.file is None
    assert picture_name(found, VALUES, 1) == "-2.".join(name.rsplit(".", 1))


HOSTILE = {
    "../../etc/passwd": "etc_passwd",
    "/absolute": "absolute",
    "..": "untitled",
    "": "untitled",
    "a\\b\0c\nd": "a_b_c_d",
    "-rf *": "rf",
    ".hidden": "hidden",
    "{seed} {0.__class__}": "seed_0.__class",
    "\N{DOG FACE} \N{LATIN SMALL LETTER E WITH ACUTE}": "é",
    "日本語": "日本語",
    "\u202egnp.exe": "gnp.exe",
    "x" * 10_000: "x" * 80,
    "日" * 100: "日" * 26,
}


@pytest.mark.parametrize("prompt", HOSTILE, ids=lambda p: repr(p)[:20])
def test_a_prompt_in_a_name_is_harmless(tmp_path, prompt):
    assert safe(prompt) == HOSTILE[prompt]
    name = picture_name(target(tmp_path / "{prompt}.png"), {**VALUES, "prompt": prompt})
    assert (tmp_path / name).resolve().parent == tmp_path.resolve() and len(name.encode()) < 200


@pytest.mark.parametrize("prompt", ["CON", "nul", "com1.x"])
def test_names_that_windows_keeps_for_devices_are_not_used(tmp_path, prompt):
    assert picture_name(target(tmp_path / "{prompt}.png"), {**VALUES, "prompt": prompt}) == f"_{prompt}.png"


@pytest.mark.parametrize(
    "template",
    [
        "{colour}.png", "{}.png", "{0}.png", "{seed.__class__}.png", "{prompt[0]}.png", "{seed!r}.png", "{seed:>9999999999}.png",
        "{prompt:9}.png",
        "{seed:{width}}.png", "{seed.png", "seed}.png", "{number}{number}.png", "{seed}", "{seed}.gif", "{prompt}{prompt}{prompt}.png",
        "x" * 250 + "{seed}.png", "{scheduler}/{seed}.png", "{seed}/",
    ],
)  # fmt: skip
def test_a_template_that_cannot_be_filled_in_is_refused(tmp_path, template):
    with pytest.raises(UsageError):
        target(f"{tmp_path}/{template}")
    assert list(tmp_path.iterdir()) == []


def test_numbers_are_read_back_from_the_names_that_a_template_makes(tmp_path):
    found = target(tmp_path / "dog+{prompt}_{number:03}.png")
    names = ["dog+a_b_007.png", "dog+x_12.webp", "dog+x_30.progress", "cat+x_99.png", "dog+x_.png", "dog+x_٣.png"]
    assert numbers_taken(found, names) == [7, 12, 30]


@pytest.fixture
def draw(generate, tmp_path):
    """One step of pictures named by a template; returns the names in the folder."""

    def run(template, *argv):
        code, printed, err = generate("-s", "5", "--steps", "1", "-q", "-o", f"{tmp_path}/out/{template}", *argv)
        assert code == 0, err
        return [line.rpartition("/")[2] for line in printed.splitlines()]

    return run


def test_pictures_of_one_name_are_told_apart_and_none_is_lost(draw, tmp_path):
    first = draw("{prompt}.png", "a dog", "a dog?", "a dog-2", "-n", "2")
    assert first == ["a_dog.png", "a_dog-2.png", "a_dog-3.png", "a_dog-4.png", "a_dog-2-2.png", "a_dog-2-3.png"]
    before = pictures(tmp_path / "out")
    assert draw("{prompt}.png", "a dog") == ["a_dog-5.png"]
    assert {name: pictures(tmp_path / "out")[name] for name in before} == before


def test_numbers_of_a_template_go_on_where_they_ended(draw):
    assert draw("{number:03}_{prompt}.png", "a", "b") == ["000_a.png", "001_b.png"]
    assert draw("{number:03}_{prompt}.webp", "c") == ["002_c.webp"]


@pytest.mark.parametrize("template", ["{prompt}.png", "{prompt}_{number}.png"])
def test_resume_gives_the_names_and_bytes_of_a_run_that_was_not_stopped(draw, tmp_path, template):
    out, argv = tmp_path / "out", ("a dog", "a cat", "-n", "3", "--batch-size", "2")
    out.mkdir()
    (out / "a_dog.png").write_text("someone else's")
    names = draw(template, *argv)
    whole = pictures(out)
    lines = (out / "manifest.jsonl").read_text().splitlines(keepends=True)
    (out / "manifest.jsonl").write_text("".join(lines[:3]))  # a start and two pictures: the third was not noted, the others not drawn
    for name in names[3:]:
        (out / name).unlink()
    assert draw(template, *argv, "--resume") == names and pictures(out) == whole
    assert [row["path"] for row in rows_of(out) if row.get("status") == "ok"] == names
    assert draw(template, *argv, "--resume") == names and pictures(out) == whole


def test_another_template_is_another_command(draw, tmp_path):
    assert draw("{prompt}.png", "a dog") == ["a_dog.png"]
    assert draw("{seed}.png", "a dog", "--resume") == ["5.png"]
    assert len(pictures(tmp_path / "out")) == 2


def test_what_lies_beside_a_picture_of_another_format_is_kept(draw, tmp_path):
    draw("{seed}.png", "a dog", "--progressive", "strip")
    strip = (tmp_path / "out" / "5.progress.png").read_bytes()
    assert draw("{seed}.jpg", "a cat", "--progressive", "strip") == ["5-2.jpg", "5-2.progress.png"]
    assert (tmp_path / "out" / "5.progress.png").read_bytes() == strip


def test_the_folder_is_free_to_move(draw, tmp_path):
    names = draw("{prompt}.png", "a dog")
    shutil.move(tmp_path / "out", tmp_path / "elsewhere")
    shutil.move(tmp_path / "elsewhere", tmp_path / "out")
    assert draw("{prompt}.png", "a dog", "--resume") == names
