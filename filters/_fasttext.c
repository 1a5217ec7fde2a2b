/* Prediction with a supervised fastText model: Model(...).predict(text) gives the first label and its probability,
   bit for bit those of the fasttext package. filters/fasttext_model.py reads the file and states what each argument is.

   fastText sums the rows of all words and character n-grams of a text, divides by their number, and looks for the
   likeliest label. Floats are added here in its order, hence one row after the other and no fused multiply-add.
   What makes it faster:
     - the rows of the last 32768 words are remembered: Zipf's law does the rest;
     - n-grams that a pruned model lacks are skipped by a bitmap, without a branch;
     - the tree of a hierarchical softmax is searched likeliest side first.

   The matrix of a dense model is lent by a mapping of its file, which all processes share. Copying it would be safer and
   cost every worker its size (126 MB for lid.176.bin, gigabytes for large classifiers). So: what is read from the
   mapping are weights, never an index or a size, so that a file written over in place can give wrong numbers only;
   after each prediction the file is asked for its size and time, so that these are never used; and where it was cut
   short before it was read (SIGBUS), the prediction ends in an error too. A file that another is renamed over stays as
   it was for those who have it open. */

#include "_text.h"
#include <errno.h>
#include <fcntl.h>
#include <float.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#if FLT_EVAL_METHOD != 0 || defined(__FAST_MATH__)
#error "filters/_fasttext.c needs floats that are rounded after every operation (SSE2; no -ffast-math)"
#endif

/* In a mapped file a number stands at any byte. */
typedef float real __attribute__((aligned(1), may_alias));
typedef float quad __attribute__((vector_size(16), aligned(1), may_alias));
typedef int32_t index32 __attribute__((aligned(1), may_alias));

enum loss { HIERARCHICAL = 1, NEGATIVE, SOFTMAX, ONE_VS_ALL }; /* as in the file */

#define LABEL_PREFIX "__label__" /* fastText's default, which is what it has after loading: files don't say */
#define END "</s>"

#define CHUNK 1024          /* rows found before they are added */
#define BATCH 16            /* words found before the first is looked up: their cache entries are on their way then */
#define CACHE (1u << 15)    /* words whose rows are remembered: 4 MB */
#define LINE 64             /* bytes of a line of the processor's cache */
#define NGRAM_MAX 64        /* of characters or words; fastText's own settings are below 7 */
#define SIGMOID_STEPS 512   /* fastText's table of the sigmoid, from -8 to 8 */

/* Two lines; most words need the first only. Words that don't fit are looked up each time. */
struct entry {
    uint32_t hash;
    uint8_t size, rows;      /* size 0: empty */
    uint8_t word[26];
    uint32_t ids[24];
};
struct token { const uint8_t *word; size_t size; uint32_t hash; };
struct step { int32_t node; float score; };

typedef struct {
    PyObject_HEAD
    int dim, minn, maxn, word_ngrams, loss;
    uint32_t bucket;
    uint64_t bucket_inverse;
    int32_t n_words, n_labels;
    PyObject *labels;
    union { /* what Python lends */
        struct { Py_buffer words, rows, bucket_rows, output, scale, tree; };
        Py_buffer lent[6];
    };
    uint32_t *word_at;       /* n_words + n_labels + 1 offsets into words */
    int32_t *word_slots;     /* entry or -1, open addressing */
    uint32_t word_mask;
    uint64_t *has_row;       /* bitmap of the buckets that have one; NULL: all have */
    struct entry *cache;     /* where a word may stand follows from its hash; a new one replaces what was there */
    float *hidden, *scores;
    struct step *stack;
    float sigmoid[SIGMOID_STEPS + 1];
    int nan;
    int fd;                  /* of the file that lends; -1: none */
    long long file_size, file_time; /* of which it was when it was opened; nanoseconds */
    PyObject *changed;       /* exception to raise when it is another, and its message */
    PyObject *message;
} Model;

/* One text on its way through the model. */
struct line {
    size_t rows;             /* added so far */
    uint32_t *hashes;        /* of its words, for word n-grams */
    size_t n_hashes, room;
};

