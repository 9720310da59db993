/* "Did you mean ...?" */
#ifndef FRX_APP_SUGGEST_H
#define FRX_APP_SUGGEST_H

/* Of n candidates (NULL entries are skipped) the one that `word` most likely misspells, or NULL when none is
 * near: the smallest Damerau-Levenshtein distance, at most 3, 1 for words below six letters; none for words
 * below four. Local. */
const char *frx_suggest(const char *word, int n, const char *const *candidate);

#endif
