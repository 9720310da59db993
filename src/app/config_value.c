/* Values of config keys: from YAML nodes into struct frx_config, and back to text. */
#include "config_schema.h"
#include "print.h"
#include "suggest.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static enum frx_status no_memory(void) {
    return FRX_FAIL(FRX_ERR_MEMORY, "out of memory while reading the config");
}

void *frx_key_value(const struct frx_config *config, const struct frx_key *key) {
    return (char *)config + key->offset;
}

int frx_key_index(const char *name) {
    for (int k = 0; k < FRX_N_CONFIG_KEY; k++)
        if (strcmp(frx_config_key[k].name, name) == 0) return k;
    return -1;
}

/* A decimal number and nothing else: no hexadecimal, inf, nan, blanks or letters behind. */
static int parse_real(const char *text, double *value) {
    if (!text[0] || text[strspn(text, "0123456789+-.eE")] || !strpbrk(text, "0123456789")) return 0;
    char *end;
    *value = strtod(text, &end);
    return *end == '\0' && isfinite(*value);
}

static int parse_integer(const char *text, int64_t *value) {
    if (text[0] && !text[strspn(text, "0123456789")] && strlen(text) <= 18) { /* exact beyond 2^53 */
        *value = strtoll(text, NULL, 10);
        return 1;
    }
    double real;
    if (!parse_real(text, &real) || real != floor(real) || fabs(real) > 9007199254740992.0) return 0;
    *value = (int64_t)real;
    return 1;
}

static enum frx_status wrong_value(const struct frx_key *key, const struct frx_yaml *node) {
    char right[200];
    frx_key_describe(key, right, sizeof right);
    if (node->kind == FRX_YAML_SCALAR && node->quoted)
        return frx_source_error(&node->mark, "%s: text in quotes where there must be %s (without quotes)",
                                key->name, right);
    if (node->kind != FRX_YAML_SCALAR)
        return frx_source_error(&node->mark, "%s: a %s where there must be %s", key->name,
                                node->kind == FRX_YAML_SEQUENCE ? "list" : "mapping", right);
    if (!node->text[0]) return frx_source_error(&node->mark, "%s: no value; it must be %s", key->name, right);
    const char *near = frx_suggest(node->text, FRX_MAX_WORD, key->words);
    return frx_source_error(&node->mark, "%s: '%.60s' is not possible; it must be %s%s%s%s", key->name,
                            node->text, right, near ? "; did you mean '" : "", near ? near : "",
                            near ? "'?" : "");
}

static int word_index(const struct frx_key *key, const char *text) {
    for (int w = 0; w < FRX_MAX_WORD && key->words[w]; w++)
        if (strcmp(key->words[w], text) == 0) return w;
    return -1;
}

static enum frx_status set_number(const struct frx_key *key, const struct frx_yaml *node, double *value) {
    if (node->kind != FRX_YAML_SCALAR || node->quoted || !parse_real(node->text, value) ||
        *value < key->min || *value > key->max)
        return wrong_value(key, node);
    return FRX_OK;
}

static enum frx_status set_list(const struct frx_key *key, const struct frx_yaml *node,
                                struct frx_reals *list) {
    if (node->kind != FRX_YAML_SEQUENCE) return wrong_value(key, node);
    if (node->n_child == 0) return frx_source_error(&node->mark, "%s: the list is empty", key->name);
    if (node->n_child > FRX_MAX_RUNG)
        return frx_source_error(&node->mark, "%s: %d values; at most %d are possible", key->name,
                                node->n_child, FRX_MAX_RUNG);
    free(list->value);
    list->n = node->n_child;
    list->value = calloc((size_t)node->n_child, sizeof *list->value);
    if (!list->value) return no_memory();
    const int falling = strcmp(key->name, "betas") == 0; /* hotter means smaller there */
    for (int i = 0; i < list->n; i++) {
        FRX_TRY(set_number(key, &node->child[i], &list->value[i]));
        if (i > 0 && (falling ? list->value[i] >= list->value[i - 1] : list->value[i] <= list->value[i - 1]))
            return frx_source_error(
                &node->child[i].mark, "%s: %s after %s: each must be %s than the one before (coldest first)",
                key->name, node->child[i].text, node->child[i - 1].text, falling ? "smaller" : "larger");
    }
    return FRX_OK;
}

static enum frx_status set_text(const struct frx_yaml *node, char **text) {
    free(*text);
    *text = strdup(node->text);
    return *text ? FRX_OK : no_memory();
}

