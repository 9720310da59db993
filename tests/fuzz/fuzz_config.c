/* Configs: the input is the text of the file and, after zero bytes, arguments `key=value`. What is accepted
 * must survive being written out: the text of a config gives the same config. */
#include "config.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>

#define MAX_ARGUMENT 8

static void check_written(const struct frx_config *config) {
    char *text = frx_config_text(config);
    frx_fuzz_require(text != NULL, "a config has a text");
    struct frx_config again;
    const char *path = frx_fuzz_file("again.yaml", text, strlen(text));
    const enum frx_status status = frx_config_load(path, 0, NULL, &again);
    if (status != FRX_OK) fprintf(stderr, "%s\n%s\n", text, frx_error_message());
    frx_fuzz_require(status == FRX_OK, "the text of a config can be read");
    char *second = frx_config_text(&again);
    frx_fuzz_require(second && strcmp(text, second) == 0, "the text of a config gives the same config");
    frx_fuzz_require(frx_config_check_unchanged(config, text) == FRX_OK, "a config is as it was");
    free(text);
    free(second);
    frx_config_clear(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *copy = malloc(size + 1), *argument[MAX_ARGUMENT];
    frx_fuzz_require(copy != NULL, "memory");
    if (size) memcpy(copy, data, size);
    copy[size] = '\0';
    int n_argument = 0;
    const size_t n_text = strlen(copy);
    for (size_t at = n_text + 1; at <= size && n_argument < MAX_ARGUMENT; at += strlen(copy + at) + 1)
        argument[n_argument++] = copy + at;
    struct frx_config config;
    const char *path = frx_fuzz_file("fuzz.yaml", copy, n_text);
    if (frx_config_load(path, n_argument, argument, &config) == FRX_OK)
        check_written(&config);
    else
        frx_fuzz_require(frx_error_message()[0] != '\0', "a refusal has a message");
    frx_config_clear(&config);
    free(copy);
    return 0;
}
