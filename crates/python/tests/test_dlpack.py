"""Takes arrays by DLPack from a producer over the simulated driver, and from numpy."""

import json
import unittest

from simulated import HEAD, SimulatedDriver
from support import expect_child

# A producer of both forms of capsule. It counts the calls of its deleters.
PRODUCER = """
class DLTensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p), ("device_type", ctypes.c_int32), ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32), ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)), ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]

Deleter = ctypes.CFUNCTYPE(None, ctypes.c_void_p)

class Legacy(ctypes.Structure):
    _fields_ = [("tensor", DLTensor), ("context", ctypes.c_void_p), ("deleter", Deleter)]

class Versioned(ctypes.Structure):
    _fields_ = [
        ("major", ctypes.c_uint32), ("minor", ctypes.c_uint32), ("context", ctypes.c_void_p),
        ("deleter", Deleter), ("flags", ctypes.c_uint64), ("tensor", DLTensor),
    ]

new_capsule = ctypes.pythonapi.PyCapsule_New
new_capsule.restype = ctypes.py_object
new_capsule.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
capsule_name = ctypes.pythonapi.PyCapsule_GetName
capsule_name.restype = ctypes.c_char_p
capsule_name.argtypes = [ctypes.py_object]

class Producer:
    # An array that only DLPack can read. `work` is its stream with pending work on the data.
    def __init__(self, array, work=None, *, versioned=True, device=None, major=1, flags=0, dtype=(2, 32, 1),
                 shape=None, strides=None, offset=0, name=None):
        self.array, self.work, self.versioned = array, work, versioned
        self.device = device or (2, array.device)
        self.name = name or (b"dltensor_versioned" if versioned else b"dltensor")
        self.deleted, self.streams, self.capsules = 0, [], []
        shape = shape or (len(array.numbers),)
        self.shape = (ctypes.c_int64 * len(shape))(*shape)
        if strides is None and versioned:
            strides = [1] * len(shape)
            for axis in reversed(range(len(shape) - 1)):
                strides[axis] = strides[axis + 1] * shape[axis + 1]
        self.strides = strides and (ctypes.c_int64 * len(strides))(*strides)
        tensor = DLTensor(array.address, *self.device, len(shape), *dtype, self.shape, self.strides, offset)
        self.deleter = Deleter(self.delete)
        if versioned:
            self.managed = Versioned(major, 0, None, self.deleter, flags, tensor)
        else:
            self.managed = Legacy(tensor, None, self.deleter)

    def delete(self, _managed):
        self.deleted += 1

    def __dlpack_device__(self):
        return self.device

    def __dlpack__(self, *, stream=None, **more):
        if not self.versioned and more:
            raise TypeError("__dlpack__() got an unexpected keyword argument 'max_version'")
        self.streams.append(stream)
        if self.work is not None and stream != -1:
            done = gs.Event()
            done.record(self.work)
            done.wait(stream)
        capsule = new_capsule(ctypes.addressof(self.managed), self.name, None)
        self.capsules.append(capsule)
        return capsule

def settle():
    # Blocks until all work is done, and releases what was kept for it.
    finish()
    gs.collect()
"""

# The driver's calls since `driver_faults_watch`, and a further fault: at call `at`, counted from 1, or at all calls.
CALLS = """
def calls():
    seen = ctypes.create_string_buffer(1 << 16)
    sim.driver_faults_seen(seen, ctypes.c_size_t(len(seen)))
    return seen.value.decode().split()

def fail_also(name, at, code):
    assert sim.driver_faults_set(name.encode(), ctypes.c_uint64(at), 0, 0, code)
"""


