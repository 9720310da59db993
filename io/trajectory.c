#include "trajectory.h"

#include "agree.h"
#include "run_directory.h"
#include "segment.h"
#include "segment_mixing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What goes with a configuration in a frame. */
struct label {
    double energy, kinetic;
    uint32_t identity;
    int32_t place;
};

struct frx_trajectory {
    MPI_Comm comm;
    int rank, n_local;
    struct frx_segment segment;
    int64_t n_frame, n_exchange; /* committed */
    int64_t skip[2];             /* rows still to come that an earlier segment has */

    /* on rank 0: for showing what is committed */
    char *directory, *generator;
    int n_segment, n_adapting;
    int64_t (*rows)[2]; /* [n_segment] the last is this segment's */

    enum frx_status failure; /* of an earlier call, the same on all ranks */
    char failure_message[FRX_MESSAGE_SIZE];

    /* frames not yet committed: at most `capacity` */
    int capacity, commit_interval, n_pending;
    double timestep;
    float *positions;     /* [n_local][capacity][n_bead][3]: what is contiguous in the file */
    struct label *labels; /* [capacity][n_local] */
    int64_t *step;        /* [capacity] */
    double *time;         /* [capacity] ps */
    uint8_t *adapting;    /* [capacity] */

    /* on rank 0: how many labels each rank sends, the labels as they come, and sorted */
    int *n_local_of_rank, *label_count, *label_offset; /* [ranks] */
    struct label *all_labels;                          /* [capacity * n_place] */
    double *energy, *kinetic;                          /* [capacity][n_place] */
    uint32_t *identity;                                /* [capacity][n_place] */
    uint8_t *seen;                                     /* [n_place] */

    /* exchange events not yet committed, rows of the columns; on rank 0 */
    int exchange_capacity, n_exchange_pending;
    void *exchange[FRX_N_COLUMN]; /* [exchange_capacity][width of the column] */
};

/* ---- create and destroy ---- */

static enum frx_status check_options(const struct frx_trajectory_options *options, int n_everywhere) {
    if (options->n_ladder < 1 || options->n_rung < 1 || options->n_ladder > INT32_MAX / options->n_rung)
        return FRX_FAIL(FRX_ERR_ARGUMENT, "%d ladders of %d rungs", options->n_ladder, options->n_rung);
    if (n_everywhere != options->n_ladder * options->n_rung)
        return FRX_FAIL(FRX_ERR_ARGUMENT,
                        "all ranks together have %d configurations, but there are %d places", n_everywhere,
                        options->n_ladder * options->n_rung);
    if (options->commit_interval < 0)
        return FRX_FAIL(FRX_ERR_ARGUMENT, "commit interval is %d frames", options->commit_interval);
    return FRX_OK;
}

static enum frx_status allocate_buffers(struct frx_trajectory *t) {
    const struct frx_segment_shape *shape = &t->segment.shape;
    const size_t capacity = (size_t)t->capacity, n_local = (size_t)t->n_local,
                 n_place = (size_t)shape->n_place;
    int complete = 1;
#define ALLOCATE(pointer, n) complete &= (t->pointer = calloc((n) + 1, sizeof *t->pointer)) != NULL
    ALLOCATE(positions, capacity * n_local * (size_t)shape->n_bead * 3);
    ALLOCATE(labels, capacity * n_local);
    ALLOCATE(rows, (size_t)t->n_segment);
    ALLOCATE(step, capacity);
    ALLOCATE(time, capacity);
    ALLOCATE(adapting, capacity);
    if (t->rank == 0) {
        int n_rank;
        MPI_Comm_size(t->comm, &n_rank);
        ALLOCATE(all_labels, capacity * n_place);
        ALLOCATE(n_local_of_rank, (size_t)n_rank);
        ALLOCATE(label_count, (size_t)n_rank);
        ALLOCATE(label_offset, (size_t)n_rank);
        ALLOCATE(seen, n_place);
        ALLOCATE(energy, capacity * n_place);
        ALLOCATE(kinetic, capacity * n_place);
        ALLOCATE(identity, capacity * n_place);
        for (int c = FRX_FIRST_EXCHANGE_COLUMN; c < FRX_N_COLUMN; c++) {
            const enum frx_column column = (enum frx_column)c;
            const size_t row = (size_t)(frx_column_width(shape, column) * frx_column_bytes(column));
            t->exchange[c] = calloc((size_t)t->exchange_capacity + 1, row ? row : 1);
            complete &= t->exchange[c] != NULL;
        }
    }
#undef ALLOCATE
    if (complete) return FRX_OK;
    return FRX_FAIL(FRX_ERR_MEMORY, "no memory for output buffers of %zu frames of %zu replicas", capacity,
                    n_local);
}

