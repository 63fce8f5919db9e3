/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the files of the core share: the kernel table, the net, small helpers.
 *
 * Panels. A matrix [rows × cols] inside the core is stored as ⌈cols / NR⌉ panels, each [rows × NR]
 * row-major, `stride` elements from panel to panel: element (r, c) is at
 *     base + (c / NR) · stride + r · NR + c % NR.
 * One layout serves all three products, whichever operand the matrix is, with constant strides and
 * contiguous reads; see README.md. Columns from cols up to the next multiple of the vector's lanes
 * exist; in activations and weights' panels they hold zeros or finite values that nobody reads.
 *
 * Packed weights. W [fan_in × fan_out] is stored as panels of NR columns too, but tight: the last
 * panel is as narrow as the lanes allow, and panel p starts at p · NR · fan_in.
 *
 * A layer with one output ("column") keeps W, delta and z as plain vectors.
 */
#ifndef FBP_INTERNAL_H
#define FBP_INTERNAL_H

#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include "fbp.h"
#include "pace.h"

#define FBP_CACHE_LINE 64
#define FBP_STRIP_ROWS 32   /* rows of W in one task and in one partial sum of squares */
#define FBP_COLUMN_LANES 16 /* partial sums of a one-column layer's dot product */
#define FBP_MAX_MOMENTS 2

/* Rows of X by rows: the columns, increasing, and values of row r at begin[r] … end[r] − 1. */
typedef struct {
    int64_t *begin, *end;
    uint32_t *columns;
    void *values;
} fbp_csr;

/* The same by strips of FBP_STRIP_ROWS columns: value i of X[row, column] is at row · 32 + column % 32
 * of its strip. Strip s ends at end[s] and begins where strip s − 1 ends; rows increase. */
typedef struct {
    int64_t *end;
    uint32_t *places;
    void *values;
} fbp_strips;

/* How a weight product ends: what the solver needs, in double; kernels round it to real. */
typedef struct {
    double alpha;         /* penalty, added to the gradient before scaling */
    double scale;         /* 1 / Σ sample weights */
    double learning_rate; /* adam: bias-corrected */
    double decay;         /* η·λ: the share that a weight loses before the solver's step */
    double momentum, beta_1, beta_2, epsilon;
    int first, last; /* chunk of the batch: accumulate from zero; finish with the solver */
} fbp_update;

/* One strip of a layer's weights, rows i0 … i1−1 of one column panel, with its operands. */
typedef struct {
    int64_t rows; /* batch rows, the product's k */
    int64_t fan_in, fan_out;
    int64_t i0, i1, panel;
    int fresh;     /* the thread's first strip of this panel of delta in this step */
    const void *a; /* panels [rows × fan_in] */
    int64_t a_stride;
    const fbp_strips *x; /* sparse: what stands for a */
    const void *delta;   /* panels [rows × fan_out], or a vector for a column */
    int64_t delta_stride;
    const void *next_a, *next_delta; /* of the thread's next strip, to prefetch; or NULL */
    void *w, *wt, *b;                /* packed W and Wᵀ (or NULL), intercepts */
    void *gw, *gb; /* gradient store, laid out like W and b; NULL if never needed */
    void *mw[FBP_MAX_MOMENTS], *mb[FBP_MAX_MOMENTS]; /* solver state, laid out like W and b */
    void *squares; /* out: partial sums of W², real [⌈fan_in / 32⌉ × fan_out padded] */
} fbp_strip;

/* Dropout of a layer's outputs in one step; dropout.h. */
typedef struct {
    uint32_t key[2];  /* of the random numbers */
    double threshold; /* of their 65,536 values, those below it drop a unit; 0: no dropout */
    double scale;     /* of what is kept: 65,536 / (65,536 − threshold) */
} fbp_dropout;

/* out = act(a · W + b) for rows (a multiple of MR) of panels. */
typedef void fbp_forward_fn(int64_t rows, int64_t fan_out, int64_t fan_in, const void *a,
                            int64_t a_stride, const void *w, const void *b, void *out,
                            int64_t out_stride);
/* out = (delta · Wᵀ) ⊙ act', written from a, the layer's input, that is act's output; where act' is no
 * function of it, from act' itself, which training has stored in panels like a's. */
typedef void fbp_backward_fn(int64_t rows, int64_t fan_in, int64_t fan_out, const void *delta,
                             int64_t delta_stride, const void *wt, const void *a, int64_t a_stride,
                             void *out);
