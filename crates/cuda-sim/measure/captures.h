// Captures: destruction of members, causes of breaking, and capture info.

// The part that the destroyed stream has in the capture.
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
        report("destroy the origin", f.cuStreamDestroy_v2(s.stream));
        report("cuStreamIsCapturing of the member", f.cuStreamIsCapturing(s.other, &status));
        report("  status", status);
        report("cuStreamEndCapture of the member", f.cuStreamEndCapture(s.other, &graph));
        report("cuStreamQuery of the member", f.cuStreamQuery(s.other));
        report("cuStreamQuery of a third stream", f.cuStreamQuery(new_stream(1)));
        report("cuMemAlloc", f.cuMemAlloc_v2(&s.device, 4));
        return;
    }
    report("destroy the member", f.cuStreamDestroy_v2(s.other));
    report("cuStreamIsCapturing of the origin", f.cuStreamIsCapturing(s.stream, &status));
    report("  status", status);
    report("cuStreamEndCapture", f.cuStreamEndCapture(s.stream, &graph));
    if (!graph)
        return;
    report("cuGraphInstantiate", f.cuGraphInstantiateWithFlags(&executable, graph, 0));
    report("cuGraphLaunch", f.cuGraphLaunch(executable, s.stream));
    report("cuStreamSynchronize", f.cuStreamSynchronize(s.stream));
    unsigned words[2] = {0, 0};
    report("cuMemcpyDtoH", f.cuMemcpyDtoH_v2(words, s.device, sizeof words));
    report("  the origin's word (7)", (int)words[0]);
    report("  the member's word (8)", (int)words[1]);
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
    report("cuLaunchHostFunc, captured", f.cuLaunchHostFunc(s.stream, count_call, &marker));
    report("cuStreamEndCapture", f.cuStreamEndCapture(s.stream, &graph));
    report("cuGraphInstantiate", f.cuGraphInstantiateWithFlags(&executable, graph, 0));
    for (int launch = 1; launch <= 3; launch++) {
        report("cuGraphLaunch", f.cuGraphLaunch(executable, s.stream));
        report("cuStreamSynchronize", f.cuStreamSynchronize(s.stream));
        report("  calls so far", (int)calls);
        report("  the argument is the same", last_argument == &marker);
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
    report("v2, empty", f.cuStreamGetCaptureInfo_v2(s.stream, &status, &id, &graph, &nodes, &count));
    report("  status", status);
    report("  has a number", id != 0);
    report("  has a graph", graph != NULL);
    report("  nodes", (int)count);
    must(f.cuMemsetD32Async(s.device, 7, 1, s.stream));
    must(f.cuEventRecord(event, s.stream));
    must(f.cuStreamWaitEvent(s.other, event, 0));
    must(f.cuMemsetD32Async(s.device + 4, 8, 1, s.other));
    must(f.cuMemsetD32Async(s.device + 8, 9, 1, s.stream));
    must(f.cuEventRecord(event, s.other));
    must(f.cuStreamWaitEvent(s.stream, event, 0));
    report("v3, joined", f.cuStreamGetCaptureInfo_v3(s.stream, &status, &id, &graph, &nodes, &edges,
                                                   &count));
    report("  nodes", (int)count);
    report("v3, edges without nodes", f.cuStreamGetCaptureInfo_v3(s.stream, &status, NULL, NULL, NULL,
                                                                &edges, NULL));
    report("cuStreamEndCapture", f.cuStreamEndCapture(s.stream, &ended));
    report("  it is the graph of before", ended == graph);
    report("cuGraphGetNodes", f.cuGraphGetNodes(ended, NULL, &all));
    report("  nodes", (int)all);
}