/* ---------------------------------------------------------------------------------------- rows of a word */

INLINE uint32_t hash_byte(uint32_t h, uint8_t byte) { /* as a signed char, like fastText */
    const int32_t extended = (int8_t)byte;
    return (h ^ (uint32_t)extended) * 16777619u;
}
#define HASH_START 2166136261u

/* h % bucket by two multiplications; exact for 32 bits (Lemire et al., Faster remainder by direct computation). */
INLINE uint32_t bucket_of(const Model *m, uint32_t h) {
    return (uint32_t)((unsigned __int128)(m->bucket_inverse * h) * m->bucket >> 64);
}

INLINE int is_end(const uint8_t *word, size_t size) { return size == sizeof END - 1 && memcmp(word, END, size) == 0; }

/* The entry of the dictionary that is this word, or -1. */
static int32_t find_word(const Model *m, const uint8_t *word, size_t size, uint32_t hash) {
    const char *words = m->words.buf;
    for (uint32_t i = hash & m->word_mask;; i = (i + 1) & m->word_mask) {
        const int32_t entry = m->word_slots[i];
        if (entry < 0) return -1;
        const uint32_t from = m->word_at[entry];
        if (m->word_at[entry + 1] - 1 - from == size && memcmp(words + from, word, size) == 0) return entry;
    }
}

INLINE void add_rows(Model *m, const uint32_t *ids, size_t n) {
    const char *rows = m->rows.buf;
    if (m->dim == 16) { /* that of lid.176: the sum stays in registers */
        quad *hidden = (quad *)m->hidden, a = hidden[0], b = hidden[1], c = hidden[2], d = hidden[3];
        for (size_t i = 0; i < n; i++) {
            const quad *row = (const quad *)(rows + (size_t)ids[i] * 64);
            a += row[0]; b += row[1]; c += row[2]; d += row[3];
        }
        hidden[0] = a; hidden[1] = b; hidden[2] = c; hidden[3] = d;
        return;
    }
    const size_t dim = (size_t)m->dim;
    for (size_t i = 0; i < n; i++) {
        const real *row = (const real *)(rows + (size_t)ids[i] * dim * sizeof(float));
        for (size_t d = 0; d < dim; d++) m->hidden[d] += row[d];
    }
}

/* Buckets to the rows of those that have one, in place; returns how many. */
INLINE size_t rows_of_buckets(const Model *m, uint32_t *ids, size_t n) {
    if (m->has_row == NULL) {
        for (size_t i = 0; i < n; i++) ids[i] += (uint32_t)m->n_words;
        return n;
    }
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        const uint32_t bucket = ids[i];
        ids[kept] = bucket;
        kept += m->has_row[bucket >> 6] >> (bucket & 63) & 1;
    }
    for (size_t i = 0; i < kept; i++) ids[i] = (uint32_t)((const index32 *)m->bucket_rows.buf)[ids[i]];
    return kept;
}

/* Find the rows of a word's character n-grams. The last up to CHUNK of them stay in ids, which has *n already; if
   there are more, the earlier ones are added to the line. */
INLINE void find_ngrams(Model *m, struct line *line, const uint8_t *word, size_t size, uint32_t *ids, size_t *n) {
    size_t from = *n, used = *n;
    for (size_t i = 0; i < size; i++) {
        if ((word[i] & 0xC0) == 0x80) continue;
        uint32_t h = HASH_START;
        size_t j = i;
        for (int length = 1; length <= m->maxn && j < size; length++) {
            h = hash_byte(h, word[j++]);
            while (j < size && (word[j] & 0xC0) == 0x80) h = hash_byte(h, word[j++]);
            if (length < m->minn || (length == 1 && (i == 0 || j == size))) continue;
            if (UNLIKELY(used == CHUNK)) {
                used = from + rows_of_buckets(m, ids + from, used - from);
                add_rows(m, ids, used);
                line->rows += used;
                from = used = 0;
            }
            ids[used++] = bucket_of(m, h);
        }
    }
    *n = from + rows_of_buckets(m, ids + from, used - from);
}

