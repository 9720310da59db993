#include "config.h"

#include "adapt.h"
#include "config_schema.h"
#include "ladder.h"
#include "rng.h"
#include "suggest.h"
#include "swap.h"
#include "units.h"
#include "user_error.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static enum frx_status no_memory(void) {
    return FRX_FAIL(FRX_ERR_MEMORY, "out of memory while reading the config");
}

/* Rows of the schema inside a mapping: "ladder.t_min" with prefix "ladder" is its member "t_min". */
static const char *name_below(const struct frx_key *key, const char *prefix) {
    const size_t n = strlen(prefix);
    if (n == 0) return key->name;
    return strncmp(key->name, prefix, n) == 0 && key->name[n] == '.' ? key->name + n + 1 : NULL;
}

static enum frx_status unknown_key(const char *prefix, const struct frx_yaml *node) {
    const char *candidate[FRX_N_CONFIG_KEY];
    for (int k = 0; k < FRX_N_CONFIG_KEY; k++) {
        candidate[k] = name_below(&frx_config_key[k], prefix);
        if (!prefix[0] && node->text[0] && strcmp(frx_config_key[k].mlcg, node->text) == 0)
            return frx_source_error(&node->mark, "unknown key '%s'; mlcg's %s is called '%s' here",
                                    node->text, node->text, frx_config_key[k].name);
    }
    const char *near = frx_suggest(node->text, FRX_N_CONFIG_KEY, candidate);
    return frx_source_error(&node->mark, "unknown key '%.60s'%s%s%s", node->text,
                            near ? "; did you mean '" : "",
                            near ? near : "; `flashrex help config` lists all keys", near ? "'?" : "");
}

static enum frx_status read_mapping(struct frx_config *config, const char *prefix,
                                    const struct frx_yaml *mapping) {
    for (int i = 0; i < mapping->n_child; i += 2) {
        const struct frx_yaml *key = &mapping->child[i], *value = &mapping->child[i + 1];
        int found = -1, is_group = 0;
        for (int k = 0; k < FRX_N_CONFIG_KEY; k++) {
            const char *name = name_below(&frx_config_key[k], prefix);
            if (!name) continue;
            if (strcmp(name, key->text) == 0) found = k;
            if (!prefix[0] && name_below(&frx_config_key[k], key->text) && key->text[0]) is_group = 1;
        }
        if (is_group) {
            if (value->kind != FRX_YAML_MAPPING)
                return frx_source_error(
                    &value->mark,
                    "%s must hold keys, as in {t_min: 300, t_max: 450, n_rungs: 8}; to let a run find its "
                    "temperatures, add `adapt_ladder: 10`",
                    key->text);
            FRX_TRY(read_mapping(config, key->text, value));
        } else if (found < 0) {
            return unknown_key(prefix, key);
        } else {
            FRX_TRY(frx_key_set(config, found, value));
        }
    }
    return FRX_OK;
}

/* One `key=value`; the value is YAML, except that a path stands for itself. */
static enum frx_status read_argument(struct frx_config *config, struct frx_source *argument) {
    const char *equals = strchr(argument->text, '=');
    const int n_name = equals ? (int)(equals - argument->text) : (int)argument->n_byte;
    const struct frx_mark mark = {argument, 0, 0, n_name ? n_name : 1};
    if (!equals) return frx_source_error(&mark, "this is not key=value, as in dt=0.002");

    /* The argument as the YAML mapping {name: value}. */
    struct frx_yaml pair[2] = {{.mark = mark, .text = strndup(argument->text, (size_t)n_name)},
                               {.mark = {argument, 0, n_name + 1, 1}}};
    const struct frx_yaml mapping = {.kind = FRX_YAML_MAPPING, .n_child = 2, .child = pair};
    if (!pair[0].text) return no_memory();
    const int k = frx_key_index(pair[0].text);
    enum frx_status status = FRX_OK;
    if ((k >= 0 && frx_config_key[k].kind == FRX_KEY_TEXT) || !equals[1]) {
        pair[1].text = strdup(equals + 1);
        if (equals[1]) pair[1].mark.width = (int)strlen(equals + 1);
        if (!pair[1].text) status = no_memory();
    } else {
        argument->n_skip = (size_t)n_name + 1;
        status = frx_yaml_parse(argument, &pair[1]);
    }
    if (status == FRX_OK) status = read_mapping(config, "", &mapping);
    frx_yaml_clear(&pair[0]);
    frx_yaml_clear(&pair[1]);
    return status;
}

static enum frx_status set_defaults(struct frx_config *config) {
    for (int k = 0; k < FRX_N_CONFIG_KEY; k++) {
        if (!frx_config_key[k].fallback) continue;
        struct frx_yaml value = {.text = strdup(frx_config_key[k].fallback)};
        const enum frx_status status = value.text ? frx_key_set(config, k, &value) : no_memory();
        frx_yaml_clear(&value);
        FRX_TRY(status);
    }
    return FRX_OK;
}

