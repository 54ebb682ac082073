"""Runs all tests in this folder with only the standard library. pytest runs them as well.

    python3 run.py [--out FOLDER] [--only MODULE ...] [--timeout SECONDS]

Each file runs in a separate process, so that a hang or a crash does not affect the others. The output
is also written to FOLDER/interop.txt. FOLDER/interop.json has each test with its outcome. A skipped test
is counted, with its reason. `GPU_STREAM_REQUIRE=cuda` makes it a failure.
"""

import argparse
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent


class Result(unittest.TestResult):
    """Writes a line at the start and at the end of each test."""

    def __init__(self, path):
        super().__init__()
        self.file = open(path, "a", encoding="utf-8")
        self.outcome = None

    def write(self, test, outcome, reason=""):
        line = {"test": test.id(), "outcome": outcome, "reason": reason}
        self.file.write(json.dumps(line) + "\n")
        self.file.flush()

    def startTest(self, test):
        super().startTest(test)
        self.outcome = ("passed", "")
        self.write(test, "started")

    def stopTest(self, test):
        super().stopTest(test)
        self.write(test, *self.outcome)

    def addError(self, test, error):
        super().addError(test, error)
        self.fails(test, error)

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self.fails(test, error)

    def addSubTest(self, test, subtest, error):
        super().addSubTest(test, subtest, error)
        if error is not None:
            self.fails(test, error)

    def fails(self, test, error):
        reason = self._exc_info_to_string(error, test)
        if self.outcome is None:  # Before the first test, or after the last.
            self.write(test, "failed", reason)
        self.outcome = ("failed", reason)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.outcome = ("skipped", reason)


def run_here(module, path):
    """Runs the tests of one file in this process, the child."""
    sys.path.insert(0, str(HERE))
    unittest.defaultTestLoader.loadTestsFromName(module).run(Result(path))


def run_module(module, timeout):
    """Runs the tests of one file in a child process. Returns their outcomes in order."""
    path = pathlib.Path(tempfile.mkdtemp()) / "lines"
    path.touch()
    command = [sys.executable, "-X", "faulthandler", str(HERE / "run.py"), "--here", module, str(path)]
    try:
        done = subprocess.run(command, timeout=timeout, capture_output=True, text=True, check=False)
        end = f"the process ended with {done.returncode}"
        output, crashed = done.stdout + done.stderr, done.returncode != 0
    except subprocess.TimeoutExpired as error:
        end, crashed = f"it hung for more than {timeout} seconds", True
        output = "".join((part or b"").decode(errors="replace") for part in (error.stdout, error.stderr))
    tests = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        line = json.loads(line)
        tests[line["test"]] = line
    for line in tests.values():
        if line["outcome"] == "started":
            line.update(outcome="failed", reason=f"{end}: {output}")
            crashed = False
    if crashed or not tests:
        name = f"{module}.(the file itself)"
        tests[name] = {"test": name, "outcome": "failed", "reason": f"{end}: {output}"}
    return list(tests.values())


VERSIONS = """
import importlib
for name in ["torch", "cupy", "cuda.core", "numpy", "tvm_ffi"]:
    try:
        print(name, importlib.import_module(name).__version__)
    except Exception as error:
        print(name, "is not available:", error)
"""


def machine():
    """Returns lines that describe the machine and the versions."""
    probe = "import support; print(support.missing_gpu() or support.gs.probe())"
    environment = dict(os.environ, PYTHONPATH=str(HERE))
    command = [sys.executable, "-c", VERSIONS + probe]
    child = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    lines = [f"Python {platform.python_version()} on {platform.platform()}"]
    required = os.environ.get("GPU_STREAM_REQUIRE", "")
    return lines + [f"GPU_STREAM_REQUIRE={required}"] + (child.stdout + child.stderr).splitlines()


def main():
    """Runs the tests, and returns the exit status."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--out", type=pathlib.Path)
    arguments.add_argument("--only", nargs="*")
    arguments.add_argument("--timeout", type=int, default=240)
    arguments.add_argument("--here", nargs=2, help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.here:
        return run_here(*given.here)
    log = None
    if given.out:
        given.out.mkdir(parents=True, exist_ok=True)
        log = open(given.out / "interop.txt", "w", encoding="utf-8")

    def say(text):
        print(text, flush=True)
        if log:
            print(text, file=log, flush=True)

    where = machine()
    for line in where:
        say(line)
    modules = given.only or sorted(path.stem for path in HERE.glob("test_*.py"))
    results, last = [], None
    for module in modules:
        say(f"\n{module}")
        for test in run_module(module, given.timeout):
            results.append(test)
            name = test["test"].removeprefix(f"{module}.")
            reason = test["reason"].strip()
            if test["outcome"] == "failed":
                say(f"  FAILED   {name}\n" + "\n".join(f"    {line}" for line in reason.splitlines()))
            else:
                suffix = "" if not reason else ": same reason" if reason == last else f": {reason}"
                last = reason or last
                say(f"  {test['outcome']:8} {name}{suffix}")
    counts = {
        outcome: sum(test["outcome"] == outcome for test in results)
        for outcome in ["passed", "skipped", "failed"]
    }
    say("\n" + ", ".join(f"{count} {outcome}" for outcome, count in counts.items()))
    if given.out:
        report = {"machine": where, "counts": counts, "tests": results}
        text = json.dumps(report, indent=1)
        (given.out / "interop.json").write_text(text + "\n", encoding="utf-8")
    return 1 if counts["failed"] or not counts["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
