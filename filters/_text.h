/* What the kernels share: the platform they need, how they read a str, and how they choose the loop for a processor.

   Interpreters and threads. Each kernel keeps its tables and the path it has chosen in static memory, filled once when
   it is first imported (single-phase initialisation). Hence:
     - a subinterpreter shares them; one with a GIL of its own (3.12 on) refuses to import a kernel;
     - a free-threaded Python switches its GIL on when it imports one;
     - under the GIL all of them are safe from any thread. Those that let it go (WITHOUT_GIL) touch no object then. */

#ifndef RPJ_TEXT_H
#define RPJ_TEXT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

#if !defined(__GNUC__) || (defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__) || \
    !defined(__SIZEOF_INT128__)
#error "the kernels of filters/ need gcc or clang and a little-endian 64-bit machine"
#endif

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#define INLINE static inline __attribute__((always_inline))
#define NOINLINE static __attribute__((noinline))
#define UNUSED __attribute__((unused)) /* not every kernel uses all of this */

/* ------------------------------------------------------------------------------------------- characters */

#define BMP 0x10000         /* tables hold the characters below; the others are asked of Python one by one */
#define CAPITAL_SIGMA 0x3A3 /* the one whose lower case depends on its neighbours: left to str.lower */

/* UTF-8 of c, 1 to 4 bytes; a lone surrogate has 3. Returns the end. */
INLINE uint8_t *put_utf8(uint8_t *out, Py_UCS4 c) {
    if (c < 0x80) {
        *out++ = (uint8_t)c;
        return out;
    }
    if (c < 0x800) {
        *out++ = (uint8_t)(0xC0 | c >> 6);
    } else {
        if (c < 0x10000) {
            *out++ = (uint8_t)(0xE0 | c >> 12);
        } else {
            *out++ = (uint8_t)(0xF0 | c >> 18);
            *out++ = (uint8_t)(0x80 | (c >> 12 & 0x3F));
        }
        *out++ = (uint8_t)(0x80 | (c >> 6 & 0x3F));
    }
    *out++ = (uint8_t)(0x80 | (c & 0x3F));
    return out;
}

/* ------------------------------------------------------------------------------------------- str objects */

/* Run `call`, whose argument `kind` is then a constant, so that each of the three widths is its own loop. */
#define BY_KIND(text, call)                                         \
    do {                                                            \
        if (PyUnicode_KIND(text) == PyUnicode_1BYTE_KIND) {         \
            const int kind = PyUnicode_1BYTE_KIND; call;            \
        } else if (PyUnicode_KIND(text) == PyUnicode_2BYTE_KIND) {  \
            const int kind = PyUnicode_2BYTE_KIND; call;            \
        } else {                                                    \
            const int kind = PyUnicode_4BYTE_KIND; call;            \
        }                                                           \
    } while (0)

/* Whether it is a str; else a TypeError is set. */
UNUSED static int is_text(PyObject *object, const char *function) {
    if (!PyUnicode_Check(object)) {
        PyErr_Format(PyExc_TypeError, "%s() takes a str, not %.200s", function, Py_TYPE(object)->tp_name);
        return 0;
    }
#if PY_VERSION_HEX < 0x030C0000
    if (PyUnicode_READY(object) < 0) return 0;
#endif
    return 1;
}

/* text.lower(). Takes the reference to text, which may be NULL. */
UNUSED static PyObject *lowered(PyObject *text) {
    PyObject *low = text == NULL ? NULL : PyObject_CallMethod(text, "lower", NULL);
    Py_XDECREF(text);
    return low;
}

/* The first c in [from, to), or -1. Like PyUnicode_FindChar, which may only be called with the GIL. */
INLINE Py_ssize_t find_char(int kind, const void *data, Py_UCS4 c, Py_ssize_t from, Py_ssize_t to) {
    if (kind == PyUnicode_1BYTE_KIND) {
        if (from >= to || c > 0xFF) return -1;
        const uint8_t *start = data, *found = memchr(start + from, (int)c, (size_t)(to - from));
        return found == NULL ? -1 : found - start;
    }
    for (; to - from >= 32; from += 32) {
        int any = 0;
        for (int i = 0; i < 32; i++) any |= PyUnicode_READ(kind, data, from + i) == c;
        if (any) break;
    }
    for (; from < to; from++)
        if (PyUnicode_READ(kind, data, from) == c) return from;
    return -1;
}

/* Texts from so many characters on are read without the GIL, so that other threads run: the one that ends orphaned
   workers waited for the whole of a text of 1 GiB. Shorter ones take less than the 5 ms after which Python passes the
   GIL on anyway, and to have it back costs a thread up to as much when another computes. */
#define GIL_LENGTH (1 << 18)

#define WITHOUT_GIL(when, call)                                              \
    do {                                                                     \
        PyThreadState *const waiting = (when) ? PyEval_SaveThread() : NULL;  \
        call;                                                                \
        if (waiting != NULL) PyEval_RestoreThread(waiting);                  \
    } while (0)

/* ------------------------------------------------------------------------------------------- arithmetic */

#define ROTATE(bits, x, n) ((x) << (n) | (x) >> ((bits) - (n))) /* of numbers, or vectors, of so many bits */

INLINE uint64_t fold(uint64_t a, uint64_t b) { /* both halves of the product */
    const unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* ------------------------------------------------------------------------------------------- processors */

/* RPJ_PORTABLE leaves out what is written for x86, as on any other machine. */
#if defined(__x86_64__) && !defined(RPJ_PORTABLE)
#define RPJ_X86 1
#include <cpuid.h>
#include <immintrin.h>
#define TARGET_AVX2 __attribute__((target("avx2")))
#define TARGET_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq")))
#define TARGET_SHA __attribute__((target("sha,sse4.1")))
#endif

enum path { PORTABLE, AVX2, AVX512, ALL_PATHS };
UNUSED static const char *const path_names[ALL_PATHS] = {"portable", "avx2", "avx512"};

/* The fastest path of this machine; it has those below too. */
UNUSED static enum path best_path(void) {
#if defined(RPJ_X86)
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2")) return PORTABLE;
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                   __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")
               ? AVX512
               : AVX2;
#else
    return PORTABLE;
#endif
}
UNUSED static int has_sha(void) {
#if defined(RPJ_X86)
    unsigned a, b = 0, c, d; /* leaf 7, EBX bit 29; asked directly because older compilers have no name for it */
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && b >> 29 & 1 && __builtin_cpu_supports("sse4.1");
#else
    return 0;
#endif
}

/* The path of this name (a str), or -1 with a ValueError set. */
UNUSED static int path_of(PyObject *name) {
    for (int path = 0; PyUnicode_Check(name) && path <= (int)best_path(); path++)
        if (PyUnicode_CompareWithASCIIString(name, path_names[path]) == 0) return path;
    PyErr_Format(PyExc_ValueError, "this machine has no path %R", name);
    return -1;
}

/* Gives the module its PATHS, a tuple of the names. Returns the module, or NULL without memory. */
UNUSED static PyObject *with_paths(PyObject *module) {
    if (module == NULL) return NULL;
    PyObject *names = PyTuple_New((Py_ssize_t)best_path() + 1);
    for (int path = 0; names != NULL && path <= (int)best_path(); path++) {
        PyObject *name = PyUnicode_FromString(path_names[path]);
        if (name == NULL)
            Py_CLEAR(names);
        else
            PyTuple_SET_ITEM(names, path, name);
    }
    if (names == NULL || PyModule_AddObject(module, "PATHS", names) < 0) {
        Py_XDECREF(names);
        Py_CLEAR(module);
    }
    return module;
}

#endif
