// The kernels in OpenCL C. For HIP on AMD's GPUs, clang alone compiles them: the compiler's builtin functions replace
// ROCm's device libraries. For OpenCL, the implementation compiles them at run time.

// A block has 256 threads, as in `BLOCK` of `kernels/mod.rs`.
#define KERNEL __kernel __attribute__((reqd_work_group_size(256, 1, 1)))

static unsigned long thread(void) {
#ifdef __AMDGCN__
    return __builtin_amdgcn_workgroup_id_x() * 256UL + __builtin_amdgcn_workitem_id_x();
#else
    return get_global_id(0);
#endif
}

// y[i] += a * x[i] for each i < len. Each of `threads` threads takes every `threads`th element.
KERNEL void saxpy(float a, __global const float *x, __global float *y, unsigned long len, unsigned long threads) {
    for (unsigned long i = thread(); i < len && thread() < threads; i += threads) {
        y[i] += a * x[i];
    }
}

// to[t] = x[t] + x[t + threads] + x[t + 2 * threads] + ... for each t < threads.
KERNEL void sums(__global const float *x, unsigned long len, __global float *to, unsigned long threads) {
    if (thread() < threads) {
        float sum = 0;
        for (unsigned long i = thread(); i < len; i += threads) {
            sum += x[i];
        }
        to[thread()] = sum;
    }
}
