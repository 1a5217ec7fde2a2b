/* The quality signals of RedPajama-V2 that need one pass over a text, and the tables of words they look things up in.

     signals_json(text, ...)   the signals as the inside of a JSON object, between what the caller gives
     hash_features(text, ...)  counts of the hashes of raw words and pairs of them
     Table(pairs)              str -> number, exact, in less than half the memory of a dict

   One pass over the characters finds raw words, lines and the words of the normalised text. A word is a run between
   white space without its ASCII punctuation, lower-cased and decomposed (NFD); neither lower() nor NFD looks across
   white space, so words can be made one by one and the words of a line are those of the document. What becomes of a
   character is asked of the running Python, for 256 characters at a time when one of them is met. Where it depends on
   its neighbours (a capital sigma, marks out of order) slow_word makes the word, with str.lower.

   Distinct words are numbered by a hash table that compares their bytes. An n-gram is known by two numbers: that of
   the (n-1)-gram it begins with and that of its last word. So 64-bit keys name n-grams exactly and no hash can confuse
   two, and an n-gram can only repeat where the one a word shorter repeats: after 4 words few places are left. */

#include "_text.h"
#include <math.h>

#define LENGTH_MAX ((Py_ssize_t)1 << 28) /* characters: offsets and counts below stay within 32 bits */
#define NONE UINT32_MAX

/* ------------------------------------------------------------------------------------------- characters */

enum {
    WORD = 1, SPACE = 2, CLASS = WORD | SPACE, /* \w, \s, or neither: what splits raw words */
    BREAK = 4,      /* str.isspace: what splits normalised words */
    KEEP = 8,       /* ASCII that is no punctuation and no white space */
    LETTER = 16,    /* [a-zA-Z] */
    UPPER = 32,     /* str.isupper */
    LOWER = 64,     /* lower or title case: a word with one is not upper case */
    SPEECH = 128,   /* \w of re: begins a sentence */
    STOP = 256,     /* . ! ? */
    MARK = 512,     /* # { } . and the ellipsis: counted one by one */
    NUMERIC = 1024, /* its normalised form holds str.isnumeric characters */
    SLOW = 2048,    /* what it becomes depends on its neighbours: a capital sigma */
};

/* Whose \w and \s: those of Python's re, or of the regex library, which NLTK's tokenizer uses since 3.10. */
enum { BY_RE, BY_REGEX, ENGINES };

#define ELLIPSIS 0x2026
#define FORM_MAX 16 /* bytes of a normalised character; the longest has 9 */

/* A character: its flags, and its normalised form with the combining classes at both ends. */
struct letter {
    uint16_t flags;
    uint8_t first_class, last_class, chars, numeric, size;
    uint8_t form[FORM_MAX];
};

static struct letter *pages[ENGINES][0x110000 / 256];
static uint16_t ascii_flags[ENGINES][128];
static uint8_t ascii_low[128];
static PyObject *normalize, *combining, *category, *nfd;

INLINE int is_punctuation(Py_UCS4 c) {
    return (c > 0x20 && c < '0') || (c > '9' && c < 'A') || (c > 'Z' && c < 'a') || (c > 'z' && c < 0x7F);
}

/* CLASS of c, or -1. The regex library goes by Unicode's rules: \w is a letter or what counts as one (with the circled
   and squared ones), a mark, a decimal or letter-like number, a connector, a joiner; \s has no separators U+001C-1F. */
static int class_of(Py_UCS4 c, int engine) {
    if (Py_UNICODE_ISSPACE(c)) return engine == BY_REGEX && c >= 0x1C && c <= 0x1F ? 0 : SPACE;
    if (engine == BY_RE || c < 0x80) return Py_UNICODE_ISALNUM(c) || c == '_' ? WORD : 0;
    if (c == 0x200C || c == 0x200D || (c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) ||
        (c >= 0x1F150 && c <= 0x1F169) || (c >= 0x1F170 && c <= 0x1F189))
        return WORD;
    PyObject *text = PyUnicode_FromOrdinal((int)c);
    PyObject *name = text == NULL ? NULL : PyObject_CallFunctionObjArgs(category, text, NULL);
    Py_XDECREF(text);
    const char *two = name == NULL ? NULL : PyUnicode_AsUTF8(name);
    int class = -1;
    if (two != NULL) {
        class = two[0] == 'L' || two[0] == 'M' || strcmp(two, "Nd") == 0 || strcmp(two, "Nl") == 0 ||
                        strcmp(two, "Pc") == 0 ? WORD : 0;
    }
    Py_XDECREF(name);
    return class;
}

/* The lower-case form, decomposed (NFD). Takes the reference to text, which may be NULL. */
static PyObject *normalised(PyObject *text) {
    PyObject *low = lowered(text);
    if (low == NULL) return NULL;
    PyObject *form = PyObject_CallFunctionObjArgs(normalize, nfd, low, NULL);
    Py_DECREF(low);
    if (form != NULL && !PyUnicode_Check(form)) {
        Py_CLEAR(form);
        PyErr_SetString(PyExc_TypeError, "unicodedata.normalize() gave no str");
    }
    return form;
}

static int combining_class(Py_UCS4 c) {
    PyObject *text = PyUnicode_FromOrdinal((int)c);
    PyObject *number = text == NULL ? NULL : PyObject_CallFunctionObjArgs(combining, text, NULL);
    const long value = number == NULL ? -1 : PyLong_AsLong(number);
    Py_XDECREF(text);
    Py_XDECREF(number);
    return (int)value;
}

static int fill_letter(struct letter *l, Py_UCS4 c, int engine) {
    const int own_class = class_of(c, engine);
    if (own_class < 0) return 0;
    l->flags = (uint16_t)(own_class | (Py_UNICODE_ISUPPER(c) ? UPPER : 0) | (Py_UNICODE_ISSPACE(c) ? BREAK : 0) |
                          (Py_UNICODE_ISLOWER(c) || Py_UNICODE_ISTITLE(c) ? LOWER : 0) |
                          (Py_UNICODE_ISALNUM(c) || c == '_' ? SPEECH : 0));
    if (c == '.' || c == '!' || c == '?') l->flags |= STOP;
    if (c == '#' || c == '{' || c == '}' || c == '.' || c == ELLIPSIS) l->flags |= MARK;
    if (c < 0x80 && Py_UNICODE_ISALPHA(c)) l->flags |= LETTER;
    if (l->flags & BREAK || is_punctuation(c)) return 1; /* it has no form */
    if (c < 0x80) l->flags |= KEEP;
    PyObject *form = normalised(PyUnicode_FromOrdinal((int)c));
    if (form == NULL) return 0;
    const Py_ssize_t chars = PyUnicode_GET_LENGTH(form);
    if (c == CAPITAL_SIGMA) l->flags |= SLOW;
    if (chars < 1 || chars > FORM_MAX / 4) {
        Py_DECREF(form);
        PyErr_Format(PyExc_SystemError, "U+%04X has a decomposition of %zd characters", c, chars);
        return 0;
    }
    for (Py_ssize_t i = 0; i < chars; i++) {
        const Py_UCS4 part = PyUnicode_READ_CHAR(form, i);
        l->numeric = (uint8_t)(l->numeric + (Py_UNICODE_ISNUMERIC(part) ? 1 : 0));
        const int class = combining_class(part);
        if (class < 0) {
            Py_DECREF(form);
            return 0;
        }
        if (i == 0) l->first_class = (uint8_t)class;
        l->last_class = (uint8_t)class;
        l->size = (uint8_t)(put_utf8(l->form + l->size, part) - l->form);
    }
    l->chars = (uint8_t)chars;
    if (l->numeric) l->flags |= NUMERIC;
    Py_DECREF(form);
    return 1;
}