static void destroy(struct frx_trajectory *t) {
    for (int c = 0; c < FRX_N_COLUMN; c++) free(t->exchange[c]);
    free(t->directory);
    free(t->generator);
    free(t->rows);
    free(t->positions);
    free(t->labels);
    free(t->step);
    free(t->time);
    free(t->adapting);
    free(t->all_labels);
    free(t->n_local_of_rank);
    free(t->label_count);
    free(t->label_offset);
    free(t->seen);
    free(t->energy);
    free(t->kinetic);
    free(t->identity);
    MPI_Comm_free(&t->comm);
    free(t);
}

/* Rank 0 makes the files; then all ranks open the segment. */
static enum frx_status open_run(struct frx_trajectory *t, const char *directory,
                                const struct frx_trajectory_options *options) {
    const struct frx_segment_shape shape = t->segment.shape;
    enum frx_status status = allocate_buffers(t);
    if (status == FRX_OK && (!t->directory || !t->generator))
        status = FRX_FAIL(FRX_ERR_MEMORY, "no memory for a path");
    FRX_TRY(frx_io_agree(t->comm, status));
    MPI_Gather(&t->n_local, 1, MPI_INT, t->n_local_of_rank, 1, MPI_INT, 0, t->comm);
    if (options->n_previous > 0)
        memcpy(t->rows, options->previous, (size_t)options->n_previous * sizeof *t->rows);
    if (t->rank == 0) status = frx_run_create(directory, &shape, options, (const int64_t(*)[2])t->rows);
    FRX_TRY(frx_io_agree(t->comm, status));
    char name[32];
    snprintf(name, sizeof name, FRX_SEGMENT_FORMAT, options->n_previous + 1);
    char *path = frx_run_path(directory, name);
    if (!path) status = FRX_FAIL(FRX_ERR_MEMORY, "no memory for a path");
    status = frx_io_agree(t->comm, status);
    if (status == FRX_OK)
        status = frx_io_agree(t->comm, frx_segment_open(t->comm, path, &shape, &t->segment));
    free(path);
    return status;
}

enum frx_status frx_trajectory_create(MPI_Comm comm, const char *directory,
                                      const struct frx_trajectory_options *options,
                                      struct frx_trajectory **trajectory) {
    int n_everywhere;
    MPI_Allreduce(&options->n_local, &n_everywhere, 1, MPI_INT, MPI_SUM, comm);
    struct frx_trajectory *t = calloc(1, sizeof *t);
    enum frx_status status = check_options(options, n_everywhere);
    if (!t) status = FRX_FAIL(FRX_ERR_MEMORY, "no memory for a trajectory");
    status = frx_io_agree(comm, status);
    if (!t || status != FRX_OK) {
        free(t);
        return status;
    }
    MPI_Comm_dup(comm, &t->comm);
    MPI_Comm_rank(comm, &t->rank);
    t->n_local = options->n_local;
    t->timestep = options->timestep;
    t->commit_interval = options->commit_interval;
    t->n_segment = options->n_previous + 1;
    t->n_adapting = options->adapting ? t->n_segment : options->n_adapting;
    memcpy(t->skip, options->skip, sizeof t->skip);
    t->directory = strdup(directory);
    t->generator = strdup(options->generator);
    t->segment.shape = frx_segment_shape(options->n_ladder, options->n_rung, options->system->n_bead);
    t->segment.shape.adapting = options->adapting != 0;
    t->capacity = t->segment.shape.frame_chunk;
    t->exchange_capacity = t->segment.shape.exchange_chunk;
    status = open_run(t, directory, options);
    if (status == FRX_OK) {
        *trajectory = t;
        return FRX_OK;
    }
    char message[FRX_MESSAGE_SIZE];
    snprintf(message, sizeof message, "%s", frx_error_message());
    (void)!frx_segment_close(&t->segment);
    destroy(t);
    frx_error_set(message);
    return status;
}

