"""Checks of PyTorch's own tests of streams and events, applied to the extension's classes. The tests have
the names of PyTorch's tests.
"""

import gc
import unittest
import weakref

from support import Driver, GpuCase, Handle, Word, gs


class External(GpuCase):
    def test_external_streams(self):
        """The wrapper of a foreign handle has that handle and its device."""
        import torch

        maker = torch.cuda.Stream()
        handle = maker.cuda_stream
        for ours in [gs.ExternalStream(handle), gs.ExternalStream(handle, torch.device("cuda", 0))]:
            self.assertEqual(ours.cuda_stream, handle)
            self.assertEqual(ours.device, torch.device("cuda", 0))
            self.assertEqual(ours.device.index, 0)
        for device in [0, "cuda:0", "cuda", None, torch.device("cuda:0"), torch.device("cuda")]:
            self.assertEqual(gs.ExternalStream(handle, device=device).device_id, 0)

    def test_cuda_stream_protocol(self):
        import torch

        for stream in [gs.new_stream(0), gs.ExternalStream(torch.cuda.Stream()), gs.default_stream(0)]:
            pair = stream.__cuda_stream__()
            self.assertIsInstance(pair, tuple)
            self.assertEqual(pair, (0, stream.cuda_stream))
            self.assertEqual([type(number) for number in pair], [int, int])
            self.assertEqual(gs.ExternalStream(Handle(pair[1])), stream)

    def test_streams(self):
        """query, synchronize, torch's context manager with the extension's stream, and equality."""
        import torch

        torch.cuda.init()
        gate = Word(Driver())
        ours = gs.new_stream(0)
        self.assertTrue(ours.query())
        with torch.cuda.stream(ours.torch_stream()):
            gate.hold_back(ours)
            self.assertFalse(ours.query())
            gate.open()
            ours.synchronize()
            self.assertTrue(ours.query())
        self.assertEqual(ours, gs.ExternalStream(ours.cuda_stream))
        self.assertNotEqual(ours, gs.new_stream(0))
        self.assertEqual(hash(ours), hash(gs.ExternalStream(ours.torch_stream())))
        self.assertIn(hex(ours.cuda_stream), repr(ours))


class Events(GpuCase):
    def test_events(self):
        """An unrecorded event is complete. A recorded one is complete once the work before it is done."""
        import torch

        torch.cuda.init()
        gate = Word(Driver())
        ours = gs.new_stream(0)
        event = gs.Event(enable_timing=True)
        self.assertTrue(event.query())
        self.assertEqual((event.cuda_event, event.device), (0, None))
        start = gs.Event(enable_timing=True)
        ours.record_event(start)
        gate.hold_back(ours)
        ours.record_event(event)
        self.assertFalse(event.query())
        self.assertEqual(event.status, "pending")
        with self.assertRaises(gs.MisuseError) as caught:
            start.elapsed_time(event)
        self.assert_kind(caught.exception, "EventPending")
        gate.open()
        event.synchronize()
        self.assertTrue(event.query())
        self.assertGreater(start.elapsed_time(event), 0)
        self.assertEqual(start.elapsed_time(start), 0)
        self.assertLess(event.elapsed_time(start), 0)
        self.assertNotEqual(event.cuda_event, 0)
        self.assertEqual(event.device, torch.device("cuda", 0))

    def test_events_elapsedtime(self):
        """Each invalid call has an error kind of its own. torch raises ValueError or RuntimeError."""
        ours = gs.new_stream(0)
        timed, plain = gs.Event(enable_timing=True), gs.Event()
        for start, end, kind in [
            (plain, timed, "EventNotTimed"),
            (timed, plain, "EventNotTimed"),
            (timed, gs.Event(enable_timing=True), "EventNotRecorded"),
        ]:
            with self.assertRaises(gs.MisuseError) as caught:
                start.elapsed_time(end)
            self.assert_kind(caught.exception, kind)
        ours.record_event(timed)
        ours.record_event(plain)
        ours.synchronize()
        with self.assertRaises(gs.MisuseError) as caught:
            timed.elapsed_time(plain)
        self.assert_kind(caught.exception, "EventNotTimed")

    def test_stream_event_repr(self):
        ours = gs.new_stream(0)
        event = ours.record_event()
        self.assertIn("gpu_stream_torch.Event", repr(event))
        self.assertIn("gpu_stream_torch.ExternalStream", repr(ours))

    def test_event_wait(self):
        """A wait delays later work, and does not block the host."""
        import torch

        torch.cuda.init()
        gate = Word(Driver())
        first, second = gs.new_stream(0), gs.new_stream(0)
        x, y = torch.ones(4, device="cuda"), torch.zeros(4, device="cuda")
        gs.saxpy(0.0, x, y, stream=first)
        torch.cuda.synchronize()
        gate.hold_back(first)
        gs.saxpy(1.0, x, y, stream=first)
        event = first.record_event()
        event.wait(second)
        gs.saxpy(1.0, y, y, stream=second)
        self.assertFalse(event.query())
        self.assertFalse(second.query())
        gate.open()
        second.synchronize()
        self.assertEqual(y.tolist(), [2.0] * 4)

    def test_blocking_and_interprocess(self):
        ours = gs.new_stream(0)
        for options in [dict(blocking=True), dict(interprocess=True), dict(blocking=True, enable_timing=True)]:
            event = gs.Event(**options)
            ours.record_event(event)
            event.synchronize()
            self.assertEqual(event.status, "complete")


