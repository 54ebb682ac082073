/* What a thread's stack of contexts does with a context that is destroyed while it is on the stack.
 * cc -O1 destroyed_contexts.c -o destroyed_contexts -ldl && ./destroyed_contexts */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef void *Context;
static int (*init)(unsigned), (*create)(Context *, unsigned, int), (*destroy)(Context);
static int (*get)(Context *), (*set)(Context), (*push)(Context), (*pop)(Context *);
static int (*retain)(Context *, int), (*synchronize)(void), (*make_stream)(void **, unsigned);

#define SAY(call) do { int code = (call); printf("  %-24s %d\n", #call, code); fflush(stdout); } while (0)

/* Another library works in the primary context, and leaves it current. */
static void work(void) {
    Context primary;
    void *stream;
    int code = retain(&primary, 0) | set(primary) | make_stream(&stream, 1) | synchronize();
    printf("  work in another context  %d\n", code);
    fflush(stdout);
}

/* Memory of the process is used again, as in a program that goes on. */
static void use_memory(void) {
    for (int i = 0; i < 20000; i++) {
        char *memory = malloc(16 + i * 97 % 9000);
        memset(memory, 0xA5, 16);
        if (i % 3 == 0) free(memory);
    }
}

static void set_back(Context dead) {
    SAY(set(dead)); SAY(destroy(dead)); SAY(set(dead)); use_memory(); work(); SAY(set(NULL));
}

static void destroyed_below(Context dead) {
    Context top;
    SAY(set(dead)); SAY(push(dead)); work(); SAY(destroy(dead)); SAY(pop(&top)); SAY(get(&top));
    printf("  the dead one is current: %d\n", top == dead);
    SAY(synchronize()); SAY(set(NULL)); work();
}

static void destroyed_on_top(Context dead) {
    Context top;
    SAY(set(dead)); SAY(push(dead)); SAY(destroy(dead)); work(); SAY(pop(&top)); SAY(get(&top));
    printf("  none is current: %d\n", top == NULL);
    SAY(synchronize()); work();
}

static void in_a_process(const char *name, void (*run)(Context)) {
    printf("%s\n", name);
    fflush(stdout);
    if (fork() == 0) {
        Context dead;
        init(0);
        create(&dead, 0, 0);
        set(NULL);
        run(dead);
        exit(0);
    }
    int status;
    wait(&status);
    printf("  signal %d\n", WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    fflush(stdout);
}

int main(void) {
    void *driver = dlopen("libcuda.so.1", RTLD_NOW);
#define LOAD(function, name) *(void **)&function = dlsym(driver, name)
    LOAD(init, "cuInit"); LOAD(create, "cuCtxCreate_v2"); LOAD(destroy, "cuCtxDestroy_v2");
    LOAD(get, "cuCtxGetCurrent"); LOAD(set, "cuCtxSetCurrent"); LOAD(push, "cuCtxPushCurrent_v2");
    LOAD(pop, "cuCtxPopCurrent_v2"); LOAD(retain, "cuDevicePrimaryCtxRetain");
    LOAD(synchronize, "cuCtxSynchronize"); LOAD(make_stream, "cuStreamCreate");
    in_a_process("set back after it was destroyed", set_back);
    in_a_process("pushed before, destroyed below the top", destroyed_below);
    in_a_process("pushed before, destroyed on top", destroyed_on_top);
    return 0;
}