enum frx_status frx_key_set(struct frx_config *config, int k, const struct frx_yaml *node) {
    const struct frx_key *key = &frx_config_key[k];
    void *value = frx_key_value(config, key);
    config->given[k] = node->mark;
    int64_t number;
    int word;
    switch (key->kind) {
    case FRX_KEY_TEXT:
        if (node->kind != FRX_YAML_SCALAR || !node->text[0]) return wrong_value(key, node);
        return set_text(node, value);
    case FRX_KEY_CHOICE:
        if (node->kind != FRX_YAML_SCALAR || (word = word_index(key, node->text)) < 0)
            return wrong_value(key, node);
        *(int64_t *)value = word;
        return FRX_OK;
    case FRX_KEY_INTEGER:
        if (node->kind != FRX_YAML_SCALAR) return wrong_value(key, node);
        if (word_index(key, node->text) >= 0) {
            *(int64_t *)value = FRX_AUTO;
            return FRX_OK;
        }
        if (node->quoted || !parse_integer(node->text, &number) || (double)number < key->min ||
            (double)number > key->max)
            return wrong_value(key, node);
        *(int64_t *)value = number;
        return FRX_OK;
    case FRX_KEY_REAL:
        return set_number(key, node, value);
    case FRX_KEY_REALS:
        return set_list(key, node, value);
    }
    return FRX_FAIL(FRX_ERR_INTERNAL, "config key %s of an unknown kind", key->name);
}

const char *frx_config_word(const struct frx_config *config, const char *name) {
    const struct frx_key *key = &frx_config_key[frx_key_index(name)];
    return key->words[*(const int64_t *)frx_key_value(config, key)];
}

void frx_config_write(const struct frx_config *config, FILE *out) {
    for (int k = 0; k < FRX_N_CONFIG_KEY; k++) {
        const struct frx_key *key = &frx_config_key[k];
        const void *value = frx_key_value(config, key);
        if (strcmp(key->name, "betas") == 0 || strncmp(key->name, "ladder.", 7) == 0)
            continue; /* `temperatures` says it all */
        fprintf(out, "%s: ", key->name);
        switch (key->kind) {
        case FRX_KEY_TEXT:
            frx_print_quoted(*(char *const *)value, out);
            break;
        case FRX_KEY_CHOICE:
            fputs(key->words[*(const int64_t *)value], out);
            break;
        case FRX_KEY_REAL:
            frx_print_real(*(const double *)value, out);
            break;
        case FRX_KEY_INTEGER:
            if (*(const int64_t *)value == FRX_AUTO)
                fputs(key->words[0], out);
            else
                fprintf(out, "%lld", (long long)*(const int64_t *)value);
            break;
        case FRX_KEY_REALS:
            for (int i = 0; i < ((const struct frx_reals *)value)->n; i++) {
                fputs(i ? ", " : "[", out);
                frx_print_real(((const struct frx_reals *)value)->value[i], out);
            }
            fputc(']', out);
            break;
        }
        fputc('\n', out);
    }
}

char *frx_config_text(const struct frx_config *config) {
    char *text = NULL;
    size_t n_byte = 0;
    FILE *out = open_memstream(&text, &n_byte);
    if (!out) return NULL;
    frx_config_write(config, out);
    return fclose(out) == 0 ? text : NULL;
}

/* The value of a key in what frx_config_write wrote, a line of n_byte bytes; NULL: it is not there. */
static const char *find_value(const char *text, const char *name, size_t *n_byte) {
    const size_t n_name = strlen(name);
    for (const char *line = text; *line;
         line += line[strcspn(line, "\n")] ? strcspn(line, "\n") + 1 : strlen(line))
        if (strncmp(line, name, n_name) == 0 && strncmp(line + n_name, ": ", 2) == 0) {
            *n_byte = strcspn(line + n_name + 2, "\n");
            return line + n_name + 2;
        }
    *n_byte = 0;
    return NULL;
}

/* Whether a key has another value than before, and must not; the values as text. */
static int is_forbidden(const struct frx_key *key, const char *before, const char *now, const char **old,
                        size_t *n_old, const char **new, size_t *n_new) {
    *new = find_value(now, key->name, n_new);
    *old = find_value(before, key->name, n_old);
    return !key->may_change && *new && !(*old && *n_new == *n_old && memcmp(*new, *old, *n_new) == 0);
}

enum frx_status frx_config_check_unchanged(const struct frx_config *config, const char *before) {
    char *now = frx_config_text(config), others[120] = "";
    if (!now) return no_memory();
    const char *new, *old;
    size_t n_new, n_old, n = 0;
    int first = -1;
    for (int k = 0; k < FRX_N_CONFIG_KEY; k++) {
        if (!is_forbidden(&frx_config_key[k], before, now, &old, &n_old, &new, &n_new)) continue;
        if (first < 0)
            first = k;
        else if (n < sizeof others)
            n += (size_t)snprintf(others + n, sizeof others - n, "%s%s",
                                  n ? ", " : "; also changed: ", frx_config_key[k].name);
    }
    enum frx_status status = FRX_OK;
    if (first >= 0) {
        const struct frx_key *key = &frx_config_key[first];
        (void)is_forbidden(key, before, now, &old, &n_old, &new, &n_new);
        status = frx_config_error(config, key->name,
                                  "%s: the run was started with %.*s and cannot be continued with %.*s%s",
                                  key->name, old ? (int)(n_old < 120 ? n_old : 120) : 7,
                                  old ? old : "nothing", (int)(n_new < 120 ? n_new : 120), new, others);
    }
    free(now);
    return status;
}
