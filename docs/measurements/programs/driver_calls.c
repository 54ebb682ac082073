// What single calls of the CUDA driver cost, and what they do after a reset of the primary context.
//
//   cc -O2 driver_calls.c -o driver_calls -ldl && ./driver_calls && ./driver_calls reset
//
// Without an argument: medians of 41 batches of 2,000 calls on idle streams, in two passes.
// With `reset`: each call once with a handle of the earlier lifetime of the context, in a process of its own.
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef void *Ptr;
typedef unsigned long long Id;

// The functions, in the order of `names`.
static int (*init)(unsigned), (*retain)(Ptr *, int), (*reset)(int), (*set_current)(Ptr), (*get_current)(Ptr *);
static int (*context_id)(Ptr, Id *), (*stream_create)(Ptr *, unsigned), (*stream_context)(Ptr, Ptr *);
static int (*stream_id)(Ptr, Id *), (*is_capturing)(Ptr, int *), (*exchange_mode)(int *), (*stream_query)(Ptr);
static int (*stream_synchronize)(Ptr), (*stream_wait)(Ptr, Ptr, unsigned), (*event_create)(Ptr *, unsigned);
static int (*event_destroy)(Ptr), (*event_record)(Ptr, Ptr), (*event_query)(Ptr), (*event_synchronize)(Ptr);
static int (*elapsed)(float *, Ptr, Ptr), (*elapsed_v2)(float *, Ptr, Ptr);

static void load(void) {
    Ptr library = dlopen("libcuda.so.1", RTLD_NOW);
    if (!library) exit((puts("no CUDA driver"), 1));
#define FUNCTION(variable, name) *(Ptr *)&variable = dlsym(library, name)
    FUNCTION(init, "cuInit"), FUNCTION(retain, "cuDevicePrimaryCtxRetain"), FUNCTION(reset, "cuDevicePrimaryCtxReset_v2");
    FUNCTION(set_current, "cuCtxSetCurrent"), FUNCTION(get_current, "cuCtxGetCurrent"), FUNCTION(context_id, "cuCtxGetId");
    FUNCTION(stream_create, "cuStreamCreate"), FUNCTION(stream_context, "cuStreamGetCtx"), FUNCTION(stream_id, "cuStreamGetId");
    FUNCTION(is_capturing, "cuStreamIsCapturing"), FUNCTION(exchange_mode, "cuThreadExchangeStreamCaptureMode");
    FUNCTION(stream_query, "cuStreamQuery"), FUNCTION(stream_synchronize, "cuStreamSynchronize");
    FUNCTION(stream_wait, "cuStreamWaitEvent"), FUNCTION(event_create, "cuEventCreate"), FUNCTION(event_destroy, "cuEventDestroy_v2");
    FUNCTION(event_record, "cuEventRecord"), FUNCTION(event_query, "cuEventQuery"), FUNCTION(event_synchronize, "cuEventSynchronize");
    FUNCTION(elapsed, "cuEventElapsedTime"), FUNCTION(elapsed_v2, "cuEventElapsedTime_v2");
}

static Ptr context, stream, other, event, timed[2];

