"""What it costs to keep a tensor until a stream is done with it: two builds of crates/python, by turns in one process.

    python3 keep_tensors.py [--rounds N] [--held N] [--markdown FILE]

`gpu_stream_before` is the build of commit c6cb2b2, whose keep_until_done adds a host function to the stream, renamed by
the commands of crates/python/README.md. `gpu_stream_torch` is a build with the reclaimer. Both are release builds, and on
the path. With torch the kernels and the objects are torch's. Without torch the program runs over the simulated driver, to
test the program: its times mean nothing.

Each way takes its turn in each round, in an order that rotates. Each turn ends with all objects released, which is checked.
"""

import argparse
import ctypes
import datetime
import pathlib
import platform
import statistics
import sys
import threading
import time

import gpu_stream_before as before
import gpu_stream_torch as after

try:
    import torch
except ImportError:
    torch = None

NO_KEEP, HOST_FUNCTION, RECLAIMER = "no keep", "host function", "reclaimer"
DRIVER = ctypes.CDLL("libcuda.so.1")
KERNELS = 1000
CALLS = 1000
SECONDS_UNTIL_STUCK = 20


def call(name, *arguments):
    code = getattr(DRIVER, name)(*arguments)
    if code != 0:
        raise RuntimeError(f"{name} returned {code}")


class Gate:
    """Work of a stream behind it waits until it is open."""

    def __init__(self):
        memory = ctypes.c_void_p()
        call("cuMemHostAlloc", ctypes.byref(memory), ctypes.c_size_t(4), 1 | 2)
        self.address, self.number = memory.value, ctypes.c_uint32.from_address(memory.value)
        self.number.value = 0
        self.is_stuck = False

    def shut(self, handle):
        """Shuts the gate for the work that is submitted from now on. Returns a function that opens it."""
        value = self.number.value + 1
        call("cuStreamWaitValue32_v2", handle, ctypes.c_uint64(self.address), ctypes.c_uint32(value), 0)
        guard = threading.Timer(SECONDS_UNTIL_STUCK, self.open, [value, True])
        guard.daemon = True
        guard.start()

        def opens():
            guard.cancel()
            self.open(value, False)
            if self.is_stuck:
                raise RuntimeError("a submission waited for the shut gate; pass a smaller --held")

        return opens

    def open(self, value, is_stuck):
        self.is_stuck |= is_stuck
        self.number.value = value


class TimedEvent:
    """An event of the driver itself."""

    def __init__(self):
        self.event = ctypes.c_void_p()
        call("cuEventCreate", ctypes.byref(self.event), 0)

    def record(self, handle):
        call("cuEventRecord", self.event, handle)

    def microseconds_since(self, start):
        milliseconds = ctypes.c_float()
        call("cuEventElapsedTime", ctypes.byref(milliseconds), start.event, self.event)
        return milliseconds.value * 1000


class Memory:
    """An array of floats, for a run without torch."""

    def __init__(self, count):
        address = ctypes.c_uint64()
        call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(4 * count))
        self.__cuda_array_interface__ = dict(shape=(count,), typestr="<f4", data=(address.value, False), version=3)


class Bench:
    """A stream, a tensor, and the ways to keep the tensor until the stream is done."""

    def __init__(self, held):
        self.held = held
        context, device = ctypes.c_void_p(), ctypes.c_int()
        call("cuInit", 0)
        call("cuDeviceGet", ctypes.byref(device), 0)
        call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        call("cuCtxSetCurrent", context)
        if torch:
            self.theirs = torch.cuda.Stream()
            self.tensor = torch.zeros(1024, device="cuda")
            torch.cuda.synchronize()
            torch.cuda.set_stream(self.theirs)
        else:
            self.theirs, self.tensor = after.new_stream(0), Memory(1024)
        self.handle = ctypes.c_void_p(self.theirs.cuda_stream)
        self.old, self.new = before.ExternalStream(self.theirs), after.ExternalStream(self.theirs)
        self.gate, self.start, self.end = Gate(), TimedEvent(), TimedEvent()
        self.ways = {
            NO_KEEP: lambda: None,
            HOST_FUNCTION: lambda keep=self.old.keep_until_done, tensor=self.tensor: keep(tensor),
            RECLAIMER: lambda keep=self.new.keep_until_done, tensor=self.tensor: keep(tensor),
        }
        # The driver loads a kernel at its first launch, and waits for the device then. No gate may be shut.
        self.kernel()
        call("cuStreamSynchronize", self.handle)
        self.count = sys.getrefcount(self.tensor)

    def kernel(self):
        if torch:
            self.tensor.add_(1.0)
        else:
            before.saxpy(1.0, self.tensor, self.tensor, stream=self.old)

    def settle(self):
        """Blocks until all work is done and all objects are released."""
        call("cuStreamSynchronize", self.handle)
        self.old.query()
        after.drain()
        assert after.pending() == 0 and sys.getrefcount(self.tensor) == self.count, "an object is kept"

    def calls_on_an_idle_stream(self, keep):
        start = time.perf_counter()
        for _ in range(CALLS):
            keep()
        return (time.perf_counter() - start) * 1e6 / CALLS

    def calls_on_a_held_stream(self, keep):
        opens = self.gate.shut(self.handle)
        start = time.perf_counter()
        for _ in range(self.held):
            keep()
        taken = (time.perf_counter() - start) * 1e6 / self.held
        opens()
        return taken

    def submitted_kernels(self, keep):
        """Returns the time on the host, from the first submission to the end of the last kernel."""
        start = time.perf_counter()
        for _ in range(KERNELS):
            self.kernel()
            keep()
        call("cuStreamSynchronize", self.handle)
        return (time.perf_counter() - start) * 1e6 / KERNELS

    def processor_time(self, keep):
        """Returns the processor time of all threads of the process, for what `submitted_kernels` does."""
        start = time.process_time()
        self.submitted_kernels(keep)
        return (time.process_time() - start) * 1e6 / KERNELS

    def held_kernels(self, keep):
        """Returns the time on the device. All work is submitted before the first kernel can begin."""
        opens = self.gate.shut(self.handle)
        self.start.record(self.handle)
        for _ in range(self.held):
            self.kernel()
            keep()
        self.end.record(self.handle)
        opens()
        call("cuStreamSynchronize", self.handle)
        return self.end.microseconds_since(self.start) / self.held

    def queries(self, stream):
        start = time.perf_counter()
        for _ in range(CALLS):
            stream.query()
        return (time.perf_counter() - start) * 1e6 / CALLS

    def queries_of_a_held_stream(self, stream):
        opens = self.gate.shut(self.handle)
        stream.keep_until_done(self.tensor)
        taken = self.queries(stream)
        opens()
        return taken

    def settled(self, run, way):
        taken = run(way)
        self.settle()
        return taken


