/*
 * plan.h - what a layer's plan() may ask of the planner.
 *
 *   plan(layer): read plan_bottom_desc / plan_is_training
 *                say    plan_bottom, plan_top, plan_param, plan_scratch...
 *
 * The planner walks the layers in order.  Each blob has representations, as
 * oneDNN memory descriptors.  A layer says in which one it reads a bottom;
 * when the blob does not have it yet, the plan inserts one reorder, and
 * later readers of the same blob find it made.  It says in which one it
 * writes a top.  Gradients run the other way: the reader of a blob writes
 * its gradient as plan_bottom_diff says, the writer of the blob gets it as
 * plan_top_diff says, and the plan puts a reorder between when they differ.
 *
 * In a net of precision bf16 a representation may be of bf16: layers that
 * have kernels for it (layer_ops.bf16) ask for such descriptors.
 *
 * A layer without plan(), and every bottom or top that plan() does not
 * mention, is plain and f32.  Descriptors are copied.  A descriptor needs not have
 * the blob's own axes when the bytes are the same (InnerProduct reads a
 * plain (N,C,H,W) as (N,K)): then leave the bottom plain.
 */
#ifndef ET_PLAN_H
#define ET_PLAN_H

#include "engine/layer.h"

/* Will backward be asked of this layer. */
bool plan_is_training(const struct planner *p);

/* Is the gradient of this bottom wanted. */
bool plan_wants_bottom_diff(const struct planner *p, int bottom);

/*
 * The representation in which the bottom was written: reading it so costs
 * nothing.  When that is of bf16 and the layer has no kernels for it: the same
 * layout in f32, which costs a conversion.
 */
const dnnl_memory_desc_t *plan_bottom_desc(const struct planner *p, int bottom);

/* Does the net compute in bf16 where it can. */
bool plan_is_bf16(const struct planner *p);
/* dnnl_bf16 where the net computes in bf16 and a reader of the top makes use of that; else dnnl_f32. */
dnnl_data_type_t plan_top_type(const struct planner *p, int top);

/* A gradient that is not mentioned lies as its data. */
void plan_bottom(struct planner *p, int bottom, const dnnl_memory_desc_t *desc);
void plan_bottom_diff(struct planner *p, int bottom, const dnnl_memory_desc_t *desc);
void plan_top(struct planner *p, int top, const dnnl_memory_desc_t *desc);
void plan_top_diff(struct planner *p, int top, const dnnl_memory_desc_t *desc);

/* Instead of the ops' backward_needs, when the settings decide. */
void plan_backward_needs(struct planner *p, unsigned needs);

/* Do layers behind this one overwrite its top 0 in place (NEEDS_TOP_BLOB). */
bool plan_top_is_overwritten(const struct planner *p);

/* Backward reads bottoms while it writes their gradients, whatever the ops' reads_bottoms_first says. */
void plan_backward_mixes(struct planner *p);

/* Bytes for l->scratch (the maximum counts) and for l->workspace; 64-byte aligned. */
void plan_scratch(struct planner *p, size_t bytes);
void plan_workspace(struct planner *p, size_t bytes);

/*
 * Zeroed memory of the layer's own, for the net's life, 64-byte aligned, for
 * use while running.  Pages that are never touched cost nothing.
 */
void *plan_keep(struct planner *p, size_t bytes);
/* The same, for what only a second gradient of one step touches (iter_size, shared parameters). */
void *plan_keep_spare(struct planner *p, size_t bytes);

/*
 * Proposes the representation of a parameter's values and gradient; `plain`
 * is Caffe's order over the same logical axes.  The first who asks decides
 * (a sharer or a test net finds it decided): returns the descriptor in
 * force.  A parameter nobody asks for is plain.
 */
const dnnl_memory_desc_t *plan_param(struct planner *p, int param, const dnnl_memory_desc_t *desc,
                                     const dnnl_memory_desc_t *plain);

/*
 * In a net for inference: the layers after this one, each the only reader of
 * what is before it, that change each channel of top 0 by a factor and a sum
 * (layer_ops' fold).  Those returned, at most PLAN_MAX_TAKEN, are not run:
 * this layer must do it.  To be asked before plan_take_relu.
 */
enum { PLAN_MAX_TAKEN = 2 };
int plan_take_changes(struct planner *p, const struct layer *ret_taken[PLAN_MAX_TAKEN]);

/*
 * The same in training as well, for one layer, or NULL: neither its forward
 * nor its backward is run, this layer does both (fold, and learn) and gets the
 * gradient of the taken layer's top as that of its own.
 */
const struct layer *plan_take_change(struct planner *p);

/*
 * true when the only reader of top 0 (after the changes that were taken) is a ReLU without negative slope,
 * and this layer may apply it itself: it must then do so, the ReLU's forward is not run.  Ask once, when the
 * answer will be obeyed.  Never in training: oneDNN's ReLU makes NaN 0, which would hide that a net diverges.
 */
bool plan_take_relu(struct planner *p);
/* In training as well, for a layer whose ReLU keeps NaN and that does the ReLU's backward too. */
bool plan_take_relu_both_ways(struct planner *p);

/* ---- descriptors ---- */

/* C order; a scalar has one axis of 1, more than 12 axes count as one. */
void desc_plain(const struct shape *shape, dnnl_memory_desc_t *ret_desc);
void desc_by_tag(const struct shape *shape, dnnl_format_tag_t tag, dnnl_memory_desc_t *ret_desc);
/* Rows in C order, of any type of numbers. */
bool desc_is_plain(const dnnl_memory_desc_t *desc);
/* The same layout with numbers of another type. */
dnnl_memory_desc_t desc_of_type(const dnnl_memory_desc_t *desc, dnnl_data_type_t type);
/* Numbers in memory, padding included. */
size_t desc_n_elements(const dnnl_memory_desc_t *desc);
/* Weights of two spatial axes with the output channel last: (k,k,I,O) or (group,k,k,I,O) in memory, over the
 * axes (O,I,k,k) or (group,O,I,k,k) of `plain`. */
dnnl_memory_desc_t desc_outputs_last(const dnnl_memory_desc_t *plain);
/* Channels last: (N,C,W), (N,C,H,W) or (N,C,D,H,W); and in blocks of 16 channels. */
bool desc_is_nhwc(const dnnl_memory_desc_t *desc);
bool desc_is_blocked16(const dnnl_memory_desc_t *desc);
/* The tags of these by number of axes (3 to 5); dnnl_format_tag_undef otherwise. */
dnnl_format_tag_t tag_plain(int n_axes);
dnnl_format_tag_t tag_nhwc(int n_axes);
dnnl_format_tag_t tag_blocked16(int n_axes);
/* Has oneDNN kernels for blocks of 16 channels here?  With avx512; else channels last suits most of them. */
bool blocks_are_liked(void);

#endif
