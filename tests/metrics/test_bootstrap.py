"""The bootstrap interval against what is known in closed form."""

import math

import pytest
import torch

from ldmcli.metrics.bootstrap import bootstrap_interval
from ldmcli.metrics.spread import spread


def test_the_interval_of_a_mean_is_the_normal_one_when_there_are_many_values():
    values = torch.randn(400, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 3 + 10
    low, high = bootstrap_interval(values)
    half = 1.96 * values.std().item() / math.sqrt(len(values))
    assert low == pytest.approx(values.mean().item() - half, abs=0.1 * half)
    assert high == pytest.approx(values.mean().item() + half, abs=0.1 * half)


def test_a_higher_level_gives_a_wider_interval():
    values = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]
    narrow, wide = bootstrap_interval(values, level=0.5), bootstrap_interval(values, level=0.99)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_the_same_seed_gives_the_same_interval_and_another_one_another():
    values = [0.3, 0.1, 0.7, 0.2, 0.9]
    assert bootstrap_interval(values, seed=3) == bootstrap_interval(values, seed=3) != bootstrap_interval(values, seed=4)


def test_the_median_is_not_moved_by_one_run_that_was_disturbed():
    calm = [1.00, 1.01, 1.02, 1.03, 1.04, 1.05, 1.06, 1.07]
    low, high = bootstrap_interval([*calm, 60.0], "median")
    assert 1.0 <= low < high <= 1.07
    assert bootstrap_interval([*calm, 60.0], "mean")[1] > 5


def test_a_single_value_has_no_width():
    assert bootstrap_interval([2.5], "median") == (2.5, 2.5) and spread([2.5]).stddev == 0


def test_the_median_of_an_even_number_lies_between_the_middle_two():
    found = spread([4.0, 1.0, 2.0, 3.0])
    assert (found.median, found.mean, found.min, found.max, found.times) == (2.5, 2.5, 1.0, 4.0, [4.0, 1.0, 2.0, 3.0])
    assert found.stddev == pytest.approx(1.2909944)
