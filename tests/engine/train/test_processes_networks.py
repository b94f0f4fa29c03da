"""What may train beside or instead of a network, in two processes: a discriminator, adapters, the text tower."""

import pytest
from runs import log_of, newest
from two_processes import TWO_PARTS, assert_same_bits, files, run_alone, run_in_two

pytestmark = pytest.mark.early


def test_a_discriminator_balances_over_both_processes(coco, model, tmp_path):
    """Its weight comes from the gradients of the global batch, so that here accumulated parts are not the measure."""
    contest = {"size": 16, "adversarial_weight": 0.5, "adversarial_start": 1, "max_steps": 3, "val_every": 3, "save_every": 3}
    run_alone("vae", coco, model, tmp_path / "one", **contest)
    run_in_two("vae", coco, model, tmp_path / "two", batch_size=4, **contest)
    one, two = log_of(tmp_path / "one"), log_of(tmp_path / "two")
    assert len(one) == len(two) == 3 and "discriminator" in one[1] and "discriminator" not in one[0]
    for a, b in zip(one, two, strict=True):
        assert a == {name: pytest.approx(value, rel=1e-3, abs=1e-5) for name, value in b.items()}
    assert newest(tmp_path / "two").names == {"network", "optimizer", "ema", "discriminator", "discriminator_optimizer"}


@pytest.mark.parametrize("what", [{"lora_rank": 4}, {"train_text_encoder": True}], ids=["lora", "text tower"])
def test_fine_tuning_in_two_processes_equals_one(what, coco, model, tmp_path):
    """The adapters, or the tower beside the U-Net, hear the gradients of both processes."""
    tuned = {**what, "init": model, "max_steps": 3, "save_every": 3, "val_every": 3}
    run_alone("unet", coco, model, tmp_path / "parts", **TWO_PARTS, **tuned)
    run_in_two("unet", coco, model, tmp_path / "two", batch_size=4, **tuned)
    assert len(log_of(tmp_path / "two")) == 3
    assert_same_bits(tmp_path / "parts", tmp_path / "two")
    assert files(tmp_path / "two" / "model") == files(tmp_path / "parts" / "model")
