"""The table of speed and memory against other tools: measure its rows, keep what was found, write it into README's guide.

    python scripts/bench/table.py run [NAME ...] [--sd14 FOLDER] [--cyllama PYTHON]   # on an idle machine; all rows take about an hour
    python scripts/bench/table.py write                                               # scripts/bench/results.json -> the guide's page

run    each name is a command below; its last JSON document goes into results.json with the command, the day and the machine. --sd14 is the
       folder that scripts/build_sd14.py made (OUT/diffusers); without it those rows are left as they are.
write  puts one line for each figure between the markers in ldmcli/guide/memory-and-speed.md, those that ldm loses too.
"""

import argparse
import datetime
import json
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from full_size_call import machine

HERE = Path(__file__).parent
RESULTS, PAGE = HERE / "results.json", HERE.parents[1] / "ldmcli/guide/memory-and-speed.md"
BEGIN, END = "<!-- table.py: begin -->", "<!-- table.py: end -->"
DEADLINE_S = 3600
"""Of one command."""

COMMANDS = {
    "call": "unet_call.py --runs 25 --pictures 1,8 --precisions f32,bf16",
    "start": "startup.py --runs 7",
    "prompts": "throughput.py --runs 7",
    "preset": "throughput.py --preset balanced --batch-sizes 8 --runs 3",
    "busy": "busy.py --neighbours 0,2 --rounds 5 --train-steps 0 --before '' --json {json}",
    "sd-process": "full_size_process.py {sd14} --runs 3 --only ldm,diffusers",
    "sd-process-512": "full_size_process.py {sd14} --size 512 --runs 2 --only ldm,diffusers",
    "sd-process-cpp": "full_size_process.py {sd14} --runs 1 --cyllama {cyllama} --only ldm,stable-diffusion.cpp",
    "sd-call": "full_size_call.py {sd14} --runs 7 --ways copy,diffusers,openvino-f32",
    "sd-call-bf16": "full_size_call.py {sd14} --runs 7 --ways bf16,backend-bf16,openvino-bf16",
}


@dataclass(frozen=True)
class Line:
    """A figure of ours beside another's. more: more is better."""

    what: str
    ours: float
    peer: str
    theirs: float
    unit: str
    more: bool = False

    def __str__(self) -> str:
        times = self.ours / self.theirs if self.more else self.theirs / self.ours
        return f"| {self.what} | {self.ours:.3g} {self.unit} | {self.peer}: {self.theirs:.3g} {self.unit} | {times:.2f} |"


def calls(found: Any) -> Iterator[Line]:
    """unet_call.py; one document a number of pictures."""
    for row in found:
        if row["what"] != "U-Net, guided call":
            continue
        many, ms = f"{row['pictures']} picture{'s' * (row['pictures'] > 1)}", row["ms"]
        for ours, name in (("copy", ""), ("backend openvino f32", ", `--backend openvino`")):
            for peer in ("diffusers", "openvino f32"):
                if ours in ms and peer in ms:
                    yield Line(f"guided U-Net call, bundled, {many}, fp32{name}", ms[ours], peer.replace(" f32", ""), ms[peer], "ms")
        if "backend openvino bf16" in ms:
            what = f"guided U-Net call, bundled, {many}, bf16, `--backend openvino`"
            yield Line(what, ms["backend openvino bf16"], "openvino", ms["openvino bf16"], "ms")


def start(found: Any) -> Iterator[Line]:
    """startup.py."""
    medians = found[-1]["median_s"]
    for peer in ("diffusers", "import torch"):
        yield Line("fresh process to a picture", medians["ldm"], peer, medians[peer], "s")


def prompts(found: Any) -> Iterator[Line]:
    """throughput.py."""
    row = found[-1]
    for name in row["seconds"]:
        if name != "diffusers":
            mark = "".join(name.partition("--")[1:])
            option = f", `{mark}`" * bool(mark) + f", `--preset {row['preset']}`" * bool(row["preset"])
            peer = f"diffusers{' PNDM-50' * bool(row['preset'])}, by {row['their_batch_size']}"
            yield Line(f"{row['prompts']} prompts, process{option}", row["seconds"][name], peer, row["seconds"]["diffusers"], "s")
            rate = row["pictures_a_second"]
            yield Line(f"{row['prompts']} prompts, warm{option}", rate[name], peer, rate["diffusers"], "/s", more=True)


