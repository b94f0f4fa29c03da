"""The formulas against hand-made vectors and brute force."""

import itertools

import pytest
import torch
from torch import tensor
from torch.nn import functional as F

from ldmcli.metrics.bootstrap import bootstrap_interval
from ldmcli.metrics.clip_score import hessel_score, others_mean, permutation_p_value, ref_clip_score
from ldmcli.metrics.clusters import cluster_values


def unit_vectors(count, seed, width=8):
    return F.normalize(torch.randn(count, width, generator=torch.Generator().manual_seed(seed)), dim=1)


def test_hessel_clamps_each_pair_and_not_the_mean():
    cosine = tensor([0.3, -0.1, 0.2])
    torch.testing.assert_close(hessel_score(cosine), tensor([0.75, 0.0, 0.5]))
    assert hessel_score(cosine).mean() > 2.5 * max(cosine.mean(), 0)


def test_the_score_with_references_is_the_harmonic_mean_by_hand():
    # caption (1, 0); pictures at cosine 0.6, 0.8 and -1; references at 0.5 and 0.9, 0.4, 1
    cosine = tensor([0.6, 0.8, -1.0])
    nearest = tensor([0.9, 0.4, 1.0])
    expected = tensor([2 * 1.5 * 0.9 / 2.4, 2 * 2.0 * 0.4 / 2.4, 0.0])
    torch.testing.assert_close(ref_clip_score(cosine, nearest), expected, rtol=0, atol=1e-6)


def test_the_score_with_references_is_zero_where_both_parts_are():
    assert ref_clip_score(tensor([-0.2, 0.0]), tensor([-0.5, 0.0])).tolist() == [0.0, 0.0]


def test_the_floor_is_the_mean_over_every_assignment_that_gives_nobody_its_own():
    pictures, captions = unit_vectors(4, 1), unit_vectors(4, 2)
    wrong = [order for order in itertools.permutations(range(4)) if all(place != one for place, one in enumerate(order))]
    brute = torch.stack([(pictures * captions[list(order)]).sum(dim=1).mean() for order in wrong]).mean()
    assert others_mean(pictures, captions, torch.eye(4, dtype=torch.bool)) == pytest.approx(brute.item(), abs=1e-6)


def test_captions_that_fit_are_told_from_captions_that_do_not():
    pictures = unit_vectors(60, 1)
    near = F.normalize(pictures + 0.5 * unit_vectors(60, 2), dim=1)
    assert permutation_p_value(pictures, near) == 1 / 2000
    p_values = [permutation_p_value(unit_vectors(60, seed), unit_vectors(60, 100 + seed), permutations=199) for seed in range(20)]
    assert sum(p < 0.05 for p in p_values) <= 4 and 0.2 < sum(p_values) / 20 < 0.8


def test_values_that_stand_alone_are_left_as_they_are():
    values = tensor([1.0, 5.0, 2.0])
    torch.testing.assert_close(cluster_values(values, ["a", "b", "c"]), values.double())


def test_clusters_keep_the_mean_and_do_not_count_the_same_value_twice():
    values = torch.randn(30, generator=torch.Generator().manual_seed(0))
    five_times = values.repeat_interleave(5)
    clustered = cluster_values(five_times, [number // 5 for number in range(150)])
    torch.testing.assert_close(clustered, values.double())
    assert bootstrap_interval(clustered) == pytest.approx(bootstrap_interval(values), abs=1e-6)
    low, high = bootstrap_interval(five_times)
    wide = bootstrap_interval(clustered)
    assert wide[1] - wide[0] > 1.8 * (high - low)  # sqrt(5) = 2.2 in the limit


def test_uneven_clusters_have_the_mean_of_all_values():
    values, names = tensor([1.0, 2.0, 3.0, 10.0]), ["a", "a", "a", "b"]
    assert cluster_values(values, names).mean().item() == pytest.approx(4.0)
