"""`generate --progressive`: the way from noise to the picture, beside the picture."""

import json

import numpy as np
import pytest
from PIL import Image

from ldmcli.reports.progressive import wanted_calls


@pytest.fixture
def draw(generate, tmp_path):
    """Two pictures of six steps into a folder; returns (exit code, stdout, stderr)."""
    return lambda *argv: generate("a dog", "-n", "2", "-s", "5", "--steps", "6", "-o", f"{tmp_path}/out/", "-q", *argv)


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def strip_frames(path, count, side=64, gap=4, caption=14):
    """The frames and the labels of a strip, checked for its size."""
    sheet = pixels(path)
    assert sheet.shape == (side + caption + 2 * gap, count * (side + gap) + gap, 3)
    lefts = [gap + i * (side + gap) for i in range(count)]
    return [sheet[gap : gap + side, x : x + side] for x in lefts], [sheet[gap + side : gap + side + caption, x : x + side] for x in lefts]


@pytest.mark.parametrize(("steps", "kept"), [(1, 1), (6, 6), (8, 8), (9, 8), (50, 8)])
def test_a_strip_has_up_to_eight_calls_from_the_first_to_the_last(steps, kept):
    calls = wanted_calls("strip", steps)
    assert len(set(calls)) == kept and calls == sorted(calls) and (calls[0], calls[-1]) == (0, steps - 1)
    assert wanted_calls("gif", steps) == wanted_calls("frames", steps) == list(range(steps))


def test_a_strip_ends_with_the_picture_and_has_a_label_under_every_frame(draw, tmp_path):
    assert draw("--progressive", "strip")[0] == 0
    first, second = (strip_frames(tmp_path / "out" / f"{name}.progress.png", 6) for name in ("00000_seed5", "00001_seed6"))
    for (frames, labels), name in ((first, "00000_seed5"), (second, "00001_seed6")):
        assert np.array_equal(frames[-1], pixels(tmp_path / "out" / f"{name}.png"))
        assert len({frame.tobytes() for frame in frames}) == 6
        assert all(label.min() < 100 for label in labels) and len({label.tobytes() for label in labels}) == 6
    assert not any(np.array_equal(mine, other) for mine, other in zip(first[0], second[0], strict=True))


def test_a_long_walk_is_shown_in_eight_frames(generate, tmp_path):
    assert generate("a dog", "-s", "5", "--steps", "20", "--progressive", "strip", "-o", tmp_path / "dog.png", "-q")[0] == 0
    frames, _ = strip_frames(tmp_path / "dog.progress.png", 8)
    assert np.array_equal(frames[-1], pixels(tmp_path / "dog.png"))


@pytest.mark.parametrize(("scheduler", "calls"), [("dpm++2m", 6), ("heun", 11), ("pndm", 7), ("ddpm", 6)])
def test_frames_are_one_file_for_each_call_and_the_last_is_the_picture(draw, tmp_path, scheduler, calls):
    assert draw("--progressive", "frames", "--scheduler", scheduler)[0] == 0
    for name in ("00000_seed5", "00001_seed6"):
        frames = sorted((tmp_path / "out" / f"{name}.progress").iterdir())
        assert [path.name[:5] for path in frames] == [f"{i:03d}_t" for i in range(calls)]
        timesteps = [int(path.stem[5:]) for path in frames]
        assert timesteps == sorted(timesteps, reverse=True) and timesteps[0] > 800
        assert np.array_equal(pixels(frames[-1]), pixels(tmp_path / "out" / f"{name}.png"))


def test_a_gif_plays_every_call_for_ever_and_rests_on_the_picture(draw, tmp_path):
    assert draw("--progressive", "gif")[0] == 0
    with Image.open(tmp_path / "out" / "00001_seed6.progress.gif") as gif:
        assert (gif.n_frames, gif.info["loop"], gif.size) == (6, 0, (64, 64))
        durations = []
        for number in range(6):
            gif.seek(number)
            durations.append(gif.info["duration"])
        last = np.asarray(gif.convert("RGB")).astype(int)
    assert durations == [120] * 5 + [1500]
    drawn = pixels(tmp_path / "out" / "00001_seed6.png")
    assert np.abs(last - drawn).mean() < 12 < np.abs(last - drawn[::-1]).mean()  # 256 colours of its own


def test_one_step_is_one_frame(generate, tmp_path):
    assert generate("a dog", "-s", "5", "--steps", "1", "--progressive", "frames", "-o", tmp_path / "dog.png", "-q")[0] == 0
    (frame,) = (tmp_path / "dog.progress").iterdir()
    assert np.array_equal(pixels(frame), pixels(tmp_path / "dog.png"))


def test_the_picture_is_the_same_with_and_without(draw, generate, tmp_path):
    draw("--progressive", "strip")
    generate("a dog", "-n", "2", "-s", "5", "--steps", "6", "-o", f"{tmp_path}/plain/", "-q")
    for name in ("00000_seed5.png", "00001_seed6.png"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "plain" / name).read_bytes()


