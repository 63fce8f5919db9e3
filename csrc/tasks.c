/* SPDX-License-Identifier: BSD-3-Clause */
/* See tasks.h. */
#include "tasks.h"

#include <stdlib.h>

#include "sparse.h"

#define DELTA_BYTES (1024 * 1024) /* panels of delta that stay in L2 while strips pass over them */
#define MANY_TASKS 16     /* per thread: from there on a task more or less does not matter */
#define EDGE_COST 0.3     /* vectors' worth of broadcasts and of the loop in a tile's k */
#define INTERCEPTS_COST 4 /* their pass over delta */

int32_t fbp_count_tasks(const fbp_net *net, const fbp_layer *layer, fbp_arena *arena)
{
    if (layer->column || arena->overflow) return 1;
    const int64_t count = fbp_ceil_div(layer->fan_in, FBP_STRIP_ROWS) *
                          fbp_ceil_div(layer->fan_out, net->kernels->nr);
    if (count > INT32_MAX / 2) arena->overflow = 1;
    return arena->overflow ? 0 : (int32_t)count;
}

/* A strip's share of what it would cost with dense rows: the solver's part stays. */
static double sparse_share(const fbp_net *net, const fbp_layer *layer)
{
    const double rows = (double)fbp_min(net->max_rows, net->chunk);
    const double stored = (double)fbp_sparse_fan_in(net, layer) / (double)layer->fan_in;
    return (FBP_SOLVER_ROWS + rows * stored) / (FBP_SOLVER_ROWS + rows);
}

/* A column panel's strips i0 … of one layer. */
static fbp_task make_task(const fbp_net *net, int32_t l, int32_t panel, int64_t i0)
{
    const fbp_layer *layer = &net->layers[l];
    const fbp_kernels *k = net->kernels;
    const int64_t i1 = fbp_min(layer->fan_in, i0 + FBP_STRIP_ROWS);
    const int64_t width = fbp_panel_width(layer->fan_out, panel, k->lanes, k->nr);
    const double cost = (double)(i1 - i0) * ((double)width / k->lanes + EDGE_COST);
    return (fbp_task){
        l, panel, i0, i1, cost * sparse_share(net, layer) + (i0 == 0 ? INTERCEPTS_COST : 0), 0, 0};
}

/* Groups of panels whose deltas fit in L2, and in a group strip by strip: a strip of a is read from
 * afar once for all of the group. */
static fbp_task *list_layer(const fbp_net *net, int32_t l, fbp_task *task)
{
    const fbp_layer *layer = &net->layers[l];
    if (layer->column) {
        *task =
            (fbp_task){l, 0, 0, layer->fan_in, (double)layer->fan_in / net->kernels->lanes, 0, 0};
        task->cost += INTERCEPTS_COST;
        return task + 1;
    }
    const int64_t panel_bytes = net->chunk * net->kernels->nr * (int64_t)net->real_bytes;
    const int32_t group = (int32_t)fbp_max(1, DELTA_BYTES / panel_bytes);
    const int32_t n_panels = (int32_t)fbp_ceil_div(layer->fan_out, net->kernels->nr);
    for (int32_t first = 0; first < n_panels; first += group)
        for (int64_t i0 = 0; i0 < layer->fan_in; i0 += FBP_STRIP_ROWS)
            for (int32_t p = first; p < fbp_min(n_panels, first + group); p++)
                *task++ = make_task(net, l, p, i0);
    return task;
}

static int by_falling_cost(const void *a, const void *b)
{
    const fbp_task *s = a, *t = b;
    if (s->cost != t->cost) return s->cost < t->cost ? 1 : -1;
    if (s->layer != t->layer) return s->layer - t->layer;
    if (s->panel != t->panel) return s->panel - t->panel;
    return (s->i0 > t->i0) - (s->i0 < t->i0);
}

static int are_many(const fbp_net *net) { return net->n_tasks >= MANY_TASKS * net->n_threads; }

void fbp_list_tasks(fbp_net *net)
{
    fbp_task *task = net->tasks;
    for (int32_t l = 0; l < net->n_layers; l++)
        task = list_layer(net, l, task);
    if (!are_many(net)) qsort(net->tasks, (size_t)net->n_tasks, sizeof(fbp_task), by_falling_cost);
}

/* Few tasks: longest first, each to the thread with the least to do. */
static void share_by_load(fbp_net *net, int32_t *owner, int n_threads)
{
    memset(net->task_load, 0, sizeof(double) * (size_t)n_threads);
    for (int32_t i = 0; i < net->n_tasks; i++) {
        int best = 0;
        for (int t = 1; t < n_threads; t++)
            if (net->task_load[t] < net->task_load[best]) best = t;
        net->task_load[best] += net->tasks[i].cost;
        owner[i] = best;
    }
}

/* Many tasks: in their order, cut where the shares are equal, so that a thread's are neighbours. */
static void share_in_order(const fbp_net *net, int32_t *owner, int n_threads)
{
    double total = 0, before = 0;
    for (int32_t i = 0; i < net->n_tasks; i++)
        total += net->tasks[i].cost;
    for (int32_t i = 0; i < net->n_tasks; before += net->tasks[i++].cost) {
        const double middle = before + net->tasks[i].cost / 2;
        owner[i] = (int32_t)fbp_min(n_threads - 1, (int64_t)(middle / total * n_threads));
    }
}

/* Mark the first task of each panel on each thread, and what follows each task there. */
static void mark_neighbours(fbp_net *net)
{
    for (int32_t p = 0; p < net->n_panels; p++)
        net->panel_thread[p] = -1;
    for (int t = 0; t < net->planned_threads; t++) {
        for (int32_t i = net->task_begin[t]; i < net->task_begin[t + 1]; i++) {
            fbp_task *task = &net->tasks[net->task_order[i]];
            int32_t *last = &net->panel_thread[net->layers[task->layer].first_panel + task->panel];
            task->fresh = *last != t;
            task->next = net->task_order[fbp_min(i + 1, net->task_begin[t + 1] - 1)];
            *last = t;
        }
    }
}

void fbp_plan_tasks(fbp_net *net, int n_threads)
{
    if (net->planned_threads == n_threads) return;
    int32_t *owner = net->task_order + net->n_tasks;
    if (are_many(net))
        share_in_order(net, owner, n_threads);
    else
        share_by_load(net, owner, n_threads);
    memset(net->task_begin, 0, sizeof(int32_t) * (size_t)(n_threads + 1));
    for (int32_t i = 0; i < net->n_tasks; i++)
        net->task_begin[owner[i] + 1]++;
    for (int t = 0; t < n_threads; t++)
        net->task_begin[t + 1] += net->task_begin[t];
    /* Filled from behind, which leaves begin one too far. */
    for (int32_t i = net->n_tasks; i-- > 0;)
        net->task_order[--net->task_begin[owner[i] + 1]] = i;
    for (int t = 0; t < n_threads; t++)
        net->task_begin[t] = net->task_begin[t + 1];
    net->task_begin[n_threads] = net->n_tasks;
    net->planned_threads = n_threads;
    mark_neighbours(net);
}
