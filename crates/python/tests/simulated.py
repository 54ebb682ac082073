"""Runs test code in child processes over the simulated CUDA driver, without a GPU.

`CUDA_SIM_LIBRARY` is the path of the simulator (`cargo build -p gpu-stream-cuda-sim`). Without the variable, the tests
are skipped. With it, a missing file is a failure. `crates/python/check` sets it.
"""

import os
import pathlib
import shutil
import tempfile
import unittest

from support import expect_child

# Test code begins with this: a driver whose memory is also the host's, arrays in it, and foreign streams.
HEAD = """
import ctypes, gc, sys, weakref
import gpu_stream_torch as gs
from support import Driver, Word

driver = Driver()
driver.enter(1)
driver.enter(0)
sim = driver.library
sim.driver_faults_live.restype = ctypes.c_uint64
live = lambda: sim.driver_faults_live(b"stream")
# The context is still current: without one, calls that need one fail.
context = driver.current()

def fail(name, code):
    sim.driver_faults_clear()
    if name is not None:
        assert sim.driver_faults_set(name.encode(), ctypes.c_uint64(0), 0, 0, code)

class Array:
    # An array on a device. The memory is never freed.
    def __init__(self, numbers, device=0, **changes):
        size = len(numbers)
        address = ctypes.c_uint64()
        driver.enter(device)
        driver.call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(4 * size))
        driver.call("cuCtxSetCurrent", ctypes.c_void_p(context))
        self.address, self.device = address.value, device
        self.numbers = (ctypes.c_float * size).from_address(self.address)
        self.numbers[:] = numbers
        self.interface = dict(shape=(size,), typestr="<f4", data=(self.address, False), version=3)
        self.interface.update(changes)

    @property
    def __cuda_array_interface__(self):
        return self.interface

class Stream:
    # A foreign stream: created by the driver, and destroyed with the object.
    def __init__(self, device=0):
        self.made = gs.new_stream(device)

    def __cuda_stream__(self):
        return (0, self.made.cuda_stream)

def finish():
    # Blocks until all work is done.
    driver.call("cuCtxSynchronize")

def raises(exception, kind, *parts):
    class Check:
        def __enter__(self):
            pass
        def __exit__(self, kind_of, error, trace):
            assert kind_of is not None and issubclass(kind_of, exception), (kind_of, error)
            assert kind is None or error.kind == kind, (error.kind, str(error))
            for part in parts:
                assert part in str(error), str(error)
            return True
    return Check()
"""


class SimulatedDriver(unittest.TestCase):
    """A test case whose code runs over the simulated driver, with two devices."""

    folder = None

    @classmethod
    def setUpClass(cls):
        given = os.environ.get("CUDA_SIM_LIBRARY")
        if given:
            folder = tempfile.TemporaryDirectory()
            cls.addClassCleanup(folder.cleanup)
            cls.folder = pathlib.Path(folder.name)
            # Under the driver's own names. cudarc tries the one without a version first, which can be a real driver's.
            shutil.copy(given, cls.folder / "libcuda.so.1")
            (cls.folder / "libcuda.so").symlink_to("libcuda.so.1")

    def setUp(self):
        if self.folder is None:
            # Not a missing GPU: a machine that runs the GPU tests may have no simulator.
            self.skipTest("needs CUDA_SIM_LIBRARY, the path of the simulated driver")

    def child(self, code, head=HEAD, **environment):
        """Runs `code` over the simulated driver, even if the machine has a real one."""
        environment.setdefault("LD_LIBRARY_PATH", str(self.folder))
        environment.setdefault("GPU_STREAM_CUDA_LIBRARY", str(self.folder / "libcuda.so.1"))
        environment.setdefault("CUDA_SIM_GPUS", "2")
        output = expect_child(head + code + "\nprint('finished')", environment=environment)
        self.assertTrue(output.endswith("finished\n"), output)
