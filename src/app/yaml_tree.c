#include "yaml_tree.h"

#include <errno.h>
#include <libfyaml.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_SHOWN 100 /* columns of a source line that an error shows */

static enum frx_status no_memory(void) {
    return FRX_FAIL(FRX_ERR_MEMORY, "out of memory while reading the config");
}

void frx_source_clear(struct frx_source *source) {
    free(source->name);
    free(source->text);
    memset(source, 0, sizeof *source);
}

/* Bytes of the UTF-8 character at c, 0 if there is none. Source: The Unicode Standard, table 3-7. */
static int character_size(const unsigned char *c) {
    const int n = c[0] < 0x80 ? 1 : c[0] >= 0xC2 && c[0] < 0xE0 ? 2 : (c[0] & 0xF0) == 0xE0 ? 3 : 4;
    if (n == 4 && (c[0] < 0xF0 || c[0] > 0xF4)) return 0;
    for (int i = 1; i < n; i++)
        if ((c[i] & 0xC0) != 0x80) return 0;
    const int is_long = (c[0] == 0xE0 && c[1] < 0xA0) || (c[0] == 0xF0 && c[1] < 0x90);
    const int is_none = (c[0] == 0xED && c[1] > 0x9F) || (c[0] == 0xF4 && c[1] > 0x8F);
    return is_long || is_none ? 0 : n;
}

/* The config is written into output and read again on --continue, which needs text. */
static enum frx_status check_text(const struct frx_source *source) {
    const unsigned char *c = (const unsigned char *)source->text;
    for (int n; *c; c += n)
        if ((n = character_size(c)) == 0)
            return FRX_FAIL(FRX_ERR_ARGUMENT, "%s: byte %td is not UTF-8", source->name,
                            c - (const unsigned char *)source->text);
    return FRX_OK;
}

enum frx_status frx_source_set(const char *name, const char *text, struct frx_source *source) {
    *source = (struct frx_source){.name = strdup(name), .text = strdup(text), .n_byte = strlen(text)};
    return source->name && source->text ? check_text(source) : no_memory();
}

enum frx_status frx_source_read(const char *path, struct frx_source *source) {
    *source = (struct frx_source){.name = strdup(path), .text = malloc(FRX_YAML_MAX_SIZE + 2)};
    if (!source->name || !source->text) return no_memory();
    FILE *file = fopen(path, "rb");
    if (!file) return FRX_FAIL(FRX_ERR_IO, "cannot read the config %s: %s", path, strerror(errno));
    source->n_byte = fread(source->text, 1, FRX_YAML_MAX_SIZE + 1, file);
    const int error = ferror(file) ? errno : 0;
    fclose(file);
    source->text[source->n_byte] = '\0';
    if (error) return FRX_FAIL(FRX_ERR_IO, "cannot read the config %s: %s", path, strerror(error));
    if (source->n_byte > FRX_YAML_MAX_SIZE)
        return FRX_FAIL(FRX_ERR_ARGUMENT, "%s is larger than 1 MiB: this is not a config", path);
    if (memchr(source->text, '\0', source->n_byte))
        return FRX_FAIL(FRX_ERR_ARGUMENT, "%s is not a text file: this is not a config", path);
    return check_text(source);
}

/* The byte that a column (counted in characters) of a UTF-8 line starts at. */
static size_t byte_of_column(const char *line, size_t n_byte, int column) {
    size_t i = 0;
    for (; i < n_byte && column > 0; column--) do
            i++;
        while (i < n_byte && ((unsigned char)line[i] & 0xC0) == 0x80);
    return i;
}

enum frx_status frx_source_error(const struct frx_mark *mark, const char *what, ...) {
    char text[FRX_MESSAGE_SIZE / 2], message[FRX_MESSAGE_SIZE];
    va_list args;
    va_start(args, what);
    vsnprintf(text, sizeof text, what, args);
    va_end(args);

