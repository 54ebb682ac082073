"""Passes streams of torch, CuPy and cuda.core to the extension, and the extension's streams to them.

The tests check that the handle is the same, that the stream is kept alive, and that work is in order.
"""

import gc
import unittest
import weakref

from support import GpuCase, Handle, gs


class Torch(GpuCase):
    def test_torch_stream_in_every_form(self):
        import torch

        theirs = torch.cuda.Stream()
        forms = {
            "torch.cuda.Stream": theirs,
            "int": theirs.cuda_stream,
            "torch.cuda.ExternalStream": torch.cuda.ExternalStream(theirs.cuda_stream),
            "__cuda_stream__": Handle(theirs.cuda_stream),
            "ours": gs.ExternalStream(theirs),
            "torch's own wrapper of ours": gs.ExternalStream(theirs).torch_stream(),
        }
        x = torch.arange(1000, dtype=torch.float32, device="cuda")
        torch.cuda.synchronize()
        for form, given in forms.items():
            with self.subTest(form):
                ours = gs.ExternalStream(given)
                self.assertEqual(ours.cuda_stream, theirs.cuda_stream)
                self.assertEqual(ours.device, theirs.device)
                self.assertEqual(ours.priority, theirs.priority)
                self.assertTrue(ours.is_same(theirs))
                y = torch.zeros(1000, device="cuda")
                torch.cuda.synchronize()
                with torch.cuda.stream(theirs):
                    y.fill_(1.0)
                    gs.saxpy(2.0, x, y, stream=given)
                    y.mul_(3.0)
                ours.synchronize()
                self.assertTrue(torch.equal(y, 3.0 * (1.0 + 2.0 * x)))

    def test_current_stream_and_default_stream(self):
        import torch

        current = torch.cuda.current_stream()
        ours = gs.ExternalStream(current)
        self.assertEqual(ours, gs.default_stream(0))
        self.assertEqual(ours.torch_stream(), torch.cuda.default_stream())
        x = torch.ones(1 << 16, device="cuda")
        y = x * 2
        gs.saxpy(5.0, x, y, stream=current)
        self.assertTrue(torch.equal(y * 1, torch.full_like(x, 7.0)))

    def test_ours_to_torch(self):
        import torch

        ours = gs.new_stream("cuda:0")
        theirs = ours.torch_stream()
        self.assertIsInstance(theirs, torch.cuda.Stream)
        self.assertEqual(theirs.cuda_stream, ours.cuda_stream)
        self.assertEqual(theirs.device, ours.device)
        self.assertEqual(torch.cuda.ExternalStream(ours.cuda_stream, device=ours.device), theirs)
        with torch.cuda.stream(theirs):
            self.assertEqual(torch.cuda.current_stream().cuda_stream, ours.cuda_stream)
            y = torch.full((1000,), 4.0, device="cuda") + 1
        ours.synchronize()
        self.assertTrue(torch.equal(y, torch.full((1000,), 5.0, device="cuda")))

    def test_torchs_wrapper_keeps_ours(self):
        ours = gs.new_stream(0)
        watch = weakref.ref(ours)
        theirs = ours.torch_stream()
        del ours
        gc.collect()
        self.assertIsNotNone(watch())
        self.assertTrue(theirs.query())
        del theirs
        gc.collect()
        self.assertIsNone(watch())

    def test_methods_accept_each_others_streams_and_events(self):
        import torch

        theirs, ours = torch.cuda.Stream(), gs.new_stream(0)
        theirs.wait_stream(ours)
        theirs.wait_event(ours.record_event())
        mine = gs.Event()
        self.assertIs(theirs.record_event(mine), mine)
        self.assertIn(mine.status, ["pending", "complete"])
        ours.wait_stream(theirs)
        ours.wait_event(theirs.record_event())
        event = torch.cuda.Event()
        self.assertIs(ours.record_event(event), event)
        event.synchronize()
        ours.wait_event(torch.cuda.Event())
        self.assertIsInstance(ours.record_event(), gs.Event)
        mine.record(theirs)
        mine.wait(theirs)
        ours.synchronize()
        theirs.synchronize()

    def test_dlpack_accepts_dlpack_stream(self):
        import torch

        ours = gs.new_stream(0)
        x = torch.ones(10, device="cuda")
        self.assertIsNotNone(x.__dlpack__(stream=ours.dlpack_stream))
        self.assertIsNotNone(x.__dlpack__(stream=gs.default_stream(0).dlpack_stream))

    def test_unsupported_arrays_are_rejected(self):
        import torch

        stream = gs.new_stream(0)
        x = torch.ones(16, device="cuda")
        for bad in [torch.ones(16), torch.ones(16, device="cuda", dtype=torch.float64), x[::2]]:
            with self.assertRaises((gs.MisuseError, TypeError)):
                gs.saxpy(1.0, bad, bad, stream=stream)
        with self.assertRaises(RuntimeError):
            gs.saxpy(1.0, x, torch.ones(16, device="cuda", requires_grad=True), stream=stream)
        self.assertTrue(stream.query())

    def test_current_context_device_and_stream_are_unchanged(self):
        import torch
        from support import Driver

        driver = Driver()
        x = torch.ones(16, device="cuda")
        theirs = torch.cuda.Stream()
        with torch.cuda.stream(theirs):
            before = (driver.current(), torch.cuda.current_device(), torch.cuda.current_stream())
            gs.saxpy(1.0, x, x, stream=gs.new_stream(0), branches=3)
            gs.saxpy(1.0, x, x, stream=theirs)
            gs.ExternalStream(theirs).record_event().synchronize()
            after = (driver.current(), torch.cuda.current_device(), torch.cuda.current_stream())
        self.assertEqual(before, after)


