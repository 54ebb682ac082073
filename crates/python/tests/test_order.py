"""Tests of order between torch's streams and the extension's, with data.

torch computes matrix products on its stream, and the extension runs kernels on its own, for thousands of
rounds. Each number is correct if and only if one stream waited for the other. Without the wait the
results are wrong. `GPU_STREAM_ROUNDS` sets the number of rounds (3000 by default).
"""

import os
import unittest

from support import GpuCase, gs

ROUNDS = int(os.environ.get("GPU_STREAM_ROUNDS", "3000"))
SIZE = 2048
ROW = 1024


class TorchFirst(GpuCase):
    """In each round torch multiplies two matrices on its stream, so that every number of the product is the
    round's number. Then the extension's kernel adds the product's last row to zeros, on its own stream.
    """

    def wrong(self, order, branches=0, rounds=ROUNDS, theirs=None):
        """Returns the number of wrong rounds. `order` makes the second stream wait for the first."""
        import torch

        torch.backends.cuda.matmul.allow_tf32 = False
        theirs, ours = theirs or torch.cuda.Stream(), gs.new_stream(0)
        # Sums of SIZE times round / SIZE are exact in float32.
        a = torch.zeros(SIZE, SIZE, device="cuda")
        b = torch.full((SIZE, SIZE), 1.0 / SIZE, device="cuda")
        product = torch.zeros(SIZE, SIZE, device="cuda")
        row = product[-1, :ROW]
        out = torch.zeros(rounds + 1, ROW, device="cuda")
        torch.cuda.synchronize()
        # Round 0 loads the kernels.
        for round_ in range(rounds + 1):
            with torch.cuda.stream(theirs):
                a.fill_(float(round_))
                torch.mm(a, b, out=product)
            order(theirs, ours)
            gs.saxpy(1.0, row, out[round_], stream=ours, branches=branches)
            # The next product must not overwrite this one before it is read.
            theirs.wait_stream(ours)
            if round_ == 0 or round_ % 256 == 255:
                ours.synchronize()
                theirs.synchronize()
        ours.synchronize()
        theirs.synchronize()
        wanted = torch.arange(rounds + 1, dtype=torch.float32, device="cuda")[:, None]
        return int((out != wanted).any(dim=1).sum())

    def always_right(self, order, **more):
        self.assertEqual(self.wrong(order, **more), 0, f"wrong rounds of {ROUNDS}")

    def test_wait_stream(self):
        self.always_right(lambda theirs, ours: ours.wait_stream(theirs))

    def test_wait_stream_by_handle(self):
        self.always_right(lambda theirs, ours: ours.wait_stream(theirs.cuda_stream))

    def test_wait_for_an_event_of_ours(self):
        event = gs.Event()

        def order(theirs, ours):
            event.record(theirs)
            ours.wait_event(event)

        self.always_right(order)

    def test_wait_for_an_event_of_torch(self):
        self.always_right(lambda theirs, ours: ours.wait_event(theirs.record_event()))

    def test_torch_makes_our_stream_wait(self):
        self.always_right(lambda theirs, ours: ours.torch_stream().wait_stream(theirs))

    def test_branches(self):
        self.always_right(lambda theirs, ours: ours.wait_stream(theirs), branches=4)

    def test_through_the_default_stream(self):
        def order(theirs, ours):
            default = gs.default_stream(0)
            default.wait_stream(theirs)
            ours.wait_stream(default)

        self.always_right(order)

    def test_through_a_stream_of_cupy(self):
        self.need("cupy")
        import cupy

        between = cupy.cuda.Stream(non_blocking=True)

        def order(theirs, ours):
            event = theirs.record_event(gs.Event())
            between.wait_event(event)
            ours.wait_stream(between)

        self.always_right(order)

    def test_through_a_stream_of_cuda_core(self):
        self.need("cuda.core")
        from cuda.core import Device

        Device(0).set_current()
        between = Device(0).create_stream()

        def order(theirs, ours):
            between.wait(gs.ExternalStream(theirs))
            ours.wait_stream(between)

        self.always_right(order)

    def test_results_are_wrong_without_the_wait(self):
        wrong = self.wrong(lambda theirs, ours: None)
        self.assertGreaterEqual(
            wrong, ROUNDS // 2, f"only {wrong} of {ROUNDS} rounds were wrong, so the other tests show nothing"
        )


class OursFirst(GpuCase):
    """In each round the extension's kernel adds 1 to a number on its stream, after slow work. Then torch
    copies the number on its own stream.
    """

    # Cycles for torch's sleep kernel: about 200 microseconds.
    SLOW = 400_000

    def wrong(self, order):
        import torch

        theirs, ours = torch.cuda.Stream(), gs.new_stream(0)
        ours_in_torch = ours.torch_stream()
        one, number = torch.ones(1, device="cuda"), torch.zeros(1, device="cuda")
        out = torch.zeros(ROUNDS, 1, device="cuda")
        torch.cuda.synchronize()
        for round_ in range(ROUNDS):
            with torch.cuda.stream(ours_in_torch):
                torch.cuda._sleep(self.SLOW)
            gs.saxpy(1.0, one, number, stream=ours)
            order(ours, theirs)
            with torch.cuda.stream(theirs):
                out[round_].copy_(number)
            ours.wait_stream(theirs)
            if round_ % 256 == 255:
                theirs.synchronize()
        torch.cuda.synchronize()
        wanted = torch.arange(1, ROUNDS + 1, dtype=torch.float32, device="cuda")[:, None]
        return int((out != wanted).sum())

    def test_torch_waits_for_our_stream(self):
        self.assertEqual(self.wrong(lambda ours, theirs: theirs.wait_stream(ours)), 0)

    def test_torch_waits_for_our_event(self):
        self.assertEqual(self.wrong(lambda ours, theirs: theirs.wait_event(ours.record_event())), 0)

    def test_torch_waits_for_its_event_recorded_by_us(self):
        import torch

        event = torch.cuda.Event()

        def order(ours, theirs):
            ours.record_event(event)
            theirs.wait_event(event)

        self.assertEqual(self.wrong(order), 0)

    def test_our_wrapper_of_torchs_stream_waits(self):
        self.assertEqual(self.wrong(lambda ours, theirs: gs.ExternalStream(theirs).wait_stream(ours)), 0)

    def test_results_are_wrong_without_the_wait(self):
        wrong = self.wrong(lambda ours, theirs: None)
        self.assertGreaterEqual(wrong, ROUNDS // 2, "too few were wrong, so the other tests show nothing")


class OnTheCallersStream(GpuCase):
    """The caller uses only one stream. Its work before and after the call is in order with the extension's
    work on internal streams.
    """

    def test_branches_are_between_before_and_after(self):
        import torch

        theirs = torch.cuda.Stream()
        x, y = torch.ones(1 << 20, device="cuda"), torch.zeros(1 << 20, device="cuda")
        torch.cuda.synchronize()
        rounds = max(ROUNDS // 4, 100)
        with torch.cuda.stream(theirs):
            for round_ in range(rounds):
                torch.cuda._sleep(20_000)
                y.fill_(float(round_))
                gs.saxpy(1.0, x, y, stream=theirs, branches=1 + round_ % 8)
                y.mul_(2.0)
                if round_ % 64 == 63 or round_ == rounds - 1:
                    self.assertTrue(bool((y == 2.0 * (round_ + 1)).all()), round_)


if __name__ == "__main__":
    unittest.main()
