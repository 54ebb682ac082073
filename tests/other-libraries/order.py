"""Orders work of CuPy, numba-cuda or cuda.core with gpu-stream's, and leaves out one wait at a time as a control.

    python order.py cupy|numba-cuda|cuda.core [ROUNDS]

Prints a row of a table for each way in which a stream is exchanged. Exit status: 0, or 1 if data or an owner was wrong,
or 77 if the library cannot run here; the last line is then the reason. A word in pinned memory holds a stream back, so
that the program decides what runs first.
"""

import ctypes
import gc
import importlib.metadata
import os
import pathlib
import struct
import sys
import weakref

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "crates/python/tests"))

from support import Driver, Word, gs, missing_gpu  # noqa: E402

COUNT = 1 << 14
SKIPPED = 77


class Library:
    """What the programs need of a library."""

    package: str

    def version(self):
        return importlib.metadata.version(self.package)


class Cupy(Library):
    def __init__(self, driver):
        import cupy

        self.cupy = cupy
        cupy.cuda.runtime.getDeviceCount()
        self.package = next(
            dist.name for dist in importlib.metadata.distributions() if dist.name.startswith("cupy-cuda")
        )
        self.wrappers = {
            "cupy.cuda.ExternalStream(ours.ptr)": lambda ours: cupy.cuda.ExternalStream(
                ours.ptr, ours.device_id
            ),
            "cupy.cuda.Stream.from_external(ours)": cupy.cuda.Stream.from_external,
        }

    def stream(self):
        return self.cupy.cuda.Stream(non_blocking=True)

    def handle(self, stream):
        return stream.ptr

    def array(self):
        return self.cupy.empty(COUNT, dtype=self.cupy.float32)

    def address(self, array):
        return array.data.ptr

    def copy(self, target, source, stream):
        with stream:
            target[...] = source

    def wait(self, later, earlier):
        event = self.cupy.cuda.Event(disable_timing=True)
        event.record(earlier)
        later.wait_event(event)


class NumbaCuda(Library):
    package = "numba-cuda"

    def __init__(self, driver):
        from numba import cuda

        self.cuda = cuda
        self.wrappers = {"cuda.external_stream(ours.ptr)": lambda ours: cuda.external_stream(ours.ptr)}

    def stream(self):
        return self.cuda.stream()

    def handle(self, stream):
        return int(stream.handle)

    def array(self):
        return self.cuda.device_array(COUNT, "float32")

    def address(self, array):
        return array.__cuda_array_interface__["data"][0]

    def copy(self, target, source, stream):
        target.copy_to_device(source, stream=stream)

    def wait(self, later, earlier):
        event = self.cuda.event(timing=False)
        event.record(earlier)
        event.wait(later)


class CudaCore(Library):
    package = "cuda-core"

    def __init__(self, driver):
        from cuda import core

        self.core, self.driver = core, driver
        self.device = core.Device(0)
        self.device.set_current()
        self.wrappers = {
            "Device.create_stream(ours)": self.device.create_stream,
            "Stream.from_handle(ours.ptr)": lambda ours: core.Stream.from_handle(ours.ptr),
        }

    def stream(self):
        return self.device.create_stream()

    def handle(self, stream):
        return int(stream.handle)

    def array(self):
        # The memory is never freed. cuda.core's own allocator needs memory pools.
        address = ctypes.c_uint64()
        self.driver.call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(4 * COUNT))
        return self.core.Buffer.from_handle(address.value, 4 * COUNT)

    def address(self, array):
        return int(array.handle)

    def copy(self, target, source, stream):
        source.copy_to(target, stream=stream)

    def wait(self, later, earlier):
        later.wait(earlier)


LIBRARIES = {"cupy": Cupy, "numba-cuda": NumbaCuda, "cuda.core": CudaCore}


class WithoutStream:
    """An array that names no stream. `saxpy` would wait for one."""

    def __init__(self, address):
        self.__cuda_array_interface__ = dict(shape=(COUNT,), typestr="<f4", data=(address, False), version=3)


class Arrays:
    """Four arrays of the library: `source` has the round's number, and the others begin with zeros."""

    NAMES = ("source", "middle", "target", "result")

    def __init__(self, library, driver):
        self.library, self.driver = library, driver
        for name in self.NAMES:
            setattr(self, name, library.array())
        self.other, self.unused = gs.new_stream(0), library.array()

    def begin(self, number):
        """Writes all arrays. Blocks until that is done."""
        (bits,) = struct.unpack("I", struct.pack("f", number))
        for name in self.NAMES:
            address = ctypes.c_uint64(self.library.address(getattr(self, name)))
            word = ctypes.c_uint32(bits if name == "source" else 0)
            self.driver.call("cuMemsetD32_v2", address, word, ctypes.c_size_t(COUNT))
        self.driver.call("cuCtxSynchronize")

    def is_right(self, number):
        """Returns `True` if the number went through all arrays."""
        host = (ctypes.c_float * COUNT)()
        address = ctypes.c_uint64(self.library.address(self.result))
        self.driver.call("cuMemcpyDtoH_v2", host, address, ctypes.c_size_t(4 * COUNT))
        return set(host) == {number}

    def add(self, source, target, stream):
        """Adds an array to another by the kernel of `crates/python`."""
        x, y = (WithoutStream(self.library.address(array)) for array in (source, target))
        gs.saxpy(1.0, x, y, stream=stream)

    def let_others_run(self):
        """Polls until work on a stream of its own is done.

        Work submitted before has had its turn then, unless it is held.
        """
        for _ in range(20):
            self.add(self.source, self.unused, self.other)
            while not self.other.query():
                os.sched_yield()


