"""--grid of a sweep: a table whose axes and values stand beside the pictures."""

import json

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from ldmcli.config.generation import GenerateConfig
from ldmcli.engine.generate.sheets import sweep_table
from ldmcli.engine.jobs import Job, expand_sweep
from ldmcli.engine.plan import plan_jobs
from ldmcli.engine.requests import Request, RequestList
from ldmcli.reports.sweep_table import INK, LETTER, MOST_COLUMNS, MOST_LINES, SOFT, SweepTable, table_sheet, wrapped


def words(text: str, colour: str = INK, size: int = LETTER) -> np.ndarray:
    """The pixels of a text, without what is white around them."""
    picture = Image.new("RGB", (400, 40), "white")
    ImageDraw.Draw(picture).text((9, 9), text, fill=colour, font=ImageFont.load_default(size))
    ink = (np.asarray(picture) < 255).any(-1)
    top, left = ink.any(1).nonzero()[0], ink.any(0).nonzero()[0]
    return np.asarray(picture)[top[0] : top[-1] + 1, left[0] : left[-1] + 1]


def place_of(part: np.ndarray, sheet: np.ndarray) -> tuple[int, int]:
    """(x, y) of the one place in the sheet that looks so."""
    height, width, _ = part.shape
    starts = (sheet[: len(sheet) - height + 1, : sheet.shape[1] - width + 1] == part[0, 0]).all(-1)
    found = [(x, y) for y, x in zip(*starts.nonzero(), strict=True) if np.array_equal(sheet[y : y + height, x : x + width], part)]
    assert len(found) == 1, found
    return int(found[0][0]), int(found[0][1])


def test_a_sweep_of_two_options_is_a_table_with_both_written_out(generate, tmp_path):
    sweep = ("--sweep", "cfg=1,3", "--sweep", "scheduler=euler,ddim,unipc")
    argv = ("a dog", "-s", "5", "--steps", "2", *sweep, "--grid", "--json", "-o", f"{tmp_path}/")
    code, printed, _ = generate(*argv)
    report = json.loads(printed)
    assert code == 0 and len(report["images"]) == 6
    with Image.open(report["grid"]) as picture:
        sheet = np.asarray(picture)
    axis = place_of(words("scheduler", SOFT, LETTER + 2), sheet)
    columns = [place_of(words(name), sheet) for name in ("euler", "ddim", "unipc")]
    rows = [place_of(words(name), sheet) for name in ("cfg 1", "cfg 3")]
    for image in report["images"]:
        with Image.open(image["path"]) as picture:
            x, y = place_of(np.asarray(picture.resize((128, 128), Image.Resampling.NEAREST)), sheet)
        column, row = columns[["euler", "ddim", "unipc"].index(image["scheduler"])], rows[[1, 3].index(image["cfg"])]
        assert 0 <= column[0] - x < 4 and axis[1] < column[1] < min(y for _, y in rows)
        assert y < row[1] < y + 128 and row[0] < x


def jobs_of(prompts, sweep, *, seed=3, **config) -> list[Job]:
    requests = RequestList(Request(prompt, GenerateConfig(**config)) for prompt in prompts)
    return plan_jobs(expand_sweep(requests, sweep), seed)


@pytest.mark.parametrize(
    ("prompts", "sweep", "config", "table"),
    [
        (["a"], ["cfg=1,2.5"], {}, ("cfg", ["1", "2.5"], [[]])),
        (["a", "b"], ["steps=4,8"], {}, ("steps", ["4", "8"], [["a"], ["b"]])),
        (["a"], ["cfg=1,2", "steps=4,8"], {"num_images": 2},
         ("steps", ["4", "8"], [["cfg 1", "seed 3"], ["cfg 1", "seed 4"], ["cfg 2", "seed 3"], ["cfg 2", "seed 4"]])),
        (["a"], ["negative-prompt=,blue", "width=64,128"], {}, ("width", ["64", "128"], [["negative-prompt -"], ["negative-prompt blue"]])),
        (["a"], ["scheduler=ddim,euler", "cfg=1,2", "steps=3,4"], {},
         ("steps", ["3", "4"], [[f"scheduler {name}", f"cfg {cfg}"] for cfg in (1, 2) for name in ("ddim",)]
          + [[f"scheduler {name}", f"cfg {cfg}"] for cfg in (1, 2) for name in ("euler",)])),
    ],
    ids=["one axis", "prompts", "seeds", "no negative prompt", "three axes"],
)  # fmt: skip
def test_the_last_option_gives_the_columns_and_the_others_the_rows(prompts, sweep, config, table):
    made = sweep_table(jobs_of(prompts, sweep, **config), {})
    assert made is not None
    assert (made.axis, made.columns, made.rows) == table


@pytest.mark.parametrize(
    "sweep", [[], ["steps=" + ",".join(map(str, range(1, MOST_COLUMNS + 2)))], ["cfg=2,2,3"]], ids=["none", "long", "twice"]
)
def test_what_is_no_table_stays_a_sheet(sweep):
    assert sweep_table(jobs_of(["a", "b"], sweep), {}) is None


def test_lines_of_a_prompts_file_with_settings_of_their_own_are_no_table():
    jobs = plan_jobs([Request("a", GenerateConfig(cfg=1.0)), Request("b", GenerateConfig(cfg=2.0))], 3)
    assert sweep_table(jobs, {}) is None


def test_a_picture_that_failed_leaves_its_place_empty(generate, tmp_path):
    """lms cannot draw with a cosine schedule."""
    argv = ("a", "--sweep", "scheduler=lms,ddim", "--sweep", "steps=2,3", "-s", "1", "--grid", "-q", "-o", f"{tmp_path}/")
    code, printed, _ = generate(*argv)
    with Image.open(printed.splitlines()[-1]) as picture:
        sheet = np.asarray(picture)
    failed = words("failed", SOFT)
    first, rest = sheet[:170], sheet[170:]
    left, right = first[:, : sheet.shape[1] - 134], first[:, sheet.shape[1] - 134 :]
    assert code == 3 and place_of(failed, left) and place_of(failed, right) and not _there(failed, rest)


def _there(part: np.ndarray, sheet: np.ndarray) -> bool:
    try:
        return bool(place_of(part, sheet))
    except AssertionError:
        return False


def test_a_large_table_shows_its_first_rows(tmp_path):
    table = SweepTable("cfg", [str(i) for i in range(20)], [[f"seed {i}"] for i in range(9)], [[None] * 20 for _ in range(9)])
    assert (len(table.shown().rows), len(table.shown().pictures)) == (5, 5)
    wide = SweepTable("cfg", ["1"] * 200, [[]], [[None] * 200])
    assert len(wide.shown().rows) == 1
    with pytest.raises(ValueError):
        table_sheet(table)  # nothing to show: sheet_of does not ask for it


def test_long_labels_are_cut_between_words_and_end_in_dots():
    draw, font = ImageDraw.Draw(Image.new("RGB", (1, 1))), ImageFont.load_default(LETTER)
    lines = wrapped(draw, "a very small dog in front of a very tall house", font, 100)
    assert " ".join(lines) == "a very small dog in front of a very tall house" and len(lines) > 2
    assert all(draw.textlength(line, font=font) <= 100 for line in lines)
    assert len(wrapped(draw, "x" * 500, font, 100)) == MOST_LINES and wrapped(draw, "", font, 100) == []
    assert wrapped(draw, "word " * 200, font, 100)[-1] == "..."
