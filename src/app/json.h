/* Writing JSON, indented, one value at a time. All functions are Local. */
#ifndef FRX_APP_JSON_H
#define FRX_APP_JSON_H

#include <stdint.h>
#include <stdio.h>

#define FRX_JSON_MAX_DEPTH 16

struct frx_json {
    FILE *out;
    int depth, is_first;
    char closing[FRX_JSON_MAX_DEPTH]; /* brackets that are open */
};

/* Start a document, an object, on `out`; frx_json_end closes all that is open. */
struct frx_json frx_json_begin(FILE *out);
void frx_json_end(struct frx_json *json);

/* Open an object or an array inside; key is NULL inside an array. frx_json_close closes what was opened last.
 */
void frx_json_object(struct frx_json *json, const char *key);
void frx_json_array(struct frx_json *json, const char *key);
void frx_json_close(struct frx_json *json);

/* Values. Reals are written so that they read back exactly; those that are not finite become null. */
void frx_json_real(struct frx_json *json, const char *key, double value);
void frx_json_integer(struct frx_json *json, const char *key, int64_t value);
void frx_json_text(struct frx_json *json, const char *key, const char *value);

#endif
