/* Configs that no editor wrote: cut at every length, every byte changed, directives that the parser of YAML
 * does not survive, very many keys. Each is read or refused with a message that names the place. */
#include "check.h"
#include "config.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PATH "test_config_hostile.yaml"

static const char good[] =
    "# a config\nsystem: \"a b.h5\"\noutput: out\nladder: {t_min: 300, t_max: 4.5e2, n_rungs: 8}\n"
    "dt: 0.004 # ps\nn_timesteps: 1e6\nexchange_scheme: even-odd\nstart: cycle\nseed: 7\n";

static enum frx_status load(const char *bytes, size_t n, struct frx_config *config) {
    unlink(PATH);
    FILE *file = fopen(PATH, "wb");
    CHECK(file && fwrite(bytes, 1, n, file) == n && fclose(file) == 0, "writing %s", PATH);
    return frx_config_load(PATH, 0, NULL, config);
}

/* Read, or refused in a way that says where. Returns whether it was read. */
static int check_outcome(const char *bytes, size_t n) {
    struct frx_config config;
    const enum frx_status status = load(bytes, n, &config);
    CHECK(status == FRX_OK || (status == FRX_ERR_ARGUMENT && strstr(frx_error_message(), PATH)), "%s: %s",
          frx_status_name(status), frx_error_message());
    frx_config_clear(&config);
    return status == FRX_OK;
}

static void check_cuts(void) {
    int n_read = 0;
    for (size_t n = 0; n < sizeof good - 1; n++) n_read += check_outcome(good, n);
    const size_t whole = (size_t)(strstr(good, "exchange_scheme") - good); /* all that is required is there */
    CHECK(n_read > 0 && n_read < (int)(sizeof good - whole) + 2, "%d of the cut ones are read", n_read);
}

static void check_changes(void) {
    static const char bytes[] = "\0\n\t :,#-?&*!|>'\"%@`[]{}\x7f\x80\xff"
                                "0e.";
    char changed[sizeof good];
    int n_read = 0, n_refused = 0;
    for (size_t at = 0; at < sizeof good - 1; at++)
        for (size_t b = 0; b < sizeof bytes - 1; b++) {
            memcpy(changed, good, sizeof good);
            changed[at] = bytes[b];
            if (check_outcome(changed, sizeof good - 1))
                n_read++;
            else
                n_refused++;
        }
    CHECK(n_read > 500 && n_refused > 3000, "%d read, %d refused", n_read, n_refused);
}

static void check_refused(const char *text, const char *words) {
    struct frx_config config;
    CHECK_FAILS(load(text, strlen(text), &config), FRX_ERR_ARGUMENT, words);
    frx_config_clear(&config);
}

/* One of 8 MB is refused for its size; one of many keys in time that does not grow with their square. */
static void check_size(void) {
    char *text = malloc(8 << 20);
    size_t n = 0;
    for (int k = 0; n < (1 << 20) - 16; k++) n += (size_t)sprintf(text + n, "a%d:\n", k);
    const clock_t start = clock();
    check_refused(text, "keys are too many for a config");
    CHECK(clock() - start < 30 * CLOCKS_PER_SEC, "%.1f s", (double)(clock() - start) / CLOCKS_PER_SEC);
    memset(text, ' ', 8 << 20);
    text[(8 << 20) - 1] = '\0';
    check_refused(text, PATH);
    free(text);
}

int main(void) {
    CHECK(check_outcome(good, sizeof good - 1), "%s", frx_error_message());
    check_cuts();
    check_changes();
    check_refused("%YAML 1.2\n---\nsystem: a\n", PATH ":1:1: error: directives");
    check_refused("system: a\n%;\n", PATH ":2:1: error: directives");
    check_refused("%", "directives");
    check_refused("#n\r\r%m", "directives");
    check_refused("system: a\xC3\n", "byte 9 is not UTF-8");
    check_refused("system: \xED\xA0\x80\n", "byte 8 is not UTF-8");
    check_refused("\xEF\xBB\xBF%;", "directives");
    check_size();
    unlink(PATH);
    return frx_check_result();
}