/* ---- append: copy into the buffers ---- */

/* Frames after which the buffer is committed: at the end of a chunk, so that chunks are written in one piece.
 */
static int frames_until_commit(const struct frx_trajectory *t) {
    const int n = t->capacity - (int)(t->n_frame % t->capacity);
    return t->commit_interval > 0 && t->commit_interval < n ? t->commit_interval : n;
}

enum frx_status frx_trajectory_append_frame(struct frx_trajectory *t, const struct frx_frame *frame) {
    if (t->failure != FRX_OK) return frx_trajectory_commit(t);
    if (t->skip[0] > 0) {
        t->skip[0]--;
        return FRX_OK;
    }
    const int f = t->n_pending++;
    t->step[f] = frame->step;
    t->time[f] = (double)frame->step * t->timestep;
    t->adapting[f] = frame->adapting != 0;
    const size_t n_coordinate = (size_t)t->segment.shape.n_bead * 3;
    for (int r = 0; r < t->n_local; r++) {
        t->labels[(size_t)f * t->n_local + r] = (struct label){.energy = frame->energy[r],
                                                               .kinetic = frame->kinetic[r],
                                                               .identity = frame->identity[r],
                                                               .place = frame->place[r]};
        memcpy(t->positions + ((size_t)r * t->capacity + f) * n_coordinate,
               frame->positions + (size_t)r * n_coordinate, n_coordinate * sizeof(float));
    }
    return t->n_pending >= frames_until_commit(t) ? frx_trajectory_commit(t) : FRX_OK;
}

static void keep(struct frx_trajectory *t, enum frx_column column, const void *values) {
    const size_t row = (size_t)(frx_column_width(&t->segment.shape, column) * frx_column_bytes(column));
    if (row > 0) memcpy((char *)t->exchange[column] + row * t->n_exchange_pending, values, row);
}

enum frx_status frx_trajectory_append_exchange(struct frx_trajectory *t,
                                               const struct frx_exchange_record *record) {
    if (t->failure != FRX_OK) return frx_trajectory_commit(t);
    if (t->skip[1] > 0) {
        t->skip[1]--;
        return FRX_OK;
    }
    if (t->rank == 0) {
        const uint8_t adapting = record->adapting != 0;
        keep(t, FRX_EXCHANGE_EVENT, &record->event);
        keep(t, FRX_EXCHANGE_STEP, &record->step);
        keep(t, FRX_EXCHANGE_BETA, record->beta);
        keep(t, FRX_EXCHANGE_ENERGY, record->energy);
        keep(t, FRX_EXCHANGE_IDENTITY, record->identity);
        keep(t, FRX_EXCHANGE_FROM, record->from);
        keep(t, FRX_EXCHANGE_PROBABILITY, record->probability);
        keep(t, FRX_EXCHANGE_ATTEMPTED, record->n_attempt);
        keep(t, FRX_EXCHANGE_ACCEPTED, record->n_accept);
        keep(t, FRX_EXCHANGE_ADAPTING, &adapting);
    }
    t->n_exchange_pending++;
    return t->n_exchange_pending == t->exchange_capacity ? frx_trajectory_commit(t) : FRX_OK;
}

/* ---- commit ---- */