NOINLINE struct letter *new_page(size_t n, int engine) {
    struct letter *page = PyMem_Calloc(256, sizeof *page);
    if (page == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    for (size_t i = 0; i < 256; i++) {
        if (!fill_letter(page + i, (Py_UCS4)(n * 256 + i), engine)) {
            PyMem_Free(page);
            return NULL;
        }
    }
    return pages[engine][n] = page;
}
INLINE const struct letter *letter_of(Py_UCS4 c, int engine) {
    const struct letter *page = pages[engine][c >> 8];
    if (UNLIKELY(page == NULL) && (page = new_page(c >> 8, engine)) == NULL) return NULL;
    return page + (c & 0xFF);
}

/* BY_KIND with one argument more, `ascii`. */
#define BY_KIND_AND_ASCII(text, call)                                \
    do {                                                             \
        if (PyUnicode_IS_ASCII(text)) {                              \
            const int kind = PyUnicode_1BYTE_KIND, ascii = 1; call;  \
        } else {                                                     \
            const int ascii = 0;                                     \
            BY_KIND(text, call);                                     \
        }                                                            \
    } while (0)

/* Whether it is a str that is not too long. */
static int is_bounded_text(PyObject *object, const char *function) {
    if (!is_text(object, function)) return 0;
    if (PyUnicode_GET_LENGTH(object) >= LENGTH_MAX) {
        PyErr_Format(PyExc_ValueError, "%s() takes a text of less than %zd characters", function, LENGTH_MAX);
        return 0;
    }
    return 1;
}

/* --------------------------------------------------------------------------------------------- hashing */

static uint64_t seed; /* another in each process: nobody can write a text whose words all collide */

INLINE uint64_t load(const uint8_t *p, size_t n) { /* n of 8 bytes, the others zero */
    uint64_t word = 0;
    if (n >= 8) {
        memcpy(&word, p, 8);
    } else if (n >= 4) {
        uint32_t low, high;
        memcpy(&low, p, 4);
        memcpy(&high, p + n - 4, 4);
        word = low | (uint64_t)high << 8 * (n - 4);
    } else if (n > 0) {
        word = p[0] | (uint64_t)p[n / 2] << 8 * (n / 2) | (uint64_t)p[n - 1] << 8 * (n - 1);
    }
    return word;
}
/* The same where 8 bytes may be read whatever n is, and n > 0. */
INLINE uint64_t load_padded(const uint8_t *p, size_t n) {
    uint64_t word;
    memcpy(&word, p, 8);
    return n < 8 ? word & (((uint64_t)1 << 8 * n) - 1) : word;
}
#define HASH(loader)                                                                  \
    uint64_t h = seed ^ n * 0x9E3779B97F4A7C15u;                                      \
    for (; n > 8; p += 8, n -= 8) h = fold(h ^ load(p, 8), 0xD6E8FEB86659FD93u);       \
    return fold(h ^ loader(p, n), 0xA0761D6478BD642Fu);
INLINE uint64_t hash_bytes(const uint8_t *p, size_t n) { HASH(load) }
INLINE uint64_t hash_padded(const uint8_t *p, size_t n) { HASH(load_padded) }
INLINE int same_padded(const uint8_t *a, const uint8_t *b, size_t n) {
    if (LIKELY(n <= 8)) return load_padded(a, n) == load_padded(b, n);
    return memcmp(a, b, n) == 0;
}
INLINE uint64_t hash_pair(uint64_t key) { return fold(key ^ seed, 0xE7037ED1A0B428DBu); }

/* Make room for one more of `used` items; 1.5 times as many each time. */
NOINLINE int grow_to(void **items, size_t *cap, size_t needed, size_t size) {
    size_t wanted = *cap + *cap / 2 > needed ? *cap + *cap / 2 : needed;
    if (wanted < 64) wanted = 64;
    void *grown = wanted > PY_SSIZE_T_MAX / size ? NULL : PyMem_Realloc(*items, wanted * size);
    if (grown == NULL) {
        PyErr_NoMemory();
        return 0;
    }
    *items = grown;
    *cap = wanted;
    return 1;
}
#define ROOM(items, used, cap) (LIKELY((used) < (cap)) || grow_to((void **)&(items), &(cap), (used) + 1, sizeof *(items)))

/* ------------------------------------------------------------------------------------------------ tables */

/* The keys lie one after the other, in UTF-8 (lone surrogates as three bytes). */
struct key { uint64_t at; uint32_t size, hash; int64_t value; };

typedef struct {
    PyObject_HEAD
    uint8_t *bytes;
    size_t bytes_used, bytes_cap;
    struct key *keys;
    size_t n_keys, keys_cap;
    uint32_t *slots; /* number of a key + 1, or 0 */
    size_t n_slots;
    size_t longest;
} Table;

static const struct key *find_key(const Table *t, const uint8_t *bytes, size_t size, uint64_t hash) {
    if (t->n_slots == 0 || size > t->longest) return NULL;
    for (size_t i = hash & (t->n_slots - 1);; i = (i + 1) & (t->n_slots - 1)) {
        if (t->slots[i] == 0) return NULL;
        const struct key *key = t->keys + t->slots[i] - 1;
        if (key->hash == (uint32_t)(hash >> 32) && key->size == size && memcmp(t->bytes + key->at, bytes, size) == 0)
            return key;
    }
}
INLINE const struct key *find_in(const Table *t, const uint8_t *bytes, size_t size) {
    return t == NULL || size > t->longest ? NULL : find_key(t, bytes, size, hash_bytes(bytes, size));
}

static int table_grow(Table *t) {
    const size_t wanted = t->n_slots ? 2 * t->n_slots : 64;
    uint32_t *slots = PyMem_Calloc(wanted, sizeof *slots);
    if (slots == NULL) {
        PyErr_NoMemory();
        return 0;
    }
    for (size_t n = 0; n < t->n_keys; n++) {
        size_t i = hash_bytes(t->bytes + t->keys[n].at, t->keys[n].size) & (wanted - 1);
        while (slots[i]) i = (i + 1) & (wanted - 1);
        slots[i] = (uint32_t)n + 1;
    }
    PyMem_Free(t->slots);
    t->slots = slots;
    t->n_slots = wanted;
    return 1;
}

static int table_set(Table *t, PyObject *text, int64_t value) {
    if (!is_bounded_text(text, "Table")) return 0;
    const Py_ssize_t length = PyUnicode_GET_LENGTH(text);
    const size_t bound = t->bytes_used + 4 * (size_t)length + 1; /* never nothing: no key is at NULL */
    if (bound > t->bytes_cap && !grow_to((void **)&t->bytes, &t->bytes_cap, bound, 1)) return 0;
    uint8_t *start = t->bytes + t->bytes_used, *end = start;
    for (Py_ssize_t i = 0; i < length; i++) end = put_utf8(end, PyUnicode_READ_CHAR(text, i));
    const size_t size = (size_t)(end - start);
    const uint64_t hash = hash_bytes(start, size);
    struct key *known = (struct key *)find_key(t, start, size, hash);
    if (known != NULL) { /* as in a dict, the last one counts */
        known->value = value;
        return 1;
    }
    if (t->n_keys >= NONE - 1) {
        PyErr_SetString(PyExc_ValueError, "a Table holds less than 2**32 - 2 keys");
        return 0;
    }
    if (2 * (t->n_keys + 1) > t->n_slots && !table_grow(t)) return 0;
    if (!ROOM(t->keys, t->n_keys, t->keys_cap)) return 0;
    size_t i = hash & (t->n_slots - 1);
    while (t->slots[i]) i = (i + 1) & (t->n_slots - 1);
    t->keys[t->n_keys] = (struct key){t->bytes_used, (uint32_t)size, (uint32_t)(hash >> 32), value};
    t->slots[i] = (uint32_t)++t->n_keys;
    t->bytes_used += size;
    if (size > t->longest) t->longest = size;
    return 1;
}

static void table_dealloc(Table *t) {
    PyTypeObject *type = Py_TYPE(t);
    PyMem_Free(t->bytes);
    PyMem_Free(t->keys);
    PyMem_Free(t->slots);
    type->tp_free((PyObject *)t);
    Py_DECREF(type);
}

static PyObject *table_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *pairs, *items, *item;
    if (kwargs != NULL && PyDict_GET_SIZE(kwargs)) {
        PyErr_SetString(PyExc_TypeError, "Table() takes no keyword");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "O:Table", &pairs)) return NULL;
    Table *t = (Table *)type->tp_alloc(type, 0);
    if (t == NULL) return NULL;
    if ((items = PyObject_GetIter(pairs)) == NULL) goto failed;
    while ((item = PyIter_Next(items)) != NULL) {
        long long value;
        PyObject *text;
        const int ok = PyTuple_Check(item)
                           ? PyArg_ParseTuple(item, "OL;Table() takes pairs of str and int", &text, &value) &&
                                 table_set(t, text, value)
                           : (PyErr_SetString(PyExc_TypeError, "Table() takes pairs of str and int"), 0);
        Py_DECREF(item);
        if (!ok) break;
    }
    Py_DECREF(items);
    if (!PyErr_Occurred()) return (PyObject *)t;
