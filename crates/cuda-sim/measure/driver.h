// Resolves the driver's functions by name, and runs the probes.

#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef void *P;

// Name and arguments. A function that the driver lacks answers -1.
#define FUNCTIONS(X)                                                                               \
    X(cuInit, (unsigned)) X(cuDriverGetVersion, (int *)) X(cuGetErrorName, (int, const char **))   \
    X(cuDeviceGetCount, (int *)) X(cuDeviceGetName, (char *, int, int))                            \
    X(cuDevicePrimaryCtxRetain, (P *, int)) X(cuDevicePrimaryCtxRelease_v2, (int))                 \
    X(cuDevicePrimaryCtxReset_v2, (int)) X(cuDevicePrimaryCtxGetState, (int, unsigned *, int *))   \
    X(cuCtxDestroy_v2, (P)) X(cuCtxGetCurrent, (P *)) X(cuCtxSetCurrent, (P))                      \
    X(cuCtxPushCurrent_v2, (P)) X(cuCtxPopCurrent_v2, (P *)) X(cuCtxGetDevice, (int *))            \
    X(cuCtxGetId, (P, unsigned long long *))                                                       \
    X(cuCtxSynchronize, (void)) X(cuThreadExchangeStreamCaptureMode, (int *))                      \
    X(cuStreamCreate, (P *, unsigned)) X(cuStreamDestroy_v2, (P)) X(cuStreamQuery, (P))            \
    X(cuStreamSynchronize, (P)) X(cuStreamGetCtx, (P, P *)) X(cuStreamGetCtx_v2, (P, P *, P *))    \
    X(cuStreamGetFlags, (P, unsigned *)) X(cuStreamGetPriority, (P, int *))                        \
    X(cuStreamGetId, (P, unsigned long long *)) X(cuStreamWaitEvent, (P, P, unsigned))             \
    X(cuStreamWaitValue32_v2, (P, unsigned long long, unsigned, unsigned))                         \
    X(cuStreamBeginCapture_v2, (P, int)) X(cuStreamEndCapture, (P, P *))                           \
    X(cuStreamIsCapturing, (P, int *))                                                             \
    X(cuStreamGetCaptureInfo_v2, (P, int *, unsigned long long *, P *, const P **, size_t *))      \
    X(cuStreamGetCaptureInfo_v3,                                                                   \
      (P, int *, unsigned long long *, P *, const P **, const void **, size_t *))                  \
    X(cuEventCreate, (P *, unsigned)) X(cuEventDestroy_v2, (P)) X(cuEventRecord, (P, P))           \
    X(cuEventQuery, (P)) X(cuEventSynchronize, (P)) X(cuLaunchHostFunc, (P, void (*)(P), P))       \
    X(cuGraphInstantiateWithFlags, (P *, P, unsigned long long)) X(cuGraphLaunch, (P, P))          \
    X(cuGraphGetNodes, (P, P *, size_t *)) X(cuMemAlloc_v2, (unsigned long long *, size_t))        \
    X(cuMemFree_v2, (unsigned long long)) X(cuMemHostAlloc, (P *, size_t, unsigned))               \
    X(cuMemHostGetDevicePointer_v2, (unsigned long long *, P, unsigned))                           \
    X(cuMemcpyDtoH_v2, (P, unsigned long long, size_t))                                            \
    X(cuMemsetD32Async, (unsigned long long, unsigned, size_t, P))                                 \
    X(cuModuleLoadData, (P *, const void *)) X(cuModuleGetFunction, (P *, P, const char *))        \
    X(cuLaunchKernel, (P, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, P, \
                       P *, P *))                                                                  \
    X(cuDeviceGetDevResource, (int, void *, int))                                                  \
    X(cuDevResourceGenerateDesc, (P *, void *, unsigned))                                          \
    X(cuGreenCtxCreate, (P *, P, int, unsigned)) X(cuGreenCtxDestroy, (P))                         \
    X(cuGreenCtxStreamCreate, (P *, P, unsigned, int)) X(cuCtxFromGreenCtx, (P *, P))              \
    X(cuStreamGetGreenCtx, (P, P *)) X(cuGetProcAddress, (const char *, P *, int, unsigned long long)) \
    X(cuGetProcAddress_v2, (const char *, P *, int, unsigned long long, int *))                    \
    X(cuMemAllocManaged, (unsigned long long *, size_t, unsigned)) X(cuMemFreeHost, (P))           \
    X(cuStreamAttachMemAsync, (P, unsigned long long, size_t, unsigned))                           \
    X(cuMemAllocHost_v2, (P *, size_t)) X(cuMemHostRegister_v2, (P, size_t, unsigned))             \
    X(cuMemHostUnregister, (P)) X(cuMemGetInfo_v2, (size_t *, size_t *))                           \
    X(cuMemGetAddressRange_v2, (unsigned long long *, size_t *, unsigned long long))               \
    X(cuMemcpyAsync, (unsigned long long, unsigned long long, size_t, P))                          \
    X(cuCtxGetLimit, (size_t *, int)) X(cuCtxSetLimit, (int, size_t)) X(cuCtxGetFlags, (unsigned *)) \
    X(cuCtxSetFlags, (unsigned)) X(cuCtxGetApiVersion, (P, unsigned *))                            \
    X(cuCtxSetCacheConfig, (int)) X(cuEventRecordWithFlags, (P, P, unsigned))                      \
    X(cuStreamWriteValue32_v2, (P, unsigned long long, unsigned, unsigned))

