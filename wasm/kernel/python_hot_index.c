/* The hot index as the Python type HotIndex: one bundle, one search at a time. Releases the GIL. */
#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "hot_index.h"

typedef struct {
    PyObject_HEAD
    Py_buffer bundle;
    hot_index index;
    query asked;
    uint8_t query_bytes[QUERY_SEGMENTS_MAX * sizeof(segment)];
    int busy;   /* another thread is inside with the GIL released */
} HotIndex;

static PyObject *hot_new(PyTypeObject *type, PyObject *arguments, PyObject *Py_UNUSED(names)) {
    PyObject *bundle;
    if (!PyArg_ParseTuple(arguments, "O", &bundle)) return NULL;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    HotIndex *self = (HotIndex *)allocate(type, 0);   /* zeros */
    if (!self) return NULL;
    if (PyObject_GetBuffer(bundle, &self->bundle, PyBUF_SIMPLE) == 0) {
        if (!self->bundle.readonly) PyErr_SetString(PyExc_TypeError, "what is checked must not change: give bytes");
        else if (hot_open(&self->index, self->bundle.buf, (uint64_t)self->bundle.len) == 0) return (PyObject *)self;
        else PyErr_SetString(PyExc_ValueError, "the bytes are no bundle that this kernel can read");
    }
    Py_DECREF(self);
    return NULL;
}

static void hot_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyBuffer_Release(&((HotIndex *)self)->bundle);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyObject *alignments(const hot_index *index) {
    PyObject *all = PyList_New(index->aligned);
    for (int32_t n = 0; all && n < index->aligned; n++) {
        const alignment *one = &index->alignments[n];
        PyObject *row = Py_BuildValue("Iifdd", (unsigned)one->song, (int)one->offset_steps, (double)one->speed,
                                      one->similarity, one->sharpness);
        if (!row || PyList_SetItem(all, n, row) < 0) Py_CLEAR(all);
    }
    return all;
}

/* Copy the query in, so that it is still there when recordings are compared. */
static int take_query(HotIndex *self, const Py_buffer *bytes, int thinning) {
    int64_t segments = bytes->len / (Py_ssize_t)sizeof(segment);
    if (segments > QUERY_SEGMENTS_MAX || bytes->len % (Py_ssize_t)sizeof(segment)) {
        PyErr_SetString(PyExc_ValueError, "the query is too long, or no whole number of segments");
        return -1;
    }
    __builtin_memcpy(self->query_bytes, bytes->buf, (size_t)bytes->len);
    self->asked = (query){self->query_bytes, (int8_t *)self->query_bytes + segments, (int32_t)segments, thinning};
    return 0;
}

static PyObject *search(HotIndex *self, PyObject *arguments) {
    Py_buffer bytes;
    int thinning, limit, count = -1;
    if (!PyArg_ParseTuple(arguments, "y*ii", &bytes, &thinning, &limit)) return NULL;
    if (self->busy) PyErr_SetString(PyExc_RuntimeError, "one hot index, one search: it is in use by another thread");
    else if (take_query(self, &bytes, thinning) == 0) {
        self->busy = 1;
        Py_BEGIN_ALLOW_THREADS
        count = hot_search(&self->index, &self->asked, limit);
        Py_END_ALLOW_THREADS
        self->busy = 0;
        if (count < 0) PyErr_SetString(PyExc_ValueError, "the thinning or the limit is out of range");
    }
    PyBuffer_Release(&bytes);
    return count < 0 ? NULL : alignments(&self->index);
}

static PyObject *same_recording(HotIndex *self, PyObject *arguments) {
    int one, other;
    if (!PyArg_ParseTuple(arguments, "ii", &one, &other)) return NULL;
    if (!self->busy) return PyBool_FromLong(hot_same_recording(&self->index, &self->asked, one, other));
    PyErr_SetString(PyExc_RuntimeError, "one hot index, one search: it is in use by another thread");
    return NULL;
}

static PyMethodDef methods[] = {
    {"search", (PyCFunction)search, METH_VARARGS,
     "Take levels and embeddings, thinning, limit; return song, offset_steps, speed, similarity, sharpness of the likeliest."},
    {"same_recording", (PyCFunction)same_recording, METH_VARARGS, "Say whether two of the last search hold the same audio."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "A bundle of popular songs, searched in the kernel."},
    {Py_tp_new, hot_new},
    {Py_tp_dealloc, hot_dealloc},
    {Py_tp_methods, methods},
    {0, NULL},
};

static PyType_Spec spec = {"sonica_fingerprint._native.HotIndex", sizeof(HotIndex), 0, Py_TPFLAGS_DEFAULT, slots};

int add_hot_index(PyObject *module);

int add_hot_index(PyObject *module) {
    PyObject *type = PyType_FromModuleAndSpec(module, &spec, NULL);
    if (!type) return -1;
    int failed = PyModule_AddObjectRef(module, "HotIndex", type);
    Py_DECREF(type);
    if (failed < 0) return -1;
    return PyModule_AddIntConstant(module, "QUERY_SEGMENTS_MAX", QUERY_SEGMENTS_MAX);
}