def test_frames_are_enlarged_as_the_picture_is(draw, tmp_path):
    draw("--progressive", "strip", "--upscale", "2")
    frames, _ = strip_frames(tmp_path / "out" / "00000_seed5.progress.png", 6, side=128)
    assert np.array_equal(frames[-1], pixels(tmp_path / "out" / "00000_seed5.png"))


@pytest.mark.parametrize(("kind", "end"), [("strip", ".png"), ("gif", ".gif"), ("frames", "")])
def test_what_was_written_is_named_after_the_picture(draw, tmp_path, kind, end):
    out = tmp_path / "out"
    expected = [f"{out}/{name}" for stem in ("00000_seed5", "00001_seed6") for name in (f"{stem}.png", f"{stem}.progress{end}")]
    assert draw("--progressive", kind) == (0, "".join(f"{path}\n" for path in expected), "")
    images = json.loads(draw("--progressive", kind, "--resume", "--json")[1])["images"]
    assert [path for image in images for path in (image["path"], image["progress"])] == expected
    assert "progress" not in json.loads(draw("--json")[1])["images"][0]


def test_numbers_of_what_lies_beside_a_deleted_picture_are_not_given_again(draw, tmp_path):
    draw("--progressive", "strip")
    for name in ("00000_seed5.png", "00001_seed6.png"):
        (tmp_path / "out" / name).unlink()
    assert draw()[1].split()[0].endswith("00002_seed5.png")


def test_a_file_beside_a_named_picture_is_kept_unless_told_otherwise(generate, tmp_path):
    (tmp_path / "dog.progress.png").write_text("mine")
    arguments = ("a dog", "-s", "5", "--steps", "1", "--progressive", "strip", "-o", tmp_path / "dog.png", "-q")
    code, _, err = generate(*arguments)
    assert code == 2 and "dog.progress.png already exists" in err
    assert [path.name for path in tmp_path.iterdir()] == ["dog.progress.png"]
    assert generate(*arguments, "--overwrite")[0] == 0 and (tmp_path / "dog.progress.png").read_bytes()[1:4] == b"PNG"


def test_frames_of_an_earlier_picture_do_not_stay_among_the_new_ones(generate, tmp_path):
    arguments = ("a dog", "-s", "5", "--progressive", "frames", "-o", tmp_path / "dog.png", "-q", "--overwrite")
    generate(*arguments, "--steps", "6")
    generate(*arguments, "--steps", "2")
    assert len(list((tmp_path / "dog.progress").iterdir())) == 2


def test_the_noisy_picture_comes_out_of_the_noise_and_ends_with_the_picture(draw, tmp_path):
    """x_t begins as the decoded noise itself, which knows no prompt; x0 is a guess of the picture from the first call on."""
    assert draw("--progressive", "frames", "--progressive-kind", "xt")[0] == 0
    frames = sorted((tmp_path / "out" / "00001_seed6.progress").iterdir())
    assert len(frames) == 6 and frames[-1].name == "005_t0.png"
    noisy, picture = [pixels(path) for path in frames], pixels(tmp_path / "out" / "00001_seed6.png")
    assert np.array_equal(noisy[-1], picture)
    distances = [abs(frame - picture).mean() for frame in noisy]
    assert distances == sorted(distances, reverse=True)
    assert draw("--progressive", "frames", "--negative", "red")[0] == 0  # x0, of other numbers
    first = pixels(min((tmp_path / "out" / "00003_seed6.progress").iterdir()))
    assert not np.array_equal(first, noisy[0])


def test_the_first_noisy_frame_is_the_decoded_noise(draw, model, tmp_path):
    from ldmcli.diffusion.noise import noise_for
    from ldmcli.engine.session import open_session
    from ldmcli.models.source import find_model
    from ldmcli.outputs.images import to_pillow
    from ldmcli.runtime.device import select_runtime

    assert draw("--progressive", "frames", "--progressive-kind", "xt", "--scheduler", "ddpm")[0] == 0
    session = open_session(find_model(str(model)), select_runtime("cpu", "fp32"))
    (noise,) = to_pillow(session.decode(noise_for([5], (4, 8, 8))))
    first = pixels(min((tmp_path / "out" / "00000_seed5.progress").iterdir()))
    assert abs(first - np.asarray(noise).astype(int)).max() <= 1


def test_another_word_is_a_usage_error(draw):
    assert draw("--progressive", "film")[0] == 2


def test_a_place_where_nothing_can_be_written_is_an_error_without_a_traceback(generate, tmp_path):
    (tmp_path / "dog.progress").write_text("in the way")
    arguments = ("a dog", "-s", "5", "--steps", "1", "--progressive", "frames", "-o", tmp_path / "dog.png", "--overwrite")
    code, out, err = generate(*arguments)
    assert code == 1 and out == "" and "error: cannot write" in err and "dog.progress" in err and "Traceback" not in err
