/* The kernel as a CPython extension: the type Kernel (one stream), and `features` for training. Releases the GIL. */
#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <string.h>

#include "fingerprint.h"
#include "resample.h"
#include "tables.h"

typedef struct {
    PyObject_HEAD
    extractor stream;
    int busy;   /* another thread is inside with the GIL released */
} Kernel;

static int read_samples(PyObject *object, Py_buffer *view) {
    if (PyObject_GetBuffer(object, view, PyBUF_STRIDES | PyBUF_FORMAT) < 0) return -1;
    int is_float = view->itemsize == sizeof(float) && view->format && strcmp(view->format, "f") == 0;
    if (is_float && PyBuffer_IsContiguous(view, 'C')) return 0;
    PyBuffer_Release(view);
    PyErr_SetString(PyExc_TypeError, "samples must be a contiguous buffer of float32");
    return -1;
}

static int enter(Kernel *self) {
    if (!self->busy) return self->busy = 1, 0;
    PyErr_SetString(PyExc_RuntimeError, "one kernel is one stream: it is in use by another thread");
    return -1;
}

static PyObject *kernel_reset(Kernel *self, PyObject *Py_UNUSED(none)) {
    if (enter(self) < 0) return NULL;
    extractor_reset(&self->stream);
    self->busy = 0;
    Py_RETURN_NONE;
}

static int64_t push_all(extractor *stream, const float *samples, int64_t count, segment *out) {
    int64_t written = 0;
    for (int64_t done = 0; done < count; done += SAMPLES_PER_PUSH_MAX) {
        int64_t left = count - done;
        int32_t part = left < SAMPLES_PER_PUSH_MAX ? (int32_t)left : SAMPLES_PER_PUSH_MAX;
        written += extractor_push(stream, samples + done, part, out + written);
    }
    return written;
}

static PyObject *kernel_push(Kernel *self, PyObject *object) {
    Py_buffer view;
    if (read_samples(object, &view) < 0) return NULL;
    int64_t count = view.len / (Py_ssize_t)sizeof(float), written = 0;
    segment *out = PyMem_Malloc((size_t)(count / (STEP_FRAMES * HOP_SAMPLES) + 2 + EDGE_FRAMES / STEP_FRAMES) * sizeof(segment));
    PyObject *segments = NULL;
    if (!out) PyErr_NoMemory();
    else if (enter(self) == 0) {
        Py_BEGIN_ALLOW_THREADS
        written = push_all(&self->stream, view.buf, count, out);
        Py_END_ALLOW_THREADS
        self->busy = 0;
        segments = PyBytes_FromStringAndSize((const char *)out, (Py_ssize_t)((size_t)written * sizeof(segment)));
    }
    PyMem_Free(out);
    PyBuffer_Release(&view);
    return segments;
}

static PyObject *kernel_finish(Kernel *self, PyObject *Py_UNUSED(none)) {
    segment out[SEGMENTS_PER_PUSH_MAX];
    if (enter(self) < 0) return NULL;
    int32_t written = extractor_finish(&self->stream, out);
    self->busy = 0;
    return PyBytes_FromStringAndSize((const char *)out, (Py_ssize_t)((size_t)written * sizeof(segment)));
}

static PyObject *kernel_new(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(names)) {
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Kernel *self = (Kernel *)allocate(type, 0);
    if (self) extractor_reset(&self->stream);
    return (PyObject *)self;
}

static void kernel_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

/* int16 [8 + frames + 8][80] of a whole clip: training learns from exactly what the kernel will see. */
static PyObject *features(PyObject *Py_UNUSED(module), PyObject *object) {
    Py_buffer view;
    if (read_samples(object, &view) < 0) return NULL;
    int64_t count = view.len / (Py_ssize_t)sizeof(float);
    int64_t frames = count < WINDOW_SAMPLES ? 0 : (count - WINDOW_SAMPLES) / HOP_SAMPLES + 1;
    float(*powers)[BANDS] = PyMem_Malloc((size_t)(frames + 1) * sizeof *powers);
    int64_t edge = frames < SEGMENT_FRAMES ? 0 : EDGE_FRAMES;
    int64_t rows = edge + frames + edge;
    PyObject *result = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(rows * BANDS * (int64_t)sizeof(int16_t)));
    if (!powers || !result) {
        PyMem_Free(powers);
        PyBuffer_Release(&view);
        Py_XDECREF(result);
        return PyErr_NoMemory();
    }
    int16_t *all = (int16_t *)(void *)PyBytes_AsString(result), *out = all + edge * BANDS;
    Py_BEGIN_ALLOW_THREADS
    for (int64_t f = 0; f < frames; f++) {
        float bin_powers[BINS];
        spectrum((const float *)view.buf + f * HOP_SAMPLES, bin_powers);
        bands(bin_powers, powers[f]);
    }
    for (int64_t f = 0; f < frames; f++) {
        float gain_powers[BANDS];
        gains((const float(*)[BANDS])powers, frames, f, frames, gain_powers);
        normalise(powers[f], gain_powers, out + f * BANDS);
    }
    for (int64_t n = 0; n < edge; n++) {
        mean_frame((const int16_t(*)[BANDS])out, all + n * BANDS);
        mean_frame((const int16_t(*)[BANDS])(out + (frames - SEGMENT_FRAMES) * BANDS), out + (frames + n) * BANDS);
    }
    Py_END_ALLOW_THREADS
    PyMem_Free(powers);
    PyBuffer_Release(&view);
    return result;
}

