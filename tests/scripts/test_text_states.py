"""Texts of unlike length, encoded a group of like length at a time; what their states tell."""

import random
import sys
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts" / "bundle"))

import caption_batches  # noqa: E402
import evaluate_tower  # noqa: E402
import sketch  # noqa: E402
import text_states  # noqa: E402
from train_text_tower import new_tower  # noqa: E402
from vocabulary import LENGTH  # noqa: E402

from ldmcli.models.tokenizer import END, Tokens  # noqa: E402


def tokens(length: int) -> Tokens:
    ids = [90, *range(1, length - 1), 91, *[92] * (LENGTH - length)]
    return Tokens(torch.tensor(ids), length, "", 0)


SAID = [tokens(length) for length in (9, 3, LENGTH, 3, 20, 5, 4, 12, 3, LENGTH - 1)]


def test_states_are_those_of_each_text_alone():
    torch.manual_seed(0)
    text = new_tower({END: 91, **{str(i): i for i in range(92)}}, 64, 1).eval()
    states, last = text_states.states_of(text, SAID, random.Random(0))
    alone = text(torch.stack([one.ids for one in SAID]))
    for row, end in enumerate(last.tolist()):
        assert_close(states[row, : end + 1], alone[row, : end + 1], atol=1e-5, rtol=1e-5)
        assert not states[row, end + 1 :].any()


def test_the_last_state_is_a_pads_where_there_is_room():
    text = new_tower({END: 91, **{str(i): i for i in range(92)}}, 64, 1).eval()
    found = set()
    for seed in range(30):
        last = text_states.states_of(text, SAID, random.Random(seed))[1].tolist()
        assert all(one.length - 1 <= end < LENGTH for one, end in zip(SAID, last, strict=True))
        assert last[2] == LENGTH - 1
        found.add(last[1])
    assert len(found) == 2 and max(found) == LENGTH - 1, "all pads, or two"


def test_the_pad_that_is_asked_is_one_before_the_sketch_that_was_computed():
    lengths, last = torch.tensor([3, 3, 20, LENGTH, 16, 15]), torch.tensor([4, LENGTH - 1, 21, LENGTH - 1, LENGTH - 1, 16])
    found = torch.stack([text_states.pads_to_ask(lengths, last, random.Random(seed)) for seed in range(40)])
    assert found.amin(0).tolist() == [3, 3, 20, LENGTH - 1, 16, 15]
    assert found.amax(0).tolist() == [4, text_states.FIRST_OF_SKETCH - 1, 20, LENGTH - 1, 16, 15]


def test_cells_are_the_squares_of_a_map_row_by_row():
    latents = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)).half()
    cells = sketch.cells_of(latents)
    assert cells.shape == (2, 16, 12) and cells.dtype == torch.float32
    assert torch.equal(cells[1, 6].reshape(3, 2, 2), latents[1, :, 2:4, 4:6].float())
    assert torch.equal(sketch.cells_of(latents[:, None])[:, 0], cells), "in several styles too"


def test_the_sketch_asks_computed_pads_for_the_styles_that_are_there():
    reader = sketch.SketchReader(8, 2)
    torch.manual_seed(0)
    states, cells = torch.randn(2, LENGTH, 8), torch.randn(2, 3, 16, 2)
    lengths, last = torch.tensor([3, 18]), torch.tensor([LENGTH - 1, LENGTH - 1])
    shown = torch.tensor([[True, False, True], [False, True, False]])
    told = reader.map(states).unflatten(-1, (3, 2))
    seen = (told[0, 16:, 0] - cells[0, 0], told[0, 16:, 2] - cells[0, 2], told[1, 18:, 1] - cells[1, 1, 2:])
    look, cell = reader.loss(states, last, lengths, cells, shown)
    assert_close(look, torch.cat(seen).square().mean())
    asked = torch.cat([reader.place(states[0, 16:]), reader.place(states[1, 18:])])
    assert_close(cell, F.cross_entropy(asked, torch.tensor([*range(16), *range(2, 16)])))
    assert reader.loss(states[:1], torch.tensor([4]), lengths[:1], cells[:1], shown[:1]) == (0, 0)