    const char *line = mark->source->text;
    for (int l = 0; l < mark->line && line; l++) {
        line = strchr(line, '\n');
        if (line) line++;
    }
    const size_t n_line = line ? strcspn(line, "\r\n") : 0;
    const size_t shown = line ? byte_of_column(line, n_line, LINE_SHOWN) : 0;
    const int length = snprintf(message, sizeof message, "%.200s:%d:%d: error: %s", mark->source->name,
                                mark->line + 1, mark->column + 1, text);
    if (mark->column < LINE_SHOWN && length < (int)sizeof message) {
        char caret[LINE_SHOWN + 1];
        size_t n = 0;
        const size_t start = line ? byte_of_column(line, n_line, mark->column) : 0;
        for (size_t i = 0; i < start; i++) /* a tab moves the caret as it moves the text above */
            if (((unsigned char)line[i] & 0xC0) != 0x80) caret[n++] = line[i] == '\t' ? '\t' : ' ';
        caret[n++] = '^';
        for (int w = 1; w < mark->width && n < LINE_SHOWN; w++) caret[n++] = '~';
        caret[n] = '\0';
        snprintf(message + length, sizeof message - (size_t)length, "\n    %.*s\n    %s", (int)shown,
                 line ? line : "", caret);
    }
    frx_error_set(message);
    return FRX_ERR_ARGUMENT;
}

void frx_yaml_clear(struct frx_yaml *root) {
    for (int i = 0; i < root->n_child; i++) frx_yaml_clear(&root->child[i]);
    free(root->child);
    free(root->text);
    memset(root, 0, sizeof *root);
}

struct reader {
    const struct frx_source *source;
    struct fy_parser *parser;
    struct fy_diag *diag;
};

static struct frx_mark mark_between(const struct reader *reader, const struct fy_mark *start,
                                    const struct fy_mark *end) {
    struct frx_mark mark = {reader->source, 0, 0, 1};
    if (!start) return mark;
    mark.line = start->line;
    mark.column = start->column;
    if (mark.line == 0) mark.column += (int)reader->source->n_skip;
    if (end && end->line == start->line && end->column > start->column)
        mark.width = end->column - start->column;
    return mark;
}

/* An error at the very end of a text is shown behind its last line, not on an empty one after it. */
static void step_back_from_end(struct frx_mark *mark) {
    const char *text = mark->source->text, *end = text + strlen(text);
    const char *line = text;
    for (int l = 0; l < mark->line && line < end; l++) {
        const char *next = strchr(line, '\n');
        line = next ? next + 1 : end;
    }
    if (line < end || mark->line == 0) return;
    while (end > text && (end[-1] == '\n' || end[-1] == '\r')) end--;
    mark->line = 0;
    const char *last = text;
    for (const char *c = text; c < end; c++)
        if (*c == '\n') mark->line++, last = c + 1;
    mark->column = 0;
    for (const char *c = last; c < end; c++) mark->column += ((unsigned char)*c & 0xC0) != 0x80;
}

/* What the parser complained about first, in its own words. */
static enum frx_status parser_error(const struct reader *reader) {
    void *previous = NULL;
    const struct fy_diag_error *error = fy_diag_errors_iterate(reader->diag, &previous);
    struct frx_mark mark = {reader->source, 0, 0, 1};
    if (!error || !error->msg) return frx_source_error(&mark, "this is not YAML");
    mark.line = error->line > 0 ? error->line - 1 : 0;
    mark.column = error->column > 0 ? error->column - 1 : 0;
    if (mark.line == 0) mark.column += (int)reader->source->n_skip;
    step_back_from_end(&mark);
    return frx_source_error(&mark, "this is not YAML: %s", error->msg);
}

static enum frx_status next_event(const struct reader *reader, struct fy_event **event) {
    *event = fy_parser_parse(reader->parser);
    return *event && !fy_parser_get_stream_error(reader->parser) ? FRX_OK : parser_error(reader);
}

