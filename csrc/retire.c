/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The end of a net: its memory goes back to the system part by part, while its weights and solver
 * state are copied out.
 *
 * Freeing the block whole, after the copies, was the alternative: a fit then took its most memory
 * after its last step, net and copies side by side. A block per layer and moment would need no advice
 * to the system, but malloc may keep what is freed.
 */
#include "arena.h"
#include "internal.h"

static void release(fbp_net *net, size_t begin, size_t end)
{
    fbp_arena_release((char *)net + begin, (char *)net + end);
}

fbp_status fbp_net_retire(fbp_net *net)
{
    if (!net) return FBP_EINVAL;
    if (net->retired) return FBP_OK;
    net->retired = 1;
    /* What is kept lies in this order; all between goes. */
    size_t begin = (size_t)((char *)(net->layers + net->n_layers) - (char *)net);
    for (int l = 0; l < net->n_layers; l++)
        for (int i = 0; i <= net->n_moments; i++) {
            const fbp_piece piece = net->layers[l].kept[i];
            if (piece.end == 0) continue; /* a net that only predicts has no moments */
            release(net, begin, piece.begin);
            begin = piece.end;
        }
    release(net, begin, net->bytes);
    return FBP_OK;
}

fbp_status fbp_net_retire_layer(fbp_net *net, int layer)
{
    if (!net || !net->retired || layer < 0 || layer >= net->n_layers || !net->layers[layer].w)
        return FBP_EINVAL;
    fbp_layer *l = &net->layers[layer];
    l->w = l->b = NULL;
    release(net, l->kept[0].begin, l->kept[0].end);
    return FBP_OK;
}

fbp_status fbp_net_retire_moment(fbp_net *net, int layer, int moment)
{
    if (!net || !net->retired || layer < 0 || layer >= net->n_layers || moment < 0 ||
        moment >= net->n_moments || !net->layers[layer].mw[moment])
        return FBP_EINVAL;
    fbp_layer *l = &net->layers[layer];
    l->mw[moment] = l->mb[moment] = NULL;
    release(net, l->kept[1 + moment].begin, l->kept[1 + moment].end);
    return FBP_OK;
}
