"""Whether a run may have its folder: what is said before torch is imported is what is said later."""

import pytest
from runs import KINDS, config_for, events_of, stop_after

from ldmcli.engine.train.run_lock import refuse_taken
from ldmcli.errors import LdmError, UsageError
from ldmcli.records.training import TrainDone, TrainStep


def said(error):
    """All that the user sees of it."""
    return error.exit_code, error.message, error.hint


def early_refusal(config):
    """The same of what is raised before torch is imported."""
    with pytest.raises(LdmError) as caught:
        refuse_taken(config)
    return said(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_with_a_run_is_not_trained_over_by_accident(kind, coco, model, tmp_path):
    output = tmp_path / "run"
    stop_after(config_for(kind, coco, model, output), 1)
    with pytest.raises(UsageError, match="already holds a run") as caught:
        list(events_of(config_for(kind, coco, model, output)))
    assert "--resume auto" in caught.value.hint
    assert early_refusal(config_for(kind, coco, model, output)) == said(caught.value)
    refuse_taken(config_for(kind, coco, model, output, dry_run=True))  # which writes elsewhere


def test_a_second_trainer_on_the_folder_is_refused_until_the_first_has_ended(coco, model, tmp_path):
    first = events_of(config_for("vae", coco, model, tmp_path))
    next(event for event in first if isinstance(event, TrainStep))
    with pytest.raises(LdmError, match="another training run") as caught:
        list(events_of(config_for("vae", coco, model, tmp_path, resume="auto")))
    assert caught.value.exit_code == 1
    assert early_refusal(config_for("vae", coco, model, tmp_path, resume="auto")) == said(caught.value)
    first.close()
    refuse_taken(config_for("vae", coco, model, tmp_path, resume="auto"))
    assert isinstance(list(events_of(config_for("vae", coco, model, tmp_path, resume="auto", max_steps=1)))[-1], TrainDone)


def test_an_output_that_is_a_file_is_a_usage_error(coco, model, tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(UsageError, match="is a file") as caught:
        list(events_of(config_for("vae", coco, model, tmp_path / "run")))
    assert early_refusal(config_for("vae", coco, model, tmp_path / "run")) == said(caught.value)


def test_looking_at_a_folder_that_is_not_there_makes_none(coco, model, tmp_path):
    refuse_taken(config_for("vae", coco, model, tmp_path / "a" / "run"))
    assert not list(tmp_path.iterdir())
