// Calls inside a host function.

// The objects that the calls in a host function use.
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
        report("    then cuStreamSynchronize", f.cuStreamSynchronize(in.s.stream));
    report("    then cuCtxSynchronize", f.cuCtxSynchronize());
}
