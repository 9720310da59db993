#include "suggest.h"

#include <string.h>

#define MAX_WORD 64

/* Insertions, deletions and substitutions that turn a into b; case does not count, '-' and '_' are the same.
 */
static int distance(const char *a, const char *b) {
    const int n_a = (int)strlen(a), n_b = (int)strlen(b);
    if (n_a > MAX_WORD || n_b > MAX_WORD) return MAX_WORD;
    int row[MAX_WORD + 1];
    for (int j = 0; j <= n_b; j++) row[j] = j;
    for (int i = 1; i <= n_a; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= n_b; j++) {
            char c = a[i - 1], d = b[j - 1];
            if (c >= 'A' && c <= 'Z') c = (char)(c + 'a' - 'A');
            if (d >= 'A' && d <= 'Z') d = (char)(d + 'a' - 'A');
            if (c == '-') c = '_';
            if (d == '-') d = '_';
            int best = diagonal + (c != d);
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[n_b];
}

const char *frx_suggest(const char *word, int n, const char *const *candidate) {
    const int length = (int)strlen(word);
    const char *best = NULL;
    int smallest = length < 4   ? 0
                   : length < 6 ? 2
                                : 4; /* one more than allowed; of `gpu`, cpu is no misspelling */
    for (int i = 0; i < n; i++) {
        if (!candidate[i]) continue;
        const int d = distance(word, candidate[i]);
        if (d < smallest) smallest = d, best = candidate[i];
    }
    return best;
}
