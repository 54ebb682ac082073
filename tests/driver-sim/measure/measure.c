// Prints what a CUDA driver answers in the situations that the simulator had to guess.
//
//   gcc -O1 -Wall -Wextra -o measure measure.c -ldl
//   ./measure            all groups
//   ./measure reset      one group
//   ./measure --list     their names
//
// CUDA_LIBRARY names the driver's library; without it, libcuda.so.1 is loaded. Needs no header and no
// toolkit. Each probe is a process of its own, forked before anything of CUDA is used. It ends after
// 20 seconds, and the whole program after 300.

#include "driver.h"

// ---- captures ----------------------------------------------------------------------------------

// How the destroyed stream takes part in the capture.
enum part { WITHOUT_WORK, WITH_WORK, JOINED, ORIGIN, ORIGIN_JOINED };

static void destroy_in_capture(int mode, enum part part) {
    struct setup s = set_up();
    P event = new_event(2), graph = NULL, executable = NULL;
    int status = -1;
    must(f.cuStreamBeginCapture_v2(s.stream, mode));
    must(f.cuMemsetD32Async(s.device, 7, 1, s.stream));
    must(f.cuEventRecord(event, s.stream));
    must(f.cuStreamWaitEvent(s.other, event, 0));
    if (part != WITHOUT_WORK)
        must(f.cuMemsetD32Async(s.device + 4, 8, 1, s.other));
    if (part == JOINED || part == ORIGIN_JOINED) {
        must(f.cuEventRecord(event, s.other));
        must(f.cuStreamWaitEvent(s.stream, event, 0));
    }
    if (part == ORIGIN || part == ORIGIN_JOINED) {
        told("destroy the origin", f.cuStreamDestroy_v2(s.stream));
        told("cuStreamIsCapturing of the member", f.cuStreamIsCapturing(s.other, &status));
        told("  status", status);
        told("cuStreamEndCapture of the member", f.cuStreamEndCapture(s.other, &graph));
        told("cuStreamQuery of the member", f.cuStreamQuery(s.other));
        told("cuStreamQuery of a third stream", f.cuStreamQuery(new_stream(1)));
        told("cuMemAlloc", f.cuMemAlloc_v2(&s.device, 4));
        return;
    }
    told("destroy the member", f.cuStreamDestroy_v2(s.other));
    told("cuStreamIsCapturing of the origin", f.cuStreamIsCapturing(s.stream, &status));
    told("  status", status);
    told("cuStreamEndCapture", f.cuStreamEndCapture(s.stream, &graph));
    if (!graph)
        return;
    told("cuGraphInstantiate", f.cuGraphInstantiateWithFlags(&executable, graph, 0));
    told("cuGraphLaunch", f.cuGraphLaunch(executable, s.stream));
    told("cuStreamSynchronize", f.cuStreamSynchronize(s.stream));
    unsigned words[2] = {0, 0};
    told("cuMemcpyDtoH", f.cuMemcpyDtoH_v2(words, s.device, sizeof words));
    told("  the origin's word (7)", (int)words[0]);
    told("  the member's word (8)", (int)words[1]);
}

#define DESTROY(name, part)                                       \
    static void name##_global(void) { destroy_in_capture(0, part); }  \
    static void name##_thread(void) { destroy_in_capture(1, part); }  \
    static void name##_relaxed(void) { destroy_in_capture(2, part); }
DESTROY(destroy_without_work, WITHOUT_WORK)
DESTROY(destroy_with_work, WITH_WORK)
DESTROY(destroy_joined, JOINED)
DESTROY(destroy_origin, ORIGIN)
DESTROY(destroy_origin_joined, ORIGIN_JOINED)

