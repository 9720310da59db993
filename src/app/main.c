/* The program: finds the command, starts MPI, and is the one place that prints errors and decides exit codes.
 */
#include "command.h"
#include "config.h"
#include "same_input.h"
#include "suggest.h"
#include "user_error.h"
#include "version.h"

#include <mpi.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static const struct frx_command *const commands[] = {&frx_command_check,  &frx_command_ladder,
                                                     &frx_command_run,    &frx_command_info,
                                                     &frx_command_energy, &frx_command_bench};
#define N_COMMAND ((int)(sizeof commands / sizeof *commands))

static void print_help(FILE *out) {
    fputs("flashrex - replica exchange for coarse-grained neural-network proteins\n\n"
          "Usage: flashrex COMMAND ...\n\nCommands:\n",
          out);
    for (int c = 0; c < N_COMMAND; c++) fprintf(out, "  %-10s %s\n", commands[c]->name, commands[c]->summary);
    fputs("  help       explain a command (help run) or all keys of a config (help config)\n\n"
          "A first run:\n"
          "  flashrex-import model_and_prior.pt --structures structures.pt -o protein.h5\n"
          "  flashrex check protein.yaml            is everything there, and how long will it take?\n"
          "  flashrex ladder protein.yaml           how many temperatures, and which?\n"
          "  flashrex run protein.yaml              on this machine\n"
          "  mpirun -n 4 flashrex run protein.yaml  the same run, bit for bit, on four ranks\n\n"
          "where protein.yaml holds at least\n"
          "  system: protein.h5\n"
          "  output: protein-run\n"
          "  ladder: {t_min: 300, t_max: 450, n_rungs: 8}\n"
          "  n_timesteps: 1e6\n\n"
          "Options: --help, --version. Exit codes: 0 success, 75 stopped early by a signal",
          out);
    fputs(", others are errors (user guide).\n", out);
}

static void print_version(FILE *out) {
    fprintf(out, "flashrex %s (%s)\n", FRX_VERSION, FRX_VERSION_COMMIT);
    fprintf(out, "build      %s, %s%s%s\n", FRX_BUILD_TYPE, FRX_BUILD_COMPILER,
            FRX_BUILD_SANITIZE[0] ? ", sanitizers " : "", FRX_BUILD_SANITIZE);
    fprintf(out, "target     %s\nlibraries  %s\nCUDA       %s\n", FRX_BUILD_TARGET, FRX_BUILD_LIBRARIES,
            FRX_BUILD_CUDA);
}

/* Config errors carry their own "file:line:column: error:", which editors can jump to. */
static void print_error(enum frx_status status) {
    const char *message = frx_error_message();
    fflush(stdout);
    if (status == FRX_ERR_INTERRUPTED)
        fprintf(stderr, "flashrex: %s\n", message);
    else if (strstr(message, ": error: "))
        fprintf(stderr, "%s\n", message);
    else
        fprintf(stderr, "flashrex: error: %s\n", message[0] ? message : frx_status_text(status));
}

static enum frx_status find_command(const char *name, const struct frx_command **command) {
    const char *names[N_COMMAND];
    for (int c = 0; c < N_COMMAND; c++) {
        names[c] = commands[c]->name;
        *command = commands[c];
        if (strcmp(name, names[c]) == 0) return FRX_OK;
    }
    const char *near = frx_suggest(name, N_COMMAND, names);
    return frx_user_error("unknown %s '%s'%s%s%s (see `flashrex --help`)",
                          name[0] == '-' ? "option" : "command", name, near ? "; did you mean '" : "",
                          near ? near : "", near ? "'?" : "");
}

static int help(int argc, char **argv) {
    const struct frx_command *command;
    if (argc < 1)
        print_help(stdout);
    else if (strcmp(argv[0], "config") == 0)
        frx_config_help(argc > 1 && strcmp(argv[1], "--markdown") == 0, stdout);
    else if (find_command(argv[0], &command) == FRX_OK)
        frx_command_help(command, stdout);
    else {
        print_error(FRX_ERR_ARGUMENT);
        return frx_status_exit_code(FRX_ERR_ARGUMENT);
    }
    return 0;
}

/* One program, started in one way, on all ranks: whatever differs would leave ranks waiting for each other.
 */
static enum frx_status compare_start(const struct frx_comm *comm, int argc, char **argv) {
    char text[FRX_MESSAGE_SIZE];
    size_t n =
        (size_t)snprintf(text, sizeof text, "%s (%s, %s)\n", FRX_VERSION, FRX_VERSION_COMMIT, FRX_BUILD_TYPE);
    for (int a = 1; a < argc && n < sizeof text; a++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", a > 1 ? " " : "", argv[a]);
    return frx_same_text(comm, "flashrex", text);
}

static enum frx_status run_command(const struct frx_comm *comm, int argc, char **argv) {
    struct frx_invocation invocation;
    const struct frx_command *command;
    FRX_TRY(compare_start(comm, argc, argv));
    FRX_TRY(find_command(argv[1], &command));
    FRX_TRY(frx_command_parse(command, argc - 2, argv + 2, &invocation));
    if (command->one_rank && comm->size > 1)
        return frx_user_error("flashrex %s runs on one rank: start it without mpirun or srun", command->name);
    invocation.comm = comm;
    return command->run(&invocation);
}

/* Whether the command line only asks for text, for which MPI need not start. */
static int asks_for_help(int argc, char **argv) {
    for (int a = 2; a < argc && strcmp(argv[a], "--") != 0; a++)
        if (strcmp(argv[a], "--help") == 0 || strcmp(argv[a], "-h") == 0) return 1;
    return 0;
}

int main(int argc, char **argv) {
    if (argc < 2) {
        print_help(stderr);
        return frx_status_exit_code(FRX_ERR_ARGUMENT);
    }
    if (strcmp(argv[1], "help") == 0) return help(argc - 2, argv + 2);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) return help(0, NULL);
    if (asks_for_help(argc, argv)) return help(1, argv + 1);
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        print_version(stdout);
        return 0;
    }

    signal(SIGXFSZ, SIG_IGN); /* a limit on file sizes is an error to report, not a reason to die */
    int provided;
    MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
    struct frx_comm comm = {0};
    enum frx_status status = frx_comm_create(MPI_COMM_WORLD, &comm);
    if (status == FRX_OK) status = run_command(&comm, argc, argv);
    if (status != FRX_OK && comm.rank == 0) print_error(status);
    frx_comm_destroy(&comm);
    MPI_Finalize();
    return frx_status_exit_code(status);
}
