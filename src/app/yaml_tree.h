/* A YAML document as a tree of nodes that know where they stand, and errors that show it.
 *
 * Parsing is libfyaml's; this adds positions to collections, and refuses what a config file has no use for
 * and what surprises people: aliases, tags, directives, several documents, keys given twice. Scalars stay
 * text; what they mean is decided by the schema (config_schema.h), so no word is ever silently a boolean or a
 * number. */
#ifndef FRX_APP_YAML_TREE_H
#define FRX_APP_YAML_TREE_H

#include "status.h"

#include <stddef.h>

#define FRX_YAML_MAX_SIZE  (1 << 20) /* bytes of a config */
#define FRX_YAML_MAX_DEPTH 8         /* of nesting */
#define FRX_YAML_MAX_KEY   1000      /* of a mapping */

/* A text and what to call it: a file's path, or "command line". */
struct frx_source {
    char *name, *text; /* owned */
    size_t n_byte;
    size_t n_skip; /* bytes at the start that are not YAML: "key=" of an argument */
};

/* Where something stands in a source: zero-based line and column, and how many columns it covers (>= 1). */
struct frx_mark {
    const struct frx_source *source; /* NULL: nowhere (a default) */
    int line, column, width;
};

enum frx_yaml_kind { FRX_YAML_SCALAR, FRX_YAML_SEQUENCE, FRX_YAML_MAPPING };

struct frx_yaml {
    enum frx_yaml_kind kind;
    struct frx_mark mark;
    char *text;             /* scalar: its content */
    int quoted;             /* scalar: written in quotes or as a block */
    int n_child;            /* of a sequence; of a mapping: keys and values, in turn */
    struct frx_yaml *child; /* [n_child] */
};

/* Read a file of at most FRX_YAML_MAX_SIZE bytes. *source is owned by the caller, also after a failure.
 * Errors: FRX_ERR_IO, FRX_ERR_ARGUMENT (too large, or bytes that no text has). Local. */
FRX_CHECKED enum frx_status frx_source_read(const char *path, struct frx_source *source);

/* Copy a text that is at hand. Errors: FRX_ERR_ARGUMENT (not UTF-8), FRX_ERR_MEMORY. Local. */
FRX_CHECKED enum frx_status frx_source_set(const char *name, const char *text, struct frx_source *source);

void frx_source_clear(struct frx_source *source);

/* Parse the source's one document. *root is owned by the caller, also after a failure, and must not outlive
 * the source. Errors: FRX_ERR_ARGUMENT as by frx_source_error, FRX_ERR_MEMORY. Local. */
FRX_CHECKED enum frx_status frx_yaml_parse(const struct frx_source *source, struct frx_yaml *root);

void frx_yaml_clear(struct frx_yaml *root);

/* Set the error message to "name:line:column: error: <what>", the line itself and a caret below the spot, and
 * return FRX_ERR_ARGUMENT. `what` should say what would be right. Local. */
FRX_CHECKED enum frx_status frx_source_error(const struct frx_mark *mark, const char *what, ...)
    FRX_PRINTF(2, 3);

#endif