/* Add the rows of a word that is not in the cache. Returns 0 without memory. */
static int add_new_word(Model *m, struct line *line, const uint8_t *word, size_t size, uint32_t hash, int32_t entry) {
    uint32_t ids[CHUNK];
    uint8_t small[CHUNK], *bracketed = small;
    size_t n = 0;
    const size_t before = line->rows;
    if (entry >= 0) ids[n++] = (uint32_t)entry;
    if (m->maxn > 0 && !is_end(word, size)) {
        if (size + 2 > sizeof small && (bracketed = PyMem_Malloc(size + 2)) == NULL) return 0;
        bracketed[0] = '<';
        memcpy(bracketed + 1, word, size);
        bracketed[size + 1] = '>';
        find_ngrams(m, line, bracketed, size + 2, ids, &n);
        if (bracketed != small) PyMem_Free(bracketed);
    }
    add_rows(m, ids, n);
    line->rows += n;
    struct entry *kept = &m->cache[hash % CACHE];
    if (size <= sizeof kept->word && n <= sizeof kept->ids / sizeof *ids && line->rows - before == n) {
        kept->hash = hash;
        kept->size = (uint8_t)size;
        kept->rows = (uint8_t)n;
        memcpy(kept->word, word, size);
        memcpy(kept->ids, ids, n * sizeof *ids);
    }
    return 1;
}

/* Add a word's rows, as far as it is one: labels are none. Returns 0 without memory. */
INLINE int add_word(Model *m, struct line *line, const uint8_t *word, size_t size, uint32_t hash) {
    const struct entry *known = &m->cache[hash % CACHE];
    if (LIKELY(known->hash == hash && known->size == size && memcmp(known->word, word, size) == 0)) {
        add_rows(m, known->ids, known->rows);
        line->rows += known->rows;
    } else {
        const int32_t entry = find_word(m, word, size, hash);
        const size_t prefix = sizeof LABEL_PREFIX - 1;
        if (entry >= m->n_words || (entry < 0 && size >= prefix && memcmp(word, LABEL_PREFIX, prefix) == 0)) return 1;
        if (!add_new_word(m, line, word, size, hash, entry)) return 0;
    }
    if (m->word_ngrams > 1) {
        if (line->n_hashes == line->room) {
            const size_t room = line->room ? 2 * line->room : 256;
            uint32_t *grown = PyMem_Realloc(line->hashes, room * sizeof *grown);
            if (grown == NULL) return 0;
            line->hashes = grown;
            line->room = room;
        }
        line->hashes[line->n_hashes++] = hash;
    }
    return 1;
}

INLINE void add_word_ngrams(Model *m, struct line *line) {
    for (size_t i = 0; i < line->n_hashes; i++) {
        uint64_t h = (uint64_t)(int32_t)line->hashes[i];
        for (size_t j = i + 1; j < line->n_hashes && j < i + (size_t)m->word_ngrams; j++) {
            h = h * 116049371 + (uint64_t)(int32_t)line->hashes[j];
            uint32_t id = (uint32_t)(h % m->bucket);
            const size_t n = rows_of_buckets(m, &id, 1);
            add_rows(m, &id, n);
            line->rows += n;
        }
    }
}

/* The mean of the rows of a text's first line into hidden. Returns 0 without memory. */
static int average(Model *m, struct line *line, const uint8_t *text, size_t size) {
    static const uint8_t blank[256] = {[0] = 1, [' '] = 1, ['\t'] = 1, ['\r'] = 1, ['\v'] = 1, ['\f'] = 1, ['\n'] = 2};
    const uint8_t *at = text, *const stop = text + size;
    for (int d = 0; d < m->dim; d++) m->hidden[d] = 0;
    for (int done = 0; !done;) {
        struct token batch[BATCH];
        size_t n = 0;
        while (n < BATCH && !done) {
            while (at < stop && blank[*at] == 1) at++;
            struct token token = {at, 0, HASH_START};
            while (at < stop && !blank[*at]) token.hash = hash_byte(token.hash, *at++);
            token.size = (size_t)(at - token.word);
            if (token.size == 0) {
                token.word = (const uint8_t *)END;
                while (token.size < sizeof END - 1) token.hash = hash_byte(token.hash, token.word[token.size++]);
            }
            done = is_end(token.word, token.size);
            __builtin_prefetch(&m->cache[token.hash % CACHE]);
            batch[n++] = token;
        }
        for (size_t i = 0; i < n; i++)
            if (!add_word(m, line, batch[i].word, batch[i].size, batch[i].hash)) return 0;
    }
    if (m->word_ngrams > 1) add_word_ngrams(m, line);
    const float share = (float)(1.0 / (double)line->rows);
    for (int d = 0; d < m->dim; d++) m->hidden[d] *= share;
    return 1;
}

