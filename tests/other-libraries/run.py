"""Runs the programs of this folder with what this machine has, and prints a table in Markdown.

    python run.py [FOLDER] [--only NAME ...] [--rounds N] [--out FILE] [--stand-ins]

FOLDER is what `build` made. A library that is missing, or cannot run here, is skipped, counted and printed with its
reason. `GPU_STREAM_REQUIRE=cupy,candle` makes a skip of these a failure.
"""

import argparse
import datetime
import os
import pathlib
import platform
import subprocess
import sys
import sysconfig

HERE = pathlib.Path(__file__).resolve().parent
SITE = pathlib.Path(sysconfig.get_path("platlib"))
SKIPPED = 77
HEAD = """\
| library | version | stream, and who makes the waits | right with the waits | wrong without the wait before, after |
|---|---|---|---|---|"""


def commands(folder):
    """Returns each program's name with its command line."""
    python = {name: [sys.executable, str(HERE / "order.py"), name] for name in ("cupy", "numba-cuda", "cuda.core")}
    rust = {name: [str(folder / f"{name}-order")] for name in ("candle", "onnxruntime")}
    return python | rust


def environment(folder, stand_ins):
    """Returns the programs' variables: libraries of Python's packages are found by the dynamic linker as well."""
    variables = dict(os.environ)
    libraries = [variables["LD_LIBRARY_PATH"]] if variables.get("LD_LIBRARY_PATH") else []
    libraries += [str(path) for path in sorted(SITE.glob("nvidia/*/lib"))]
    if stand_ins:
        libraries.append(str(folder / "stand-ins"))
    modules = [str(folder)] + [path for path in [variables.get("PYTHONPATH")] if path]
    variables.update(LD_LIBRARY_PATH=os.pathsep.join(libraries), PYTHONPATH=os.pathsep.join(modules))
    found = sorted(SITE.glob("onnxruntime/capi/libonnxruntime.so.*"))
    if found:
        variables.setdefault("ORT_DYLIB_PATH", str(found[0]))
    return variables


def run(command, variables, timeout=300):
    """Runs a program. Returns "passed", "skipped" or "failed", its rows, and the reason if it did not pass."""
    if not pathlib.Path(command[0]).exists():
        return "skipped", [], f"{command[0]} is missing; run tests/other-libraries/build"
    try:
        done = subprocess.run(
            command, env=variables, timeout=timeout, capture_output=True, text=True, check=False
        )
    except subprocess.TimeoutExpired:
        return "failed", [], f"it hung for more than {timeout} seconds"
    rows = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    said = [line for line in (done.stdout + done.stderr).splitlines() if line not in rows]
    last = said[-1] if said else ""
    if done.returncode == SKIPPED:
        reasons = [line for line in done.stdout.splitlines() if line]
        return "skipped", rows, reasons[-1] if reasons else last
    if done.returncode == 127 and "shared libraries" in last:
        return "skipped", rows, last  # the dynamic linker found no library
    if done.returncode == 0 and rows:
        return "passed", rows, ""
    return "failed", rows, "\n".join([f"it ended with {done.returncode}", *said[-20:]])


def machine(variables):
    """Returns a line with the date, Python and the device."""
    code = "import gpu_stream_torch as gs; said = gs.probe(); print(*said['devices'], 'CUDA', said['version'])"
    command = [sys.executable, "-c", code]
    child = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    lines = (child.stdout + child.stderr).splitlines() or ["no output"]
    now = datetime.datetime.now(datetime.timezone.utc)
    return f"{now:%Y-%m-%d %H:%M} UTC, Python {platform.python_version()}: {lines[-1]}"


def main():
    """Runs all programs. Returns the exit status."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument(
        "folder", nargs="?", type=pathlib.Path, default=HERE.parents[1] / "target/other-libraries"
    )
    arguments.add_argument("--only", nargs="+", default=[])
    arguments.add_argument("--rounds", type=int, default=50)
    arguments.add_argument("--out", type=pathlib.Path)
    arguments.add_argument("--stand-ins", action="store_true", help="let candle run without cuBLAS and cuRAND")
    given = arguments.parse_args()
    folder = given.folder.resolve()
    programs = commands(folder)
    unknown = set(given.only) - set(programs)
    if unknown:
        arguments.error(f"{', '.join(sorted(unknown))}: not one of {', '.join(programs)}")

    variables = environment(folder, given.stand_ins)
    required = {item.split(":")[0].strip() for item in os.environ.get("GPU_STREAM_REQUIRE", "").split(",")}
    table, notes = [HEAD], []
    counts = dict.fromkeys(["passed", "skipped", "failed"], 0)
    for name in given.only or programs:
        outcome, rows, reason = run([*programs[name], str(given.rounds)], variables)
        table += rows
        if outcome == "skipped" and name in required:
            outcome, reason = "failed", f"skipped, but GPU_STREAM_REQUIRE requires it: {reason}"
        counts[outcome] += 1
        if reason:
            notes.append(f"- {name}: {outcome}: {reason}")
    total = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
    parts = [machine(variables), "\n".join(table), "\n".join(notes), f"Programs: {total}."]
    text = "\n\n".join(part for part in parts if part)
    print(text, flush=True)
    if given.out:
        given.out.write_text(text + "\n", encoding="utf-8")
    return 1 if counts["failed"] or not counts["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
