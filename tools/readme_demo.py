"""Puts what `fedlearn-edu demo` prints into README, abridged, between the two markers that say so.

    python tools/readme_demo.py             # runs the demo with an empty cache (about a minute) and rewrites README.md
    python tools/readme_demo.py --print     # shows the block, changes nothing

The last digits depend on the processor, so that every number in the block must come from one run. The seconds in the
last line are those of this machine: run it on an idle one.
"""

import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile

README = pathlib.Path(__file__).parent.parent / "README.md"
START, END = "<!-- demo: made by tools/readme_demo.py -->\n", "<!-- end of demo -->\n"
ROUNDS = {0, 1, 2, 5, 10, 20, 30, 40}
CLIENTS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--print", dest="show", action="store_true", help="show the block and leave README.md alone")
    arguments = parser.parse_args()
    text = README.read_text(encoding="utf-8")
    if not arguments.show and not (text.count(START) == text.count(END) == 1):
        sys.exit(f"README.md: expected one line {START.strip()!r} and one line {END.strip()!r} around the block")
    block = f"```text\n{abridge(run_demo())}```\n"
    if arguments.show:
        sys.stdout.write(block)
        return
    before, rest = text.split(START)
    README.write_text(before + START + block + END + rest.split(END)[1], encoding="utf-8")


def run_demo() -> str:
    """Returns what the command prints in an empty folder, with an empty cache."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"FEDLEARN_EDU_CACHE": str(pathlib.Path(folder, "cache")), "PYTHONUTF8": "1"}
        environment["UV"] = "uv"  # README's reader calls everything by `uv run`
        command = [sys.executable, "-m", "fedlearn_edu.cli", "demo"]
        done = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, encoding="utf-8")
    if done.returncode:
        sys.exit(f"fedlearn-edu demo: exit code {done.returncode}; README.md is as it was")
    return done.stdout


def abridge(printed: str) -> str:
    """Returns the text with some of the rounds and the first clients; what is left out becomes a line of dots."""
    kept, num_clients, in_clients = [], 0, False
    for line in printed.splitlines():
        in_clients = bool(line) and (in_clients or line.startswith("client_id "))
        num_clients += in_clients
        round_num = re.match(r" +(\d+) +\d+\.\d% ", line)
        if round_num and int(round_num[1]) not in ROUNDS:
            line = "  ..."
        elif in_clients and num_clients > 1 + CLIENTS:
            line = "..."
        if not (kept and line.strip() == "..." and kept[-1] == line):
            kept.append(line)
    return "\n".join(kept).strip("\n") + "\n"


if __name__ == "__main__":
    main()
