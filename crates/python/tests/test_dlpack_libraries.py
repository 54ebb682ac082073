"""Takes arrays by DLPack from torch, CuPy and JAX on a GPU: order, lifetime, captures."""

import unittest

from support import GpuCase, gs


class OnlyDlpack:
    """Shows only the DLPack protocol of an array, and counts its capsules."""

    def __init__(self, array):
        self.array = array
        self.streams = []

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()

    def __dlpack__(self, **arguments):
        self.streams.append(arguments["stream"])
        return self.array.__dlpack__(**arguments)


class Torch(GpuCase):
    # Cycles for torch's sleep kernel: many times longer than a launch.
    SLOW = 20_000_000

    def test_work_waits_for_torchs_current_stream(self):
        import torch

        ours = gs.new_stream(0)
        x, y = torch.zeros(1000, device="cuda"), torch.zeros(1000, device="cuda")
        torch.cuda.synchronize()
        for round_ in range(8):
            torch.cuda._sleep(self.SLOW)
            x.fill_(float(round_))
            y.fill_(1.0)
            a, b = OnlyDlpack(x), OnlyDlpack(y)
            gs.saxpy(2.0, a, b, stream=ours)
            self.assertEqual(a.streams, [ours.dlpack_stream])
            torch.cuda.current_stream().wait_stream(ours.torch_stream())
            self.assertTrue(bool((y == 1.0 + 2.0 * round_).all()), round_)

    def test_every_form_of_stream(self):
        import torch

        x, y = torch.ones(1000, device="cuda"), torch.zeros(1000, device="cuda")
        done = 0
        for stream in [torch.cuda.current_stream(), torch.cuda.Stream(), 0, 1, 2, gs.new_stream(0)]:
            try:
                gs.saxpy(1.0, OnlyDlpack(x), OnlyDlpack(y), stream=stream, branches=2)
                done += 1
            except BufferError as error:
                # Some versions of torch do not know the per-thread stream in this protocol.
                self.assertEqual(stream, 2, error)
            torch.cuda.synchronize()
        self.assertTrue(bool((y == done).all()))

    def test_memory_is_kept_until_the_work_is_done(self):
        import torch

        ours = gs.new_stream(0)
        total = torch.zeros(1 << 20, device="cuda")
        torch.cuda.synchronize()
        with torch.cuda.stream(ours.torch_stream()):
            torch.cuda._sleep(self.SLOW)
        for _ in range(16):
            # The next tensor would get this one's memory if it were free.
            x = torch.ones(1 << 20, device="cuda")
            gs.saxpy(1.0, OnlyDlpack(x), total, stream=ours)
            del x
            torch.full((1 << 20,), 100.0, device="cuda")
        ours.synchronize()
        self.assertTrue(bool((total == 16.0).all()))
        gs.collect()

    def test_in_a_graph(self):
        import torch

        x, y = torch.ones(1000, device="cuda"), torch.zeros(1000, device="cuda")
        stream = torch.cuda.Stream()
        torch.cuda.synchronize()
        with torch.cuda.stream(stream):
            gs.saxpy(0.0, OnlyDlpack(x), OnlyDlpack(y), stream=stream)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream):
            gs.saxpy(1.0, OnlyDlpack(x), OnlyDlpack(y), stream=stream)
        for _ in range(3):
            graph.replay()
        torch.cuda.synchronize()
        self.assertTrue(bool((y == 3.0).all()))

    def test_tensors_that_are_not_usable(self):
        import torch

        stream = gs.new_stream(0)
        y = torch.zeros(8, device="cuda")
        for bad in [y.double(), torch.zeros(16, device="cuda")[::2], torch.zeros(4, device="cuda")]:
            with self.assertRaises(gs.MisuseError):
                gs.saxpy(1.0, OnlyDlpack(bad), y, stream=stream)
        with self.assertRaises(gs.MisuseError) as caught:
            gs.saxpy(1.0, torch.zeros(8), y, stream=stream)
        self.assert_kind(caught.exception, "BackendMismatch")


class Cupy(GpuCase):
    libraries = ("cupy",)

    def test_work_waits_for_cupys_current_stream(self):
        import cupy

        ours, theirs = gs.new_stream(0), cupy.cuda.Stream(non_blocking=True)
        for round_ in range(8):
            with theirs:
                large = cupy.ones((2048, 2048), cupy.float32)
                for _ in range(8):
                    large = large @ large / 2048
                x = cupy.full(1000, 2.0 * round_, cupy.float32) * large[0, 0]
                y = cupy.ones(1000, cupy.float32)
                gs.saxpy(3.0, OnlyDlpack(x), OnlyDlpack(y), stream=ours)
            ours.synchronize()
            self.assertTrue(bool((y == 1.0 + 6.0 * round_).all()), round_)


class Jax(GpuCase):
    libraries = ("jax", "cupy")

    def test_arrays_of_jax(self):
        import cupy
        import jax.numpy

        ours = gs.new_stream(0)
        for round_ in range(8):
            x = jax.numpy.full(1000, float(round_), jax.numpy.float32) * 2.0
            y = cupy.ones(1000, cupy.float32)
            # An array of JAX is immutable: it is only read.
            gs.saxpy(3.0, OnlyDlpack(x), OnlyDlpack(y), stream=ours)
            ours.synchronize()
            self.assertTrue(bool((y == 1.0 + 6.0 * round_).all()), round_)


if __name__ == "__main__":
    unittest.main()
