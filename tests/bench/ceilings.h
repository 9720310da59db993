/* What this GPU can do at best, measured: the ceilings beside which stages are put. */
#ifndef FRX_TESTS_CEILINGS_H
#define FRX_TESTS_CEILINGS_H

#ifdef __cplusplus
extern "C" {
#endif

struct frx_ceilings {
    double copy;   /* bytes/s read plus written, device memory to device memory, 1 GiB */
    double cache;  /* bytes/s read from 16 MiB in the L2 cache, 16 bytes per lane */
    double shared; /* bytes/s read from shared memory by all multiprocessors, 16 bytes per lane */
    double tensor; /* flop/s of mma.m16n8k16, halves in, float out */
};

/* Takes about a second. Ends the program when something fails. */
struct frx_ceilings frx_ceilings_measure(void);

#ifdef __cplusplus
}
#endif
#endif
