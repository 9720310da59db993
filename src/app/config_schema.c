#include "config_schema.h"

#include "adapt.h"
#include "rng.h"

#include <string.h>

#define AT(member) offsetof(struct frx_config, member)

const struct frx_key frx_config_key[FRX_N_CONFIG_KEY] = {
    {.section = "What to simulate",
     .name = "system",
     .may_change = 1,
     .kind = FRX_KEY_TEXT,
     .offset = AT(system),
     .unit = "path",
     .required = 1,
     .mlcg = "model_file, structure_file",
     .doc =
         "System file written by flashrex-import: model, molecule, starting structures. A relative path in a "
         "config file is relative to the folder of that file; on the command line, to the working "
         "directory."},
    {.name = "output",
     .may_change = 1,
     .kind = FRX_KEY_TEXT,
     .offset = AT(output),
     .unit = "path",
     .required = 1,
     .mlcg = "filename",
     .doc = "Folder for the results; its parent must exist. A folder that holds a run already is refused, "
            "unless --continue or --overwrite is given. Relative paths as for `system`."},
    {.name = "start",
     .kind = FRX_KEY_INTEGER,
     .offset = AT(start),
     .min = 0,
     .max = 1e9,
     .words = {"cycle"},
     .unit = "",
     .fallback = "cycle",
     .mlcg = "",
     .doc = "Starting structure: `cycle` lets the replicas take the system's structures in turn, a number "
            "(from 0) starts all from that one."},
    {.section = "Temperatures (exactly one of temperatures, betas and ladder)",
     .name = "temperatures",
     .kind = FRX_KEY_REALS,
     .offset = AT(temperatures),
     .min = 1,
     .max = FRX_MAX_KELVIN,
     .unit = "K",
     .mlcg = "betas",
     .doc = "Rungs of the ladder, coldest first. One temperature means plain dynamics."},
    {.name = "betas",
     .kind = FRX_KEY_REALS,
     .offset = AT(betas),
     .min = 1e-3,
     .max = 1e3,
     .unit = "mol/kcal",
     .mlcg = "betas",
     .doc = "The same as 1/(kB T), coldest (largest) first; 1.67739 is 300 K."},
    {.name = "ladder.t_min",
     .kind = FRX_KEY_REAL,
     .offset = AT(t_min),
     .min = 1,
     .max = FRX_MAX_KELVIN,
     .unit = "K",
     .mlcg = "",
     .doc = "Coldest rung of a geometric ladder."},
    {.name = "ladder.t_max",
     .kind = FRX_KEY_REAL,
     .offset = AT(t_max),
     .min = 1,
     .max = FRX_MAX_KELVIN,
     .unit = "K",
     .mlcg = "",
     .doc = "Hottest rung of a geometric ladder."},
    {.name = "ladder.n_rungs",
     .kind = FRX_KEY_INTEGER,
     .offset = AT(n_rungs),
     .min = 2,
     .max = FRX_MAX_RUNG,
     .unit = "",
     .mlcg = "",
     .doc = "Number of rungs; neighbours have the same ratio of temperatures."},
    {.name = "n_ladders",
     .kind = FRX_KEY_INTEGER,
     .offset = AT(n_ladders),
     .min = 1,
     .max = FRX_MAX_REPLICA,
     .unit = "",
     .fallback = "1",
     .mlcg = "number of configurations",
     .doc = "Independent copies of the ladder, which never exchange with each other."},
    {.name = "adapt_ladder",
     .kind = FRX_KEY_INTEGER,
     .offset = AT(adapt_ladder),
     .min = 0,
     .max = FRX_ADAPT_MAX_ROUND,
     .unit = "rounds",
     .fallback = "0",
     .mlcg = "",
     .doc = "Rounds of 2, 4, 8, .. exchanges at the start of the run, after each of which the temperatures "
            "between the coldest and the hottest are moved to equal acceptance; 10 is a good number (2,046 "
            "exchanges). What is sampled meanwhile is kept apart and not counted. 0: temperatures stay as "
            "given."},
    {.section = "Dynamics",
     .name = "dt",
     .kind = FRX_KEY_REAL,
     .offset = AT(dt),
     .min = 1e-6,
     .max = 0.1,
     .unit = "ps",
     .fallback = "0.004",
     .mlcg = "dt",
     .doc = "Time step."},
    {.name = "friction",
     .kind = FRX_KEY_REAL,
     .offset = AT(friction),
     .min = 0,
     .max = 1000,
     .unit = "1/ps",
     .fallback = "1.0",
     .mlcg = "friction",
     .doc = "Friction of the Langevin thermostat; 0 switches the thermostat off (constant energy)."},
    {.name = "n_timesteps",
     .may_change = 1,
     .kind = FRX_KEY_INTEGER,
     .offset = AT(n_timesteps),
     .min = 1,
     .max = 1e15,
     .unit = "steps",
     .required = 1,
     .mlcg = "n_timesteps",
     .doc = "Length of the run."},
    {.name = "seed",
     .kind = FRX_KEY_INTEGER,
     .offset = AT(seed),
     .min = 0,
     .max = (double)FRX_SEED_MAX,
     .unit = "",
     .fallback = "1",
     .mlcg = "random_seed",
     .doc = "Seed of all random numbers. The same seed gives the same run, bit for bit, on any number of "
            "ranks."},
    {.section = "Exchange",
     .name = "exchange_interval",
     .kind = FRX_KEY_INTEGER,
     .offset = AT(exchange_interval),
     .min = 0,
     .max = 1e12,
     .unit = "steps",
     .fallback = "100",
     .mlcg = "exchange_interval",
     .doc = "Steps between exchanges; 0: replicas never exchange."},
    {.name = "exchange_scheme",
     .kind = FRX_KEY_CHOICE,
     .offset = AT(scheme),
     .words = {"even-odd", "stochastic-even-odd", "gibbs"},
     .unit = "",
     .fallback = "even-odd",
     .mlcg = "",
     .doc = "Which pairs try: even and odd neighbours in turn (fastest round trips), even or odd by lot, or "
            "many random "
            "pairs of any two rungs."},
    {.name = "move",
     .kind = FRX_KEY_CHOICE,
     .offset = AT(move),
     .words = {"configurations", "temperatures"},
     .unit = "",
     .fallback = "configurations",
     .mlcg = "",
     .doc = "What travels when an exchange is accepted: configurations, to the slot of their new "
            "temperature, or only "
            "the temperatures. The physics is the same, bit for bit."},
    {.section = "Output",
     .name = "save_interval",
     .kind = FRX_KEY_INTEGER,
     .offset = AT(save_interval),
     .min = 0,
     .max = 1e12,
     .unit = "steps",
     .fallback = "1000",
     .mlcg = "save_interval",
     .doc = "Steps between saved frames; 0: no frames."},
    {.name = "log_interval",
     .may_change = 1,
     .kind = FRX_KEY_INTEGER,
     .offset = AT(log_interval),
     .min = 1,
     .max = 1e12,
     .words = {"auto"},
     .unit = "steps",
     .fallback = "auto",
     .mlcg = "log_interval",
     .doc = "Steps between progress lines in a log; `auto`: one every 30 s. On a terminal one line is kept "
            "up to date "
            "instead."},
    {.name = "checkpoint_interval",
     .may_change = 1,
     .kind = FRX_KEY_REAL,
     .offset = AT(checkpoint_interval),
     .min = 0,
     .max = 1e6,
     .unit = "min",
     .fallback = "15",
     .mlcg = "",
     .doc = "Wall time between checkpoints, from which --continue goes on; 0: one at every exchange at "
            "least. There is always one at the end and when the run is stopped."},
    {.section = "Machine",
     .name = "engine",
     .kind = FRX_KEY_CHOICE,
     .offset = AT(engine),
     .words = {"auto", "cpu", "cuda"},
     .unit = "",
     .fallback = "auto",
     .mlcg = "device",
     .doc = "What computes: `auto` takes the GPU if this build and this machine have one."},
    {.name = "precision",
     .kind = FRX_KEY_CHOICE,
     .offset = AT(precision),
     .words = {"auto", "double", "single", "mixed"},
     .unit = "",
     .fallback = "auto",
     .mlcg = "dtype",
     .doc = "`double` evaluates the filter networks for every pair (slow, the reference); `single` and "
            "`mixed` (16-bit, "
            "GPU) use tables of them; `auto` is single."},
    {.name = "n_threads",
     .may_change = 1,
     .kind = FRX_KEY_INTEGER,
     .offset = AT(n_threads),
     .min = 1,
     .max = 4096,
     .words = {"auto"},
     .unit = "",
     .fallback = "auto",
     .mlcg = "",
     .doc =
         "CPU threads of each rank; `auto`: OMP_NUM_THREADS, else the machine's cores divided by its ranks."},
    {.name = "share_gpus",
     .may_change = 1,
     .kind = FRX_KEY_CHOICE,
     .offset = AT(share_gpus),
     .words = {"no", "yes"},
     .unit = "",
     .fallback = "no",
     .mlcg = "",
     .doc = "Whether several ranks may use one GPU. `no` refuses more ranks than GPUs on a node."},
    {.name = "transport",
     .may_change = 1,
     .kind = FRX_KEY_CHOICE,
     .offset = AT(transport),
     .words = {"auto", "mpi", "nccl"},
     .unit = "",
     .fallback = "auto",
     .mlcg = "",
     .doc =
         "How configurations travel between ranks: `nccl` from GPU to GPU, `mpi` through the hosts' memory; "
         "`auto` takes nccl where every rank has a GPU of its own. The results are the same, bit for bit."},
    {.name = "watchdog",
     .may_change = 1,
     .kind = FRX_KEY_REAL,
     .offset = AT(watchdog),
     .min = 0,
     .max = 1e6,
     .unit = "s",
     .fallback = "300",
     .mlcg = "",
     .doc = "A rank that has waited so long for others ends the run, with a message; 0: ranks wait for ever. "
            "Steps "
            "do not count, and how long they take is allowed for."},
};

