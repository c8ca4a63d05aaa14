/* Put before the C library (LD_PRELOAD), it shows a wall clock that is RAFTY_WALL_CLOCK seconds ahead. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *shown)
{
    int result = syscall(SYS_clock_gettime, clock, shown);
    const char *ahead = getenv("RAFTY_WALL_CLOCK");
    if (!result && ahead && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        shown->tv_sec += atol(ahead);
    return result;
}
