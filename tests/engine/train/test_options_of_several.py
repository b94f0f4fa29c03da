"""--workers, --batch-size auto, --tracker and --text-mask where two processes train."""

import tomllib

import pytest
from children import ldm_together
from forks import ended
from runs import KINDS, argv_for, assert_same_bits, config_for, events_of, newest

pytestmark = pytest.mark.early


def in_two(kind, coco, model, output, **changes):
    """Two processes, to the end. Returns what they said."""
    both = ended(ldm_together([argv_for(kind, coco, model, output, **changes)] * 2, output.parent))
    assert [code for code, *_ in both] == [0, 0], both
    return "".join(said for *_, said in both)


@pytest.mark.parametrize("kind", KINDS)
def test_each_has_workers_of_its_own_and_the_bits_are_those_of_one_with_threads(kind, coco, model, tmp_path):
    options = {"no_cache": True, "batch_size": 4, "max_steps": 3}
    list(events_of(config_for(kind, coco, model, tmp_path / "one", grad_accum=2, **options)))
    in_two(kind, coco, model, tmp_path / "two", workers=1, **options)
    assert_same_bits(tmp_path / "one", tmp_path / "two", step=3)


def test_auto_is_one_number_for_both_that_a_resumed_run_keeps(coco, model, tmp_path):
    """With a discriminator, whose trials must not wait for the other process; and the first process alone keeps curves."""
    run = tmp_path / "run"
    options = {
        "size": 16,
        "batch_size": "auto",
        "adversarial_weight": 0.5,
        "adversarial_start": 1,
        "tracker": "tensorboard",
        "val_every": 2,
    }
    said = in_two("vae", coco, model, run, max_steps=2, **options)
    assert said.count("batch size 8: the largest power of two within the data") == 1  # 22 pictures
    assert tomllib.loads((run / "config.toml").read_text())["batch_size"] == 8
    assert len(list((run / "tensorboard").iterdir())) == 1
    assert "batch size 8: as in step-000002" in in_two("vae", coco, model, run, max_steps=3, resume="auto", **options)
    assert newest(run).step == 3


def test_real_tokens_are_cached_as_by_one(coco, model, tmp_path):
    options = {"text_mask": True, "batch_size": 4, "max_steps": 2}
    list(events_of(config_for("unet", coco, model, tmp_path / "one", grad_accum=2, **options)))
    in_two("unet", coco, model, tmp_path / "two", workers=1, **options)
    assert_same_bits(tmp_path / "one", tmp_path / "two", step=2)
    one, two = ([*(tmp_path / name / "cache").glob("text-*/states.npy")] for name in ("one", "two"))
    assert len(one) == len(two) == 1 and one[0].name == two[0].name and one[0].read_bytes() == two[0].read_bytes()
