/* Status codes and messages: what the first failure says reaches the caller unchanged, per thread. */
#include "check.h"

#include <string.h>

static enum frx_status inner(int value) {
    if (value > 3) return FRX_FAIL(FRX_ERR_ARGUMENT, "value %d is above %d", value, 3);
    return FRX_OK;
}

static enum frx_status outer(int value, int *reached) {
    FRX_TRY(inner(value));
    *reached = 1;
    return FRX_OK;
}

int main(void) {
    int reached = 0;
    CHECK_OK(outer(3, &reached));
    CHECK(reached, "the caller goes on after success");
    reached = 0;
    CHECK_FAILS(outer(4, &reached), FRX_ERR_ARGUMENT, "value 4 is above 3 (test_status.c:");
    CHECK(!reached, "the caller returns at the failure");

    /* Quoting the previous message must not read what is being overwritten. */
    (void)FRX_FAIL(FRX_ERR_IO, "while starting: %s", frx_error_message());
    CHECK(strncmp(frx_error_message(), "while starting: value 4", 23) == 0, "%s", frx_error_message());

    /* An endless message is cut, keeps its place and its terminator. */
    char longer[2 * FRX_MESSAGE_SIZE];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    (void)FRX_FAIL(FRX_ERR_IO, "%s", longer);
    CHECK(strlen(frx_error_message()) < FRX_MESSAGE_SIZE, "terminated");
    CHECK(strstr(frx_error_message(), "(test_status.c:"), "place survives");

    /* What is added comes before the place, and cuts the message if it must. */
    frx_error_add("try %d", 5);
    CHECK(strlen(frx_error_message()) == FRX_MESSAGE_SIZE - 1 &&
              strstr(frx_error_message(), "xx; try 5 (test_status.c:"),
          "%s", frx_error_message());
    (void)inner(4);
    frx_error_add("try %d", 3);
    CHECK(strncmp(frx_error_message(), "value 4 is above 3; try 3 (test_status.c:", 41) == 0, "%s",
          frx_error_message());
    frx_error_set("a (b), c (d.c:x)");
    frx_error_add("e");
    CHECK(strcmp(frx_error_message(), "a (b), c (d.c:x); e") == 0, "%s", frx_error_message());

    CHECK(strcmp(frx_status_name(FRX_ERR_DIVERGED), "ERR_DIVERGED") == 0, "%s",
          frx_status_name(FRX_ERR_DIVERGED));
    CHECK(frx_status_exit_code(FRX_OK) == 0 && frx_status_exit_code(FRX_ERR_INTERRUPTED) == 75, "exit codes");
    return frx_check_result();
}
