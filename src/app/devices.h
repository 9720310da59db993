/* Which GPU each rank uses.
 *
 * What a rank can see is up to CUDA_VISIBLE_DEVICES and to the binding of the batch system: all GPUs of the
 * node, some, or one. So ranks of a node compare what they see by UUID and take one GPU each; ranks that see
 * the same GPUs take them in the order of their local ranks. Two ranks use the same GPU only if they may. */
#ifndef FRX_APP_DEVICES_H
#define FRX_APP_DEVICES_H

#include "comm.h"
#include "config.h"

#define FRX_MAX_VISIBLE 32 /* GPUs that a rank looks at */
#define FRX_GPU_MODEL   64 /* bytes of a model's name */

struct frx_gpu_id {
    unsigned char uuid[16];
};

/* The GPUs that one rank sees, in its order. */
struct frx_visible {
    int n;
    struct frx_gpu_id gpu[FRX_MAX_VISIBLE];
};

/* Give each of the n_rank ranks of a node a GPU: device [n_rank], index among those that the rank sees. A GPU
 * is used twice only if may_share and there is no other way; then the least used one. Errors: FRX_ERR_DEVICE
 * if a rank sees none, if there are more ranks than GPUs, or if ranks see nothing but the same GPU;
 * FRX_ERR_MEMORY. Local, a pure function. */
FRX_CHECKED enum frx_status frx_devices_place(int n_rank, const struct frx_visible *visible, int may_share,
                                              int *device);

/* What the ranks of a run have. */
struct frx_devices {
    int device;     /* of this rank; 0 where there is none */
    int n_gpu;      /* of all ranks together; 0: no rank sees one */
    int is_shared;  /* some GPU is used by several ranks */
    int n_model;    /* different models */
    char text[256]; /* "4 x NVIDIA H100 80GB HBM3" */
};

/* A rank's GPU, as the other ranks hear of it. */
struct frx_gpu_choice {
    char model[FRX_GPU_MODEL];
    int32_t is_first; /* no lower rank of its node uses the same GPU */
};

/* Count GPUs and models of all ranks, choice [n_rank], and write them down: all of *devices but `device`.
 * Local, a pure function. */
void frx_devices_summarise(int n_rank, const struct frx_gpu_choice *choice, struct frx_devices *devices);

/* Choose for all ranks, or find that there are no GPUs at all. Errors: those of frx_devices_place;
 * FRX_ERR_DEVICE if some ranks see GPUs and others do not; agreed on. Collective. */
FRX_CHECKED enum frx_status frx_devices_choose(const struct frx_comm *comm, int may_share,
                                               struct frx_devices *devices);

#endif