// A captured stream waits for work outside of its capture, or for an event that was never recorded.
static void wait_outside(void) {
    for (int mode = 0; mode < 3; mode++) {
        for (int which = 0; which < 4; which++) {
            static const char *names[] = {"pending work", "finished work", "nothing recorded",
                                          "another capture"};
            struct setup s = set_up();
            P event = new_event(2), graph = NULL;
            int status = -1, end_of_other = 0;
            s.words[0] = which != 0;
            if (which == 0)
                must(f.cuStreamWaitValue32_v2(s.other, s.gate, 1, 0));
            if (which == 3)
                must(f.cuStreamBeginCapture_v2(s.other, mode));
            if (which != 2)
                must(f.cuEventRecord(event, s.other));
            if (which == 1)
                must(f.cuStreamSynchronize(s.other));
            must(f.cuStreamBeginCapture_v2(s.stream, mode));
            int code = f.cuStreamWaitEvent(s.stream, event, 0);
            must(f.cuStreamIsCapturing(s.stream, &status));
            int end = f.cuStreamEndCapture(s.stream, &graph);
            if (which == 3)
                end_of_other = f.cuStreamEndCapture(s.other, &graph);
            s.words[0] = 1;
            printf("  mode %d, a wait for %-18s %d, status %d, end %d, other's end %d\n", mode,
                   names[which], code, status, end, end_of_other);
        }
    }
}

static unsigned calls;
static P last_argument;

static void count_call(P argument) {
    calls++;
    last_argument = argument;
}

static void host_node(void) {
    struct setup s = set_up();
    P graph = NULL, executable = NULL;
    int marker;
    must(f.cuStreamBeginCapture_v2(s.stream, 1));
    told("cuLaunchHostFunc, captured", f.cuLaunchHostFunc(s.stream, count_call, &marker));
    told("cuStreamEndCapture", f.cuStreamEndCapture(s.stream, &graph));
    told("cuGraphInstantiate", f.cuGraphInstantiateWithFlags(&executable, graph, 0));
    for (int launch = 1; launch <= 3; launch++) {
        told("cuGraphLaunch", f.cuGraphLaunch(executable, s.stream));
        told("cuStreamSynchronize", f.cuStreamSynchronize(s.stream));
        told("  calls so far", (int)calls);
        told("  the argument is the same", last_argument == &marker);
    }
}

static void capture_info(void) {
    struct setup s = set_up();
    P graph = NULL, ended = NULL, event = new_event(2);
    const P *nodes = NULL;
    const void *edges = NULL;
    size_t count = 0, all = 0;
    unsigned long long id = 0;
    int status = -1;
    must(f.cuStreamBeginCapture_v2(s.stream, 1));
    told("v2, empty", f.cuStreamGetCaptureInfo_v2(s.stream, &status, &id, &graph, &nodes, &count));
    told("  status", status);
    told("  has a number", id != 0);
    told("  has a graph", graph != NULL);
    told("  nodes", (int)count);
    must(f.cuMemsetD32Async(s.device, 7, 1, s.stream));
    must(f.cuEventRecord(event, s.stream));
    must(f.cuStreamWaitEvent(s.other, event, 0));
    must(f.cuMemsetD32Async(s.device + 4, 8, 1, s.other));
    must(f.cuMemsetD32Async(s.device + 8, 9, 1, s.stream));
    must(f.cuEventRecord(event, s.other));
    must(f.cuStreamWaitEvent(s.stream, event, 0));
    told("v3, joined", f.cuStreamGetCaptureInfo_v3(s.stream, &status, &id, &graph, &nodes, &edges,
                                                   &count));
    told("  nodes", (int)count);
    told("v3, edges without nodes", f.cuStreamGetCaptureInfo_v3(s.stream, &status, NULL, NULL, NULL,
                                                                &edges, NULL));
    told("cuStreamEndCapture", f.cuStreamEndCapture(s.stream, &ended));
    told("  it is the graph of before", ended == graph);
    told("cuGraphGetNodes", f.cuGraphGetNodes(ended, NULL, &all));
    told("  nodes", (int)all);
}

// ---- inside a host function --------------------------------------------------------------------

// What calls in a host function are made on.
static struct {
    struct setup s;
    P idle, event, graph;
    int which, code;
    volatile int is_over;
} in;

