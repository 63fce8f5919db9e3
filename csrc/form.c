/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * See form.h. The model, for rows through all layers on n threads: the busiest thread has ⌈tiles / n⌉
 * tiles of rows and reads all of W and Wᵀ for them, whichever takes longer; in a grid it has its
 * largest cell of every layer, and waits at two barriers a layer. The constants are those of a core
 * with AVX-512: on a slower one all but the barriers take longer, which favours neither.
 */
#include "form.h"

#include "sparse.h"

#define OPERATIONS_PER_NANOSECOND 100.0 /* in float32; half as many in float64 */
#define BYTES_PER_NANOSECOND 25.0       /* from the third-level cache */
#define BARRIER_NANOSECONDS 500.0       /* for two threads; as many again with each doubling */
#define CLEARLY_LESS 0.8                /* the grid's activations leave the caches */
#define WIDEST_VECTOR 64                /* bytes, of the core that the first number is about */
#define SPLIT_GAIN 4                    /* what split products gain, about */
#define MOST_NANOSECONDS 70e6           /* of an update, and LEAST_ROWS of it, so that */
#define LEAST_ROWS 256                  /* storing the gradient between chunks costs little */
#define CUT_NANOSECONDS 90e6            /* of an update that is cut: more than one takes at rest */
#define MOST_SLOWNESS 4                 /* beyond which no neighbour is to be blamed */
#define BETWEEN_QUESTIONS 20e6          /* nanoseconds */

fbp_grid fbp_grid_choose(int64_t n_tiles, int64_t n_panels, int n_threads)
{
    fbp_grid best = {1, 1};
    int64_t least = INT64_MAX;
    for (int64_t columns = 1; columns <= fbp_min(n_threads, n_panels); columns++) {
        const int64_t rows = fbp_max(1, fbp_min(n_threads / columns, n_tiles));
        const int64_t cell = fbp_ceil_div(n_tiles, rows) * fbp_ceil_div(n_panels, columns);
        if (cell < least) {
            least = cell;
            best = (fbp_grid){(int32_t)rows, (int32_t)columns};
        }
    }
    return best;
}

static int64_t tiles_of(const fbp_net *net, int64_t rows)
{
    return fbp_ceil_div(fbp_min(rows, net->chunk), net->row_step);
}

static int64_t panels_of(const fbp_net *net, int64_t columns)
{
    return fbp_ceil_div(columns, net->kernels->nr);
}

static double operations_per_nanosecond(const fbp_net *net)
{
    return OPERATIONS_PER_NANOSECOND * sizeof(float) / (double)net->real_bytes;
}

/* Of this family: about, since chunks and questions change no bit. */
static double family_rate(const fbp_net *net)
{
    const double width = net->kernels->lanes * (double)net->real_bytes / WIDEST_VECTOR;
    const double rate = operations_per_nanosecond(net) * width;
    return rate * (net->split ? SPLIT_GAIN : 1) / (fbp_isa_fused(net->isa, net->real) ? 1 : 2);
}

double fbp_update_nanoseconds(const fbp_net *net, const fbp_spec *spec)
{
    const double rows_held = (double)fbp_max(1, fbp_min(spec->max_rows, FBP_CHUNK_ROWS));
    double weights = 0;
    for (int l = 0; l < spec->n_layers; l++) {
        const double stored = (double)spec->max_batch_nonzeros / rows_held;
        const double fan_in = l == 0 && net->sparse.used ? stored : (double)spec->units[l];
        weights += fan_in * (double)spec->units[l + 1];
    }
    return (2 * weights + 1) / family_rate(net);
}

/* So many rows, but not so few that storing the gradient between chunks costs much; whole strips. */
static int64_t cut_rows(const fbp_net *net, double rows)
{
    const double least = LEAST_ROWS * family_rate(net) / OPERATIONS_PER_NANOSECOND;
    if (rows < least) rows = least;
    if (rows >= FBP_CHUNK_ROWS) return FBP_CHUNK_ROWS;
    return fbp_max(1, (int64_t)rows / FBP_STRIP_ROWS) * FBP_STRIP_ROWS;
}

int64_t fbp_chunk_rows(const fbp_net *net, const fbp_spec *spec)
{
    if (net->solver == FBP_SOLVER_GRADIENT) return FBP_CHUNK_ROWS; /* it changes no weights */
    return cut_rows(net, MOST_NANOSECONDS * net->n_threads / fbp_update_nanoseconds(net, spec));
}

int fbp_may_cut_updates(const fbp_net *net)
{
    const double rows = (double)fbp_min(net->max_rows, net->chunk);
    return net->solver != FBP_SOLVER_GRADIENT && rows > (double)cut_rows(net, 0) &&
           rows * net->update_nanoseconds >= BETWEEN_QUESTIONS;
}