/* float32 of a whole clip of which every `down` samples become `up`. */
static PyObject *kernel_resample(PyObject *Py_UNUSED(module), PyObject *arguments) {
    PyObject *object;
    int down, up;
    Py_buffer view;
    if (!PyArg_ParseTuple(arguments, "Oii", &object, &down, &up) || read_samples(object, &view) < 0) return NULL;
    resampler *stream = PyMem_Malloc(sizeof(resampler));
    PyObject *result = NULL;
    if (!stream) PyErr_NoMemory();
    else if (!resampler_start(stream, down, up))
        PyErr_Format(PyExc_ValueError, "samples cannot be resampled from %d to %d here", down, up);
    else {
        int64_t count = view.len / (Py_ssize_t)sizeof(float), written;
        float *out = PyMem_Malloc((size_t)resampler_bound(stream, count) * sizeof(float));
        if (!out) PyErr_NoMemory();
        else {
            Py_BEGIN_ALLOW_THREADS
            written = resampler_push(stream, view.buf, count, out);
            written += resampler_finish(stream, out + written);
            Py_END_ALLOW_THREADS
            result = PyBytes_FromStringAndSize((const char *)out, (Py_ssize_t)((size_t)written * sizeof(float)));
        }
        PyMem_Free(out);
    }
    PyMem_Free(stream);
    PyBuffer_Release(&view);
    return result;
}

static PyMethodDef kernel_methods[] = {
    {"reset", (PyCFunction)kernel_reset, METH_NOARGS, "Start a new stream."},
    {"push", (PyCFunction)kernel_push, METH_O, "Take float32 samples; return the completed segments, 129 bytes each."},
    {"finish", (PyCFunction)kernel_finish, METH_NOARGS, "End the stream; return the segments that waited."},
    {"resample", kernel_resample, METH_VARARGS | METH_STATIC, "Take float32 of a whole clip; return `up` for every `down`."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot kernel_slots[] = {
    {Py_tp_doc, "One stream through the fingerprint kernel."},
    {Py_tp_new, kernel_new},
    {Py_tp_dealloc, kernel_dealloc},
    {Py_tp_methods, kernel_methods},
    {0, NULL},
};

static PyType_Spec kernel_spec = {"sonica_fingerprint._native.Kernel", sizeof(Kernel), 0, Py_TPFLAGS_DEFAULT, kernel_slots};

PyObject *kernel_align(PyObject *module, PyObject *arguments);   /* python_alignment.c */

static PyMethodDef module_methods[] = {
    {"align", kernel_align, METH_VARARGS, "Return each candidate's best fit, and the segment heard at each stored one."},
    {"features", features, METH_O, "Return int16 [frames][80] of float32 samples, edges included: what embeddings are learnt from."},
    {NULL, NULL, 0, NULL},
};

int add_hot_index(PyObject *module);   /* python_hot_index.c */

static int module_exec(PyObject *module) {
    PyObject *type = PyType_FromModuleAndSpec(module, &kernel_spec, NULL);
    if (!type) return -1;
    int failed = PyModule_AddObjectRef(module, "Kernel", type);
    Py_DECREF(type);
    if (failed < 0 || add_hot_index(module) < 0) return -1;
    return PyModule_AddIntConstant(module, "FINGERPRINT_VERSION", FINGERPRINT_VERSION);
}

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, module_exec}, {0, NULL}};
static PyModuleDef module = {PyModuleDef_HEAD_INIT, "_native", "The fingerprint kernel, native.", 0, module_methods,
                             module_slots, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__native(void) { return PyModuleDef_Init(&module); }
