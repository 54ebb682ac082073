"""Calls the handler from JAX, and prints a table. Fails if a result is wrong, or if one without a wait is right.

usage: python3 jax_ffi.py LIBRARY [--rounds N] [--size N] [--without-kernels]

LIBRARY is libgpu_stream_jax_ffi.so. On CUDA devices, the data show the order. On the CPU, where XLA has no streams, the
handler's errors are checked: they show what XLA has passed. GPU_STREAM_REQUIRE=cuda, or cuda:2, makes missing devices a failure.
"""

import argparse
import ctypes
import functools
import os
import shutil
import sys
import tempfile

# Two devices on the CPU, too. Read when JAX starts.
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=2"

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

NOTHING, FORK, JOIN = 0, 1, 2
CLEARS = 200  # how often a result is set to zero first


class Library:
    """The handler's library, registered for a platform: once plainly, and once so that XLA may capture the call.

    A second copy of the file is another library, with streams of its own. Its calls are `gpu_stream_copy_other`.
    """

    def __init__(self, path, platform):
        self.library = ctypes.CDLL(os.path.abspath(path))
        self.library.gpu_stream_jax_calls.restype = ctypes.c_uint64
        with tempfile.TemporaryDirectory() as folder:
            other = ctypes.CDLL(shutil.copy(path, folder))
        handlers = {
            "gpu_stream_copy": self.library.gpu_stream_jax_copy,
            "gpu_stream_copy_capturable": self.library.gpu_stream_jax_copy_capturable,
            "gpu_stream_copy_other": other.gpu_stream_jax_copy,
        }
        for name, handler in handlers.items():
            jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(handler), platform=platform)

    def calls(self):
        return self.library.gpu_stream_jax_calls()

    def synchronize(self):
        if self.library.gpu_stream_jax_synchronize():
            raise RuntimeError("see the message above")


def copy(x, *, target="gpu_stream_copy", vmap_method="broadcast_all", **attributes):
    """Copies an array by the handler."""
    result = jax.ShapeDtypeStruct(x.shape, x.dtype)
    call = jax.ffi.ffi_call(target, result, vmap_method=vmap_method)
    return call(x, **{name: np.int32(value) for name, value in attributes.items()})


def step(x, identity, *, without=NOTHING, target="gpu_stream_copy", vmap_method="broadcast_all"):
    """XLA's earlier work, which takes long; the handler's, which does so, too; and XLA's later work.

    Without an identity matrix, another library does XLA's work, and XLA launches no kernels.
    """
    other = functools.partial(copy, target="gpu_stream_copy_other", vmap_method=vmap_method)
    if identity is None:
        x = other(x, clears=10 * CLEARS if without == FORK else CLEARS)
    else:
        for _ in range(8):
            x = x @ identity
    # Without the fork, the handler must be early; without the join, late.
    clears = 0 if without == FORK else CLEARS
    copied = copy(x, target=target, vmap_method=vmap_method, clears=clears, without=without)
    return copied, other(copied) if identity is None else copied + 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("library", help="libgpu_stream_jax_ffi.so")
    parser.add_argument("--rounds", type=int, default=20, help="rounds of each case on a GPU")
    parser.add_argument("--size", type=int, default=4096, help="rows of a matrix on a GPU")
    parser.add_argument(
        "--without-kernels", action="store_true", help="let XLA launch none, for a simulated driver, whose kernels do nothing"
    )
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