int64_t fbp_rows_before_update(const fbp_net *net, int64_t rows, int n_threads)
{
    if (!net->cuts_updates) return 0;
    const double row = net->slowness * net->update_nanoseconds / n_threads;
    const double most = CUT_NANOSECONDS / row - FBP_SOLVER_ROWS;
    if ((double)rows <= most) return 0;
    return fbp_max(0, fbp_round_up(rows - cut_rows(net, most / 2), FBP_STRIP_ROWS));
}

double fbp_update_slowness(const fbp_net *net, int64_t rows, int n_threads, int64_t nanoseconds)
{
    return (double)nanoseconds * n_threads /
           (net->update_nanoseconds * (double)(rows + FBP_SOLVER_ROWS));
}

void fbp_update_learn(fbp_net *net, double slowness)
{
    /* At once when it takes longer: a neighbour's work; slowly back. */
    const double between = (3 * net->slowness + slowness) / 4;
    const double now = slowness > net->slowness ? slowness : between;
    net->slowness = now > MOST_SLOWNESS ? MOST_SLOWNESS : now;
}

double fbp_work_at_once(const fbp_net *net) { return BETWEEN_QUESTIONS / 2 * family_rate(net); }

double fbp_step_nanoseconds(const fbp_net *net, int64_t rows)
{
    double weights = 0;
    for (int l = 0; l < net->n_layers; l++)
        weights += (l > 0 ? 3.0 : 2.0) * (double)fbp_sparse_fan_in(net, &net->layers[l]) *
                   (double)net->layers[l].fan_out;
    return 2 * weights * (double)rows / operations_per_nanosecond(net);
}

int fbp_update_is_long(const fbp_net *net, int64_t rows)
{
    double weights = 0;
    for (int l = 0; l < net->n_layers; l++)
        weights += (double)fbp_sparse_fan_in(net, &net->layers[l]) * (double)net->layers[l].fan_out;
    return weights * (double)(fbp_min(rows, net->chunk) + FBP_SOLVER_ROWS) >= net->work_at_once / 2;
}

int64_t fbp_most_threads(const fbp_net *net, int64_t rows)
{
    int64_t panels = 1;
    for (int l = 0; l < net->n_layers; l++)
        panels = fbp_max(panels, panels_of(net, net->layers[l].fan_out));
    return tiles_of(net, rows) * panels;
}

/* One product [tiles · MR × k] · [k × panels · NR]: its largest cell. */
static double cell_nanoseconds(const fbp_net *net, int64_t n_tiles, int64_t n_panels, int64_t k,
                               fbp_grid grid)
{
    const double cell = (double)(fbp_ceil_div(n_tiles, grid.rows) * net->row_step) *
                        (double)(fbp_ceil_div(n_panels, grid.columns) * net->kernels->nr);
    return 2 * cell * (double)k / operations_per_nanosecond(net);
}

static double barrier_nanoseconds(int n_threads)
{
    double doublings = 0;
    for (; n_threads > 1; n_threads /= 2)
        doublings++;
    return doublings * BARRIER_NANOSECONDS;
}

void fbp_plan_form(fbp_net *net, int64_t rows, int n_threads)
{
    const int64_t n_tiles = tiles_of(net, rows);
    const int64_t most = fbp_ceil_div(n_tiles, n_threads);
    const fbp_grid whole = {1, 1};
    double compute = 0, bytes = 0, grid = 2 * barrier_nanoseconds(n_threads);
    for (int l = 0; l < net->n_layers; l++) {
        fbp_layer *layer = &net->layers[l];
        const int64_t outputs = panels_of(net, layer->fan_out);
        const int64_t inputs = panels_of(net, layer->fan_in);
        const int64_t fan_in = fbp_sparse_fan_in(net, layer);
        layer->forward_grid = fbp_grid_choose(n_tiles, outputs, n_threads);
        layer->backward_grid = fbp_grid_choose(n_tiles, inputs, n_threads);
        const double n_products = l > 0 ? 2 : 1; /* the first layer has no backward data product */
        bytes += n_products * (double)fan_in * (double)layer->fan_out * (double)net->real_bytes;
        compute += cell_nanoseconds(net, most, outputs, fan_in, whole);
        grid += barrier_nanoseconds(n_threads) * n_products +
                cell_nanoseconds(net, n_tiles, outputs, fan_in, layer->forward_grid);
        if (l == 0) continue;
        compute += cell_nanoseconds(net, most, inputs, layer->fan_out, whole);
        grid += cell_nanoseconds(net, n_tiles, inputs, layer->fan_out, layer->backward_grid);
    }
    const double reading = bytes / BYTES_PER_NANOSECOND;
    net->by_layer = n_threads > 1 && grid < CLEARLY_LESS * (compute > reading ? compute : reading);
}
