"""The current stream of another library: DLPack's table, tvm-ffi's environment, torch's `native_handle`.

Fake tables run over the simulated CUDA driver, and so does tvm-ffi itself if it can be imported. torch needs a GPU.
"""

import importlib.util
import unittest

from simulated import HEAD, SimulatedDriver
from support import GpuCase, gs, required_devices

# Fake arrays. Their library has one current stream, and a table that ctypes makes.
FAKE = (
    HEAD
    + """
from ctypes import PYFUNCTYPE, POINTER, Structure, c_int, c_int32, c_uint32, c_void_p, py_object, pythonapi

Function = PYFUNCTYPE(c_int, c_int32, c_int32, POINTER(c_void_p))

class Table(Structure):
    _fields_ = [
        ("major", c_uint32), ("minor", c_uint32), ("prev_api", c_void_p), ("others", c_void_p * 4),
        ("current_work_stream", c_void_p),
    ]

NAME = b"dlpack_exchange_api"
make = pythonapi.PyCapsule_New
make.restype, make.argtypes = py_object, [c_void_p, ctypes.c_char_p, c_void_p]
kept = []
current = {}

def answer(kind, index, out):
    out[0] = current.get((kind, index), 0)
    return 0

def table(function=answer, major=1, minor=3, prev_api=0, address=None):
    # The table and its function live until the process ends.
    call = Function(function) if function else None
    made = Table(major, minor, prev_api)
    made.current_work_stream = address or ctypes.cast(call, c_void_p)
    kept.append((made, call))
    return ctypes.addressof(made)

def array(address, name=NAME, device=(2, 0)):
    class Fake:
        __dlpack_c_exchange_api__ = make(address, name, None) if isinstance(address, int) else address
        def __dlpack_device__(self):
            return device
    return Fake()
"""
)