/* z → act(z) in place and act'(z), in panels alike. */
typedef void fbp_slopes_fn(int64_t rows, int64_t n, void *z, void *slopes, int64_t stride);
/* W ← solver(W, aᵀ · delta) for one strip, intercepts with the first strip of a panel. */
typedef void fbp_update_fn(const fbp_strip *strip, const fbp_update *update);
/* sums[columns]: the squares of a part of the gradient, see norm_tmpl.c. */
typedef void fbp_squares_fn(int64_t rows, int64_t columns, int64_t width, const void *g,
                            const void *w, const fbp_update *update, double *sums);
/* out = act(x · W + b) for rows (a multiple of MR) of sparse x. */
typedef void fbp_forward_sparse_fn(int64_t rows, int64_t fan_out, int64_t fan_in, const fbp_csr *x,
                                   const void *w, const void *b, void *out, int64_t out_stride);
/* What a loss compares z with. */
typedef struct {
    const void *y;       /* int32 codes, or reals n padded to lanes apart */
    const void *weights; /* real [rows], or NULL: all one */
    const void
        *parameters; /* real, whole vectors: of n outputs, or the only one's again and again */
    double label_smoothing;
} fbp_targets;
/* z → delta in place, and each row's loss. */
typedef void fbp_loss_fn(int64_t rows, int64_t n, void *z, int64_t stride,
                         const fbp_targets *targets, double *row_loss);
/* z → prediction in place. */
typedef void fbp_link_fn(int64_t rows, int64_t n, void *z, int64_t stride);
/* Rows order[0 … rows−1] of x (or first … when order is NULL) into panels. */
typedef void fbp_gather_fn(const fbp_matrix *x, const int64_t *order, int64_t first, int64_t rows,
                           void *out, int64_t out_stride);
/* Rows of CSR x into out at out->begin; sums [n_cols] and marks, a bit per column, stay zeros. */
typedef void fbp_compact_fn(const fbp_matrix *x, const int64_t *order, int64_t first, int64_t rows,
                            const fbp_csr *out, void *sums, uint64_t *marks);
/* Strips s0 … s1 − 1 of sparse rows; calls for different strips may run at once. */
typedef void fbp_cut_fn(int64_t rows, const fbp_csr *x, int64_t s0, int64_t s1,
                        const fbp_strips *out);
/* a and slopes, panels [rows × n], where kept times the scale, elsewhere zeros: units first …
 * first + n − 1 of the batch's rows row … row + rows − 1. */
typedef void fbp_drop_fn(int64_t rows, int64_t n, const fbp_dropout *dropout, int64_t row,
                         int64_t first, void *a, void *slopes, int64_t stride);
/* Panels (or a vector, n = 1) into row-major out. */
typedef void fbp_scatter_fn(int64_t rows, int64_t n, const void *z, int64_t stride, void *out);

/* out = a · W + b for a few rows, all row-major, W and b as the user has them; a row of out has room up
 * to whole vectors. k rows of W at a time: from +0 if first, else from out; b ends it, NULL does not. */
typedef void fbp_rows_fn(int64_t rows, int64_t fan_out, int64_t k, const void *a, int64_t lda,
                         const void *w, int first, const void *b, void *out, int64_t ldo);
typedef void fbp_rows_column_fn(int64_t rows, int64_t fan_in, const void *a, int64_t lda,
                                const void *w, const void *b, void *out, int64_t ldo);
/* act of n values in place, up to whole vectors. */
typedef void fbp_activate_fn(int64_t n, void *z);

/* One kernel family for one real type: numbers and pointers. */
typedef struct {
    int lanes, mr, nr;
    int fused; /* a product is rounded only with its sum: the bits of ref */
    fbp_forward_fn *forward[FBP_N_ACTIVATIONS], *forward_column;
    fbp_backward_fn *backward[FBP_N_ACTIVATIONS], *backward_column[FBP_N_ACTIVATIONS];
    fbp_backward_fn *backward_slopes, *backward_column_slopes; /* from stored slopes, any act */
    fbp_slopes_fn *slopes[FBP_N_ACTIVATIONS];
    fbp_update_fn *update[FBP_N_SOLVERS], *update_column[FBP_N_SOLVERS];
    fbp_squares_fn *gradient_squares;
    fbp_forward_sparse_fn *forward_sparse[FBP_N_ACTIVATIONS], *forward_sparse_column;
    fbp_update_fn *update_sparse[FBP_N_SOLVERS], *update_sparse_column[FBP_N_SOLVERS];
    fbp_loss_fn *loss[FBP_N_LOSSES];
    fbp_link_fn *link[FBP_N_LOSSES];
    fbp_gather_fn *gather_dense[2], *gather_csr[2]; /* by fbp_real of x */
    fbp_scatter_fn *scatter[2];                     /* by fbp_real of out */
    fbp_rows_fn *rows;
    fbp_rows_column_fn *rows_column;
    fbp_activate_fn *activate[FBP_N_ACTIVATIONS];
    int (*within)(int64_t n, const void *x, double bound); /* whether every |x| < bound */
    fbp_compact_fn *compact[2];                            /* by fbp_real of x */
    fbp_cut_fn *cut;
    fbp_drop_fn *drop;
    /* The words of 8 counters, for tests. */
    void (*random_words)(const uint32_t key[2], uint64_t first, uint64_t row, uint32_t *out);
    void (*pack)(int64_t fan_in, int64_t fan_out, int64_t begin, int64_t end, const void *coef,
                 void *w, void *wt);
    void (*unpack)(int64_t fan_in, int64_t fan_out, int64_t begin, int64_t end, const void *w,
                   void *coef);
    /* exp, log, tanh, logistic, expm1, softplus, normal_cdf; for tests */
    void (*math[7])(int64_t n, const void *x, void *y);
} fbp_kernels;

