"""Fewer pictures than a batch needs: told with the way out, which is one."""

from pathlib import Path

import pytest
from runs import KINDS, argv_for, config_for, events_of, newest

from ldmcli.data.layouts import load_captioned
from ldmcli.engine.train.picture_counts import check_listed
from ldmcli.errors import UsageError

ONE, FEW = 1, 5
TOO_FEW = {
    "one picture": (ONE, {"batch_size": 1}, "0 pictures do not fill one batch of 1, and 1 held out", ["--held-out 0"], ["--batch-size"]),
    "one picture, auto": (ONE, {"batch_size": "auto"}, "0 pictures do not fill", ["--held-out 0"], ["--batch-size"]),
    "one picture, tried": (ONE, {"batch_size": 1, "dry_run": True}, "0 pictures do not fill", ["--held-out 0"], ["--batch-size"]),
    "one picture, a batch of 8": (ONE, {}, "0 pictures do not fill", ["--held-out 0 --batch-size 1"], []),
    "a batch but for the held-out one": (FEW, {"batch_size": 5}, "4 pictures do not fill", ["--batch-size 4", "--held-out 0,"], []),
    "fewer than a batch": (FEW, {}, "4 pictures do not fill", ["--batch-size 4", "--held-out 0 --batch-size 5"], []),
    "none held out": (FEW, {"held_out": 0.0}, "5 pictures do not fill one batch of 8.", ["--batch-size 5"], ["--held-out"]),
    "none held out, tried": (FEW, {"held_out": 0.0, "dry_run": True}, "5 pictures do not fill", ["--batch-size 5"], ["--held-out"]),
    "one for two parts": (ONE, {"batch_size": 1, "held_out": 0.0, "grad_accum": 2}, "1 picture does not", ["--grad-accum"], ["--batch"]),
}  # fmt: skip


@pytest.mark.parametrize("case", TOO_FEW)
@pytest.mark.parametrize("kind", KINDS)
def test_too_few_pictures_are_told_with_the_way_out(kind, case, coco, model, tmp_path, ldm):
    count, options, said, hints, silent = TOO_FEW[case]
    code, _, err = ldm(*argv_for(kind, coco, model, tmp_path / "run", **{"limit": count, **options}))
    assert code == 2 and said in err, err
    hint = err.split("not fill", 1)[1]
    assert all(words in hint for words in hints) and not any(words in hint for words in silent), err


@pytest.mark.parametrize("case", ["one picture", "fewer than a batch", "none held out, tried", "one for two parts"])
def test_they_are_told_in_the_same_words_before_a_picture_is_read(case, coco, model, tmp_path):
    count, options, *_ = TOO_FEW[case]
    config = config_for("vae", coco, model, tmp_path / "run", **{"limit": count, **options})
    with pytest.raises(UsageError) as early:
        check_listed(config, load_captioned(coco, limit=count))
    with pytest.raises(UsageError) as late:
        list(events_of(config))
    assert (early.value.message, early.value.hint) == (late.value.message, late.value.hint)


def test_pictures_that_may_do_are_left_to_the_run(coco, model):
    data = load_captioned(coco)
    for options in ({}, {"batch_size": len(data) - 2}, {"auto_batch": True}, {"batch_size": len(data), "dry_run": True}):
        check_listed(config_for("vae", coco, model, Path("run"), **options), data)


@pytest.mark.parametrize("kind", KINDS)
def test_the_way_out_of_one_picture_is_one(kind, coco, model, tmp_path):
    config = config_for(kind, coco, model, tmp_path, limit=1, held_out=0.0, batch_size=1, max_steps=2, val_every=1, sample_every=1)
    list(events_of(config))
    assert newest(tmp_path).step == 2
