"""Streams, events, a capture and a graph by NVIDIA's cuda-bindings alone. Each part proves order by data."""

import ctypes

from cuda.bindings import driver

COUNT = 1024
NON_BLOCKING = driver.CUstream_flags.CU_STREAM_NON_BLOCKING
NO_TIMING = driver.CUevent_flags.CU_EVENT_DISABLE_TIMING
DEFAULT = driver.CUevent_flags.CU_EVENT_DEFAULT
NOT_READY = driver.CUresult.CUDA_ERROR_NOT_READY


def ok(answer):
    """Return the values of a call that succeeded."""
    code, *values = answer
    assert code == driver.CUresult.CUDA_SUCCESS, code
    return values[0] if len(values) == 1 else values


def words(memory):
    """Copy the words of a device to the host."""
    host = bytearray(4 * COUNT)
    ok(driver.cuMemcpyDtoH(host, memory, len(host)))
    return list(memoryview(host).cast("I"))


def shut(stream):
    """Hold a stream until the word in pinned memory that is returned becomes 1."""
    address = ok(driver.cuMemHostAlloc(4, 3))
    word = ctypes.c_uint32.from_address(int(address))
    word.value = 0
    ok(driver.cuStreamWaitValue32(stream, ok(driver.cuMemHostGetDevicePointer(address, 0)), 1, 0))
    return word


def join():
    producer, consumer, other = (ok(driver.cuStreamCreate(NON_BLOCKING)) for _ in range(3))
    produced = ok(driver.cuEventCreate(NO_TIMING))
    middle, end = (ok(driver.cuMemAlloc(4 * COUNT)) for _ in range(2))
    gate = shut(producer)
    ok(driver.cuMemsetD32Async(middle, 7, COUNT, producer))
    ok(driver.cuEventRecord(produced, producer))
    ok(driver.cuStreamWaitEvent(consumer, produced, 0))
    ok(driver.cuMemcpyDtoDAsync(end, middle, 4 * COUNT, consumer))
    assert driver.cuEventQuery(produced)[0] == NOT_READY
    assert driver.cuStreamQuery(consumer)[0] == NOT_READY
    ok(driver.cuStreamSynchronize(other))
    gate.value = 1
    ok(driver.cuStreamSynchronize(consumer))
    ok(driver.cuEventQuery(produced))
    assert words(end) == [7] * COUNT


def elapsed():
    stream = ok(driver.cuStreamCreate(NON_BLOCKING))
    start, end = (ok(driver.cuEventCreate(DEFAULT)) for _ in range(2))
    ok(driver.cuEventRecord(start, stream))
    ok(driver.cuEventRecord(end, stream))
    ok(driver.cuEventSynchronize(end))
    assert ok(driver.cuEventElapsedTime(start, end)) >= 0.0


def capture():
    stream = ok(driver.cuStreamCreate(NON_BLOCKING))
    memory = ok(driver.cuMemAlloc(4 * COUNT))
    ok(driver.cuMemsetD32(memory, 1, COUNT))
    ok(driver.cuStreamBeginCapture(stream, driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL))
    ok(driver.cuMemsetD32Async(memory, 9, COUNT, stream))
    graph = ok(driver.cuStreamEndCapture(stream))
    assert words(memory) == [1] * COUNT
    executable = ok(driver.cuGraphInstantiate(graph, 0))
    ok(driver.cuGraphLaunch(executable, stream))
    ok(driver.cuStreamSynchronize(stream))
    assert words(memory) == [9] * COUNT


ok(driver.cuInit(0))
name = ok(driver.cuDeviceGetName(100, 0)).split(b"\0")[0].decode()
print(f"device 0 of {ok(driver.cuDeviceGetCount())}: {name}")
ok(driver.cuCtxSetCurrent(ok(driver.cuDevicePrimaryCtxRetain(0))))
for part in (join, elapsed, capture):
    part()
    print(f"{part.__name__}: ok")
