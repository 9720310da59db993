/* SIGINT, SIGTERM and SIGUSR1 as a question that the run loop asks between blocks. SIGUSR1 is what mpirun
 * passes on to its ranks and then lets them finish; after the other two it kills them within seconds. */
#ifndef FRX_APP_INTERRUPT_H
#define FRX_APP_INTERRUPT_H

/* From now on these signals are noted; a second SIGINT or SIGTERM ends the program at once. Local. */
void frx_interrupt_watch(void);

/* The signal that was noted, 0 if none. Local. */
int frx_interrupt_signal(void);

#endif
