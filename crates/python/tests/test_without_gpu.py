"""Tests on a machine without a GPU. On a machine with one, a child process hides the driver."""

import json
import unittest

from support import Handle, expect_child, gs

# Makes each call and prints the exceptions as JSON.
CHILD = """
import json, sys
import gpu_stream_torch as gs

class Handle:
    def __cuda_stream__(self):
        return (0, 0x7f001000)

calls = {
    "probe": lambda: gs.probe(),
    "ExternalStream(int)": lambda: gs.ExternalStream(0x7f001000),
    "ExternalStream(0)": lambda: gs.ExternalStream(0),
    "ExternalStream(2)": lambda: gs.ExternalStream(2),
    "ExternalStream(int, device)": lambda: gs.ExternalStream(0x7f001000, device="cuda:0"),
    "ExternalStream(object)": lambda: gs.ExternalStream(Handle()),
    "new_stream": lambda: gs.new_stream(0),
    "default_stream": lambda: gs.default_stream("cuda:0"),
    "Event.record": lambda: gs.Event().record(0x7f001000),
    "Event.wait": lambda: gs.Event().wait(Handle()),
    "saxpy": lambda: gs.saxpy(1.0, None, None, stream=0x7f001000),
}
seen = {}
for name, call in calls.items():
    try:
        call()
        seen[name] = None
    except Exception as error:
        seen[name] = [type(error).__name__, getattr(error, "kind", None), str(error)]
print(json.dumps(seen))
"""


class NoDriver(unittest.TestCase):
    def seen(self, library):
        return json.loads(expect_child(CHILD, environment={"GPU_STREAM_CUDA_LIBRARY": library}))

    def test_every_call_reports_a_missing_library(self):
        nowhere = "/nowhere/libcuda.so.1"
        seen = self.seen(nowhere)
        self.assertEqual(len(seen), 11)
        for name, raised in seen.items():
            self.assertIsNotNone(raised, f"{name} succeeded")
            self.assertEqual(raised[:2], ["UnavailableError", "LibraryNotFound"], name)
            self.assertIn(nowhere, raised[2], name)
            self.assertIn("GPU_STREAM_CUDA_LIBRARY", raised[2], name)

    def test_library_without_the_functions_is_rejected(self):
        for name, raised in self.seen("libm.so.6").items():
            self.assertEqual(raised[:2], ["UnavailableError", "SymbolNotFound"], name)


class Arguments(unittest.TestCase):
    """Arguments that are rejected before any call of the driver."""

    def refused(self, call, exception, kind, *parts):
        with self.assertRaises(exception) as caught:
            call()
        if kind is not None:
            self.assertEqual(caught.exception.kind, kind)
            self.assertIsNone(caught.exception.code)
        for part in parts:
            self.assertIn(part, str(caught.exception))

    def test_exception_classes(self):
        self.assertTrue(issubclass(gs.StreamError, RuntimeError))
        for name in ["UnavailableError", "MisuseError", "CapturingError", "FaultError"]:
            self.assertTrue(issubclass(getattr(gs, name), gs.StreamError), name)
        self.assertEqual(gs.BACKEND, "cuda")

    def test_invalid_integers_are_rejected(self):
        for number in [-1, -(2**70), -(2**200), 2**64, 2**64 + 4096, 2**127, 2**200]:
            call = lambda: gs.ExternalStream(number)  # noqa: B023
            self.refused(call, gs.MisuseError, "InvalidHandle", "a stream handle on cuda")
            call = lambda: gs.ExternalStream(Handle(number))  # noqa: B023
            self.refused(call, gs.MisuseError, "InvalidHandle", "__cuda_stream__()")

    def test_objects_that_are_no_stream_are_rejected(self):
        for given in [None, True, 1.5, "stream", b"", object(), [1], {}]:
            call = lambda: gs.ExternalStream(given)  # noqa: B023
            self.refused(call, TypeError, None, "__cuda_stream__", type(given).__name__)

    def test_invalid_protocol_results_are_rejected(self):
        call = lambda: gs.ExternalStream(Handle(4096, version=1))
        self.refused(call, gs.MisuseError, "Unsupported", "version", "(0, handle)")
        call = lambda: gs.ExternalStream(Handle(None))
        self.refused(call, gs.MisuseError, "InvalidHandle", "None")
        for pair in [(0,), (0, 1, 2)]:
            call = lambda: gs.ExternalStream(Pair(pair))  # noqa: B023
            self.refused(call, ValueError, None, "(0, handle)", str(len(pair)))
        for pair in [4096, [0, 4096], (0, 1.5), (0, "4096"), (0, True)]:
            call = lambda: gs.ExternalStream(Pair(pair))  # noqa: B023
            self.refused(call, TypeError, None)

    def test_exceptions_of_the_protocol_are_passed_on(self):
        with self.assertRaises(ZeroDivisionError):
            gs.ExternalStream(Raises())

    def test_devices(self):
        for given in ["cuda:x", "cuda:-1", "tpu:0", "", -1, 2**40]:
            self.refused(lambda: gs.new_stream(given), ValueError, None, "device")  # noqa: B023
        for given in ["cpu", "hip:0", "host:0"]:
            call = lambda: gs.new_stream(given)  # noqa: B023
            self.refused(call, gs.MisuseError, "BackendMismatch", "device")
        for given in [None, "cuda"]:
            call = lambda: gs.new_stream(given)  # noqa: B023
            self.refused(call, ValueError, None, "no current device")
        for given in [1.5, True, object()]:
            self.refused(lambda: gs.new_stream(given), TypeError, None, "device")  # noqa: B023

    def test_events(self):
        call = lambda: gs.Event(enable_timing=True, interprocess=True)
        self.refused(call, gs.MisuseError, "InvalidOptions", "timing")
        event = gs.Event()
        self.assertTrue(event.query())
        self.assertIsNone(event.synchronize())
        self.assertEqual((event.status, event.device), ("unrecorded", None))
        self.assertEqual((event.cuda_event, event.ptr), (0, 0))
        timed = gs.Event(enable_timing=True)
        self.refused(lambda: timed.elapsed_time(event), gs.MisuseError, "EventNotTimed", "end")
        self.refused(lambda: event.elapsed_time(timed), gs.MisuseError, "EventNotTimed", "start")
        self.refused(lambda: timed.elapsed_time(timed), gs.MisuseError, "EventNotRecorded", "start")
        self.assertIn("not recorded", repr(event))


class Interpreters(unittest.TestCase):
    def test_second_interpreter_is_rejected(self):
        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters
        # One that shares the interpreter's lock. Python lets no other kind import the module.
        code = """
import sys
import gpu_stream_torch as gs

module, path = sys.argv[1], sys.path
interpreters = __import__(module)
code = f"import sys\\nsys.path[:] = {path}\\ntry:\\n    import gpu_stream_torch\\nexcept ImportError as error:\\n    print(error)"
second = interpreters.create('legacy') if module == '_interpreters' else interpreters.create(isolated=False)
interpreters.run_string(second, code + "\\nsys.stdout.flush()")
assert gs.BACKEND
"""
        output = expect_child(code, arguments=[interpreters.__name__])
        self.assertIn("another process", output)
        self.assertIn("interpreter 0", output)


class Pair:
    def __init__(self, pair):
        self.pair = pair

    def __cuda_stream__(self):
        return self.pair


class Raises:
    @property
    def __cuda_stream__(self):
        raise ZeroDivisionError("raised by the object")


if __name__ == "__main__":
    unittest.main()
