// Streams and events of HIP as a C++ program uses them: AMD's header, the linked library, and no kernel.
//
// Needs two devices. Order is shown by data: a gate, a callback that blocks, decides what has run.

#include <hip/hip_runtime_api.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <future>
#include <thread>
#include <vector>

namespace {

constexpr size_t bytes = 1 << 16;

#define CHECK(call) check((call), #call, __LINE__)
#define EXPECT(condition) expect((condition), #condition, __LINE__)

void check(hipError_t code, const char* call, int line) {
    if (code != hipSuccess) {
        std::fprintf(stderr, "line %d: %s: %s\n", line, call, hipGetErrorName(code));
        // Without the exit handlers, which would wait for work behind a gate.
        std::_Exit(1);
    }
}

void expect(bool holds, const char* condition, int line) {
    if (!holds) {
        std::fprintf(stderr, "line %d: not so: %s\n", line, condition);
        std::_Exit(1);
    }
}

struct Stream {
    hipStream_t handle = nullptr;
    Stream() { CHECK(hipStreamCreateWithFlags(&handle, hipStreamNonBlocking)); }
    ~Stream() {
        CHECK(hipStreamSynchronize(handle));
        CHECK(hipStreamDestroy(handle));
    }
    Stream(const Stream&) = delete;
    bool idle() const {
        const hipError_t code = hipStreamQuery(handle);
        EXPECT(code == hipSuccess || code == hipErrorNotReady);
        return code == hipSuccess;
    }
};

struct Event {
    hipEvent_t handle = nullptr;
    Event() { CHECK(hipEventCreateWithFlags(&handle, hipEventDisableTiming)); }
    ~Event() { CHECK(hipEventDestroy(handle)); }
    Event(const Event&) = delete;
};

/// Device memory, filled with zeros.
struct DeviceBytes {
    void* at = nullptr;
    DeviceBytes() {
        CHECK(hipMalloc(&at, bytes));
        CHECK(hipMemset(at, 0, bytes));
        CHECK(hipDeviceSynchronize());
    }
    ~DeviceBytes() { CHECK(hipFree(at)); }
    DeviceBytes(const DeviceBytes&) = delete;
};

/// Pinned host memory, filled with zeros.
struct PinnedBytes {
    unsigned char* at = nullptr;
    PinnedBytes() {
        CHECK(hipHostMalloc(reinterpret_cast<void**>(&at), bytes, hipHostMallocDefault));
        std::fill(at, at + bytes, 0);
    }
    ~PinnedBytes() { CHECK(hipHostFree(at)); }
    PinnedBytes(const PinnedBytes&) = delete;
    bool all(unsigned char value) const {
        return std::all_of(at, at + bytes, [=](unsigned char byte) { return byte == value; });
    }
};

/// Blocks a stream until it is opened: the callback waits for the promise.
struct Gate {
    std::promise<void> opened;
    std::shared_future<void> future{opened.get_future()};
    explicit Gate(const Stream& stream) {
        auto wait = [](hipStream_t, hipError_t, void* gate) { static_cast<Gate*>(gate)->future.wait(); };
        CHECK(hipStreamAddCallback(stream.handle, wait, this, 0));
    }
    void open() { opened.set_value(); }
};

void event_orders_two_streams() {
    DeviceBytes memory;
    PinnedBytes seen;
    Event event;
    Stream producer, consumer;
    Gate gate(producer);
    CHECK(hipMemsetAsync(memory.at, 7, bytes, producer.handle));
    CHECK(hipEventRecord(event.handle, producer.handle));
    CHECK(hipStreamWaitEvent(consumer.handle, event.handle, 0));
    CHECK(hipMemcpyAsync(seen.at, memory.at, bytes, hipMemcpyDeviceToHost, consumer.handle));
    EXPECT(hipEventQuery(event.handle) == hipErrorNotReady);
    EXPECT(!producer.idle() && !consumer.idle());
    gate.open();
    CHECK(hipStreamSynchronize(consumer.handle));
    EXPECT(seen.all(7));
    EXPECT(hipEventQuery(event.handle) == hipSuccess);
    CHECK(hipStreamSynchronize(producer.handle));
}

/// Shows that the case above can fail: without the wait, the copy does not see the data.
void streams_without_an_event_have_no_order() {
    DeviceBytes memory;
    PinnedBytes seen;
    Stream producer, consumer;
    Gate gate(producer);
    CHECK(hipMemsetAsync(memory.at, 7, bytes, producer.handle));
    CHECK(hipMemcpyAsync(seen.at, memory.at, bytes, hipMemcpyDeviceToHost, consumer.handle));
    CHECK(hipStreamSynchronize(consumer.handle));
    EXPECT(seen.all(0));
    gate.open();
    CHECK(hipStreamSynchronize(producer.handle));
}

void event_orders_streams_of_two_devices() {
    DeviceBytes first;
    Event event;
    Stream producer;
    CHECK(hipSetDevice(1));
    DeviceBytes second;
    PinnedBytes seen;
    Stream consumer;
    Gate gate(producer);
    CHECK(hipSetDevice(0));
    CHECK(hipMemsetAsync(first.at, 9, bytes, producer.handle));
    CHECK(hipEventRecord(event.handle, producer.handle));
    CHECK(hipSetDevice(1));
    CHECK(hipStreamWaitEvent(consumer.handle, event.handle, 0));
    CHECK(hipMemcpyPeerAsync(second.at, 1, first.at, 0, bytes, consumer.handle));
    CHECK(hipMemcpyAsync(seen.at, second.at, bytes, hipMemcpyDeviceToHost, consumer.handle));
    EXPECT(!consumer.idle());
    gate.open();
    CHECK(hipStreamSynchronize(consumer.handle));
    EXPECT(seen.all(9));
    CHECK(hipSetDevice(0));
    CHECK(hipStreamSynchronize(producer.handle));
}

/// A second stream joins the capture by an event, and is joined again by another.
void capture_of_a_fork_becomes_a_graph() {
    DeviceBytes memory;
    PinnedBytes seen;
    Event forked, joined;
    Stream main, side;
    CHECK(hipStreamBeginCapture(main.handle, hipStreamCaptureModeThreadLocal));
    CHECK(hipMemsetAsync(memory.at, 5, bytes, main.handle));
    CHECK(hipEventRecord(forked.handle, main.handle));
    CHECK(hipStreamWaitEvent(side.handle, forked.handle, 0));
    CHECK(hipMemcpyAsync(seen.at, memory.at, bytes, hipMemcpyDeviceToHost, side.handle));
    CHECK(hipEventRecord(joined.handle, side.handle));
    CHECK(hipStreamWaitEvent(main.handle, joined.handle, 0));
    hipGraph_t graph = nullptr;
    CHECK(hipStreamEndCapture(main.handle, &graph));
    hipGraphExec_t executable = nullptr;
    CHECK(hipGraphInstantiate(&executable, graph, nullptr, nullptr, 0));
    CHECK(hipDeviceSynchronize());
    EXPECT(seen.all(0));
    CHECK(hipGraphLaunch(executable, main.handle));
    CHECK(hipStreamSynchronize(main.handle));
    EXPECT(seen.all(5));
    CHECK(hipGraphExecDestroy(executable));
    CHECK(hipGraphDestroy(graph));
}

/// Each thread brings its own streams and data.
void threads_do_not_disturb_each_other() {
    std::vector<std::thread> threads;
    for (int number = 1; number <= 8; ++number) {
        threads.emplace_back([number] {
            DeviceBytes memory;
            PinnedBytes seen;
            Event event;
            Stream producer, consumer;
            for (int round = 0; round < 20; ++round) {
                const int value = 10 * number + round % 10;
                CHECK(hipMemsetAsync(memory.at, value, bytes, producer.handle));
                CHECK(hipEventRecord(event.handle, producer.handle));
                CHECK(hipStreamWaitEvent(consumer.handle, event.handle, 0));
                CHECK(hipMemcpyAsync(seen.at, memory.at, bytes, hipMemcpyDeviceToHost, consumer.handle));
                CHECK(hipStreamSynchronize(consumer.handle));
                EXPECT(seen.all(static_cast<unsigned char>(value)));
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
}

}  // namespace

int main() {
    int devices = 0, version = 0;
    CHECK(hipGetDeviceCount(&devices));
    CHECK(hipRuntimeGetVersion(&version));
    EXPECT(devices >= 2);
    const std::vector<std::pair<const char*, std::function<void()>>> cases = {
        {"event_orders_two_streams", event_orders_two_streams},
        {"streams_without_an_event_have_no_order", streams_without_an_event_have_no_order},
        {"event_orders_streams_of_two_devices", event_orders_streams_of_two_devices},
        {"capture_of_a_fork_becomes_a_graph", capture_of_a_fork_becomes_a_graph},
        {"threads_do_not_disturb_each_other", threads_do_not_disturb_each_other},
    };
    for (const auto& [name, run] : cases) {
        run();
        std::printf("%s ... ok\n", name);
    }
    std::printf("HIP %d, %d devices: %zu passed\n", version, devices, cases.size());
}
