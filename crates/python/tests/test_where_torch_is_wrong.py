"""Cases in which PyTorch 2.11's ExternalStream is wrong and the extension's is right.

torch's behaviour is asserted as well. A version of torch that fixes a case makes its test fail, and the
assertion can then be removed.
"""

import gc
import unittest
import weakref

from support import GpuCase, expect_child, gs


class Handles(GpuCase):
    def test_handle_0_is_the_default_stream(self):
        import torch

        torchs = torch.cuda.ExternalStream(0)
        self.assertNotEqual(torchs.cuda_stream, 0, "torch returns a stream of its pool")
        self.assertNotEqual(torchs, torch.cuda.default_stream())
        ours = gs.ExternalStream(0)
        self.assertEqual(ours, gs.default_stream(0))
        self.assertEqual(ours, gs.ExternalStream(torch.cuda.default_stream()))
        self.assertEqual(ours.torch_stream(), torch.cuda.default_stream())

    def test_integer_that_is_too_large(self):
        import torch

        for number in [2**64, 2**64 + torch.cuda.Stream().cuda_stream]:
            with self.assertRaises(gs.MisuseError) as caught:
                gs.ExternalStream(number)
            self.assert_kind(caught.exception, "InvalidHandle")

    def test_two_wrappers_of_one_stream_are_equal(self):
        import torch

        theirs = torch.cuda.Stream()
        self.assertNotEqual(torch.cuda.ExternalStream(theirs.cuda_stream), theirs)
        one = gs.ExternalStream(theirs)
        other = gs.ExternalStream(torch.cuda.ExternalStream(theirs.cuda_stream))
        self.assertEqual(one, other)
        self.assertEqual(len({one, other}), 1)


class Owners(GpuCase):
    libraries = ("torch", "cupy")

    def test_owner_of_a_wrapped_stream_is_kept_alive(self):
        import cupy
        import torch

        def wrap(how):
            theirs = cupy.cuda.Stream(non_blocking=True)
            return how(theirs), weakref.ref(theirs)

        torchs, watch = wrap(lambda theirs: torch.cuda.ExternalStream(theirs.ptr))
        gc.collect()
        self.assertIsNone(watch(), "CuPy has destroyed the stream, and torch still wraps it")
        del torchs
        ours, watch = wrap(gs.ExternalStream)
        gc.collect()
        self.assertIsNotNone(watch())
        x = torch.ones(1000, device="cuda")
        torch.cuda.synchronize()
        gs.saxpy(1.0, x, x, stream=ours)
        ours.synchronize()
        self.assertTrue(bool((x == 2).all()))

    def test_torch_stream_keeps_the_owner_alive(self):
        import cupy

        theirs = cupy.cuda.Stream(non_blocking=True)
        watch = weakref.ref(theirs)
        torchs = gs.ExternalStream(theirs).torch_stream()
        del theirs
        gc.collect()
        self.assertIsNotNone(watch())
        self.assertTrue(torchs.query())
        del torchs
        gc.collect()
        self.assertIsNone(watch())


class Captures(GpuCase):
    def test_query_breaks_a_capture_in_torch_only(self):
        child = """
import sys, torch
import gpu_stream_torch as gs

x = torch.ones(8, device="cuda")
stream = torch.cuda.Stream()
ours = gs.ExternalStream(stream)
torch.cuda.synchronize()
graph = torch.cuda.CUDAGraph()
refused = None
try:
    with torch.cuda.graph(graph, stream=stream):
        x.add_(1)
        try:
            (stream if sys.argv[1] == "torch" else ours).query()
        except RuntimeError as error:
            refused = error
    ended = "whole"
except RuntimeError as error:
    ended = "broken"
print(type(refused).__name__, ended)
"""
        torchs = expect_child(child, arguments=["torch"]).split()
        self.assertEqual(torchs[1], "broken", torchs)
        self.assertEqual(expect_child(child, arguments=["ours"]).split(), ["CapturingError", "whole"])


class Devices(GpuCase):
    devices = 2

    def test_wrong_device(self):
        import torch

        theirs = torch.cuda.Stream(device=1)
        for wrong in [torch.cuda.ExternalStream(theirs.cuda_stream, device=0)]:
            self.assertEqual(wrong.device, torch.device("cuda:0"), "torch does not check it")
            with self.assertRaises(gs.MisuseError) as caught:
                gs.ExternalStream(wrong)
            self.assert_kind(caught.exception, "DeviceMismatch")
        with self.assertRaises(gs.MisuseError) as caught:
            gs.ExternalStream(theirs.cuda_stream, device=0)
        self.assert_kind(caught.exception, "DeviceMismatch")
        for name in ["cuda:0", "cuda:1"]:
            self.assertIn(name, str(caught.exception))

    def test_default_device_is_the_streams_own(self):
        import torch

        theirs = torch.cuda.Stream(device=1)
        with torch.cuda.device(0):
            torchs = torch.cuda.ExternalStream(theirs.cuda_stream)
            self.assertEqual(torchs.device, torch.device("cuda:0"), "torch uses the current device")
            self.assertEqual(gs.ExternalStream(theirs.cuda_stream).device, torch.device("cuda:1"))


class OneDevice(GpuCase):
    def test_device_that_does_not_exist(self):
        import torch
        from support import device_count

        with self.assertRaises(gs.MisuseError) as caught:
            gs.ExternalStream(torch.cuda.Stream().cuda_stream, device=device_count())
        self.assert_kind(caught.exception, "InvalidDevice")


if __name__ == "__main__":
    unittest.main()
