#include "suggest.h"

#include <string.h>

#define MAX_WORD 64

/* Case does not count, '-' and '_' are the same. */
static char folded(char c) {
    if (c >= 'A' && c <= 'Z') return (char)(c + 'a' - 'A');
    return c == '-' ? '_' : c;
}

/* Insertions, deletions, substitutions and swaps of neighbours that turn a into b. */
static int distance(const char *a, const char *b) {
    const int n_a = (int)strlen(a), n_b = (int)strlen(b);
    if (n_a > MAX_WORD || n_b > MAX_WORD) return MAX_WORD;
    int d[MAX_WORD + 1][MAX_WORD + 1];
    for (int i = 0; i <= n_a; i++) d[i][0] = i;
    for (int j = 0; j <= n_b; j++) d[0][j] = j;
    for (int i = 1; i <= n_a; i++)
        for (int j = 1; j <= n_b; j++) {
            const char p = folded(a[i - 1]), q = folded(b[j - 1]);
            int best = d[i - 1][j - 1] + (p != q);
            if (d[i - 1][j] + 1 < best) best = d[i - 1][j] + 1;
            if (d[i][j - 1] + 1 < best) best = d[i][j - 1] + 1;
            if (i > 1 && j > 1 && p == folded(b[j - 2]) && q == folded(a[i - 2]) &&
                d[i - 2][j - 2] + 1 < best)
                best = d[i - 2][j - 2] + 1;
            d[i][j] = best;
        }
    return d[n_a][n_b];
}

const char *frx_suggest(const char *word, int n, const char *const *candidate) {
    const int length = (int)strlen(word);
    const char *best = NULL;
    int smallest = length < 4 ? 0 : length < 6 ? 2 : 4; /* one more than allowed */
    for (int i = 0; i < n; i++) {
        if (!candidate[i]) continue;
        const int d = distance(word, candidate[i]);
        if (d < smallest) smallest = d, best = candidate[i];
    }
    return best;
}
