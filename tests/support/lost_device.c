/* A Vulkan driver whose device is lost while it is waited for, for `faults.rs`: everything is the driver's in $LOST_DEVICE_DRIVER, but the wait
 * number $LOST_DEVICE_AFTER (from 1) ends with VK_ERROR_DEVICE_LOST, and so do all later ones of that device. Other devices go on. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define DEVICE_LOST (-4)

typedef void (*Function)(void);
typedef int (*WaitForFences)(void *, uint32_t, const void *, uint32_t, uint64_t);
typedef int (*WaitSemaphores)(void *, const void *, uint64_t);
typedef int (*CounterValue)(void *, void *, uint64_t *);
typedef int (*WaitIdle)(void *);
typedef Function (*Resolve)(void *, const char *);

static WaitForFences wait_for_fences;
static WaitSemaphores wait_semaphores;
static CounterValue counter_value;
static WaitIdle wait_idle;
static Resolve of_device;
static _Atomic(void *) lost;
static atomic_long waits;

static Function driver(const char *name) {
    static void *library;
    if (!library) {
        library = dlopen(getenv("LOST_DEVICE_DRIVER"), RTLD_NOW | RTLD_LOCAL);
    }
    return library ? (Function)dlsym(library, name) : NULL;
}

/* Whether `device` is lost, or is to be with this wait. What it has begun is done first: its memory is about to be freed. */
static int is_lost(void *device, int is_wait) {
    const char *after = getenv("LOST_DEVICE_AFTER");
    if (is_wait && !lost && after && atomic_fetch_add(&waits, 1) + 1 >= atol(after)) {
        wait_idle(device);
        lost = device;
    }
    return lost == device;
}

static int lose_fences(void *device, uint32_t count, const void *fences, uint32_t all, uint64_t timeout) {
    return is_lost(device, 1) ? DEVICE_LOST : wait_for_fences(device, count, fences, all, timeout);
}

static int lose_semaphores(void *device, const void *info, uint64_t timeout) {
    return is_lost(device, 1) ? DEVICE_LOST : wait_semaphores(device, info, timeout);
}

static int lose_counter(void *device, void *semaphore, uint64_t *value) {
    return is_lost(device, 0) ? DEVICE_LOST : counter_value(device, semaphore, value);
}

static Function device_function(void *device, const char *name) {
    Function function = of_device(device, name);
    if (!function) {
        return NULL;
    }
    wait_idle = (WaitIdle)of_device(device, "vkDeviceWaitIdle");
    if (!strcmp(name, "vkWaitForFences")) {
        wait_for_fences = (WaitForFences)function;
        return (Function)lose_fences;
    }
    if (!strcmp(name, "vkWaitSemaphores") || !strcmp(name, "vkWaitSemaphoresKHR")) {
        wait_semaphores = (WaitSemaphores)function;
        return (Function)lose_semaphores;
    }
    if (!strcmp(name, "vkGetSemaphoreCounterValue") || !strcmp(name, "vkGetSemaphoreCounterValueKHR")) {
        counter_value = (CounterValue)function;
        return (Function)lose_counter;
    }
    return function;
}

Function vk_icdGetInstanceProcAddr(void *instance, const char *name) {
    Resolve resolve = (Resolve)driver("vk_icdGetInstanceProcAddr");
    Function function = resolve ? resolve(instance, name) : NULL;
    if (function && !strcmp(name, "vkGetDeviceProcAddr")) {
        of_device = (Resolve)function;
        return (Function)device_function;
    }
    return function;
}

Function vk_icdGetPhysicalDeviceProcAddr(void *instance, const char *name) {
    Resolve resolve = (Resolve)driver("vk_icdGetPhysicalDeviceProcAddr");
    return resolve ? resolve(instance, name) : NULL;
}

int vk_icdNegotiateLoaderICDInterfaceVersion(uint32_t *version) {
    int (*negotiate)(uint32_t *) = (int (*)(uint32_t *))driver("vk_icdNegotiateLoaderICDInterfaceVersion");
    return negotiate ? negotiate(version) : DEVICE_LOST;
}