/* ------------------------------------------------------------------------------------- the likeliest label */

INLINE float dot(Model *m, int32_t row) {
    const real *weights = (const real *)m->output.buf + (size_t)row * (size_t)m->dim;
    float sum = 0;
    for (int d = 0; d < m->dim; d++) sum += weights[d] * m->hidden[d];
    if (UNLIKELY(isnan(sum))) m->nan = 1;
    return sum * ((const real *)m->scale.buf)[row];
}

INLINE float log_of(float x) { return (float)log((double)x + 1e-5); }

/* Depth-first search of the tree for the leaf of the highest score. Its score goes into *score; -1 if there is none.

   fastText takes the left child first, skips nodes below the best leaf so far, and among equals keeps the last.
   With margin > 0 the likelier child is first, which mostly finds the answer at once. Scores can rise by 1e-5 a level,
   so skipping then needs `margin`, more than all levels of a path can add; and a second leaf that near to the best, or
   a best that near to the lowest score that counts, leaves the answer to fastText's order: returns -2. */
static int32_t search(Model *m, float margin, float *score) {
    const float lowest = log_of(0);
    const index32 *tree = m->tree.buf;
    float best = lowest;
    int32_t label = -1, size = 1;
    int close = 0;
    m->stack[0] = (struct step){2 * m->n_labels - 2, 0};
    while (size > 0) {
        const struct step at = m->stack[--size];
        if (at.score < best - margin) continue;
        if (at.node < m->n_labels) {
            close |= at.score - best <= margin;
            if (at.score >= best) {
                best = at.score;
                label = at.node;
            }
            continue;
        }
        const int32_t inner = at.node - m->n_labels;
        const float right = (float)(1. / (double)(1 + expf(-dot(m, inner))));
        const struct step to_left = {tree[2 * inner], at.score + log_of((float)(1.0 - (double)right))};
        const struct step to_right = {tree[2 * inner + 1], at.score + log_of(right)};
        const int right_first = margin > 0 && right > 0.5f;
        m->stack[size++] = right_first ? to_left : to_right;
        m->stack[size++] = right_first ? to_right : to_left;
    }
    *score = best;
    return margin > 0 && close ? -2 : label;
}

/* The same for losses that score every label: among equals the last. */
static int32_t highest(Model *m, float *score) {
    float *out = m->scores, top, sum = 0;
    for (int32_t i = 0; i < m->n_labels; i++) out[i] = dot(m, i);
    if (m->loss == SOFTMAX) {
        top = out[0];
        for (int32_t i = 1; i < m->n_labels; i++) top = out[i] < top ? top : out[i];
        for (int32_t i = 0; i < m->n_labels; i++) sum += out[i] = (float)exp((double)(out[i] - top));
        for (int32_t i = 0; i < m->n_labels; i++) out[i] /= sum;
    } else {
        for (int32_t i = 0; i < m->n_labels; i++)
            out[i] = out[i] >= -8 && out[i] <= 8 ? m->sigmoid[(int)((out[i] + 8) * SIGMOID_STEPS / 8 / 2)] : out[i] > 8;
    }
    int32_t label = -1;
    for (int32_t i = 0; i < m->n_labels; i++) {
        const float value = log_of(out[i]);
        if (label < 0 || value >= *score) {
            *score = value;
            label = i;
        }
    }
    return label;
}

