"""Calls the handler from JAX, and prints a table. Fails if a result is wrong, or if one without a wait is right.

usage: python3 jax_ffi.py LIBRARY [--rounds N] [--size N]

LIBRARY is libgpu_stream_jax_ffi.so. On CUDA devices, the data show the order. On the CPU, where XLA has no streams, the
handler's errors are checked: they show what XLA has passed. GPU_STREAM_REQUIRE=cuda, or cuda:2, makes missing devices a failure.
"""

import argparse
import ctypes
import functools
import os
import sys

# Two devices on the CPU, too. Read when JAX starts.
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=2"

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

NOTHING, FORK, JOIN = 0, 1, 2
VMAP_METHODS = ("sequential", "expand_dims", "broadcast_all")


class Library:
    """The handler's library, registered for a platform: once plainly, and once so that XLA may capture the call."""

    def __init__(self, path, platform):
        self.library = ctypes.CDLL(os.path.abspath(path))
        self.library.gpu_stream_jax_calls.restype = ctypes.c_uint64
        handler = jax.ffi.pycapsule(self.library.gpu_stream_jax_copy)
        jax.ffi.register_ffi_target("gpu_stream_copy", handler, platform=platform)
        compatible = command_buffer_trait()
        self.can_capture = compatible is not None
        if self.can_capture:
            jax.ffi.register_ffi_target("gpu_stream_copy_captured", handler, platform=platform, traits=compatible)

    def calls(self):
        return self.library.gpu_stream_jax_calls()

    def synchronize(self):
        if self.library.gpu_stream_jax_synchronize():
            raise RuntimeError("see the message above")


def command_buffer_trait():
    """Returns XLA's trait of a handler whose work may be captured, or None where jaxlib does not name it."""
    from jaxlib import xla_client

    traits = getattr(xla_client, "CustomCallTargetTraits", None)
    return getattr(traits, "COMMAND_BUFFER_COMPATIBLE", None)


def copy(x, *, target="gpu_stream_copy", vmap_method="broadcast_all", **attributes):
    """Copies an array by the handler."""
    result = jax.ShapeDtypeStruct(x.shape, x.dtype)
    call = jax.ffi.ffi_call(target, result, vmap_method=vmap_method)
    return call(x, **{name: np.int32(value) for name, value in attributes.items()})


@functools.partial(jax.jit, static_argnames=("without", "target"))
def step(x, identity, without=NOTHING, target="gpu_stream_copy"):
    """XLA's earlier work, which takes long; the handler's, which takes long, too; and XLA's later work."""
    for _ in range(8):
        x = x @ identity
    copied = copy(x, target=target, clears=200, without=without)
    return copied, copied + 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("library", help="libgpu_stream_jax_ffi.so")
    parser.add_argument("--rounds", type=int, default=20, help="rounds of each case on a GPU")
    parser.add_argument("--size", type=int, default=4096, help="rows of a matrix on a GPU")
    arguments = parser.parse_args()
    on_gpu = jax.default_backend() == "gpu"
    devices = jax.devices()
    print(f"JAX {jax.__version__} on {len(devices)} × {devices[0].device_kind}")
    required = os.environ.get("GPU_STREAM_REQUIRE", "").split(",")
    for item in required:
        name, _, count = item.partition(":")
        if name == "cuda" and (not on_gpu or len(devices) < int(count or 1)):
            sys.exit(f"GPU_STREAM_REQUIRE={item}: {len(devices)} devices of {jax.default_backend()}")
    library = Library(arguments.library, "CUDA" if on_gpu else "cpu")
    failed = on_gpus(library, arguments) if on_gpu else on_the_cpu(library)
    sys.exit(failed > 0)


# --- On GPUs.


