/* Ranks of a node on its GPUs, from made-up lists of what each rank sees. */
#include "check.h"
#include "devices.h"

#include <string.h>

enum { MAX_RANK = 8 };

/* Letters are GPUs: "AB" is a rank that sees A as device 0 and B as device 1. */
static void see(const char *letters, struct frx_visible *visible) {
    memset(visible, 0, sizeof *visible);
    for (; letters[visible->n]; visible->n++)
        memset(&visible->gpu[visible->n], letters[visible->n], sizeof visible->gpu[0]);
}

static int see_all(const char *const *seen, struct frx_visible *visible) {
    int n = 0;
    for (; seen[n]; n++) see(seen[n], &visible[n]);
    return n;
}

/* Place ranks that see this; they get the GPUs `expected`, one letter each. */
static void check_placed(const char *const *seen, int may_share, const char *expected) {
    struct frx_visible visible[MAX_RANK];
    int device[MAX_RANK];
    const int n = see_all(seen, visible);
    CHECK_OK(frx_devices_place(n, visible, may_share, device));
    for (int r = 0; r < n; r++)
        CHECK(seen[r][device[r]] == expected[r], "rank %d sees %s and gets %c, not %c", r, seen[r],
              seen[r][device[r]], expected[r]);
}

static void check_refused(const char *const *seen, int may_share, const char *words) {
    struct frx_visible visible[MAX_RANK];
    int device[MAX_RANK];
    const int n = see_all(seen, visible);
    CHECK_FAILS(frx_devices_place(n, visible, may_share, device), FRX_ERR_DEVICE, words);
}

/* Ranks with GPUs of these models; a plus: the GPU of a rank before. */
static void check_summary(const char *const *model, const char *text, int n_model, int is_shared) {
    struct frx_gpu_choice choice[MAX_RANK] = {0};
    struct frx_devices devices;
    int n = 0;
    for (; model[n]; n++) {
        choice[n].is_first = model[n][0] != '+';
        snprintf(choice[n].model, sizeof choice[n].model, "%s", model[n] + !choice[n].is_first);
    }
    frx_devices_summarise(n, choice, &devices);
    CHECK(strcmp(devices.text, text) == 0, "\"%s\" in place of \"%s\"", devices.text, text);
    CHECK(devices.n_model == n_model && devices.is_shared == is_shared, "%d models, shared %d",
          devices.n_model, devices.is_shared);
}

#define SEEN(...) ((const char *const[]){__VA_ARGS__, NULL})

int main(void) {
    /* all ranks see all GPUs, in the same order or not */
    check_placed(SEEN("A"), 0, "A");
    check_placed(SEEN("ABCD", "ABCD", "ABCD", "ABCD"), 0, "ABCD");
    check_placed(SEEN("ABCD", "ABCD"), 0, "AB");
    check_placed(SEEN("DCBA", "DCBA"), 0, "DC");
    /* the batch system binds each rank to one GPU, or groups of ranks to groups of GPUs */
    check_placed(SEEN("A", "B", "C"), 0, "ABC");
    check_placed(SEEN("C", "A", "B"), 0, "CAB");
    check_placed(SEEN("AB", "AB", "CD", "CD"), 0, "ABCD");
    /* a rank moves over for one that sees less */
    check_placed(SEEN("AB", "A"), 0, "BA");
    check_placed(SEEN("AB", "BC", "A"), 0, "BCA");
    check_placed(SEEN("AC", "AB", "AB"), 0, "CBA");
    /* sharing only where it is allowed, and then evenly */
    check_refused(SEEN("A", "A"), 0, "2 ranks for 1 GPU on a node: start at most 1");
    check_refused(SEEN("AB", "AB", "AB"), 0, "3 ranks for 2 GPUs on a node: start at most 2");
    check_refused(SEEN("A", "AB", "A"), 0, "3 ranks for 2 GPUs");
    check_refused(SEEN("AB", "C", "C"), 0, "local rank 2 of a node sees only GPUs that other ranks use");
    check_placed(SEEN("A", "A"), 1, "AA");
    check_placed(SEEN("AB", "AB", "AB", "AB"), 1, "ABAB");
    check_placed(SEEN("AB", "AB", "A", "B"), 1, "ABAB");
    check_placed(SEEN("AB", "C", "C"), 1, "ACC");
    check_placed(SEEN("A", "AB", "AB"), 1, "ABA");
    check_refused(SEEN("AB", ""), 0, "local rank 1 of a node sees no GPU");
    check_refused(SEEN("", "AB"), 1, "local rank 0 of a node sees no GPU");
    /* what the head of the output says */
    check_summary(SEEN("H100"), "1 x H100", 1, 0);
    check_summary(SEEN("H100", "H100"), "2 x H100", 1, 0);
    check_summary(SEEN("H100", "A100", "H100"), "2 x H100, 1 x A100", 2, 0);
    check_summary(SEEN("H100", "+H100", "A100", "+A100", "+A100"), "1 x H100, 1 x A100", 2, 1);
    return frx_check_result();
}