class TheirStream:
    """A stream of the library, wrapped by gpu-stream, which also makes the waits."""

    def __init__(self, library, arrays):
        self.library, self.arrays = library, arrays
        self.theirs = library.stream()
        self.outer = gs.ExternalStream(library.handle(self.theirs), owner=self.theirs)
        self.inner = gs.new_stream(0)
        self.ordered = "its stream, by ExternalStream(handle, owner=theirs); waits of gpu-stream"

    def first(self):
        self.library.copy(self.arrays.middle, self.arrays.source, self.theirs)

    def work(self):
        self.arrays.add(self.arrays.middle, self.arrays.target, self.inner)

    def last(self):
        self.library.copy(self.arrays.result, self.arrays.target, self.theirs)

    def wait_before(self):
        self.inner.wait_stream(self.outer)

    def wait_after(self):
        self.outer.wait_stream(self.inner)

    def check_owner(self):
        """Checks that our wrapper keeps their stream alive, and releases it."""
        watch = weakref.ref(self.theirs)
        del self.theirs
        gc.collect()
        assert watch() is not None and self.outer.query(), "our wrapper did not keep the stream's object"
        del self.outer
        gc.collect()
        assert watch() is None, "the stream's object was not released with our wrapper"


class OurStream:
    """A stream of gpu-stream, wrapped by the library, which also makes the waits."""

    def __init__(self, library, arrays, name, wrap):
        self.library, self.arrays = library, arrays
        self.outer = gs.new_stream(0)
        self.theirs = wrap(self.outer)
        assert library.handle(self.theirs) == self.outer.ptr
        self.own = library.stream()
        self.inner = gs.ExternalStream(library.handle(self.own), owner=self.own)
        self.ordered = f"our stream, by {name}; its waits"

    def first(self):
        self.library.copy(self.arrays.middle, self.arrays.source, self.theirs)

    def work(self):
        self.library.copy(self.arrays.target, self.arrays.middle, self.own)

    def last(self):
        self.arrays.add(self.arrays.target, self.arrays.result, self.outer)

    def wait_before(self):
        self.library.wait(self.own, self.theirs)

    def wait_after(self):
        self.library.wait(self.theirs, self.own)

    def check_owner(self):
        """Does nothing: some wrappers keep our stream alive, and some do not. This object does."""


def run_round(program, number, gate, held, left_out):
    """Runs source -> middle -> target -> result, the middle step on `inner`. Returns `True` if the result is right.

    The stream `held` is held back. The wait `left_out` ("before", "after" or None) is not made. The stream that
    lacks it then runs before the other.
    """
    program.arrays.begin(number)
    gate.open(0)
    try:
        gate.hold_back(held)
        program.first()
        if left_out != "before":
            program.wait_before()
        program.work()
        if left_out != "after":
            program.wait_after()
        program.last()
        if left_out == "before":
            program.inner.synchronize()
        elif left_out == "after":
            program.outer.synchronize()
        else:
            program.arrays.let_others_run()
            assert not program.outer.query(), "the work was done while a stream was held back"
    finally:
        gate.open()
    program.outer.synchronize()
    program.inner.synchronize()
    return program.arrays.is_right(number)


def warm_up(program):
    """Does the work once with no stream held: a library may load its kernels now, which can wait for the device."""
    program.arrays.begin(0)
    program.first()
    program.wait_before()
    program.work()
    program.wait_after()
    program.last()
    program.outer.synchronize()


def count_right(program, rounds, gate, left_out=None):
    """Returns in how many rounds the result was right."""
    streams = [program.outer, program.inner]
    # Without the wait before the work, the first stream must be late; without the one after it, the second.
    allowed = {"before": streams[:1], "after": streams[1:], None: streams}[left_out]
    return sum(
        run_round(program, number, gate, allowed[number % len(allowed)], left_out)
        for number in range(1, rounds + 1)
    )


def run(name, rounds):
    """Prints the rows of a library. Returns the exit status."""
    reason = missing_gpu()
    if reason is not None:
        print(f"no device: {reason}")
        return SKIPPED
    driver = Driver()
    driver.enter()
    try:
        library = LIBRARIES[name](driver)
    except Exception as error:  # each library has its own exceptions for a driver that it cannot use
        print(f"{name} cannot run here: {type(error).__name__}: {error}".replace("\n", " "))
        return SKIPPED
    arrays, gate = Arrays(library, driver), Word(driver)
    programs = [TheirStream(library, arrays)]
    programs += [OurStream(library, arrays, *wrapper) for wrapper in library.wrappers.items()]
    failed = False
    for program in programs:
        warm_up(program)
        right = count_right(program, rounds, gate)
        wrong = [rounds - count_right(program, rounds, gate, left_out) for left_out in ("before", "after")]
        controls = ", ".join(f"{count} of {rounds}" for count in wrong)
        print(
            f"| {name} | {library.version()} | {program.ordered} | {right} of {rounds} | {controls} |",
            flush=True,
        )
        failed |= [right, *wrong] != [rounds] * 3
        program.check_owner()
    return int(failed)


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 3 or sys.argv[1] not in LIBRARIES:
        sys.exit(__doc__)
    sys.exit(run(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 50))
