/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The link of a net in float whose predictions are asked for in double: z is widened first. So the
 * probabilities of a row sum to 1 within double's rounding, which users of theirs check (scikit-learn's
 * log_loss does), and are 0, 1 or infinite only where double's are.
 *
 * z lies in out already, row-major. A link that takes one output at a time works on it there; that of
 * class codes couples a row's outputs, and takes panels.
 */
#include "widen.h"

void fbp_link_wide(const fbp_kernels *wide, int loss, int64_t rows, int64_t n, double *out,
                   void *buffer, size_t bytes)
{
    if (!fbp_loss_takes_codes(loss)) {
        wide->link[loss](rows * n, 1, out, 0);
        return;
    }
    const int64_t row_bytes = fbp_round_up(n, wide->nr) * (int64_t)sizeof(double);
    const int64_t group = fbp_min(rows, (int64_t)bytes / row_bytes), stride = group * wide->nr;
    const fbp_matrix z = {.data = out, .real = FBP_F64, .n_rows = rows, .n_cols = n, .ld = n};
    for (int64_t r = 0; r < rows; r += group) {
        const int64_t count = fbp_min(group, rows - r);
        wide->gather_dense[FBP_F64](&z, NULL, r, count, buffer, stride);
        wide->link[loss](count, n, buffer, stride);
        wide->scatter[FBP_F64](count, n, buffer, stride, out + r * n);
    }
}

const fbp_kernels *fbp_wide_kernels(int isa, int real, int out_real, int flags)
{
    const int wide = real == FBP_F32 && out_real == FBP_F64 && !(flags & FBP_PREDICT_RAW);
    return wide ? fbp_kernels_find(isa, FBP_F64) : NULL;
}
