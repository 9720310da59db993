#include "devices.h"

#include <stdlib.h>
#include <string.h>
#ifdef FRX_WITH_CUDA
#include <cuda_runtime_api.h>
#endif

/* ---- placement ---- */

/* Ranks and GPUs of a node; GPUs are numbered as they are first seen. */
struct node {
    int n_rank, n_gpu;
    const struct frx_visible *visible;
    int *number;  /* [n_rank][FRX_MAX_VISIBLE] of each GPU that a rank sees */
    int *owner;   /* [n_gpu] the rank that has it, or -1 */
    int *visited; /* [n_gpu] in the present search */
    int *n_user;  /* [n_gpu] */
};

static int number_of(const struct node *node, int rank, int device) {
    return node->number[rank * FRX_MAX_VISIBLE + device];
}

static void number_gpus(struct node *node) {
    for (int r = 0; r < node->n_rank; r++)
        for (int d = 0; d < node->visible[r].n; d++) {
            int known = -1;
            for (int q = 0; q <= r && known < 0; q++)
                for (int e = 0; e < (q < r ? node->visible[q].n : d) && known < 0; e++)
                    if (memcmp(&node->visible[q].gpu[e], &node->visible[r].gpu[d],
                               sizeof(struct frx_gpu_id)) == 0)
                        known = number_of(node, q, e);
            node->number[r * FRX_MAX_VISIBLE + d] = known >= 0 ? known : node->n_gpu++;
        }
}

/* Give `rank` a free GPU, or one whose owner can have another. Kuhn's augmenting paths. */
static int find_gpu(struct node *node, int rank, int *device) {
    const int n = node->visible[rank].n;
    for (int pass = 0; pass < 2; pass++)
        for (int d = 0; d < n; d++) {
            const int gpu = number_of(node, rank, d), owner = node->owner[gpu];
            if (pass == 0 ? owner >= 0 : node->visited[gpu]) continue;
            node->visited[gpu] = 1;
            if (owner >= 0 && !find_gpu(node, owner, device)) continue;
            node->owner[gpu] = rank;
            device[rank] = d;
            return 1;
        }
    return 0;
}

static void share_gpu(const struct node *node, int rank, int *device) {
    device[rank] = 0;
    for (int d = 1; d < node->visible[rank].n; d++)
        if (node->n_user[number_of(node, rank, d)] < node->n_user[number_of(node, rank, device[rank])])
            device[rank] = d;
    node->n_user[number_of(node, rank, device[rank])]++;
}

static enum frx_status too_many_ranks(const struct node *node, int rank) {
    if (node->n_rank > node->n_gpu)
        return FRX_FAIL(FRX_ERR_DEVICE,
                        "%d ranks for %d GPU%s on a node: start at most %d there, or let them share with "
                        "share_gpus=yes",
                        node->n_rank, node->n_gpu, node->n_gpu == 1 ? "" : "s", node->n_gpu);
    return FRX_FAIL(
        FRX_ERR_DEVICE,
        "local rank %d of a node sees only GPUs that other ranks use, although the node has %d for "
        "%d ranks: look at CUDA_VISIBLE_DEVICES and the batch system's binding, or let ranks share "
        "with share_gpus=yes",
        rank, node->n_gpu, node->n_rank);
}

static enum frx_status place(struct node *node, int may_share, int *device) {
    for (int r = 0; r < node->n_rank; r++)
        if (node->visible[r].n < 1)
            return FRX_FAIL(FRX_ERR_DEVICE, "local rank %d of a node sees no GPU, others do", r);
    number_gpus(node);
    for (int gpu = 0; gpu < node->n_gpu; gpu++) node->owner[gpu] = -1;
    for (int r = 0; r < node->n_rank; r++) {
        memset(node->visited, 0, (size_t)node->n_gpu * sizeof *node->visited);
        device[r] = -1;
        if (!find_gpu(node, r, device) && !may_share) return too_many_ranks(node, r);
    }
    for (int r = 0; r < node->n_rank; r++)
        if (device[r] >= 0) node->n_user[number_of(node, r, device[r])]++;
    for (int r = 0; r < node->n_rank; r++)
        if (device[r] < 0) share_gpu(node, r, device);
    return FRX_OK;
}

enum frx_status frx_devices_place(int n_rank, const struct frx_visible *visible, int may_share, int *device) {
    const size_t n = (size_t)n_rank * FRX_MAX_VISIBLE;
    struct node node = {.n_rank = n_rank, .visible = visible, .number = calloc(4 * n, sizeof(int))};
    if (!node.number) return FRX_FAIL(FRX_ERR_MEMORY, "no memory for the GPUs of %d ranks", n_rank);
    node.owner = node.number + n;
    node.visited = node.owner + n;
    node.n_user = node.visited + n;
    const enum frx_status status = place(&node, may_share, device);
    free(node.number);
    return status;
}

/* ---- what this machine has ---- */

