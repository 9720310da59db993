/* The table of config keys: one row holds everything that is known about a key. Private to
 * config*.c. */
#ifndef FRX_APP_CONFIG_SCHEMA_H
#define FRX_APP_CONFIG_SCHEMA_H

#include "config.h"

#include <stddef.h>

enum frx_key_kind {
    FRX_KEY_TEXT,    /* char *: anything but nothing */
    FRX_KEY_INTEGER, /* int64_t; `words`, if any, mean FRX_AUTO */
    FRX_KEY_REAL,    /* double */
    FRX_KEY_CHOICE,  /* int64_t: which of `words` */
    FRX_KEY_REALS    /* struct frx_reals: a list */
};

#define FRX_MAX_WORD 5

struct frx_key {
    const char *section; /* heading in the reference; NULL: as the row before */
    const char *name;    /* "ladder.t_min": t_min inside the mapping `ladder` */
    enum frx_key_kind kind;
    int required;
    int may_change;  /* when a run is continued */
    size_t offset;   /* in struct frx_config */
    double min, max; /* of a number or of each in a list, both allowed */
    const char *words[FRX_MAX_WORD];
    const char *unit;     /* "" for none */
    const char *fallback; /* default, as it would be written; NULL: none */
    const char *mlcg;     /* name of the same thing in mlcg; "" for none */
    const char *doc;
};

extern const struct frx_key frx_config_key[FRX_N_CONFIG_KEY];

/* Row of a key by its name, -1 if there is none. Local. */
int frx_key_index(const char *name);

/* Where the value of a key is. Local. */
void *frx_key_value(const struct frx_config *config, const struct frx_key *key);

/* Set the key in row k from a node, and note where it was given. Errors: FRX_ERR_ARGUMENT, FRX_ERR_MEMORY.
 * Local. */
FRX_CHECKED enum frx_status frx_key_set(struct frx_config *config, int k, const struct frx_yaml *node);

/* "a number of ps from 1e-06 to 0.1": what a key's value must be. Local. */
void frx_key_describe(const struct frx_key *key, char *text, size_t n_byte);

#endif
