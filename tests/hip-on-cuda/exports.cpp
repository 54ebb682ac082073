// Exports the hip* functions of AMD's own header for NVIDIA GPUs.
//
// HIP's NVIDIA platform is a header: every HIP function is an `inline static` function in
// <hip/nvidia_detail/nvidia_hip_runtime_api.h> that calls CUDA and translates the code. A program that
// resolves functions by name at run time finds none of them. This file includes the header and gives
// its functions exported names. It adds no mapping of its own: a function that the header lacks is
// missing here too.
//
// "names.h", which `build` generates from the lists in this file, adds a prefix to every listed name.
// The header thus defines `amd_hipStreamQuery`, and this file declares `hipStreamQuery` as its alias.

// CUDA's headers come first, because __CUDACC__ below is meant for HIP's headers only.
#include <cuda.h>
#include <cuda_fp16.h>
#include <cuda_profiler_api.h>
#include <cuda_runtime.h>

#include <type_traits>

#include "names.h"

// The header declares hipLaunchHostFunc, hipStreamIsCapturing, hipStreamWaitValue32 and the graph
// functions for nvcc only, although nothing in them needs it.
#define __CUDACC__ 1
// CUDA 12 changed this function's parameters. HIP's wrapper for it is not exported.
#define cudaGraphExecUpdate(...) cudaErrorNotSupported
#include <hip/hip_runtime_api.h>
#include <hip/hip_version.h>
#undef cudaGraphExecUpdate
#undef __CUDACC__

static_assert(HIP_VERSION >= 50700000, "HIP's headers are older than 5.7");

// Exports an alias of a function that the header declares as extern "C". The alias needs no matching
// type, because symbols have none.
#define EXPORT(function)                                     \
    extern "C" void exported_##function() __asm__(#function) \
        __attribute__((alias("amd_" #function), visibility("default")));

// Start, devices, errors.
EXPORT(hipInit)
EXPORT(hipRuntimeGetVersion)
EXPORT(hipDriverGetVersion)
EXPORT(hipGetDeviceCount)
EXPORT(hipGetDevice)
EXPORT(hipSetDevice)
EXPORT(hipDeviceGet)
EXPORT(hipDeviceGetName)
EXPORT(hipDeviceGetAttribute)
EXPORT(hipDeviceGetPCIBusId)
EXPORT(hipDeviceGetStreamPriorityRange)
EXPORT(hipDeviceSynchronize)
EXPORT(hipGetLastError)
EXPORT(hipPeekAtLastError)
EXPORT(hipGetErrorName)
EXPORT(hipGetErrorString)

// Streams.
EXPORT(hipStreamCreate)
EXPORT(hipStreamCreateWithFlags)
EXPORT(hipStreamCreateWithPriority)
EXPORT(hipStreamDestroy)
EXPORT(hipStreamQuery)
EXPORT(hipStreamSynchronize)
EXPORT(hipStreamWaitEvent)
EXPORT(hipStreamGetFlags)
EXPORT(hipStreamGetPriority)
EXPORT(hipStreamGetDevice)
EXPORT(hipStreamAddCallback)

// Events.
EXPORT(hipEventCreate)
EXPORT(hipEventCreateWithFlags)
EXPORT(hipEventDestroy)
EXPORT(hipEventRecord)
EXPORT(hipEventQuery)
EXPORT(hipEventSynchronize)
EXPORT(hipEventElapsedTime)
EXPORT(hipIpcGetEventHandle)
EXPORT(hipIpcOpenEventHandle)

// Memory: the work that tests submit to streams.
EXPORT(hipMalloc)
EXPORT(hipFree)
EXPORT(hipMallocAsync)
EXPORT(hipFreeAsync)
EXPORT(hipHostMalloc)
EXPORT(hipHostFree)
EXPORT(hipHostGetDevicePointer)
EXPORT(hipMemcpy)
EXPORT(hipMemcpyAsync)
EXPORT(hipMemcpyDtoDAsync)
EXPORT(hipMemcpyDtoH)
EXPORT(hipMemcpyDtoHAsync)
EXPORT(hipMemcpyHtoDAsync)
EXPORT(hipMemset)
EXPORT(hipMemsetAsync)
EXPORT(hipMemsetD32)
EXPORT(hipMemsetD32Async)

// Kernels. An image of a module is PTX or a cubin.
EXPORT(hipModuleLoadData)
EXPORT(hipModuleUnload)
EXPORT(hipModuleGetFunction)
EXPORT(hipModuleLaunchKernel)

// Functions that the header declares for nvcc only have C++ names, which cannot be aliased. Each is
// called from a function of the same type, as the compiler checks.
#define FORWARD(function, parameters, ...)                                                  \
    extern "C" hipError_t exported_##function parameters __asm__(#function)                 \
        __attribute__((visibility("default")));                                             \
    extern "C" hipError_t exported_##function parameters { return amd_##function(__VA_ARGS__); } \
    static_assert(std::is_same_v<decltype(exported_##function), decltype(amd_##function)>);

// Work of streams.
FORWARD(hipLaunchHostFunc, (hipStream_t stream, hipHostFn_t run, void *data), stream, run, data)
FORWARD(hipStreamWaitValue32,
        (hipStream_t stream, void *word, int32_t value, unsigned int flags, uint32_t mask),
        stream, word, value, flags, mask)
FORWARD(hipStreamWriteValue32,
        (hipStream_t stream, void *word, int32_t value, unsigned int flags),
        stream, word, value, flags)

// Capture and graphs.
FORWARD(hipStreamBeginCapture, (hipStream_t stream, hipStreamCaptureMode mode), stream, mode)
FORWARD(hipStreamEndCapture, (hipStream_t stream, hipGraph_t *graph), stream, graph)
FORWARD(hipStreamIsCapturing, (hipStream_t stream, hipStreamCaptureStatus *status), stream, status)
FORWARD(hipStreamGetCaptureInfo,
        (hipStream_t stream, hipStreamCaptureStatus *status, unsigned long long *id),
        stream, status, id)
FORWARD(hipStreamGetCaptureInfo_v2,
        (hipStream_t stream, hipStreamCaptureStatus *status, unsigned long long *id,
         hipGraph_t *graph, const hipGraphNode_t **nodes, size_t *count),
        stream, status, id, graph, nodes, count)
FORWARD(hipThreadExchangeStreamCaptureMode, (hipStreamCaptureMode *mode), mode)
FORWARD(hipGraphInstantiate,
        (hipGraphExec_t *made, hipGraph_t graph, hipGraphNode_t *failed, char *log, size_t size),
        made, graph, failed, log, size)
FORWARD(hipGraphInstantiateWithFlags,
        (hipGraphExec_t *made, hipGraph_t graph, unsigned long long flags), made, graph, flags)
FORWARD(hipGraphLaunch, (hipGraphExec_t graph, hipStream_t stream), graph, stream)
FORWARD(hipGraphDestroy, (hipGraph_t graph), graph)
FORWARD(hipGraphExecDestroy, (hipGraphExec_t graph), graph)

#define TEXT_OF(tokens) #tokens
#define TEXT(macro) TEXT_OF(macro)

// Not part of HIP: lets tests, and users of `nm`, detect the NVIDIA platform.
extern "C" __attribute__((visibility("default"))) const char *hip_on_cuda_version() {
    return "HIP " TEXT(HIP_VERSION_MAJOR) "." TEXT(HIP_VERSION_MINOR) "." TEXT(HIP_VERSION_PATCH)
           " headers, NVIDIA platform, CUDA runtime " TEXT(CUDART_VERSION);
}
