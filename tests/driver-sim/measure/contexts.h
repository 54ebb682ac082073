// The primary context's reset, and green contexts.

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
    end_primary(0);
    usleep(200000);
    told("calls of the host function behind the gate", (int)calls);
    told("cuStreamQuery", f.cuStreamQuery(s.stream));
}

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
