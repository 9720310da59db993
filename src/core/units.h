/* Base units: Angstrom, ps, kcal/mol, K; mass in kcal/mol ps^2/A^2. Other units appear only where people or
 * files want them, converted at that edge. */
#ifndef FRX_CORE_UNITS_H
#define FRX_CORE_UNITS_H

/* Boltzmann constant in kcal/mol/K, the value mlcg uses: beta(300 K) = 1.67739 mol/kcal. */
#define FRX_BOLTZMANN 0.0019872

/* 1 amu A^2/ps^2 = 1/418.4 kcal/mol. */
#define FRX_AMU_PER_MASS 418.4

/* beta = 1/(kB T) in mol/kcal for T in K, and back. */
#define FRX_BETA_OF_KELVIN(temperature) (1.0 / (FRX_BOLTZMANN * (temperature)))
#define FRX_KELVIN_OF_BETA(beta)        (1.0 / (FRX_BOLTZMANN * (beta)))

#define FRX_PS_PER_NS 1000.0
#define FRX_S_PER_DAY 86400.0

#endif
