/* A system: one model applied to one molecule, in memory. Plain data in double precision, read from a system
 * file by io/, used by engines and by the program; docs/formats.md is the same thing on disk and defines
 * every formula.
 *
 * Everything is owned by the struct and on the host. */
#ifndef FRX_CORE_SYSTEM_H
#define FRX_CORE_SYSTEM_H

#include "status.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FRX_NAME_SIZE 64 /* bytes of a term's or bead's name, terminator included */

/* y = W x + b */
struct frx_dense {
    int n_out, n_in;
    double *weight; /* [n_out][n_in] */
    double *bias;   /* [n_out], or NULL */
};

/* Dense layers with tanh between them (not after the last). */
struct frx_mlp {
    int n_layer;
    struct frx_dense *layer; /* [n_layer] */
};

enum frx_envelope_kind { FRX_ENVELOPE_IDENTITY, FRX_ENVELOPE_COSINE, FRX_ENVELOPE_SHIFTED_COSINE };

struct frx_envelope {
    enum frx_envelope_kind kind;
    double r_lo, r_hi; /* Angstrom */
};

enum frx_basis_transform { FRX_BASIS_LINEAR, FRX_BASIS_EXPONENTIAL };

/* phi_n(r) = C(r) exp(-coefficient_n (t(r) - center_n)^2), t(r) = r or exp(alpha (r_shift - r)) */
struct frx_basis {
    enum frx_basis_transform transform;
    double alpha, r_shift;
    int n_basis;
    double *center, *coefficient; /* [n_basis] */
    struct frx_envelope envelope;
    char name[FRX_NAME_SIZE];
};

struct frx_interaction {
    struct frx_mlp filter; /* n_basis -> n_filter */
    struct frx_dense lin1; /* n_hidden -> n_filter, no bias: W1 */
    struct frx_dense lin2; /* n_filter -> n_hidden: W3, b3 */
    struct frx_dense lin;  /* n_hidden -> n_hidden: W4, b4 */
};

/* E = scale sum_i OUT(x_i) + shift */
struct frx_network {
    double r_cut; /* Angstrom: graph of all pairs r < r_cut */
    double scale, shift;
    int n_type, n_hidden, n_filter, n_interaction;
    double *embedding; /* [n_type][n_hidden] */
    struct frx_basis basis;
    struct frx_envelope envelope;        /* of the filter */
    struct frx_interaction *interaction; /* [n_interaction] */
    struct frx_mlp output;               /* n_hidden -> 1 */
};

/* X(enumerator, name in the file, number of beads) */
#define FRX_FEATURE_LIST(X)                                                                                  \
    X(DISTANCE, "distance", 2)                                                                               \
    X(ANGLE_COS, "angle_cos", 3)                                                                             \
    X(ANGLE, "angle", 3)                                                                                     \
    X(TORSION, "torsion", 4)                                                                                 \
    X(TORSION_SHIFTED, "torsion_shifted", 4)                                                                 \
    X(RADIUS_SQUARED, "radius_squared", 1)

/* X(enumerator, name in the file, fewest parameters) */
#define FRX_FORM_LIST(X)                                                                                     \
    X(HARMONIC, "harmonic", 2)                                                                               \
    X(POLYNOMIAL, "polynomial", 2)                                                                           \
    X(RESTRICTED, "restricted", 2)                                                                           \
    X(FOURIER, "fourier", 1)                                                                                 \
    X(REPULSION, "repulsion", 1)                                                                             \
    X(GAUSSIAN, "gaussian", 3)

/* Three beads on a line leave a torsion undefined: V(x) has another value on every side of the line, and
 * dx/dr grows as 1/sin(angle). So terms V of a torsion are faded out where an angle of its beads is nearly
 * straight, level + S(sin^2(angle 012) / d^2) S(sin^2(angle 123) / d^2) (V - level),   S(u) = u^2 (3 - 2u), 1
 * from u = 1, with d = FRX_STRAIGHT_SINE and the level v0 for a Fourier series, else 0: the same as V
 * beyond 2.9 degrees, continuous and with bounded forces everywhere. The difficulty and the remedy (damping
 * by the sines of the angles): Bulacu et al., J. Chem. Theory Comput. 9, 3282 (2013). */
#define FRX_STRAIGHT_SINE 0.05

