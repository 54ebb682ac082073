"""Orders torch, cuda-core and cudarc on the same tensors, and leaves out one wait at a time as a control.

python beside_torch.py libbeside_torch.so [ROUNDS]
"""

import ctypes
import sys

import torch

library = ctypes.CDLL(sys.argv[1])
library.copy_twice.argtypes = [ctypes.c_size_t, *[ctypes.c_uint64] * 3, ctypes.c_size_t, ctypes.c_uint32]
rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 50
stream = torch.cuda.Stream()
count = 1 << 26
slow = 20_000_000  # cycles of the GPU, far more than the calls of a round take


def wrong(flags):
    """Returns the number of rounds in which torch did not see the round's number everywhere."""
    result = 0
    source, middle, target = (torch.zeros(count, dtype=torch.int32, device="cuda") for _ in range(3))
    for number in range(1, rounds + 1):
        torch.cuda.synchronize()
        with torch.cuda.stream(stream):
            torch.cuda._sleep(slow)  # all calls below are submitted meanwhile
            source.fill_(number)
            pointers = (tensor.data_ptr() for tensor in (source, middle, target))
            if library.copy_twice(stream.cuda_stream, *pointers, count * 4, flags):
                sys.exit(1)
            seen = bool((target == number).all())
        result += not seen
    torch.cuda.synchronize()
    return result


wrong(0)  # creates the streams, which waits for the device
failed = False
for name, flags, must_be_right in [
    ("all waits", 7, True),
    ("cuda-core does not wait for torch", 6, False),
    ("cudarc does not wait for cuda-core", 3, False),
    ("torch does not wait for cudarc", 5, False),
]:
    count_wrong = wrong(flags)
    print(f"{name}: {count_wrong} of {rounds} rounds wrong")
    failed |= count_wrong > 0 if must_be_right else count_wrong == 0
print(torch.cuda.get_device_name(), "torch", torch.__version__, "failed" if failed else "ok")
sys.exit(failed)