class Cupy(GpuCase):
    libraries = ("cupy",)

    def test_cupy_stream(self):
        import cupy

        theirs = cupy.cuda.Stream(non_blocking=True)
        with theirs:
            x = cupy.arange(1000, dtype=cupy.float32)
            y = cupy.ones(1000, dtype=cupy.float32)
            for given in [theirs, theirs.ptr, gs.ExternalStream(theirs)]:
                gs.saxpy(2.0, x, y, stream=given)
            y *= 3
        theirs.synchronize()
        self.assertTrue((y == 3 * (1 + 6 * x)).all())
        ours = gs.ExternalStream(theirs)
        self.assertEqual((ours.ptr, ours.device_id), (theirs.ptr, theirs.device_id))

    def test_cupy_stream_is_kept_alive(self):
        import cupy

        theirs = cupy.cuda.Stream(non_blocking=True)
        watch = weakref.ref(theirs)
        ours = gs.ExternalStream(theirs)
        del theirs
        gc.collect()
        self.assertIsNotNone(watch())
        self.assertTrue(ours.query())
        event = ours.record_event()
        del ours
        gc.collect()
        self.assertIsNone(watch())
        event.synchronize()
        self.assertEqual(event.status, "complete")

    def test_cupy_default_streams(self):
        import cupy

        self.assertEqual(gs.ExternalStream(cupy.cuda.Stream.null), gs.default_stream(0))
        with self.assertRaises(gs.MisuseError):
            gs.ExternalStream(cupy.cuda.Stream.ptds)
        x, y = cupy.ones(100, dtype=cupy.float32), cupy.ones(100, dtype=cupy.float32)
        gs.saxpy(1.0, x, y, stream=cupy.cuda.Stream.ptds)
        gs.new_stream(0).wait_stream(cupy.cuda.Stream.ptds)
        cupy.cuda.Stream.ptds.synchronize()
        self.assertTrue((y == 2).all())

    def test_ours_to_cupy(self):
        import cupy

        ours = gs.new_stream(0)
        watch = weakref.ref(ours)
        theirs = cupy.cuda.Stream.from_external(ours)
        self.assertEqual(theirs.ptr, ours.ptr)
        with theirs:
            y = cupy.full(1000, 3, dtype=cupy.float32) * 2
        ours.synchronize()
        self.assertTrue((y == 6).all())
        del ours
        gc.collect()
        self.assertIsNotNone(watch(), "CuPy keeps it alive")
        # CuPy's methods read only the handle of an event.
        event = gs.Event()
        event.record(theirs)
        cupy.cuda.Stream(non_blocking=True).wait_event(event)

    def is_sum_right(self, convert):
        """CuPy increments an array slowly on its stream. The extension's kernel adds it up on another
        stream, without an explicit wait. Returns True if the sum is right.
        """
        import cupy

        producer, ours = cupy.cuda.Stream(non_blocking=True), gs.new_stream(0)
        size, rounds = 1 << 24, 50
        with producer:
            source = cupy.zeros(size, dtype=cupy.float32)
            y = cupy.zeros(size, dtype=cupy.float32)
            source += 0
            gs.saxpy(1.0, source, y, stream=ours)
        producer.synchronize()
        ours.synchronize()
        for _ in range(rounds):
            with producer:
                for _ in range(8):
                    source += 1
                gs.saxpy(1.0, convert(source), convert(y), stream=ours)
            ours.synchronize()
            producer.synchronize()
        return bool((y == sum(8 * (round_ + 1) for round_ in range(rounds))).all())

    def test_stream_named_by_an_array_is_waited_for(self):
        self.assertTrue(self.is_sum_right(lambda array: array))

    def test_array_without_a_stream_is_not_waited_for(self):
        class Silent:
            def __init__(self, array):
                self.__cuda_array_interface__ = dict(array.__cuda_array_interface__, stream=None)

        self.assertFalse(self.is_sum_right(Silent), "so the test with a stream shows nothing")


