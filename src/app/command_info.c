/* flashrex info */
#include "command.h"
#include "engines.h"
#include "evaluate.h"
#include "file_info.h"
#include "print.h"
#include "system_file.h"
#include "units.h"

#include <math.h>
#include <string.h>

static void print_network(const struct frx_network *network, FILE *out) {
    fprintf(out,
            "network    SchNet: %d interactions, %d features, %d filters, %d %s functions, cutoff %g A, %d "
            "types\n",
            network->n_interaction, network->n_hidden, network->n_filter, network->basis.n_basis,
            network->basis.name, network->r_cut, network->n_type);
}

static enum frx_status describe_system(const char *path, int verify, int n_thread, FILE *out) {
    struct frx_system system = {0};
    FRX_TRY(frx_system_read(path, &system));
    if (system.network)
        print_network(system.network, out);
    else
        fputs("network    none\n", out);
    for (int p = 0; p < system.n_prior; p++) {
        const struct frx_prior *prior = &system.prior[p];
        fprintf(out, "%-10s %-24s %7d terms, %s %s\n", p ? "" : "priors", prior->name, prior->n_term,
                frx_form_name(prior->form), frx_feature_name(prior->feature));
    }
    fprintf(out, "structures %d\n", system.n_structure);
    fprintf(out, "source     %s\n", system.source ? frx_harmless(system.source) : "unknown");
    enum frx_status status = FRX_OK;
    if (!system.known_answer)
        fputs("known answer: none in the file\n", out);
    else if (verify) {
        struct frx_verification found;
        status = frx_verify(&system, n_thread, &found);
        if (status == FRX_OK)
            fprintf(out, "verified   the known answer is met: energy within %.1e, forces within %.1e\n",
                    found.energy_error, found.force_error);
    }
    frx_system_clear(&system);
    return status;
}

/* How the run mixed by its last commit. */
static void describe_mixing(const struct frx_file_info *info, FILE *out) {
    if (!info->acceptance) return;
    const double n = (double)info->n_mixing * info->n_ladder;
    const double n_trip = info->round_trip_rate * n;
    double barrier = 0;
    char number[FRX_NUMBER_SIZE];
    fprintf(out, "acceptance");
    for (int p = 0; p < info->n_rung - 1; p++) {
        barrier += 1 - info->acceptance[p];
        fprintf(out, " %.3f", info->acceptance[p]);
    }
    fprintf(out, " (barrier %.2f)\ntrips      %.0f round trip%s in %s exchange%s", barrier, n_trip,
            llround(n_trip) == 1 ? "" : "s", frx_number(info->n_mixing, number),
            info->n_mixing == 1 ? "" : "s");
    if (isfinite(info->predicted_round_trip_rate))
        fprintf(out, "; %.1f if replicas forgot their energy between them",
                info->predicted_round_trip_rate * n);
    fputc('\n', out);
}

static void describe_run(const struct frx_file_info *info, FILE *out) {
    char number[FRX_NUMBER_SIZE], last[FRX_NUMBER_SIZE];
    fprintf(out, "system     %s\n", info->system_path);
    fprintf(out, "replicas   %d temperature%s", info->n_rung, info->n_rung == 1 ? "" : "s");
    if (info->n_rung == 1)
        fprintf(out, ", %.5g K", FRX_KELVIN_OF_BETA(info->beta[0]));
    else if (info->n_rung > 1)
        fprintf(out, " from %.5g to %.5g K", FRX_KELVIN_OF_BETA(info->beta[0]),
                FRX_KELVIN_OF_BETA(info->beta[info->n_rung - 1]));
    fprintf(out, ", %d ladder%s\n", info->n_ladder, info->n_ladder == 1 ? "" : "s");
    fprintf(out, "frames     %s", frx_number(info->n_frame, number));
    if (info->n_frame > 0)
        fprintf(out, ", steps %s to %s (%g ns)", frx_number(info->first_step, number),
                frx_number(info->last_step, last), (double)info->last_step * info->timestep / FRX_PS_PER_NS);
    fprintf(out, "\nexchanges  %s\n", frx_number(info->n_exchange, number));
    describe_mixing(info, out);
    if (info->n_adapting[1] > 0)
        fprintf(
            out,
            "adapting   %s frames and %s exchanges before these, to place the temperatures: not counted\n",
            frx_number(info->n_adapting[0], number), frx_number(info->n_adapting[1], last));
    fprintf(out, "segments   %d\n", info->n_segment);
    fprintf(out, "seed       %llu\n", (unsigned long long)info->seed);
    if (info->config) fprintf(out, "\nconfig\n%s", info->config);
    if (info->build) fprintf(out, "\nbuild\n%s\n", info->build);
}

static enum frx_status run(const struct frx_invocation *invocation) {
    const char *path = invocation->argument[0];
    const int verify = frx_option_value(invocation, "--verify") != NULL;
    struct frx_file_info info;
    FRX_TRY(frx_file_info_read(path, &info));
    char size[FRX_NUMBER_SIZE];
    printf("%s: %s, version %d, %s, %d beads\n", path, frx_file_kind_name(info.kind), info.version,
           frx_bytes((double)info.n_byte, size), info.n_bead);
    frx_harmless(info.config), frx_harmless(info.build), frx_harmless(info.system_path);
    if (info.generator) printf("written by %s\n", frx_harmless(info.generator));
    if (info.sha256[0])
        printf("sha256     %s%s\n", info.sha256, info.kind == FRX_FILE_RUN ? " (system)" : "");
    enum frx_status status = FRX_OK;
    if (info.kind == FRX_FILE_SYSTEM)
        status = describe_system(path, verify, frx_threads_choose(invocation->comm, FRX_AUTO), stdout);
    else if (info.kind == FRX_FILE_RUN)
        describe_run(&info, stdout);
    else
        printf("frames     %lld\n", (long long)info.n_frame);
    frx_file_info_clear(&info);
    return status;
}

static const struct frx_option option[] = {
    {"--verify", NULL, "evaluate a system's known-answer frame and compare", 0}, {0}};

const struct frx_command frx_command_info = {
    .name = "info",
    .summary = "what is in a file or a run folder?",
    .usage = "FILE [options]",
    .text = "FILE is a system file, a frames file, the output folder of a run or one of its segments.\n\n"
            "Examples:\n"
            "  flashrex info chignolin.h5 --verify\n"
            "  flashrex info chignolin-run\n",
    .min_argument = 1,
    .max_argument = 1,
    .one_rank = 1,
    .option = option,
    .run = run};