enum frx_feature {
#define FRX_FEATURE_ENUM(id, name, order) FRX_FEATURE_##id,
    FRX_FEATURE_LIST(FRX_FEATURE_ENUM)
#undef FRX_FEATURE_ENUM
        FRX_N_FEATURE
};

enum frx_form {
#define FRX_FORM_ENUM(id, name, n_param) FRX_FORM_##id,
    FRX_FORM_LIST(FRX_FORM_ENUM)
#undef FRX_FORM_ENUM
        FRX_N_FORM
};

/* One prior: n_term terms V(x(atoms); params). */
struct frx_prior {
    char name[FRX_NAME_SIZE];
    enum frx_feature feature;
    enum frx_form form;
    int n_term, order, n_param;
    int32_t *atoms; /* [n_term][order] */
    double *params; /* [n_term][n_param] */
};

struct frx_beads {
    int32_t *type;          /* [n_bead] row of the embedding */
    double *mass;           /* [n_bead] kcal/mol ps^2/A^2 */
    int32_t *residue_index; /* [n_bead] */
    char (*name)[FRX_NAME_SIZE], (*residue_name)[FRX_NAME_SIZE], (*chain)[FRX_NAME_SIZE]; /* [n_bead] */
};

/* One frame with its energies and forces as the writer of the file computed them. */
struct frx_known_answer {
    double *positions; /* [n_bead][3] Angstrom */
    double *forces;    /* [n_bead][3] kcal/mol/A */
    double energy;
    double *part; /* [frx_system_n_part] in the order of frx_system_part_name; kcal/mol */
};

struct frx_system {
    int n_bead;
    struct frx_beads beads;
    int n_bond;
    int32_t *bonds;              /* [n_bond][2] for viewers only */
    struct frx_network *network; /* NULL: none */
    int n_prior;
    struct frx_prior *prior; /* [n_prior] */
    int n_structure;
    double *structures;                    /* [n_structure][n_bead][3] Angstrom */
    struct frx_known_answer *known_answer; /* NULL: none */
    char *generator, *family, *source, *source_sha256;
    char content_sha256[65]; /* of the system file itself, hexadecimal; "" if not read from a file */
};

/* Check that every count, index, width and number makes sense: sizes positive and matching from layer to
 * layer, types inside the embedding, atoms inside the molecule and distinct within a term, masses positive,
 * every real finite, envelopes and cutoffs ordered, at least one structure without overlapping beads (closer
 * than 0.01 A) when a pair energy acts. Engines may rely on it afterwards. Errors: FRX_ERR_MODEL naming the
 * array, the index and the value. Local. */
FRX_CHECKED enum frx_status frx_system_validate(const struct frx_system *system);

/* Beads closer than this count as one on top of the other. */
#define FRX_OVERLAP 0.01 /* Angstrom */

/* Coordinates beyond this are a mistake: single precision would place them to a tenth of an Angstrom only. */
#define FRX_FARTHEST 1e6 /* Angstrom */

/* Check that coordinates are numbers up to FRX_FARTHEST and, if `distinct`, that no two beads overlap.
 * positions [n_bead][3] Angstrom, host; `what` opens the message ("frame 3"). Errors: FRX_ERR_MODEL. Local.
 */
FRX_CHECKED enum frx_status frx_positions_check(const double *positions, int n_bead, int distinct,
                                                const char *what);

/* Whether some energy acts between all pairs, so that overlapping beads make no sense. Local. */
int frx_system_has_pair_energy(const struct frx_system *system);

/* Free everything inside and zero the struct. NULL and zeroed structs are fine. Local. */
void frx_system_clear(struct frx_system *system);

/* Parts of the energy: part 0 is "SchNet" if there is a network, then the priors in order. Local. */
int frx_system_n_part(const struct frx_system *system);
const char *frx_system_part_name(const struct frx_system *system, int part);

/* Whether the energy is unchanged when the molecule moves as a whole; if so, replicas are recentred between
 * blocks. */
int frx_system_is_translation_invariant(const struct frx_system *system);

/* Names in files of features and forms, and the number of beads of a feature / fewest parameters of a form.
 * Local. */
const char *frx_feature_name(enum frx_feature feature);
const char *frx_form_name(enum frx_form form);
int frx_feature_order(enum frx_feature feature);
int frx_form_min_params(enum frx_form form);

#ifdef __cplusplus
}
#endif
#endif
