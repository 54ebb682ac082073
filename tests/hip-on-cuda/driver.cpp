// Forwards to CUDA's driver, which is loaded at the first call.
//
// HIP's header calls the runtime (cuda*), which is linked into the library and finds the driver by
// itself. In places it also calls the driver (cu*). If the driver were linked, the library could not be
// loaded without it, and a program would report a broken library and not a missing GPU.

#include <cuda.h>
#include <dlfcn.h>

namespace {

void *driver() {
    // Never closed: the driver starts threads of its own.
    static void *const library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    return library;
}

template <typename Function>
struct Call {
    Function *const function;
    // CUDA's code for "no GPU" without a driver, and for "not found" with a driver that is too old
    // to have the function.
    const CUresult missing;

    explicit Call(const char *name)
        : function(driver() ? reinterpret_cast<Function *>(dlsym(driver(), name)) : nullptr),
          missing(driver() ? CUDA_ERROR_NOT_FOUND : CUDA_ERROR_NO_DEVICE) {}

    template <typename... Arguments>
    CUresult operator()(Arguments... arguments) const {
        return function ? function(arguments...) : missing;
    }
};

}  // namespace

// By macros, <cuda.h> gives some functions the name of their newest version. TEXT expands these macros
// before it makes the string. A definition that does not match the header's declaration does not compile.
#define TEXT_OF(tokens) #tokens
#define TEXT(macro) TEXT_OF(macro)
#define FORWARD(function, parameters, ...)                           \
    extern "C" CUresult CUDAAPI function parameters {                \
        static const Call<decltype(function)> call(TEXT(function)); \
        return call(__VA_ARGS__);                                   \
    }

FORWARD(cuInit, (unsigned int flags), flags)
FORWARD(cuDeviceGet, (CUdevice *device, int ordinal), device, ordinal)
FORWARD(cuDeviceGetName, (char *name, int size, CUdevice device), name, size, device)
FORWARD(cuDeviceGetAttribute, (int *value, CUdevice_attribute attribute, CUdevice device),
        value, attribute, device)
FORWARD(cuCtxPushCurrent, (CUcontext context), context)
FORWARD(cuCtxPopCurrent, (CUcontext *context), context)
FORWARD(cuCtxGetDevice, (CUdevice *device), device)
FORWARD(cuStreamGetCtx, (CUstream stream, CUcontext *context), stream, context)
FORWARD(cuStreamGetCaptureInfo,
        (CUstream stream, CUstreamCaptureStatus *status, cuuint64_t *id, CUgraph *graph,
         const CUgraphNode **nodes, size_t *count),
        stream, status, id, graph, nodes, count)
FORWARD(cuStreamWaitValue32,
        (CUstream stream, CUdeviceptr word, cuuint32_t value, unsigned int flags),
        stream, word, value, flags)
FORWARD(cuStreamWriteValue32,
        (CUstream stream, CUdeviceptr word, cuuint32_t value, unsigned int flags),
        stream, word, value, flags)
FORWARD(cuMemcpyDtoH, (void *to, CUdeviceptr from, size_t size), to, from, size)
FORWARD(cuMemcpyDtoDAsync, (CUdeviceptr to, CUdeviceptr from, size_t size, CUstream stream),
        to, from, size, stream)
FORWARD(cuMemsetD32, (CUdeviceptr to, unsigned int value, size_t count), to, value, count)
FORWARD(cuMemsetD32Async, (CUdeviceptr to, unsigned int value, size_t count, CUstream stream),
        to, value, count, stream)
FORWARD(cuMemcpyDtoHAsync, (void *to, CUdeviceptr from, size_t size, CUstream stream), to, from, size, stream)
FORWARD(cuMemcpyHtoDAsync, (CUdeviceptr to, const void *from, size_t size, CUstream stream),
        to, from, size, stream)
FORWARD(cuModuleLoadData, (CUmodule *module, const void *image), module, image)
FORWARD(cuModuleUnload, (CUmodule module), module)
FORWARD(cuModuleGetFunction, (CUfunction *function, CUmodule module, const char *name),
        function, module, name)
FORWARD(cuLaunchKernel,
        (CUfunction function, unsigned int grid_x, unsigned int grid_y, unsigned int grid_z,
         unsigned int block_x, unsigned int block_y, unsigned int block_z, unsigned int shared,
         CUstream stream, void **parameters, void **extra),
        function, grid_x, grid_y, grid_z, block_x, block_y, block_z, shared, stream, parameters,
        extra)
