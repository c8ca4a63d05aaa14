/* Put before the C library (LD_PRELOAD), it makes calls on files fail or take long, as the file named by RAFTY_FAULT
 * says: "CALL ERRNO MILLISECONDS", where CALL is one of those below, or "any". Without that file all is well. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int fails(int fd, const char *call)
{
    char line[64] = "", which[16] = "";
    int error = 0, ms = 0, saved = errno;
    struct stat about;
    const char *path = getenv("RAFTY_FAULT");
    /* Not what the member says of itself. */
    if (!path || fd <= STDERR_FILENO || fstat(fd, &about) || !(S_ISREG(about.st_mode) || S_ISDIR(about.st_mode)))
        return 0;
    int file = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (file >= 0) {
        if (syscall(SYS_read, file, line, sizeof line - 1) > 0)
            sscanf(line, "%15s %d %d", which, &error, &ms);
        close(file);
    }
    errno = saved;
    if (strcmp(which, call) && strcmp(which, "any"))
        return 0;
    if (ms) {
        struct timespec pause = { ms / 1000, ms % 1000 * 1000000L };
        nanosleep(&pause, NULL);
    }
    if (error)
        errno = error;
    return error;
}

int fsync(int fd) { return fails(fd, "fsync") ? -1 : syscall(SYS_fsync, fd); }
int fdatasync(int fd) { return fails(fd, "fdatasync") ? -1 : syscall(SYS_fdatasync, fd); }

ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t at)
{
    return fails(fd, "pwrite") ? -1 : syscall(SYS_pwrite64, fd, bytes, len, at);
}

ssize_t write(int fd, const void *bytes, size_t len)
{
    return fails(fd, "write") ? -1 : syscall(SYS_write, fd, bytes, len);
}
