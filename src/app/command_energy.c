/* flashrex energy */
#include "command.h"
#include "engines.h"
#include "evaluate.h"
#include "json.h"
#include "system_file.h"
#include "version.h"

#include <stdlib.h>
#include <string.h>

/* At most this many columns of numbers side by side. */
#define MAX_COLUMN 7

static const char *part_label(const struct frx_frames *frames, int column) {
    return column == 0 ? "energy" : frames->part_name[column - 1];
}

static double part_value(const struct frx_frames *frames, int frame, int column) {
    return column == 0 ? frames->energy[frame]
                       : frames->parts[(size_t)frame * (size_t)frames->n_part + column - 1];
}

/* Few terms: a row for each frame. */
static void print_by_frame(const struct frx_frames *frames, FILE *out) {
    fprintf(out, "%6s", "frame");
    for (int c = 0; c <= frames->n_part; c++) fprintf(out, " %15.15s", part_label(frames, c));
    fputc('\n', out);
    for (int f = 0; f < frames->n_frame; f++) {
        fprintf(out, "%6d", f);
        for (int c = 0; c <= frames->n_part; c++) fprintf(out, " %15.6f", part_value(frames, f, c));
        fputc('\n', out);
    }
}

/* Many terms: a row for each term, frames in blocks. */
static void print_by_term(const struct frx_frames *frames, FILE *out) {
    int width = 6;
    for (int c = 0; c <= frames->n_part; c++) {
        const int n = (int)strlen(part_label(frames, c));
        if (n > width) width = n;
    }
    for (int first = 0; first < frames->n_frame; first += MAX_COLUMN - 1) {
        const int end = first + MAX_COLUMN - 1 < frames->n_frame ? first + MAX_COLUMN - 1 : frames->n_frame;
        fprintf(out, "%s%-*s", first ? "\n" : "", width, "frame");
        for (int f = first; f < end; f++) fprintf(out, " %14d", f);
        fputc('\n', out);
        for (int c = 0; c <= frames->n_part; c++) {
            fprintf(out, "%-*s", width, part_label(frames, c));
            for (int f = first; f < end; f++) fprintf(out, " %14.6f", part_value(frames, f, c));
            fputc('\n', out);
        }
    }
}

static void print_json(const struct frx_frames *frames, const char *system, const char *engine,
                       enum frx_precision precision, FILE *out) {
    struct frx_json json = frx_json_begin(out);
    frx_json_text(&json, "system", system);
    frx_json_text(&json, "engine", engine);
    frx_json_text(&json, "precision", frx_precision_name(precision));
    frx_json_text(&json, "unit", "kcal/mol");
    frx_json_array(&json, "frames");
    for (int f = 0; f < frames->n_frame; f++) {
        frx_json_object(&json, NULL);
        frx_json_real(&json, "energy", frames->energy[f]);
        frx_json_object(&json, "parts");
        for (int c = 1; c <= frames->n_part; c++)
            frx_json_real(&json, part_label(frames, c), part_value(frames, f, c));
        frx_json_close(&json);
        frx_json_close(&json);
    }
    frx_json_end(&json);
}

/* The frames to evaluate: from a file, or the system's own structures. */
static enum frx_status load_frames(const char *path, const struct frx_system *system,
                                   struct frx_frames *frames) {
    if (path) return frx_frames_read(path, frames);
    const size_t n_byte = 3 * (size_t)system->n_structure * (size_t)system->n_bead * sizeof(double);
    *frames = (struct frx_frames){
        .n_frame = system->n_structure, .n_bead = system->n_bead, .positions = malloc(n_byte)};
    if (!frames->positions)
        return FRX_FAIL(FRX_ERR_MEMORY, "out of memory for %d frames", system->n_structure);
    memcpy(frames->positions, system->structures, n_byte);
    return FRX_OK;
}

struct how {
    const struct frx_engine_class *engine_class;
    enum frx_precision precision;
};

static enum frx_status choose(const struct frx_invocation *invocation, struct how *how) {
    int engine, precision;
    FRX_TRY(frx_option_choice(invocation, "--engine", frx_engine_words, FRX_CONFIG_ENGINE_CPU, &engine));
    FRX_TRY(frx_option_choice(invocation, "--precision", frx_precision_words, FRX_CONFIG_PRECISION_AUTO,
                              &precision));
    FRX_TRY(frx_engine_choose((enum frx_config_engine)engine, 0, &how->engine_class));
    if (precision == FRX_CONFIG_PRECISION_AUTO && engine == FRX_CONFIG_ENGINE_CPU)
        precision = FRX_CONFIG_PRECISION_DOUBLE; /* here exactness is worth more than speed */
    how->precision = frx_precision_choose((enum frx_config_precision)precision);
    return FRX_OK;
}

static enum frx_status evaluate(const struct frx_invocation *invocation, const struct how *how,
                                const struct frx_system *system, struct frx_frames *frames) {
    FRX_TRY(load_frames(frx_option_value(invocation, "--frames"), system, frames));
    FRX_TRY(frx_evaluate(how->engine_class, system, how->precision,
                         frx_threads_choose(invocation->comm, FRX_AUTO), frames));
    const char *output = frx_option_value(invocation, "--output");
    if (output)
        FRX_TRY(frx_frames_write(output, frames, "flashrex " FRX_VERSION,
                                 frx_option_value(invocation, "--overwrite") != NULL));
    if (frx_option_value(invocation, "--json"))
        print_json(frames, invocation->argument[0], how->engine_class->name, how->precision, stdout);
    else if (frames->n_part < MAX_COLUMN)
        print_by_frame(frames, stdout);
    else
        print_by_term(frames, stdout);
    return FRX_OK;
}

static enum frx_status run(const struct frx_invocation *invocation) {
    struct frx_system system = {0};
    struct frx_frames frames = {0};
    struct how how;
    FRX_TRY(choose(invocation, &how));
    enum frx_status status = frx_system_read(invocation->argument[0], &system);
    if (status == FRX_OK) status = evaluate(invocation, &how, &system, &frames);
    frx_frames_clear(&frames);
    frx_system_clear(&system);
    return status;
}

static const struct frx_option option[] = {
    {"--frames", "FILE", "frames file (HDF5 with `positions`, Angstrom); else the system's structures", 0},
    {"--engine", "NAME", "cpu (default), cuda or auto", 0},
    {"--precision", "NAME", "double (default on the CPU), single or mixed", 0},
    {"--output", "FILE", "write energies, forces and parts there, too (HDF5)", 'o'},
    {"--overwrite", NULL, "replace that file", 0},
    {"--json", NULL, "print JSON instead of a table", 0},
    {0}};

const struct frx_command frx_command_energy = {
    .name = "energy",
    .summary = "energies and forces of given frames, term by term",
    .usage = "SYSTEM [options]",
    .text = "Evaluates frames and prints the potential energy and each of its terms, in kcal/mol: SchNet is\n"
            "the network, the others are the priors by their names. Forces go into the file of --output.\n\n"
            "Examples:\n"
            "  flashrex energy chignolin.h5\n"
            "  flashrex energy chignolin.h5 --frames frames.h5 -o energies.h5\n"
            "  flashrex energy chignolin.h5 --precision single --json\n",
    .min_argument = 1,
    .max_argument = 1,
    .one_rank = 1,
    .option = option,
    .run = run};
