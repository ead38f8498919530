/* A disk without room, preloaded into a process by `faults.rs`: while the file $FULL_DISK_WHEN exists, writes to files below the folder $FULL_DISK
 * fail with ENOSPC. The first of them still takes half of its bytes, as a disk does with its last blocks. (A limit on the size of files would
 * also bind the driver, whose memory may be an anonymous file, and a small disk takes the rights of a superuser.) */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

ssize_t write(int file, const void *bytes, size_t count) {
    ssize_t (*next)(int, const void *, size_t) = (ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    static atomic_int refused;
    const char *folder = getenv("FULL_DISK"), *when = getenv("FULL_DISK_WHEN");
    char link[64], path[4096];
    if (!folder || !when || access(when, F_OK) != 0) {
        return next(file, bytes, count);
    }
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < (ssize_t)strlen(folder) || strncmp(path, folder, strlen(folder)) != 0) {
        return next(file, bytes, count);
    }
    if (count > 1 && atomic_fetch_add(&refused, 1) == 0) {
        return next(file, bytes, count / 2);
    }
    errno = ENOSPC;
    return -1;
}
