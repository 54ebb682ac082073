/* What XLA needs of the CUDA driver and the simulated one lacks: virtual memory, and a device's place on the bus.

   The library has the driver's name, and the simulated driver as a dependency. A lookup in it finds the simulator's functions, too. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

typedef unsigned long long Address;

enum { INVALID_VALUE = 1, NOT_FOUND = 500, VIRTUAL_MEMORY = 102, GRANULARITY = 2 << 20, RESERVATIONS = 1 << 16 };

int cuMemAlloc_v2(Address *, size_t);
int cuMemFree_v2(Address);

int cuDeviceGetAttribute(int *value, int attribute, int device) {
    int (*simulated)(int *, int, int) = (int (*)(int *, int, int))dlsym(RTLD_NEXT, "cuDeviceGetAttribute");
    if (!simulated) return NOT_FOUND;
    int code = simulated(value, attribute, device);
    if (code == 0 && attribute == VIRTUAL_MEMORY) *value = 1;
    return code;
}

int cuDeviceGetPCIBusId(char *text, int length, int device) {
    return snprintf(text, (size_t)length, "0000:%02x:00.0", device + 1) < length ? 0 : INVALID_VALUE;
}

/* An address range is memory from the start. So it needs no physical memory, and mapping does nothing. */
static struct { Address range, memory; } reservations[RESERVATIONS];

int cuMemAddressReserve(Address *range, size_t size, size_t alignment, Address wanted, unsigned long long flags) {
    (void)wanted, (void)flags;
    if (alignment < GRANULARITY) alignment = GRANULARITY;
    Address memory;
    int code = cuMemAlloc_v2(&memory, size + alignment);
    if (code) return code;
    *range = (memory + alignment - 1) / alignment * alignment;
    for (int i = 0; i < RESERVATIONS; i++) {
        if (__sync_bool_compare_and_swap(&reservations[i].memory, 0, memory)) {
            reservations[i].range = *range;
            return 0;
        }
    }
    fprintf(stderr, "driver.c: cuMemAddressReserve: more than %d ranges\n", RESERVATIONS);
    abort();
}

int cuMemAddressFree(Address range, size_t size) {
    (void)size;
    for (int i = 0; i < RESERVATIONS; i++) {
        if (reservations[i].range != range) continue;
        Address memory = reservations[i].memory;
        reservations[i].range = 0;
        reservations[i].memory = 0;
        return cuMemFree_v2(memory);
    }
    return INVALID_VALUE;
}

int cuMemGetAllocationGranularity(size_t *granularity, const void *properties, int option) {
    (void)properties, (void)option;
    *granularity = GRANULARITY;
    return 0;
}

int cuMemCreate(Address *handle, size_t size, const void *properties, unsigned long long flags) {
    (void)size, (void)properties, (void)flags;
    *handle = 1;
    return 0;
}

int cuMemRetainAllocationHandle(Address *handle, void *address) {
    (void)address;
    *handle = 1;
    return 0;
}

int cuMemRelease(Address handle) { return (void)handle, 0; }

int cuMemMap(Address range, size_t size, size_t offset, Address handle, unsigned long long flags) {
    return (void)range, (void)size, (void)offset, (void)handle, (void)flags, 0;
}

int cuMemUnmap(Address range, size_t size) { return (void)range, (void)size, 0; }

int cuMemSetAccess(Address range, size_t size, const void *access, size_t count) {
    return (void)range, (void)size, (void)access, (void)count, 0;
}