/* ------------------------------------------------------------------------------------ the file that lends */

/* Where a read beyond the end of a file goes on, and in which thread. One at a time: predict() has the GIL. */
static sigjmp_buf cut_short;
static pthread_t reading_thread;
static volatile sig_atomic_t reading;
static struct sigaction before_ours;

static void on_sigbus(int number) {
    (void)number;
    if (reading && pthread_equal(pthread_self(), reading_thread)) siglongjmp(cut_short, 1);
    sigaction(SIGBUS, &before_ours, NULL); /* not ours: the read is done again, and ends as it would have */
}
static void catch_sigbus(void) { /* again for each model: others (faulthandler) may have taken it since */
    struct sigaction ours = {.sa_handler = on_sigbus, .sa_flags = SA_NODEFER}, now;
    sigemptyset(&ours.sa_mask);
    if (sigaction(SIGBUS, NULL, &now) < 0 || now.sa_handler == on_sigbus) return;
    before_ours = now;
    sigaction(SIGBUS, &ours, NULL);
}

/* Whether the file is what it was; else its exception is set. */
static int is_unchanged(const Model *m) {
    struct stat now;
    if (m->fd < 0) return 1;
    if (fstat(m->fd, &now) == 0) {
#if defined(__APPLE__)
        const struct timespec time = now.st_mtimespec;
#else
        const struct timespec time = now.st_mtim;
#endif
        if (now.st_size == m->file_size && time.tv_sec * 1000000000LL + time.tv_nsec == m->file_time) return 1;
    }
    PyErr_SetObject(m->changed, m->message);
    return 0;
}

/* The likeliest label, -1 for none, -2 with an exception set. Nothing in here calls Python but for memory, so that the
   jump out of a read leaves nothing behind but the hashes of the line's words. */
static int32_t likeliest(Model *m, const uint8_t *utf8, size_t size, float *score) {
    struct line line = {0, NULL, 0, 0};
    const int done = average(m, &line, utf8, size);
    PyMem_Free(line.hashes);
    if (!done) {
        PyErr_NoMemory();
        return -2;
    }
    if (line.rows == 0) return -1;
    if (m->loss != HIERARCHICAL) return highest(m, score);
    const int32_t label = search(m, 4e-5f * (float)m->n_labels, score);
    return label == -2 ? search(m, 0, score) : label;
}

static PyObject *predict(PyObject *self, PyObject *text) {
    Model *m = (Model *)self;
    Py_ssize_t size;
    const char *utf8 = PyUnicode_AsUTF8AndSize(text, &size);
    if (utf8 == NULL) return NULL;
    float score = 0;
    m->nan = 0;
    if (sigsetjmp(cut_short, 0)) {
        reading = 0;
        if (is_unchanged(m)) PyErr_SetString(PyExc_OSError, "the model cannot be read any more");
        return NULL;
    }
    reading_thread = pthread_self();
    reading = 1;
    const int32_t label = likeliest(m, (const uint8_t *)utf8, (size_t)size, &score);
    reading = 0;
    if (label == -2 || !is_unchanged(m)) return NULL;
    if (m->nan) {
        PyErr_SetString(PyExc_ValueError, "the model's numbers are broken: a score is not a number");
        return NULL;
    }
    if (label < 0) Py_RETURN_NONE;
    return Py_BuildValue("(Od)", PyTuple_GET_ITEM(m->labels, label), (double)expf(score));
}

/* ---------------------------------------------------------------------------------------------- the class */

static void dealloc(PyObject *self) {
    Model *m = (Model *)self;
    void *blocks[] = {m->word_at, m->word_slots, m->has_row, m->hidden, m->scores, m->stack};
    for (size_t i = 0; i < sizeof m->lent / sizeof *m->lent; i++) PyBuffer_Release(&m->lent[i]);
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) PyMem_Free(blocks[i]);
    free(m->cache);
    if (m->fd >= 0) close(m->fd);
    Py_XDECREF(m->labels);
    Py_XDECREF(m->changed);
    Py_XDECREF(m->message);
    Py_TYPE(self)->tp_free(self);
}

