// What the calls that change the current context cost, and what they do with contexts that are gone.
//
//   cc -O2 context_calls.c -o context_calls -ldl && ./context_calls
//
// Each part runs in a process of its own. Times are the medians of 41 batches of 20,000 calls.
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef void *Ptr;

static int (*init)(unsigned), (*retain)(Ptr *, int), (*release)(int), (*create)(Ptr *, unsigned, int), (*destroy)(Ptr);
static int (*get)(Ptr *), (*set)(Ptr), (*push)(Ptr), (*pop)(Ptr *), (*exchange_mode)(int *);

static void load(void) {
    Ptr library = dlopen("libcuda.so.1", RTLD_NOW);
    if (!library) exit((puts("no CUDA driver"), 1));
#define FUNCTION(variable, name) *(Ptr *)&variable = dlsym(library, name)
    FUNCTION(init, "cuInit"), FUNCTION(retain, "cuDevicePrimaryCtxRetain"), FUNCTION(release, "cuDevicePrimaryCtxRelease_v2");
    FUNCTION(create, "cuCtxCreate_v2"), FUNCTION(destroy, "cuCtxDestroy_v2"), FUNCTION(get, "cuCtxGetCurrent");
    FUNCTION(set, "cuCtxSetCurrent"), FUNCTION(push, "cuCtxPushCurrent_v2"), FUNCTION(pop, "cuCtxPopCurrent_v2");
    FUNCTION(exchange_mode, "cuThreadExchangeStreamCaptureMode");
    init(0);
}

static Ptr primary, other, popped;

static Ptr current(void) {
    Ptr context = 0;
    int code = get(&context);
    if (code) printf("[cuCtxGetCurrent: %d] ", code);
    return context;
}

static void none(void) {
    retain(&primary, 0), set(primary);
    int code = set(0);
    printf("cuCtxSetCurrent(none): %d, none is current: %d; pop: %d\n", code, !current(), pop(&popped));
}

static void stack(void) {
    retain(&primary, 0), create(&other, 0, 0), set(primary), push(other), set(primary);
    int code = pop(&popped);
    printf("pop after a set over the top: %d, it was what was set: %d, the one below is current: %d\n", code, popped == primary,
           current() == primary);
}

static void destroyed(void) {
    create(&other, 0, 0);
    int code = destroy(other);
    printf("destroy: %d, none is current: %d; ", code, !current());
    code = set(other);
    printf("cuCtxSetCurrent(destroyed): %d, it is current: %d\n", code, current() == other);
}

static void released(void) {
    retain(&primary, 0), set(primary);
    int code = release(0);
    printf("last release: %d, still current: %d; ", code, current() == primary);
    set(0), code = set(primary);
    printf("cuCtxSetCurrent(released): %d, it is current: %d\n", code, current() == primary);
}

static void no_context(void) {
    int code = set(calloc(1, 65536));
    printf("cuCtxSetCurrent(zeroed memory): %d\n", code);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1e9 + time.tv_nsec;
}

static int compare(const void *one, const void *two) {
    double difference = *(const double *)one - *(const double *)two;
    return (difference > 0) - (difference < 0);
}

#define MEASURE(name, ...)                                                    \
    do {                                                                      \
        double times[41];                                                     \
        for (int round = 0; round < 41; round++) {                            \
            double since = now();                                             \
            for (int call = 0; call < 20000; call++) { __VA_ARGS__; }         \
            times[round] = (now() - since) / 20000;                           \
        }                                                                     \
        qsort(times, 41, sizeof *times, compare);                             \
        printf("%-44s %6.1f\n", name, times[20]);                             \
    } while (0)

static void costs(void) {
    int mode = 2;
    retain(&primary, 0), create(&other, 0, 0), set(primary);
    MEASURE("get", get(&popped));
    MEASURE("set, the same", set(primary));
    MEASURE("set, two in turn, both", set(other), set(primary));
    MEASURE("push, pop", push(primary), pop(&popped));
    MEASURE("push, set another, pop", push(primary), set(other), pop(&popped));
    MEASURE("get, get", get(&popped), get(&popped));
    MEASURE("get, set another, get, set back", get(&popped), set(other), get(&popped), set(primary));
    set(0);
    MEASURE("none: get, set, get, set none", get(&popped), set(primary), get(&popped), set(0));
    MEASURE("cuThreadExchangeStreamCaptureMode, twice", exchange_mode(&mode), exchange_mode(&mode));
}

int main(void) {
    void (*parts[])(void) = {none, stack, destroyed, released, no_context, costs, costs};
    for (unsigned part = 0; part < sizeof parts / sizeof *parts; part++) {
        fflush(stdout);
        if (!fork()) load(), parts[part](), fflush(stdout), _exit(0);
        int status;
        wait(&status);
        if (WIFSIGNALED(status)) printf("signal %d\n", WTERMSIG(status));
    }
}
