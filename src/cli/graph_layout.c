#include "cli/graph_layout.h"

#include <math.h>
#include <stdlib.h>

enum { ORDER_SWEEPS = 24, PLACE_SWEEPS = 200, SHORT_SPAN = 3 };
#define BEND_WIDTH  6.0  /* room for an edge that passes a rank */
#define BEND_WEIGHT 0.25 /* boxes go where they like to be, and edges around them */
#define BEND_PULL   8.0  /* of a bend on the next one: long edges are straight */
#define END_PULL    0.25 /* of both ends of a long edge on its bends: it stays near */

/* A box or a bend. */
struct place {
    int rank, order;
    double width, x;
    double sort_key;
    double weight;
    bool is_bend;
    int span;     /* of a bend's edge, in ranks */
    int from, to; /* its ends */
    int n_up, n_down;
    int *up, *down; /* places of the ranks above and below */
};

struct layout {
    struct graph *g;
    int n, allocated;
    struct place *places; /* the nodes, then bends */
    int *edge_first;      /* an edge: its first bend */
    int n_ranks;
    int *rank_n;
    int **ranks; /* places, in order */
};

static int rank_span(const struct layout *l, const struct graph_edge *e)
{
    return l->places[e->to].rank - l->places[e->from].rank;
}

static void find_ranks(struct layout *l)
{
    const struct graph *g = l->g;
    for (int i = 0; i < g->n_nodes; i++)
        for (int e = 0; e < g->n_edges; e++)
            if (g->edges[e].to == i)
                l->places[i].rank = MAX(l->places[i].rank, l->places[g->edges[e].from].rank + 1);
    /* What depends on nothing stands just above what it is for. */
    for (int i = g->n_nodes - 1; i >= 0; i--) {
        int lowest = -1;
        bool depends = false;
        for (int e = 0; e < g->n_edges; e++) {
            depends = depends || g->edges[e].to == i;
            if (g->edges[e].from == i && (lowest < 0 || l->places[g->edges[e].to].rank <= lowest))
                lowest = l->places[g->edges[e].to].rank - 1;
        }
        if (!depends && lowest > 0)
            l->places[i].rank = lowest;
    }
    for (int i = 0; i < g->n_nodes; i++)
        l->n_ranks = MAX(l->n_ranks, l->places[i].rank + 1);
}

static void link_places(struct layout *l, int above, int below)
{
    struct place *a = &l->places[above], *b = &l->places[below];
    a->down = xrealloc(a->down, ((size_t)a->n_down + 1) * sizeof(int));
    a->down[a->n_down++] = below;
    b->up = xrealloc(b->up, ((size_t)b->n_up + 1) * sizeof(int));
    b->up[b->n_up++] = above;
}

static void make_places(struct layout *l)
{
    const struct graph *g = l->g;
    l->n = g->n_nodes;
    l->places = xcalloc((size_t)g->n_nodes + 1, sizeof(*l->places));
    l->edge_first = xcalloc((size_t)g->n_edges + 1, sizeof(int));
    find_ranks(l);
    int n_bends = 0;
    for (int e = 0; e < g->n_edges; e++)
        n_bends += rank_span(l, &g->edges[e]) - 1;
    l->places = xrealloc(l->places, ((size_t)g->n_nodes + (size_t)n_bends + 1) * sizeof(*l->places));
    for (int i = 0; i < g->n_nodes; i++) {
        l->places[i].width = g->nodes[i].width;
        l->places[i].weight = 1;
    }
    for (int e = 0; e < g->n_edges; e++) {
        int last = g->edges[e].from, span = rank_span(l, &g->edges[e]);
        l->edge_first[e] = l->n;
        for (int k = 1; k < span; k++) {
            l->places[l->n] = (struct place){.rank = l->places[g->edges[e].from].rank + k,
                                             .width = BEND_WIDTH,
                                             .weight = BEND_WEIGHT,
                                             .is_bend = true,
                                             .span = span,
                                             .from = g->edges[e].from,
                                             .to = g->edges[e].to};
            link_places(l, last, l->n);
            last = l->n++;
        }
        link_places(l, last, g->edges[e].to);
    }
}

static void make_ranks(struct layout *l)
{
    l->rank_n = xcalloc((size_t)l->n_ranks + 1, sizeof(int));
    l->ranks = xcalloc((size_t)l->n_ranks + 1, sizeof(int *));
    for (int r = 0; r < l->n_ranks; r++)
        l->ranks[r] = xcalloc((size_t)l->n + 1, sizeof(int));
    for (int i = 0; i < l->n; i++) {
        struct place *p = &l->places[i];
        p->order = l->rank_n[p->rank];
        l->ranks[p->rank][l->rank_n[p->rank]++] = i;
    }
}

/* ---- order ---- */