class RecordStream(GpuCase):
    # torch's allocator does not split or merge blocks of this size.
    SIZE = 1 << 24

    def is_reused_early(self, recorded):
        """Returns True if torch's allocator reuses memory that the extension's stream has yet to read."""
        import torch

        torch.cuda.init()
        gate = Word(Driver())
        ours = gs.new_stream(0)
        result = torch.zeros(self.SIZE, device="cuda")
        # Loads the kernels, and gives the allocator two free blocks.
        blocks = [torch.full((self.SIZE,), 1.0, device="cuda") for _ in range(2)]
        gs.saxpy(0.0, blocks[0], result, stream=ours)
        torch.cuda.synchronize()
        del blocks
        gc.collect()
        temporary = torch.full((self.SIZE,), 3.0, device="cuda")
        torch.cuda.synchronize()
        gate.hold_back(ours)
        gs.saxpy(1.0, temporary, result, stream=ours)
        if recorded:
            temporary.record_stream(ours.torch_stream())
        address = temporary.data_ptr()
        del temporary
        other = torch.full((self.SIZE,), 7.0, device="cuda")
        torch.cuda.current_stream().synchronize()
        reused = other.data_ptr() == address
        gate.open()
        ours.synchronize()
        self.assertTrue(bool((result == (7.0 if reused else 3.0)).all()))
        return reused

    def test_record_stream(self):
        """torch's allocator reuses memory only after the extension's stream is done with it."""
        self.assertFalse(self.is_reused_early(recorded=True))

    def test_memory_is_reused_early_without_record_stream(self):
        self.assertTrue(self.is_reused_early(recorded=False), "so test_record_stream shows nothing")

    def test_keep_until_done(self):
        """The extension's equivalent: the tensor lives until the stream is done with it."""
        import torch

        torch.cuda.init()
        gate = Word(Driver())
        ours = gs.new_stream(0)
        result = torch.zeros(1000, device="cuda")
        temporary = torch.full((1000,), 3.0, device="cuda")
        gs.saxpy(0.0, temporary, result, stream=ours)
        torch.cuda.synchronize()
        gate.hold_back(ours)
        gs.saxpy(1.0, temporary, result, stream=ours)
        ours.keep_until_done(temporary)
        watch = weakref.ref(temporary)
        del temporary
        gc.collect()
        ours.query()
        self.assertIsNotNone(watch())
        gate.open()
        ours.synchronize()
        self.assertIsNone(watch())
        self.assertTrue(bool((result == 3.0).all()))


