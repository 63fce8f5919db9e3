/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The tasks of the weights phase: strips of FBP_STRIP_ROWS rows × one column panel of a layer's W, and
 * who does which. The assignment is fixed for a number of threads, so that in every step a thread finds
 * its weights and moments in its own caches. It changes no bit.
 */
#ifndef FBP_TASKS_H
#define FBP_TASKS_H

#include "arena.h"
#include "internal.h"

/* The number of a layer's tasks; too many for an int32 count as an overflow of the arena. */
int32_t fbp_count_tasks(const fbp_net *net, const fbp_layer *layer, fbp_arena *arena);

/* Fill in net->tasks. */
void fbp_list_tasks(fbp_net *net);

/* Assign them to n_threads (train's team may be smaller than asked). */
void fbp_plan_tasks(fbp_net *net, int n_threads);

#endif
