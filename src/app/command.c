#include "command.h"

#include "suggest.h"
#include "user_error.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int n_option(const struct frx_command *command) {
    int n = 0;
    while (command->option[n].name) n++;
    return n;
}

/* Row of the option that is called `text` (n_byte long, without a value behind '='), or -1. */
static int find_option(const struct frx_command *command, const char *text, size_t n_byte) {
    for (int o = 0; o < n_option(command); o++) {
        const struct frx_option *option = &command->option[o];
        if (strlen(option->name) == n_byte && strncmp(option->name, text, n_byte) == 0) return o;
        if (n_byte == 2 && text[0] == '-' && option->letter && text[1] == option->letter) return o;
    }
    return -1;
}

static enum frx_status unknown_option(const struct frx_command *command, const char *text) {
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(text, "="), text);
    const char *candidate[FRX_MAX_OPTION + 1] = {"--help"};
    for (int o = 0; o < n_option(command); o++) candidate[o + 1] = command->option[o].name;
    const char *near = frx_suggest(name, n_option(command) + 1, candidate);
    return frx_user_error("unknown option %s%s%s%s (see `flashrex %s --help`)", name,
                          near ? "; did you mean " : "", near ? near : "", near ? "?" : "", command->name);
}

enum frx_status frx_command_parse(const struct frx_command *command, int argc, char **argv,
                                  struct frx_invocation *invocation) {
    memset(invocation, 0, sizeof *invocation);
    invocation->command = command;
    invocation->argument = argv;
    int only_arguments = 0;
    for (int a = 0; a < argc; a++) {
        char *text = argv[a];
        if (only_arguments || text[0] != '-' || !text[1]) {
            argv[invocation->n_argument++] = text; /* at or before a: never over what is still to be read */
            continue;
        }
        if (strcmp(text, "--") == 0) {
            only_arguments = 1;
            continue;
        }
        char *equals = text[1] == '-' ? strchr(text, '=') : NULL;
        const int o = find_option(command, text, equals ? (size_t)(equals - text) : strlen(text));
        if (o < 0) return unknown_option(command, text);
        const struct frx_option *option = &command->option[o];
        if (!option->value) {
            if (equals) return frx_user_error("%s takes no value", option->name);
            invocation->value[o] = "";
            continue;
        }
        if (!equals && a + 1 == argc)
            return frx_user_error("%s needs a value: %s %s", option->name, option->name, option->value);
        invocation->value[o] = equals ? equals + 1 : argv[++a];
    }
    if (invocation->n_argument < command->min_argument)
        return frx_user_error("usage: flashrex %s %s (see `flashrex %s --help`)", command->name,
                              command->usage, command->name);
    if (invocation->n_argument > command->max_argument)
        return frx_user_error("one argument too many: '%s'; usage: flashrex %s %s",
                              argv[command->max_argument], command->name, command->usage);
    return FRX_OK;
}

const char *frx_option_value(const struct frx_invocation *invocation, const char *name) {
    const int o = find_option(invocation->command, name, strlen(name));
    return o < 0 ? NULL : invocation->value[o];
}

enum frx_status frx_option_integer(const struct frx_invocation *invocation, const char *name, long min,
                                   long max, long fallback, long *value) {
    const char *text = frx_option_value(invocation, name);
    *value = fallback;
    if (!text) return FRX_OK;
    char *end;
    errno = 0;
    *value = strtol(text, &end, 10);
    if (end == text || *end || errno || *value < min || *value > max)
        return frx_user_error("%s: '%s' is not possible; it must be a whole number from %ld to %ld", name,
                              text, min, max);
    return FRX_OK;
}

enum frx_status frx_option_choice(const struct frx_invocation *invocation, const char *name,
                                  const char *const *words, int fallback, int *index) {
    const char *text = frx_option_value(invocation, name);
    *index = fallback;
    if (!text) return FRX_OK;
    char list[200] = "";
    for (int w = 0; words[w]; w++) {
        if (strcmp(words[w], text) == 0) {
            *index = w;
            return FRX_OK;
        }
        const size_t n = strlen(list);
        snprintf(list + n, sizeof list - n, "%s%s", w == 0 ? "" : words[w + 1] ? ", " : " or ", words[w]);
    }
    return frx_user_error("%s: '%s' is not possible; it must be %s", name, text, list);
}

void frx_command_help(const struct frx_command *command, FILE *out) {
    fprintf(out, "flashrex %s - %s\n\nUsage: flashrex %s %s\n\n%s", command->name, command->summary,
            command->name, command->usage, command->text);
    fputs("\nOptions:\n", out);
    for (int o = 0; o < n_option(command); o++) {
        const struct frx_option *option = &command->option[o];
        char name[64] = "    ";
        if (option->letter) snprintf(name, sizeof name, "-%c, ", option->letter);
        const size_t n = strlen(name);
        snprintf(name + n, sizeof name - n, "%s%s%s", option->name, option->value ? " " : "",
                 option->value ? option->value : "");
        fprintf(out, "  %-30s %s\n", name, option->doc);
    }
    fprintf(out, "  %-30s %s\n", "-h, --help", "this text");
}
