"""Tests on a fake driver without a device, which is compiled here.

They test that arguments reach the driver, that owners are kept alive and released, and that errors are
reported. They test nothing about order. They need rustc and the project's sources, and are skipped
without them.
"""

import pathlib
import shutil
import subprocess
import tempfile
import unittest

from support import HERE, expect_child

FOLDER = None
REASON = None


def setUpModule():
    global FOLDER, REASON
    source = HERE / "fake" / "libcuda.rs"
    base = HERE.parents[2] / "backends/cuda/tests/fake/libcuda.rs"
    if not shutil.which("rustc") or not source.exists() or not base.exists():
        REASON = "needs rustc, and the sources of the fake driver"
        return
    FOLDER = tempfile.TemporaryDirectory()
    library = pathlib.Path(FOLDER.name) / "libcuda.so.1"
    # Under the driver's own name, the only one that cudarc searches for.
    subprocess.run(
        ["rustc", "--edition=2024", "--crate-type=cdylib", "--crate-name=fake_cuda", "-Awarnings"]
        + ["--cfg=kernels", "-o", str(library), str(source)],
        check=True,
    )


def tearDownModule():
    if FOLDER is not None:
        FOLDER.cleanup()


HEAD = """
import ctypes, gc, sys, weakref
import gpu_stream_torch as gs

fake = ctypes.PyDLL("libcuda.so.1")
live = lambda: fake.fake_live(0)

class Array:
    # An array in host memory that the fake driver treats as device memory: on device 0 if the address
    # ends in 0, on device 1 if it ends in 8.
    def __init__(self, numbers, at=0, **changes):
        size = len(numbers)
        self.memory = ctypes.create_string_buffer(4 * size + 32)
        self.address = -(-ctypes.addressof(self.memory) // 16) * 16 + at
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


class FakeDriver(unittest.TestCase):
    def setUp(self):
        if REASON is not None:
            # Not a missing GPU: a machine that runs the GPU tests may have no rustc.
            self.skipTest(REASON)

    def child(self, code, **environment):
        # Selects the fake driver, even if the machine has a real one.
        environment["LD_LIBRARY_PATH"] = FOLDER.name
        environment["GPU_STREAM_CUDA_LIBRARY"] = str(pathlib.Path(FOLDER.name) / "libcuda.so.1")
        output = expect_child(HEAD + code + "\nprint('finished')", environment=environment)
        self.assertTrue(output.endswith("finished\n"), output)

    def test_stream_attributes(self):
        self.child("""
s = gs.new_stream("cuda:1", priority=-2)
assert s.device == "cuda:1" and s.device_id == 1 and s.priority == -2
assert s.__cuda_stream__() == (0, s.cuda_stream) and s.ptr == s.cuda_stream
assert s._as_parameter_.value == s.cuda_stream and s.dlpack_stream == s.cuda_stream
assert s.query() is True and s.synchronize() is None and s.is_capturing() is False
again = gs.ExternalStream(s.cuda_stream)
assert again == s and hash(again) == hash(s) and again is not s and len({again, s}) == 1
assert s != gs.new_stream(1) and s != s.cuda_stream and s.is_same(s.cuda_stream)
assert hex(s.cuda_stream) in repr(s) and "cuda:1" in repr(s)
for device in [1, "cuda:1", "cuda", None]:
    assert gs.ExternalStream(s.cuda_stream, device) == s
    assert gs.ExternalStream(s, device=device) == s
for device in [0, "cuda:0"]:
    for given in [s, s.cuda_stream, Stream(1)]:
        with raises(gs.MisuseError, "DeviceMismatch", "cuda:0", "cuda:1"):
            gs.ExternalStream(given, device)
with raises(gs.MisuseError, "InvalidDevice", "cuda:7"):
    gs.ExternalStream(s.cuda_stream, 7)
with raises(gs.MisuseError, "InvalidOptions", "9"):
    gs.new_stream(0, priority=9)
default = gs.default_stream(0)
assert default == gs.ExternalStream(0, 0) == gs.ExternalStream(1, 0)
assert default.cuda_stream == 1 and default.dlpack_stream == 1
with raises(gs.MisuseError, "InvalidHandle", "0x2", "another one on each thread"):
    gs.ExternalStream(2)