static void list_words(const struct frx_key *key, char *text, size_t n_byte) {
    size_t n = 0;
    for (int w = 0; w < FRX_MAX_WORD && key->words[w] && n < n_byte; w++) {
        const int last = w + 1 == FRX_MAX_WORD || !key->words[w + 1];
        n += (size_t)snprintf(text + n, n_byte - n, "%s%s",
                              w == 0 ? ""
                              : last ? " or "
                                     : ", ",
                              key->words[w]);
    }
}

void frx_key_describe(const struct frx_key *key, char *text, size_t n_byte) {
    char words[80] = "";
    list_words(key, words, sizeof words);
    switch (key->kind) {
    case FRX_KEY_TEXT:
        snprintf(text, n_byte, "a %s", key->unit);
        return;
    case FRX_KEY_CHOICE:
        snprintf(text, n_byte, "%s", words);
        return;
    case FRX_KEY_INTEGER:
        snprintf(text, n_byte, "%s%sa whole number from %.0f to %.*g", words, words[0] ? " or " : "",
                 key->min, key->max > 1e6 ? 3 : 7, key->max);
        return;
    case FRX_KEY_REAL:
        snprintf(text, n_byte, "a number from %g to %g %s", key->min, key->max, key->unit);
        return;
    case FRX_KEY_REALS:
        snprintf(text, n_byte, "a list of numbers from %g to %g %s, as in [%s]", key->min, key->max,
                 key->unit, strcmp(key->unit, "K") == 0 ? "300, 320, 342" : "1.67739, 1.57255, 1.47139");
        return;
    }
}