def on_gpus(library, arguments):
    size, rounds = arguments.size, arguments.rounds
    rows = []

    def case(name, run, must_be_wrong=False):
        """Runs rounds, each with its own number, and notes how many are wrong."""
        run(0)  # compiles, and creates the handler's streams
        before, wrong = library.calls(), 0
        for number in range(1, rounds + 1):
            wrong += not run(number)
        is_as_expected = wrong > 0 if must_be_wrong else wrong == 0
        rows.append((name, rounds, wrong, library.calls() - before, "ok" if is_as_expected else "FAILED"))

    def is_right(outcome, number):
        copied, later = outcome
        return bool(jnp.all(copied == number)) and bool(jnp.all(later == number + 1))

    def arguments_on(device):
        return functools.partial(jax.device_put, device=device), jax.device_put(jnp.eye(size), device)

    # Numbers below 2048 are exact in TF32.
    def in_jit(device, **static):
        put, identity = arguments_on(device)

        def run(number):
            outcome = step(put(jnp.full((size, size), float(number))), identity, **static)
            jax.block_until_ready(outcome)
            if static.get("without") == JOIN:
                # Looks at what the later work has seen, before the handler's streams are waited for.
                seen = bool(jnp.all(outcome[1] == number + 1))
                library.synchronize()
                return seen
            return is_right(outcome, number)

        return run

    def in_vmap(method):
        small = jnp.eye(size // 2)

        @jax.jit
        @functools.partial(jax.vmap, in_axes=(0, None))
        def batched(x, identity):
            for _ in range(8):
                x = x @ identity
            copied = copy(x, vmap_method=method, clears=100)
            return copied, copied + 1

        def run(number):
            numbers = jnp.arange(4.0).reshape(4, 1, 1) + number
            x = jnp.broadcast_to(numbers, (4, size // 2, size // 2))
            copied, later = batched(x, small)
            return bool(jnp.all(copied == numbers)) and bool(jnp.all(later == numbers + 1))

        return run

    def in_a_loop(number):
        loop = jax.jit(lambda x: jax.lax.fori_loop(0, 10, lambda _, x: copy(x, clears=20) + 1, x))
        return bool(jnp.all(loop(jnp.full((size, size), float(number))) == number + 10))

    def on_two(number):
        pairs = [(device, arguments_on(device)) for device in jax.devices()[:2]]
        outcomes = [
            step(put(jnp.full((size, size), float(number + index))), identity)
            for index, (_, (put, identity)) in enumerate(pairs)
        ]
        # Both are submitted before either is looked at.
        right = [is_right(outcome, number + index) for index, outcome in enumerate(outcomes)]
        places = [next(iter(outcome[1].devices())) for outcome in outcomes]
        return all(right) and places == [device for device, _ in pairs]

    first = jax.devices()[0]
    case("jit", in_jit(first))
    for method in VMAP_METHODS:
        case(f"vmap, {method}", in_vmap(method))
    case("jit, a loop of 10 calls", in_a_loop)
    if library.can_capture:
        # XLA captures only with flags of its own, and not with those of each version: the calls tell.
        case("jit, XLA may capture", in_jit(first, target="gpu_stream_copy_captured"))
    skipped = []
    if len(jax.devices()) > 1:
        case("jit on the second device", in_jit(jax.devices()[1]))
        case("jit on two devices at once", on_two)
        sharded = sharded_step(size)
        case("shard_map over two devices", lambda number: is_right(sharded(number), number))
    else:
        skipped = ["jit on the second device", "jit on two devices at once", "shard_map over two devices"]
    case("control: without the fork", in_jit(first, without=FORK), must_be_wrong=True)
    case("control: without the join", in_jit(first, without=JOIN), must_be_wrong=True)

    print("\n| case | rounds | wrong | calls of the handler | |\n|---|---:|---:|---:|---|")
    for row in rows:
        print("| " + " | ".join(map(str, row)) + " |")
    for name in skipped:
        print(f"| {name} | skipped: one device | | | |")
    failed = sum(row[-1] != "ok" for row in rows)
    print(f"\n{len(rows) - failed} ok, {failed} failed, {len(skipped)} skipped")
    return failed


def sharded_step(size):
    """Returns a function that runs `step` on two devices, each with half of the rows."""
    mesh = Mesh(np.array(jax.devices()[:2]), ("device",))
    rows, whole = PartitionSpec("device"), PartitionSpec()
    run = jax.jit(jax.shard_map(step, mesh=mesh, in_specs=(rows, whole), out_specs=rows))
    return lambda number: run(jnp.full((size, size), float(number)), jnp.eye(size))


# --- On the CPU.


def on_the_cpu(library):
    x = jnp.ones(1000, jnp.float32)
    batch = jnp.ones((3, 1000), jnp.float32)
    matrix = jnp.ones((8, 8), jnp.float32)

    def call(x, count=1, shape=None, **attributes):
        """Calls the handler with anything."""
        result = jax.ShapeDtypeStruct(shape or x.shape, x.dtype)
        return jax.ffi.ffi_call("gpu_stream_copy", result)(*[x] * count, **attributes)

    def no_stream(size):
        return ("UNIMPLEMENTED", f"gpu_stream_jax_copy: XLA has no stream for {size} bytes: ", "run the function on a CUDA device")

    def batched(method):
        return jax.jit(jax.vmap(functools.partial(copy, vmap_method=method)))

    wrong = "INVALID_ARGUMENT"
    cases = {
        "eager": (lambda: copy(x), no_stream(4000)),
        "jit": (lambda: jax.jit(copy)(x), no_stream(4000)),
        "jit, with attributes": (lambda: copy(x, clears=3, without=FORK), no_stream(4000)),
        "vmap, sequential": (lambda: batched("sequential")(batch), no_stream(4000)),
        "vmap, expand_dims": (lambda: batched("expand_dims")(batch), no_stream(12000)),
        "vmap, broadcast_all": (lambda: batched("broadcast_all")(batch), no_stream(12000)),
        "a loop": (lambda: jax.lax.fori_loop(0, 3, lambda _, x: copy(x), x), no_stream(4000)),
        "the second device": (lambda: copy(jax.device_put(x, jax.devices()[1])), no_stream(4000)),
        "the program for GPUs": (lambda: step(matrix, matrix), no_stream(256)),
        "shard_map over two devices": (lambda: sharded_step(8)(1), no_stream(128)),
        "bfloat16": (lambda: copy(x.astype(jnp.bfloat16)), no_stream(2000)),
        "complex64": (lambda: copy(x.astype(jnp.complex64)), no_stream(8000)),
        "no elements: XLA makes no call": (lambda: copy(x[:0]), ("no error",)),
        "a scalar": (lambda: copy(jnp.float32(1)), no_stream(4)),
        "4 bits": (lambda: copy(x.astype(jnp.int4)), (wrong, "argument has elements of XLA's type 21")),
        "two arguments": (lambda: call(x, count=2), (wrong, "called with 2 arguments")),
        "no argument": (lambda: call(x, count=0), (wrong, "called with 0 arguments")),
        "a shorter result": (lambda: call(x, shape=(999,)), (wrong, "result has 3996 bytes, and the argument 4000")),
        "an unknown attribute": (lambda: copy(x, clear=1), (wrong, "attribute `clear` is unknown")),
        "an attribute of int64": (lambda: call(x, clears=1), (wrong, "`clears` is no 32-bit integer")),
        "an attribute of text": (lambda: call(x, clears="1"), (wrong, "`clears` is no 32-bit integer")),
        "a negative attribute": (lambda: copy(x, clears=-1), (wrong, "`clears` is -1; pass 0 or more")),
        "a wait that does not exist": (lambda: copy(x, without=3), (wrong, "`without` is 3")),
    }
    failed = 0
    for name, (run, wanted) in cases.items():
        try:
            jax.block_until_ready(run())
            text = "no error"
        except Exception as error:  # each version of JAX has its own type
            text = str(error)
        missing = [part for part in wanted if part not in text]
        failed += bool(missing)
        print(f"{'FAILED' if missing else 'ok':8}{name}: {text.splitlines()[0]}")
        if missing:
            print(f"        without {missing}")
    assert library.calls() == 0, "work was submitted"
    assert bool(jnp.all(x + 1 == 2)), "JAX does not go on"
    print(f"{len(cases) - failed} ok, {failed} failed, without a GPU: no order was shown")
    return failed


main()