class CudaCore(GpuCase):
    libraries = ("cuda.core", "torch")

    def setUp(self):
        super().setUp()
        import torch
        from cuda.core import Device

        torch.cuda.init()
        self.device = Device(0)
        self.device.set_current()

    def test_cuda_core_stream(self):
        import torch

        theirs = self.device.create_stream()
        ours = gs.ExternalStream(theirs)
        self.assertEqual(ours.cuda_stream, int(theirs.handle))
        self.assertEqual(ours.device_id, theirs.device.device_id)
        x, y = torch.ones(100, device="cuda"), torch.ones(100, device="cuda")
        torch.cuda.synchronize()
        for given in [theirs, int(theirs.handle), ours]:
            gs.saxpy(1.0, x, y, stream=given)
        theirs.sync()
        self.assertTrue(torch.equal(y, 4 * x))
        with self.assertRaises(ValueError):
            gs.ExternalStream(theirs, device="cuda:x")

    def test_cuda_core_device(self):
        self.assertEqual(gs.new_stream(self.device).device_id, 0)

    def test_ours_to_cuda_core(self):
        ours = gs.new_stream(0)
        watch = weakref.ref(ours)
        theirs = self.device.create_stream(ours)
        self.assertEqual(int(theirs.handle), ours.cuda_stream)
        other = self.device.create_stream()
        other.wait(ours)
        ours.wait_stream(other)
        del ours
        gc.collect()
        self.assertIsNotNone(watch(), "cuda.core keeps it alive")
        theirs.sync()

    def test_cuda_core_default_streams(self):
        from cuda.core import LEGACY_DEFAULT_STREAM, PER_THREAD_DEFAULT_STREAM

        self.assertEqual(gs.ExternalStream(LEGACY_DEFAULT_STREAM), gs.default_stream(0))
        with self.assertRaises(gs.MisuseError):
            gs.ExternalStream(PER_THREAD_DEFAULT_STREAM)
        gs.new_stream(0).wait_stream(PER_THREAD_DEFAULT_STREAM)
        self.assertEqual(
            int(self.device.create_stream(gs.default_stream(0)).handle), int(LEGACY_DEFAULT_STREAM.handle)
        )


if __name__ == "__main__":
    unittest.main()
