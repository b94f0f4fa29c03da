"""The command line in processes where every heavy import fails: forks of one that has imported the commands and nothing else."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

PROGRAM = """
import importlib, json, os, pkgutil, signal, sys, tempfile
sys.modules.update(dict.fromkeys({heavy!r}))     # None: any import of these now fails
import ldmcli.commands, ldmcli.console.output
from ldmcli.cli import main
for module in pkgutil.iter_modules(ldmcli.commands.__path__):
    importlib.import_module(f"ldmcli.commands.{{module.name}}")

def run(argv, cwd, given):
    os.chdir(cwd)
    for number, file in enumerate(given):
        os.dup2(file.fileno(), number)
    signal.alarm({seconds})
    code = main(argv)
    sys.stdout.flush(), sys.stderr.flush()
    return code

for line in sys.stdin:
    task = json.loads(line)
    files = [tempfile.TemporaryFile("w+", encoding="utf-8") for _ in range(3)]
    files[0].write(task["stdin"]), files[0].seek(0)
    if not (pid := os.fork()):
        code = 70
        try:
            code = run(task["argv"], task["cwd"], files)
        except SystemExit as end:
            code = end.code
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    said = [(file.seek(0), file.read())[1] for file in files[1:]]
    print(json.dumps([code, *said]), flush=True)
"""

SECONDS = 60
"""After which a command is ended."""


class LightProcess:
    """Commands run one after the other; each begins as a fork of the same process, which has imported no heavy package and cannot."""

    def __init__(self, heavy: Sequence[str], env: Mapping[str, str]) -> None:
        """heavy: packages whose import fails. env: the environment of all commands."""
        program = PROGRAM.format(heavy=tuple(heavy), seconds=SECONDS)
        self.process = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)

    def run(self, argv: Sequence[str], cwd: Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """One command line, in this folder."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps({"argv": list(argv), "cwd": str(cwd), "stdin": stdin}) + "\n")
        self.process.stdin.flush()
        return subprocess.CompletedProcess(list(argv), *json.loads(self.process.stdout.readline()))

    def close(self) -> None:
        """Nothing is left behind."""
        self.process.kill()
        self.process.communicate()
