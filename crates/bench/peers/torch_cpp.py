"""PyTorch from C++. Compiles `torch_cpp.cpp`, which has the timed loops. Needs a C++ compiler."""

import functools
import os
import sys
from pathlib import Path

import _peer

NAME = "PyTorch (C++)"

OPERATIONS = [
    "wrap_unchecked",
    "query",
    "synchronize",
    "record",
    "record_event",
    "event_query",
    "event_synchronize",
    "wait_event",
    "wait_stream",
    "fork_16",
    "join_16",
    "short_lived",
    "elapsed_since",
]


def main():
    import torch
    from torch.utils import cpp_extension

    # The output of the build must not mix with the protocol's lines on stdout.
    out = os.dup(1)
    os.dup2(2, 1)
    try:
        extension = cpp_extension.load(
            name="gpu_stream_bench_torch_cpp",
            sources=[str(Path(__file__).with_suffix(".cpp"))],
            extra_cflags=["-O3"],
            with_cuda=True,
        )
        extension.settle()
    finally:
        sys.stdout.flush()
        os.dup2(out, 1)
    batches = {name: functools.partial(extension.run, name) for name in OPERATIONS}
    versions = f"torch {torch.__version__}, CUDA {torch.version.cuda}"
    _peer.serve(NAME, versions, batches, extension.settle)


try:
    main()
except Exception as error:
    _peer.missing(NAME, error)
