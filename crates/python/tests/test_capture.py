"""Captures into a torch.cuda.CUDAGraph: the extension's work is captured, and queries do not break it."""

import unittest
import weakref

from support import Driver, GpuCase, Word, expect_child, gs


class Capture(GpuCase):
    def setUp(self):
        super().setUp()
        import torch

        self.x = torch.zeros(1000, device="cuda")
        self.y = torch.zeros(1000, device="cuda")
        self.z = torch.zeros(1000, device="cuda")
        torch.cuda.synchronize()

    def captured(self, stream, work):
        """Captures a graph of: y = x, `work`, z = y + 1."""
        import torch

        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream):
            self.y.copy_(self.x)
            work()
            torch.add(self.y, 1.0, out=self.z)
        return graph

    def replays(self, graph, wanted):
        """Asserts that each replay of the graph computes `wanted` of the input."""
        import torch

        for number in range(20):
            self.x.fill_(float(number))
            graph.replay()
            torch.cuda.synchronize()
            self.assertTrue(bool((self.z == wanted(number)).all()), number)

    def test_work_on_the_captured_stream(self):
        import torch

        stream = torch.cuda.Stream()
        graph = self.captured(stream, lambda: gs.saxpy(2.0, self.x, self.y, stream=stream))
        self.replays(graph, lambda number: 3.0 * number + 1)

    def test_work_on_the_current_stream(self):
        import torch

        def work():
            gs.saxpy(2.0, self.x, self.y, stream=torch.cuda.current_stream())

        self.replays(self.captured(None, work), lambda number: 3.0 * number + 1)

    def test_branches(self):
        import torch

        stream = torch.cuda.Stream()
        for branches in [1, 2, 5, 5]:
            work = lambda: gs.saxpy(2.0, self.x, self.y, stream=stream, branches=branches)  # noqa: B023
            self.replays(self.captured(stream, work), lambda number: 3.0 * number + 1)

    def test_branches_twice_in_one_capture(self):
        import torch

        stream = torch.cuda.Stream()

        def work():
            for _ in range(3):
                gs.saxpy(1.0, self.x, self.y, stream=stream, branches=3)

        self.replays(self.captured(stream, work), lambda number: 4.0 * number + 1)
        # The streams of the capture can be reused now.
        gs.saxpy(1.0, self.x, self.y, stream=stream, branches=9)
        stream.synchronize()

    def test_fork_and_join_by_hand(self):
        import torch

        stream, side = torch.cuda.Stream(), gs.new_stream(0)

        def work():
            main = gs.ExternalStream(stream)
            side.wait_stream(main)
            gs.saxpy(2.0, self.x, self.y, stream=side)
            event = gs.Event()
            side.record_event(event)
            main.wait_event(event)
            self.assertTrue(side.is_capturing())

        self.replays(self.captured(stream, work), lambda number: 3.0 * number + 1)
        self.assertFalse(side.is_capturing())
        self.assertTrue(side.query())

    def test_own_stream_can_be_captured(self):
        ours = gs.new_stream(0)
        work = lambda: gs.saxpy(2.0, self.x, self.y, stream=ours, branches=2)
        graph = self.captured(ours.torch_stream(), work)
        self.replays(graph, lambda number: 3.0 * number + 1)

    def test_queries_do_not_break_a_capture(self):
        import torch

        stream, idle = torch.cuda.Stream(), gs.new_stream(0)
        before = idle.record_event()
        idle.synchronize()
        refused = []

        def work():
            ours = gs.ExternalStream(stream)
            self.assertTrue(ours.is_capturing())
            event = ours.record_event()
            for call in [
                ours.query,
                ours.synchronize,
                event.query,
                event.synchronize,
                lambda: event.status,
                lambda: ours.keep_until_done(object()),
            ]:
                try:
                    call()
                except gs.CapturingError as error:
                    refused.append(error.kind)
            # Queries of other streams work, although torch's capture is in global mode.
            self.assertTrue(idle.query())
            self.assertFalse(idle.is_capturing())
            idle.synchronize()
            self.assertEqual((before.query(), before.status), (True, "complete"))
            self.assertTrue(gs.new_stream(0).query())
            gs.Event(enable_timing=True).record(idle)
            self.assertEqual(gs.ExternalStream(stream).device, torch.device("cuda", 0))
            repr(ours), repr(event), hash(ours)
            gs.saxpy(2.0, self.x, self.y, stream=ours)
            self.event = event

        self.replays(self.captured(stream, work), lambda number: 3.0 * number + 1)
        self.assertEqual(refused, ["Capturing"] * 6)
        with self.assertRaises(gs.MisuseError) as caught:
            self.event.query()
        self.assert_kind(caught.exception, "InvalidEvent")
        self.event.record(stream)
        self.event.synchronize()
        self.assertEqual(self.event.status, "complete")

    def test_objects_of_other_streams_are_released_in_a_capture(self):
        import torch

        stream, other, gate = torch.cuda.Stream(), gs.new_stream(0), Word(Driver())
        kept = [torch.ones(1000, device="cuda")]
        # The first use of the kernels. torch's capture begins with a wait for all streams, so the gate is open until then.
        gs.saxpy(1.0, kept[0], kept[0], stream=other)

        def work():
            gs.saxpy(2.0, self.x, self.y, stream=stream)
            gate.hold_back(other)
            gs.saxpy(1.0, kept[0], kept[0], stream=other)
            other.keep_until_done(kept[0])
            watch = weakref.ref(kept.pop())
            self.assertEqual((gs.collect(), gs.pending()), (0, 1))
            gate.open()
            while watch() is not None:
                gs.collect()

        self.replays(self.captured(stream, work), lambda number: 3.0 * number + 1)
        self.assertEqual(gs.pending(), 0)

    def test_first_call_of_the_process_is_in_a_capture(self):
        """Loads the driver and the kernels, and creates the streams, during the capture."""
        output = expect_child("""
import torch
x, y = torch.ones(1000, device="cuda"), torch.zeros(1000, device="cuda")
stream = torch.cuda.Stream()
torch.cuda.synchronize()
graph = torch.cuda.CUDAGraph()
with torch.cuda.graph(graph, stream=stream):
    import gpu_stream_torch as gs
    gs.saxpy(2.0, x, y, stream=stream, branches=2)
    gs.saxpy(3.0, x, y, stream=stream)
for _ in range(4):
    graph.replay()
torch.cuda.synchronize()
print(bool((y == 20).all()))
""")
        self.assertEqual(output.strip(), "True")


if __name__ == "__main__":
    unittest.main()
