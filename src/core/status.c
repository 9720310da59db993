#include "status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char error_message[FRX_MESSAGE_SIZE];

static const struct {
    const char *name, *text;
    int exit_code;
} status_table[] = {
#define FRX_STATUS_ROW(name, code, text) {#name, text, code},
    FRX_STATUS_LIST(FRX_STATUS_ROW)
#undef FRX_STATUS_ROW
};

enum frx_status frx_fail(enum frx_status status, const char *file, int line, const char *format, ...) {
    /* The text may quote the previous message ("%s", frx_error_message()), so it is built aside first. */
    char text[FRX_MESSAGE_SIZE];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    const char *base = strrchr(file, '/');
    char place[80];
    int n_place = snprintf(place, sizeof place, " (%s:%d)", base ? base + 1 : file, line);
    if (n_place >= (int)sizeof place) n_place = (int)sizeof place - 1;
    snprintf(error_message, sizeof error_message, "%.*s%s", FRX_MESSAGE_SIZE - 1 - n_place, text, place);
    return status;
}

void frx_error_set(const char *message) {
    snprintf(error_message, sizeof error_message, "%s", message);
}

const char *frx_error_message(void) {
    return error_message;
}

const char *frx_status_name(enum frx_status status) {
    return status_table[status].name;
}

const char *frx_status_text(enum frx_status status) {
    return status_table[status].text;
}

int frx_status_exit_code(enum frx_status status) {
    return status_table[status].exit_code;
}
