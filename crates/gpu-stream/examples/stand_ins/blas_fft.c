/* A stand-in for libcublas and libcufft over the simulators: the functions that the example `blas_fft` calls, under AMD's names, too. The
 * transform is right for constant input only. It tests the example's order, and nothing of the libraries.
 *
 * cc -shared -fPIC -o libblas_fft.so blas_fft.c -ldl -lpthread
 */
#include "stream_thread.h"

typedef struct {
    void *stream;
    int length;
    stream_thread thread;
} handle;

static handle *plans[64];
static uintptr_t plan_count; /* a plan is an int for cuFFT, and a pointer for hipFFT, which is not followed here */

static int create(handle **out) {
    *out = calloc(1, sizeof **out);
    return start_thread(&(*out)->thread) ? 1 : 0;
}

int cublasCreate_v2(handle **out) { return create(out); }
int cublasDestroy_v2(handle *of) { (void)of; return 0; } /* its thread goes on */
int cublasSetStream_v2(handle *of, void *stream) { of->stream = stream; return 0; }
int cublasSetWorkspace_v2(handle *of, void *workspace, size_t bytes) { return !of || !workspace || !bytes; }

static void multiply(const job *todo) {
    const float *a = (const float *)todo->arguments[0], *b = (const float *)todo->arguments[1];
    float *c = (float *)todo->arguments[2];
    size_t n = todo->arguments[3];
    for (size_t column = 0; column < n; column++)
        for (size_t row = 0; row < n; row++) {
            float sum = 0;
            for (size_t at = 0; at < n; at++) sum += a[row + at * n] * b[at + column * n];
            c[row + column * n] = sum;
        }
}

int cublasSgemm_v2(handle *of, int ta, int tb, int m, int n, int k, const float *alpha, const float *a, int lda, const float *b,
                   int ldb, const float *beta, float *c, int ldc) {
    if (ta || tb || m != n || k != n || lda != n || ldb != n || ldc != n || *alpha != 1 || *beta != 0) return 7;
    job todo = {multiply, {(uintptr_t)a, (uintptr_t)b, (uintptr_t)c, (uintptr_t)n}};
    return submit(&of->thread, of->stream, todo) ? 14 : 0;
}

int cufftPlan1d(int *out, int length, int type, int batch) {
    if (type != 0x29 || batch != 1 || plan_count == 64) return 4;
    *out = plan_count++;
    int code = create(&plans[*out]);
    plans[*out]->length = length;
    return code;
}

int cufftSetStream(int plan, void *stream) { plans[plan]->stream = stream; return 0; }
int cufftDestroy(int plan) { (void)plan; return 0; }

static void transform(const job *todo) {
    const float *from = (const float *)todo->arguments[0];
    float *to = (float *)todo->arguments[1];
    size_t length = todo->arguments[2];
    float sums[2] = {0, 0};
    for (size_t at = 0; at < 2 * length; at++) sums[at % 2] += from[at];
    memset(to, 0, 2 * length * sizeof *to);
    memcpy(to, sums, sizeof sums);
}

int cufftExecC2C(int plan, float *from, float *to, int direction) {
    if (direction != -1) return 4;
    handle *of = plans[plan];
    job todo = {transform, {(uintptr_t)from, (uintptr_t)to, (uintptr_t)of->length}};
    return submit(&of->thread, of->stream, todo) ? 6 : 0;
}

int hipblasCreate(handle **out) { return create(out); }
int hipblasDestroy(handle *of) { return cublasDestroy_v2(of); }
int hipblasSetStream(handle *of, void *stream) { return cublasSetStream_v2(of, stream); }
int hipblasSgemm(handle *of, int ta, int tb, int m, int n, int k, const float *alpha, const float *a, int lda, const float *b,
                 int ldb, const float *beta, float *c, int ldc) {
    return cublasSgemm_v2(of, ta - 111, tb - 111, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
int hipfftPlan1d(uintptr_t *out, int length, int type, int batch) {
    int plan;
    int code = cufftPlan1d(&plan, length, type, batch);
    *out = plan;
    return code;
}
int hipfftSetStream(uintptr_t plan, void *stream) { return cufftSetStream(plan, stream); }
int hipfftDestroy(uintptr_t plan) { return cufftDestroy(plan); }
int hipfftExecC2C(uintptr_t plan, float *from, float *to, int direction) { return cufftExecC2C(plan, from, to, direction); }
