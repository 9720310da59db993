#include "clock.h"

#include <string.h>

void frx_clock_start(struct frx_clock *clock) {
    memset(clock, 0, sizeof *clock);
    clock->now = FRX_ACTIVITY_OTHER;
    clock->since = MPI_Wtime();
}

void frx_clock_switch(struct frx_clock *clock, enum frx_activity activity) {
    const double now = MPI_Wtime();
    clock->seconds[clock->now] += now - clock->since;
    clock->now = activity;
    clock->since = now;
}

void frx_clock_move(struct frx_clock *clock, enum frx_activity from, enum frx_activity to, double seconds) {
    clock->seconds[from] -= seconds;
    clock->seconds[to] += seconds;
}

enum frx_status frx_clock_stop(struct frx_clock *clock, const struct frx_comm *comm) {
    frx_clock_switch(clock, FRX_ACTIVITY_OTHER);
    FRX_MPI(MPI_Allreduce(MPI_IN_PLACE, clock->seconds, FRX_N_ACTIVITY, MPI_DOUBLE, MPI_SUM, comm->mpi));
    for (int a = 0; a < FRX_N_ACTIVITY; a++) clock->seconds[a] /= comm->size;
    return FRX_OK;
}

double frx_clock_share(const struct frx_clock *clock, enum frx_activity activity) {
    double all = 0;
    for (int a = 0; a < FRX_N_ACTIVITY; a++) all += clock->seconds[a];
    return all > 0 ? clock->seconds[activity] / all : 0;
}
