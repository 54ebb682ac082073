"""Tests over the simulated CUDA driver: arguments, owners, results, captures and errors.

Streams of the simulator run their work in order, and later than the calls that submit it.
"""

import unittest

from simulated import HEAD, SimulatedDriver
from support import expect_child


class Simulated(SimulatedDriver):
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
assert said["backend"] == "cuda" and said["version"] == "13.0"
assert said["devices"] == ["simulated (no GPU)"] * 2
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
event.synchronize()
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
x = Array([1.0], device=1)
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
gate = Word(driver)
gate.hold_back(stream)
stream.keep_until_done(thing)
del thing
assert stream.query() is False and watch() is not None, "the work before it is not done"
gate.open()
stream.synchronize()
assert watch() is None, "released when the work is done"
""")

    def test_events(self):
        self.child("""
stream, other = gs.new_stream(0), gs.new_stream(0)
event = gs.Event(enable_timing=True)
gate = Word(driver)
gate.hold_back(stream)
assert event.record(stream) is None and event.status == "pending" and event.device == "cuda:0"
assert event.query() is False
gate.open()
event.synchronize()
assert event.status == "complete"
assert event.query() is True and event.synchronize() is None
assert event.cuda_event != 0 and event.ptr == event.cuda_event and "CudaEvent" in repr(event)
end = gs.Event(enable_timing=True)
with raises(gs.MisuseError, "EventNotRecorded", "end"):
    event.elapsed_time(end)
assert stream.record_event(end) is end
end.synchronize()
assert event.elapsed_time(end) >= 0
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
    finish()
    assert list(y.numbers) == [12.0, 24.0, 36.0], (given, list(y.numbers))
for branches in range(0, 9):
    size = 10
    x, y = Array(range(size)), Array([1.0] * size)
    sim.driver_faults_watch(0)
    gs.saxpy(3.0, x, y, stream=stream, branches=branches)
    stream.synchronize()
    assert list(y.numbers) == [1.0 + 3.0 * i for i in range(size)]
    used = -(-size // -(-size // max(branches, 1)))
    seen = ctypes.create_string_buffer(1 << 16)
    sim.driver_faults_seen(seen, ctypes.c_size_t(len(seen)))
    assert seen.value.split().count(b"cuLaunchKernel") == used, branches
    sim.driver_faults_clear()
empty = Array([0.0], shape=(0,), data=(0, False))
gs.saxpy(1.0, empty, empty, stream=stream)
del given
gc.collect()
assert live() == 9, "the streams to fork to are pooled for the next call"
# In order with the caller's work before and after, also when it is split.
gate, before, after = Word(driver), Array([0.0] * 10), Array([0.0] * 10)
for branches in [0, 3]:
    gate.number.value = 0
    x.numbers[:], y.numbers[:], after.numbers[:] = [0.0] * 10, [0.0] * 10, [0.0] * 10
    gate.hold_back(stream)
    driver.call("cuMemsetD32Async", ctypes.c_uint64(x.address), 0x3f800000,
                ctypes.c_size_t(10), ctypes.c_void_p(stream.cuda_stream))
    gs.saxpy(5.0, x, y, stream=stream, branches=branches)
    gs.saxpy(1.0, y, after, stream=stream)
    assert list(y.numbers) == [0.0] * 10, "the caller's earlier work is not done"
    gate.open()
    stream.synchronize()
    assert list(y.numbers) == list(after.numbers) == [5.0] * 10, branches
""")

    def test_saxpy_rejects_invalid_arguments(self):
        self.child("""
stream = gs.new_stream(0)
x = Array([1.0, 2.0])
call = lambda x, y, **more: gs.saxpy(1.0, x, y, **dict(dict(stream=stream), **more))
with raises(TypeError, None, "stream"):
    gs.saxpy(1.0, x, x)
for given in [None, 1, [1.0], object(), memoryview(b"1234")]:
    with raises(TypeError, None, "y: ", "__cuda_array_interface__", "__dlpack__"):
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
    call(x, Array([1.0, 2.0], device=1))
with raises(gs.MisuseError, "InvalidHandle", "33"):
    call(x, x, branches=33)
with raises(OverflowError, None):
    call(x, x, branches=-1)
# saxpy waits for the stream that produces the data.
producer, gate = gs.new_stream(0), Word(driver)
y = Array([0.0, 0.0])
gate.hold_back(producer)
call(bad(stream=producer.cuda_stream), y)
assert stream.query() is False and list(y.numbers) == [0.0, 0.0]
gate.open()
stream.synchronize()
assert list(y.numbers) == [1.0, 2.0]
call(bad(stream=1), bad(stream=producer.cuda_stream))
call(bad(stream=2), bad(stream=stream.cuda_stream))
finish()
""")

    def test_context_and_capture_mode_are_restored(self):
        self.child("""
x = Array([1.0, 2.0])
other = ctypes.c_void_p()
driver.call("cuCtxCreate_v2", ctypes.byref(other), 0, 1)
driver.call("cuCtxPopCurrent_v2", ctypes.byref(other))
for current in [None, context, other.value]:
    driver.call("cuCtxSetCurrent", ctypes.c_void_p(current))
    gs.saxpy(1.0, x, x, stream=gs.new_stream(0), branches=2)
    gs.saxpy(1.0, x, x, stream=gs.default_stream(0))
    assert driver.current() == current
driver.call("cuCtxSetCurrent", ctypes.c_void_p(context))
gs.saxpy(1.0, x, x, stream=2)
assert driver.current() == context
mode = ctypes.c_int(0)
driver.call("cuThreadExchangeStreamCaptureMode", ctypes.byref(mode))
assert mode.value == 0
finish()
""")

    def test_capture_survives_queries(self):
        self.child("""
stream, x = gs.new_stream(0), Array([1.0, 2.0])
handle = ctypes.c_void_p(stream.cuda_stream)
assert sim.cuStreamBeginCapture_v2(handle, 0) == 0
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
assert sim.cuStreamEndCapture(handle, ctypes.byref(graph)) == 0, "the capture is broken"
with raises(gs.MisuseError, "InvalidEvent"):
    event.query()
""")

    def test_driver_errors_become_exceptions(self):
        self.child("""
stream, x = gs.new_stream(0), Array([1.0, 2.0])
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
        # The variable names the simulator. cudarc searches only for the usual names.
        code = """
stream, x = gs.new_stream(0), None
Named = type("Named", (), dict(__cuda_array_interface__=dict(
    shape=(1,), typestr="<f4", data=(4096, False), version=3)))
with raises(gs.UnavailableError, "LibraryNotFound", "GPU_STREAM_CUDA_LIBRARY"):
    gs.saxpy(1.0, Named(), Named(), stream=stream)
"""
        library = self.folder / "libfake.so"
        # Not the driver's own name in the file either, which the loader would find.
        text = (self.folder / "libcuda.so.1").read_bytes()
        library.write_bytes(text.replace(b"\0libcuda.so.1\0", b"\0libother.so.\0"))
        probe = "import ctypes\ntry:\n    ctypes.CDLL('libcuda.so.1')\n    print('a driver')\nexcept OSError:\n    pass\n"
        if "a driver" in expect_child(probe):
            self.skipTest("this machine has a CUDA driver, which cudarc finds")
        head = HEAD[HEAD.index("def raises") :]
        head = "import gpu_stream_torch as gs\n" + head
        self.child(code, head=head, LD_LIBRARY_PATH="", GPU_STREAM_CUDA_LIBRARY=str(library))


if __name__ == "__main__":
    unittest.main()