def process(found: Any) -> Iterator[Line]:
    """full_size_process.py."""
    row = found[-1]
    shape, medians = f"SD v1.4 shape, {row['size']} x {row['size']}", row["medians"]
    for peer in (name for name in medians if name != "ldm"):
        ours, theirs = medians["ldm"], medians[peer]
        yield Line(f"{shape}, peak memory", ours["peak_gib"], peer, theirs["peak_gib"], "GiB")
        if "first_call_s" in theirs:
            yield Line(f"{shape}, start to the first U-Net call", ours["first_call_s"], peer, theirs["first_call_s"], "s")
        yield Line(f"{shape}, {row['steps']} steps, whole process", ours["seconds"], peer, theirs["seconds"], "s")


def full_call(found: Any) -> Iterator[Line]:
    """full_size_call.py: ours is the faster of our ways."""
    row = found[-1]
    times = row["median_s"]
    ours = min((name for name in times if name in ("copy", "plain", "bf16") or name.startswith("backend")), key=lambda name: times[name])
    for peer in times:
        if peer not in ("copy", "plain", "bf16") and not peer.startswith("backend"):
            yield Line(f"guided U-Net call, SD v1.4 shape, 64 x 64 latents, {ours}", times[ours], peer, times[peer], "s")


def beside(found: Any) -> Iterator[Line]:
    """busy.py."""
    for count, kinds in found[-1]["neighbours"].items():
        sides = kinds["median"]["denoise_s"]
        where = "idle machine" if count == "0" else f"beside {count} busy processes"
        yield Line(f"denoising of 10 steps, {where}", sides["ldm"], "diffusers", sides["diffusers"], "s")


READERS = {
    "call": calls, "start": start, "prompts": prompts, "preset": prompts, "busy": beside, "sd-process": process, "sd-process-512": process,
    "sd-process-cpp": process, "sd-call": full_call, "sd-call-bf16": full_call,
}  # fmt: skip


def documents(text: str) -> list[Any]:
    """The JSON objects of an output, one after the other, whatever stands between them."""
    found, decoder, at = [], json.JSONDecoder(), 0
    while (at := text.find("{", at)) >= 0:
        try:
            body, at = decoder.raw_decode(text, at)
            found.append(body)
        except ValueError:
            at += 1
    return found


def measure(name: str, places: dict[str, str]) -> dict[str, Any]:
    """Run a command and return what is kept of it."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "found.json"
        words = shlex.split(COMMANDS[name].format(json=file, **places))
        done = subprocess.run(
            [sys.executable, str(HERE / words[0]), *words[1:]], check=True, stdout=subprocess.PIPE, text=True, timeout=DEADLINE_S
        )
        found = [json.loads(file.read_text(encoding="utf-8"))] if file.exists() else documents(done.stdout)
    for document in found:
        document.pop("command", None)  # which names places of this machine
        document.get("settings", {}).pop("json", None)
    shown = COMMANDS[name].format(json="FILE", sd14="OUT/diffusers", cyllama="PYTHON")
    return {"command": f"python scripts/bench/{shown}", "day": datetime.date.today().isoformat(), **machine(), "found": found}


def table(results: dict[str, Any]) -> str:
    """In Markdown."""
    lines = ["| what | ldm | the other | times as good |", "| --- | --- | --- | --- |"]
    for name, read in READERS.items():
        if name in results:
            lines += [str(line) for line in read(results[name]["found"])]
    commands = [f"`{entry['command']}` ({entry['day']})" for entry in results.values()]
    return "\n".join([*lines, "", "By " + ";\n".join(commands) + "."])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=("run", "write"))
    parser.add_argument("names", nargs="*", choices=[*COMMANDS, []])
    parser.add_argument("--sd14", metavar="FOLDER")
    parser.add_argument("--cyllama", metavar="PYTHON")
    args = parser.parse_args()
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    if args.task == "run":
        places = {name: value for name in ("sd14", "cyllama") if (value := getattr(args, name))}
        for name in args.names or COMMANDS:
            if not any(f"{{{each}}}" in COMMANDS[name] and each not in places for each in ("sd14", "cyllama")):
                results[name] = measure(name, places)
                RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        return
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n\n{table(results)}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