class Rounds:
    """Runs cases in rounds, each with its own number, and notes how many rounds are wrong."""

    def __init__(self, library, arguments):
        self.library, self.rounds, self.size = library, arguments.rounds, arguments.size
        self.kernels = not arguments.without_kernels
        self.rows, self.skipped = [], []

    def case(self, name, run, must_be_wrong=False):
        run(0)  # compiles, and creates the handler's streams
        before, wrong = self.library.calls(), 0
        for number in range(1, self.rounds + 1):
            wrong += not run(number)
        is_as_expected = wrong > 0 if must_be_wrong else wrong == 0
        calls = self.library.calls() - before
        self.rows.append((name, self.rounds, wrong, calls, "ok" if is_as_expected else "FAILED"))

    def skip(self, reason, *names):
        self.skipped += [(name, reason) for name in names]

    def put(self, numbers, where=None, rows=None):
        """Puts matrices of one number each on a device. Numbers below 2048 are exact in TF32."""
        size = rows or self.size
        whole = np.broadcast_to(np.asarray(numbers, np.float32)[..., None, None], (*np.shape(numbers), size, size))
        return jax.device_put(np.ascontiguousarray(whole), where)

    def identity(self, where=None, rows=None):
        return jax.device_put(np.eye(rows or self.size, dtype=np.float32), where) if self.kernels else None

    def are_right(self, outcome, numbers):
        copied, later = (np.asarray(part) for part in outcome)
        numbers = np.asarray(numbers)[..., None, None]
        return bool(np.all(copied == numbers) and np.all(later == numbers + self.kernels))

    def in_jit(self, device, **static):
        identity, run_step = self.identity(device), jax.jit(functools.partial(step, **static))

        def run(number):
            outcome = run_step(self.put(number, device), identity)
            # What the later work has seen, before anything waits for the handler's streams.
            later = np.asarray(outcome[1])
            if static.get("without") == JOIN:
                self.library.synchronize()
                return bool(np.all(later == number + self.kernels))
            return self.are_right(outcome, number)

        return run

    def in_vmap(self, method):
        rows = self.size // 2
        identity = self.identity(rows=rows)
        batched = jax.jit(jax.vmap(functools.partial(step, vmap_method=method), in_axes=(0, None)))

        def run(number):
            numbers = number + np.arange(4)
            return self.are_right(batched(self.put(numbers, rows=rows), identity), numbers)

        return run

    def in_a_loop(self, number):
        loop = jax.jit(lambda x: jax.lax.fori_loop(0, 10, lambda _, x: copy(x, clears=20) + 1, x))
        return bool(np.all(np.asarray(loop(self.put(number))) == number + 10))

    def on_two_devices(self):
        devices = jax.devices()[:2]
        identities, run_step = [self.identity(device) for device in devices], jax.jit(step)

        def run(number):
            outcomes = [
                run_step(self.put(number + index, device), identity)
                for index, (device, identity) in enumerate(zip(devices, identities))
            ]
            # Both are submitted before either is looked at.
            are_right = [self.are_right(outcome, number + index) for index, outcome in enumerate(outcomes)]
            places = [next(iter(outcome[1].devices())) for outcome in outcomes]
            return all(are_right) and places == devices

        return run

    def sharded(self):
        mesh, run_sharded = sharded_step(self.kernels)
        identity = self.identity(NamedSharding(mesh, PartitionSpec()))
        where = NamedSharding(mesh, PartitionSpec("device"))
        return lambda number: self.are_right(run_sharded(self.put(number, where), identity), number)

    def print(self):
        print("\n| case | rounds | wrong | calls of the handler | |\n|---|---:|---:|---:|---|")
        for row in self.rows:
            print("| " + " | ".join(map(str, row)) + " |")
        for name, reason in self.skipped:
            print(f"| {name} | skipped: {reason} | | | |")
        failed = sum(row[-1] != "ok" for row in self.rows)
        print(f"\n{len(self.rows) - failed} ok, {failed} failed, {len(self.skipped)} skipped")
        return failed


def on_gpus(library, arguments):
    rounds, first = Rounds(library, arguments), jax.devices()[0]
    rounds.case("jit", rounds.in_jit(first))
    rounds.case("vmap, expand_dims", rounds.in_vmap("expand_dims"))
    rounds.case("vmap, broadcast_all", rounds.in_vmap("broadcast_all"))
    if rounds.kernels:
        rounds.case("vmap, sequential", rounds.in_vmap("sequential"))
        rounds.case("jit, a loop of 10 calls", rounds.in_a_loop)
    else:
        rounds.skip("needs kernels", "vmap, sequential", "jit, a loop of 10 calls")
    # Whether XLA captures depends on its version and flags. Then there are fewer calls.
    rounds.case("jit, XLA may capture", rounds.in_jit(first, target="gpu_stream_copy_capturable"))
    if len(jax.devices()) > 1:
        rounds.case("jit on the second device", rounds.in_jit(jax.devices()[1]))
        rounds.case("jit on two devices at once", rounds.on_two_devices())
        rounds.case("shard_map over two devices", rounds.sharded())
    else:
        names = ("jit on the second device", "jit on two devices at once", "shard_map over two devices")
        rounds.skip("one device", *names)
    rounds.case("control: without the fork", rounds.in_jit(first, without=FORK), must_be_wrong=True)
    rounds.case("control: without the join", rounds.in_jit(first, without=JOIN), must_be_wrong=True)
    return rounds.print()


def sharded_step(kernels=True):
    """Returns a mesh of two devices, and a function that runs `step` on both, each with half of the rows."""
    mesh = Mesh(np.array(jax.devices()[:2]), ("device",))
    rows, whole = PartitionSpec("device"), PartitionSpec() if kernels else None
    return mesh, jax.jit(jax.shard_map(step, mesh=mesh, in_specs=(rows, whole), out_specs=rows))


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
        "the program for GPUs": (lambda: jax.jit(step)(matrix, matrix), no_stream(256)),
        "shard_map over two devices": (lambda: sharded_step()[1](matrix, matrix), no_stream(128)),
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
