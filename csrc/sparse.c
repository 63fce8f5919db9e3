/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sparse X. In the rows phase each thread copies its rows' stored values, in order and in the compute
 * type, into the chunk's CSR arrays; a row's place follows from the numbers of values of the rows
 * before it, which any thread can add up for itself. One barrier later the threads share the strips
 * of 32 columns and write the same values strip by strip, which is what a task of the weights phase
 * reads: it owns the weights of one strip's columns.
 *
 * Searching the rows inside the tasks was rejected: each would look at every row of the batch, once
 * per column panel. Strips by the thread that gathered the rows, without the barrier, were, too: every
 * task would read as many pieces as there are threads.
 */
#include "sparse.h"

/* Values that a thread gathers at once in prediction: in L2 beside a panel of W. */
#define BLOCK_NONZEROS 32768

static int64_t row_nonzeros(const fbp_matrix *x, int64_t row)
{
    if (x->index_bits == 32) {
        const int32_t *indptr = x->indptr;
        return indptr[row + 1] - indptr[row];
    }
    const int64_t *indptr = x->indptr;
    return indptr[row + 1] - indptr[row];
}

static int64_t sum_nonzeros(const fbp_matrix *x, const int64_t *order, int64_t first, int64_t rows)
{
    int64_t sum = 0;
    for (int64_t r = first; r < first + rows; r++)
        sum += row_nonzeros(x, order ? order[r] : r);
    return sum;
}

static int64_t n_strips(const fbp_net *net) { return fbp_ceil_div(net->n_in, FBP_STRIP_ROWS); }

void fbp_sparse_carve(fbp_net *net, fbp_arena *arena)
{
    fbp_sparse *s = &net->sparse;
    s->rows.begin = fbp_arena_take(arena, net->chunk, sizeof(int64_t));
    s->rows.end = fbp_arena_take(arena, net->chunk, sizeof(int64_t));
    s->rows.columns = fbp_arena_take(arena, s->max_batch, sizeof(int32_t));
    s->rows.values = fbp_arena_take(arena, s->max_batch, net->real_bytes);
    s->strips.end = fbp_arena_take(arena, n_strips(net), sizeof(int64_t));
    s->strips.places = fbp_arena_take(arena, s->max_batch, sizeof(int32_t));
    s->strips.values = fbp_arena_take(arena, s->max_batch, net->real_bytes);
}

/* What one thread gathers at once in prediction; the fullest row always fits. */
static int64_t block_nonzeros(const fbp_net *net)
{
    const int64_t row = net->sparse.max_row;
    return fbp_max(row, fbp_min(BLOCK_NONZEROS, net->block * row));
}

void fbp_sparse_carve_scratch(const fbp_net *net, fbp_scratch *scratch, fbp_arena *arena)
{
    scratch->sums = fbp_arena_take(arena, net->n_in, net->real_bytes);
    scratch->marks = fbp_arena_take(arena, fbp_ceil_div(net->n_in, 64), sizeof(uint64_t));
    scratch->rows.begin = fbp_arena_take(arena, net->block, sizeof(int64_t));
    scratch->rows.end = fbp_arena_take(arena, net->block, sizeof(int64_t));
    scratch->rows.columns = fbp_arena_take(arena, block_nonzeros(net), sizeof(int32_t));
    scratch->rows.values = fbp_arena_take(arena, block_nonzeros(net), net->real_bytes);
}

int fbp_sparse_fits(const fbp_net *net, const fbp_matrix *x, const int64_t *order, int64_t n_order,
                    int64_t batch_rows)
{
    if (!net->sparse.used) return 1;
    for (int64_t batch = 0; batch < n_order; batch += batch_rows) {
        const int64_t end = batch + fbp_min(batch_rows, n_order - batch);
        for (int64_t first = batch; first < end; first += FBP_CHUNK_ROWS)
            if (sum_nonzeros(x, order, first, fbp_min(FBP_CHUNK_ROWS, end - first)) >
                net->sparse.max_batch)
                return 0;
    }
    return 1;
}

int fbp_sparse_rows_fit(const fbp_net *net, const fbp_matrix *x)
{
    int64_t most = 0;
    for (int64_t r = 0; net->sparse.used && r < x->n_rows; r++)
        most = fbp_max(most, row_nonzeros(x, r));
    return most <= net->sparse.max_row;
}