static const char *const inside_names[] = {
    "cuDriverGetVersion", "cuGetErrorName", "cuInit", "cuDeviceGetCount", "cuCtxGetCurrent",
    "cuCtxPushCurrent", "cuCtxPopCurrent after a push", "cuThreadExchangeStreamCaptureMode",
    "cuStreamGetCtx", "cuStreamGetFlags", "cuStreamGetPriority", "cuStreamGetId",
    "cuStreamIsCapturing", "cuStreamQuery of another", "cuStreamQuery of its own",
    "cuStreamSynchronize of another", "cuStreamCreate", "cuStreamDestroy of another",
    "cuStreamDestroy of its own", "cuEventCreate", "cuEventRecord", "cuEventQuery",
    "cuEventSynchronize", "cuEventDestroy", "cuStreamWaitEvent", "cuLaunchHostFunc",
    "cuGraphLaunch", "cuDevicePrimaryCtxRetain", "cuMemAlloc", "cuMemFree", "cuMemHostAlloc",
    "cuMemsetD32Async",
};
enum { INSIDE = sizeof inside_names / sizeof *inside_names };

static int call_inside(int which) {
    P made = NULL;
    const char *text;
    int number = 0;
    unsigned flags = 0;
    unsigned long long id = 0, memory = 0;
    switch (which) {
    case 0: return f.cuDriverGetVersion(&number);
    case 1: return f.cuGetErrorName(1, &text);
    case 2: return f.cuInit(0);
    case 3: return f.cuDeviceGetCount(&number);
    case 4: return f.cuCtxGetCurrent(&made);
    case 5: return f.cuCtxPushCurrent_v2(in.s.context);
    case 6: f.cuCtxPushCurrent_v2(in.s.context); return f.cuCtxPopCurrent_v2(&made);
    case 7: return f.cuThreadExchangeStreamCaptureMode(&number);
    case 8: return f.cuStreamGetCtx(in.idle, &made);
    case 9: return f.cuStreamGetFlags(in.idle, &flags);
    case 10: return f.cuStreamGetPriority(in.idle, &number);
    case 11: return f.cuStreamGetId(in.idle, &id);
    case 12: return f.cuStreamIsCapturing(in.idle, &number);
    case 13: return f.cuStreamQuery(in.idle);
    case 14: return f.cuStreamQuery(in.s.stream);
    case 15: return f.cuStreamSynchronize(in.idle);
    case 16: return f.cuStreamCreate(&made, 1);
    case 17: return f.cuStreamDestroy_v2(in.idle);
    case 18: return f.cuStreamDestroy_v2(in.s.stream);
    case 19: return f.cuEventCreate(&made, 2);
    case 20: return f.cuEventRecord(in.event, in.idle);
    case 21: return f.cuEventQuery(in.event);
    case 22: return f.cuEventSynchronize(in.event);
    case 23: return f.cuEventDestroy_v2(in.event);
    case 24: return f.cuStreamWaitEvent(in.idle, in.event, 0);
    case 25: return f.cuLaunchHostFunc(in.idle, count_call, NULL);
    case 26: return f.cuGraphLaunch(in.graph, in.idle);
    case 27: return f.cuDevicePrimaryCtxRetain(&made, 0);
    case 28: return f.cuMemAlloc_v2(&memory, 4);
    case 29: return f.cuMemFree_v2(in.s.device);
    case 30: return f.cuMemHostAlloc(&made, 4096, 3);
    default: return f.cuMemsetD32Async(in.s.device, 1, 1, in.idle);
    }
}

static void be_inside(P unused) {
    (void)unused;
    in.code = call_inside(in.which);
    printf("  %-44s %d\n", inside_names[in.which], in.code);
    fflush(stdout);
    in.is_over = 1;
}

static void inside_host_function(int which) {
    P graph;
    in.s = set_up();
    in.idle = in.s.other;
    in.event = new_event(2);
    in.which = which;
    must(f.cuEventRecord(in.event, in.idle));
    must(f.cuStreamSynchronize(in.idle));
    P source = new_stream(1);
    must(f.cuStreamBeginCapture_v2(source, 1));
    must(f.cuStreamEndCapture(source, &graph));
    must(f.cuGraphInstantiateWithFlags(&in.graph, graph, 0));
    must(f.cuLaunchHostFunc(in.s.stream, be_inside, NULL));
    while (!in.is_over)
        usleep(1000);
    if (which != 18)
        told("    then cuStreamSynchronize", f.cuStreamSynchronize(in.s.stream));
    told("    then cuCtxSynchronize", f.cuCtxSynchronize());
}

