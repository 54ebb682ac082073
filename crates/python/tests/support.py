"""What the tests share: the extension, a skip that is counted and can be made to fail, gates.

`GPU_STREAM_REQUIRE=cuda` makes a failure of every test that is skipped for want of a driver, a device
or a library; `cuda:2` does so for want of a second device.
"""

import ctypes
import importlib
import os
import pathlib
import subprocess
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
# The library lies beside the tests where it was not installed.
sys.path.append(str(HERE))

import gpu_stream_torch as gs  # noqa: E402


def required_devices():
    """How many devices of CUDA must be there; 0 if none must."""
    most = 0
    for item in os.environ.get("GPU_STREAM_REQUIRE", "").split(","):
        name, _, count = item.strip().partition(":")
        if name == "cuda":
            most = max(most, int(count or 1))
    return most


def missing_gpu():
    """Why there is no GPU, or None."""
    try:
        gs.probe()
        return None
    except gs.UnavailableError as error:
        return str(error)


def device_count():
    return len(gs.probe()["devices"])


class GpuCase(unittest.TestCase):
    """Tests that need a GPU, the libraries in `libraries`, and so many `devices`."""

    libraries = ("torch",)
    devices = 1

    def setUp(self):
        reason = missing_gpu()
        if reason is None and device_count() < self.devices:
            reason = f"needs {self.devices} devices, and there is {device_count()}"
            self.lacking(reason, fail=required_devices() >= self.devices)
        if reason is not None:
            self.lacking(reason, fail=required_devices() > 0)
        for name in self.libraries:
            self.need(name)

    def need(self, library):
        try:
            importlib.import_module(library)
        except ImportError as error:
            self.lacking(f"{library}: {error}", fail=required_devices() > 0)

    def lacking(self, reason, fail):
        if fail:
            self.fail(f"skipped, and GPU_STREAM_REQUIRE says that cuda must not skip: {reason}")
        self.skipTest(reason)

    def assert_kind(self, error, kind):
        self.assertEqual(error.kind, kind, str(error))
        self.assertTrue(str(error))


def run_child(code, environment=None, timeout=120, arguments=()):
    """Runs Python in a process of its own. One that hangs is stopped, and fails."""
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
    """The same, of a program that must succeed. Returns what it printed."""
    done = run_child(code, **options)
    if done.returncode != 0:
        raise AssertionError(f"it ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


class Driver:
    """The driver's own functions, by ctypes. `holding` keeps the interpreter's lock in a call."""

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
    """A number that host and device see. Its memory is never freed."""

    def __init__(self, driver):
        memory = ctypes.c_void_p()
        # Portable and mapped: good in all contexts, at one address.
        driver.call("cuMemHostAlloc", ctypes.byref(memory), ctypes.c_size_t(4), 1 | 2)
        self.driver = driver
        self.address = memory.value
        self.number = ctypes.c_uint32.from_address(self.address)
        self.number.value = 0

    def hold_back(self, stream, value=1):
        """The stream waits until the number is at least `value`."""
        handle, address = ctypes.c_void_p(stream.cuda_stream), ctypes.c_uint64(self.address)
        self.driver.call("cuStreamWaitValue32_v2", handle, address, ctypes.c_uint32(value), 0)

    def written_by(self, stream, value):
        """The stream writes the number when it comes here."""
        handle, address = ctypes.c_void_p(stream.cuda_stream), ctypes.c_uint64(self.address)
        self.driver.call("cuStreamWriteValue32_v2", handle, address, ctypes.c_uint32(value), 0)

    def open(self, value=1):
        self.number.value = value


class Handle:
    """An object that is a stream by the protocol and nothing else."""

    def __init__(self, handle, version=0):
        self.handle = handle
        self.version = version

    def __cuda_stream__(self):
        return (self.version, self.handle)
