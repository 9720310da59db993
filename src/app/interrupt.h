/* SIGINT, SIGTERM and SIGUSR1 as a question that the run loop asks a few times per second. SIGUSR1 is what
 * mpirun passes on to its ranks and then lets them finish; after the other two it kills them within seconds.
 */
#ifndef FRX_APP_INTERRUPT_H
#define FRX_APP_INTERRUPT_H

/* timeout(1), job scripts and launchers may deliver one request twice: signals that follow the first one so
 * quickly are the same one. */
#define FRX_INTERRUPT_ECHO_MS 200

/* From now on these signals are noted; a second one, of any of the three, ends the program at once. Local. */
void frx_interrupt_watch(void);

/* The signal that was noted first, 0 if none. Local. */
int frx_interrupt_signal(void);

#endif