static int index_words(Model *m) {
    const uint8_t *words = m->words.buf;
    const uint32_t entries = (uint32_t)m->n_words + (uint32_t)m->n_labels;
    uint32_t at = 0;
    for (m->word_mask = 15; m->word_mask / 2 < entries; m->word_mask = 2 * m->word_mask + 1) {}
    m->word_at = PyMem_Calloc((size_t)entries + 1, sizeof *m->word_at);
    m->word_slots = PyMem_Malloc(((size_t)m->word_mask + 1) * sizeof *m->word_slots);
    if (m->word_at == NULL || m->word_slots == NULL) return 0;
    memset(m->word_slots, 0xFF, ((size_t)m->word_mask + 1) * sizeof *m->word_slots);
    for (uint32_t entry = 0; entry < entries; entry++) {
        uint32_t h = HASH_START, from = at;
        for (; words[at] != 0; at++) h = hash_byte(h, words[at]);
        m->word_at[entry] = from;
        m->word_at[entry + 1] = ++at;
        uint32_t i = h & m->word_mask;
        for (int32_t other; (other = m->word_slots[i]) >= 0; i = (i + 1) & m->word_mask) /* of equals the last */
            if (m->word_at[other + 1] - m->word_at[other] == at - from &&
                memcmp(words + m->word_at[other], words + from, at - from) == 0)
                break;
        m->word_slots[i] = (int32_t)entry;
    }
    return 1;
}

/* Whether the arguments fit each other, so that nothing is ever read beyond them. */
static int fits(Model *m) {
    const int64_t labels = m->n_labels, cell = 4, row = m->dim * cell; /* float and int32_t alike */
    const int has_buckets = m->maxn > 0 || m->word_ngrams > 1;
    if (m->dim < 1 || labels < 1 || labels > INT32_MAX / 4 || m->n_words < 0 || m->n_words > INT32_MAX / 4) return 0;
    if (m->loss < HIERARCHICAL || m->loss > ONE_VS_ALL || m->minn < 0 || m->maxn < 0) return 0;
    if (m->maxn > NGRAM_MAX || m->word_ngrams > NGRAM_MAX) return 0; /* the time of a text grows with them */
    if (m->bucket > INT32_MAX || (has_buckets && m->bucket < 1)) return 0;
    if (m->output.len != labels * row || m->scale.len != labels * cell || m->rows.len % row != 0) return 0;
    const int64_t rows = m->rows.len / row;
    if (rows > UINT32_MAX || rows < m->n_words + (m->bucket_rows.buf == NULL && has_buckets ? (int64_t)m->bucket : 0)) return 0;
    if (m->bucket_rows.buf != NULL) {
        const index32 *bucket_rows = m->bucket_rows.buf;
        if (m->bucket_rows.len != m->bucket * cell) return 0;
        for (int64_t i = 0; i < m->bucket; i++)
            if (bucket_rows[i] >= rows) return 0;
    }
    if (m->loss == HIERARCHICAL) {
        const index32 *tree = m->tree.buf;
        if (tree == NULL || m->tree.len != 2 * (labels - 1) * cell) return 0;
        for (int64_t i = 0; i < 2 * (labels - 1); i++)
            if (tree[i] < 0 || tree[i] >= labels + i / 2) return 0; /* children come before their parent */
    }
    int64_t ends = 0;
    if (m->words.len > UINT32_MAX) return 0;
    for (Py_ssize_t i = 0; i < m->words.len; i++) ends += ((const char *)m->words.buf)[i] == 0;
    return ends == m->n_words + labels;
}