#define GIBBS_MAX_RUNG 256 /* 17 million draws, a second per exchange */

/* The three ways to give temperatures. */
static const char *const temperature_way[] = {"temperatures", "betas", "ladder"};
#define N_WAY 3

static int way_of(int k) {
    for (int w = 0; w < N_WAY; w++)
        if (strcmp(frx_config_key[k].name, temperature_way[w]) == 0 ||
            name_below(&frx_config_key[k], temperature_way[w]))
            return w;
    return -1;
}

/* Which way was used; an argument's way replaces the file's. */
static enum frx_status choose_way(struct frx_config *config, int *way) {
    int from_argument[N_WAY] = {0}, any_argument = 0;
    for (int k = 0; k < FRX_N_CONFIG_KEY; k++)
        if (way_of(k) >= 0 && config->given[k].source && config->given[k].source != &config->file)
            from_argument[way_of(k)] = any_argument = 1;
    *way = -1;
    for (int k = 0; k < FRX_N_CONFIG_KEY; k++) {
        const int w = way_of(k);
        if (w < 0 || !config->given[k].source) continue;
        if (any_argument && !from_argument[w])
            config->given[k].source = NULL;
        else if (*way >= 0 && *way != w)
            return frx_source_error(&config->given[k],
                                    "temperatures are given twice: by %s and by %s; keep one",
                                    temperature_way[*way], temperature_way[w]);
        else
            *way = w;
    }
    return FRX_OK;
}

static enum frx_status missing(const struct frx_config *config, const char *name) {
    char right[200];
    frx_key_describe(&frx_config_key[frx_key_index(name)], right, sizeof right);
    return frx_user_error("%.300s: error: '%s' is missing; it must be %s", config->file.name, name, right);
}

/* Turn betas or a geometric ladder into temperatures. */
static enum frx_status resolve_temperatures(struct frx_config *config) {
    int way;
    FRX_TRY(choose_way(config, &way));
    if (way < 0) {
        return frx_user_error("%.300s: error: no temperatures; give one of `temperatures: [300, 320]`, "
                              "`betas: [1.677, 1.573]` and `ladder: {t_min: 300, t_max: 450, n_rungs: 8}`",
                              config->file.name);
    }
    struct frx_reals *rungs = &config->temperatures;
    if (way > 0) {
        free(rungs->value);
        *rungs = (struct frx_reals){0};
        if (way == 2) {
            for (int k = 0; k < FRX_N_CONFIG_KEY; k++)
                if (way_of(k) == 2 && !config->given[k].source)
                    return missing(config, frx_config_key[k].name);
            if (config->t_max <= config->t_min)
                return frx_config_error(config, "ladder.t_max",
                                        "ladder.t_max must be larger than ladder.t_min");
        }
        const int n = way == 1 ? config->betas.n : (int)config->n_rungs;
        rungs->value = malloc((size_t)n * sizeof *rungs->value);
        if (!rungs->value) return no_memory();
        rungs->n = n;
        for (int i = 0; i < n && way == 1; i++) rungs->value[i] = FRX_KELVIN_OF_BETA(config->betas.value[i]);
        if (way == 2) FRX_TRY(frx_ladder_geometric(config->t_min, config->t_max, n, rungs->value));
    }
    if ((int64_t)rungs->n * config->n_ladders > FRX_MAX_REPLICA)
        return frx_config_error(config, "n_ladders",
                                "%d temperatures in %lld ladders make more than %d replicas", rungs->n,
                                (long long)config->n_ladders, FRX_MAX_REPLICA);
    return FRX_OK;
}

/* There must be something to adapt, exchanges to learn from, and a run to make afterwards. */
static enum frx_status check_adaptation(const struct frx_config *config) {
    if (config->adapt_ladder == 0) return FRX_OK;
    if (config->temperatures.n < 3)
        return frx_config_error(config, "adapt_ladder",
                                "adapt_ladder needs at least three temperatures: the coldest and the hottest "
                                "stay where they are");
    if (config->exchange_interval == 0)
        return frx_config_error(config, "adapt_ladder",
                                "adapt_ladder needs exchanges: exchange_interval is 0");
    const int64_t n_event = frx_adapt_n_event((int)config->adapt_ladder);
    if ((config->n_timesteps - 1) / config->exchange_interval < n_event)
        return frx_config_error(
            config, "adapt_ladder",
            "adapt_ladder: %lld rounds are %lld exchanges and take %.0f steps; n_timesteps "
            "must be larger",
            (long long)config->adapt_ladder, (long long)n_event,
            (double)n_event * (double)config->exchange_interval);
    return FRX_OK;
}

