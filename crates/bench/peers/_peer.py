"""The protocol between the peer scripts and `gpu-stream bench`.

A script writes a greeting, then runs the requested batches of calls and times each. The module `script` of
the crate gpu-stream-bench describes the protocol. To try it by hand, run a script and type `query 1000`.
"""

import json
import sys
import time
from itertools import repeat

# The number of branches in `fork_16` and `join_16`, and in the library function of `short_lived`.
BRANCHES = 16
SIDES = 4


def send(**message):
    print(json.dumps(message), flush=True)


def timed(call):
    """Returns a function that makes the given number of calls and returns their time in nanoseconds."""

    def batch(calls):
        since = time.perf_counter_ns()
        for _ in repeat(None, calls):
            call()
        return time.perf_counter_ns() - since

    return batch


def serve(peer, versions, batches, settle):
    """Answers requests until the input ends.

    `batches` has a function for each operation, which makes the given number of calls and returns their
    time in nanoseconds. `settle` waits until all streams are idle.
    """
    send(peer=peer, versions=versions, operations=list(batches))
    for line in sys.stdin:
        name, calls = line.split()
        calls = int(calls)
        try:
            # The other contenders ran meanwhile, so some uncounted calls warm up first.
            batches[name](calls // 10 + 1)
            settle()
            ns = batches[name](calls)
            settle()
            send(ns=ns)
        except Exception as error:
            send(error=f"{type(error).__name__}: {error}")


def missing(peer, error):
    """Reports that the script cannot run."""
    send(peer=peer, missing=f"{type(error).__name__}: {error}")
