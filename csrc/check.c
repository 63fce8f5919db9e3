/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whether a table holds only what can be trained on, read once, by all threads: on many columns and few
 * epochs, each reading of X from memory is felt.
 */
#include "data.h"
#include "team.h"

#define BLOCK_BYTES (256 * 1024)              /* that a thread takes at a time */
#define BYTES_PER_THREAD (4L * 1024L * 1024L) /* half a millisecond of reading */

typedef struct {
    const fbp_matrix *x;
    int isa, real;
    int64_t step;      /* rows of a block */
    atomic_llong next; /* the first row that no thread has taken */
    fbp_poller poller;
    atomic_int stop; /* fbp_status: why, or FBP_OK */
} row_check;

static void check_body(void *context, int thread, int n_threads)
{
    row_check *c = context;
    (void)n_threads;
    while (!atomic_load_explicit(&c->stop, memory_order_relaxed)) {
        const int64_t row = atomic_fetch_add(&c->next, c->step);
        if (row >= c->x->n_rows) return;
        const int64_t rows = fbp_min(c->step, c->x->n_rows - row);
        if (!fbp_rows_are_within(c->x, c->isa, c->real, row, rows))
            atomic_store(&c->stop, FBP_ENONFINITE);
        if (thread == 0 && fbp_poll_due(&c->poller)) atomic_store(&c->stop, FBP_ESTOPPED);
    }
}

fbp_status fbp_check_rows(const fbp_matrix *x, int32_t real, int32_t isa, int32_t n_threads,
                          fbp_poll_fn poll, void *poll_context)
{
    if ((real != FBP_F32 && real != FBP_F64) || n_threads < 1 || !x || x->indptr || x->n_cols < 1 ||
        !fbp_matrix_is_valid(x, x->n_cols))
        return FBP_EINVAL;
    if (!fbp_isa_available(isa)) return FBP_EISA;
    const int64_t row_bytes = x->n_cols * (int64_t)fbp_real_bytes(x->real);
    const int64_t most = fbp_max(1, x->n_rows / fbp_max(1, BYTES_PER_THREAD / row_bytes));
    row_check c = {
        .x = x,
        .isa = isa,
        .real = real,
        .step = fbp_max(1, BLOCK_BYTES / row_bytes),
        .poller = fbp_poller_start(poll, poll_context),
    };
    const int share = fbp_team_enter(n_threads);
    fbp_team_run((int)fbp_min(share, most), check_body, &c);
    fbp_team_leave();
    return (fbp_status)atomic_load(&c.stop);
}
