/* Commands of the program: what they are called, which options they take, how their --help reads. One file
 * per command (command_<name>.c) exports one `struct frx_command`; main.c finds it in a table. */
#ifndef FRX_APP_COMMAND_H
#define FRX_APP_COMMAND_H

#include "comm.h"
#include "status.h"

#include <stdio.h>

#define FRX_MAX_OPTION 12 /* of one command */

/* Ends in a row without name. --help is understood everywhere and needs no row. */
struct frx_option {
    const char *name;  /* "--frames" */
    const char *value; /* "FILE": takes a value; NULL: a switch */
    const char *doc;
    char letter; /* 'o' for -o; 0: none */
};

struct frx_command;

/* A command line after parsing. */
struct frx_invocation {
    const struct frx_command *command;
    const char
        *value[FRX_MAX_OPTION]; /* by row of command->option: value, "" for a switch, NULL if not given */
    int n_argument;
    char *const *argument; /* [n_argument] what is not an option, in order */
    const struct frx_comm *comm;
};

struct frx_command {
    const char *name, *summary;
    const char *usage; /* "CONFIG [key=value ...]" */
    const char *text;  /* what it does, with examples; lines of at most 100 columns */
    int min_argument, max_argument;
    int one_rank; /* does not run under mpirun with several ranks */
    const struct frx_option *option;
    enum frx_status (*run)(
        const struct frx_invocation *invocation); /* Collective; the same status on all ranks */
};

extern const struct frx_command frx_command_run, frx_command_check, frx_command_info, frx_command_energy,
    frx_command_bench, frx_command_ladder;

/* Sort argv [argc] (what follows the command's name; reordered: options first) into *invocation, which refers
 * to it afterwards. Errors: FRX_ERR_ARGUMENT naming the argument, with what is probably meant. Local. */
FRX_CHECKED enum frx_status frx_command_parse(const struct frx_command *command, int argc, char **argv,
                                              struct frx_invocation *invocation);

/* Value of an option, "" for a switch that is on, NULL if not given. Local. */
const char *frx_option_value(const struct frx_invocation *invocation, const char *name);

/* A whole number in an option, `fallback` if it is not given. Errors: FRX_ERR_ARGUMENT. Local. */
FRX_CHECKED enum frx_status frx_option_integer(const struct frx_invocation *invocation, const char *name,
                                               long min, long max, long fallback, long *value);

/* Index of an option's value among words (the last NULL), `fallback` if not given. Errors: FRX_ERR_ARGUMENT.
 * Local. */
FRX_CHECKED enum frx_status frx_option_choice(const struct frx_invocation *invocation, const char *name,
                                              const char *const *words, int fallback, int *index);

/* The command's --help. Local. */
void frx_command_help(const struct frx_command *command, FILE *out);

#endif