// ---- the primary context is reset --------------------------------------------------------------

static void answers(P stream, P event) {
    P place = NULL;
    int status = -1;
    told("cuStreamQuery", f.cuStreamQuery(stream));
    told("cuStreamSynchronize", f.cuStreamSynchronize(stream));
    told("cuStreamGetCtx", f.cuStreamGetCtx(stream, &place));
    told("cuStreamIsCapturing", f.cuStreamIsCapturing(stream, &status));
    told("cuEventQuery", f.cuEventQuery(event));
    told("cuEventSynchronize", f.cuEventSynchronize(event));
    told("cuEventRecord", f.cuEventRecord(event, stream));
    told("cuStreamWaitEvent", f.cuStreamWaitEvent(stream, event, 0));
    told("cuLaunchHostFunc", f.cuLaunchHostFunc(stream, count_call, NULL));
}

static void answers_by_current(void) {
    P made = NULL;
    int device = 0;
    told("by the current context: cuEventCreate", f.cuEventCreate(&made, 2));
    told("by the current context: cuStreamCreate", f.cuStreamCreate(&made, 1));
    told("by the current context: cuCtxGetDevice", f.cuCtxGetDevice(&device));
    told("by the current context: cuStreamQuery of 0", f.cuStreamQuery(NULL));
    told("by the current context: cuStreamQuery of 2", f.cuStreamQuery((P)2));
    told("by the current context: cuCtxSynchronize", f.cuCtxSynchronize());
}

static void state(void) {
    unsigned flags = 0;
    int active = -1;
    told("cuDevicePrimaryCtxGetState", f.cuDevicePrimaryCtxGetState(0, &flags, &active));
    told("  is active", active);
}

static void end_primary(int by_release) {
    if (by_release)
        told("cuDevicePrimaryCtxRelease", f.cuDevicePrimaryCtxRelease_v2(0));
    else
        told("cuDevicePrimaryCtxReset", f.cuDevicePrimaryCtxReset_v2(0));
    state();
}

static void reset_with_objects(int by_release, int retain_again) {
    struct setup s = set_up();
    P event = new_event(2), again = NULL;
    must(f.cuEventRecord(event, s.stream));
    must(f.cuStreamSynchronize(s.stream));
    end_primary(by_release);
    if (retain_again) {
        told("cuDevicePrimaryCtxRetain", f.cuDevicePrimaryCtxRetain(&again, 0));
        told("  the handle is the same", again == s.context);
        state();
    }
    answers(s.stream, event);
    answers_by_current();
    if (retain_again) {
        told("cuCtxSetCurrent of the new one", f.cuCtxSetCurrent(again));
        P fresh = NULL, own = NULL;
        told("cuStreamCreate", f.cuStreamCreate(&fresh, 1));
        told("cuEventCreate", f.cuEventCreate(&own, 2));
        told("record of a new event on a new stream", f.cuEventRecord(own, fresh));
        told("record of an old event on a new stream", f.cuEventRecord(event, fresh));
        told("wait of a new stream for an old event", f.cuStreamWaitEvent(fresh, event, 0));
        told("cuStreamSynchronize of the new stream", f.cuStreamSynchronize(fresh));
        for (int release = 1; release <= 3; release++)
            told("cuDevicePrimaryCtxRelease", f.cuDevicePrimaryCtxRelease_v2(0));
    } else {
        P current = NULL;
        told("cuCtxGetCurrent", f.cuCtxGetCurrent(&current));
        told("  it is still current", current == s.context);
        told("cuCtxSetCurrent of none", f.cuCtxSetCurrent(NULL));
        told("cuCtxPushCurrent of the old one", f.cuCtxPushCurrent_v2(s.context));
        answers_by_current();
    }
}

static void reset_objects(void) { reset_with_objects(0, 0); }
static void reset_objects_retained(void) { reset_with_objects(0, 1); }
static void release_objects(void) { reset_with_objects(1, 0); }
static void release_objects_retained(void) { reset_with_objects(1, 1); }

