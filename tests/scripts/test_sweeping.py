"""Which settings become the bundled model's defaults."""

import sys
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts" / "bundle"))

from judging.sweeping import Setting, choose_guidance, choose_steps, plot  # noqa: E402


def setting(scheduler, cfg, steps, score):
    return Setting(scheduler, cfg, steps, steps * (1 if cfg == 1 else 2), score, score - 0.05, score + 0.05)


BY_GUIDANCE = [
    setting(name, cfg, 20, score) for name in ("ddim", "unipc") for cfg, score in ((1, 0.9), (2, 0.5), (3, 0.66), (5, 0.7), (7, 0.6))
]


def test_the_guidance_with_the_best_score_that_guides_at_all():
    assert choose_guidance(BY_GUIDANCE) == 5


def test_the_best_score_and_of_equal_ones_the_fewest_evaluations():
    settings = [setting("ddim", 3, 30, 0.70), setting("ddim", 3, 10, 0.66), setting("unipc", 3, 10, 0.70), setting("unipc", 3, 6, 0.60)]
    assert choose_steps(settings) == settings[2]


def test_the_plot_is_a_picture(tmp_path):
    by_steps = [setting(name, 3, steps, 0.5 + steps / 100) for name in ("ddim", "unipc") for steps in (5, 10, 20)]
    plot(BY_GUIDANCE, by_steps, choose_steps(by_steps), tmp_path / "sweep.png")
    with Image.open(tmp_path / "sweep.png") as picture:
        assert picture.width > 1000
