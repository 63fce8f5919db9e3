/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The net: checking what is asked for, planning and carving its one block of memory, its step count.
 */
#include "split.h"

#include <stdlib.h>

#include "arena.h"
#include "dropout.h"
#include "form.h"
#include "isa/fpenv.h"
#include "loss.h"
#include "sparse.h"
#include "tasks.h"

#define BLOCK_BYTES (1024 * 1024) /* a block's widest layer: half of a server core's L2 */
#define BLOCK_ROWS_MAX 128
#define LONGEST_TRAINING 100000000 /* steps */

int fbp_spec_is_valid(const fbp_spec *s)
{
    if (!s || s->n_layers < 1 || !s->units || s->n_threads < 1 || s->max_rows < 0 ||
        s->predict_rows < 0)
        return 0;
    if (s->loss < 0 || s->loss >= FBP_N_LOSSES || s->solver < 0 || s->solver >= FBP_N_SOLVERS)
        return 0;
    if (s->precision < 0 || s->precision >= FBP_N_PRECISIONS) return 0;
    if ((s->real != FBP_F32 && s->real != FBP_F64) || (s->n_layers > 1 && !s->activations))
        return 0;
    for (int l = 0; l <= s->n_layers; l++)
        if (s->units[l] < 1) return 0;
    for (int l = 0; l + 1 < s->n_layers; l++)
        if (s->activations[l] < 0 || s->activations[l] >= FBP_N_ACTIVATIONS) return 0;
    if (s->max_row_nonzeros < 0 || s->max_batch_nonzeros < 0) return 0;
    if (!fbp_loss_parameters_are_valid(s)) return 0;
    if (!fbp_dropout_is_valid(s)) return 0;
    return !fbp_loss_takes_codes(s->loss) || s->units[s->n_layers] > 1;
}

/* Sizes stay below 2⁴⁰, so that their sums and roundings cannot overflow; products are checked. */
int fbp_sizes_fit(const fbp_spec *s)
{
    const int64_t limit = INT64_C(1) << 40;
    for (int l = 0; l <= s->n_layers; l++)
        if (s->units[l] > limit) return 0;
    if (s->max_row_nonzeros > 0 && s->units[0] > INT32_MAX) return 0;
    return fbp_max(s->max_rows, fbp_max(s->max_row_nonzeros, s->max_batch_nonzeros)) <= limit;
}

/* Elements of a packed W: panels of full vectors. */
static int64_t packed_size(int64_t fan_in, int64_t columns, const fbp_kernels *k, fbp_arena *arena)
{
    const int64_t padded = fbp_round_up(columns, k->lanes);
    if (fan_in > INT64_MAX / padded) {
        arena->overflow = 1;
        return 0;
    }
    return fan_in * padded;
}

/* Elements from panel to panel for `rows` rows; an odd number of cache lines apart, because panels
 * that are a power of two apart would share the sets of a cache. */
static int64_t panel_stride(const fbp_net *net, int64_t rows)
{
    const int64_t line = FBP_CACHE_LINE / (int64_t)net->real_bytes;
    return fbp_round_up(rows * net->kernels->nr, 2 * line) + line;
}

static void *take_panels(const fbp_net *net, fbp_arena *arena, int64_t stride, int64_t columns)
{
    const int64_t n_panels = fbp_ceil_div(columns, net->kernels->nr);
    return fbp_arena_take(arena, n_panels, (size_t)stride * net->real_bytes);
}

/* One array shaped like a layer's W and one like its b. */
static void take_parameters(const fbp_net *net, const fbp_layer *layer, fbp_arena *arena, void **w,
                            void **b)
{
    const fbp_kernels *k = net->kernels;
    const int64_t size = layer->column ? fbp_round_up(layer->fan_in, k->lanes)
                                       : packed_size(layer->fan_in, layer->fan_out, k, arena);
    *w = fbp_arena_take(arena, size, net->real_bytes);
    *b = fbp_arena_take(arena, fbp_round_up(layer->fan_out, k->lanes), net->real_bytes);
}

/* The same as take_parameters, for what a retired net keeps. */
static void take_kept(const fbp_net *net, const fbp_layer *layer, fbp_arena *arena, void **w,
                      void **b, fbp_piece *piece)
{
    piece->begin = arena->used;
    take_parameters(net, layer, arena, w, b);
    piece->end = arena->used;
}