static void destroy_after_reset(int retain_again) {
    struct setup s = set_up();
    P event = new_event(2), again = NULL;
    must(f.cuEventRecord(event, s.stream));
    must(f.cuStreamSynchronize(s.stream));
    end_primary(0);
    if (retain_again) {
        must(f.cuDevicePrimaryCtxRetain(&again, 0));
        must(f.cuCtxSetCurrent(again));
    }
    told("cuEventDestroy", f.cuEventDestroy_v2(event));
    told("cuStreamDestroy", f.cuStreamDestroy_v2(s.stream));
    told("cuEventDestroy, twice", f.cuEventDestroy_v2(event));
    told("cuStreamDestroy, twice", f.cuStreamDestroy_v2(s.stream));
}

static void destroy_after_reset_dead(void) { destroy_after_reset(0); }
static void destroy_after_reset_retained(void) { destroy_after_reset(1); }

// As a library does that keeps events in a pool: nothing is in use when the reset comes.
static void reset_with_pooled_events(void) {
    struct setup s = set_up();
    P events[3], again = NULL, fresh = NULL;
    for (int i = 0; i < 3; i++) {
        events[i] = new_event(2);
        must(f.cuEventRecord(events[i], s.stream));
    }
    must(f.cuStreamSynchronize(s.stream));
    must(f.cuStreamDestroy_v2(s.stream));
    must(f.cuStreamDestroy_v2(s.other));
    must(f.cuCtxSetCurrent(NULL));
    end_primary(0);
    told("cuDevicePrimaryCtxRetain", f.cuDevicePrimaryCtxRetain(&again, 0));
    told("  the handle is the same", again == s.context);
    told("cuCtxPushCurrent of the old handle", f.cuCtxPushCurrent_v2(s.context));
    told("cuStreamCreate", f.cuStreamCreate(&fresh, 1));
    for (int i = 0; i < 3; i++) {
        told("cuEventRecord of a pooled event", f.cuEventRecord(events[i], fresh));
        told("cuStreamWaitEvent for a pooled event", f.cuStreamWaitEvent(fresh, events[i], 0));
    }
    P event = NULL;
    told("cuEventCreate", f.cuEventCreate(&event, 2));
    told("cuEventRecord of a new event", f.cuEventRecord(event, fresh));
}

static void reset_with_pending_work(void) {
    struct setup s = set_up();
    must(f.cuStreamWaitValue32_v2(s.stream, s.gate, 1, 0));
    must(f.cuLaunchHostFunc(s.stream, count_call, NULL));
    printf("  (work is held back by a gate; no more lines: the reset waits for it)\n");
    fflush(stdout);
    end_primary(0);
    usleep(200000);
    told("calls of the host function behind the gate", (int)calls);
    told("cuStreamQuery", f.cuStreamQuery(s.stream));
}

// ---- green contexts ----------------------------------------------------------------------------

static P new_green(P *context) {
    unsigned long long resource[18];
    P description = NULL, green = NULL;
    memset(resource, 0, sizeof resource);
    told("cuDeviceGetDevResource", f.cuDeviceGetDevResource(0, resource, 1));
    told("cuDevResourceGenerateDesc", f.cuDevResourceGenerateDesc(&description, resource, 1));
    told("cuGreenCtxCreate without flags", f.cuGreenCtxCreate(&green, description, 0, 0));
    told("cuGreenCtxCreate", f.cuGreenCtxCreate(&green, description, 0, 1));
    told("cuCtxFromGreenCtx", f.cuCtxFromGreenCtx(context, green));
    return green;
}

static void contexts_of(const char *what, P stream, P primary, P green, P of_green) {
    P context = NULL, newer = NULL, its_green = NULL, asked = NULL;
    printf("  -- %s\n", what);
    told("cuStreamGetCtx", f.cuStreamGetCtx(stream, &context));
    told("  it is that of the green context", context == of_green);
    told("  it is the primary one", context == primary);
    told("cuStreamGetCtx_v2", f.cuStreamGetCtx_v2(stream, &newer, &its_green));
    told("  it is that of the green context", newer == of_green);
    told("  it is the primary one", newer == primary);
    told("  and names the green context", its_green == green);
    told("cuStreamGetGreenCtx", f.cuStreamGetGreenCtx(stream, &asked));
    told("  it is the green context", asked == green);
}

