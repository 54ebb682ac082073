// The reset of the primary context, and green contexts.

static void answers(P stream, P event) {
    P context = NULL;
    int status = -1;
    report("cuStreamQuery", f.cuStreamQuery(stream));
    report("cuStreamSynchronize", f.cuStreamSynchronize(stream));
    report("cuStreamGetCtx", f.cuStreamGetCtx(stream, &context));
    report("cuStreamIsCapturing", f.cuStreamIsCapturing(stream, &status));
    report("cuEventQuery", f.cuEventQuery(event));
    report("cuEventSynchronize", f.cuEventSynchronize(event));
    report("cuEventRecord", f.cuEventRecord(event, stream));
    report("cuStreamWaitEvent", f.cuStreamWaitEvent(stream, event, 0));
    report("cuLaunchHostFunc", f.cuLaunchHostFunc(stream, count_call, NULL));
}

static void answers_by_current(void) {
    P made = NULL;
    int device = 0;
    report("by the current context: cuEventCreate", f.cuEventCreate(&made, 2));
    report("by the current context: cuStreamCreate", f.cuStreamCreate(&made, 1));
    report("by the current context: cuCtxGetDevice", f.cuCtxGetDevice(&device));
    report("by the current context: cuStreamQuery of 0", f.cuStreamQuery(NULL));
    report("by the current context: cuStreamQuery of 2", f.cuStreamQuery((P)2));
    report("by the current context: cuCtxSynchronize", f.cuCtxSynchronize());
}

static void state(void) {
    unsigned flags = 0;
    int active = -1;
    report("cuDevicePrimaryCtxGetState", f.cuDevicePrimaryCtxGetState(0, &flags, &active));
    report("  is active", active);
}

static void end_primary(int by_release) {
    if (by_release)
        report("cuDevicePrimaryCtxRelease", f.cuDevicePrimaryCtxRelease_v2(0));
    else
        report("cuDevicePrimaryCtxReset", f.cuDevicePrimaryCtxReset_v2(0));
    state();
}

static void reset_with_objects(int by_release, int retain_again) {
    struct setup s = set_up();
    P event = new_event(2), again = NULL;
    must(f.cuEventRecord(event, s.stream));
    must(f.cuStreamSynchronize(s.stream));
    end_primary(by_release);
    if (retain_again) {
        report("cuDevicePrimaryCtxRetain", f.cuDevicePrimaryCtxRetain(&again, 0));
        report("  the handle is the same", again == s.context);
        state();
    }
    answers(s.stream, event);
    answers_by_current();
    if (retain_again) {
        report("cuCtxSetCurrent of the new one", f.cuCtxSetCurrent(again));
        P fresh = NULL, own = NULL;
        report("cuStreamCreate", f.cuStreamCreate(&fresh, 1));
        report("cuEventCreate", f.cuEventCreate(&own, 2));
        report("record of a new event on a new stream", f.cuEventRecord(own, fresh));
        report("record of an old event on a new stream", f.cuEventRecord(event, fresh));
        report("wait of a new stream for an old event", f.cuStreamWaitEvent(fresh, event, 0));
        report("cuStreamSynchronize of the new stream", f.cuStreamSynchronize(fresh));
        for (int release = 1; release <= 3; release++)
            report("cuDevicePrimaryCtxRelease", f.cuDevicePrimaryCtxRelease_v2(0));
    } else {
        P current = NULL;
        report("cuCtxGetCurrent", f.cuCtxGetCurrent(&current));
        report("  it is still current", current == s.context);
        report("cuCtxSetCurrent of none", f.cuCtxSetCurrent(NULL));
        report("cuCtxPushCurrent of the old one", f.cuCtxPushCurrent_v2(s.context));
        answers_by_current();
    }
}

static void reset_objects(void) { reset_with_objects(0, 0); }
static void reset_objects_retained(void) { reset_with_objects(0, 1); }
static void release_objects(void) { reset_with_objects(1, 0); }
static void release_objects_retained(void) { reset_with_objects(1, 1); }

// Which numbers reveal a reset, and what stays retained after it.
static void numbers(void) {
    struct setup s = set_up();
    P again = NULL;
    unsigned long long before = 0, after = 0, dead = 0;
    report("cuCtxGetId", f.cuCtxGetId(s.context, &before));
    end_primary(0);
    report("cuCtxGetId of the dead one", f.cuCtxGetId(s.context, &dead));
    report("  the number is the same", dead == before);
    report("cuDevicePrimaryCtxRetain", f.cuDevicePrimaryCtxRetain(&again, 0));
    report("cuCtxGetId", f.cuCtxGetId(again, &after));
    report("  the number is the same", after == before);
    for (int release = 1; release <= 3; release++) {
        report("cuDevicePrimaryCtxRelease", f.cuDevicePrimaryCtxRelease_v2(0));
        state();
    }
}

static void release_with_pending_work(void) {
    struct setup s = set_up();
    must(f.cuStreamWaitValue32_v2(s.stream, s.gate, 1, 0));
    printf("  (work is held back by a gate; no more lines: the release waits for it)\n");
    end_primary(1);
}

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
    report("cuEventDestroy", f.cuEventDestroy_v2(event));
    report("cuStreamDestroy", f.cuStreamDestroy_v2(s.stream));
    report("cuEventDestroy, twice", f.cuEventDestroy_v2(event));
    report("cuStreamDestroy, twice", f.cuStreamDestroy_v2(s.stream));
}