/* The family's table, or NULL where it is not compiled in or cannot run here. */
const fbp_kernels *fbp_kernels_find(int isa, int real);

typedef struct fbp_split_kernels fbp_split_kernels; /* split.h */

/* Into how many parts a product's rows and columns are cut, see form.h. */
typedef struct {
    int32_t rows, columns;
} fbp_grid;

/* A part of the net's block, in bytes from its beginning, which is the net itself. */
typedef struct {
    size_t begin, end;
} fbp_piece;

typedef struct {
    int64_t fan_in, fan_out;
    int activation;       /* of the outputs; the last layer has the loss's link instead */
    int train_activation; /* in training's product; the identity where the next layer has slopes */
    int has_slopes;       /* training stores act' of its inputs, in `slopes` */
    int column;           /* the output layer, with one output */
    int64_t a_stride, delta_stride;
    void *a;      /* inputs of the chunk, panels [chunk × fan_in] */
    void *slopes; /* act' of these, panels like a; or NULL */
    void *delta;  /* dL/dz of the chunk, panels [chunk × fan_out] or a vector */
    void *w, *wt, *b;
    void *gw, *gb;
    void *mw[FBP_MAX_MOMENTS], *mb[FBP_MAX_MOMENTS];
    void *squares;
    int64_t n_squares;
    double *gradient_squares; /* [⌈fan_in / 32⌉ × fan_out] partial sums; or NULL */
    int32_t first_panel;      /* of its outputs, counted over the layers */
    fbp_grid forward_grid, backward_grid;
    fbp_dropout dropout; /* of the outputs */
    int split;           /* its products are split, and read the following; split.h */
    uint16_t *a_batch, *delta_batch, *w_tiles, *wt_tiles;
    fbp_piece kept[1 + FBP_MAX_MOMENTS]; /* W and b, then each moment: all that a retired net has */
} fbp_layer;

/* A piece of the weights phase: one strip of one layer. */
typedef struct {
    int32_t layer, panel;
    int64_t i0, i1;
    double cost;
    int fresh;    /* its thread's first of this layer and panel */
    int32_t next; /* its thread's next task; the last one's is itself */
} fbp_task;

/* What one thread keeps for itself while it carries a block of rows. */
typedef struct {
    void *panels[2]; /* prediction's activations, panels [block × widest] */
    int64_t stride;
    uint16_t *tiles; /* of a split product: its left operand, rows of the block */
    void *y;         /* targets of the block */
    void *weights;   /* sample weights of the block */
    fbp_csr rows;    /* sparse: prediction's rows of the block */
    void *sums;      /* sparse: a dense row, and a bit per column; zeros between uses */
    uint64_t *marks;
} fbp_scratch;

/* A net for sparse X: the chunk's rows, by rows and by strips (sparse.h). */
typedef struct {
    int used;
    int64_t max_row, max_batch; /* nonzeros: of a row, of the rows of a chunk */
    fbp_csr rows;
    fbp_strips strips;
} fbp_sparse;