static int by_key(const void *a, const void *b, void *places)
{
    const struct place *x = &((const struct place *)places)[*(const int *)a];
    const struct place *y = &((const struct place *)places)[*(const int *)b];
    if (x->sort_key != y->sort_key)
        return x->sort_key < y->sort_key ? -1 : 1;
    return x->order - y->order;
}

static void sort_rank(struct layout *l, int rank, bool by_up)
{
    for (int i = 0; i < l->rank_n[rank]; i++) {
        struct place *p = &l->places[l->ranks[rank][i]];
        int n = by_up ? p->n_up : p->n_down;
        const int *neighbours = by_up ? p->up : p->down;
        double sum = 0;
        for (int k = 0; k < n; k++) {
            const struct place *q = &l->places[neighbours[k]];
            sum += (q->order + 0.5) / l->rank_n[q->rank];
        }
        p->sort_key = n ? sum / n : (p->order + 0.5) / l->rank_n[rank];
    }
    qsort_r(l->ranks[rank], (size_t)l->rank_n[rank], sizeof(int), by_key, l->places);
    for (int i = 0; i < l->rank_n[rank]; i++)
        l->places[l->ranks[rank][i]].order = i;
}

static int64_t crossings(const struct layout *l)
{
    int64_t n = 0;
    for (int r = 0; r + 1 < l->n_ranks; r++)
        for (int i = 0; i < l->rank_n[r]; i++)
            for (int k = i + 1; k < l->rank_n[r]; k++) {
                const struct place *a = &l->places[l->ranks[r][i]], *b = &l->places[l->ranks[r][k]];
                for (int x = 0; x < a->n_down; x++)
                    for (int y = 0; y < b->n_down; y++)
                        n += l->places[a->down[x]].order > l->places[b->down[y]].order;
            }
    return n;
}

static void order_ranks(struct layout *l)
{
    CLEANUP(freep) int *best = xcalloc((size_t)l->n + 1, sizeof(int));
    int64_t fewest = INT64_MAX;
    for (int sweep = 0; sweep < ORDER_SWEEPS && fewest > 0; sweep++) {
        for (int r = 0; sweep && r < l->n_ranks; r++)
            sort_rank(l, sweep % 2 ? r : l->n_ranks - 1 - r, sweep % 2);
        int64_t now = crossings(l);
        if (now >= fewest)
            continue;
        fewest = now;
        for (int i = 0; i < l->n; i++)
            best[i] = l->places[i].order;
    }
    for (int i = 0; i < l->n; i++) {
        l->places[i].order = best[i];
        l->ranks[l->places[i].rank][best[i]] = i;
    }
}

/* ---- place ---- */

/* Neighbouring places that stand as near as they may, and move as one. */
struct block {
    double wanted, weight; /* of its first place */
    int n;
};

/*
 * The x that lie nearest to what is wanted (squares, weighted) and keep the
 * order and the gaps: blocks that would overlap are joined.
 */
static void place_rank(struct layout *l, int rank, const double *wanted, double gap)
{
    int n = l->rank_n[rank], n_blocks = 0;
    CLEANUP(freep) struct block *blocks = xcalloc((size_t)n + 1, sizeof(*blocks));
    CLEANUP(freep) double *offset = xcalloc((size_t)n + 1, sizeof(*offset));
    for (int i = 0; i < n; i++) {
        const struct place *p = &l->places[l->ranks[rank][i]];
        if (i)
            offset[i] = offset[i - 1] + (l->places[l->ranks[rank][i - 1]].width + p->width) / 2 + gap;
        blocks[n_blocks++] = (struct block){wanted[i] - offset[i], p->weight, 1};
        while (n_blocks > 1 && blocks[n_blocks - 2].wanted > blocks[n_blocks - 1].wanted) {
            struct block *a = &blocks[n_blocks - 2], *b = &blocks[n_blocks - 1];
            double weight = a->weight + b->weight;
            *a =
                (struct block){(a->wanted * a->weight + b->wanted * b->weight) / weight, weight, a->n + b->n};
            n_blocks--;
        }
    }
    for (int b = 0, i = 0; b < n_blocks; b++)
        for (int k = 0; k < blocks[b].n; k++, i++)
            l->places[l->ranks[rank][i]].x = blocks[b].wanted + offset[i];
}

/*
 * How much q pulls p, its neighbour on q's side of `n_sides` edges.  A box with
 * many edges is no line for one of them to follow; a long edge is for no box.
 */
static double pull_of(const struct place *p, const struct place *q, int n_sides)
{
    if (p->is_bend)
        return q->is_bend ? BEND_PULL : 1.0 / (n_sides * n_sides);
    return q->is_bend && q->span > SHORT_SPAN ? 1.0 / q->span : 1;
}

