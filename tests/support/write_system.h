/* Writing a system file from C, for tests only: tools/ writes the real ones. */
#ifndef FRX_TESTS_WRITE_SYSTEM_H
#define FRX_TESTS_WRITE_SYSTEM_H

#include "system.h"

/* Write the system to `path`, replacing it; strings that are NULL become "test". Ends the program with a
 * message on failure. Needs frx_io. */
void frx_test_system_write(const char *path, const struct frx_system *system);

/* Write a small system that has everything a file can have: a network, a term of every prior, a bond and a
 * known answer (of zeros). Ends the program when memory is out. */
void frx_test_system_write_small(const char *path);

#endif