static void print_wrapped(const char *text, int indent, int width, FILE *out) {
    int column = 0;
    while (*text) {
        const int n = (int)strcspn(text, " ");
        if (column == 0)
            fprintf(out, "%*s", indent, ""), column = indent;
        else if (column + 1 + n > width)
            fprintf(out, "\n%*s", indent, ""), column = indent;
        else
            fputc(' ', out), column++;
        fprintf(out, "%.*s", n, text);
        column += n;
        text += n;
        while (*text == ' ') text++;
    }
    fputc('\n', out);
}

/* ", steps" for numbers whose range does not say the unit already. */
static void append_unit(const struct frx_key *key, char *text, size_t n_byte) {
    const size_t n = strlen(text);
    if (key->kind == FRX_KEY_INTEGER && key->unit[0]) snprintf(text + n, n_byte - n, ", in %s", key->unit);
}

void frx_config_help(int markdown, FILE *out) {
    for (const struct frx_key *key = frx_config_key; key < frx_config_key + FRX_N_CONFIG_KEY; key++) {
        char value[200];
        frx_key_describe(key, value, sizeof value);
        append_unit(key, value, sizeof value);
        const char *fallback = key->required ? "required" : key->fallback ? key->fallback : "";
        if (markdown) {
            if (key->section)
                fprintf(
                    out,
                    "\n### %s\n\n| key | value | default | may change on --continue | in mlcg | meaning |\n"
                    "|---|---|---|---|---|---|\n",
                    key->section);
            fprintf(out, "| `%s` | %s | %s | %s | %s | %s |\n", key->name, value, fallback,
                    key->may_change ? "yes" : "no", key->mlcg, key->doc);
        } else {
            if (key->section) fprintf(out, "%s%s\n", key == frx_config_key ? "" : "\n", key->section);
            fprintf(out, "  %s%s%s\n", key->name, fallback[0] ? ": " : "", fallback);
            print_wrapped(key->doc, 6, 96, out);
            fprintf(out, "      Value: %s.%s%s%s%s\n", value,
                    key->may_change ? " May change on --continue." : "", key->mlcg[0] ? " In mlcg: " : "",
                    key->mlcg, key->mlcg[0] ? "." : "");
        }
    }
}
