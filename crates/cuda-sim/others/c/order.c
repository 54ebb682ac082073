// Streams, events and copies by the driver's functions from C, linked with -lcuda. Needs no header.
//
//   cc -O1 -Wall -Wextra -o order order.c -L"$(gpu-stream-cuda-sim --folder)" -lcuda -lpthread
//   gpu-stream-cuda-sim ./order
//
// With CUDA's header, include <cuda.h> in place of the declarations.

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct CUctx_st *CUcontext;
typedef struct CUstream_st *CUstream;
typedef struct CUevent_st *CUevent;
typedef unsigned long long CUdeviceptr;

int cuInit(unsigned);
int cuDeviceGetCount(int *);
int cuDeviceGetName(char *, int, int);
int cuDevicePrimaryCtxRetain(CUcontext *, int);
int cuCtxSetCurrent(CUcontext);
int cuStreamCreate(CUstream *, unsigned);
int cuStreamDestroy_v2(CUstream);
int cuStreamSynchronize(CUstream);
int cuStreamQuery(CUstream);
int cuStreamWaitEvent(CUstream, CUevent, unsigned);
int cuEventCreate(CUevent *, unsigned);
int cuEventDestroy_v2(CUevent);
int cuEventRecord(CUevent, CUstream);
int cuEventQuery(CUevent);
int cuLaunchHostFunc(CUstream, void (*)(void *), void *);
int cuMemAlloc_v2(CUdeviceptr *, size_t);
int cuMemFree_v2(CUdeviceptr);
int cuMemsetD32Async(CUdeviceptr, unsigned, size_t, CUstream);
int cuMemcpyDtoDAsync_v2(CUdeviceptr, CUdeviceptr, size_t, CUstream);
int cuMemcpyDtoH_v2(void *, CUdeviceptr, size_t);
int cuGetErrorName(int, const char **);

enum { COUNT = 1024, NON_BLOCKING = 1, NO_TIMING = 2, NOT_READY = 600 };

static void expect_at(int wanted, int code, const char *call, int line) {
    if (code == wanted)
        return;
    const char *name = "?";
    cuGetErrorName(code, &name);
    fprintf(stderr, "order.c:%d: %s: %d (%s), not %d\n", line, call, code, name, wanted);
    exit(1);
}
#define expect(code, call) expect_at(code, call, #call, __LINE__)
#define ok(call) expect(0, call)

// A lock that holds a stream until it is unlocked.
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static void wait_for_gate(void *argument) {
    (void)argument;
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
}

int main(void) {
    CUcontext context;
    CUstream producer, consumer, other;
    CUevent produced;
    CUdeviceptr middle, end;
    int count;
    char name[100];
    static unsigned words[COUNT];

    ok(cuInit(0));
    ok(cuDeviceGetCount(&count));
    ok(cuDeviceGetName(name, sizeof name, 0));
    printf("device 0 of %d: %s\n", count, name);
    ok(cuDevicePrimaryCtxRetain(&context, 0));
    ok(cuCtxSetCurrent(context));
    ok(cuStreamCreate(&producer, NON_BLOCKING));
    ok(cuStreamCreate(&consumer, NON_BLOCKING));
    ok(cuStreamCreate(&other, NON_BLOCKING));
    ok(cuEventCreate(&produced, NO_TIMING));
    ok(cuMemAlloc_v2(&middle, sizeof words));
    ok(cuMemAlloc_v2(&end, sizeof words));

    pthread_mutex_lock(&gate);
    ok(cuLaunchHostFunc(producer, wait_for_gate, NULL));
    ok(cuMemsetD32Async(middle, 7, COUNT, producer));
    ok(cuEventRecord(produced, producer));
    ok(cuStreamWaitEvent(consumer, produced, 0));
    ok(cuMemcpyDtoDAsync_v2(end, middle, sizeof words, consumer));
    expect(NOT_READY, cuEventQuery(produced));
    expect(NOT_READY, cuStreamQuery(consumer));
    ok(cuStreamSynchronize(other));
    pthread_mutex_unlock(&gate);
    ok(cuStreamSynchronize(consumer));
    ok(cuEventQuery(produced));

    ok(cuMemcpyDtoH_v2(words, end, sizeof words));
    for (int i = 0; i < COUNT; i++)
        if (words[i] != 7) {
            fprintf(stderr, "order.c: word %d is %u, not 7\n", i, words[i]);
            return 1;
        }
    ok(cuEventDestroy_v2(produced));
    ok(cuStreamDestroy_v2(producer));
    ok(cuStreamDestroy_v2(consumer));
    ok(cuStreamDestroy_v2(other));
    ok(cuMemFree_v2(middle));
    ok(cuMemFree_v2(end));
    puts("join: ok");
    return 0;
}