/* An operand of split products with that many rows or columns. */
static uint16_t *take_tiles(const fbp_net *net, int64_t lines, int64_t k, fbp_arena *arena)
{
    const int64_t tiles = fbp_split_tiles(lines, k);
    arena->overflow |= tiles < 0;
    return fbp_arena_take(arena, fbp_max(tiles, 0) * net->parts, FBP_TILE_SIZE * sizeof(uint16_t));
}

/* What a layer needs for split products, in training beside its panels. */
static void carve_split(const fbp_net *net, int l, fbp_layer *layer, fbp_arena *arena)
{
    layer->w_tiles = take_tiles(net, layer->fan_out, layer->fan_in, arena);
    if (net->max_rows == 0) return;
    if (l > 0) layer->wt_tiles = take_tiles(net, layer->fan_in, layer->fan_out, arena);
    layer->a_batch = take_tiles(net, layer->fan_in, net->chunk, arena);
    layer->delta_batch = take_tiles(net, layer->fan_out, net->chunk, arena);
}

static void carve_layer(const fbp_net *net, int l, fbp_layer *layer, fbp_arena *arena)
{
    const fbp_kernels *k = net->kernels;
    take_kept(net, layer, arena, &layer->w, &layer->b, &layer->kept[0]);
    if (layer->split) carve_split(net, l, layer, arena);
    if (net->max_rows == 0 || arena->overflow) /* then products of sizes overflow, too */
        return;
    if (l > 0 && !layer->column && !layer->split)
        layer->wt = fbp_arena_take(arena, packed_size(layer->fan_out, layer->fan_in, k, arena),
                                   net->real_bytes);
    if (net->solver == FBP_SOLVER_GRADIENT || net->max_rows > net->chunk || net->clips ||
        net->cuts_updates)
        take_parameters(net, layer, arena, &layer->gw, &layer->gb);
    for (int m = 0; m < net->n_moments; m++)
        take_kept(net, layer, arena, &layer->mw[m], &layer->mb[m], &layer->kept[1 + m]);
    if (net->solver == FBP_SOLVER_GRADIENT) { /* its "state" is the gradient */
        layer->mw[0] = layer->gw;
        layer->mb[0] = layer->gb;
    }
    const int64_t columns = layer->column ? 1 : fbp_round_up(layer->fan_out, k->lanes);
    layer->n_squares = fbp_ceil_div(layer->fan_in, FBP_STRIP_ROWS) * columns;
    layer->squares = fbp_arena_take(arena, layer->n_squares, net->real_bytes);
    if (net->clips)
        layer->gradient_squares = fbp_arena_take(
            arena, fbp_ceil_div(layer->fan_in, FBP_STRIP_ROWS) * layer->fan_out, sizeof(double));
    layer->a_stride = layer->delta_stride = panel_stride(net, net->chunk);
    if (l > 0 || !net->sparse.used)
        layer->a = take_panels(net, arena, layer->a_stride, layer->fan_in);
    if (layer->has_slopes) layer->slopes = take_panels(net, arena, layer->a_stride, layer->fan_in);
    layer->delta = layer->column ? fbp_arena_take(arena, net->chunk, net->real_bytes)
                                 : take_panels(net, arena, layer->delta_stride, layer->fan_out);
}

static void carve_scratch(const fbp_net *net, fbp_scratch *scratch, int64_t widest,
                          fbp_arena *arena)
{
    scratch->stride = panel_stride(net, net->block);
    for (int i = 0; i < 2; i++)
        scratch->panels[i] = take_panels(net, arena, scratch->stride, widest);
    if (net->split) scratch->tiles = take_tiles(net, net->block, widest, arena);
    if (net->sparse.used) fbp_sparse_carve_scratch(net, scratch, arena);
    if (net->max_rows == 0) return;
    scratch->y = fbp_arena_take(arena, net->block, (size_t)net->y_step * net->real_bytes);
    scratch->weights = fbp_arena_take(arena, net->block, net->real_bytes);
}

/* Whether layer l's products are split; those of sparse rows never are. */
static int splits_layer(const fbp_split_kernels *split, const fbp_spec *spec, int l)
{
    return split && (l > 0 || spec->max_row_nonzeros == 0) &&
           fbp_split_gains(split, fbp_parts(spec->precision), spec->units[l], spec->units[l + 1]);
}

/* The family's split products, if any layer uses them. */
static const fbp_split_kernels *split_of(const fbp_spec *spec)
{
    const fbp_split_kernels *split = fbp_split_find(spec->isa, spec->real, spec->precision);
    int used = 0;
    for (int l = 0; split && l < spec->n_layers; l++)
        used |= splits_layer(split, spec, l);
    return used ? split : NULL;
}

