// PyTorch's own C++ streams and events, as a C++ extension uses them. `torch_cpp.py` compiles it.

#include <ATen/cuda/CUDAEvent.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/extension.h>

#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

using at::cuda::CUDAEvent;
using at::cuda::CUDAStream;

namespace {

constexpr int kBranches = 16;
constexpr int kSides = 4;

// Makes `waiting` wait for `source`. In C++ this takes a new event, recorded on the source.
inline void wait_stream(const CUDAStream& waiting, const CUDAStream& source) {
  CUDAEvent event;
  event.record(source);
  event.block(waiting);
}

inline void fork(const CUDAStream& source, const CUDAStream* branches, int count) {
  CUDAEvent event;
  event.record(source);
  for (int i = 0; i < count; ++i) event.block(branches[i]);
}

inline void join(const CUDAStream& waiting, const CUDAStream* branches, int count) {
  for (int i = 0; i < count; ++i) wait_stream(waiting, branches[i]);
}

template <typename Call>
int64_t timed(int64_t calls, Call call) {
  auto since = std::chrono::steady_clock::now();
  for (int64_t i = 0; i < calls; ++i) call();
  auto time = std::chrono::steady_clock::now() - since;
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time).count();
}

// Keeps the compiler from removing an unused result.
template <typename Value>
inline void keep(const Value& value) {
  asm volatile("" : : "g"(&value) : "memory");
}

struct Streams {
  c10::cuda::CUDAGuard guard{0};
  // Foreign streams, as a library gets them from its caller.
  std::vector<cudaStream_t> raw;
  std::vector<CUDAStream> streams;
  CUDAEvent reused, recorded;
  CUDAEvent start{cudaEventDefault}, end{cudaEventDefault};

  Streams() {
    for (int i = 0; i < 2 + kBranches; ++i) {
      cudaStream_t stream;
      C10_CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
      raw.push_back(stream);
      streams.push_back(c10::cuda::getStreamFromExternal(stream, 0));
      reused.record(streams.back());
    }
    reused.record(streams[0]);
    recorded.record(streams[1]);
    start.record(streams[0]);
    end.record(streams[0]);
    settle();
  }

  void settle() {
    for (auto stream = streams.rbegin(); stream != streams.rend(); ++stream) stream->synchronize();
  }
};

Streams& streams() {
  // Never destroyed: the driver may be unloaded at process exit.
  static Streams* instance = new Streams;
  return *instance;
}

int64_t run(const std::string& name, int64_t calls) {
  Streams& s = streams();
  const CUDAStream &main = s.streams[0], &other = s.streams[1];
  const CUDAStream* branches = &s.streams[2];
  cudaStream_t raw = s.raw[0];
  if (name == "wrap_unchecked")
    return timed(calls, [&] { keep(c10::cuda::getStreamFromExternal(raw, 0)); });
  if (name == "query") return timed(calls, [&] { keep(main.query()); });
  if (name == "synchronize") return timed(calls, [&] { main.synchronize(); });
  if (name == "record") return timed(calls, [&] { s.reused.record(main); });
  if (name == "record_event")
    return timed(calls, [&] {
      CUDAEvent event;
      event.record(main);
    });
  if (name == "event_query") return timed(calls, [&] { keep(s.recorded.query()); });
  if (name == "event_synchronize") return timed(calls, [&] { s.recorded.synchronize(); });
  if (name == "wait_event") return timed(calls, [&] { s.recorded.block(main); });
  if (name == "wait_stream") return timed(calls, [&] { wait_stream(main, other); });
  if (name == "fork_16") return timed(calls, [&] { fork(main, branches, kBranches); });
  if (name == "join_16") return timed(calls, [&] { join(main, branches, kBranches); });
  if (name == "short_lived")
    return timed(calls, [&] {
      CUDAStream theirs = c10::cuda::getStreamFromExternal(raw, 0);
      wait_stream(other, theirs);
      fork(other, branches, kSides);
      join(other, branches, kSides);
      wait_stream(theirs, other);
    });
  if (name == "elapsed_since") return timed(calls, [&] { keep(s.start.elapsed_time(s.end)); });
  throw std::invalid_argument("no such operation: " + name);
}

void settle() { streams().settle(); }

}  // namespace

PYBIND11_MODULE(TORCH_EXTENSION_NAME, module) {
  module.def("run", &run);
  module.def("settle", &settle);
}
