/* Ranks must do the same thing with the same input: a job in which a node has another version of the program,
 * of the config or of the system file would compute nonsense or wait for ever. */
#ifndef FRX_APP_SAME_INPUT_H
#define FRX_APP_SAME_INPUT_H

#include "session.h"

/* Compare lines of text with those of rank 0. Errors: FRX_ERR_ARGUMENT, naming the lowest rank where `what`
 * differs and the first line that does; agreed on. Collective. */
FRX_CHECKED enum frx_status frx_same_text(const struct frx_comm *comm, const char *what, const char *text);

/* Compare what a session was read from: config and system (its content, wherever it lies). Errors: those of
 * frx_same_text, FRX_ERR_MEMORY; agreed on. Collective. */
FRX_CHECKED enum frx_status frx_same_session(const struct frx_session *session);

#endif
