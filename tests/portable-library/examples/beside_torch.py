"""The portable library beside torch: on torch's tensors and current stream, compared with torch's own results.

usage: python3 beside_torch.py libbeside_torch.so [--sleep CYCLES]
"""

import argparse
import ctypes
import sys

import torch


class TorchStream(ctypes.Structure):
    """The current stream, as `beside_torch.rs` declares it."""

    _fields_ = [("vendor", ctypes.c_char_p), ("device", ctypes.c_uint32), ("handle", ctypes.c_size_t)]

    @classmethod
    def current(cls):
        stream = torch.cuda.current_stream()
        vendor = b"hip" if torch.version.hip else b"cuda"
        return cls(vendor, stream.device.index, stream.cuda_stream)


class Library:
    """The library's functions. Each works on torch's current stream, and does not block."""

    def __init__(self, path):
        self.library = ctypes.CDLL(path)
        address, size = ctypes.c_uint64, ctypes.c_size_t
        self.library.portable_saxpy.argtypes = [
            TorchStream, ctypes.c_float, address, address, size, ctypes.c_char_p,
        ]
        self.library.portable_sum.argtypes = [TorchStream, size, address, size, address, ctypes.c_char_p]
        self.library.portable_load.argtypes = [TorchStream, size, ctypes.c_char_p]

    def load(self, lanes=0):
        self._call(self.library.portable_load, lanes)

    def saxpy(self, a, x, y):
        assert x.numel() == y.numel() and all(t.is_cuda and t.is_contiguous() and t.dtype == torch.float32 for t in (x, y))
        self._call(self.library.portable_saxpy, a, x.data_ptr(), y.data_ptr(), x.numel())

    def sum(self, x, to, lanes=0):
        assert all(t.is_cuda and t.is_contiguous() and t.dtype == torch.float32 for t in (x, to))
        self._call(self.library.portable_sum, lanes, x.data_ptr(), x.numel(), to.data_ptr())

    @staticmethod
    def _call(function, *arguments):
        message = ctypes.create_string_buffer(512)
        if function(TorchStream.current(), *arguments, message):
            raise RuntimeError(message.value.decode())


def whole(*shape):
    """Whole numbers from 0 to 4: their sums are exact in any order."""
    return torch.randint(0, 5, shape, device="cuda").float()


def on_the_current_stream(library):
    for length in (1, 255, 1000, 1_000_003):
        x, y, total = whole(length), whole(length), torch.zeros(1, device="cuda")
        wanted = y + 2 * x
        library.saxpy(2, x, y)
        for lanes in (0, 3):
            library.sum(y, total.zero_(), lanes)
            assert total.item() == wanted.sum().item(), (length, lanes)
        assert torch.equal(y, wanted), length


def slow_then_right(library, sleep, waits):
    """Returns whether the sum is right of what torch writes late on another stream."""
    x, total = torch.zeros(100_000, device="cuda"), torch.zeros(1, device="cuda")
    producer, consumer = torch.cuda.Stream(), torch.cuda.Stream()
    torch.cuda.synchronize()
    with torch.cuda.stream(producer):
        torch.cuda._sleep(sleep)
        x.fill_(2)
        if waits == "same stream":
            library.sum(x, total, lanes=3)
    if waits != "same stream":
        with torch.cuda.stream(consumer):
            if waits == "wait_stream":
                consumer.wait_stream(producer)
            library.sum(x, total, lanes=3)
    later = torch.zeros(1, device="cuda")
    with torch.cuda.stream(producer if waits == "same stream" else consumer):
        later.copy_(total)  # torch's later work must see the library's
        assert not torch.cuda.current_stream().query() or waits == "nothing", "a call blocked"
    torch.cuda.synchronize()
    assert later.item() == total.item(), "torch's later work came before the library's"
    return total.item() == 200_000


def in_another_stream(library, sleep):
    assert slow_then_right(library, sleep, "same stream")
    assert slow_then_right(library, sleep, "wait_stream")


def without_the_wait_it_is_wrong(library, sleep):
    assert not slow_then_right(library, sleep, "nothing"), "this test cannot tell"


def in_a_graph(library):
    for lanes in (0, 3):
        library.load(lanes)
        x, y = torch.ones(100_000, device="cuda"), torch.zeros(100_000, device="cuda")
        total = torch.zeros(1, device="cuda")
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            library.saxpy(2, x, y)
            library.sum(y, total, lanes)
            total *= 2
        assert total.item() == 0, "a capture runs nothing"
        for replay in range(1, 6):
            graph.replay()
            assert total.item() == 2 * 2 * replay * 100_000, (lanes, replay)
        del graph


def a_graph_waits_for_its_stream(library, sleep):
    library.load(3)
    x, total = torch.zeros(100_000, device="cuda"), torch.zeros(1, device="cuda")
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        library.sum(x, total, lanes=3)
    torch.cuda._sleep(sleep)
    x.fill_(3)
    graph.replay()
    assert total.item() == 300_000


def tensors_freed_early(library, sleep):
    """torch's allocator reuses memory in the order of the current stream, so a tensor may go before its work is done."""
    y = torch.zeros(100_000, device="cuda")
    torch.cuda._sleep(sleep)
    x = torch.full((100_000,), 2.0, device="cuda")
    library.saxpy(1, x, y)
    del x
    torch.full((100_000,), -1.0, device="cuda")
    assert torch.equal(y, torch.full_like(y, 2.0))


def errors(library):
    try:
        library.saxpy(1, torch.ones(4, device="cuda"), torch.ones(4, device="cuda"))
        stream = TorchStream(b"cuda", 99, 0)
        message = ctypes.create_string_buffer(512)
        assert library.library.portable_load(stream, 0, message) == -1 and message.value, "device 99"
        print("  the text for device 99:", message.value.decode())
    finally:
        torch.cuda.synchronize()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("library")
    parser.add_argument("--sleep", type=int, default=100_000_000, help="cycles of the GPU")
    arguments = parser.parse_args()
    library = Library(arguments.library)
    print(f"torch {torch.__version__} on {torch.cuda.get_device_name()}")
    library.load()
    torch.cuda._sleep(1)
    sleep = arguments.sleep
    cases = {
        "on the current stream": lambda: on_the_current_stream(library),
        "in another stream": lambda: in_another_stream(library, sleep),
        "without the wait it is wrong": lambda: without_the_wait_it_is_wrong(library, sleep),
        "in a graph": lambda: in_a_graph(library),
        "a graph waits for its stream": lambda: a_graph_waits_for_its_stream(library, sleep),
        "tensors freed early": lambda: tensors_freed_early(library, sleep),
        "errors": lambda: errors(library),
    }
    failed = 0
    for name, case in cases.items():
        try:
            case()
            print(f"ok      {name}")
        except Exception as error:  # the next case runs, too
            failed += 1
            print(f"FAILED  {name}: {type(error).__name__}: {error}")
    print(f"{len(cases) - failed} passed, {failed} failed")
    sys.exit(failed > 0)


main()