int fbp_spec_splits(const fbp_spec *spec)
{
    const uint64_t fpenv = fbp_fpenv_enter();
    const int splits = fbp_spec_is_valid(spec) && split_of(spec) != NULL;
    fbp_fpenv_leave(fpenv);
    return splits;
}

/* Rows that a thread carries through all layers at a time. */
static int64_t block_rows(const fbp_net *net, const fbp_spec *spec, int64_t widest)
{
    const int64_t step = net->row_step, mr = net->kernels->mr;
    const int64_t rows = BLOCK_BYTES / (widest * (int64_t)net->real_bytes) / step * step;
    const int64_t block = fbp_min(BLOCK_ROWS_MAX, fbp_max(fbp_max(4 * mr, step), rows));
    if (spec->max_rows == 0 && spec->predict_rows > 0 && spec->predict_rows < block)
        return fbp_round_up(spec->predict_rows, step);
    return block;
}

/* Whether training stores act' of layer l's inputs. */
static int keeps_slopes(const fbp_spec *spec, int l)
{
    enum { FUSED, PASS, STORED };
    static const int how_it_runs[] = {
#define FBP_ACTIVATION(NAME, name, how) how,
#include "registry.def"
    };
    return l > 0 && l < spec->n_layers &&
           (how_it_runs[spec->activations[l - 1]] == STORED || fbp_dropout_drops(spec, l - 1));
}

static void carve_layers(fbp_net *net, const fbp_spec *spec, fbp_arena *arena)
{
    net->layers = fbp_arena_take(arena, net->n_layers, sizeof(fbp_layer));
    net->n_tasks = net->n_panels = 0;
    for (int l = 0; l < net->n_layers; l++) {
        fbp_layer layer = {
            .first_panel = net->n_panels,
            .fan_in = spec->units[l],
            .fan_out = spec->units[l + 1],
            .activation = l + 1 < net->n_layers ? spec->activations[l] : FBP_ACT_IDENTITY,
            .column = l + 1 == net->n_layers && spec->units[l + 1] == 1,
            .dropout = fbp_dropout_of(spec, l),
        };
        layer.train_activation = keeps_slopes(spec, l + 1) ? FBP_ACT_IDENTITY : layer.activation;
        layer.has_slopes = keeps_slopes(spec, l);
        layer.split = splits_layer(net->split, spec, l);
        carve_layer(net, l, &layer, arena);
        const int32_t n_tasks = fbp_count_tasks(net, &layer, arena);
        arena->overflow |= n_tasks > INT32_MAX - net->n_tasks;
        net->n_tasks += arena->overflow ? 0 : n_tasks;
        net->n_panels +=
            arena->overflow ? 0 : (int32_t)fbp_ceil_div(layer.fan_out, net->kernels->nr);
        if (arena->base) net->layers[l] = layer;
    }
}

/* Hand out (or, with arena->base NULL, add up) everything the net owns. */
static void carve(fbp_net *net, const fbp_spec *spec, fbp_arena *arena)
{
    int64_t widest = 1;
    for (int l = net->sparse.used; l <= spec->n_layers; l++) /* sparse rows take no panels */
        widest = fbp_max(widest, spec->units[l]);
    net->block = block_rows(net, spec, widest);
    carve_layers(net, spec, arena);
    net->scratch = fbp_arena_take(arena, net->n_threads, sizeof(fbp_scratch));
    for (int t = 0; t < net->n_threads; t++) {
        fbp_scratch scratch = {0};
        carve_scratch(net, &scratch, widest, arena);
        if (arena->base) net->scratch[t] = scratch;
    }
    if (net->max_rows == 0) return;
    if (net->sparse.used) fbp_sparse_carve(net, arena);
    if (net->split && net->n_threads > 1) net->tiles = take_tiles(net, net->chunk, widest, arena);
    net->row_loss = fbp_arena_take(arena, net->chunk, sizeof(double));
    fbp_loss_carve(net, spec, arena);
    net->tasks = fbp_arena_take(arena, net->n_tasks, sizeof(fbp_task));
    net->task_order = fbp_arena_take(arena, 2 * (int64_t)net->n_tasks, sizeof(int32_t));
    net->task_begin = fbp_arena_take(arena, net->n_threads + 1, sizeof(int32_t));
    net->task_load = fbp_arena_take(arena, net->n_threads, sizeof(double));
    net->panel_thread = fbp_arena_take(arena, net->n_panels, sizeof(int32_t));
}