#ifdef FRX_WITH_CUDA
static void look(struct frx_visible *visible) {
    struct cudaDeviceProp properties;
    int n = 0;
    if (cudaGetDeviceCount(&n) != cudaSuccess) n = 0;
    (void)cudaGetLastError();
    for (int d = 0; d < n && d < FRX_MAX_VISIBLE; d++)
        if (cudaGetDeviceProperties(&properties, d) == cudaSuccess)
            memcpy(&visible->gpu[visible->n++], &properties.uuid, sizeof(struct frx_gpu_id));
}

static void name_model(int device, char *model) {
    struct cudaDeviceProp properties;
    if (cudaGetDeviceProperties(&properties, device) == cudaSuccess)
        snprintf(model, FRX_GPU_MODEL, "%.*s", FRX_GPU_MODEL - 1, properties.name);
}
#else
static void look(struct frx_visible *visible) {
    (void)visible;
}

static void name_model(int device, char *model) {
    (void)device, (void)model;
}
#endif

/* ---- all ranks ---- */

/* Local on each node after one gather there. */
static enum frx_status place_on_node(const struct frx_comm *comm, MPI_Comm host, int may_share,
                                     const struct frx_visible *mine, int *device,
                                     struct frx_gpu_choice *choice) {
    const size_t n = (size_t)comm->local_size;
    struct frx_visible *visible = malloc(n * sizeof *visible);
    int *devices = calloc(n, sizeof *devices);
    int complete = visible && devices;
    MPI_Allreduce(MPI_IN_PLACE, &complete, 1, MPI_INT, MPI_MIN, host);
    enum frx_status status = FRX_OK;
    if (!complete || !visible || !devices) {
        status = FRX_FAIL(FRX_ERR_MEMORY, "no memory for the GPUs of %d ranks", comm->local_size);
    } else {
        MPI_Allgather(mine, sizeof *mine, MPI_BYTE, visible, sizeof *mine, MPI_BYTE, host);
        status = frx_devices_place(comm->local_size, visible, may_share, devices);
    }
    if (status == FRX_OK && visible && devices) {
        *device = devices[comm->local_rank];
        choice->is_first = 1;
        for (int r = 0; r < comm->local_rank; r++)
            if (memcmp(&visible[r].gpu[devices[r]], &mine->gpu[*device], sizeof *mine->gpu) == 0)
                choice->is_first = 0;
        name_model(*device, choice->model);
    }
    free(visible);
    free(devices);
    return status;
}

void frx_devices_summarise(int n_rank, const struct frx_gpu_choice *choice, struct frx_devices *devices) {
    size_t length = 0;
    devices->n_gpu = devices->n_model = 0;
    devices->text[0] = '\0';
    for (int p = 0; p < n_rank; p++) {
        devices->n_gpu += choice[p].is_first != 0;
        int n = 0, is_new = 1;
        for (int q = 0; q < n_rank; q++) {
            const int same = strcmp(choice[p].model, choice[q].model) == 0;
            if (q < p && same) is_new = 0;
            n += same && choice[q].is_first;
        }
        if (!is_new) continue;
        if (length < sizeof devices->text)
            length += (size_t)snprintf(devices->text + length, sizeof devices->text - length, "%s%d x %s",
                                       devices->n_model ? ", " : "", n, choice[p].model);
        devices->n_model++;
    }
    devices->is_shared = devices->n_gpu < n_rank;
}

static enum frx_status compare_models(const struct frx_comm *comm, const struct frx_gpu_choice *mine,
                                      struct frx_devices *devices) {
    struct frx_gpu_choice *all = malloc((size_t)comm->size * sizeof *all);
    const enum frx_status status =
        frx_agree(comm, all ? FRX_OK : FRX_FAIL(FRX_ERR_MEMORY, "no memory for %d ranks", comm->size));
    if (status == FRX_OK && all) {
        MPI_Allgather(mine, sizeof *mine, MPI_BYTE, all, sizeof *all, MPI_BYTE, comm->mpi);
        frx_devices_summarise(comm->size, all, devices);
    }
    free(all);
    return status;
}

enum frx_status frx_devices_choose(const struct frx_comm *comm, int may_share, struct frx_devices *devices) {
    struct frx_visible mine = {0};
    struct frx_gpu_choice choice = {0};
    memset(devices, 0, sizeof *devices);
    look(&mine);
    int most = mine.n;
    FRX_MPI(MPI_Allreduce(MPI_IN_PLACE, &most, 1, MPI_INT, MPI_MAX, comm->mpi));
    if (most == 0) return FRX_OK;
    FRX_TRY(frx_agree(comm, mine.n > 0 ? FRX_OK
                                       : FRX_FAIL(FRX_ERR_DEVICE, "this rank sees no GPU, but others do; the "
                                                                  "engine cpu needs none")));
    MPI_Comm host;
    FRX_MPI(MPI_Comm_split_type(comm->mpi, MPI_COMM_TYPE_SHARED, comm->rank, MPI_INFO_NULL, &host));
    const enum frx_status status = place_on_node(comm, host, may_share, &mine, &devices->device, &choice);
    FRX_MPI(MPI_Comm_free(&host));
    FRX_TRY(frx_agree(comm, status));
    return compare_models(comm, &choice, devices);
}
