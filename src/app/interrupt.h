/* SIGINT and SIGTERM as a question that the run loop asks between blocks. */
#ifndef FRX_APP_INTERRUPT_H
#define FRX_APP_INTERRUPT_H

/* From now on the first SIGINT or SIGTERM is noted; a second one ends the program at once. Local. */
void frx_interrupt_watch(void);

/* The signal that was noted, 0 if none. Local. */
int frx_interrupt_signal(void);

#endif
