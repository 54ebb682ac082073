"""What the scripts of the peers have in common: the lines that they exchange with `gpu-stream bench`.

A script says who it is, then makes batches of calls as it is told, and takes the time of each; see the
module `script` of the crate gpu-stream-bench. By hand: run a script and type `query 1000`.
"""

import json
import sys
import time
from itertools import repeat

# As many as in `fork_16` and `join_16`, and as a library's function forks to.
BRANCHES = 16
SIDES = 4


def say(**what):
    print(json.dumps(what), flush=True)


def timed(call):
    """`call`, as a function that makes so many calls and returns their nanoseconds."""

    def batch(calls):
        since = time.perf_counter_ns()
        for _ in repeat(None, calls):
            call()
        return time.perf_counter_ns() - since

    return batch


def serve(peer, versions, batches, settle):
    """Answers until the input ends.

    `batches` has a function for each operation, that makes so many calls and returns nanoseconds;
    `settle` waits until all streams are idle.
    """
    say(peer=peer, versions=versions, operations=list(batches))
    for line in sys.stdin:
        name, calls = line.split()
        calls = int(calls)
        try:
            # The others had their turn meanwhile: some calls that do not count warm up.
            batches[name](calls // 10 + 1)
            settle()
            ns = batches[name](calls)
            settle()
            say(ns=ns)
        except Exception as error:
            say(error=f"{type(error).__name__}: {error}")


def missing(peer, error):
    say(peer=peer, missing=f"{type(error).__name__}: {error}")
