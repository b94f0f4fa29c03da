"""scripts/ray on a local cluster of two workers: the bytes and figures of one process."""

import json
import os
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from running import finished

sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))

from tiny import environment, make_pipeline  # noqa: E402

pytestmark = [
    pytest.mark.early,
    pytest.mark.skipif("ray" not in packages_distributions(), reason='ray is not installed: pip install -e ".[ray]"'),
]
SCRIPTS = Path(__file__).parents[2] / "scripts" / "ray"


@pytest.fixture
def script(tmp_path):
    """Run one of them; what Ray leaves lies in a folder of the test's. Its paths must be short enough for a socket."""
    root = SCRIPTS.parents[1]
    variables = {**environment(), "RAY_DISABLE_IMPORT_WARNING": "1", "RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": str(root)}
    variables.pop("RAY_ADDRESS", None)

    def run(name, *argv):
        done = finished([sys.executable, SCRIPTS / name, *argv, "--workers", "2", "--device", "cpu"], env=variables, cwd=tmp_path)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    return run


def test_two_workers_draw_and_score_as_one_process(script, tmp_path, ldm):
    import ldmcli

    model = make_pipeline(tmp_path / "model")
    jobs = [{"prompt": f"a dog {i}", "seed": i, "steps": 2} for i in range(10)]
    (tmp_path / "prompts.jsonl").write_text("# ten\n" + "\n".join(map(json.dumps, jobs)) + "\n")
    printed = script("generate.py", tmp_path / "prompts.jsonl", "-o", tmp_path / "out", "-m", model)
    drawn = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert [os.path.basename(line) for line in printed.split()] == sorted(drawn) and len(drawn) == 10

    pipe = ldmcli.load(str(model), device="cpu")
    for job, name in zip(jobs, sorted(drawn), strict=True):
        pipe(job["prompt"], seed=job["seed"], steps=2).save(tmp_path / "alone.png")
        assert (tmp_path / "alone.png").read_bytes() == drawn[name]

    scored = json.loads(script("score.py", tmp_path / "out", "--clip-model", "bundled"))
    code, out, _ = ldm("clipscore", str(tmp_path / "out"), "--clip-model", "bundled", "--device", "cpu", "--json")
    alone = json.loads(out)
    assert code == 0 and scored["n"] == 10
    assert scored["clip_score"] == pytest.approx(alone["clip_score"], abs=1e-4)
    assert scored["ci95"] == pytest.approx(alone["ci95"], abs=1e-4)


@pytest.fixture
def ldm(capsys):
    from ldmcli.cli import main

    def run(*argv):
        code = main(list(argv))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run