static void fill_in(fbp_net *net, const fbp_spec *spec, const fbp_kernels *kernels)
{
    net->kernels = kernels;
    net->split = split_of(spec);
    net->parts = fbp_parts(spec->precision);
    net->row_step = net->split ? fbp_max(kernels->mr, FBP_TILE) : kernels->mr;
    net->real = spec->real;
    net->isa = spec->isa;
    net->real_bytes = fbp_real_bytes(spec->real);
    net->loss = spec->loss;
    net->solver = spec->solver;
    net->n_moments = fbp_solver_n_moments(spec->solver);
    net->clips = spec->clips != 0;
    net->n_layers = spec->n_layers;
    net->n_threads = spec->n_threads;
    net->pace.fixed = spec->fixed_threads != 0;
    net->n_in = spec->units[0];
    net->n_out = spec->units[spec->n_layers];
    net->y_step = net->n_out == 1 ? 1 : fbp_round_up(net->n_out, kernels->lanes);
    net->max_rows = spec->max_rows;
    net->sparse = (fbp_sparse){.used = spec->max_row_nonzeros > 0,
                               .max_row = spec->max_row_nonzeros,
                               .max_batch = spec->max_batch_nonzeros};
    net->chunk = fbp_round_up(fbp_min(spec->max_rows, fbp_chunk_rows(net, spec)), net->row_step);
    net->work_at_once = fbp_work_at_once(net);
    net->update_nanoseconds = fbp_update_nanoseconds(net, spec);
    net->cuts_updates = fbp_may_cut_updates(net);
    net->slowness = 1;
    net->beta_1_power = net->beta_2_power = 1;
}

static fbp_status create(const fbp_spec *spec, fbp_net **out)
{
    if (!fbp_spec_is_valid(spec)) return FBP_EINVAL;
    const fbp_kernels *kernels = fbp_kernels_find(spec->isa, spec->real);
    if (!kernels) return FBP_EISA;
    if (!fbp_sizes_fit(spec)) return FBP_ENOMEM;
    fbp_net plan = {0};
    fbp_arena arena = {0};
    fill_in(&plan, spec, kernels);
    if (plan.split && !fbp_split_start(spec->isa)) return FBP_EISA;
    (void)fbp_arena_take(&arena, 1, sizeof(fbp_net));
    carve(&plan, spec, &arena);
    if (!fbp_arena_allocate(&arena, &plan.arena)) return FBP_ENOMEM;
    fbp_net *net = fbp_arena_take(&arena, 1, sizeof(fbp_net));
    carve(&plan, spec, &arena);
    *net = plan;
    net->bytes = arena.used;
    if (net->max_rows > 0) fbp_list_tasks(net);
    *out = net;
    return FBP_OK;
}

fbp_status fbp_net_create(const fbp_spec *spec, fbp_net **out)
{
    if (!out) return FBP_EINVAL;
    *out = NULL;
    const uint64_t fpenv = fbp_fpenv_enter(); /* rates and parameters are rounded here, too */
    const fbp_status status = create(spec, out);
    fbp_fpenv_leave(fpenv);
    return status;
}

void fbp_net_destroy(fbp_net *net)
{
    if (net) free(net->arena);
}

int64_t fbp_net_get_step_count(const fbp_net *net) { return net ? net->step_count : 0; }

/* betaᵗ by the multiplications that t steps of training make; beyond what anybody trains, by squaring,
 * so that no count takes long. */
static double power(double beta, int64_t count)
{
    double result = 1;
    if (count > LONGEST_TRAINING) {
        for (; count > 0; count /= 2, beta *= beta)
            result *= count % 2 ? beta : 1;
        return result;
    }
    for (int64_t i = 0; i < count && result > 0; i++)
        result *= beta;
    return result;
}

fbp_status fbp_net_set_step_count(fbp_net *net, int64_t count, double beta_1, double beta_2)
{
    if (!net || count < 0 || count > FBP_MAX_STEP_COUNT) return FBP_EINVAL;
    const uint64_t fpenv = fbp_fpenv_enter(); /* so that the powers are those of training */
    net->step_count = count;
    net->beta_1_power = power(beta_1, count);
    net->beta_2_power = power(beta_2, count);
    fbp_fpenv_leave(fpenv);
    return FBP_OK;
}