class Simulated(SimulatedDriver):
    def dlpack(self, code):
        self.child(code, head=HEAD + PRODUCER)

    def test_capsule_is_taken_once_and_deleted_once(self):
        self.dlpack("""
stream = gs.new_stream(0)
for versioned in [True, False]:
    x = Producer(Array([1.0, 2.0, 3.0]), versioned=versioned)
    y = Producer(Array([10.0, 20.0, 30.0]), versioned=versioned)
    gs.saxpy(2.0, x, y, stream=stream)
    settle()
    assert list(y.array.numbers) == [12.0, 24.0, 36.0]
    for producer in [x, y]:
        assert len(producer.capsules) == 1 and producer.deleted == 1, producer.deleted
        assert capsule_name(producer.capsules[0]) == b"used_" + producer.name
# One array for both arguments, and an array of the other protocol for one of them.
both = Producer(Array([1.0, 2.0]))
gs.saxpy(1.0, both, both, stream=stream, branches=2)
gs.saxpy(1.0, both, Array([0.0, 0.0]), stream=stream)
settle()
assert both.deleted == 3 and list(both.array.numbers) == [2.0, 4.0]
""")

    def test_kept_until_the_work_is_done(self):
        self.dlpack("""
stream, gate = gs.new_stream(0), Word(driver)
x, y = Producer(Array([1.0])), Producer(Array([0.0]))
gate.hold_back(stream)
for branches in [0, 2]:
    gs.saxpy(1.0, x, y, stream=stream, branches=branches)
gs.collect()
assert (x.deleted, y.deleted) == (0, 0) and list(y.array.numbers) == [0.0]
gate.open()
settle()
assert (x.deleted, y.deleted) == (2, 2) and list(y.array.numbers) == [2.0]
""")

    def test_work_waits_for_the_producer(self):
        self.dlpack("""
theirs, stream = gs.new_stream(0), gs.new_stream(0)
x, y = Producer(Array([0.0]), theirs), Producer(Array([0.0]), theirs)
for given in [stream, stream.cuda_stream, gs.default_stream(0), 2]:
    gate = Word(driver)
    x.array.numbers[0] = y.array.numbers[0] = 0.0
    gate.hold_back(theirs)
    for array, bits in [(x.array, 0x3f800000), (y.array, 0x40000000)]:
        driver.call("cuMemsetD32Async", ctypes.c_uint64(array.address), bits,
                    ctypes.c_size_t(1), ctypes.c_void_p(theirs.cuda_stream))
    gs.saxpy(1.0, x, y, stream=given)
    assert y.array.numbers[0] == 0.0, "the producer's work is not done"
    gate.open()
    settle()
    assert y.array.numbers[0] == 3.0, (given, y.array.numbers[0])
# The numbers that the protocol defines.
assert x.streams == y.streams == [stream.cuda_stream, stream.cuda_stream, 1, 2]
""")

    def test_arrays_that_are_not_usable(self):
        self.dlpack("""
stream = gs.new_stream(0)
good = Array([1.0, 2.0])
call = lambda x, y=good: gs.saxpy(1.0, x, y, stream=stream)
# Taken, and released at once.
for options, part in [
    (dict(dtype=(2, 64, 1)), "float32"), (dict(dtype=(2, 32, 2)), "float32"), (dict(dtype=(0, 32, 1)), "float32"),
    (dict(strides=(2,)), "contiguous"), (dict(shape=(1,)), "1 elements"), (dict(shape=(-1,)), "negative"),
    (dict(shape=(2**40, 2**40)), "overflows"), (dict(offset=2**64 - 1), "offset"), (dict(major=2), "version"),
]:
    bad = Producer(Array([1.0, 2.0]), **options)
    with raises(gs.MisuseError, "InvalidHandle", part):
        call(bad)
    assert bad.deleted == 1, (options, bad.deleted)
for flags in [1, 2]:
    bad = Producer(good, flags=flags)
    with raises(gs.MisuseError, "InvalidHandle", "writable"):
        call(good, bad)
    assert bad.deleted == 1
    call(bad)
    settle()
    assert bad.deleted == 2
# Not taken.
for device, kind in [((1, 0), "BackendMismatch"), ((10, 0), "BackendMismatch"), ((2, 1), "DeviceMismatch"),
                     ((2, -1), "DeviceMismatch")]:
    bad = Producer(good, device=device)
    with raises(gs.MisuseError, kind, "x: ", "cuda:0"):
        call(bad)
    assert bad.capsules == [] and bad.deleted == 0
bad = Producer(good, name=b"another")
with raises(gs.MisuseError, "InvalidHandle", "__dlpack__"):
    call(bad)
assert bad.deleted == 0
# A capsule that was taken before.
again = Producer(good)
call(again)
again.__dlpack__ = lambda **_: again.capsules[0]
with raises(gs.MisuseError, "InvalidHandle", "consumed"):
    call(again)
again.__dlpack__ = lambda **_: 5
with raises(TypeError, None, "capsule", "int"):
    call(again)
settle()
assert again.deleted == 1
# The producer's own exceptions, and a strange device.
def no(**_):
    raise BufferError("no")
again.__dlpack__ = no
with raises(BufferError, None, "no"):
    call(again)
again.__dlpack_device__ = lambda: None
with raises(TypeError, None):
    call(again)
# Memory that the driver does not know as the device's: both tensors are released.
x, y = Producer(Array([1.0], device=1), device=(2, 0)), Producer(Array([1.0]))
with raises(gs.MisuseError, "DeviceMismatch"):
    call(x, y)
gs.collect()
assert (x.deleted, y.deleted) == (1, 1)
# With an offset, in several dimensions, and without strides.
x = Producer(Array(range(8)), shape=(2, 1, 2), offset=16)
y = Producer(Array([0.0] * 4), versioned=False, shape=(4,))
call(x, y)
settle()
assert list(y.array.numbers) == [4.0, 5.0, 6.0, 7.0]
""")

    def test_driver_that_cannot_keep_the_tensors(self):
        self.dlpack(CALLS + """
stream = gs.new_stream(0)
x, y = Producer(Array([1.0])), Producer(Array([0.0]))
gs.saxpy(0.0, x.array, y.array, stream=stream)
fail("cuStreamQuery", 2)
sim.driver_faults_watch(0)
with raises(gs.StreamError, "OutOfMemory", "cuStreamQuery"):
    gs.saxpy(1.0, x, y, stream=stream)
seen = calls()
assert seen.index("cuLaunchKernel") < seen.index("cuStreamQuery") < seen.index("cuStreamSynchronize"), seen
assert list(y.array.numbers) == [1.0], "the call has waited for the work"
gs.collect()
assert (x.deleted, y.deleted) == (1, 1)
""")

    def test_capture_of_another_stream(self):
        # 906: another thread captures a stream that the default stream would wait for. The work itself is not captured.
        self.dlpack(CALLS + """
stream, gate = gs.new_stream(0), Word(driver)
x, y = Producer(Array([1.0])), Producer(Array([0.0]))
gs.saxpy(0.0, x.array, y.array, stream=stream)
# The capture ends before the call waits for the work. Of the three questions before that, two are asked twice: a fast
# path leaves each code but success to the slow one.
for at in [1, 2, 3, 4, 5]:
    fail_also("cuStreamIsCapturing", at, 906)
sim.driver_faults_watch(0)
with raises(gs.CapturingError, "Capturing", "query"):
    gs.saxpy(1.0, x, y, stream=stream)
seen = calls()
assert seen.index("cuLaunchKernel") < seen.index("cuStreamIsCapturing") < seen.index("cuStreamSynchronize"), seen
gs.collect()
assert (x.deleted, y.deleted) == (1, 1) and list(y.array.numbers) == [1.0]
# It does not end.
fail("cuStreamIsCapturing", 906)
gate.hold_back(stream)
with raises(gs.CapturingError, "Capturing", "query"):
    gs.saxpy(1.0, x, y, stream=stream)
fail(None, 0)
gs.collect()
assert (x.deleted, y.deleted) == (1, 1), "the work still runs"
gate.open()
settle()
assert (x.deleted, y.deleted) == (1, 1) and list(y.array.numbers) == [2.0]
""")

    def test_driver_that_can_neither_keep_the_tensors_nor_wait(self):
        self.dlpack(CALLS + """
stream, gate = gs.new_stream(0), Word(driver)
x, y = Producer(Array([1.0])), Producer(Array([0.0]))
gs.saxpy(0.0, x.array, y.array, stream=stream)
gate.hold_back(stream)
fail("cuStreamQuery", 2)
fail_also("cuStreamSynchronize", 0, 2)
with raises(gs.StreamError, "OutOfMemory", "cuStreamQuery"):
    gs.saxpy(1.0, x, y, stream=stream)
fail(None, 0)
gs.collect()
assert (x.deleted, y.deleted) == (0, 0), "the work still runs"
gate.open()
settle()
assert (x.deleted, y.deleted) == (0, 0) and list(y.array.numbers) == [1.0]
""")

    def test_caller_that_cannot_wait_for_the_branches(self):
        self.dlpack(CALLS + """
stream = gs.new_stream(0)
x, y = Producer(Array([1.0, 1.0])), Producer(Array([0.0, 0.0]))
gs.saxpy(0.0, x.array, y.array, stream=stream, branches=2)
sim.driver_faults_watch(0)
gs.saxpy(0.0, x.array, y.array, stream=stream, branches=2)
waits = calls().count("cuStreamWaitEvent")
# Two branches wait for the caller, and the caller for the two branches.
assert waits == 4, waits
for failed in [3, 4]:
    fail(None, 0)
    finish()
    fail_also("cuStreamWaitEvent", failed, 2)
    sim.driver_faults_watch(0)
    with raises(gs.StreamError, "OutOfMemory", "cuStreamWaitEvent"):
        gs.saxpy(1.0, x, y, stream=stream, branches=2)
    seen = calls()
    assert seen.count("cuLaunchKernel") == seen.count("cuStreamSynchronize") == 2, seen
    assert seen.index("cuLaunchKernel") < seen.index("cuStreamSynchronize") < seen.index("cuStreamQuery"), seen
    assert list(y.array.numbers) == [failed - 2.0] * 2, "the call has waited for the branches"
settle()
assert (x.deleted, y.deleted) == (2, 2)
# If it cannot wait either, the memory is never released.
fail("cuStreamSynchronize", 2)
fail_also("cuStreamWaitEvent", 3, 2)
with raises(gs.StreamError, "OutOfMemory", "cuStreamWaitEvent"):
    gs.saxpy(1.0, x, y, stream=stream, branches=2)
fail(None, 0)
settle()
assert (x.deleted, y.deleted) == (2, 2) and list(y.array.numbers) == [3.0] * 2
""")

    def test_capture(self):
        self.dlpack("""
stream = gs.new_stream(0)
x, y = Producer(Array([1.0])), Producer(Array([0.0]))
handle, graph, executable = ctypes.c_void_p(stream.cuda_stream), ctypes.c_void_p(), ctypes.c_void_p()
driver.call("cuStreamBeginCapture_v2", handle, 0)
gs.saxpy(1.0, x, y, stream=stream)
driver.call("cuStreamEndCapture", handle, ctypes.byref(graph))
gs.collect()
assert (x.deleted, y.deleted) == (1, 1), "the caller keeps the memory of a graph"
driver.call("cuGraphInstantiateWithFlags", ctypes.byref(executable), graph, ctypes.c_uint64(0))
for _ in range(3):
    driver.call("cuGraphLaunch", executable, handle)
finish()
assert list(y.array.numbers) == [3.0]
""")


NUMPY = """
import json
import numpy
import gpu_stream_torch as gs

taken = []

class Watched(numpy.ndarray):
    def __dlpack__(self, **more):
        taken.append(more)
        return super().__dlpack__(**more)

x = numpy.ones(3, numpy.float32).view(Watched)
try:
    gs.saxpy(1.0, x, x, stream=gs.new_stream(0))
except gs.MisuseError as error:
    print(json.dumps([error.kind, str(error), taken]))
"""


class Numpy(SimulatedDriver):
    """Arrays in host memory, `kDLCPU`."""

    def test_host_array_is_rejected_and_not_taken(self):
        try:
            import numpy  # noqa: F401
        except ImportError as error:
            self.skipTest(str(error))
        environment = {
            "GPU_STREAM_CUDA_LIBRARY": str(self.folder / "libcuda.so.1"),
            "LD_LIBRARY_PATH": str(self.folder),
        }
        kind, text, taken = json.loads(expect_child(NUMPY, environment=environment))
        self.assertEqual((kind, taken), ("BackendMismatch", []))
        self.assertIn("(1, 0)", text)
        self.assertIn("copy the array to cuda:0", text)


if __name__ == "__main__":
    unittest.main()