class Table(SimulatedDriver):
    def child(self, code, head=FAKE, **environment):
        super().child(code, head=head, **environment)

    def test_current_stream_of_each_device(self):
        self.child("""
streams = [gs.new_stream(0), gs.new_stream(1)]
current.update({(2, 0): streams[0].cuda_stream, (2, 1): streams[1].cuda_stream})
address = table()
for device in [0, 1]:
    given = array(address, device=(2, device))
    assert gs.current_stream(given) == streams[device]
    assert gs.current_stream(type(given), device) == streams[device]
    assert gs.current_stream(type(given), f"cuda:{device}") == streams[device]
# An older table of a chain, and another minor version.
chain = table(None, 3, 0, table(None, 2, 1, table(minor=7)))
assert gs.current_stream(array(chain)) == streams[0]
current.clear()
for number in [0, 1]:
    current[2, 1] = number
    assert gs.current_stream(array(address, device=(2, 1))) == gs.default_stream(1)
""")

    def test_work_is_ordered_with_the_current_stream(self):
        self.child("""
theirs, word, copied = gs.new_stream(0), Word(driver), Word(driver)
current[2, 0] = theirs.cuda_stream
gate = Word(driver)
gate.hold_back(theirs)
word.written_by(theirs, 7)
ours = gs.new_stream(0)
ours.wait_stream(gs.current_stream(array(table())))
driver.call("cuMemcpyDtoDAsync_v2", ctypes.c_uint64(copied.address), ctypes.c_uint64(word.address),
            ctypes.c_size_t(4), ctypes.c_void_p(ours.cuda_stream))
assert not ours.query()
gate.open()
ours.synchronize()
assert copied.number.value == 7
""")

    def test_tables_that_cannot_be_used(self):
        self.child("""
good = table()
with raises(gs.MisuseError, "InvalidHandle", "null pointer", "dlpack_exchange_api"):
    gs.current_stream(array(good, b"another name"))
with raises(gs.MisuseError, "InvalidHandle", "not aligned"):
    gs.current_stream(array(good + 1))
with raises(gs.MisuseError, "Unsupported", "version 2.0"):
    gs.current_stream(array(table(major=2, minor=0)))
with raises(gs.MisuseError, "Unsupported", "version 0.9"):
    gs.current_stream(array(table(major=0, minor=9, prev_api=good)))
with raises(gs.MisuseError, "Unsupported", "names one of version 2.0 as older"):
    gs.current_stream(array(table(major=2, minor=0, prev_api=table(major=2, minor=0))))
with raises(gs.UnavailableError, "SymbolNotFound", "current_work_stream"):
    gs.current_stream(array(table(None)))
for given in [1, None, "text", object(), array(None), array(table.__name__)]:
    with raises(TypeError, None, "__dlpack_c_exchange_api__"):
        gs.current_stream(given)
with raises(TypeError, None, "device"):
    gs.current_stream(type(array(good)))
""")

    def test_answers_that_are_no_stream(self):
        self.child("""
def fails(kind, index, out):
    out[0] = 4096
    return -1
try:
    gs.current_stream(array(table(fails)))
    raise AssertionError("it is a stream")
except gs.StreamError as error:
    assert (error.kind, error.code, error.__cause__) == ("Driver", None, None), error
    assert "cuda:0" in str(error) and "answered -1" in str(error), error
# Python's own function that sets a TypeError, returns 0 and answers nothing, whatever the arguments are.
try:
    gs.current_stream(array(table(address=ctypes.cast(pythonapi.PyErr_BadArgument, c_void_p))))
    raise AssertionError("it is a stream")
except gs.MisuseError as error:
    assert error.kind == "InvalidHandle" and "negative" in str(error), error
    assert isinstance(error.__cause__, TypeError), error.__cause__
assert gs.pending() == 0, "no exception is left"
stream = gs.new_stream(1)
current[2, 0] = stream.cuda_stream
with raises(gs.MisuseError, "DeviceMismatch", "cuda:0", "cuda:1"):
    gs.current_stream(array(table()))
current[2, 0] = 2
with raises(gs.MisuseError, "InvalidHandle", "0x2", "another one on each thread"):
    gs.current_stream(array(table()))
current[2, 0] = 2**64 - 1
with raises(gs.MisuseError, "InvalidHandle", "negative"):
    gs.current_stream(array(table()))
for device in [(10, 0), (1, 0)]:
    with raises(gs.MisuseError, "BackendMismatch", "must belong to backend cuda"):
        gs.current_stream(array(table(), device=device))
for device in [(8, 0), (13, 0), (2, -1)]:
    with raises(gs.MisuseError, "BackendMismatch", str(device)):
        gs.current_stream(array(table(), device=device))
with raises(gs.MisuseError, "InvalidDevice", "cuda:7"):
    gs.current_stream(array(table(), device=(2, 7)))
""")

    def test_native_handle(self):
        self.child("""
class Device:
    def __init__(self, type, index):
        self.type, self.index = type, index
class Torch:
    # As torch.Stream: no protocol, and a handle on every vendor.
    def __init__(self, made, type="cuda", index=0):
        self.made, self.device = made, Device(type, index)
    @property
    def native_handle(self):
        return self.made.cuda_stream
made = gs.new_stream(1)
theirs = Torch(made, index=1)
watch = weakref.ref(theirs)
ours = gs.ExternalStream(theirs)
assert ours == made and ours.device_id == 1
del theirs
gc.collect()
assert watch() is not None, "the object is kept"
# Each name, where there are several: the protocol, then native_handle, then cuda_stream.
class Old(Torch):
    cuda_stream = 4096
assert gs.ExternalStream(Old(made, index=1)) == made
class WithProtocol(Torch):
    native_handle = 4096
    def __cuda_stream__(self):
        return (0, self.made.cuda_stream)
assert gs.ExternalStream(WithProtocol(made, index=1)) == made
class Unnamed:
    native_handle = made.cuda_stream
with raises(TypeError, None, "Unnamed"):
    gs.ExternalStream(Unnamed())
# The handle of another vendor is a pointer to something else, and is not even read.
class Unread(Torch):
    native_handle = property(lambda self: 1 / 0)
for type, kind in [("xpu", ValueError), ("cpu", gs.MisuseError), ("mps", ValueError)]:
    with raises(kind, None, "device"):
        gs.ExternalStream(Unread(made, type))
with raises(ZeroDivisionError, None):
    gs.ExternalStream(Unread(made, index=1))
with raises(gs.MisuseError, "DeviceMismatch", "cuda:0", "cuda:1"):
    gs.ExternalStream(Torch(made, index=0))
""")


class TvmFfi(SimulatedDriver):
    def test_library_that_is_not_loaded(self):
        self.child("""
with raises(gs.UnavailableError, "LibraryNotFound", "import tvm_ffi"):
    gs.tvm_ffi_stream(0)
""")

    def test_environment_of_each_thread(self):
        if importlib.util.find_spec("tvm_ffi") is None:
            self.skipTest("needs tvm_ffi: pip install apache-tvm-ffi")
        self.child("""
import threading
import tvm_ffi
one, other = gs.new_stream(0), gs.new_stream(1)
assert gs.tvm_ffi_stream(0) == gs.default_stream(0), "nothing is set"
with tvm_ffi.use_raw_stream(tvm_ffi.device("cuda:0"), one.cuda_stream):
    assert gs.tvm_ffi_stream("cuda:0") == one
    assert gs.tvm_ffi_stream(1) == gs.default_stream(1)
    with tvm_ffi.use_raw_stream(tvm_ffi.device("cuda:1"), other.cuda_stream):
        assert gs.tvm_ffi_stream(1) == other
    seen = []
    thread = threading.Thread(target=lambda: seen.append(gs.tvm_ffi_stream(0)))
    thread.start()
    thread.join()
    assert seen == [gs.default_stream(0)], "each thread has its own"
    # Its tensors have DLPack's table, which answers the same.
    from tvm_ffi.core import DLTensorTestWrapper
    assert gs.current_stream(DLTensorTestWrapper, 0) == one
    with tvm_ffi.use_raw_stream(tvm_ffi.device("cuda:1"), one.cuda_stream):
        with raises(gs.MisuseError, "DeviceMismatch"):
            gs.tvm_ffi_stream(1)
assert gs.tvm_ffi_stream(0) == gs.default_stream(0)
""")


