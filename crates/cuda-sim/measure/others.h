// Functions that programs of others call: entry points, memory, settings of contexts, flags.

// Prints how the search for a function ends.
static void entry(const char *name, int version, unsigned long long flags) {
    void *found = NULL;
    int status = 9;
    int code = f.cuGetProcAddress_v2(name, &found, version, flags, &status);
    printf("  %-26s version %5d, flags %llu  %d, status %d, %s\n", name, version, flags, code, status,
           found ? "an address" : "null");
}

static void entry_points(void) {
    set_up();
    entry("cuInit", 13000, 0);
    entry("cuNoSuchThing", 13000, 0);
    entry("cuMemAlloc_v2", 13000, 0);
    entry("cuMemAlloc", 12000, 0);
    entry("cuMemAlloc", 2000, 0);
    entry("cuMemAllocAsync", 11010, 0);
    entry("cuInit", 99000, 0);
    entry("cuInit", 13000, 3);
    entry("cuInit", 13000, 4);
    entry("cuStreamQuery", 13000, 3);
    entry("cuStreamQuery", 12000, 1);
    void *old = NULL;
    report("cuGetProcAddress, CUDA 11's, of no function", f.cuGetProcAddress("cuNoSuchThing", &old, 11030, 0));
}

static void managed_and_registered(void) {
    struct setup s = set_up();
    unsigned long long managed = 0, start = 0;
    size_t length = 0;
    char *mine = aligned_alloc(4096, 8192);
    report("cuMemAllocManaged, flags 0", f.cuMemAllocManaged(&managed, 4096, 0));
    report("cuMemAllocManaged, flags 4", f.cuMemAllocManaged(&managed, 4096, 4));
    report("cuMemAllocManaged, flags 1", f.cuMemAllocManaged(&managed, 4096, 1));
    report("cuMemHostRegister", f.cuMemHostRegister_v2(mine, 4096, 0));
    report("again", f.cuMemHostRegister_v2(mine, 4096, 0));
    report("a part of it", f.cuMemHostRegister_v2(mine + 1024, 1024, 0));
    report("length 0", f.cuMemHostRegister_v2(mine + 4096, 0, 0));
    report("cuMemFreeHost of it", f.cuMemFreeHost(mine));
    report("cuMemHostUnregister of a part", f.cuMemHostUnregister(mine + 1024));
    report("cuMemHostUnregister", f.cuMemHostUnregister(mine));
    report("again", f.cuMemHostUnregister(mine));
    report("cuMemGetAddressRange", f.cuMemGetAddressRange_v2(&start, &length, s.device + 100));
    printf("    starts at it: %d, length %zu\n", start == s.device, length);
    report("of pinned memory", f.cuMemGetAddressRange_v2(&start, &length, (unsigned long long)s.words));
    report("of the program's memory", f.cuMemGetAddressRange_v2(&start, &length, (unsigned long long)mine));
    report("cuMemFree", f.cuMemFree_v2(s.device));
    report("cuMemGetAddressRange of freed memory", f.cuMemGetAddressRange_v2(&start, &length, s.device));
    report("cuMemFree of pinned memory", f.cuMemFree_v2((unsigned long long)s.words));
}

enum { ATTACHMENTS = 9 };

// Attaches managed memory to a stream, one way in each process: the first one crashed on an H100 (driver 580).
static void attach_managed(int which) {
    static const char *names[ATTACHMENTS] = {
        "flags 0", "flags 1", "flags 2", "flags 3", "flags 4", "flags 4, the default stream",
        "flags 1, memory that is not managed", "flags 0, an invalid address", "flags 1, the whole length"};
    struct setup s = set_up();
    unsigned long long managed = 0;
    must(f.cuMemAllocManaged(&managed, 4096, 1));
    printf("  cuStreamAttachMemAsync, %s\n", names[which]);
    switch (which) {
    case 5:
        report("  answer", f.cuStreamAttachMemAsync(NULL, managed, 0, 4));
        break;
    case 6:
        report("  answer", f.cuStreamAttachMemAsync(s.stream, s.device, 0, 1));
        break;
    case 7:
        report("  answer", f.cuStreamAttachMemAsync(s.stream, 64, 0, 0));
        break;
    case 8:
        report("  answer", f.cuStreamAttachMemAsync(s.stream, managed, 4096, 1));
        break;
    default:
        report("  answer", f.cuStreamAttachMemAsync(s.stream, managed, 0, which));
    }
}

