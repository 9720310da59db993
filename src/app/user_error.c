#include "user_error.h"

#include <stdarg.h>
#include <stdio.h>

enum frx_status frx_user_error(const char *format, ...) {
    char message[FRX_MESSAGE_SIZE];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    frx_error_set(message);
    return FRX_ERR_ARGUMENT;
}