struct fbp_net {
    const fbp_kernels *kernels;
    const fbp_split_kernels *split; /* NULL where no layer is split */
    int parts;                      /* of a float32 in split products */
    int real, isa, loss, solver, n_layers, n_threads, n_moments;
    int clips; /* the gradient is stored, and its norm taken */
    size_t real_bytes;
    int64_t n_in, n_out, y_step;    /* y_step: reals per row of gathered targets */
    int64_t max_rows, chunk, block; /* rows: of a batch, held at once, carried by a thread */
    double work_at_once;            /* multiply-adds between two questions whether to stop */
    int cuts_updates;               /* where one would take too long: there is room for it */
    double update_nanoseconds;      /* of one thread's weights phase per row, as reckoned */
    double slowness;                /* how many times longer an update takes now */
    int64_t row_step;               /* rows that threads do not divide: MR, or a split tile's */
    int64_t step_count;
    double beta_1_power, beta_2_power; /* βᵗ by repeated multiplication */
    fbp_layer *layers;
    double *row_loss; /* [chunk] */
    void
        *loss_parameters; /* real, as in fbp_targets; NULL for a loss without, or to predict only */
    fbp_task *tasks;
    int32_t *task_order;   /* task numbers, grouped by thread */
    int32_t *task_begin;   /* [n_threads + 1] each thread's part of task_order */
    double *task_load;     /* [n_threads] scratch of the assignment */
    int32_t *panel_thread; /* [n_panels] scratch of the assignment */
    int32_t n_tasks, n_panels, planned_threads;
    int by_layer;         /* the form of the rows phase, see form.h */
    uint16_t *tiles;      /* in the form by layers: a split product's left operand */
    fbp_scratch *scratch; /* [n_threads] */
    fbp_sparse sparse;
    int64_t drop_row; /* the batch's row that is the chunk's first, for dropout */
    fbp_pace pace;
    void *arena;
    size_t bytes;     /* of the block */
    fbp_poll_fn poll; /* that copying of parameters asks, or NULL */
    void *poll_context;
    int retired; /* it trains and predicts no more, see retire.c */
};

#define FBP_SOLVER_ROWS 45 /* rows of a batch that cost a tile of W as much as Adam does */

static inline int64_t fbp_min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t fbp_max(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t fbp_ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static inline int64_t fbp_round_up(int64_t a, int64_t b) { return fbp_ceil_div(a, b) * b; }

static inline size_t fbp_real_bytes(int real)
{
    return real == FBP_F32 ? sizeof(float) : sizeof(double);
}

/* The address of element i of an array of reals of the net's type. */
static inline void *fbp_at(const fbp_net *net, const void *base, int64_t i)
{
    return (char *)(uintptr_t)base + (size_t)i * net->real_bytes;
}

/* Width of column panel p of a packed matrix with n columns. */
static inline int64_t fbp_panel_width(int64_t n, int64_t p, int lanes, int nr)
{
    return fbp_min(nr, fbp_round_up(n - p * nr, lanes));
}

/* Whether a spec makes sense, and whether its sizes can be reckoned with. */
int fbp_spec_is_valid(const fbp_spec *spec);
int fbp_sizes_fit(const fbp_spec *spec);

/* A cell of one product: rows row … row + rows − 1 of the chunk (whole tiles), some column panels. */
typedef struct {
    int64_t row, rows, first_panel, end_panel;
    const uint16_t *tiles; /* of the rows of a split product's left operand */
} fbp_cell;

/* Whether to give up a phase; asked on any thread, of which one asks the caller. */
typedef struct {
    int (*is_due)(void *context, int thread);
    void *context;
    int thread;
    double work; /* multiply-adds since it was asked */
} fbp_stop;

/* Count work that was done; whether so much is done that it was asked, and the answer is to stop. */
static inline int fbp_stop_after(fbp_stop *stop, const fbp_net *net, double work)
{
    stop->work += work;
    if (stop->work < net->work_at_once) return 0;
    stop->work = 0;
    return stop->is_due(stop->context, stop->thread);
}

/* Column panels of a product of `rows` rows and depth k to compute between two questions. */
static inline int64_t fbp_panels_at_once(const fbp_net *net, int64_t rows, int64_t k)
{
    const double panels = net->work_at_once / ((double)rows * (double)k * net->kernels->nr);
    return panels < INT32_MAX ? fbp_max(1, (int64_t)panels) : INT32_MAX;
}

/* Layer l's outputs, of the cell; z of the last layer lands in its delta. */
void fbp_forward_cell(fbp_net *net, int l, fbp_cell cell);
/* Carry a block of rows of the chunk through every layer. The chunk has n_rows, beyond which the
 * block's rows are padding. 0 when stopped on the way. */
int fbp_forward_block(fbp_net *net, fbp_scratch *scratch, int64_t row, int64_t rows, int64_t n_rows,
                      fbp_stop *stop);
/* The delta of layer l − 1, of the cell, from that of layer l. */
void fbp_backward_cell(fbp_net *net, int l, fbp_cell cell);
/* Carry the last layer's delta back through every layer; 0 when stopped. */
int fbp_backward_block(fbp_net *net, fbp_scratch *scratch, int64_t row, int64_t rows,
                       int64_t n_rows, fbp_stop *stop);
/* One task of the weights phase over `rows` rows of the chunk; 0: what is stored goes through the
 * solver. */
void fbp_update_task(fbp_net *net, const fbp_task *task, int64_t rows, const fbp_update *update);

#endif