static enum frx_status check_keys(struct frx_yaml *mapping) {
    for (int i = 0; i < mapping->n_child; i += 2) {
        const struct frx_yaml *key = &mapping->child[i];
        struct frx_yaml *value = &mapping->child[i + 1];
        if (value->kind == FRX_YAML_SCALAR && !value->text[0] &&
            !value->quoted) { /* nothing stands nowhere */
            value->mark = key->mark;
            value->mark.column += key->mark.width + 1;
            value->mark.width = 1;
        }
        if (key->kind != FRX_YAML_SCALAR)
            return frx_source_error(&key->mark, "a key must be a word, as in `dt: 0.004`");
        for (int k = 0; k < i; k += 2)
            if (strcmp(mapping->child[k].text, key->text) == 0)
                return frx_source_error(&key->mark, "'%s' is given twice; the first is in line %d", key->text,
                                        mapping->child[k].mark.line + 1);
    }
    return FRX_OK;
}

static enum frx_status read_node(const struct reader *reader, struct fy_event *event, int depth,
                                 struct frx_yaml *node);

/* One more child, empty. Room doubles, so that adding n takes time in proportion to n. */
static enum frx_status add_child(struct frx_yaml *node) {
    const int n = node->n_child;
    if (node->kind == FRX_YAML_MAPPING && n >= 2 * FRX_YAML_MAX_KEY)
        return frx_source_error(&node->mark, "more than %d keys are too many for a config", FRX_YAML_MAX_KEY);
    if ((n & (n - 1)) == 0) { /* 0, 1, 2, 4, .. fill the room */
        struct frx_yaml *grown = realloc(node->child, (n ? 2 * (size_t)n : 1) * sizeof *grown);
        if (!grown) return no_memory();
        node->child = grown;
    }
    memset(&node->child[node->n_child++], 0, sizeof *node->child);
    return FRX_OK;
}

static enum frx_status read_children(const struct reader *reader, enum fy_event_type end, int depth,
                                     struct frx_yaml *node) {
    for (;;) {
        struct fy_event *event;
        FRX_TRY(next_event(reader, &event));
        const int done = event->type == end;
        enum frx_status status = FRX_OK;
        if (!done) {
            status = add_child(node);
            if (status == FRX_OK)
                status = read_node(reader, event, depth + 1, &node->child[node->n_child - 1]);
        }
        fy_parser_event_free(reader->parser, event);
        FRX_TRY(status);
        if (done) return FRX_OK;
    }
}

static enum frx_status read_node(const struct reader *reader, struct fy_event *event, int depth,
                                 struct frx_yaml *node) {
    node->mark = mark_between(reader, fy_event_start_mark(event), fy_event_end_mark(event));
    struct fy_token *tag = NULL;
    if (event->type == FYET_ALIAS) {
        node->mark.column--; /* to the asterisk */
        node->mark.width++;
        return frx_source_error(&node->mark, "aliases are not supported: write the value out");
    } else if (event->type == FYET_SCALAR) {
        node->kind = FRX_YAML_SCALAR;
        tag = event->scalar.tag;
        size_t length = 0;
        const char *text = event->scalar.value ? fy_token_get_text(event->scalar.value, &length) : NULL;
        node->text = strndup(text ? text : "", length);
        if (!node->text) return no_memory();
        if (strlen(node->text) != length) return frx_source_error(&node->mark, "a NUL inside a value");
        const enum fy_scalar_style style = fy_token_scalar_style(event->scalar.value);
        node->quoted = style != FYSS_PLAIN;
        if (style == FYSS_SINGLE_QUOTED || style == FYSS_DOUBLE_QUOTED) { /* the quotes belong to it */
            node->mark.column--;
            node->mark.width += 2;
        }
    } else if (event->type == FYET_SEQUENCE_START || event->type == FYET_MAPPING_START) {
        const int is_mapping = event->type == FYET_MAPPING_START;
        node->kind = is_mapping ? FRX_YAML_MAPPING : FRX_YAML_SEQUENCE;
        tag = is_mapping ? event->mapping_start.tag : event->sequence_start.tag;
        if (depth >= FRX_YAML_MAX_DEPTH)
            return frx_source_error(&node->mark, "nested too deeply for a config");
        FRX_TRY(read_children(reader, is_mapping ? FYET_MAPPING_END : FYET_SEQUENCE_END, depth, node));
        if (is_mapping) FRX_TRY(check_keys(node));
    }
    if (tag) return frx_source_error(&node->mark, "tags (`!..`) are not supported: write the plain value");
    return FRX_OK;
}

