/* Status codes and the thread's error message.
 *
 * Every function that can fail returns enum frx_status and must not be ignored. The first function to notice
 * a failure calls FRX_FAIL with the offending values; callers only pass it on with FRX_TRY. Nothing below
 * src/app prints, exits or aborts. Library codes (MPI, HDF5, CUDA) are translated at the border by one macro
 * per library, in the folder that uses it. */
#ifndef FRX_CORE_STATUS_H
#define FRX_CORE_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

/* X(name, exit code of the program, one-line meaning). Exit codes are part of the user interface. */
#define FRX_STATUS_LIST(X)                                                                                   \
    X(OK, 0, "success")                                                                                      \
    X(ERR_INTERNAL, 1, "a bug in flashrex")                                                                  \
    X(ERR_ARGUMENT, 2, "bad command line, config or argument")                                               \
    X(ERR_FORMAT, 3, "a file is not what it should be")                                                      \
    X(ERR_IO, 4, "a file cannot be read or written")                                                         \
    X(ERR_EXISTS, 5, "the output exists already, or another run is writing it")                              \
    X(ERR_MODEL, 6, "the model or the structure is not usable")                                              \
    X(ERR_DIVERGED, 7, "a replica diverged")                                                                 \
    X(ERR_MEMORY, 8, "not enough memory")                                                                    \
    X(ERR_DEVICE, 9, "no usable GPU, or the GPU failed")                                                     \
    X(ERR_COMM, 10, "communication between ranks failed")                                                    \
    X(ERR_UNSUPPORTED, 11, "not supported by this build")                                                    \
    X(ERR_INTERRUPTED, 75, "stopped early, can be continued")

enum frx_status {
#define FRX_STATUS_ENUM(name, code, text) FRX_##name,
    FRX_STATUS_LIST(FRX_STATUS_ENUM)
#undef FRX_STATUS_ENUM
};

#define FRX_MESSAGE_SIZE 1024 /* bytes of an error message, terminator included */

#if defined(__GNUC__)
#define FRX_CHECKED      __attribute__((warn_unused_result))
#define FRX_PRINTF(a, b) __attribute__((format(printf, a, b)))
#else
#define FRX_CHECKED
#define FRX_PRINTF(a, b)
#endif

/* Record a failure with its place and return `status`. Use through FRX_FAIL. Local. */
enum frx_status frx_fail(enum frx_status status, const char *file, int line, const char *format, ...)
    FRX_PRINTF(4, 5);

/* Replace this thread's message as it stands, e.g. by one received from another rank. Local. */
void frx_error_set(const char *message);

/* Add "; .." to this thread's message, before its place: what follows from it, what can be done about it. A
 * long message is cut for it. Local. */
void frx_error_add(const char *format, ...) FRX_PRINTF(1, 2);

/* This thread's last message ("" if none): what is wrong, offending values, " (file:line)". Valid until the
 * next failure on this thread. Local. */
const char *frx_error_message(void);

/* Name ("ERR_IO"), meaning ("a file cannot be read or written") and process exit code of a status. Local. */
const char *frx_status_name(enum frx_status status);
const char *frx_status_text(enum frx_status status);
int frx_status_exit_code(enum frx_status status);

/* return FRX_FAIL(FRX_ERR_IO, "cannot open %s: %s", path, strerror(errno)); The value is `status` itself and
 * not what a call returns, so that compilers and static analysis know that it is not FRX_OK. */
#define FRX_FAIL(status, ...) (frx_fail((status), __FILE__, __LINE__, __VA_ARGS__), (status))

/* Evaluate an expression of type enum frx_status; return it from the calling function unless it is FRX_OK. */
#define FRX_TRY(expression)                                                                                  \
    do {                                                                                                     \
        enum frx_status frx_try_status_ = (expression);                                                      \
        if (frx_try_status_ != FRX_OK) return frx_try_status_;                                               \
    } while (0)

#ifdef __cplusplus
}
#endif
#endif
