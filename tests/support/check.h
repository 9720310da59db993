/* Checks for plain C test mains: print what failed and where, count, and let main return frx_check_result().
 */
#ifndef FRX_TESTS_CHECK_H
#define FRX_TESTS_CHECK_H

#include "status.h"

#include <math.h>
#include <stdio.h>

#define FRX_TEST_SKIP 77 /* exit code that ctest counts as skipped */

static int frx_check_failures;

/* CHECK(condition, "what it means: %g", value) */
#define CHECK(condition, ...)                                                                                \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            frx_check_failures++;                                                                            \
            fprintf(stderr, "%s:%d: failed: %s: ", __FILE__, __LINE__, #condition);                          \
            fprintf(stderr, __VA_ARGS__);                                                                    \
            fputc('\n', stderr);                                                                             \
        }                                                                                                    \
    } while (0)

/* |value - expected| <= tolerance, also false for NaN */
#define CHECK_NEAR(value, expected, tolerance)                                                               \
    CHECK(fabs((double)(value) - (double)(expected)) <= (tolerance), "%.17g, expected %.17g within %g",      \
          (double)(value), (double)(expected), (double)(tolerance))

/* The call succeeds; otherwise its message is shown. */
#define CHECK_OK(call)                                                                                       \
    do {                                                                                                     \
        enum frx_status check_status_ = (call);                                                              \
        CHECK(check_status_ == FRX_OK, "%s: %s", frx_status_name(check_status_), frx_error_message());       \
    } while (0)

/* The call fails with this status and says this. */
#define CHECK_FAILS(call, expected, words)                                                                   \
    do {                                                                                                     \
        enum frx_status check_status_ = (call);                                                              \
        CHECK(check_status_ == (expected), "%s, expected %s", frx_status_name(check_status_),                \
              frx_status_name(expected));                                                                    \
        CHECK(check_status_ == FRX_OK || strstr(frx_error_message(), (words)), "message is \"%s\"",          \
              frx_error_message());                                                                          \
    } while (0)

static inline int frx_check_result(void) {
    if (frx_check_failures) fprintf(stderr, "%d checks failed\n", frx_check_failures);
    return frx_check_failures != 0;
}

#endif
