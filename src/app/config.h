/* The config of a run: YAML in a file, `key=value` on the command line on top of it.
 *
 * Every key is one row of the table in config_schema.c (type, range, unit, default, documentation, the name
 * mlcg has for it); that table reads, checks and documents them. Errors show file, line, column and a caret.
 */
#ifndef FRX_APP_CONFIG_H
#define FRX_APP_CONFIG_H

#include "status.h"
#include "yaml_tree.h"

#include <stdint.h>
#include <stdio.h>

#define FRX_N_CONFIG_KEY 26
#define FRX_AUTO         (-1)     /* value of an integer that is left to the program */
#define FRX_MAX_RUNG     4096     /* temperatures of a ladder */
#define FRX_MAX_REPLICA  1000000  /* temperatures times ladders */
#define FRX_MAX_KELVIN   100000.0 /* where a temperature must be a mistake */

/* Order of the words in the schema. */
enum frx_config_engine { FRX_CONFIG_ENGINE_AUTO, FRX_CONFIG_ENGINE_CPU, FRX_CONFIG_ENGINE_CUDA };
enum frx_config_precision {
    FRX_CONFIG_PRECISION_AUTO,
    FRX_CONFIG_PRECISION_DOUBLE,
    FRX_CONFIG_PRECISION_SINGLE,
    FRX_CONFIG_PRECISION_MIXED
};
enum frx_config_transport { FRX_CONFIG_TRANSPORT_AUTO, FRX_CONFIG_TRANSPORT_MPI, FRX_CONFIG_TRANSPORT_NCCL };
/* `exchange_scheme` and `move` are in the order of enum frx_scheme and enum frx_move. */

struct frx_reals {
    int n;
    double *value; /* [n] */
};

struct frx_config {
    char *system, *output;
    int64_t engine, precision, n_threads, share_gpus, transport;
    struct frx_reals temperatures; /* K, ascending; after loading the rungs, however they were given */
    struct frx_reals betas;        /* mol/kcal, as given */
    double t_min, t_max;           /* K */
    int64_t n_rungs, n_ladders;
    int64_t adapt_ladder; /* rounds; 0: temperatures stay as they are */
    int64_t start;        /* index of a starting structure, or FRX_AUTO: replicas take them in turn */
    double dt, friction;
    int64_t n_timesteps, seed;
    int64_t exchange_interval, scheme, move;
    int64_t save_interval, log_interval;
    double checkpoint_interval; /* minutes */
    double watchdog;            /* s; 0: none */

    struct frx_mark given[FRX_N_CONFIG_KEY]; /* where each key's value stands; source NULL: default */
    struct frx_source file, *argument;       /* [n_argument] */
    int n_argument;
};

/* Read `path`, lay the n arguments `key=value` over it, fill in defaults and check what keys mean together.
 * Relative paths in the file are relative to its folder, those in arguments to the working directory. Later
 * arguments win; an argument that gives temperatures replaces the file's way of giving them. *config is owned
 * by the caller, also after a failure. Errors: FRX_ERR_IO, FRX_ERR_ARGUMENT with file, line, column, caret
 * and what would be right; FRX_ERR_MEMORY. Local. */
FRX_CHECKED enum frx_status frx_config_load(const char *path, int n, char *const *arguments,
                                            struct frx_config *config);

void frx_config_clear(struct frx_config *config);

/* Write the whole config as YAML that gives the same run: every key, defaults included. Local. */
void frx_config_write(const struct frx_config *config, FILE *out);

/* The same as text, owned by the caller; NULL when out of memory. Local. */
char *frx_config_text(const struct frx_config *config);

/* Compare with the text of the config that a run was started with: FRX_ERR_ARGUMENT about the first key that
 * differs and must not when the run is continued, with the names of the others. Local. */
FRX_CHECKED enum frx_status frx_config_check_unchanged(const struct frx_config *config, const char *before);

/* An error about the value of one key, pointing at it; where the key was left at its default, a plain
 * message. Returns FRX_ERR_ARGUMENT. Local. */
FRX_CHECKED enum frx_status frx_config_error(const struct frx_config *config, const char *key,
                                             const char *what, ...) FRX_PRINTF(3, 4);

/* Whether a key was given at all, in the file or as an argument. Local. */
int frx_config_is_given(const struct frx_config *config, const char *key);

/* The word that a key with words has, e.g. "even-odd" of `exchange_scheme`. Local. */
const char *frx_config_word(const struct frx_config *config, const char *name);

/* Describe all keys, as text for the terminal or as the Markdown of docs/user-guide.md. Local. */
void frx_config_help(int markdown, FILE *out);

#endif