static void set_up(void) {
    load();
    init(0), retain(&context, 0), set_current(context);
    stream_create(&stream, 1), stream_create(&other, 1);
    event_create(&event, 2), event_create(&timed[0], 0), event_create(&timed[1], 0);
    event_record(timed[0], stream), event_record(timed[1], stream), event_record(event, other);
    stream_synchronize(stream), stream_synchronize(other);
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

#define ROUNDS 41
#define MEASURE(name, ...)                                                              \
    do {                                                                                \
        double times[ROUNDS];                                                           \
        for (int round = 0; round < ROUNDS; round++) {                                  \
            double since = now();                                                       \
            for (int call = 0; call < 2000; call++) { __VA_ARGS__; }                    \
            times[round] = (now() - since) / 2000;                                      \
            stream_synchronize(stream), stream_synchronize(other);                      \
        }                                                                               \
        qsort(times, ROUNDS, sizeof *times, compare);                                   \
        printf("%-48s %7.1f (quartiles %.1f to %.1f)\n", name, times[20], times[10], times[30]); \
    } while (0)

static void measure(void) {
    Ptr pointer;
    Id id;
    int status, mode;
    float time;
    MEASURE("cuCtxGetCurrent", get_current(&pointer));
    MEASURE("cuCtxGetId", context_id(context, &id));
    MEASURE("cuStreamGetCtx", stream_context(stream, &pointer));
    MEASURE("cuStreamGetCtx, cuCtxGetId", stream_context(stream, &pointer), context_id(context, &id));
    MEASURE("cuStreamGetId", stream_id(stream, &id));
    MEASURE("cuStreamIsCapturing", is_capturing(stream, &status));
    MEASURE("cuThreadExchangeStreamCaptureMode, twice", mode = 2, exchange_mode(&mode), exchange_mode(&mode));
    MEASURE("cuStreamQuery", stream_query(stream));
    MEASURE("id, check, mode, cuStreamQuery, mode", context_id(context, &id), is_capturing(stream, &status), mode = 2,
            exchange_mode(&mode), stream_query(stream), exchange_mode(&mode));
    MEASURE("cuStreamSynchronize", stream_synchronize(stream));
    MEASURE("cuEventQuery", event_query(event));
    MEASURE("id, mode, cuEventQuery, mode", context_id(context, &id), mode = 2, exchange_mode(&mode), event_query(event),
            exchange_mode(&mode));
    MEASURE("cuEventElapsedTime", elapsed(&time, timed[0], timed[1]));
    MEASURE("cuEventElapsedTime_v2", elapsed_v2(&time, timed[0], timed[1]));
    MEASURE("id, cuEventElapsedTime_v2", context_id(context, &id), elapsed_v2(&time, timed[0], timed[1]));
    MEASURE("cuEventRecord", event_record(event, other));
    MEASURE("check, cuEventRecord", is_capturing(other, &status), event_record(event, other));
    MEASURE("cuStreamWaitEvent", stream_wait(stream, event, 0));
    MEASURE("check, cuStreamWaitEvent", is_capturing(stream, &status), stream_wait(stream, event, 0));
    MEASURE("record, wait", event_record(event, other), stream_wait(stream, event, 0));
    MEASURE("check, record, wait", is_capturing(stream, &status), event_record(event, other), stream_wait(stream, event, 0));
    MEASURE("create, destroy an event", event_create(&pointer, 2), event_destroy(pointer));
}

static const char *const DEAD[] = {"cuEventQuery", "cuEventSynchronize", "cuEventElapsedTime_v2", "cuStreamWaitEvent by a live stream",
                                   "cuEventDestroy", "cuEventRecord on a live stream", "cuStreamQuery", "cuStreamIsCapturing",
                                   "cuStreamGetCtx", "cuStreamGetId"};

// Calls the function with handles of the earlier lifetime. Another lifetime has begun if `again`.
static void call_dead(int function, int again) {
    set_up();
    Ptr dead_stream = stream, dead_event = event, next;
    int status;
    Id id;
    float time;
    reset(0);
    if (again) retain(&next, 0), set_current(next), stream_create(&other, 1);
    int code = function == 0   ? event_query(dead_event)
               : function == 1 ? event_synchronize(dead_event)
               : function == 2 ? elapsed_v2(&time, timed[0], timed[1])
               : function == 3 ? stream_wait(other, dead_event, 0)
               : function == 4 ? event_destroy(dead_event)
               : function == 5 ? event_record(dead_event, other)
               : function == 6 ? stream_query(dead_stream)
               : function == 7 ? is_capturing(dead_stream, &status)
               : function == 8 ? stream_context(dead_stream, &next)
                               : stream_id(dead_stream, &id);
    printf("%d\n", code);
}

int main(int count, char **arguments) {
    if (count > 1 && !strcmp(arguments[1], "reset")) {
        for (int function = 0; function < 10; function++)
            for (int again = 0; again < 2; again++) {
                if (!again && (function == 3 || function == 5)) continue; // they need a live stream
                printf("%s, after a reset%s: ", DEAD[function], again ? " and a new lifetime" : "");
                fflush(stdout);
                int state = 0;
                if (fork() == 0) call_dead(function, again), fflush(stdout), _exit(0);
                wait(&state);
                if (WIFSIGNALED(state)) printf("signal %d\n", WTERMSIG(state));
            }
        return 0;
    }
    set_up();
    for (int pass = 1; pass <= 2; pass++) printf("pass %d\n", pass), measure();
}