double fbp_sparse_mean_row(const fbp_matrix *x)
{
    return x->n_rows ? (double)sum_nonzeros(x, NULL, 0, x->n_rows) / (double)x->n_rows : 0;
}

int64_t fbp_sparse_fan_in(const fbp_net *net, const fbp_layer *layer)
{
    if (!net->sparse.used || layer != net->layers) return layer->fan_in;
    return fbp_max(1, net->sparse.max_batch / fbp_max(1, fbp_min(net->max_rows, net->chunk)));
}

/* The chunk's rows from `row` on, as rows of their own. */
static fbp_csr rows_from(const fbp_net *net, int64_t row)
{
    fbp_csr rows = net->sparse.rows;
    rows.begin += row;
    rows.end += row;
    return rows;
}

void fbp_sparse_gather(fbp_net *net, const fbp_matrix *x, const int64_t *order, int64_t first,
                       int64_t rows, int64_t row, int64_t n, const fbp_scratch *scratch)
{
    const fbp_csr out = rows_from(net, row);
    int64_t at = sum_nonzeros(x, order, first, row);
    for (int64_t r = 0; r < n; r++) {
        out.begin[r] = at;
        at += row_nonzeros(x, order ? order[first + row + r] : first + row + r);
    }
    net->kernels->compact[x->real](x, order ? order + first + row : NULL, first + row, n, &out,
                                   scratch->sums, scratch->marks);
    if (row + n < rows) return;
    for (int64_t r = n; row + r < fbp_round_up(rows, net->kernels->mr); r++) /* these only pad */
        out.begin[r] = out.end[r] = at;
}

/* Some column panels of the first layer. */
static void forward(const fbp_net *net, int activation, int64_t rows, int64_t first_panel,
                    int64_t end_panel, const fbp_csr *x, void *out, int64_t stride)
{
    const fbp_kernels *k = net->kernels;
    const fbp_layer *layer = &net->layers[0];
    const int64_t first = first_panel * k->nr, end = fbp_min(layer->fan_out, end_panel * k->nr);
    fbp_forward_sparse_fn *run =
        layer->column ? k->forward_sparse_column : k->forward_sparse[activation];
    run(rows, end - first, layer->fan_in, x, fbp_at(net, layer->w, first * layer->fan_in),
        fbp_at(net, layer->b, first), fbp_at(net, out, first_panel * stride), stride);
}

void fbp_sparse_forward_cell(fbp_net *net, fbp_cell cell)
{
    const fbp_layer *layer = &net->layers[0];
    const fbp_csr x = rows_from(net, cell.row);
    const int last = net->n_layers == 1;
    void *out = last ? layer->delta : net->layers[1].a;
    forward(net, layer->train_activation, cell.rows, cell.first_panel, cell.end_panel, &x,
            fbp_at(net, out, layer->column ? cell.row : cell.row * net->kernels->nr),
            last ? layer->delta_stride : net->layers[1].a_stride);
}

void fbp_sparse_cut(fbp_net *net, int64_t rows, int thread, int n_threads)
{
    const int64_t n = n_strips(net);
    net->kernels->cut(rows, &net->sparse.rows, n * thread / n_threads, n * (thread + 1) / n_threads,
                      &net->sparse.strips);
}

int64_t fbp_sparse_gather_block(const fbp_net *net, const fbp_matrix *x, const int64_t *order,
                                int64_t row, int64_t n, const fbp_scratch *scratch)
{
    const fbp_csr *out = &scratch->rows;
    int64_t at = 0, taken = 0;
    for (; taken < n; taken++) {
        out->begin[taken] = at;
        at += row_nonzeros(x, order ? order[row + taken] : row + taken);
        if (at > block_nonzeros(net)) break;
    }
    for (int64_t r = taken; r < fbp_round_up(taken, net->kernels->mr); r++)
        out->begin[r] = out->end[r] = 0;
    net->kernels->compact[x->real](x, order ? order + row : NULL, row, taken, out, scratch->sums,
                                   scratch->marks);
    return taken;
}

void fbp_sparse_forward_scratch(const fbp_net *net, const fbp_scratch *scratch, int64_t rows)
{
    forward(net, net->layers[0].activation, rows, 0, INT32_MAX, &scratch->rows, scratch->panels[1],
            scratch->stride);
}
