/* The alignments of a query with its candidates, for the origin's verification. Releases the GIL. */
#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "alignment.h"
#include "products.h"

/* What the origin found: segments n of candidate c are those from bounds[c] to bounds[c + 1]. */
typedef struct candidates {
    const int32_t *starts;      /* of each, where in the song the query may start, in steps */
    const int32_t *bounds;      /* one more */
    const int32_t *positions;   /* of each stored segment, in steps */
    const int8_t *stored;       /* its embedding */
    int32_t count;
} candidates;

static void align_one(const query *asked, const int16_t *heard, const candidates *all, int32_t n, int32_t *products,
                      fit *best, int32_t *segments) {
    fits found = {0};
    for (int32_t at = all->bounds[n]; at < all->bounds[n + 1]; at++) {
        const int8_t *stored = all->stored + (int64_t)at * DIMENSIONS;
        for (int32_t segment = 0; segment < asked->segments; segment++) {
            sums total = no_sums();
            for (int i = 0; i < DIMENSIONS; i += 8)
                total = add_eight(total, eight_weights(stored + i), heard + segment * DIMENSIONS + i);
            products[segment] = added(total);
        }
        fits_add(&found, asked, products, all->positions[at] - all->starts[n]);
    }
    *best = best_fit(&found, asked, 1);
    for (int32_t at = all->bounds[n]; at < all->bounds[n + 1]; at++)
        segments[at] = heard_at(asked, all->positions[at] - all->starts[n] - best->shift, best->speed);
}

static int align_all(const query *asked, const candidates *all, fit *best, int32_t *segments) {
    size_t values = (size_t)asked->segments * DIMENSIONS;
    int16_t *heard = PyMem_Malloc(sizeof(int16_t[values + 1]));
    int32_t *products = PyMem_Malloc(sizeof(int32_t[asked->segments + 1]));
    if (heard && products) {
        Py_BEGIN_ALLOW_THREADS
        for (size_t n = 0; n < values; n++) heard[n] = asked->embeddings[n];
        for (int32_t n = 0; n < all->count; n++) align_one(asked, heard, all, n, products, &best[n], segments);
        Py_END_ALLOW_THREADS
    }
    int done = heard && products;
    PyMem_Free(heard);
    PyMem_Free(products);
    return done;
}

static PyObject *listed(const fit *best, int32_t count) {
    PyObject *rows = PyList_New(count);
    for (int32_t n = 0; rows && n < count; n++) {
        PyObject *row = Py_BuildValue("ddfi", best[n].similarity, best[n].sharpness, best[n].speed, (int)best[n].shift);
        if (!row || PyList_SetItem(rows, n, row) < 0) Py_CLEAR(rows);
    }
    return rows;
}

/* Hosts give bounds that ascend from 0 to the number of positions: what does not fit together is refused. */
static int fits_together(const Py_buffer given[6], int thinning) {
    int64_t segments = given[0].len, count = given[2].len / 4, stored = given[4].len / 4;
    const int32_t *bounds = given[3].buf;
    if (thinning < 1 || segments > INT32_MAX / DIMENSIONS || given[1].len != segments * DIMENSIONS) return 0;
    if (given[3].len != 4 * (count + 1) || given[5].len != stored * DIMENSIONS || bounds[0] != 0) return 0;
    for (int64_t n = 0; n < count; n++)
        if (bounds[n + 1] < bounds[n]) return 0;
    return bounds[count] == stored;
}

PyObject *kernel_align(PyObject *Py_UNUSED(module), PyObject *arguments) {
    Py_buffer given[6];
    int thinning;
    if (!PyArg_ParseTuple(arguments, "iy*y*y*y*y*y*", &thinning, &given[0], &given[1], &given[2], &given[3], &given[4],
                          &given[5]))
        return NULL;
    PyObject *rows = NULL, *segments = NULL;
    if (!fits_together(given, thinning)) PyErr_SetString(PyExc_ValueError, "the query and its candidates do not fit together");
    else {
        query asked = {given[0].buf, given[1].buf, (int32_t)given[0].len, thinning};
        candidates all = {given[2].buf, given[3].buf, given[4].buf, given[5].buf, (int32_t)(given[2].len / 4)};
        fit *best = PyMem_Malloc(sizeof(fit[all.count + 1]));
        segments = PyBytes_FromStringAndSize(NULL, given[4].len);
        if (best && segments && align_all(&asked, &all, best, (int32_t *)(void *)PyBytes_AsString(segments)))
            rows = listed(best, all.count);
        else if (!PyErr_Occurred()) PyErr_NoMemory();
        PyMem_Free(best);
    }
    for (int n = 0; n < 6; n++) PyBuffer_Release(&given[n]);
    PyObject *result = rows ? Py_BuildValue("OO", rows, segments) : NULL;
    Py_XDECREF(rows);
    Py_XDECREF(segments);
    return result;
}
