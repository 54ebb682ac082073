/* A stand-in for libnccl.so.2 and librccl.so.1 over the simulators: the functions that the example `collectives` calls, for sums
 * of uint32. It tests the example's order, and nothing of NCCL.
 *
 * cc -shared -fPIC -o libnccl.so nccl.c -ldl -lpthread
 */
#include "stream_thread.h"
#include <fcntl.h>
#include <sys/mman.h>

enum { MAX_RANKS = 8, MAX_WORDS = 1 << 20 };

typedef struct { char internal[128]; } unique_id;

/* What the ranks of a communicator share, in a file that the id names. */
typedef struct {
    pthread_barrier_t barrier;
    volatile int ready;
    uint32_t words[MAX_RANKS][MAX_WORDS];
} shared;

typedef struct {
    shared *all;
    int ranks, rank;
    stream_thread thread;
} communicator;

static void reduce(const job *todo) {
    communicator *of = (communicator *)todo->arguments[0];
    const uint32_t *send = (const uint32_t *)todo->arguments[1];
    uint32_t *receive = (uint32_t *)todo->arguments[2];
    size_t count = todo->arguments[3];
    shared *all = of->all;
    memcpy(all->words[of->rank], send, count * sizeof *send);
    pthread_barrier_wait(&all->barrier);
    for (size_t at = 0; at < count; at++) {
        uint32_t sum = 0;
        for (int rank = 0; rank < of->ranks; rank++) sum += all->words[rank][at];
        receive[at] = sum;
    }
    pthread_barrier_wait(&all->barrier);
}

int ncclGetVersion(int *version) { *version = 0; return 0; }
const char *ncclGetErrorString(int code) { return code ? "error of the stand-in" : "no error"; }
int ncclGroupStart(void) { return 0; }
int ncclGroupEnd(void) { return 0; }

int ncclGetUniqueId(unique_id *id) {
    memset(id, 0, sizeof *id);
    strcpy(id->internal, "/dev/shm/nccl-stand-in-XXXXXX");
    int file = mkstemp(id->internal);
    if (file < 0 || ftruncate(file, sizeof(shared))) return 2;
    close(file);
    return 0;
}

int ncclCommInitRank(communicator **out, int ranks, unique_id id, int rank) {
    if (ranks > MAX_RANKS) return 4;
    int file = open(id.internal, O_RDWR);
    if (file < 0) return 2;
    shared *all = mmap(NULL, sizeof *all, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (all == MAP_FAILED) return 2;
    if (rank == 0) {
        pthread_barrierattr_t attributes;
        pthread_barrierattr_init(&attributes);
        pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
        pthread_barrier_init(&all->barrier, &attributes, ranks);
        __sync_synchronize();
        all->ready = 1;
    }
    while (!all->ready) usleep(100); /* until rank 0 is here */
    if (rank == ranks - 1) unlink(id.internal);
    communicator *made = calloc(1, sizeof *made);
    made->all = all, made->ranks = ranks, made->rank = rank;
    if (start_thread(&made->thread)) return 1;
    *out = made;
    return 0;
}

int ncclCommDestroy(communicator *of) { (void)of; return 0; } /* its thread goes on */

int ncclAllReduce(const void *send, void *receive, size_t count, int type, int op, communicator *of, void *stream) {
    if (type != 3 || op != 0 || count > MAX_WORDS) return 4;
    job todo = {reduce, {(uintptr_t)of, (uintptr_t)send, (uintptr_t)receive, count}};
    return submit(&of->thread, stream, todo) ? 1 : 0;
}