static enum frx_status read_stream(const struct reader *reader, struct frx_yaml *root) {
    int n_document = 0;
    for (;;) {
        struct fy_event *event;
        FRX_TRY(next_event(reader, &event));
        const enum fy_event_type type = event->type;
        enum frx_status status = FRX_OK;
        if (type == FYET_DOCUMENT_START && n_document++) {
            const struct frx_mark mark = mark_between(reader, fy_event_start_mark(event), NULL);
            status = frx_source_error(&mark, "a second document starts here; a config is one document");
        } else if (type == FYET_SCALAR || type == FYET_ALIAS || type == FYET_SEQUENCE_START ||
                   type == FYET_MAPPING_START) {
            status = read_node(reader, event, 0, root);
        }
        fy_parser_event_free(reader->parser, event);
        FRX_TRY(status);
        if (type == FYET_STREAM_END) break;
    }
    const struct frx_mark mark = {reader->source, 0, (int)reader->source->n_skip, 1};
    return n_document ? FRX_OK : frx_source_error(&mark, "this is empty");
}

static void discard_output(struct fy_diag *diag, void *user, const char *text, size_t n_byte) {
    (void)diag, (void)user, (void)text, (void)n_byte;
}

/* Directives are of no use to a config, and libfyaml 0.7 never finishes a malformed one. */
static enum frx_status refuse_directives(const struct frx_source *source) {
    struct frx_mark mark = {source, 0, (int)source->n_skip, 1};
    const char *start = source->text + source->n_skip;
    if (strncmp(start, "\xEF\xBB\xBF", 3) == 0) start += 3; /* a byte order mark */
    int begins_line = 1;
    for (const char *c = start; *c; c++) {
        if (begins_line && *c == '%') return frx_source_error(&mark, "directives (`%%..`) are not supported");
        begins_line = *c == '\n' || *c == '\r';
        if (*c == '\n') mark.line++, mark.column = 0;
    }
    return FRX_OK;
}

enum frx_status frx_yaml_parse(const struct frx_source *source, struct frx_yaml *root) {
    memset(root, 0, sizeof *root);
    FRX_TRY(refuse_directives(source));
    struct fy_diag_cfg diag_cfg;
    fy_diag_cfg_default(&diag_cfg);
    diag_cfg.fp = NULL;
    diag_cfg.output_fn = discard_output;
    diag_cfg.level = FYET_ERROR;
    struct reader reader = {.source = source, .diag = fy_diag_create(&diag_cfg)};
    if (!reader.diag) return no_memory();
    fy_diag_set_collect_errors(reader.diag, true);
    const struct fy_parse_cfg parse_cfg = {.flags = FYPCF_JSON_NONE, .diag = reader.diag};
    reader.parser = fy_parser_create(&parse_cfg);
    enum frx_status status = FRX_OK;
    if (!reader.parser ||
        fy_parser_set_string(reader.parser, source->text + source->n_skip, source->n_byte - source->n_skip))
        status = no_memory();
    if (status == FRX_OK) status = read_stream(&reader, root);
    fy_parser_destroy(reader.parser);
    fy_diag_destroy(reader.diag);
    return status;
}
