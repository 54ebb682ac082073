"""Shared test code: the extension, counted skips that can be made failures, gates.

`GPU_STREAM_REQUIRE=cuda` turns a skip into a failure if a driver, a device or a library is missing.
`cuda:2` does the same if a second device is missing.
"""

import ctypes
import importlib
import os
import pathlib
import subprocess
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
# If the library is not installed, it is in this folder.
sys.path.append(str(HERE))

import gpu_stream_torch as gs  # noqa: E402


def required_devices():
    """Returns the number of CUDA devices that must be available. 0 if none is required."""
    most = 0
    for item in os.environ.get("GPU_STREAM_REQUIRE", "").split(","):
        name, _, count = item.strip().partition(":")
        if name == "cuda":
            most = max(most, int(count or 1))
    return most


def missing_gpu():
    """Returns the reason why no GPU is available, or None."""
    try:
        gs.probe()
        return None
    except gs.UnavailableError as error:
        return str(error)


def device_count():
    return len(gs.probe()["devices"])


class GpuCase(unittest.TestCase):
    """A test case that needs a GPU, the libraries in `libraries`, and the number of `devices`."""

    libraries = ("torch",)
    devices = 1

    def setUp(self):
        reason = missing_gpu()
        if reason is None and device_count() < self.devices:
            reason = f"needs {self.devices} devices, found {device_count()}"
            self.lacking(reason, fail=required_devices() >= self.devices)
        if reason is not None:
            self.lacking(reason, fail=required_devices() > 0)
        for name in self.libraries:
            self.need(name)

    def need(self, library):
        """Skips the test if the library cannot be imported."""
        try:
            importlib.import_module(library)
        except ImportError as error:
            self.lacking(f"{library}: {error}", fail=required_devices() > 0)

    def lacking(self, reason, fail):
        """Skips the test, or fails it if skips are not allowed."""
        if fail:
            self.fail(f"skipped, but GPU_STREAM_REQUIRE requires cuda: {reason}")
        self.skipTest(reason)

    def assert_kind(self, error, kind):
        self.assertEqual(error.kind, kind, str(error))
        self.assertTrue(str(error))


def run_child(code, environment=None, timeout=120, arguments=()):
    """Runs Python code in a separate process. Kills it and fails if it hangs."""
    variables = dict(os.environ, PYTHONPATH=os.pathsep.join(path for path in sys.path if path))
    variables.update(environment or {})
    command = [sys.executable, "-X", "faulthandler", "-c", code, *arguments]
    try:
        done = subprocess.run(
            command, env=variables, timeout=timeout, capture_output=True, text=True, check=False
        )
    except subprocess.TimeoutExpired as error:
        output = [part.decode() if part else "" for part in (error.stdout, error.stderr)]
        raise AssertionError(f"it hung: {''.join(output)}") from None
    return done


def expect_child(code, **options):
    """Runs Python code that must succeed in a separate process. Returns its output."""
    done = run_child(code, **options)
    if done.returncode != 0:
        raise AssertionError(f"it ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


class Driver:
    """The driver's own functions, by ctypes. With `holding`, calls keep the interpreter's lock."""

    def __init__(self, holding=False):
        make = ctypes.PyDLL if holding else ctypes.CDLL
        self.library = make("libcuda.so.1")

    def call(self, name, *arguments):
        code = getattr(self.library, name)(*arguments)
        if code != 0:
            raise RuntimeError(f"{name} answered {code}")

    def enter(self, ordinal=0):
        """Makes the primary context of a device current."""
        device, context = ctypes.c_int(), ctypes.c_void_p()
        self.call("cuInit", 0)
        self.call("cuDeviceGet", ctypes.byref(device), ordinal)
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self.call("cuCtxSetCurrent", context)
        return context.value

    def current(self):
        context = ctypes.c_void_p()
        self.call("cuCtxGetCurrent", ctypes.byref(context))
        return context.value


class Word:
    """A number in memory shared by host and device. The memory is never freed."""

    def __init__(self, driver):
        memory = ctypes.c_void_p()
        # Portable and mapped: valid in all contexts, at the same address.
        driver.call("cuMemHostAlloc", ctypes.byref(memory), ctypes.c_size_t(4), 1 | 2)
        self.driver = driver
        self.address = memory.value
        self.number = ctypes.c_uint32.from_address(self.address)
        self.number.value = 0

    def hold_back(self, stream, value=1):
        """Makes the stream wait until the number is at least `value`."""
        handle, address = ctypes.c_void_p(stream.cuda_stream), ctypes.c_uint64(self.address)
        self.driver.call("cuStreamWaitValue32_v2", handle, address, ctypes.c_uint32(value), 0)

    def written_by(self, stream, value):
        """Makes the stream write the number after its work so far."""
        handle, address = ctypes.c_void_p(stream.cuda_stream), ctypes.c_uint64(self.address)
        self.driver.call("cuStreamWriteValue32_v2", handle, address, ctypes.c_uint32(value), 0)

    def open(self, value=1):
        self.number.value = value


class Handle:
    """An object with only the `__cuda_stream__` protocol."""

    def __init__(self, handle, version=0):
        self.handle = handle
        self.version = version

    def __cuda_stream__(self):
        return (self.version, self.handle)
