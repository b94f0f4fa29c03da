"""Pictures are read by threads or by processes: the same pixels, and no signal or death of a worker is felt."""

import os
import signal
import sys
import time

import numpy as np
import psutil
import pytest
import torch
from PIL import Image
from running import Running

from ldmcli.data.cache import Entry, checked_pictures, decoded_pictures
from ldmcli.data.captioned import CaptionedImage, CaptionedImages
from ldmcli.data.decoders import Decoders
from ldmcli.data.row_sources import DecodedOnDemand
from ldmcli.errors import LdmError


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> CaptionedImages:
    """Seventy pictures, one of them unusable: more than one chunk."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    images = []
    for number in range(70):
        path = folder / f"{number:02}.png"
        Image.fromarray(rng.integers(0, 255, (12, 20, 3), dtype=np.uint8)).save(path)
        images.append(CaptionedImage(str(number), path, ("x",)))
    (folder / "13.png").write_text("<html>")
    return CaptionedImages("here", tuple(images))


@pytest.fixture
def two():
    with Decoders(2) as decoders:
        yield decoders


@pytest.fixture
def one():
    """Where a second one would do the same again."""
    with Decoders(1) as decoders:
        yield decoders


def pids(decoders: Decoders) -> list[int]:
    return list(decoders.pool._processes)


def cached(data, folder, decoders) -> Entry:
    *_, entry = decoded_pictures(data, 8, folder, crop="random", decoders=decoders)
    assert isinstance(entry, Entry)
    return entry


def test_a_cache_that_processes_filled_is_that_of_threads_to_the_byte(data, two, tmp_path):
    cached(data, tmp_path / "threads", Decoders()), cached(data, tmp_path / "processes", two)
    files = [path.relative_to(tmp_path / "threads") for path in (tmp_path / "threads").rglob("*.*")]
    assert {path.suffix for path in files} == {".npy", ".json"}
    assert all((tmp_path / "threads" / path).read_bytes() == (tmp_path / "processes" / path).read_bytes() for path in files)
    assert two.pool is None  # nobody is left idle when the cache is full


def test_unusable_pictures_have_the_same_reasons(data, one):
    by_threads, by_processes = ([*checked_pictures(data, 8, decoders=d)][-1] for d in (Decoders(), one))
    assert by_threads == by_processes and list(by_threads) == ["13"] and by_threads["13"].startswith("13.png: ")


@pytest.mark.parametrize("workers", [0, 1])
def test_rows_on_demand_are_those_of_the_cache_whether_they_were_foreseen_or_not(data, workers, tmp_path):
    pixels = cached(data, tmp_path, None).arrays["pixels"]
    with Decoders(workers) as decoders:
        rows = DecodedOnDemand(data, 8, "random", decoders)
        rows.prefetch([3, 5, 13])
        for wanted in ([13, 20, 23, 52, 21], [279, 0, 0], [12, 13, 14]):  # views of 3, 5 and 13 are among them; 13 is unusable, thus black
            assert torch.equal(rows[torch.tensor(wanted)], pixels[torch.tensor(wanted)])
        assert rows.coming.keys() <= {5, 13}


def test_a_worker_that_was_killed_is_replaced_and_its_pictures_read_again(data, two):
    expected = Decoders().read(data.images, 8, "center")
    first = two.submit(data.images[0], 8, "center")
    first.result()
    for pid in pids(two):
        os.kill(pid, signal.SIGKILL)
    assert np.array_equal(two.result(two.submit(data.images[1], 8, "center"), data.images[1], 8, "center"), expected[1])
    for got, known in zip(two.read(data.images, 8, "center"), expected, strict=True):
        assert got == known if isinstance(known, str) else np.array_equal(got, known)


def test_workers_that_keep_dying_end_the_run_with_advice(data, one, monkeypatch):
    monkeypatch.setattr("ldmcli.data.decoders._live_no_longer_than_the_trainer", os.abort)  # the first that each worker does
    with pytest.raises(LdmError, match="being killed") as caught:
        one.read(data.images[:2], 8, "center")
    assert "--workers" in caught.value.hint


def test_signals_to_the_whole_group_do_not_end_the_workers_which_do_without_torch(data, two):
    two.read(data.images, 8, "center")
    assert not two.pool.submit(eval, "'torch' in __import__('sys').modules").result(60)  # seconds and memory of each worker
    before = pids(two)
    for pid in before:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
            os.kill(pid, number)
    assert len(two.read(data.images, 8, "center")) == 70 and pids(two) == before


def test_they_end_with_their_trainer_even_when_that_is_killed(data):
    code = (
        "import sys, time; from pathlib import Path; from ldmcli.data.captioned import CaptionedImage as C\n"
        "from ldmcli.data.decoders import Decoders\n"
        "if __name__ == '__main__':\n"
        "    d = Decoders(2); d.read([C('x', Path(sys.argv[1]), ('x',))] * 4, 8, 'center')\n"
        "    print(*d.pool._processes, flush=True); time.sleep(60)\n"
    )
    with Running([sys.executable, "-c", code, data.images[0].path]) as trainer:
        trainer.until(lambda: trainer.said()[0].endswith("\n"))
        workers = [int(pid) for pid in trainer.said()[0].split()]
        trainer.kill()
        trainer.wait()
        end = time.monotonic() + 60
        while alive := [pid for pid in workers if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]:
            assert time.monotonic() < end, alive
            time.sleep(0.05)
    assert len(workers) == 2