said = gs.probe()
assert said["backend"] == "cuda" and said["version"] == "13.0" and said["devices"] == ["Fake"] * 2
""")

    def test_devices_of_other_libraries(self):
        self.child("""
class Torch:
    type, index = "cuda", 1
class TorchCurrent:
    type, index = "cuda", None
class Cpu:
    type, index = "cpu", None
class Cupy:
    id = 1
class CudaCore:
    device_id = 1
for device in [Torch(), Cupy(), CudaCore(), 1]:
    assert gs.new_stream(device).device_id == 1
assert gs.ExternalStream(gs.new_stream(1), device=TorchCurrent()).device_id == 1
with raises(gs.MisuseError, "BackendMismatch"):
    gs.new_stream(Cpu())
# The device that an object reports is checked. For a default stream it is the only source.
class Default(Stream):
    device = Torch()
    def __cuda_stream__(self):
        return (0, 0)
assert gs.ExternalStream(Default()) == gs.default_stream(1)
class Wrong(Stream):
    device = Torch()
with raises(gs.MisuseError, "DeviceMismatch", "cuda:1", "cuda:0"):
    gs.ExternalStream(Wrong(0))
class CupyDefault:
    device_id = -1
    def __cuda_stream__(self):
        return (0, 0)
assert gs.ExternalStream(CupyDefault()) == gs.default_stream(0)
""")

    def test_owners_are_kept_alive_and_released(self):
        self.child("""
theirs = Stream()
watch = weakref.ref(theirs)
ours = gs.ExternalStream(theirs)
assert live() == 1
del theirs
gc.collect()
assert watch() is not None and live() == 1 and ours.query()
event = ours.record_event()
copy = gs.ExternalStream(ours)
del ours
gc.collect()
assert watch() is not None and copy.query()
del copy
gc.collect()
assert watch() is None and live() == 0, "the owner is released with the last wrapper"
assert event.query() and event.status == "complete"

# An int with an owner, and an object with another one.
class Owner: pass
owner, theirs = Owner(), Stream()
watches = [weakref.ref(owner), weakref.ref(theirs)]
ours = gs.ExternalStream(theirs, owner=owner)
more = gs.ExternalStream(theirs.made.cuda_stream, owner=owner)
del owner, theirs
gc.collect()
assert all(watch() is not None for watch in watches)
del ours
gc.collect()
assert watches[0]() is not None and watches[1]() is None
del more
gc.collect()
assert watches[0]() is None

# A failed call releases its reference, and so does a function that returns.
theirs = Stream(1)
watch = weakref.ref(theirs)
with raises(gs.MisuseError, "DeviceMismatch"):
    gs.ExternalStream(theirs, 0)
x = Array([1.0], at=8)
gs.saxpy(1.0, x, x, stream=theirs)
del theirs
gc.collect()
assert watch() is None and live() == 0
""")

    def test_owners_are_released_on_another_thread_and_at_exit(self):
        self.child("""
import threading
theirs = Stream()
watch = weakref.ref(theirs)
box = [gs.ExternalStream(theirs)]
del theirs
thread = threading.Thread(target=box.clear)
thread.start()
thread.join()
gc.collect()
assert watch() is None and live() == 0
# These live until interpreter exit, and beyond.
kept = gs.ExternalStream(Stream())
kept_event = kept.record_event()
module = sys.modules[__name__]
gs.forever = [kept, kept_event, gs.ExternalStream(Stream())]
""")

    def test_keep_until_done(self):
        self.child("""
class Thing: pass
thing = Thing()
watch = weakref.ref(thing)
stream = gs.new_stream(0)
stream.keep_until_done(thing)
del thing
stream.query()
assert watch() is None, "released when the work is done"
""")

    def test_events(self):
        self.child("""