static void green_streams(void) {
    struct setup s = set_up();
    P context = NULL, stream = NULL, blocking = NULL, of_primary = new_event(2), own = NULL;
    unsigned flags = 9;
    P green = new_green(&context);
    told("the context is the primary one", context == s.context);
    told("cuGreenCtxStreamCreate, blocking", f.cuGreenCtxStreamCreate(&blocking, green, 0, 0));
    told("cuGreenCtxStreamCreate", f.cuGreenCtxStreamCreate(&stream, green, 1, 0));
    told("cuStreamGetFlags", f.cuStreamGetFlags(stream, &flags));
    told("  flags", (int)flags);
    contexts_of("of a green stream", stream, s.context, green, context);
    contexts_of("of a plain stream", s.stream, s.context, green, context);
    told("record of the primary context's event", f.cuEventRecord(of_primary, stream));
    told("cuCtxSetCurrent of the green context's", f.cuCtxSetCurrent(context));
    told("cuEventCreate there", f.cuEventCreate(&own, 2));
    told("record of it on the green stream", f.cuEventRecord(own, stream));
    told("wait of the plain stream for it", f.cuStreamWaitEvent(s.stream, own, 0));
    told("record of it on the plain stream", f.cuEventRecord(own, s.stream));
    told("cuStreamCreate there, blocking", f.cuStreamCreate(&blocking, 0));
    contexts_of("of a stream that was created there", blocking, s.context, green, context);
    contexts_of("of stream 0 there", NULL, s.context, green, context);
    told("cuCtxDestroy of the green context's", f.cuCtxDestroy_v2(context));
}

static void green_destroyed(void) {
    struct setup s = set_up();
    P context = NULL, stream = NULL, event = NULL;
    P green = new_green(&context);
    must(f.cuGreenCtxStreamCreate(&stream, green, 1, 0));
    must(f.cuCtxSetCurrent(context));
    must(f.cuEventCreate(&event, 2));
    must(f.cuEventRecord(event, stream));
    must(f.cuCtxSetCurrent(s.context));
    told("cuGreenCtxDestroy", f.cuGreenCtxDestroy(green));
    answers(stream, event);
    told("cuStreamDestroy", f.cuStreamDestroy_v2(stream));
    told("cuEventDestroy", f.cuEventDestroy_v2(event));
    told("cuCtxSetCurrent of its context", f.cuCtxSetCurrent(context));
    answers_by_current();
}

static void green_reset(void) {
    set_up();
    P context = NULL, stream = NULL;
    P green = new_green(&context);
    must(f.cuGreenCtxStreamCreate(&stream, green, 1, 0));
    end_primary(0);
    told("cuStreamQuery", f.cuStreamQuery(stream));
    told("cuGreenCtxDestroy", f.cuGreenCtxDestroy(green));
}

// ---- flags, the default stream, failed work ----------------------------------------------------

static void flags(void) {
    struct setup s = set_up();
    P blocking = new_stream(0), free_one = new_stream(1);
    P streams[] = {blocking, free_one, NULL, (P)1, (P)2};
    static const char *names[] = {"made with 0", "made with 1", "0", "1", "2"};
    for (int i = 0; i < 5; i++) {
        unsigned found = 9;
        int code = f.cuStreamGetFlags(streams[i], &found);
        printf("  cuStreamGetFlags of stream %-12s %d, flags %u\n", names[i], code, found);
    }
    told("gate on the default stream", f.cuStreamWaitValue32_v2(NULL, s.gate, 1, 0));
    must(f.cuMemsetD32Async(s.device, 1, 1, blocking));
    must(f.cuMemsetD32Async(s.device + 4, 1, 1, free_one));
    usleep(100000);
    told("query of a blocking stream behind it", f.cuStreamQuery(blocking));
    told("query of a non-blocking one", f.cuStreamQuery(free_one));
    told("query of stream 2", f.cuStreamQuery((P)2));
    s.words[0] = 1;
    told("cuCtxSynchronize", f.cuCtxSynchronize());
    s.words[0] = 0;
    told("gate on a blocking stream", f.cuStreamWaitValue32_v2(blocking, s.gate, 1, 0));
    told("query of the default stream beside it", f.cuStreamQuery(NULL));
    must(f.cuMemsetD32Async(s.device, 1, 1, NULL));
    usleep(100000);
    told("query of the default stream behind it", f.cuStreamQuery(NULL));
    told("query of a non-blocking one", f.cuStreamQuery(free_one));
    s.words[0] = 1;
    told("cuCtxSynchronize", f.cuCtxSynchronize());
}

