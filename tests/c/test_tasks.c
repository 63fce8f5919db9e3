/* SPDX-License-Identifier: BSD-3-Clause */
/* The tasks of the weights phase: they cover every weight once, whoever does them; loads are even. */
#include "check.h"
#include "tasks.h"

static fbp_net *make_net(const int64_t *units, int n_layers, int64_t max_rows, int n_threads)
{
    int32_t activations[8];
    for (int l = 0; l < 8; l++)
        activations[l] = FBP_ACT_RELU;
    const fbp_spec spec = {
        .n_layers = n_layers,
        .units = units,
        .activations = activations,
        .loss = FBP_LOSS_SQUARED_ERROR,
        .solver = FBP_SOLVER_ADAM,
        .real = FBP_F32,
        .isa = fbp_isa_best(FBP_F32, FBP_PRECISION_HIGHEST),
        .n_threads = n_threads,
        .max_rows = max_rows,
    };
    fbp_net *net = NULL;
    CHECK(fbp_net_create(&spec, &net) == FBP_OK, "no net");
    return net;
}

/* Rows of each panel of each layer, added up over the tasks. */
static void test_cover(const fbp_net *net)
{
    int64_t *covered = calloc((size_t)net->n_panels, sizeof(int64_t));
    for (int32_t i = 0; covered && i < net->n_tasks; i++) {
        const fbp_task *task = &net->tasks[i];
        const int64_t most = net->layers[task->layer].column ? INT64_MAX : FBP_STRIP_ROWS;
        CHECK(task->i0 < task->i1 && task->i1 - task->i0 <= most, "task %d has a strange size", i);
        CHECK(net->layers[task->layer].column || task->i0 % FBP_STRIP_ROWS == 0, "task %d", i);
        covered[net->layers[task->layer].first_panel + task->panel] += task->i1 - task->i0;
    }
    for (int l = 0; covered && l < net->n_layers; l++)
        for (int64_t p = 0; p * net->kernels->nr < net->layers[l].fan_out; p++)
            CHECK(covered[net->layers[l].first_panel + p] == net->layers[l].fan_in,
                  "layer %d, panel %d: %d rows of %d", l, (int)p,
                  (int)covered[net->layers[l].first_panel + p], (int)net->layers[l].fan_in);
    free(covered);
}

static int is_first_of_panel(const fbp_net *net, int32_t begin, int32_t i)
{
    const fbp_task *task = &net->tasks[net->task_order[i]];
    for (int32_t j = begin; j < i; j++) {
        const fbp_task *before = &net->tasks[net->task_order[j]];
        if (before->layer == task->layer && before->panel == task->panel) return 0;
    }
    return 1;
}

static void test_assignment(fbp_net *net, int n_threads)
{
    char *done = calloc((size_t)net->n_tasks, 1);
    double total = 0, most = 0, longest = 0;
    fbp_plan_tasks(net, n_threads);
    CHECK(net->task_begin[0] == 0 && net->task_begin[n_threads] == net->n_tasks, "no partition");
    for (int t = 0; done && t < n_threads; t++) {
        double load = 0;
        for (int32_t i = net->task_begin[t]; i < net->task_begin[t + 1]; i++) {
            const fbp_task *task = &net->tasks[net->task_order[i]];
            done[net->task_order[i]]++;
            load += task->cost;
            longest = task->cost > longest ? task->cost : longest;
            CHECK(task->fresh == is_first_of_panel(net, net->task_begin[t], i),
                  "task %d of %d threads: fresh is %d", (int)i, n_threads, task->fresh);
            const int32_t last = net->task_begin[t + 1] - 1;
            CHECK(task->next == net->task_order[i < last ? i + 1 : last],
                  "task %d of %d threads: %d follows", (int)i, n_threads, (int)task->next);
        }
        total += load;
        most = load > most ? load : most;
    }
    for (int32_t i = 0; done && i < net->n_tasks; i++)
        CHECK(done[i] == 1, "task %d is done %d times", i, done[i]);
    CHECK(most <= total / n_threads + longest, "%d threads: %g of %g on one", n_threads, most,
          total);
    free(done);
}

int main(void)
{
    const int64_t small[] = {64, 100, 10}, column[] = {8, 100, 1}, wide[] = {300, 700, 200, 3};
    const int64_t linear[] = {5, 1};
    const struct {
        const int64_t *units;
        int n_layers;
    } nets[] = {{small, 2}, {column, 2}, {wide, 3}, {linear, 1}};
    for (int n = 0; n < 4; n++)
        for (int64_t rows = 7; rows <= 4096; rows *= 585)
            for (int allowed = 1; allowed <= 64; allowed *= 4) {
                fbp_net *net = make_net(nets[n].units, nets[n].n_layers, rows, allowed);
                if (!net) continue;
                test_cover(net);
                for (int n_threads = allowed; n_threads > 0; n_threads /= 2)
                    test_assignment(net, n_threads);
                fbp_net_destroy(net);
            }
    return check_done("tasks");
}