/* What the ranges of single keys cannot say. */
static enum frx_status check_limits(const struct frx_config *config) {
    if ((uint64_t)config->seed > FRX_SEED_MAX) /* its range is kept in doubles, which skip numbers up there */
        return frx_config_error(config, "seed", "the largest seed is %llu", (unsigned long long)FRX_SEED_MAX);
    if (config->scheme == FRX_SCHEME_GIBBS && config->temperatures.n > GIBBS_MAX_RUNG)
        return frx_config_error(
            config, "exchange_scheme",
            "gibbs tries as many pairs as the cube of the number of temperatures, which is %d; "
            "above %d use even-odd",
            config->temperatures.n, GIBBS_MAX_RUNG);
    return check_adaptation(config);
}

/* "configs/../run" is "run", unless `configs` is a link to another place. In place. */
static void shorten(char *path) {
    for (char *up; (up = strstr(path, "/../"));) {
        *up = '\0';
        char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
        struct stat status;
        const int is_folder = *name && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
                              lstat(path, &status) == 0 && S_ISDIR(status.st_mode);
        *up = '/';
        if (!is_folder) return;
        memmove(name, up + 4, strlen(up + 4) + 1);
    }
}

/* A relative path in a config file starts at the file's folder. */
static enum frx_status resolve_paths(struct frx_config *config) {
    const char *file = config->file.name, *slash = strrchr(file, '/');
    const size_t n_folder = slash ? (size_t)(slash - file) + 1 : 0;
    for (int k = 0; k < FRX_N_CONFIG_KEY; k++) {
        char **path = frx_key_value(config, &frx_config_key[k]);
        if (frx_config_key[k].kind != FRX_KEY_TEXT || config->given[k].source != &config->file ||
            (*path)[0] == '/')
            continue;
        const size_t n_byte = n_folder + strlen(*path) + 1;
        char *joined = malloc(n_byte);
        if (!joined) return no_memory();
        snprintf(joined, n_byte, "%.*s%s", (int)n_folder, file, *path);
        shorten(joined);
        free(*path);
        *path = joined;
    }
    return FRX_OK;
}

enum frx_status frx_config_load(const char *path, int n, char *const *arguments, struct frx_config *config) {
    memset(config, 0, sizeof *config);
    FRX_TRY(set_defaults(config));
    FRX_TRY(frx_source_read(path, &config->file));
    struct frx_yaml root;
    enum frx_status status = frx_yaml_parse(&config->file, &root);
    if (status == FRX_OK && root.kind != FRX_YAML_MAPPING)
        status = frx_source_error(&root.mark, "a config is made of `key: value` lines");
    if (status == FRX_OK) status = read_mapping(config, "", &root);
    frx_yaml_clear(&root);
    FRX_TRY(status);

    config->argument = calloc((size_t)n + 1, sizeof *config->argument);
    if (!config->argument) return no_memory();
    for (int i = 0; i < n; i++) {
        config->n_argument = i + 1;
        FRX_TRY(frx_source_set("command line", arguments[i], &config->argument[i]));
        FRX_TRY(read_argument(config, &config->argument[i]));
    }
    for (int k = 0; k < FRX_N_CONFIG_KEY; k++)
        if (frx_config_key[k].required && !config->given[k].source)
            return missing(config, frx_config_key[k].name);
    FRX_TRY(resolve_temperatures(config));
    FRX_TRY(check_limits(config));
    return resolve_paths(config);
}

void frx_config_clear(struct frx_config *config) {
    for (int k = 0; k < FRX_N_CONFIG_KEY; k++) {
        void *value = frx_key_value(config, &frx_config_key[k]);
        if (frx_config_key[k].kind == FRX_KEY_TEXT) free(*(char **)value);
        if (frx_config_key[k].kind == FRX_KEY_REALS) free(((struct frx_reals *)value)->value);
    }
    for (int i = 0; i < config->n_argument; i++) frx_source_clear(&config->argument[i]);
    free(config->argument);
    frx_source_clear(&config->file);
    memset(config, 0, sizeof *config);
}

int frx_config_is_given(const struct frx_config *config, const char *key) {
    return config->given[frx_key_index(key)].source != NULL;
}

enum frx_status frx_config_error(const struct frx_config *config, const char *key, const char *what, ...) {
    char text[FRX_MESSAGE_SIZE / 2];
    va_list args;
    va_start(args, what);
    vsnprintf(text, sizeof text, what, args);
    va_end(args);
    const struct frx_mark *mark = &config->given[frx_key_index(key)];
    if (mark->source) return frx_source_error(mark, "%s", text);
    return frx_user_error("%.300s: error: %s", config->file.name, text);
}
