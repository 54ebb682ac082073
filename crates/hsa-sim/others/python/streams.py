"""Streams and events of HIP as a Python program uses them, with AMD's bindings and no kernel.

Order is shown by data: a gate, a word in memory for which a stream waits, decides what has run.
"""

import ctypes

from rocm.bindings import hip

BYTES = 1 << 16
NOT_READY = hip.hipError_t.hipErrorNotReady
SUCCESS = hip.hipError_t.hipSuccess
TO_HOST = hip.hipMemcpyKind.hipMemcpyDeviceToHost
WAIT_UNTIL_EQUAL = 1


def check(answer):
    """Returns what a function of HIP answers after the code, and raises if that is an error."""
    code, *values = answer
    if code != SUCCESS:
        raise RuntimeError(str(code))
    return values[0] if len(values) == 1 else values


def new_stream():
    return check(hip.hipStreamCreateWithFlags(hip.hipStreamNonBlocking))


def device_bytes():
    memory = check(hip.hipMalloc(BYTES))
    check(hip.hipMemset(memory, 0, BYTES))
    check(hip.hipDeviceSynchronize())
    return memory


def pinned_bytes():
    """Returns pinned memory, filled with zeros, and the same as an array of bytes."""
    memory = check(hip.hipHostMalloc(BYTES, 0))
    view = (ctypes.c_ubyte * BYTES).from_address(int(memory))
    ctypes.memset(view, 0, BYTES)
    return memory, view


class Gate:
    """Keeps a stream busy while the block runs, or until it is opened."""

    def __init__(self, stream):
        self.stream = stream
        self.memory, _ = pinned_bytes()
        self.word = ctypes.c_uint32.from_address(int(self.memory))
        check(hip.hipStreamWaitValue32(stream, self.memory, 1, WAIT_UNTIL_EQUAL, 0xFFFFFFFF))

    def open(self):
        self.word.value = 1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.open()
        check(hip.hipStreamSynchronize(self.stream))
        check(hip.hipHostFree(self.memory))


def event_orders_two_streams():
    memory, (seen, view) = device_bytes(), pinned_bytes()
    event = check(hip.hipEventCreateWithFlags(hip.hipEventDisableTiming))
    producer, consumer = new_stream(), new_stream()
    with Gate(producer) as gate:
        check(hip.hipMemsetAsync(memory, 7, BYTES, producer))
        check(hip.hipEventRecord(event, producer))
        check(hip.hipStreamWaitEvent(consumer, event, 0))
        check(hip.hipMemcpyAsync(seen, memory, BYTES, TO_HOST, consumer))
        assert hip.hipEventQuery(event)[0] == NOT_READY
        assert hip.hipStreamQuery(consumer)[0] == NOT_READY
        gate.open()
        check(hip.hipStreamSynchronize(consumer))
    assert set(view) == {7}
    assert hip.hipEventQuery(event)[0] == SUCCESS


def streams_without_an_event_have_no_order():
    """Shows that the case above can fail: without the wait, the copy does not see the data."""
    memory, (seen, view) = device_bytes(), pinned_bytes()
    producer, consumer = new_stream(), new_stream()
    with Gate(producer):
        check(hip.hipMemsetAsync(memory, 7, BYTES, producer))
        check(hip.hipMemcpyAsync(seen, memory, BYTES, TO_HOST, consumer))
        check(hip.hipStreamSynchronize(consumer))
        assert set(view) == {0}


def elapsed_time_needs_both_events_to_be_done():
    start, end = check(hip.hipEventCreate()), check(hip.hipEventCreate())
    stream = new_stream()
    check(hip.hipEventRecord(start, stream))
    with Gate(stream):
        check(hip.hipEventRecord(end, stream))
        assert hip.hipEventElapsedTime(start, end)[0] == NOT_READY
    check(hip.hipEventSynchronize(end))
    assert check(hip.hipEventElapsedTime(start, end)) >= 0


def graph_of_a_capture_runs_when_it_is_launched():
    memory, (seen, view) = device_bytes(), pinned_bytes()
    stream = new_stream()
    mode = hip.hipStreamCaptureMode.hipStreamCaptureModeThreadLocal
    check(hip.hipStreamBeginCapture(stream, mode))
    check(hip.hipMemsetAsync(memory, 5, BYTES, stream))
    check(hip.hipMemcpyAsync(seen, memory, BYTES, TO_HOST, stream))
    graph = check(hip.hipStreamEndCapture(stream))
    executable, *_ = check(hip.hipGraphInstantiate(graph, 0))
    check(hip.hipStreamSynchronize(stream))
    assert set(view) == {0}
    check(hip.hipGraphLaunch(executable, stream))
    check(hip.hipStreamSynchronize(stream))
    assert set(view) == {5}


CASES = [
    event_orders_two_streams,
    streams_without_an_event_have_no_order,
    elapsed_time_needs_both_events_to_be_done,
    graph_of_a_capture_runs_when_it_is_launched,
]

for case in CASES:
    case()
    print(case.__name__, "... ok")
print(f"HIP {check(hip.hipRuntimeGetVersion())}: {len(CASES)} passed")
