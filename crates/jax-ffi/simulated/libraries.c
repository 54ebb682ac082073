/* Stand-ins for the libraries that XLA loads when it starts, and here never uses: the CUDA runtime, cuDNN and NVML. */
#include <stddef.h>
#include <stdlib.h>

/* The CUDA runtime. */

int cudaGetDeviceCount(int *count) {
    const char *text = getenv("CUDA_SIM_GPUS");
    *count = text ? atoi(text) : 1;
    return 0;
}

int cudaRuntimeGetVersion(int *version) { return *version = 12090, 0; }
int cudaDriverGetVersion(int *version) { return *version = 13000, 0; }
int cudaGetLastError(void) { return 0; }
int cudaPeekAtLastError(void) { return 0; }
const char *cudaGetErrorName(int code) { return (void)code, "an error of the stand-in"; }
const char *cudaGetErrorString(int code) { return (void)code, "an error of the stand-in for the CUDA runtime"; }

/* cuDNN. */

int cudnnCreate(void **handle) { return *handle = &cudnnCreate, 0; }
int cudnnDestroy(void *handle) { return (void)handle, 0; }
int cudnnSetStream(void *handle, void *stream) { return (void)handle, (void)stream, 0; }
size_t cudnnGetVersion(void) { return 91000; }
size_t cudnnGetCudartVersion(void) { return 12090; }

int cudnnGetProperty(int property, int *value) {
    const int version[] = {9, 10, 0};
    return *value = property >= 0 && property < 3 ? version[property] : 0, 0;
}

/* NVML. */

int nvmlInit_v2(void) { return 0; }