failed:
    Py_DECREF(t);
    return NULL;
}

static PyObject *table_get(Table *t, PyObject *text) {
    if (!is_bounded_text(text, "get")) return NULL;
    const Py_ssize_t length = PyUnicode_GET_LENGTH(text);
    if ((size_t)length > t->longest) Py_RETURN_NONE;
    uint8_t *bytes = PyMem_Malloc(4 * (size_t)length + 1);
    if (bytes == NULL) return PyErr_NoMemory();
    uint8_t *end = bytes;
    for (Py_ssize_t i = 0; i < length; i++) end = put_utf8(end, PyUnicode_READ_CHAR(text, i));
    const struct key *key = find_in(t, bytes, (size_t)(end - bytes));
    PyMem_Free(bytes);
    if (key == NULL) Py_RETURN_NONE;
    return PyLong_FromLongLong(key->value);
}

static PyObject *table_put(Table *t, PyObject *args) {
    PyObject *text;
    long long value;
    if (!PyArg_ParseTuple(args, "OL:set", &text, &value) || !table_set(t, text, value)) return NULL;
    Py_RETURN_NONE;
}

static Py_ssize_t table_length(PyObject *t) { return (Py_ssize_t)((Table *)t)->n_keys; }

static PyMethodDef table_methods[] = {
    {"get", (PyCFunction)table_get, METH_O, "The number of a text, or None."},
    {"set", (PyCFunction)table_put, METH_VARARGS, "Give a text a number."},
    {NULL, NULL, 0, NULL},
};
static PyType_Slot table_slots[] = {
    {Py_tp_new, table_new},
    {Py_tp_dealloc, table_dealloc},
    {Py_tp_methods, table_methods},
    {Py_sq_length, table_length},
    {Py_tp_doc, "Numbers of texts, from pairs of str and int."},
    {0, NULL},
};
static PyType_Spec table_spec = {"_signals.Table", sizeof(Table), 0, Py_TPFLAGS_DEFAULT, table_slots};
static PyTypeObject *table_type;

/* ---------------------------------------------------------------------------------------- one document */

struct word { uint64_t at; uint32_t size, chars, count, hash; };

enum { TERMINAL = 1, BULLET = 2 };
/* 32 bytes; kept only where line signals are asked for. */
struct line { uint32_t start, end, words, chars, numeric, upper, javascript, flags; };

struct lists { const Table *stop_words, *bad_words, *phrases, *starts; };

struct document {
    PyObject *text;
    int engine;
    struct lists lists;
    uint8_t *arena;             /* normalised bytes of the distinct words */
    size_t arena_used, arena_cap;
    struct word *words;         /* distinct, in order of first appearance */
    size_t n_words, words_cap;
    uint64_t *slots;            /* high 32 bits of the hash, number of the word + 1 */
    size_t n_slots;
    uint32_t *ids;              /* the text's words */
    size_t n_ids, ids_cap;
    struct line *lines;         /* if `with_lines` */
    size_t n_lines, lines_cap, max_lines;
    int with_lines;
    uint8_t *token;             /* a raw word in UTF-8, to look up */
    size_t token_cap;
    uint32_t javascript;        /* number of that word, or NONE */
    uint64_t chars;             /* of all words */
    uint64_t tokens, without_letter, all_caps, stops, sentences, braces, symbols, ellipsis_lines;
    int waiting;                /* for the first word of a sentence */
};

static void free_document(struct document *d) {
    PyMem_Free(d->arena);
    PyMem_Free(d->words);
    PyMem_Free(d->slots);
    PyMem_Free(d->ids);
    PyMem_Free(d->lines);
    PyMem_Free(d->token);
}

NOINLINE int grow_slots(struct document *d) {
    const size_t wanted = 2 * d->n_slots;
    uint64_t *slots = PyMem_Calloc(wanted, sizeof *slots);
    if (slots == NULL) {
        PyErr_NoMemory();
        return 0;
    }
    for (size_t n = 0; n < d->n_words; n++) {
        const struct word *word = d->words + n;
        const uint64_t hash = hash_bytes(d->arena + word->at, word->size);
        size_t i = hash & (wanted - 1);
        while (slots[i]) i = (i + 1) & (wanted - 1);
        slots[i] = (uint64_t)word->hash << 32 | (n + 1);
    }
    PyMem_Free(d->slots);
    d->slots = slots;
    d->n_slots = wanted;
    return 1;
}

/* Add the word whose bytes lie at the end of the arena, which has room for 8 bytes more: its number, or NONE when
   there is no memory. */
INLINE uint32_t add_word(struct document *d, size_t size, uint32_t chars) {
    const uint8_t *bytes = d->arena + d->arena_used;
    const uint64_t hash = hash_padded(bytes, size);
    const uint32_t tag = (uint32_t)(hash >> 32);
    size_t i = hash & (d->n_slots - 1);
    for (uint64_t slot; (slot = d->slots[i]) != 0; i = (i + 1) & (d->n_slots - 1)) {
        if ((uint32_t)(slot >> 32) != tag) continue;
        const uint32_t n = (uint32_t)slot - 1;
        struct word *word = d->words + n;
        if (word->size == size && same_padded(d->arena + word->at, bytes, size)) {
            word->count++;
            return n;
        }
    }
    if (!ROOM(d->words, d->n_words, d->words_cap)) return NONE;
    const uint32_t n = (uint32_t)d->n_words++;
    d->words[n] = (struct word){d->arena_used, (uint32_t)size, chars, 1, tag};
    d->slots[i] = (uint64_t)tag << 32 | (n + 1);
    d->arena_used += size;
    if (UNLIKELY(size == 10) && memcmp(bytes, "javascript", 10) == 0) d->javascript = n;
    if (2 * d->n_words > d->n_slots && !grow_slots(d)) return NONE;
    return n;
}

/* The arena has room for `more` bytes after `end`; else it moves, and so does the answer. NULL: no memory. */
NOINLINE uint8_t *move_arena(struct document *d, uint8_t *end, size_t more) {
    const size_t used = (size_t)(end - d->arena);
    if (!grow_to((void **)&d->arena, &d->arena_cap, used + more, 1)) return NULL;
    return d->arena + used;
}

INLINE Py_UCS4 get_utf8(const uint8_t **p) { /* of put_utf8's making */
    const uint8_t *at = *p;
    Py_UCS4 c = *at++;
    int more = c < 0x80 ? 0 : c < 0xE0 ? 1 : c < 0xF0 ? 2 : 3;
    if (more) c &= 0x3Fu >> more;
    for (; more; more--) c = c << 6 | (*at++ & 0x3F);
    *p = at;
    return c;
}

/* A decomposed word being made: code points, and the combining class of each. */
struct marks { Py_UCS4 *chars; uint8_t *classes; size_t used, cap; };

static int add_marks(struct marks *m, const struct letter *l, int engine) {
    const uint8_t *at = l->form, *end = at + l->size;
    while (at < end) {
        if (m->used == m->cap) {
            size_t cap = m->cap;
            if (!grow_to((void **)&m->chars, &cap, m->used + 1, sizeof *m->chars)) return 0;
            if (!grow_to((void **)&m->classes, &m->cap, m->used + 1, 1)) return 0;
        }
        const Py_UCS4 c = get_utf8(&at);
        const struct letter *part = letter_of(c, engine); /* its form is itself */
        if (part == NULL) return 0;
        m->chars[m->used] = c;
        m->classes[m->used++] = part->first_class;
    }
    return 1;
}

/* The canonical order: in each run of marks by their class, equal ones as they come. unicodedata.normalize() takes the
   square of the run's length for it: a text of a million marks would stop a run of the program. */
static int order_marks(struct marks *m) {
    Py_UCS4 *ordered = NULL;
    size_t cap = 0, end;
    for (size_t from = 0; from < m->used; from = end) {
        end = from + 1;
        if (m->classes[from] == 0) continue;
        size_t starts[257] = {0}, sorted = 1;
        while (end < m->used && m->classes[end]) {
            sorted &= m->classes[end - 1] <= m->classes[end];
            end++;
        }
        if (sorted) continue;
        if (end - from > cap && !grow_to((void **)&ordered, &cap, end - from, sizeof *ordered)) return 0;
        for (size_t i = from; i < end; i++) starts[m->classes[i] + 1]++;
        for (size_t class = 1; class < 257; class++) starts[class] += starts[class - 1];
        for (size_t i = from; i < end; i++) ordered[starts[m->classes[i]]++] = m->chars[i];
        memcpy(m->chars + from, ordered, (end - from) * sizeof *ordered);
    }
    PyMem_Free(ordered);
    return 1;
}

