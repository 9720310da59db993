#include "print.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *frx_number(int64_t value, char text[FRX_NUMBER_SIZE]) {
    char digits[24];
    const int n = snprintf(digits, sizeof digits, "%lld", (long long)(value < 0 ? -value : value));
    char *out = text;
    if (value < 0) *out++ = '-';
    for (int i = 0; i < n; i++) {
        if (i && (n - i) % 3 == 0) *out++ = ',';
        *out++ = digits[i];
    }
    *out = '\0';
    return text;
}

const char *frx_figure(double value, char text[FRX_NUMBER_SIZE]) {
    if (!isfinite(value) || fabs(value) > 1e15)
        snprintf(text, FRX_NUMBER_SIZE, "%g", value);
    else if (fabs(value) >= 1000)
        return frx_number(llround(value), text);
    else
        snprintf(text, FRX_NUMBER_SIZE, "%.4g", value);
    return text;
}

const char *frx_bytes(double n_byte, char text[FRX_NUMBER_SIZE]) {
    static const char *const unit[] = {"bytes", "KB", "MB", "GB", "TB", "PB"};
    int u = 0;
    while (n_byte >= 1000 && u < 5) n_byte /= 1000, u++;
    snprintf(text, FRX_NUMBER_SIZE, n_byte < 10 && u ? "%.1f %s" : "%.0f %s", n_byte, unit[u]);
    return text;
}

const char *frx_duration(double seconds, char text[FRX_NUMBER_SIZE]) {
    const long long s = seconds > 0 && seconds < 1e12 ? llround(seconds) : 0;
    if (seconds >= 1e12)
        snprintf(text, FRX_NUMBER_SIZE, "for ever");
    else if (seconds < 9.95)
        snprintf(text, FRX_NUMBER_SIZE, "%.1f s", seconds > 0 ? seconds : 0);
    else if (s < 60)
        snprintf(text, FRX_NUMBER_SIZE, "%lld s", s);
    else if (s < 3600)
        snprintf(text, FRX_NUMBER_SIZE, "%lld min %02lld s", s / 60, s % 60);
    else if (s < 86400)
        snprintf(text, FRX_NUMBER_SIZE, "%lld h %02lld min", s / 3600, s % 3600 / 60);
    else
        snprintf(text, FRX_NUMBER_SIZE, "%lld d %lld h", s / 86400, s % 86400 / 3600);
    return text;
}

void frx_print_real(double value, FILE *out) {
    char text[FRX_NUMBER_SIZE];
    for (int n_digit = 6; n_digit <= 17; n_digit++) {
        snprintf(text, sizeof text, "%.*g", n_digit, value);
        if (strtod(text, NULL) == value) break;
    }
    fputs(text, out);
}

void frx_print_quoted(const char *text, FILE *out) {
    fputc('"', out);
    for (; *text; text++) {
        const unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            fprintf(out, "\\%c", c);
        else if (c < 0x20)
            fprintf(out, "\\u%04x", c);
        else
            fputc(c, out);
    }
    fputc('"', out);
}

char *frx_harmless(char *text) {
    for (char *c = text; c && *c; c++)
        if (((unsigned char)*c < 32 && *c != '\n') || *c == 127) *c = '?';
    return text;
}