static PyObject *new_model(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"dim", "minn", "maxn", "word_ngrams", "loss", "bucket", "n_words", "labels", "words",
                            "rows", "bucket_rows", "output", "scale", "tree", "file", "changed", NULL};
    PyObject *file, *changed;
    int fd = -1;
    Model *m = (Model *)type->tp_alloc(type, 0);
    if (m == NULL) return NULL;
    m->fd = -1;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "$iiiiiIiO!y*y*z*y*y*z*OO:Model", names, &m->dim, &m->minn, &m->maxn,
                                     &m->word_ngrams, &m->loss, &m->bucket, &m->n_words, &PyTuple_Type, &m->labels,
                                     &m->words, &m->rows, &m->bucket_rows, &m->output, &m->scale, &m->tree, &file, &changed)) {
        m->labels = NULL;
        memset(m->lent, 0, sizeof m->lent); /* the parser has released them */
        Py_DECREF(m);
        return NULL;
    }
    Py_INCREF(m->labels);
    if (file != Py_None) {
        if (!PyTuple_Check(file) || !PyTuple_Check(changed)) {
            Py_DECREF(m);
            PyErr_SetString(PyExc_TypeError, "Model() takes tuples for a file and for what to raise when it changes");
            return NULL;
        }
        if (!PyArg_ParseTuple(file, "iLL", &fd, &m->file_size, &m->file_time) ||
            !PyArg_ParseTuple(changed, "OO", &m->changed, &m->message)) {
            m->changed = m->message = NULL;
            Py_DECREF(m);
            return NULL;
        }
        Py_INCREF(m->changed);
        Py_INCREF(m->message);
        if ((m->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0)) < 0) {
            Py_DECREF(m);
            return PyErr_SetFromErrno(PyExc_OSError);
        }
    }
    m->n_labels = (int32_t)Py_MIN(PyTuple_GET_SIZE(m->labels), INT32_MAX);
    if (!fits(m)) {
        Py_DECREF(m);
        PyErr_SetString(PyExc_ValueError, "its parts do not fit each other");
        return NULL;
    }
    if (m->bucket > 0) m->bucket_inverse = UINT64_MAX / m->bucket + 1;
    m->cache = aligned_alloc(LINE, CACHE * sizeof *m->cache);
    m->hidden = PyMem_Malloc((size_t)m->dim * sizeof *m->hidden);
    m->scores = PyMem_Malloc((size_t)m->n_labels * sizeof *m->scores);
    m->stack = PyMem_Malloc(((size_t)m->n_labels + 2) * sizeof *m->stack);
    if (m->bucket_rows.buf != NULL) m->has_row = PyMem_Calloc(m->bucket / 64 + 1, sizeof *m->has_row);
    if (!index_words(m) || !m->cache || !m->hidden || !m->scores || !m->stack ||
        (m->bucket_rows.buf && !m->has_row)) {
        Py_DECREF(m);
        return PyErr_NoMemory();
    }
    memset(m->cache, 0, CACHE * sizeof *m->cache);
    for (uint32_t i = 0; m->has_row != NULL && i < m->bucket; i++)
        m->has_row[i >> 6] |= (uint64_t)(((const index32 *)m->bucket_rows.buf)[i] >= 0) << (i & 63);
    for (int i = 0; i <= SIGMOID_STEPS; i++) {
        const float x = (float)(i * 16) / SIGMOID_STEPS - 8;
        m->sigmoid[i] = (float)(1.0 / (1.0 + (double)expf(-x)));
    }
    catch_sigbus();
    return (PyObject *)m;
}

static PyMethodDef methods[] = {
    {"predict", predict, METH_O, "(label, probability) of a text's first line; None if it has no row in the model."},
    {NULL, NULL, 0, NULL},
};
static PyTypeObject model_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "filters._fasttext.Model",
    .tp_basicsize = sizeof(Model),
    .tp_dealloc = dealloc,
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_doc = "A supervised fastText model.",
    .tp_methods = methods,
    .tp_new = new_model,
};
static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_fasttext", "Prediction with fastText models, in C.", -1, NULL, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__fasttext(void) {
    if (PyType_Ready(&model_type) < 0) return NULL;
    PyObject *module = PyModule_Create(&definition);
    if (module == NULL) return NULL;
    Py_INCREF(&model_type);
    if (PyModule_AddObject(module, "Model", (PyObject *)&model_type) < 0) {
        Py_DECREF(&model_type);
        Py_CLEAR(module);
    }
    return module;
}
