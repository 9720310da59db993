/* Numbers as people and as programs like to read them. All functions are Local; those with `text` write into
 * it and return it. */
#ifndef FRX_APP_PRINT_H
#define FRX_APP_PRINT_H

#include <stdint.h>
#include <stdio.h>

#define FRX_NUMBER_SIZE 32

/* 1,250,000 */
const char *frx_number(int64_t value, char text[FRX_NUMBER_SIZE]);

/* About four digits, grouped: 1,204 or 75.21 or 0.00312 */
const char *frx_figure(double value, char text[FRX_NUMBER_SIZE]);

/* 12 MB, 1.4 GB */
const char *frx_bytes(double n_byte, char text[FRX_NUMBER_SIZE]);

/* 42 s, 3 min 20 s, 5 h 12 min, 3 d 4 h */
const char *frx_duration(double seconds, char text[FRX_NUMBER_SIZE]);

/* The shortest decimal that reads back as the same double. */
void frx_print_real(double value, FILE *out);

/* A string in double quotes, escaped as JSON and YAML both understand. */
void frx_print_quoted(const char *text, FILE *out);

/* Foreign text for a terminal: control characters but line breaks become question marks. Changes `text`,
 * which may be NULL, and returns it. Local. */
char *frx_harmless(char *text);

#endif
