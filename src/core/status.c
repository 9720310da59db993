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

/* Where " (file:line)" begins at the end of a message; its end, if there is none. */
static const char *find_place(const char *message) {
    const char *place = strrchr(message, '(');
    int n = 0;
    if (place && place > message && sscanf(place, "(%*[^ :()]:%*[0-9])%n", &n) == 0 && n > 0 && !place[n])
        return place - 1;
    return message + strlen(message);
}

void frx_error_add(const char *format, ...) {
    char message[FRX_MESSAGE_SIZE], addition[FRX_MESSAGE_SIZE / 2];
    va_list args;
    va_start(args, format);
    vsnprintf(addition, sizeof addition, format, args);
    va_end(args);
    memcpy(message, error_message, sizeof message);
    const char *place = find_place(message);
    const int room = FRX_MESSAGE_SIZE - 3 - (int)(strlen(addition) + strlen(place));
    const int n = (int)(place - message);
    snprintf(error_message, sizeof error_message, "%.*s; %s%.79s", n < room ? n : room, message, addition,
             place);
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