def measure(bench, rounds):
    """Returns the times of each row and way, in microseconds."""
    rows = {
        "a keep, idle stream": bench.calls_on_an_idle_stream,
        f"a keep, held stream ({bench.held} of them)": bench.calls_on_a_held_stream,
        f"a kernel and a keep, on the device ({bench.held} submitted before the first runs)": bench.held_kernels,
        f"a kernel and a keep, on the host ({KERNELS}, to the end of the last)": bench.submitted_kernels,
        "the same, processor time of all threads": bench.processor_time,
    }
    queries = "query of an idle stream, no object kept", "query of a held stream, one object kept"
    times = {row: {} for row in [*rows, *queries]}
    for index in range(rounds + 1):
        ways = list(bench.ways.items())
        ways = ways[index % len(ways) :] + ways[: index % len(ways)]
        found = {(row, name): bench.settled(run, keep) for row, run in rows.items() for name, keep in ways}
        for name, stream in [(HOST_FUNCTION, bench.old), (RECLAIMER, bench.new)]:
            found[queries[0], name] = bench.queries(stream)
            found[queries[1], name] = bench.settled(bench.queries_of_a_held_stream, stream)
        if index > 0:  # The first round warms up.
            for (row, name), taken in found.items():
                times[row].setdefault(name, []).append(taken)
    return times


def is_kept_behind_a_gate(bench):
    """Checks that both ways keep an object as long as the gate is shut, and no longer."""
    for name in [HOST_FUNCTION, RECLAIMER]:
        opens = bench.gate.shut(bench.handle)
        for _ in range(10):
            bench.ways[name]()
        bench.old.query()
        after.collect()
        assert sys.getrefcount(bench.tensor) == bench.count + 10, f"{name}: released early"
        opens()
        bench.settle()


def text(times, bench):
    ways = list(bench.ways)
    lines = [
        "| µs each, median (least) | " + " | ".join(ways) + " |",
        "|---|" + "---:|" * len(ways),
    ]
    for row, found in times.items():
        cells = [
            f"{statistics.median(found[way]):.2f} ({min(found[way]):.2f})" if way in found else "–" for way in ways
        ]
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def machine(rounds):
    probe = after.probe()
    versions = f"torch {torch.__version__}" if torch else "no torch"
    day = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    driver = pathlib.Path("/sys/module/nvidia/version")
    driver = driver.read_text().strip() if driver.exists() else "not known"
    return (
        f"{probe['devices'][0]}, driver {driver} (CUDA {probe['version']}), Python {platform.python_version()}, "
        f"{versions}, {rounds} rounds, {day}"
    )


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=20)
    # All of it must fit into the driver's queue, of about 1,000 entries.
    arguments.add_argument("--held", type=int, default=150, help="calls and kernels that wait for one gate")
    arguments.add_argument("--markdown", type=pathlib.Path)
    given = arguments.parse_args()
    bench = Bench(given.held)
    is_kept_behind_a_gate(bench)
    found = f"{machine(given.rounds)}\n\n{text(measure(bench, given.rounds), bench)}\n"
    print(found)
    if given.markdown:
        given.markdown.write_text(found, encoding="utf-8")


if __name__ == "__main__":
    main()