/* Bring the labels of the pending frames to rank 0, which gets them rank by rank as [n_pending][n_local]. */
static void gather_labels(struct frx_trajectory *t) {
    MPI_Datatype label_type;
    MPI_Type_contiguous((int)sizeof(struct label), MPI_BYTE, &label_type);
    MPI_Type_commit(&label_type);
    if (t->rank == 0) {
        int n_rank, offset = 0;
        MPI_Comm_size(t->comm, &n_rank);
        for (int q = 0; q < n_rank; q++) {
            t->label_count[q] = t->n_pending * t->n_local_of_rank[q];
            t->label_offset[q] = offset;
            offset += t->label_count[q];
        }
    }
    MPI_Gatherv(t->labels, t->n_pending * t->n_local, label_type, t->all_labels, t->label_count,
                t->label_offset, label_type, 0, t->comm);
    MPI_Type_free(&label_type);
}

/* Sort one frame's labels by place, each of which must be there once. */
static enum frx_status sort_labels(struct frx_trajectory *t, int f) {
    const int n_place = t->segment.shape.n_place;
    double *energy = t->energy + (size_t)f * n_place, *kinetic = t->kinetic + (size_t)f * n_place;
    uint32_t *identity = t->identity + (size_t)f * n_place;
    memset(t->seen, 0, (size_t)n_place);
    int n_rank;
    MPI_Comm_size(t->comm, &n_rank);
    for (int q = 0; q < n_rank; q++) {
        const struct label *labels = t->all_labels + t->label_offset[q] + (size_t)f * t->n_local_of_rank[q];
        for (int r = 0; r < t->n_local_of_rank[q]; r++) {
            const int p = labels[r].place;
            if (p < 0 || p >= n_place || t->seen[p]++)
                return FRX_FAIL(FRX_ERR_ARGUMENT, "frame at step %lld: place %d of %d %s",
                                (long long)t->step[f], p, n_place,
                                p < 0 || p >= n_place ? "does not exist" : "is taken twice");
            energy[p] = labels[r].energy;
            kinetic[p] = labels[r].kinetic;
            identity[p] = labels[r].identity;
        }
    }
    return FRX_OK;
}

/* This rank's configurations: one piece for as long as a configuration stays at its place. */
static enum frx_status write_positions(struct frx_trajectory *t) {
    const size_t n_coordinate = (size_t)t->segment.shape.n_bead * 3;
    for (int r = 0; r < t->n_local; r++)
        for (int f = 0, end; f < t->n_pending; f = end) {
            const struct label *label = t->labels + r;
            const int place = label[(size_t)f * t->n_local].place;
            for (end = f + 1; end < t->n_pending && label[(size_t)end * t->n_local].place == place;) end++;
            const float *piece = t->positions + ((size_t)r * t->capacity + f) * n_coordinate;
            FRX_TRY(frx_segment_write_positions(&t->segment, t->n_frame + f, end - f, place, piece));
        }
    return FRX_OK;
}

/* Everything else, by rank 0. */
static enum frx_status write_tables(struct frx_trajectory *t) {
    struct frx_segment *segment = &t->segment;
    const void *frames[FRX_FIRST_EXCHANGE_COLUMN] = {
        [FRX_FRAME_STEP] = t->step,         [FRX_FRAME_TIME] = t->time,
        [FRX_FRAME_ENERGY] = t->energy,     [FRX_FRAME_KINETIC] = t->kinetic,
        [FRX_FRAME_IDENTITY] = t->identity, [FRX_FRAME_ADAPTING] = t->adapting,
    };
    for (int c = FRX_FRAME_STEP; c < FRX_FIRST_EXCHANGE_COLUMN && t->n_pending > 0; c++)
        FRX_TRY(frx_segment_write_rows(segment, (enum frx_column)c, t->n_frame, t->n_pending, frames[c]));
    for (int c = FRX_FIRST_EXCHANGE_COLUMN; c < FRX_N_COLUMN && t->n_exchange_pending > 0; c++)
        FRX_TRY(frx_segment_write_rows(segment, (enum frx_column)c, t->n_exchange, t->n_exchange_pending,
                                       t->exchange[c]));
    return FRX_OK;
}

static enum frx_status write_and_flush(struct frx_trajectory *t) {
    enum frx_status status = write_positions(t);
    if (status == FRX_OK && t->rank == 0) status = write_tables(t);
    FRX_TRY(frx_io_agree(t->comm, status));
    return frx_io_agree(t->comm, frx_segment_flush(&t->segment));
}