/* The word of text[from:to] where it cannot be made character by character, put at the end of the arena; its end
   there, or NULL. */
NOINLINE uint8_t *slow_word(struct document *d, Py_ssize_t from, Py_ssize_t to, uint32_t *chars) {
    struct marks m = {NULL, NULL, 0, 0};
    uint8_t *end = NULL;
    PyObject *low = NULL;
    Py_UCS4 *kept = PyMem_Malloc(sizeof *kept * (size_t)(to - from));
    if (kept == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    Py_ssize_t n = 0;
    for (Py_ssize_t i = from; i < to; i++) {
        const Py_UCS4 c = PyUnicode_READ_CHAR(d->text, i);
        if (!is_punctuation(c)) kept[n++] = c;
    }
    low = lowered(PyUnicode_FromKindAndData(PyUnicode_4BYTE_KIND, kept, n));
    PyMem_Free(kept);
    if (low == NULL) return NULL;
    n = PyUnicode_GET_LENGTH(low);
    for (Py_ssize_t i = 0; i < n; i++) { /* what is lower case has its decomposition as its form */
        const struct letter *l = letter_of(PyUnicode_READ_CHAR(low, i), d->engine);
        if (l == NULL || !add_marks(&m, l, d->engine)) goto done;
    }
    if (!order_marks(&m)) goto done;
    const size_t more = 4 * m.used + (size_t)(PyUnicode_GET_LENGTH(d->text) - to) + 2 * FORM_MAX;
    end = d->arena + d->arena_used;
    if (d->arena_cap - d->arena_used < more && (end = move_arena(d, end, more)) == NULL) goto done;
    *chars = (uint32_t)m.used;
    for (size_t i = 0; i < m.used; i++) end = put_utf8(end, m.chars[i]);
done:
    PyMem_Free(m.chars);
    PyMem_Free(m.classes);
    Py_DECREF(low);
    return end;
}

/* What a raw word with marks, capitals, digits or the end of a sentence has of them. */
INLINE void count_token(int kind, int ascii, const void *data, Py_ssize_t from, Py_ssize_t to, struct document *d,
                        struct line *line) {
    unsigned dots = 0;
    for (Py_ssize_t i = from; i < to; i++) {
        const Py_UCS4 c = PyUnicode_READ(kind, data, i);
        const struct letter *l = ascii || c < 0x80 ? NULL : letter_of(c, d->engine); /* its page is there */
        const unsigned flags = l == NULL ? ascii_flags[d->engine][c] : l->flags;
        line->upper += (flags & UPPER) / UPPER;
        if (flags & NUMERIC) line->numeric += l == NULL ? 1 : l->numeric;
        if (flags & SPEECH) {
            d->sentences += (uint64_t)d->waiting;
            d->waiting = 0;
        } else if (flags & STOP) {
            d->waiting = 1;
        }
        if (!(flags & MARK)) {
            dots = 0;
        } else if (c == '.') {
            if (++dots == 3) d->symbols++, dots = 0;
        } else {
            dots = 0;
            if (c == '#' || c == ELLIPSIS) d->symbols++;
            else d->braces++;
        }
    }
}

/* 1 if the raw word is a stop word, 0 if not, -1 when there is no memory. */
INLINE int is_stop_word(int kind, int ascii, const void *data, Py_ssize_t from, Py_ssize_t to, struct document *d) {
    const Table *t = d->lists.stop_words;
    if ((size_t)(to - from) > t->longest) return 0;
    if (ascii) return find_in(t, (const uint8_t *)data + from, (size_t)(to - from)) != NULL;
    const size_t bound = 4 * (size_t)(to - from);
    if (bound > d->token_cap && !grow_to((void **)&d->token, &d->token_cap, bound, 1)) return -1;
    uint8_t *end = d->token;
    for (Py_ssize_t i = from; i < to; i++) end = put_utf8(end, PyUnicode_READ(kind, data, i));
    return find_in(t, d->token, (size_t)(end - d->token)) != NULL;
}

INLINE int is_bullet(Py_UCS4 c) {
    return c == 0x2022 || c == 0x2023 || c == 0x25B6 || c == 0x25C0 || c == 0x25E6 || c == 0x25A0 || c == 0x25A1 ||
           c == 0x25AA || c == 0x25AB || c == 0x2013;
}

/* The line [start, end) without its sums; first and last are its outer characters that are no white space, or -1. */
INLINE int close_line(int kind, const void *data, struct document *d, struct line line, Py_ssize_t first,
                      Py_ssize_t last) {
    if (first >= 0) {
        const Py_UCS4 c = PyUnicode_READ(kind, data, last);
        if (c == '.' || c == '!' || c == '?' || c == 0x201D) line.flags |= TERMINAL;
        if (is_bullet(PyUnicode_READ(kind, data, first))) line.flags |= BULLET;
        d->ellipsis_lines += c == ELLIPSIS || (c == '.' && last - 2 >= (Py_ssize_t)line.start &&
                                               PyUnicode_READ(kind, data, last - 1) == '.' &&
                                               PyUnicode_READ(kind, data, last - 2) == '.');
    }
    if (d->with_lines) {
        if (UNLIKELY(d->n_lines == d->max_lines)) {
            PyErr_Format(PyExc_ValueError, "signals_json() was to take a text of at most %zu lines", d->max_lines);
            return 0;
        }
        if (!ROOM(d->lines, d->n_lines, d->lines_cap)) return 0;
        d->lines[d->n_lines] = line;
    }
    d->n_lines++;
    return 1;
}

/* Read the whole text. Returns 0 with an exception set when there is no memory, or too many lines. */
INLINE int read_text(int kind, int ascii, struct document *d) {
    const void *data = PyUnicode_DATA(d->text);
    const Py_ssize_t length = PyUnicode_GET_LENGTH(d->text);
    const int with_stop_words = d->lists.stop_words != NULL;
    const uint16_t *const flags_of = ascii_flags[d->engine];
    uint8_t *w = d->arena;                            /* end of the normalised word being made */
    uint32_t hidden = 0;                              /* of that word: bytes beyond one a character */
    int slow = 0, last_class = 0;
    unsigned previous = SPACE | BREAK, seen = 0;      /* of the last character; all flags of the raw word */
    Py_ssize_t token = 0, run = 0, first = -1, last = -1;
    struct line line = {0};

    for (Py_ssize_t i = 0;; i++) {
        Py_UCS4 c = '\n'; /* the end closes the last word and line as a newline does */
        unsigned flags = SPACE | BREAK;
        const struct letter *l = NULL;
        if (LIKELY(i < length)) {
            c = PyUnicode_READ(kind, data, i);
            if (ascii || LIKELY(c < 0x80)) {
                flags = flags_of[c];
            } else {
                if ((l = letter_of(c, d->engine)) == NULL) return 0;
                flags = l->flags;
            }
        }
        const unsigned now = flags & (CLASS | BREAK), changed = now ^ previous;
        if (changed) {
            if (LIKELY(changed & CLASS)) {
                if (!(previous & SPACE)) { /* a raw word ends */
                    d->tokens++;
                    d->without_letter += !(seen & LETTER);
                    d->all_caps += (seen & (UPPER | LOWER)) == UPPER;
                    if (seen & (MARK | UPPER | NUMERIC | STOP)) {
                        count_token(kind, ascii, data, token, i, d, &line);
                    } else if (seen & SPEECH) {
                        d->sentences += (uint64_t)d->waiting;
                        d->waiting = 0;
                    }
                    if (with_stop_words) {
                        const int stop = is_stop_word(kind, ascii, data, token, i, d);
                        if (stop < 0) return 0;
                        d->stops += (uint64_t)stop;
                    }
                }
                token = i;
                seen = 0;
            }
            if (changed & BREAK) {
                if (now & BREAK) { /* a normalised word ends */
                    uint32_t chars = (uint32_t)((size_t)(w - d->arena) - d->arena_used) - hidden;
                    last = i - 1;
                    if (!ascii && UNLIKELY(slow) && (w = slow_word(d, run, i, &chars)) == NULL) return 0;
                    const size_t size = (size_t)(w - d->arena) - d->arena_used;
                    if (size) { /* not punctuation only */
                        if (!ROOM(d->ids, d->n_ids, d->ids_cap)) return 0;
                        const uint32_t id = add_word(d, size, chars);
                        if (UNLIKELY(id == NONE)) return 0;
                        d->ids[d->n_ids++] = id;
                        line.words++;
                        line.chars += chars;
                        line.javascript += id == d->javascript;
                    }
                } else {
                    run = i;
                    w = d->arena + d->arena_used;
                    hidden = 0;
                    slow = last_class = 0;
                    if (first < 0) first = i;
                }
            }
            previous = now;
        }
        seen |= flags;
        if (now & BREAK) {
            if (c != '\n') continue;
            if (i >= length) {
                if ((Py_ssize_t)line.start == length) return 1;
                i = length - 1; /* a last line without its newline */
            }
            line.end = (uint32_t)(i + 1);
            d->chars += line.chars;
            if (!close_line(kind, data, d, line, first, last)) return 0;
            line = (struct line){.start = (uint32_t)(i + 1)};
            first = -1;
            continue;
        }
        if (ascii || LIKELY(c < 0x80)) { /* there is room for a byte of each character left */
            unsigned all = flags;
            for (;;) { /* and the others of the same kind that follow */
                *w = ascii_low[c];
                w += (flags & KEEP) / KEEP;
                if (i + 1 >= length) break;
                c = PyUnicode_READ(kind, data, i + 1);
                if (!ascii && c >= 0x80) break;
                flags = flags_of[c];
                if ((flags & (CLASS | BREAK)) != now) break;
                all |= flags;
                i++;
            }
            seen |= all;
            if (!ascii && all & KEEP) last_class = 0;
        } else if (!slow) {
            slow = flags & SLOW || (l->first_class && last_class > l->first_class);
            last_class = l->last_class;
            const size_t more = (size_t)(length - i) + 2 * FORM_MAX;
            if (UNLIKELY(d->arena_cap - (size_t)(w - d->arena) < more) && (w = move_arena(d, w, more)) == NULL) return 0;
            memcpy(w, l->form, FORM_MAX);
            w += l->size;
            hidden += (uint32_t)(l->size - l->chars);
        }
    }
}

/* --------------------------------------------------------------------------------------------- n-grams */

#define TOP_MAX 4
#define DUPE_MIN 5
#define GRAM_MAX 10

struct gram { uint64_t key; uint32_t count, first; };

struct scores { double top[TOP_MAX + 1], dupe[GRAM_MAX + 1]; };

/* The scores of repeated n-grams. `place` are the places where a repeated n-gram starts and `name` its number. */
static int count_grams(const struct document *d, struct scores *scores) {
    uint32_t *place = PyMem_Malloc(2 * sizeof *place * (d->n_ids + 1)), *name, *slots = NULL;
    struct gram *grams = NULL;
    size_t n_grams, grams_cap = 0, n_slots = 0, m = 0;
    memset(scores, 0, sizeof *scores);
    if (place == NULL) goto no_memory;
    name = place + d->n_ids + 1;
    for (size_t i = 0; i < d->n_ids; i++) {
        place[m] = (uint32_t)i;
        name[m] = d->ids[i];
        m += d->words[d->ids[i]].count > 1;
    }
    for (size_t n = 2; n <= GRAM_MAX && m > 1; n++) {
        size_t wanted = 64, left = 0;
        while (wanted < m / 4) wanted *= 2;
        if (wanted > n_slots || wanted * 8 < n_slots) {
            PyMem_Free(slots);
            if ((slots = PyMem_Malloc(sizeof *slots * wanted)) == NULL) goto no_memory;
            n_slots = wanted;
        }
        memset(slots, 0, sizeof *slots * n_slots);
        n_grams = 0;
        for (size_t j = 0; j + 1 < m; j++) {
            if (place[j + 1] != place[j] + 1) continue; /* the (n-1)-gram one further occurs once: so does this */
            const uint64_t key = (uint64_t)name[j] << 32 | d->ids[place[j] + n - 1];
            size_t i = hash_pair(key) & (n_slots - 1);
            while (slots[i] && grams[slots[i] - 1].key != key) i = (i + 1) & (n_slots - 1);
            uint32_t gram = slots[i];
            if (gram == 0) {
                if (!ROOM(grams, n_grams, grams_cap)) goto failed;
                grams[n_grams] = (struct gram){key, 0, place[j]};
                slots[i] = gram = (uint32_t)++n_grams;
                if (2 * n_grams > n_slots) {
                    PyMem_Free(slots);
                    n_slots *= 2;
                    if ((slots = PyMem_Calloc(n_slots, sizeof *slots)) == NULL) goto no_memory;
                    for (size_t g = 0; g < n_grams; g++) {
                        size_t to = hash_pair(grams[g].key) & (n_slots - 1);
                        while (slots[to]) to = (to + 1) & (n_slots - 1);
                        slots[to] = (uint32_t)g + 1;
                    }
                }
            }
            grams[gram - 1].count++;
            place[left] = place[j];
            name[left++] = gram - 1;
        }
        m = 0;
        for (size_t j = 0; j < left; j++) {
            place[m] = place[j];
            name[m] = name[j];
            m += grams[name[j]].count > 1;
        }
        if (n <= TOP_MAX) {
            const struct gram *top = NULL;
            for (size_t g = 0; g < n_grams; g++) /* in order of first appearance: of equals the first one wins */
                if (grams[g].count > (top == NULL ? 1 : top->count)) top = grams + g;
            if (top == NULL) continue;
            uint64_t chars = 0;
            for (size_t k = 0; k < n; k++) chars += d->words[d->ids[top->first + k]].chars;
            scores->top[n] = (double)(chars * top->count) / (double)d->chars;
        } else {
            uint64_t chars = 0;
            size_t covered = 0;
            for (size_t j = 0; j < m; j++) {
                size_t k = place[j] > covered ? place[j] : covered;
                covered = place[j] + n;
                for (; k < covered; k++) chars += d->words[d->ids[k]].chars;
            }
            scores->dupe[n] = (double)chars / (double)d->chars;
        }
    }
    PyMem_Free(place);
    PyMem_Free(slots);
    PyMem_Free(grams);
    return 1;
no_memory:
    PyErr_NoMemory();
failed:
    PyMem_Free(place);
    PyMem_Free(slots);
    PyMem_Free(grams);
    return 0;
}

/* Occurrences of words and phrases of the list of bad words, or -1 when there is no memory. */
static int64_t count_bad_words(struct document *d) {
    const struct lists *lists = &d->lists;
    int64_t found = 0;
    for (size_t n = 0; n < d->n_words; n++) {
        const struct word *word = d->words + n;
        if (find_in(lists->bad_words, d->arena + word->at, word->size)) found += word->count;
    }
    if (lists->starts == NULL || lists->starts->n_keys == 0) return found;
    uint8_t *most = PyMem_Calloc(d->n_words + 1, 1); /* words in the longest phrase that begins with a word */
    if (most == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t n = 0; n < d->n_words; n++) {
        const struct key *start = find_in(lists->starts, d->arena + d->words[n].at, d->words[n].size);
        if (start != NULL) most[n] = (uint8_t)(start->value < 255 ? start->value : 255);
    }
    for (size_t i = 0; i < d->n_ids; i++) {
        if (LIKELY(most[d->ids[i]] == 0)) continue;
        const size_t limit = most[d->ids[i]] == 255 ? d->n_ids : most[d->ids[i]];
        size_t size = 0;
        for (size_t n = 0; n < limit && i + n < d->n_ids; n++) {
            const struct word *word = d->words + d->ids[i + n];
            if (size + 1 + word->size > lists->phrases->longest) break;
            const size_t bound = size + 1 + word->size;
            if (bound > d->token_cap && !grow_to((void **)&d->token, &d->token_cap, bound, 1)) {
                PyMem_Free(most);
                return -1;
            }
            if (n) d->token[size++] = ' ';
            memcpy(d->token + size, d->arena + word->at, word->size);
            size += word->size;
            found += n > 0 && find_in(lists->phrases, d->token, size) != NULL;
        }
    }
    PyMem_Free(most);
    return found;
}

/* How often `lorem ipsum` is in the normalised text. The published search ignores case, for which a dotless i is an i
   and a long s an s, but begins only if the plain words are there. */
static uint64_t count_lorem_ipsum(const struct document *d) {
    static const uint8_t lorem[] = "lorem", ipsum[] = "ipsum";
    uint64_t found = 0;
    int plain = 0;
    uint8_t *ends = PyMem_Calloc(d->n_words + 1, 1); /* 1: ends in lorem */
    if (ends == NULL) {
        PyErr_NoMemory();
        return UINT64_MAX;
    }
    size_t any = 0;
    for (size_t n = 0; n < d->n_words; n++) {
        const struct word *word = d->words + n;
        if (word->size >= 5 && memcmp(d->arena + word->at + word->size - 5, lorem, 5) == 0) any += ends[n] = 1;
    }
    for (size_t i = 0; any && i + 1 < d->n_ids; i++) {
        if (!ends[d->ids[i]]) continue;
        const struct word *word = d->words + d->ids[i + 1];
        const uint8_t *at = d->arena + word->at, *end = at + word->size;
        int same = 1, exact = 1;
        for (size_t k = 0; k < 5 && same; k++) {
            if (end - at >= 1 && *at == ipsum[k]) {
                at++;
            } else if (end - at >= 2 && ((ipsum[k] == 'i' && at[0] == 0xC4 && at[1] == 0xB1) ||
                                         (ipsum[k] == 's' && at[0] == 0xC5 && at[1] == 0xBF))) {
                at += 2;
                exact = 0;
            } else {
                same = 0;
            }
        }
        found += (uint64_t)same;
        plain |= same && exact;
    }
    PyMem_Free(ends);
    return plain ? found : 0;
}

static double entropy(const struct document *d) {
    double logs[64], sum = 0.0; /* most words have a small count */
    const double total = (double)d->n_ids;
    for (size_t i = 0; i < 64; i++) logs[i] = -1.0;
    for (size_t n = 0; n < d->n_words; n++) { /* in order of first appearance, as a Counter gives its values */
        const uint32_t count = d->words[n].count;
        const double share = (double)count / total;
        if (count >= 64) {
            sum += -share * log(share);
        } else {
            if (logs[count] < 0) logs[count] = -share * log(share);
            sum += logs[count];
        }
    }
    return sum;
}

/* ----------------------------------------------------------------------------------------------- output */

struct out { uint8_t *data; size_t used, cap; };

INLINE int need(struct out *out, size_t more) {
    return LIKELY(out->cap - out->used >= more) || grow_to((void **)&out->data, &out->cap, out->used + more, 1);
}
INLINE void put(struct out *out, const void *bytes, size_t n) {
    memcpy(out->data + out->used, bytes, n);
    out->used += n;
}
#define PUT(out, text) put(out, text, sizeof text - 1)
static int put_bytes(struct out *out, PyObject *bytes) {
    const size_t size = (size_t)PyBytes_GET_SIZE(bytes);
    if (size == 0) return 1;
    if (!need(out, size)) return 0;
    put(out, PyBytes_AS_STRING(bytes), size);
    return 1;
}

INLINE void put_number(struct out *out, uint64_t n) {
    uint8_t digits[20], *p = digits + sizeof digits;
    do *--p = (uint8_t)('0' + n % 10);
    while (n /= 10);
    put(out, p, (size_t)(digits + sizeof digits - p));
}

#define SCORE_MAX 40 /* bytes of a number */

/* round(x, 8) for a number that is too large or odd for put_score: as Python writes it. */
NOINLINE int put_slow(struct out *out, double x) {
    PyObject *number = PyFloat_FromDouble(x);
    PyObject *rounded = number == NULL ? NULL : PyObject_CallMethod(number, "__round__", "i", 8);
    const double value = rounded == NULL ? -1.0 : PyFloat_AsDouble(rounded);
    Py_XDECREF(number);
    Py_XDECREF(rounded);
    if (PyErr_Occurred()) return 0;
    char *text = PyOS_double_to_string(value, 'r', 0, Py_DTSF_ADD_DOT_0, NULL);
    if (text == NULL) return 0;
    const size_t size = strlen(text);
    const int fits = size < SCORE_MAX; /* repr of a float has at most 24 bytes */
    if (fits) put(out, text, size);
    else PyErr_Format(PyExc_SystemError, "Python writes a float in %zu bytes: %.60s", size, text);
    PyMem_Free(text);
    return fits;
}

/* repr(round(x, 8)) for x >= 0. A double is a whole number of 53 bits times a power of two, so x * 10**8 is rounded on
   integers, halves to even, as round() does. Up to 15 digits the shortest text of the result is its digits. */
INLINE int put_score(struct out *out, double x) {
    if (x == 0.0) {
        PUT(out, "0.0");
        return 1;
    }
    if (UNLIKELY(!(x > 0.0 && x < 1e6))) return put_slow(out, x);
    uint64_t bits, n = 0;
    memcpy(&bits, &x, 8);
    const int shift = 1075 - (int)(bits >> 52); /* x = mantissa / 2**shift, and shift at least 33 as x < 2**20 */
    if (shift < 100) { /* else x is far below 1e-8, as are the numbers without a leading bit */
        const uint64_t mantissa = (bits & (((uint64_t)1 << 52) - 1)) | (uint64_t)1 << 52;
        const unsigned __int128 product = (unsigned __int128)mantissa * 100000000u;
        const unsigned __int128 rest = product & (((unsigned __int128)1 << shift) - 1);
        const unsigned __int128 half = (unsigned __int128)1 << (shift - 1);
        n = (uint64_t)(product >> shift);
        n += rest > half || (rest == half && n & 1);
    }
    uint32_t decimals = (uint32_t)(n % 100000000u);
    if (n && n < 10000) { /* Python writes what is below 0.0001 with an exponent */
        int digits = n < 10 ? 1 : n < 100 ? 2 : n < 1000 ? 3 : 4;
        const int power = 9 - digits;
        while (decimals % 10 == 0) decimals /= 10, digits--;
        uint8_t text[4] = {0};
        for (int i = digits; i--; decimals /= 10) text[i] = (uint8_t)('0' + decimals % 10);
        put(out, text, 1);
        if (digits > 1) {
            PUT(out, ".");
            put(out, text + 1, (size_t)digits - 1);
        }
        PUT(out, "e-0");
        out->data[out->used++] = (uint8_t)('0' + power);
        return 1;
    }
    put_number(out, n / 100000000u);
    uint8_t text[9] = ".";
    size_t digits = 1;
    if (decimals) {
        for (int i = 8; i; decimals /= 10, i--) text[i] = (uint8_t)('0' + decimals % 10);
        for (digits = 8; text[digits] == '0';) digits--;
    } else {
        text[1] = '0';
    }
    put(out, text, digits + 1);
    return 1;
}

/* "name":[[0,length,                 and what follows the score */
INLINE int open_score(struct out *out, const char *name, Py_ssize_t length) {
    const size_t size = strlen(name);
    if (!need(out, size + 32 + SCORE_MAX)) return 0;
    PUT(out, "\"");
    put(out, name, size);
    PUT(out, "\":[[0,");
    put_number(out, (uint64_t)length);
    PUT(out, ",");
    return 1;
}
static int put_document_score(struct out *out, const char *name, Py_ssize_t length, double score) {
    if (!open_score(out, name, length)) return 0;
    if (score < 0) PUT(out, "null");
    else if (!put_score(out, score)) return 0;
    PUT(out, "]],");
    return 1;
}
static int put_document_count(struct out *out, const char *name, Py_ssize_t length, uint64_t count) {
    if (!open_score(out, name, length)) return 0;
    put_number(out, count);
    PUT(out, "]],");
    return 1;
}

/* part / whole, or `none` (-1 stands for null) of nothing */
INLINE double ratio(uint64_t part, uint64_t whole, double none) {
    return whole ? (double)part / (double)whole : none;
}

#define SPAN_MAX 24 /* bytes of "[start,end,", the last one being their number */

_Static_assert(LENGTH_MAX <= 999999999 && 1 + 9 + 1 + 9 + 1 <= SPAN_MAX - 1, "offsets of 9 digits");
_Static_assert(SCORE_MAX >= 20, "a number of 64 bits has 20 digits");

#define LINE_SIGNAL(title, score)                                                                            \
    do {                                                                                                     \
        if (!need(out, sizeof title + 8 + d->n_lines * (SPAN_MAX + SCORE_MAX + 2))) goto done;               \
        PUT(out, "\"" title "\":[");                                                                         \
        for (size_t i = 0; i < d->n_lines; i++) {                                                            \
            const struct line *line = d->lines + i;                                                          \
            memcpy(out->data + out->used, spans + i * SPAN_MAX, SPAN_MAX);                                   \
            out->used += spans[i * SPAN_MAX + SPAN_MAX - 1];                                                 \
            score;                                                                                           \
            PUT(out, "],");                                                                                  \
        }                                                                                                    \
        out->used -= d->n_lines > 0; /* the last comma */                                                    \
        PUT(out, "],");                                                                                      \
    } while (0)

#define PUT_FLAG(flag)                                       \
    do {                                                     \
        if (line->flags & (flag)) PUT(out, "1.0");           \
        else PUT(out, "0.0");                                \
    } while (0)

static int put_lines(struct out *out, const struct document *d) {
    int ok = 0;
    uint8_t *spans = PyMem_Malloc(SPAN_MAX * d->n_lines + 1);
    if (spans == NULL) {
        PyErr_NoMemory();
        return 0;
    }
    for (size_t i = 0; i < d->n_lines; i++) {
        struct out span = {spans + i * SPAN_MAX, 0, SPAN_MAX};
        PUT(&span, "[");
        put_number(&span, d->lines[i].start);
        PUT(&span, ",");
        put_number(&span, d->lines[i].end);
        PUT(&span, ",");
        span.data[SPAN_MAX - 1] = (uint8_t)span.used;
    }
    LINE_SIGNAL("rps_lines_ending_with_terminal_punctution_mark", PUT_FLAG(TERMINAL));
    LINE_SIGNAL("rps_lines_javascript_counts", if (!put_score(out, line->javascript)) goto done);
    LINE_SIGNAL("rps_lines_num_words", put_number(out, line->words));
    LINE_SIGNAL("rps_lines_numerical_chars_fraction",
                if (!put_score(out, ratio(line->numeric, line->words ? line->chars + line->words - 1 : 0, 0.0))) goto done);
    if (d->n_lines) LINE_SIGNAL("rps_lines_start_with_bulletpoint", PUT_FLAG(BULLET));
    else if (!put_document_score(out, "rps_lines_start_with_bulletpoint", 0, -1.0)) goto done;
    LINE_SIGNAL("rps_lines_uppercase_letter_fraction",
                if (!put_score(out, ratio(line->upper, line->end - line->start, 0.0))) goto done);
    ok = 1;
done:
    PyMem_Free(spans);
    return ok;
}

#define SCORE(name, value) if (!put_document_score(out, "rps_doc_" name, length, value)) return 0
#define COUNT(name, value) if (!put_document_count(out, "rps_doc_" name, length, value)) return 0

/* All signals, in the published order: the groups, and in each the names in order. */
static int put_signals(struct out *out, struct document *d, PyObject *after_content) {
    const Py_ssize_t length = PyUnicode_GET_LENGTH(d->text);
    const uint64_t lorem = count_lorem_ipsum(d), words = d->n_ids;
    struct scores grams;
    if (lorem == UINT64_MAX || !count_grams(d, &grams)) return 0;

    SCORE("curly_bracket", ratio(d->braces, (uint64_t)length, 0.0));
    if (d->lists.bad_words != NULL) {
        const int64_t bad = count_bad_words(d);
        if (bad < 0) return 0;
        SCORE("ldnoobw_words", (double)bad);
    }
    SCORE("lorem_ipsum", ratio(lorem, words ? d->chars + words - 1 : 0, 0.0));
    if (d->lists.stop_words != NULL) SCORE("stop_word_fraction", words ? ratio(d->stops, d->tokens, 0.0) : 0.0);
    if (!put_bytes(out, after_content)) return 0;

    SCORE("frac_chars_dupe_10grams", grams.dupe[10]);
    SCORE("frac_chars_dupe_5grams", grams.dupe[5]);
    SCORE("frac_chars_dupe_6grams", grams.dupe[6]);
    SCORE("frac_chars_dupe_7grams", grams.dupe[7]);
    SCORE("frac_chars_dupe_8grams", grams.dupe[8]);
    SCORE("frac_chars_dupe_9grams", grams.dupe[9]);
    SCORE("frac_chars_top_2gram", grams.top[2]);
    SCORE("frac_chars_top_3gram", grams.top[3]);
    SCORE("frac_chars_top_4gram", grams.top[4]);

    SCORE("frac_all_caps_words", ratio(d->all_caps, d->tokens, -1.0));
    SCORE("frac_lines_end_with_ellipsis", ratio(d->ellipsis_lines, d->n_lines, -1.0));
    SCORE("frac_no_alph_words", d->tokens ? 1.0 - (double)(d->tokens - d->without_letter) / (double)d->tokens : -1.0);
    SCORE("frac_unique_words", ratio(d->n_words, words, -1.0));
    SCORE("mean_word_length", ratio(d->chars, words, -1.0));
    SCORE("num_sentences", (double)d->sentences);
    SCORE("symbol_to_word_ratio", ratio(d->symbols, d->tokens, -1.0));
    SCORE("unigram_entropy", words ? entropy(d) : -1.0);
    COUNT("word_count", words);
    return !d->with_lines || put_lines(out, d);
}

/* -------------------------------------------------------------------------------------------- functions */

static int as_table(PyObject *object, const Table **out) {
    *out = object == Py_None ? NULL : (const Table *)object;
    if (object == Py_None || Py_TYPE(object) == table_type) return 1;
    PyErr_Format(PyExc_TypeError, "signals_json() takes a Table or None, not %.200s", Py_TYPE(object)->tp_name);
    return 0;
}

static PyObject *signals_json(PyObject *module, PyObject *const *args, Py_ssize_t n) {
    (void)module;
    struct document d = {.javascript = NONE, .waiting = 1};
    struct out out = {NULL, 0, 0};
    PyObject *result = NULL;
    if (n != 11) {
        PyErr_Format(PyExc_TypeError, "signals_json() takes 11 arguments, not %zd", n);
        return NULL;
    }
    if (!is_bounded_text(args[0], "signals_json") || !as_table(args[1], &d.lists.stop_words) ||
        !as_table(args[2], &d.lists.bad_words) || !as_table(args[3], &d.lists.phrases) ||
        !as_table(args[4], &d.lists.starts))
        return NULL;
    PyObject *const before = args[5], *const after_content = args[6], *const after = args[7];
    if (!PyBytes_Check(before) || !PyBytes_Check(after_content) || !PyBytes_Check(after)) {
        PyErr_SetString(PyExc_TypeError, "signals_json() takes bytes to put before, between and after the signals");
        return NULL;
    }
    const int by_regex = PyObject_IsTrue(args[10]);
    const Py_ssize_t max_lines = PyNumber_AsSsize_t(args[9], PyExc_OverflowError);
    d.with_lines = PyObject_IsTrue(args[8]);
    if (d.with_lines < 0 || by_regex < 0 || (max_lines == -1 && PyErr_Occurred())) return NULL;
    d.max_lines = max_lines > 0 ? (size_t)max_lines : 0;
    if (d.lists.phrases == NULL) d.lists.starts = NULL;

    d.text = args[0];
    d.engine = by_regex ? BY_REGEX : BY_RE;
    const size_t length = (size_t)PyUnicode_GET_LENGTH(d.text);
    d.arena_cap = length + 4 * FORM_MAX;
    d.n_slots = 256;
    while (d.n_slots < length / 8 && d.n_slots < 1 << 20) d.n_slots *= 2;
    d.arena = PyMem_Malloc(d.arena_cap);
    d.slots = PyMem_Calloc(d.n_slots, sizeof *d.slots);
    if (d.arena == NULL || d.slots == NULL) {
        PyErr_NoMemory();
        goto done;
    }
    int ok;
    BY_KIND_AND_ASCII(d.text, ok = read_text(kind, ascii, &d));
    if (ok && put_bytes(&out, before) && put_signals(&out, &d, after_content)) {
        out.used--; /* the last comma */
        if (put_bytes(&out, after)) result = PyBytes_FromStringAndSize((const char *)out.data, (Py_ssize_t)out.used);
    }
done:
    PyMem_Free(out.data);
    free_document(&d);
    return result;
}

/* ------------------------------------------------------------------------------- features for importance */

/* hash() of str and of tuple as CPython computes them under a fixed PYTHONHASHSEED: SipHash with one round a word and
   three at the end (from 3.11 on) or two and four (to 3.10), and for tuples its own form of xxHash. */
struct sip { uint64_t k0, k1; int rounds; };

#define SIP_ROUND                                                                    \
    do {                                                                             \
        v0 += v1; v1 = ROTATE(64, v1, 13) ^ v0; v0 = ROTATE(64, v0, 32);                     \
        v2 += v3; v3 = ROTATE(64, v3, 16) ^ v2;                                          \
        v0 += v3; v3 = ROTATE(64, v3, 21) ^ v0;                                          \
        v2 += v1; v1 = ROTATE(64, v1, 17) ^ v2; v2 = ROTATE(64, v2, 32);                     \
    } while (0)

static uint64_t str_hash(const struct sip *key, const uint8_t *p, size_t n) {
    uint64_t v0 = key->k0 ^ 0x736F6D6570736575u, v1 = key->k1 ^ 0x646F72616E646F6Du;
    uint64_t v2 = key->k0 ^ 0x6C7967656E657261u, v3 = key->k1 ^ 0x7465646279746573u;
    uint64_t last = (uint64_t)n << 56;
    for (; n >= 8; p += 8, n -= 8) {
        const uint64_t word = load(p, 8);
        v3 ^= word;
        for (int i = 0; i < key->rounds; i++) SIP_ROUND;
        v0 ^= word;
    }
    last |= load(p, n);
    v3 ^= last;
    for (int i = 0; i < key->rounds; i++) SIP_ROUND;
    v0 ^= last;
    v2 ^= 0xFF;
    for (int i = 0; i < key->rounds + 2; i++) SIP_ROUND;
    const uint64_t hash = v0 ^ v1 ^ v2 ^ v3;
    return hash == UINT64_MAX ? UINT64_MAX - 1 : hash;
}

INLINE uint64_t pair_hash(uint64_t first, uint64_t second) {
    uint64_t hash = 2870177450012600261u;
    hash += first * 14029467366897019727u;
    hash = ROTATE(64, hash, 31) * 11400714785074694791u;
    hash += second * 14029467366897019727u;
    hash = ROTATE(64, hash, 31) * 11400714785074694791u;
    hash += 2 ^ (2870177450012600261u ^ 3527539u);
    return hash == UINT64_MAX ? 1546275796u : hash;
}

INLINE uint64_t magnitude(uint64_t hash) { return (int64_t)hash < 0 ? 0 - hash : hash; }

/* The hash of text[from:to]: of its characters in the narrowest width that holds them all. NULL buffer: no memory. */
INLINE int token_hash(int kind, const void *data, Py_ssize_t from, Py_ssize_t to, const struct sip *key,
                      uint8_t **buffer, size_t *cap, uint64_t *out) {
    const size_t n = (size_t)(to - from);
    if (kind == PyUnicode_1BYTE_KIND) {
        *out = str_hash(key, (const uint8_t *)data + from, n);
        return 1;
    }
    Py_UCS4 any = 0;
    for (Py_ssize_t i = from; i < to; i++) any |= PyUnicode_READ(kind, data, i);
    const int width = any < 0x100 ? 1 : any < 0x10000 ? 2 : 4;
    if (width == kind) {
        *out = str_hash(key, (const uint8_t *)data + (size_t)from * (size_t)kind, n * (size_t)width);
        return 1;
    }
    if (n * 2 > *cap && !grow_to((void **)buffer, cap, n * 2, 1)) return 0;
    for (size_t i = 0; i < n; i++) {
        const Py_UCS4 c = PyUnicode_READ(kind, data, from + (Py_ssize_t)i);
        if (width == 1) {
            (*buffer)[i] = (uint8_t)c;
        } else {
            const uint16_t two = (uint16_t)c;
            memcpy(*buffer + 2 * i, &two, 2);
        }
    }
    *out = str_hash(key, *buffer, n * (size_t)width);
    return 1;
}

INLINE int count_features(int kind, int ascii, PyObject *text, int engine, const struct sip *key, uint64_t buckets,
                          int64_t *counts) {
    const void *data = PyUnicode_DATA(text);
    const Py_ssize_t length = PyUnicode_GET_LENGTH(text);
    uint8_t *buffer = NULL;
    size_t cap = 0;
    unsigned previous = SPACE;
    Py_ssize_t token = 0;
    uint64_t before = 0;
    int any = 0, ok = 1;
    for (Py_ssize_t i = 0; i <= length && ok; i++) {
        unsigned class = SPACE;
        if (i < length) {
            const Py_UCS4 c = PyUnicode_READ(kind, data, i);
            const struct letter *l = NULL;
            if (!ascii && c >= 0x80 && (l = letter_of(c, engine)) == NULL) {
                ok = 0;
                break;
            }
            class = (l == NULL ? ascii_flags[engine][c] : l->flags) & CLASS;
        }
        if (class == previous) continue;
        if (previous != SPACE) {
            uint64_t hash = 0;
            ok = token_hash(kind, data, token, i, key, &buffer, &cap, &hash);
            counts[magnitude(hash) % buckets]++;
            if (any) counts[magnitude(pair_hash(before, hash)) % buckets]++;
            before = hash;
            any = 1;
        }
        token = i;
        previous = class;
    }
    PyMem_Free(buffer);
    return ok;
}

static PyObject *hash_features(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *text;
    Py_ssize_t buckets;
    unsigned long long k0, k1;
    struct sip key;
    int by_regex, ok;
    if (!PyArg_ParseTuple(args, "OnKKip:hash_features", &text, &buckets, &k0, &k1, &key.rounds, &by_regex)) return NULL;
    if (!is_bounded_text(text, "hash_features")) return NULL;
    if (buckets < 1 || buckets > LENGTH_MAX || key.rounds < 1 || key.rounds > 2) {
        PyErr_SetString(PyExc_ValueError, "hash_features() takes 1 to 2**28 buckets, and 1 or 2 rounds");
        return NULL;
    }
    key.k0 = k0;
    key.k1 = k1;
    PyObject *counts = PyBytes_FromStringAndSize(NULL, buckets * 8);
    if (counts == NULL) return NULL;
    int64_t *out = (int64_t *)(void *)PyBytes_AS_STRING(counts);
    memset(out, 0, (size_t)buckets * 8);
    BY_KIND_AND_ASCII(text, ok = count_features(kind, ascii, text, by_regex ? BY_REGEX : BY_RE, &key, (uint64_t)buckets, out));
    if (!ok) Py_CLEAR(counts);
    return counts;
}

/* ------------------------------------------------------------------------------------------------ module */

static PyMethodDef functions[] = {
    {"signals_json", (PyCFunction)(void (*)(void))signals_json, METH_FASTCALL,
     "(text, stop words, bad words, phrases, their first words, before, after the content signals, after, with lines, "
     "most lines, by regex) -> JSON"},
    {"hash_features", hash_features, METH_VARARGS,
     "(text, buckets, k0, k1, rounds, by regex) -> how many raw words and pairs of them hash into each bucket, int64"},
    {NULL, NULL, 0, NULL},
};
static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_signals", "Quality signals, in C.", -1, functions, NULL, NULL, NULL, NULL};

static int prepare(void) {
    PyObject *unicodedata = PyImport_ImportModule("unicodedata");
    if (unicodedata == NULL) return 0;
    normalize = PyObject_GetAttrString(unicodedata, "normalize");
    combining = PyObject_GetAttrString(unicodedata, "combining");
    category = PyObject_GetAttrString(unicodedata, "category");
    Py_DECREF(unicodedata);
    nfd = PyUnicode_InternFromString("NFD");
    PyObject *name = PyUnicode_FromString("_signals.seed");
    if (normalize == NULL || combining == NULL || category == NULL || nfd == NULL || name == NULL) return 0;
    seed = fold((uint64_t)PyObject_Hash(name), 0x9E3779B97F4A7C15u);
    Py_DECREF(name);
    for (int engine = 0; engine < ENGINES; engine++) {
        for (Py_UCS4 c = 0; c < 128; c++) {
            const struct letter *l = letter_of(c, engine);
            if (l == NULL) return 0;
            ascii_flags[engine][c] = l->flags;
            ascii_low[c] = l->size ? l->form[0] : 0;
        }
    }
    return (table_type = (PyTypeObject *)PyType_FromSpec(&table_spec)) != NULL;
}

PyMODINIT_FUNC PyInit__signals(void) {
    if (table_type == NULL && !prepare()) return NULL;
    PyObject *module = PyModule_Create(&definition);
    if (module == NULL) return NULL;
    Py_INCREF(table_type);
    if (PyModule_AddObject(module, "Table", (PyObject *)table_type) < 0) {
        Py_DECREF(table_type);
        Py_CLEAR(module);
    }
    return module;
}