static void failed_work(void) {
    static const char ptx[] = ".version 6.0\n.target sm_50\n.address_size 64\n"
                              ".visible .entry trap()\n{\n  trap;\n  ret;\n}\n";
    struct setup s = set_up();
    P module = NULL, trap = NULL, event = new_event(2);
    told("cuModuleLoadData", f.cuModuleLoadData(&module, ptx));
    told("cuModuleGetFunction", f.cuModuleGetFunction(&trap, module, "trap"));
    must(f.cuEventRecord(event, s.stream));
    told("gate", f.cuStreamWaitValue32_v2(s.stream, s.gate, 1, 0));
    told("cuLaunchKernel", f.cuLaunchKernel(trap, 1, 1, 1, 1, 1, 1, 0, s.stream, NULL, NULL));
    told("cuLaunchHostFunc behind it", f.cuLaunchHostFunc(s.stream, count_call, NULL));
    s.words[0] = 1;
    told("cuStreamSynchronize", f.cuStreamSynchronize(s.stream));
    answers(s.other, event);
    answers_by_current();
    told("cuStreamDestroy", f.cuStreamDestroy_v2(s.stream));
    told("cuEventDestroy", f.cuEventDestroy_v2(event));
    usleep(200000);
    told("calls of the host function behind it", (int)calls);
    end_primary(0);
    told("cuDevicePrimaryCtxRetain", f.cuDevicePrimaryCtxRetain(&s.context, 0));
    told("cuCtxSetCurrent", f.cuCtxSetCurrent(s.context));
    answers_by_current();
}

// ---- all of them -------------------------------------------------------------------------------

#define IN_MODES(group, what, name)                       \
    {group, what ", mode 0", name##_global, -1},          \
    {group, what ", mode 1", name##_thread, -1},          \
    {group, what ", mode 2", name##_relaxed, -1}

static const struct probe probes[] = {
    IN_MODES("destroy", "a member without work is destroyed", destroy_without_work),
    IN_MODES("destroy", "a member with work is destroyed unjoined", destroy_with_work),
    IN_MODES("destroy", "a joined member is destroyed", destroy_joined),
    IN_MODES("destroy", "the origin is destroyed", destroy_origin),
    IN_MODES("destroy", "the origin is destroyed, all joined", destroy_origin_joined),
    {"capture", "waits of a captured stream", wait_outside, -1},
    {"capture", "a host function as a node", host_node, -1},
    {"capture", "what a capture tells", capture_info, -1},
    {"inside", "inside a host function", NULL, INSIDE},
    {"reset", "reset with objects", reset_objects, -1},
    {"reset", "reset with objects, then retained again", reset_objects_retained, -1},
    {"reset", "last release with objects", release_objects, -1},
    {"reset", "last release with objects, then retained again", release_objects_retained, -1},
    {"reset", "destroys after a reset", destroy_after_reset_dead, -1},
    {"reset", "destroys after a reset, retained again", destroy_after_reset_retained, -1},
    {"reset", "pooled events and an old handle", reset_with_pooled_events, -1},
    {"reset", "reset while work is pending", reset_with_pending_work, -1},
    {"green", "streams and events of a green context", green_streams, -1},
    {"green", "a green context is destroyed before its streams", green_destroyed, -1},
    {"green", "a reset beneath a green context", green_reset, -1},
    {"flags", "flags and the default stream", flags, -1},
    {"fault", "after work that failed", failed_work, -1},
};

int main(int count, char **arguments) {
    return run_probes(probes, sizeof probes / sizeof *probes, inside_host_function,
                      count > 1 ? arguments[1] : NULL);
}
