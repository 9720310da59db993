/* Errors that the user made and can mend: no place in our source behind them. */
#ifndef FRX_APP_USER_ERROR_H
#define FRX_APP_USER_ERROR_H

#include "status.h"

/* Set the error message and return FRX_ERR_ARGUMENT. Say what would be right. Local. */
FRX_CHECKED enum frx_status frx_user_error(const char *format, ...) FRX_PRINTF(1, 2);

#endif