stream, other = gs.new_stream(0), gs.new_stream(0)
event = gs.Event(enable_timing=True)
assert event.record(stream) is None and event.status == "complete" and event.device == "cuda:0"
assert event.query() is True and event.synchronize() is None
assert event.cuda_event != 0 and event.ptr == event.cuda_event and "CudaEvent" in repr(event)
end = gs.Event(enable_timing=True)
with raises(gs.MisuseError, "EventNotRecorded", "end"):
    event.elapsed_time(end)
assert stream.record_event(end) is end
assert event.elapsed_time(end) == 1.5
for given in [other, other.cuda_stream, Stream(), 0, 1, 2]:
    end.wait(given)
    end.record(given)
other.wait_event(end)
other.wait_event(gs.Event())
for given in [stream, stream.cuda_stream, Stream(), 0, 1, 2]:
    other.wait_stream(given)
with raises(gs.MisuseError, "DeviceMismatch", "cuda:0", "cuda:1"):
    gs.new_stream(1).record_event(end)
gs.new_stream(1).wait_event(end)
with raises(TypeError, None, "gpu_stream_torch.Event", "int"):
    stream.wait_event(5)
with raises(TypeError, None, "gpu_stream_torch.Event", "Thing"):
    stream.record_event(type("Thing", (), {})())
""")

    def test_saxpy(self):
        self.child("""
stream = gs.new_stream(0)
x, y = Array([1.0, 2.0, 3.0]), Array([10.0, 20.0, 30.0])
for given in [stream, stream.cuda_stream, Stream(), 0, 1, 2]:
    y.numbers[:] = [10.0, 20.0, 30.0]
    gs.saxpy(2.0, x, y, stream=given)
    assert list(y.numbers) == [12.0, 24.0, 36.0], (given, list(y.numbers))