def test_a_thing_alone_is_sketched_as_it_is_drawn_in_each_style():
    def single(emoji: str, style: str) -> dict[str, str]:
        return {"kind": "single", "emoji": emoji, "style": f"{style} style"}

    dogs = [single("dog", "flat"), single("dog", "flat"), single("dog", "3d")]
    images = [*dogs, single("cat", "cartoon"), {"kind": "pair", "style": "3d style"}]
    dog = [-1, 0, 2]
    assert caption_batches.in_styles(images).tolist() == [dog, dog, dog, [3, -1, -1], [-1, -1, 4]]


def test_every_text_is_in_one_group_with_texts_of_like_length():
    groups = text_states.groups_of(SAID)
    assert sorted(row for group in groups for row in group) == list(range(len(SAID)))
    for shorter, longer in zip(groups, groups[1:], strict=False):
        assert max(SAID[row].length for row in shorter) <= min(SAID[row].length for row in longer)
    assert text_states.groups_of([tokens(5)]) == [[0]]


def test_a_straight_line_leaves_what_is_no_straight_line():
    states = torch.randn(600, 4, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(600, 3, generator=torch.Generator().manual_seed(1))
    seen = states @ torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]])
    assert evaluate_tower.left_by_line(states, seen) < 0.001
    assert 0.25 < evaluate_tower.left_by_line(states, seen + noise) < 0.42  # variances 2 and 1
    assert evaluate_tower.left_by_line(states, noise) > 0.95


def left(states: torch.Tensor, cells: torch.Tensor, styles: torch.Tensor) -> float:
    return evaluate_tower.left_by_sketch(evaluate_tower.lines_of_sketch(states, cells, styles), states, cells, styles)


def test_each_style_has_a_line_of_its_own_in_the_sketch():
    random_numbers = torch.Generator().manual_seed(0)
    states, styles = torch.randn(200, 16, 4, generator=random_numbers), torch.arange(200) % 2
    maps = torch.randn(2, 4, 3, generator=random_numbers)
    cells = torch.einsum("ncd,ndk->nck", states, maps[styles])
    assert left(states, cells, styles) < 0.02
    assert left(states, cells, styles * 0) > 0.2
    assert left(states, cells.flip(1), styles) > 0.95, "a cell is told by its own pad"


def test_a_cell_is_told_where_its_states_say_so():
    random_numbers = torch.Generator().manual_seed(0)
    look = torch.randn(300, 4, 12, generator=random_numbers)
    place = torch.randn(4, 12, generator=random_numbers)
    assert evaluate_tower.cells_told(look + 5 * place) > 0.98
    assert evaluate_tower.cells_told(look) < 0.4


def test_a_sketch_is_known_by_the_nearest_picture():
    random_numbers = torch.Generator().manual_seed(0)
    states, styles = torch.randn(40, 16, 4, generator=random_numbers), torch.arange(40) % 2
    maps = torch.randn(2, 4, 3, generator=random_numbers)
    states[0::2] = states[1::2]  # a thing has two pictures, one in each style, and one text
    cells = torch.einsum("ncd,ndk->nck", states, maps[styles])
    asked, right = states[::2], [{2 * thing, 2 * thing + 1} for thing in range(20)]
    lines = evaluate_tower.lines_of_sketch(states, cells, styles)
    assert evaluate_tower.known_by_sketch(lines, asked, cells, right) == 1
    assert evaluate_tower.known_by_sketch(lines, asked.roll(1, 0), cells, right) == 0


def test_what_no_text_can_tell():
    values = torch.tensor([[1.0], [3.0], [10.0], [12.0]])
    said = [["a cat", "a cat"], ["a cat"], ["a dog"], ["a dog", "a red dog"]]
    assert evaluate_tower.left_by_captions(said, ["a cat", "a cat", "a dog", "a red dog"], values) == pytest.approx(3 / 85)