static void destroy_after_reset_dead(void) { destroy_after_reset(0); }
static void destroy_after_reset_retained(void) { destroy_after_reset(1); }

// Simulates a library that pools events: nothing is in use when the reset happens.
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
    report("cuDevicePrimaryCtxRetain", f.cuDevicePrimaryCtxRetain(&again, 0));
    report("  the handle is the same", again == s.context);
    report("cuCtxPushCurrent of the old handle", f.cuCtxPushCurrent_v2(s.context));
    report("cuStreamCreate", f.cuStreamCreate(&fresh, 1));
    for (int i = 0; i < 3; i++) {
        report("cuEventRecord of a pooled event", f.cuEventRecord(events[i], fresh));
        report("cuStreamWaitEvent for a pooled event", f.cuStreamWaitEvent(fresh, events[i], 0));
    }
    P event = NULL;
    report("cuEventCreate", f.cuEventCreate(&event, 2));
    report("cuEventRecord of a new event", f.cuEventRecord(event, fresh));
}

static void reset_with_pending_work(void) {
    struct setup s = set_up();
    must(f.cuStreamWaitValue32_v2(s.stream, s.gate, 1, 0));
    must(f.cuLaunchHostFunc(s.stream, count_call, NULL));
    printf("  (work is held back by a gate; no more lines: the reset waits for it)\n");
    end_primary(0);
    usleep(200000);
    report("calls of the host function behind the gate", (int)calls);
    report("cuStreamQuery", f.cuStreamQuery(s.stream));
}

static P new_green(P *context) {
    unsigned long long resource[18];
    P description = NULL, green = NULL;
    memset(resource, 0, sizeof resource);
    report("cuDeviceGetDevResource", f.cuDeviceGetDevResource(0, resource, 1));
    report("cuDevResourceGenerateDesc", f.cuDevResourceGenerateDesc(&description, resource, 1));
    report("cuGreenCtxCreate without flags", f.cuGreenCtxCreate(&green, description, 0, 0));
    report("cuGreenCtxCreate", f.cuGreenCtxCreate(&green, description, 0, 1));
    report("cuCtxFromGreenCtx", f.cuCtxFromGreenCtx(context, green));
    return green;
}

static void contexts_of(const char *what, P stream, P primary, P green, P of_green) {
    P context = NULL, newer = NULL, its_green = NULL, asked = NULL;
    printf("  -- %s\n", what);
    report("cuStreamGetCtx", f.cuStreamGetCtx(stream, &context));
    report("  it is that of the green context", context == of_green);
    report("  it is the primary one", context == primary);
    report("cuStreamGetCtx_v2", f.cuStreamGetCtx_v2(stream, &newer, &its_green));
    report("  it is that of the green context", newer == of_green);
    report("  it is the primary one", newer == primary);
    report("  and names the green context", its_green == green);
    report("cuStreamGetGreenCtx", f.cuStreamGetGreenCtx(stream, &asked));
    report("  it is the green context", asked == green);
}

static void green_streams(void) {
    struct setup s = set_up();
    P context = NULL, stream = NULL, blocking = NULL, of_primary = new_event(2), own = NULL;
    unsigned flags = 9;
    P green = new_green(&context);
    report("the context is the primary one", context == s.context);
    report("cuGreenCtxStreamCreate, blocking", f.cuGreenCtxStreamCreate(&blocking, green, 0, 0));
    report("cuGreenCtxStreamCreate", f.cuGreenCtxStreamCreate(&stream, green, 1, 0));
    report("cuStreamGetFlags", f.cuStreamGetFlags(stream, &flags));
    report("  flags", (int)flags);
    contexts_of("of a green stream", stream, s.context, green, context);
    contexts_of("of a plain stream", s.stream, s.context, green, context);
    report("record of the primary context's event", f.cuEventRecord(of_primary, stream));
    report("cuCtxSetCurrent of the green context's", f.cuCtxSetCurrent(context));
    report("cuEventCreate there", f.cuEventCreate(&own, 2));
    report("record of it on the green stream", f.cuEventRecord(own, stream));
    report("wait of the plain stream for it", f.cuStreamWaitEvent(s.stream, own, 0));
    report("record of it on the plain stream", f.cuEventRecord(own, s.stream));
    report("cuStreamCreate there, blocking", f.cuStreamCreate(&blocking, 0));
    contexts_of("of a stream that was created there", blocking, s.context, green, context);
    contexts_of("of stream 0 there", NULL, s.context, green, context);
    report("cuCtxDestroy of the green context's", f.cuCtxDestroy_v2(context));
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
    report("cuGreenCtxDestroy", f.cuGreenCtxDestroy(green));
    answers(stream, event);
    report("cuStreamDestroy", f.cuStreamDestroy_v2(stream));
    report("cuEventDestroy", f.cuEventDestroy_v2(event));
    report("cuCtxSetCurrent of its context", f.cuCtxSetCurrent(context));
    answers_by_current();
}

static void green_reset(void) {
    set_up();
    P context = NULL, stream = NULL;
    P green = new_green(&context);
    must(f.cuGreenCtxStreamCreate(&stream, green, 1, 0));
    end_primary(0);
    report("cuStreamQuery", f.cuStreamQuery(stream));
    report("cuGreenCtxDestroy", f.cuGreenCtxDestroy(green));
}