for branches in range(0, 9):
    size = 10
    x, y = Array(range(size)), Array([1.0] * size)
    before = fake.fake_launches()
    gs.saxpy(3.0, x, y, stream=stream, branches=branches)
    assert list(y.numbers) == [1.0 + 3.0 * i for i in range(size)]
    used = -(-size // -(-size // max(branches, 1)))
    assert fake.fake_launches() - before == used, branches
empty = Array([0.0], shape=(0,), data=(0, False))
gs.saxpy(1.0, empty, empty, stream=stream)
assert live() == 9, "the streams to fork to are pooled for the next call"
""")

    def test_saxpy_rejects_invalid_arguments(self):
        self.child("""
stream = gs.new_stream(0)
x = Array([1.0, 2.0])
call = lambda x, y, **more: gs.saxpy(1.0, x, y, **dict(dict(stream=stream), **more))
with raises(TypeError, None, "stream"):
    gs.saxpy(1.0, x, x)
for given in [None, 1, [1.0], object(), memoryview(b"1234")]:
    with raises(TypeError, None, "y: ", "__cuda_array_interface__"):
        call(x, given)
bad = lambda **changes: Array([1.0, 2.0], **changes)
for changes, part in [
    (dict(typestr="<f8"), "<f8"), (dict(strides=(8,)), "contiguous"), (dict(shape=(3,)), "3"),
    (dict(shape=(2**40, 2**40)), "too large"), (dict(mask=x), "mask"), (dict(data=(16, False)), "0x10"),
    (dict(stream=0), "pass 1"), (dict(stream=-1), "pass None"),
]:
    with raises(gs.MisuseError, "InvalidHandle", part):
        call(x, bad(**changes))
with raises(gs.MisuseError, "InvalidHandle", "read-only"):
    call(x, bad(data=(x.address, True)))
call(bad(data=(x.address, True)), x)
call(x, bad(strides=(4,)))
call(bad(shape=(1, 2), strides=(999, 4)), bad(shape=(2, 1), strides=(4, 999)))
with raises(gs.MisuseError, "DeviceMismatch", "cuda:1", "cuda:0"):
    call(x, Array([1.0, 2.0], at=8))
with raises(gs.MisuseError, "InvalidHandle", "33"):
    call(x, x, branches=33)
with raises(OverflowError, None):
    call(x, x, branches=-1)
# saxpy waits for the stream that produces the data.
producer = gs.new_stream(0)
call(bad(stream=1), bad(stream=producer.cuda_stream))
call(bad(stream=2), bad(stream=stream.cuda_stream))
""")

    def test_context_and_capture_mode_are_restored(self):
        self.child("""
fake.fake_depth.restype = ctypes.c_size_t
x = Array([1.0, 2.0])
assert fake.fake_depth() == 0
gs.saxpy(1.0, x, x, stream=gs.new_stream(0), branches=2)
gs.saxpy(1.0, x, x, stream=2)
assert fake.fake_depth() == 0
context = ctypes.c_void_p()
fake.cuDevicePrimaryCtxRetain(ctypes.byref(context), 41)
fake.cuCtxSetCurrent(context)
gs.saxpy(1.0, x, x, stream=gs.new_stream(0), branches=2)
now = ctypes.c_void_p()
fake.cuCtxGetCurrent(ctypes.byref(now))
assert now.value == context.value and fake.fake_depth() == 1
mode = ctypes.c_int(0)
fake.cuThreadExchangeStreamCaptureMode(ctypes.byref(mode))
assert mode.value == 0
""")

    def test_capture_survives_queries(self):
        self.child("""
stream, x = gs.new_stream(0), Array([1.0, 2.0])
handle = ctypes.c_void_p(stream.cuda_stream)
assert fake.cuStreamBeginCapture_v2(handle, 0) == 0
assert stream.is_capturing() is True
for call in [stream.query, stream.synchronize, lambda: stream.keep_until_done(1)]:
    with raises(gs.CapturingError, "Capturing", "capture"):
        call()
event = stream.record_event()
with raises(gs.CapturingError, "Capturing"):
    event.query()
# The first use of the kernels on the device.
gs.saxpy(1.0, x, x, stream=stream)
assert gs.new_stream(0).query() is True
graph = ctypes.c_void_p()
assert fake.cuStreamEndCapture(handle, ctypes.byref(graph)) == 0, "the capture is broken"
with raises(gs.MisuseError, "InvalidEvent"):
    event.query()
""")

    def test_driver_errors_become_exceptions(self):
        self.child("""
stream, x = gs.new_stream(0), Array([1.0, 2.0])
fail = lambda name, code: fake.fake_fail(name and name.encode(), code)
fail("cuStreamQuery", 700)
with raises(gs.FaultError, "StreamFault", "cuStreamQuery", "700"):
    stream.query()
fail("cuStreamQuery", 123456)
try:
    stream.query()
    raise AssertionError("it is true")
except gs.StreamError as error:
    assert type(error) is gs.StreamError and (error.kind, error.code) == ("Driver", 123456)
fail("cuEventRecord", 2)
with raises(gs.StreamError, "OutOfMemory", "cuEventRecord"):
    gs.saxpy(1.0, x, x, stream=stream, branches=2)
fail(None, 0)
gs.saxpy(1.0, x, x, stream=stream, branches=2)
""")

    def test_driver_that_cudarc_does_not_find(self):
        # The variable names the fake driver. cudarc searches only for the usual names.
        code = """
stream, x = gs.new_stream(0), None
Named = type("Named", (), dict(__cuda_array_interface__=dict(
    shape=(1,), typestr="<f4", data=(4096, False), version=3)))
with raises(gs.UnavailableError, "LibraryNotFound", "GPU_STREAM_CUDA_LIBRARY"):
    gs.saxpy(1.0, Named(), Named(), stream=stream)
"""
        named = pathlib.Path(FOLDER.name) / "elsewhere"
        named.mkdir(exist_ok=True)
        shutil.copy(pathlib.Path(FOLDER.name) / "libcuda.so.1", named / "libfake.so")
        library = str(named / "libfake.so")
        head = HEAD.replace("libcuda.so.1", library)
        probe = "import ctypes\ntry:\n    ctypes.CDLL('libcuda.so.1')\n    print('a driver')\nexcept OSError:\n    pass\n"
        if "a driver" in expect_child(probe):
            self.skipTest("this machine has a CUDA driver, which cudarc finds")
        expect_child(head + code, environment={"GPU_STREAM_CUDA_LIBRARY": library})


if __name__ == "__main__":
    unittest.main()
