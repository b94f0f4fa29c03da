"""Small pictures are drawn and decoded more at a time than large ones."""

import json

import numpy as np
import pytest
import torch
from outputs import pictures, stamps
from PIL import Image

from ldmcli.config.generation import GenerateConfig
from ldmcli.engine.sampling.batch import POSITIONS_AT_ONCE, Latents, decoded, decoded_at_once, decoded_together
from ldmcli.engine.sampling.open_model import AT_ONCE, SMALL_AT_ONCE
from ldmcli.engine.session import Session, open_session
from ldmcli.models.source import find_model
from ldmcli.runtime.device import select_runtime


@pytest.fixture(scope="module")
def session(model):
    return open_session(find_model(str(model)), select_runtime("cpu", "fp32"))


def latents_of(session: Session, number: int, side: int = 8) -> list[Latents]:
    noise = torch.randn(number, session.unet.config.in_channels, side, side, generator=torch.Generator().manual_seed(0))
    return [Latents(one[None], [], 0.0) for one in noise]


@pytest.fixture
def decodings(monkeypatch):
    """How many pictures each call of the decoder is given."""
    seen, original = [], Session.decode

    def decode(self, latents, **options):
        seen.append(len(latents))
        return original(self, latents, **options)

    monkeypatch.setattr(Session, "decode", decode)
    return seen


def test_pictures_decoded_together_are_those_decoded_alone_to_one_step_of_255(session, decodings):
    many = latents_of(session, 18)
    together, alone = list(decoded_together(session, many)), [decoded(session, one) for one in many]
    assert decodings == [16, 2] + [1] * 18
    assert len(together) == 18
    for one, other in zip(together, alone, strict=True):
        assert abs(np.asarray(one.picture, int) - np.asarray(other.picture, int)).max() <= 1
        assert one.error is None and not one.retried and len(one.frames) == 1 and one.seconds > 0


@pytest.mark.parametrize(("side", "at_once"), [(4, 64), (8, 16), (16, 4), (32, 1), (64, 1)])
def test_no_more_is_decoded_at_once_than_one_picture_of_256(side, at_once):
    assert decoded_at_once(side, side, torch.device("cpu")) == at_once
    assert decoded_at_once(side, side, torch.device("cuda")) == 1  # there the other thread decodes one by one
    assert at_once == 1 or at_once * side * side == POSITIONS_AT_ONCE


def test_a_picture_that_is_not_finite_does_its_neighbours_no_harm(session):
    many = latents_of(session, 3)
    many[1].final[0, 0, 2, 2] = torch.nan
    first, broken, last = decoded_together(session, many)
    assert broken.picture is None and broken.error is not None
    for one, latents in ((first, many[0]), (last, many[2])):
        assert one.picture.tobytes() == decoded(session, latents).picture.tobytes()


def test_what_is_not_wanted_is_not_shown_and_changes_nothing(session, decodings):
    many = latents_of(session, 40)
    wanted = [number in (3, 20) for number in range(40)]
    some, whole = list(decoded_together(session, many, wanted)), list(decoded_together(session, many))
    assert decodings == [16, 16] + [16, 16, 8]
    assert [one.picture.tobytes() for one in some] == [whole[3].picture.tobytes(), whole[20].picture.tobytes()]


def test_a_finished_large_picture_is_not_decoded_again(session, decodings):
    many = latents_of(session, 3, side=32)
    assert len(list(decoded_together(session, many, [False, True, False]))) == 1 and decodings == [1]


def test_nothing_is_decoded_to_nothing(session):
    assert list(decoded_together(session, [])) == []


@pytest.mark.parametrize(("size", "at_once"), [((), SMALL_AT_ONCE), (("--size", "72x64"), AT_ONCE), (("--batch-size", "5"), 5)])
def test_how_many_are_drawn_at_a_time_depends_on_their_size_alone(generate, evaluations, tmp_path, size, at_once):
    code, _, err = generate("a dog", "-n", str(at_once + 1), "--steps", "1", "-s", "5", "-o", f"{tmp_path}/out/", *size)
    assert code == 0, err
    assert evaluations == [at_once, 1]
    for path in (tmp_path / "out").glob("*.png"):
        assert json.loads(Image.open(path).text["ldm"])["batch_size"] == at_once


def test_pictures_of_several_sizes_have_batches_of_their_own(generate, evaluations, tmp_path):
    lines = [{"prompt": "a dog", "num_images": 10}, {"prompt": "a dog", "num_images": 10, "width": 128}]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert generate("-f", tmp_path / "prompts.jsonl", "--steps", "1", "-s", "5", "-o", f"{tmp_path}/out/", "-q")[0] == 0
    assert evaluations == [10, 8, 2]


def test_what_was_begun_eight_at_a_time_is_finished_so(generate, evaluations, tmp_path):
    """As commands of earlier versions were, where nobody said how many."""
    command = ("a dog", "-n", "10", "--steps", "1", "-s", "5", "-o", f"{tmp_path}/out/")
    assert generate(*command, "--batch-size", str(AT_ONCE))[0] == 0
    expected, before = pictures(tmp_path / "out"), stamps(tmp_path / "out")
    (tmp_path / "out" / "00003_seed8.png").unlink()
    evaluations.clear()
    code, _, err = generate(*command, "--resume")
    assert code == 0 and "goes on so" in err and evaluations == [8]
    assert pictures(tmp_path / "out") == expected
    assert {name for name, stamp in stamps(tmp_path / "out").items() if stamp != before[name]} == {"00003_seed8.png"}


def test_nobody_says_how_many_by_default():
    assert GenerateConfig().batch_size is None