class Torch(GpuCase):
    def setUp(self):
        super().setUp()
        import torch

        if not hasattr(torch.Tensor, "__dlpack_c_exchange_api__"):
            reason = f"torch {torch.__version__} has no __dlpack_c_exchange_api__"
            self.lacking(reason, fail=required_devices() > 0)
        self.torch = torch
        self.tensor = torch.zeros(8, device="cuda")

    def assert_current(self):
        """Checks that DLPack's table names torch's current stream of this thread."""
        current = self.torch.cuda.current_stream()
        ours = gs.current_stream(self.tensor)
        self.assertTrue(ours.is_same(current), (ours, current))
        if ours.cuda_stream != 1:
            self.assertEqual(ours.cuda_stream, current.cuda_stream)
        self.assertEqual(gs.current_stream(self.torch.Tensor, 0), ours)
        return ours

    def test_in_the_main_thread_and_within_a_stream(self):
        torch = self.torch
        self.assertEqual(self.assert_current(), gs.default_stream(0))
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            self.assertTrue(self.assert_current().is_same(stream))
            with torch.cuda.stream(torch.cuda.Stream(priority=-1)):
                self.assertFalse(self.assert_current().is_same(stream))
        self.assertEqual(self.assert_current(), gs.default_stream(0))
        ours = gs.new_stream(0)
        with torch.cuda.stream(ours.torch_stream()):
            self.assertEqual(self.assert_current(), ours)

    def test_in_other_threads(self):
        from concurrent.futures import ThreadPoolExecutor

        torch = self.torch

        def look():
            first = self.assert_current()
            with torch.cuda.stream(torch.cuda.Stream()):
                return first, self.assert_current()

        with torch.cuda.stream(torch.cuda.Stream()):
            here = self.assert_current()
            with ThreadPoolExecutor(4) as pool:
                seen = [future.result() for future in [pool.submit(look) for _ in range(16)]]
        self.assertTrue(all(first == gs.default_stream(0) for first, _ in seen))
        self.assertTrue(all(second not in (here, first) for first, second in seen))

    def test_in_a_capture(self):
        torch = self.torch
        graph, ours = torch.cuda.CUDAGraph(), gs.new_stream(0)
        x, y = torch.ones(1000, device="cuda"), torch.zeros(1000, device="cuda")
        gs.saxpy(1.0, x, y, stream=ours)  # loads the kernel before the capture
        torch.cuda.synchronize()
        with torch.cuda.graph(graph):
            theirs = self.assert_current()
            self.assertTrue(theirs.is_capturing())
            x.fill_(3.0)
            ours.wait_stream(theirs)
            gs.saxpy(2.0, x, y, stream=ours)
            theirs.wait_stream(ours)
            y.add_(1.0)
        y.fill_(0.0)
        for _ in range(3):
            graph.replay()
        self.assertTrue(bool((y == 21.0).all()), y)

    def test_work_is_ordered_with_the_current_stream(self):
        torch = self.torch
        ours = gs.new_stream(0)
        x, y = torch.zeros(1000, device="cuda"), torch.zeros(1000, device="cuda")
        torch.cuda.synchronize()
        with torch.cuda.stream(torch.cuda.Stream()):
            for round_ in range(8):
                torch.cuda._sleep(20_000_000)
                x.fill_(float(round_))
                y.fill_(1.0)
                theirs = gs.current_stream(x)
                ours.wait_stream(theirs)
                gs.saxpy(2.0, x, y, stream=ours)
                theirs.wait_stream(ours)
                self.assertTrue(bool((y == 1.0 + 2.0 * round_).all()), round_)

    def test_tensor_on_the_cpu_is_rejected(self):
        with self.assertRaises(gs.MisuseError):
            gs.current_stream(self.torch.zeros(1))

    def test_torchs_own_failure_is_the_cause(self):
        with self.assertRaises(gs.StreamError) as caught:
            gs.current_stream(self.torch.Tensor, 100)
        self.assert_kind(caught.exception, "Driver")
        self.assertIsInstance(caught.exception.__cause__, RuntimeError)
        self.assert_current()

    def test_native_handle(self):
        torch = self.torch
        if not hasattr(torch.Stream, "native_handle"):
            reason = f"torch {torch.__version__} has no native_handle"
            self.lacking(reason, fail=required_devices() > 0)
        for made in [torch.cuda.Stream(), torch.Stream(device="cuda"), torch.cuda.default_stream()]:
            ours = gs.ExternalStream(made)
            self.assertEqual(gs.ExternalStream(made.native_handle, 0), ours)
            self.assertEqual(ours.device_id, 0)
        with torch.cuda.stream(torch.cuda.Stream()) as _:
            current = torch.cuda.current_stream()
            same = torch.accelerator.current_stream()
            self.assertEqual(gs.ExternalStream(same), gs.ExternalStream(current))
            self.assertEqual(current.native_handle, current.cuda_stream)


if __name__ == "__main__":
    unittest.main()
