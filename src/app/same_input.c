#include "same_input.h"

#include "user_error.h"

#include <stdlib.h>
#include <string.h>

static enum frx_status compare(const char *what, const char *here, const char *there) {
    if (strcmp(here, there) == 0) return FRX_OK;
    for (;;) { /* to the first line that differs */
        const size_t n = strcspn(here, "\n"), m = strcspn(there, "\n");
        if (n != m || strncmp(here, there, n) != 0 || !here[n] || !there[m])
            return frx_user_error("%s is not that of rank 0: '%.*s', there '%.*s'", what, (int)n, here,
                                  (int)m, there);
        here += n + 1;
        there += m + 1;
    }
}

enum frx_status frx_same_text(const struct frx_comm *comm, const char *what, const char *text) {
    if (comm->size == 1) return FRX_OK;
    int n_byte = (int)strlen(text) + 1;
    FRX_MPI(MPI_Bcast(&n_byte, 1, MPI_INT, 0, comm->mpi));
    char *there = calloc(1, (size_t)n_byte);
    enum frx_status status = there ? FRX_OK : FRX_FAIL(FRX_ERR_MEMORY, "out of memory for a comparison");
    status = frx_agree(comm, status);
    if (status == FRX_OK && there) {
        if (comm->rank == 0) memcpy(there, text, (size_t)n_byte);
        FRX_MPI(MPI_Bcast(there, n_byte, MPI_CHAR, 0, comm->mpi));
        status = frx_agree(comm, compare(what, text, there));
    }
    free(there);
    return status;
}

/* The system may lie anywhere. */
static void remove_path_of_system(char *config) {
    char *line = strncmp(config, "system:", 7) == 0 ? config : strstr(config, "\nsystem:");
    if (!line) return;
    const char *next = line + 1 + strcspn(line + 1, "\n");
    memmove(line, next, strlen(next) + 1);
}

enum frx_status frx_same_session(const struct frx_session *session) {
    const struct frx_comm *comm = session->comm;
    char *config = frx_config_text(&session->config), text[80];
    enum frx_status status = config ? FRX_OK : FRX_FAIL(FRX_ERR_MEMORY, "out of memory for a config");
    status = frx_agree(comm, status);
    if (status == FRX_OK && config) {
        remove_path_of_system(config);
        status = frx_same_text(comm, "the config", config);
    }
    free(config);
    FRX_TRY(status);
    snprintf(text, sizeof text, "SHA-256 %s", session->system.content_sha256);
    return frx_same_text(comm, "the system file", text);
}
