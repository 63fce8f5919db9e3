/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Activations as passes over a block of one panel, while it is in L1: some rows, so many vectors of
 * each. An activation of more than an instruction or two would spill a product's accumulators; as a
 * pass it needs no instance of the products either: one serves all, and calls the pass that it is given
 * (24 vectors at a time and more, which hides the call).
 */

typedef vf forward_op(vf z);
typedef vf backward_op(vf delta, vf a);

/* z → a; delta → delta · act', written from a. */
typedef void forward_pass(int64_t rows, int64_t vectors, real *z);
typedef void backward_pass(int64_t rows, int64_t vectors, real *delta, const real *a);

static ALWAYS_INLINE void pass_forward(int64_t rows, int64_t vectors, real *z, forward_op *act)
{
    for (int64_t r = 0; r < rows; r++, z += NR)
        for (int64_t v = 0; v < vectors; v++)
            vf_store(z + v * VF_LANES, act(vf_load(z + v * VF_LANES)));
}

static ALWAYS_INLINE void pass_backward(int64_t rows, int64_t vectors, real *delta, const real *a,
                                        backward_op *act)
{
    for (int64_t r = 0; r < rows; r++, delta += NR, a += NR)
        for (int64_t v = 0; v < vectors; v++) {
            const int64_t at = v * VF_LANES;
            vf_store(delta + at, act(vf_load(delta + at), vf_load(a + at)));
        }
}

/* Where act' has been stored, the same for all activations: delta · act'. */
static ALWAYS_INLINE vf slopes_backward(vf delta, vf slope) { return vf_mul(delta, slope); }

#define BACKWARD_PASS(name)                                                             \
    static inline void name##_backward_pass(int64_t rows, int64_t vectors, real *delta, \
                                            const real *a)                              \
    {                                                                                   \
        pass_backward(rows, vectors, delta, a, name##_backward);                        \
    }
#define BACKWARD_FUSED(name)
#define BACKWARD_STORED(name)
#define FBP_ACTIVATION(NAME, name, how)                                            \
    static inline void name##_forward_pass(int64_t rows, int64_t vectors, real *z) \
    {                                                                              \
        pass_forward(rows, vectors, z, name##_forward);                            \
    }                                                                              \
    BACKWARD_##how(name)
#include "registry.def"
BACKWARD_PASS(slopes)
#undef BACKWARD_FUSED
#undef BACKWARD_PASS
#undef BACKWARD_STORED
