"""Fixes every transitive version in pyproject.toml and exports requirements.txt, the lock that is committed.

    python tools/lock.py             # keep what is fixed, add what is new
    python tools/lock.py --upgrade   # resolve everything anew, within the declared ranges

`uv.lock` itself is not committed: it names the registry it was made with.
"""

import argparse
import pathlib
import re
import subprocess
import tomllib

REPOSITORY = pathlib.Path(__file__).parent.parent
PYPROJECT = REPOSITORY / "pyproject.toml"
BLOCK = re.compile(r"^constraint-dependencies = \[\n.*?^\]\n", re.M | re.S)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--upgrade", action="store_true", help="resolve everything anew")
    if parser.parse_args().upgrade:
        write_constraints([])
        (REPOSITORY / "uv.lock").unlink(missing_ok=True)
    uv("lock")
    packages = tomllib.loads((REPOSITORY / "uv.lock").read_text())["package"]
    write_constraints(sorted(f"{p['name']}=={p['version']}" for p in packages if "editable" not in p["source"]))
    uv("lock")
    uv(
        "export",
        "--quiet",
        "--no-emit-project",
        "--no-header",
        "--format",
        "requirements-txt",
        "-o",
        "requirements.txt",
    )


def write_constraints(lines: list[str]) -> None:
    block = "constraint-dependencies = [\n" + "".join(f'  "{line}",\n' for line in lines) + "]\n"
    PYPROJECT.write_text(BLOCK.sub(block, PYPROJECT.read_text()))


def uv(*arguments: str) -> None:
    subprocess.run(["uv", *arguments], cwd=REPOSITORY, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
