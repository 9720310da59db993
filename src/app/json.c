#include "json.h"

#include "print.h"

#include <math.h>
#include <string.h>

struct frx_json frx_json_begin(FILE *out) {
    struct frx_json json = {.out = out};
    fputc('{', out);
    json.closing[json.depth++] = '}';
    json.is_first = 1;
    return json;
}

void frx_json_end(struct frx_json *json) {
    while (json->depth) frx_json_close(json);
    fputc('\n', json->out);
}

/* Comma, line break and key before the next value. */
static void lead(struct frx_json *json, const char *key) {
    if (!json->is_first) fputc(',', json->out);
    fprintf(json->out, "\n%*s", 2 * json->depth, "");
    json->is_first = 0;
    if (key) frx_print_quoted(key, json->out), fputs(": ", json->out);
}

static void open_bracket(struct frx_json *json, const char *key, char opening, char closing) {
    lead(json, key);
    fputc(opening, json->out);
    json->closing[json->depth++] = closing;
    json->is_first = 1;
}

void frx_json_object(struct frx_json *json, const char *key) {
    open_bracket(json, key, '{', '}');
}

void frx_json_array(struct frx_json *json, const char *key) {
    open_bracket(json, key, '[', ']');
}

void frx_json_close(struct frx_json *json) {
    json->depth--;
    if (!json->is_first) fprintf(json->out, "\n%*s", 2 * json->depth, "");
    fputc(json->closing[json->depth], json->out);
    json->is_first = 0;
}

void frx_json_real(struct frx_json *json, const char *key, double value) {
    lead(json, key);
    if (isfinite(value))
        frx_print_real(value, json->out);
    else
        fputs("null", json->out);
}

void frx_json_integer(struct frx_json *json, const char *key, int64_t value) {
    lead(json, key);
    fprintf(json->out, "%lld", (long long)value);
}

void frx_json_text(struct frx_json *json, const char *key, const char *value) {
    lead(json, key);
    frx_print_quoted(value, json->out);
}
