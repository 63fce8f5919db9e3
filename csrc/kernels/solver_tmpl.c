/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Solvers: w_new = <name>_step(w, g, state0, state1, c) for one vector of parameters, g being the
 * scaled gradient with its penalty; the state vectors are read and written in place.
 */

typedef struct {
    vf learning_rate, momentum;
    vf beta_1, one_minus_beta_1, beta_2, one_minus_beta_2, epsilon;
} solver_constants;

static inline solver_constants make_solver_constants(const fbp_update *u)
{
    return (solver_constants){
        .learning_rate = vf_set1((real)u->learning_rate),
        .momentum = vf_set1((real)u->momentum),
        .beta_1 = vf_set1((real)u->beta_1),
        .one_minus_beta_1 = vf_set1((real)(1 - u->beta_1)),
        .beta_2 = vf_set1((real)u->beta_2),
        .one_minus_beta_2 = vf_set1((real)(1 - u->beta_2)),
        .epsilon = vf_set1((real)u->epsilon),
    };
}

/* No update: the gradient is the result, kept where the others keep their first state. */
static ALWAYS_INLINE vf gradient_step(vf w, vf g, real *gradient, real *unused,
                                      const solver_constants *c)
{
    (void)unused, (void)c;
    vf_store(gradient, g);
    return w;
}

/* w − η·g */
static ALWAYS_INLINE vf plain_sgd_step(vf w, vf g, real *unused0, real *unused1,
                                       const solver_constants *c)
{
    (void)unused0, (void)unused1;
    return vf_sub(w, vf_mul(c->learning_rate, g));
}

/* v ← μ·v − η·g; w + v */
static ALWAYS_INLINE vf sgd_step(vf w, vf g, real *velocity, real *unused,
                                 const solver_constants *c)
{
    (void)unused;
    const vf step = vf_mul(c->learning_rate, g);
    const vf v = vf_sub(vf_mul(c->momentum, vf_load(velocity)), step);
    vf_store(velocity, v);
    return vf_add(w, v);
}

/* v ← μ·v − η·g; w + (μ·v − η·g) */
static ALWAYS_INLINE vf nesterov_step(vf w, vf g, real *velocity, real *unused,
                                      const solver_constants *c)
{
    (void)unused;
    const vf step = vf_mul(c->learning_rate, g);
    const vf v = vf_sub(vf_mul(c->momentum, vf_load(velocity)), step);
    vf_store(velocity, v);
    return vf_add(w, vf_sub(vf_mul(c->momentum, v), step));
}

/* m ← β₁·m + (1 − β₁)·g; v ← β₂·v + (1 − β₂)·g²; w − η_t·m / (√v + ε)
 * (Kingma and Ba, arXiv:1412.6980, the form before section 2.1 ends, ε outside the correction). */
static ALWAYS_INLINE vf adam_step(vf w, vf g, real *first, real *second, const solver_constants *c)
{
    const vf m = vf_fma(c->beta_1, vf_load(first), vf_mul(c->one_minus_beta_1, g));
    const vf v = vf_fma(c->beta_2, vf_load(second), vf_mul(c->one_minus_beta_2, vf_mul(g, g)));
    vf_store(first, m);
    vf_store(second, v);
    const vf step = vf_div(vf_mul(c->learning_rate, m), vf_add(vf_sqrt(v), c->epsilon));
    return vf_sub(w, step);
}