static void settings(void) {
    set_up();
    for (int limit = -1; limit <= 11; limit++) {
        size_t value = 0;
        int code = f.cuCtxGetLimit(&value, limit);
        printf("  cuCtxGetLimit %d: %d, %zu\n", limit, code, value);
    }
    for (int limit = 0; limit <= 9; limit++) {
        size_t value = 0, new_value = 0;
        f.cuCtxGetLimit(&value, limit);
        int code = f.cuCtxSetLimit(limit, value);
        int half = f.cuCtxSetLimit(limit, value / 2);
        f.cuCtxGetLimit(&new_value, limit);
        printf("  cuCtxSetLimit %d: to its value %d, to half of it %d, then it is %zu\n", limit, code, half,
               new_value);
    }
    unsigned flags = 99, version = 0, of_device = 99;
    int active = 9;
    report("cuDevicePrimaryCtxGetState", f.cuDevicePrimaryCtxGetState(0, &of_device, &active));
    printf("    flags %#x, active %d\n", of_device, active);
    report("cuCtxGetFlags", f.cuCtxGetFlags(&flags));
    printf("    flags %#x\n", flags);
    static const unsigned tried[] = {1, 2, 3, 4, 8, 16, 32, 64, 128, 256};
    for (size_t i = 0; i < sizeof tried / sizeof *tried; i++) {
        printf("  flags %3u: ", tried[i]);
        report("cuCtxSetFlags", f.cuCtxSetFlags(tried[i]));
        f.cuCtxGetFlags(&flags);
        printf("    flags %#x\n", flags);
    }
    report("cuCtxGetApiVersion", f.cuCtxGetApiVersion(NULL, &version));
    printf("    version %u\n", version);
    for (int cache = -1; cache <= 4; cache++) {
        printf("  cache %2d: ", cache);
        report("cuCtxSetCacheConfig", f.cuCtxSetCacheConfig(cache));
    }
}

static void instantiate_with_each_flag(P graph) {
    P executable = NULL;
    for (unsigned long long flags = 0; flags <= 16; flags++) {
        printf("  flags %2llu: ", flags);
        report("cuGraphInstantiateWithFlags", f.cuGraphInstantiateWithFlags(&executable, graph, flags));
    }
}

static void flags_of_calls(void) {
    struct setup s = set_up();
    P event = new_event(2), graph = NULL;
    report("cuEventRecordWithFlags 0", f.cuEventRecordWithFlags(event, s.stream, 0));
    report("cuEventRecordWithFlags 1, outside", f.cuEventRecordWithFlags(event, s.stream, 1));
    report("cuEventRecordWithFlags 2", f.cuEventRecordWithFlags(event, s.stream, 2));
    must(f.cuStreamBeginCapture_v2(s.stream, 2));
    report("cuStreamWriteValue32, captured", f.cuStreamWriteValue32_v2(s.stream, s.gate, 0, 0));
    must(f.cuStreamEndCapture(s.stream, &graph));
    instantiate_with_each_flag(graph);
    must(f.cuStreamBeginCapture_v2(s.stream, 2));
    must(f.cuMemsetD32Async(s.device, 1, 1, s.stream));
    must(f.cuStreamEndCapture(s.stream, &graph));
    puts("  a graph that only fills memory");
    instantiate_with_each_flag(graph);
    report("cuStreamWriteValue32", f.cuStreamWriteValue32_v2(s.stream, s.gate, 3, 0));
    report("cuStreamWriteValue32, flags 1", f.cuStreamWriteValue32_v2(s.stream, s.gate, 3, 1));
    report("cuStreamWriteValue32, flags 2", f.cuStreamWriteValue32_v2(s.stream, s.gate, 3, 2));
    report("cuStreamWriteValue32, not aligned", f.cuStreamWriteValue32_v2(s.stream, s.gate + 2, 3, 0));
    report("cuStreamSynchronize", f.cuStreamSynchronize(s.stream));
    printf("    the word: %u\n", s.words[0]);
}

// Calls while another stream of the thread is captured, and how the capture ends.
static void while_capturing(int mode) {
    struct setup s = set_up();
    unsigned long long memory = 0, managed = 0;
    size_t number = 0;
    unsigned flags = 0;
    P words = NULL, event = new_event(2);
    static char mine[4096];
    must(f.cuMemAllocManaged(&managed, 4096, 1));
#define DURING(call)                                       \
    do {                                                   \
        P graph = NULL;                                    \
        must(f.cuStreamBeginCapture_v2(s.other, mode));    \
        report(#call, call);                               \
        report("  cuStreamEndCapture", f.cuStreamEndCapture(s.other, &graph)); \
    } while (0)
    DURING(f.cuMemAllocManaged(&memory, 4096, 1));
    DURING(f.cuMemAllocHost_v2(&words, 4096));
    DURING(f.cuMemHostRegister_v2(mine, 4096, 0));
    DURING(f.cuMemHostUnregister(mine));
    DURING(f.cuMemGetInfo_v2(&number, &number));
    DURING(f.cuCtxGetLimit(&number, 0));
    DURING(f.cuCtxSetLimit(0, 2048));
    DURING(f.cuCtxGetFlags(&flags));
    DURING(f.cuEventRecordWithFlags(event, s.stream, 0));
    DURING(f.cuStreamWriteValue32_v2(s.stream, s.gate, 3, 0));
    DURING(f.cuMemcpyAsync(s.device, s.device + 2048, 16, s.stream));
    DURING(f.cuStreamAttachMemAsync(s.other, memory, 0, 1));
    DURING(f.cuStreamAttachMemAsync(s.other, managed, 0, 1));
    // On another stream: last, because such a call crashed on an H100 (driver 580) beside no capture.
    DURING(f.cuStreamAttachMemAsync(s.stream, managed, 0, 1));
}

static void while_capturing_global(void) { while_capturing(0); }
static void while_capturing_thread(void) { while_capturing(1); }
static void while_capturing_relaxed(void) { while_capturing(2); }