#define MEMBER(name, arguments) int(*name) arguments;
static struct { FUNCTIONS(MEMBER) } f;

// Replaces a missing function. On the supported platforms, a caller may pass more arguments than a
// function takes.
static int missing(void) { return -1; }

static void load(void) {
    const char *name = getenv("CUDA_LIBRARY");
    void *library = dlopen(name && *name ? name : "libcuda.so.1", RTLD_NOW);
    if (!library) {
        printf("  no driver: %s\n", dlerror());
        exit(2);
    }
#define FIND(name, arguments)                              \
    *(void **)&f.name = dlsym(library, #name);             \
    if (!f.name)                                           \
        *(void **)&f.name = (void *)missing;
    FUNCTIONS(FIND)
}

// Prints a code or another number.
static void report(const char *what, int number) {
    printf("  %-44s %d\n", what, number);
}

static void must_at(int code, const char *call, int line) {
    if (code) {
        printf("  the set-up failed at line %d: %s: %d\n", line, call, code);
        _exit(3);
    }
}
#define must(call) must_at(call, #call, __LINE__)

static P new_stream(unsigned flags) {
    P stream = NULL;
    must(f.cuStreamCreate(&stream, flags));
    return stream;
}

static P new_event(unsigned flags) {
    P event = NULL;
    must(f.cuEventCreate(&event, flags));
    return event;
}

struct setup {
    P context, stream, other;
    unsigned long long device; // 4 KiB
    volatile unsigned *words;  // host memory, zeros
    unsigned long long gate;   // the address of `words` on the device
};

// Makes the primary context of device 0 current, and creates two streams and memory.
static struct setup set_up(void) {
    struct setup s;
    P words = NULL;
    must(f.cuInit(0));
    must(f.cuDevicePrimaryCtxRetain(&s.context, 0));
    must(f.cuCtxSetCurrent(s.context));
    must(f.cuMemAlloc_v2(&s.device, 4096));
    must(f.cuMemHostAlloc(&words, 4096, 3));
    memset(words, 0, 4096);
    s.words = words;
    must(f.cuMemHostGetDevicePointer_v2(&s.gate, words, 0));
    s.stream = new_stream(1);
    s.other = new_stream(1);
    return s;
}

struct probe {
    const char *group, *name;
    void (*run)(void);     // NULL: `variant` with 0, 1, … below `variants`, each in a process of its own
    void (*variant)(int);
    int variants;
};

enum { SECONDS = 20, SECONDS_IN_ALL = 300 };

static void start(void) {
    int version = 0, count = 0;
    char name[256] = "";
    load();
    f.cuDriverGetVersion(&version);
    int code = f.cuInit(0);
    f.cuDeviceGetCount(&count);
    f.cuDeviceGetName(name, sizeof name, 0);
    printf("  cuInit %d, version %d, %d devices, the first: %s\n", code, version, count, name);
}

// Runs one probe in a process of its own.
static void in_a_process(void (*run)(void), void (*variant)(int), int which) {
    pid_t child = fork();
    if (child < 0) {
        perror("fork");
        exit(2);
    }
    if (child == 0) {
        alarm(SECONDS);
        load();
        if (variant)
            variant(which);
        else
            run();
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        printf("  DID NOT COME BACK in %d seconds%s%d\n", SECONDS, variant ? ", call " : ", ", which);
    else if (WIFSIGNALED(status))
        printf("  ENDED BY SIGNAL %d%s%d\n", WTERMSIG(status), variant ? ", call " : ", ", which);
    else if (WEXITSTATUS(status))
        printf("  ended with %d\n", WEXITSTATUS(status));
}

static int run_probes(const struct probe *probes, size_t count, const char *only) {
    alarm(SECONDS_IN_ALL);
    setvbuf(stdout, NULL, _IOLBF, 0);
    int listed = only && !strcmp(only, "--list"), found = 0;
    for (size_t i = 0; i < count; i++)
        if (listed && (!i || strcmp(probes[i].group, probes[i - 1].group)))
            puts(probes[i].group);
    if (listed)
        return 0;
    puts("driver");
    in_a_process(start, NULL, -1);
    for (size_t i = 0; i < count; i++) {
        if (only && strcmp(only, probes[i].group))
            continue;
        found = 1;
        printf("%s: %s\n", probes[i].group, probes[i].name);
        if (probes[i].run)
            in_a_process(probes[i].run, NULL, -1);
        for (int which = 0; which < probes[i].variants; which++)
            in_a_process(NULL, probes[i].variant, which);
    }
    if (!found)
        fprintf(stderr, "no group %s; see --list\n", only);
    return found ? 0 : 2;
}