/* The sums of x and of weights over the neighbours above, or below. */
static void pull(const struct layout *l, const struct place *p, bool above, double *sum, double *weight)
{
    int n = above ? p->n_up : p->n_down;
    for (int k = 0; k < n; k++) {
        const struct place *q = &l->places[above ? p->up[k] : p->down[k]];
        double w = pull_of(p, q, above ? q->n_down : q->n_up);
        *sum += q->x * w;
        *weight += w;
    }
}

/* Towards the neighbours above, those below, or both. */
static void place_by(struct layout *l, int rank, bool up, bool down, double gap)
{
    int n = l->rank_n[rank];
    CLEANUP(freep) double *wanted = xcalloc((size_t)n + 1, sizeof(*wanted));
    for (int i = 0; i < n; i++) {
        const struct place *p = &l->places[l->ranks[rank][i]];
        double sum = 0, weight = 0;
        if (up)
            pull(l, p, true, &sum, &weight);
        if (down)
            pull(l, p, false, &sum, &weight);
        if (p->is_bend && p->span > SHORT_SPAN) {
            sum += END_PULL * (l->places[p->from].x + l->places[p->to].x);
            weight += 2 * END_PULL;
        }
        wanted[i] = weight > 0 ? sum / weight : p->x;
    }
    place_rank(l, rank, wanted, gap);
}

static void place_all(struct layout *l, double gap)
{
    for (int r = 0; r < l->n_ranks; r++) {
        CLEANUP(freep) double *wanted = xcalloc((size_t)l->rank_n[r] + 1, sizeof(*wanted));
        place_rank(l, r, wanted, gap);
    }
    for (int sweep = 0; sweep < PLACE_SWEEPS; sweep++)
        for (int r = 0; r < l->n_ranks; r++) {
            bool is_late = sweep >= PLACE_SWEEPS / 2, to_down = sweep % 2;
            place_by(l, to_down ? l->n_ranks - 1 - r : r, is_late || !to_down, is_late || to_down, gap);
        }
}

/* ---- result ---- */

/* Top and bottom of a rank. */
struct band {
    double top, bottom;
};

/* Down to the end of the first rank, straight through those between, and to the start of the last. */
static void bend_edge(const struct layout *l, int index, const struct band *bands, double left)
{
    struct graph_edge *edge = &l->g->edges[index];
    const struct place *from = &l->places[edge->from], *to = &l->places[edge->to];
    int span = rank_span(l, edge);
    edge->n_bends = 2 * span;
    edge->bends = xcalloc((size_t)edge->n_bends + 1, sizeof(*edge->bends));
    struct point *bend = edge->bends;
    *bend++ = (struct point){from->x - left, bands[from->rank].bottom};
    for (int k = 0; k + 1 < span; k++) {
        const struct place *p = &l->places[l->edge_first[index] + k];
        *bend++ = (struct point){p->x - left, bands[p->rank].top};
        *bend++ = (struct point){p->x - left, bands[p->rank].bottom};
    }
    *bend = (struct point){to->x - left, bands[to->rank].top};
}

static void tell(struct layout *l, double gap_y)
{
    struct graph *g = l->g;
    double left = INFINITY, right = -INFINITY, y = 0;
    CLEANUP(freep) struct band *bands = xcalloc((size_t)l->n_ranks + 1, sizeof(*bands));
    for (int i = 0; i < l->n; i++) {
        left = MIN(left, l->places[i].x - l->places[i].width / 2);
        right = MAX(right, l->places[i].x + l->places[i].width / 2);
    }
    for (int r = 0; r < l->n_ranks; r++) {
        double height = 0;
        for (int i = 0; i < g->n_nodes; i++)
            if (l->places[i].rank == r)
                height = MAX(height, g->nodes[i].height);
        bands[r] = (struct band){y, y + height};
        y += height + gap_y;
    }
    for (int i = 0; i < g->n_nodes; i++) {
        const struct band *band = &bands[l->places[i].rank];
        g->nodes[i].at = (struct point){l->places[i].x - left, (band->top + band->bottom) / 2};
    }
    for (int e = 0; e < g->n_edges; e++)
        bend_edge(l, e, bands, left);
    g->width = l->n ? right - left : 0;
    g->height = l->n_ranks ? y - gap_y : 0;
}

void graph_layout(struct graph *g, double gap_x, double gap_y)
{
    struct layout l = {.g = g};
    make_places(&l);
    make_ranks(&l);
    order_ranks(&l);
    place_all(&l, gap_x);
    tell(&l, gap_y);
    for (int i = 0; i < l.n; i++) {
        free(l.places[i].up);
        free(l.places[i].down);
    }
    for (int r = 0; r < l.n_ranks; r++)
        free(l.ranks[r]);
    free(l.ranks);
    free(l.rank_n);
    free(l.places);
    free(l.edge_first);
}

void graph_release_bends(struct graph *g)
{
    for (int e = 0; e < g->n_edges; e++)
        free(g->edges[e].bends);
}