/* Rank 0: count rows as committed, first for all readers of the run, then in the segment itself. */
static enum frx_status count_committed(struct frx_trajectory *t, int64_t n_frame, int64_t n_exchange) {
    int64_t *present = t->rows[t->n_segment - 1];
    present[0] = n_frame;
    present[1] = n_exchange;
    FRX_TRY(frx_run_show(t->directory, &t->segment.shape, t->generator, t->n_segment, t->n_adapting,
                         (const int64_t(*)[2])t->rows));
    return frx_segment_write_committed(&t->segment, n_frame, n_exchange);
}

/* Each step that can fail on some ranks ends in agreement, so that all take part in the next one or none. */
static enum frx_status commit(struct frx_trajectory *t) {
    const int64_t n_frame = t->n_frame + t->n_pending, n_exchange = t->n_exchange + t->n_exchange_pending;
    enum frx_status status = FRX_OK;
    gather_labels(t);
    if (t->rank == 0) {
        for (int f = 0; f < t->n_pending && status == FRX_OK; f++) status = sort_labels(t, f);
        if (status == FRX_OK) status = frx_segment_reserve(&t->segment, n_frame, n_exchange);
    }
    FRX_TRY(frx_io_agree(t->comm, status));
    FRX_TRY(frx_io_agree(t->comm, frx_segment_resize(&t->segment, n_frame, n_exchange)));
    status = write_and_flush(t);
    if (status != FRX_OK) { /* show nothing that is not written */
        (void)!frx_segment_resize(&t->segment, t->n_frame, t->n_exchange);
        return status;
    }
    if (t->rank == 0) status = count_committed(t, n_frame, n_exchange);
    FRX_TRY(frx_io_agree(t->comm, status));
    t->n_frame = n_frame;
    t->n_exchange = n_exchange;
    t->n_pending = t->n_exchange_pending = 0;
    return FRX_OK;
}

enum frx_status frx_trajectory_commit(struct frx_trajectory *t) {
    if (t->failure != FRX_OK) {
        frx_error_set(t->failure_message);
        return t->failure;
    }
    if (t->n_pending == 0 && t->n_exchange_pending == 0) return FRX_OK;
    t->failure = commit(t);
    if (t->failure != FRX_OK)
        snprintf(t->failure_message, sizeof t->failure_message, "%s", frx_error_message());
    return t->failure;
}

enum frx_status frx_trajectory_write_mixing(struct frx_trajectory *t,
                                            const struct frx_mixing_record *record) {
    if (t->failure != FRX_OK) return frx_trajectory_commit(t);
    const int writes = t->rank == 0 && t->segment.shape.n_rung > 1;
    return frx_io_agree(t->comm, writes ? frx_segment_mixing_write(&t->segment, record) : FRX_OK);
}

enum frx_status frx_trajectory_close(struct frx_trajectory *t) {
    if (!t) return FRX_OK;
    enum frx_status status = frx_trajectory_commit(t);
    char message[FRX_MESSAGE_SIZE];
    snprintf(message, sizeof message, "%s", frx_error_message());
    const enum frx_status closed = frx_io_agree(t->comm, frx_segment_close(&t->segment));
    if (status != FRX_OK) frx_error_set(message);
    destroy(t);
    return status != FRX_OK ? status : closed;
}

void frx_trajectory_committed(const struct frx_trajectory *t, int64_t *n_frame, int64_t *n_exchange) {
    *n_frame = t->n_frame;
    *n_exchange = t->n_exchange;
}

void frx_trajectory_plan(const struct frx_trajectory_options *options, int64_t n_frame, int64_t n_exchange,
                         int64_t *file_bytes, int64_t *buffer_bytes) {
    const int n_bead = options->system->n_bead;
    const struct frx_segment_shape shape = frx_segment_shape(options->n_ladder, options->n_rung, n_bead);
    *file_bytes = FRX_SEGMENT_SKELETON + frx_segment_size(&shape, n_frame, n_exchange);
    *buffer_bytes = shape.frame_chunk * (n_bead * 3 * (int64_t)sizeof(float) + (int64_t)sizeof(struct label));
}
