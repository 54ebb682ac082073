// Prints what a CUDA driver answers in situations that its documentation leaves open.
//
//   gcc -O1 -Wall -Wextra -o measure measure.c -ldl
//   ./measure            all groups
//   ./measure reset      one group
//   ./measure --list     their names
//
// CUDA_LIBRARY names the driver's library; without it, libcuda.so.1 is loaded. Needs no header and no
// toolkit. Each probe runs in its own process, forked before any use of CUDA. It is ended after
// 20 seconds, and the whole program after 300.

#include "driver.h"

// The order matters: each header uses the ones before it.
#include "captures.h"
#include "inside.h"
#include "contexts.h"
#include "others.h"

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
    report("gate on the default stream", f.cuStreamWaitValue32_v2(NULL, s.gate, 1, 0));
    must(f.cuMemsetD32Async(s.device, 1, 1, blocking));
    must(f.cuMemsetD32Async(s.device + 4, 1, 1, free_one));
    usleep(100000);
    report("query of a blocking stream behind it", f.cuStreamQuery(blocking));
    report("query of a non-blocking one", f.cuStreamQuery(free_one));
    report("query of stream 2", f.cuStreamQuery((P)2));
    s.words[0] = 1;
    report("cuCtxSynchronize", f.cuCtxSynchronize());
    s.words[0] = 0;
    report("gate on a blocking stream", f.cuStreamWaitValue32_v2(blocking, s.gate, 1, 0));
    report("query of the default stream beside it", f.cuStreamQuery(NULL));
    must(f.cuMemsetD32Async(s.device, 1, 1, NULL));
    usleep(100000);
    report("query of the default stream behind it", f.cuStreamQuery(NULL));
    report("query of a non-blocking one", f.cuStreamQuery(free_one));
    s.words[0] = 1;
    report("cuCtxSynchronize", f.cuCtxSynchronize());
}

static void failed_work(void) {
    static const char ptx[] = ".version 6.0\n.target sm_50\n.address_size 64\n"
                              ".visible .entry trap()\n{\n  trap;\n  ret;\n}\n";
    struct setup s = set_up();
    P module = NULL, trap = NULL, event = new_event(2);
    report("cuModuleLoadData", f.cuModuleLoadData(&module, ptx));
    report("cuModuleGetFunction", f.cuModuleGetFunction(&trap, module, "trap"));
    must(f.cuEventRecord(event, s.stream));
    report("gate", f.cuStreamWaitValue32_v2(s.stream, s.gate, 1, 0));
    report("cuLaunchKernel", f.cuLaunchKernel(trap, 1, 1, 1, 1, 1, 1, 0, s.stream, NULL, NULL));
    report("cuLaunchHostFunc behind it", f.cuLaunchHostFunc(s.stream, count_call, NULL));
    s.words[0] = 1;
    report("cuStreamSynchronize", f.cuStreamSynchronize(s.stream));
    answers(s.other, event);
    answers_by_current();
    report("cuStreamDestroy", f.cuStreamDestroy_v2(s.stream));
    report("cuEventDestroy", f.cuEventDestroy_v2(event));
    usleep(200000);
    report("calls of the host function behind it", (int)calls);
    end_primary(0);
    report("cuDevicePrimaryCtxRetain", f.cuDevicePrimaryCtxRetain(&s.context, 0));
    report("cuCtxSetCurrent", f.cuCtxSetCurrent(s.context));
    answers_by_current();
}

#define ONCE(run) run, NULL, 0
#define EACH(variant, count) NULL, variant, count
#define IN_MODES(group, what, name)                       \
    {group, what ", mode 0", ONCE(name##_global)},          \
    {group, what ", mode 1", ONCE(name##_thread)},          \
    {group, what ", mode 2", ONCE(name##_relaxed)}

static const struct probe probes[] = {
    IN_MODES("destroy", "a member without work is destroyed", destroy_without_work),
    IN_MODES("destroy", "a member with work is destroyed unjoined", destroy_with_work),
    IN_MODES("destroy", "a joined member is destroyed", destroy_joined),
    IN_MODES("destroy", "the origin is destroyed", destroy_origin),
    IN_MODES("destroy", "the origin is destroyed, all joined", destroy_origin_joined),
    {"capture", "waits of a captured stream", ONCE(wait_outside)},
    {"capture", "a host function as a node", ONCE(host_node)},
    {"capture", "what a capture tells", ONCE(capture_info)},
    {"inside", "inside a host function", EACH(inside_host_function, INSIDE)},
    {"reset", "reset with objects", ONCE(reset_objects)},
    {"reset", "reset with objects, then retained again", ONCE(reset_objects_retained)},
    {"reset", "last release with objects", ONCE(release_objects)},
    {"reset", "last release with objects, then retained again", ONCE(release_objects_retained)},
    {"reset", "destroys after a reset", ONCE(destroy_after_reset_dead)},
    {"reset", "destroys after a reset, retained again", ONCE(destroy_after_reset_retained)},
    {"reset", "pooled events and an old handle", ONCE(reset_with_pooled_events)},
    {"reset", "reset while work is pending", ONCE(reset_with_pending_work)},
    {"reset", "last release while work is pending", ONCE(release_with_pending_work)},
    {"reset", "numbers of contexts, and releases", ONCE(numbers)},
    {"green", "streams and events of a green context", ONCE(green_streams)},
    {"green", "a green context is destroyed before its streams", ONCE(green_destroyed)},
    {"green", "a reset beneath a green context", ONCE(green_reset)},
    {"flags", "flags and the default stream", ONCE(flags)},
    {"fault", "after work that failed", ONCE(failed_work)},
    {"others", "entry points", ONCE(entry_points)},
    {"others", "managed and registered memory", ONCE(managed_and_registered)},
    {"others", "managed memory is attached to a stream", EACH(attach_managed, ATTACHMENTS)},
    {"others", "settings of a context", ONCE(settings)},
    {"others", "flags of calls", ONCE(flags_of_calls)},
    IN_MODES("others", "calls while another stream is captured", while_capturing),
};

int main(int count, char **arguments) {
    return run_probes(probes, sizeof probes / sizeof *probes, count > 1 ? arguments[1] : NULL);
}