class TwoDevices(GpuCase):
    devices = 2

    def test_external_streams_multi_device(self):
        import torch

        for index in [0, 1]:
            theirs = torch.cuda.Stream(device=index)
            for current in [0, 1]:
                with torch.cuda.device(current):
                    ours = gs.ExternalStream(theirs.cuda_stream)
                    self.assertEqual(ours.device, torch.device("cuda", index))
                    self.assertEqual(torch.cuda.current_device(), current)
                    self.assertEqual(gs.ExternalStream(theirs, device=index), ours)
                    self.assertEqual(ours.torch_stream().device, torch.device("cuda", index))
                    self.assertEqual(torch.cuda.current_device(), current)

    def test_stream_event_device(self):
        import torch

        first, second = gs.new_stream(0), gs.new_stream(1)
        early, late = gs.Event(), second.record_event()
        self.assertIsNone(early.device)
        early.record(first)
        self.assertEqual(first.device, torch.device("cuda:0"))
        self.assertEqual(early.device, torch.device("cuda:0"))
        self.assertEqual(second.device, torch.device("cuda:1"))
        self.assertEqual(late.device, torch.device("cuda:1"))
        with self.assertRaises(gs.MisuseError) as caught:
            second.record_event(early)
        self.assert_kind(caught.exception, "DeviceMismatch")
        self.assertEqual(early.device, torch.device("cuda:0"))

    def test_streams_multi_gpu(self):
        """query, synchronize and equality, with each device current."""
        import torch

        torch.cuda.init()
        driver = Driver()
        streams = [gs.new_stream(0), gs.new_stream(1)]
        self.assertNotEqual(streams[0], streams[1])
        for current in [0, 1]:
            for index, stream in enumerate(streams):
                with torch.cuda.device(index):
                    gate = Word(driver)
                    gate.hold_back(stream)
                with torch.cuda.device(current):
                    self.assertFalse(stream.query())
                    self.assertTrue(streams[1 - index].query())
                    gate.open()
                    stream.synchronize()
                    self.assertTrue(stream.query())
                    self.assertEqual(torch.cuda.current_device(), current)

    def test_events_wait(self):
        """A wait across devices."""
        import torch

        first, second = gs.new_stream(0), gs.new_stream(1)
        source = torch.zeros(1 << 20, device="cuda:0")
        one = torch.ones(1 << 20, device="cuda:0")
        target = torch.zeros(1 << 20, device="cuda:1")
        torch.cuda.synchronize(0)
        torch.cuda.synchronize(1)
        for round_ in range(200):
            with torch.cuda.stream(first.torch_stream()):
                torch.cuda._sleep(100_000)
            gs.saxpy(1.0, one, source, stream=first)
            event = first.record_event()
            second.wait_event(event)
            with torch.cuda.stream(second.torch_stream()):
                target.copy_(source, non_blocking=True)
            first.wait_stream(second)
            second.synchronize()
            self.assertTrue(bool((target == round_ + 1).all()), round_)

    def test_events_multi_gpu_elapsed_time(self):
        first, second = gs.new_stream(0), gs.new_stream(1)
        events = [gs.Event(enable_timing=True) for _ in range(2)]
        for stream, event in zip([first, second], events):
            stream.record_event(event)
            stream.synchronize()
        with self.assertRaises(gs.MisuseError) as caught:
            events[0].elapsed_time(events[1])
        self.assert_kind(caught.exception, "DeviceMismatch")

    def test_work_on_the_other_device(self):
        import torch

        x = torch.ones(1000, device="cuda:1")
        torch.cuda.synchronize(1)
        gs.saxpy(1.0, x, x, stream=gs.new_stream(1), branches=2)
        self.assertEqual(torch.cuda.current_device(), 0)
        with self.assertRaises(gs.MisuseError) as caught:
            gs.saxpy(1.0, x, x, stream=gs.new_stream(0))
        self.assert_kind(caught.exception, "DeviceMismatch")
        torch.cuda.synchronize(1)
        self.assertTrue(bool((x == 2).all()))


if __name__ == "__main__":
    unittest.main()
