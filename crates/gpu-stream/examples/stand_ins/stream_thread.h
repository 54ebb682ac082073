/* A thread that works in the order of a stream, as a kernel would, over the simulated CUDA driver or AMD's HIP library on
 * the simulated GPU. Their device memory is memory of the host.
 *
 * Host functions are no way: those of all streams share one thread. One that waits would hold up the others. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_JOBS = 64, MAX_ARGUMENTS = 5, REACHED = 0, DONE = 16, FLAGS = 32 };

typedef struct job {
    void (*run)(const struct job *);
    uintptr_t arguments[MAX_ARGUMENTS];
} job;

/* `flags` are numbers that the device can read and write: the number of the job that the stream has reached, and of the
 * last one that is done. */
typedef struct {
    volatile uint32_t *flags;
    uint32_t submitted;
    job jobs[MAX_JOBS];
} stream_thread;

/* The function of the simulated CUDA driver, or of AMD's library over the simulated HSA runtime. NULL on a GPU. */
static void *function(const char *cuda_name, const char *hip_name) {
    const char *hip[] = {"libamdhip64.so.7", "libamdhip64.so.6", "libamdhip64.so.5"};
    void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
    if (library && dlsym(library, "cuda_sim_version")) return dlsym(library, cuda_name);
    library = dlopen("libhsa-runtime64.so.1", RTLD_NOW | RTLD_NOLOAD);
    if (library && dlsym(library, "hsa_sim_version"))
        for (size_t at = 0; at < sizeof hip / sizeof *hip; at++)
            if ((library = dlopen(hip[at], RTLD_NOW | RTLD_NOLOAD))) return dlsym(library, hip_name);
    fprintf(stderr, "a stand-in works over a simulated driver only\n");
    return NULL;
}

static void *work(void *data) {
    stream_thread *thread = data;
    for (uint32_t next = 1;; next++) {
        while (thread->flags[REACHED] < next) usleep(100);
        __sync_synchronize();
        const job *todo = &thread->jobs[next % MAX_JOBS];
        todo->run(todo);
        __sync_synchronize();
        thread->flags[DONE] = next;
    }
    return NULL;
}

/* Starts a thread, which ends with the process. */
static int start_thread(stream_thread *thread) {
    int (*alloc)(void **, size_t, unsigned) = NULL;
    void *flags;
    pthread_t id;
    *(void **)&alloc = function("cuMemHostAlloc", "hipHostMalloc");
    if (!alloc || alloc(&flags, FLAGS * sizeof(uint32_t), 0)) return 1;
    memset(flags, 0, FLAGS * sizeof(uint32_t));
    thread->flags = flags;
    return pthread_create(&id, NULL, work, thread);
}

/* Submits a job to `stream`, whose later work waits for it. */
static int submit(stream_thread *thread, void *stream, job todo) {
    int (*write)(void *, void *, uint32_t, unsigned) = NULL;
    int (*wait)(void *, void *, uint32_t, unsigned, uint32_t) = NULL; /* CUDA's has no mask, and does not see it */
    *(void **)&write = function("cuStreamWriteValue32_v2", "hipStreamWriteValue32");
    *(void **)&wait = function("cuStreamWaitValue32_v2", "hipStreamWaitValue32");
    if (!write || !wait) return 1;
    uint32_t number = ++thread->submitted;
    thread->jobs[number % MAX_JOBS] = todo;
    if (write(stream, (void *)&thread->flags[REACHED], number, 0)) return 1;
    return wait(stream, (void *)&thread->flags[DONE], number, 0, UINT32_MAX); /* 0: at least */
}
