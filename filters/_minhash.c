/* MinHash signatures of texts, straight from the str objects. filters/minhash.py states what a word, a shingle and a
   permutation are; tests/test_minhash.py has the same in plain Python and numpy.

     prepare(classes)                       which characters make words; once per process
     signatures(texts, ngram, a, b, ...)    the signature of each text
     sign(hashes, a, b, out, path)          the signature of a set of 32-bit hashes, by one of PATHS
     shingles(text, ngram)                  the 64-bit shingle hashes of a text, in its order
     sifted(texts, ngram, sieve)            those of texts that may be among others
     words(text)                            the words of a text
     band_keys(signatures, ...)             a 64-bit key of each band of each signature
     sign_v2(hashes, a, b, out)             the signature of a set of 32-bit hashes with RedPajama-V2's permutations

   A text goes through in pieces of a few thousand characters, and each piece through four short loops whose buffers
   stay in the first-level cache:
     1. spell: its words as lower-case UTF-8, a zero byte between them; 32 characters at once where they are ASCII
     2. hash each word, of up to 16 bytes without a loop; word boundaries come from a bit a byte
     3. roll the hashes of the last words into a shingle's
     4. permute, and keep the least of each permutation: 16 or 8 permutations at once */

#include "_text.h"

/* ------------------------------------------------------------------------------------------- characters */

/* As in filters/minhash.py. */
enum class { SEPARATOR, LETTER, MARK, IGNORED, ALONE, CLASSES };

#define CLASSED 0x20000      /* code points that prepare() is told the class of; the others go by range */
#define BYTES 0xFFFFFFu      /* of an entry: the UTF-8 of the lower-case character, its first byte lowest; */
#define SIZE_SHIFT 24        /* how many bytes that is (a zero byte for a separator); */
#define CLASS_SHIFT 26       /* and the class */

static uint32_t entries[BMP];
static uint8_t supplementary[CLASSED - BMP];
static int prepared;

static int class_beyond(Py_UCS4 c) {
    if (c < CLASSED) return supplementary[c - BMP];
    if (c < 0x40000) return (c & 0xFFFF) < 0xFFFE ? ALONE : SEPARATOR; /* planes 2 and 3 are kept for Han */
    return c >= 0xE0000 && c < 0xE1000 ? IGNORED : SEPARATOR;          /* tags and variation selectors */
}

static PyObject *prepare(PyObject *module, PyObject *classes) {
    (void)module;
    if (!PyBytes_Check(classes) || PyBytes_GET_SIZE(classes) != CLASSED) {
        PyErr_Format(PyExc_ValueError, "prepare() takes %d bytes, a class a code point", CLASSED);
        return NULL;
    }
    const uint8_t *given = (const uint8_t *)PyBytes_AS_STRING(classes);
    for (Py_UCS4 c = 0; c < CLASSED; c++) {
        if (given[c] >= CLASSES) {
            PyErr_Format(PyExc_ValueError, "prepare(): there is no class %d", given[c]);
            return NULL;
        }
    }
    for (Py_UCS4 c = 0; c < BMP; c++) {
        uint8_t utf8[4] = {0, 0, 0, 0};
        size_t size = 1;
        if (given[c] != SEPARATOR) {
            const Py_UCS4 low = Py_UNICODE_TOLOWER(c);
            size = (size_t)(put_utf8(utf8, low < BMP ? low : c) - utf8);
        }
        entries[c] = (uint32_t)utf8[0] | (uint32_t)utf8[1] << 8 | (uint32_t)utf8[2] << 16 |
                     (uint32_t)size << SIZE_SHIFT | (uint32_t)given[c] << CLASS_SHIFT;
    }
    memcpy(supplementary, given + BMP, sizeof supplementary);
    prepared = 1;
    Py_RETURN_NONE;
}

/* ------------------------------------------------------------------------------------------- 1. spelling */

#define PIECE 4096           /* characters taken at once */
#define STEP 32              /* of which so many are looked at together */
#define BLOCK 16             /* bytes of a word hashed at once */
#define AHEAD 64             /* bytes that loops read beyond a word's end */

/* What fits to the last byte: tests/test_kernel_bounds.py has the texts that fill it.
   A piece of PIECE characters that are each a word of 4 bytes, after a word begun before: */
#define SPELT (BLOCK + 5 * PIECE + 1) /* that word; a separator and 4 bytes a character; a last separator */
#define WORDS_MAX (PIECE + 1)         /* that word, and one a character */

/* One character that is not ASCII or stands beside one. `alone` says that the character before was a word of its own. */
INLINE uint8_t *spell_one(Py_UCS4 c, uint8_t *out, int *alone) {
    uint8_t utf8[4];
    size_t size;
    int class;
    if (LIKELY(c < BMP)) {
        const uint32_t entry = entries[c], bytes = entry & BYTES;
        class = (int)(entry >> CLASS_SHIFT);
        size = entry >> SIZE_SHIFT & 3;
        memcpy(utf8, &bytes, 4);
    } else {
        class = class_beyond(c);
        memset(utf8, 0, sizeof utf8);
        size = class == SEPARATOR ? 1 : (size_t)(put_utf8(utf8, Py_UNICODE_TOLOWER(c)) - utf8);
    }
    if (UNLIKELY(class > LETTER)) {
        if (class == IGNORED) return out;
        if (class == MARK) { /* without a word to belong to it is nothing */
            if (out[-1] == 0) return out;
            memcpy(out, utf8, 4);
            return out + size;
        }
        if (out[-1] != 0) *out++ = 0;
        *alone = 1;
        memcpy(out, utf8, 4);
        return out + size;
    }
    if (UNLIKELY(*alone)) {
        *out++ = 0;
        *alone = 0;
    }
    memcpy(out, utf8, 4);
    return out + size;
}

INLINE uint8_t *spell(int kind, const void *data, Py_ssize_t from, Py_ssize_t to, uint8_t *out, int *alone) {
    while (from < to) {
        const Py_ssize_t until = to - from > STEP ? from + STEP : to;
        if (until - from == STEP) {
            Py_UCS4 any = 0;
            for (int i = 0; i < STEP; i++) any |= PyUnicode_READ(kind, data, from + i);
            if (LIKELY(any < 0x80)) {
                if (UNLIKELY(*alone)) {
                    *out++ = 0;
                    *alone = 0;
                }
                for (int i = 0; i < STEP; i++) { /* digits have the bit that makes letters lower-case */
                    const uint8_t c = (uint8_t)PyUnicode_READ(kind, data, from + i), low = c | 0x20;
                    out[i] = (uint8_t)(low - 'a') < 26 || (uint8_t)(c - '0') < 10 ? low : 0;
                }
                out += STEP;
                from = until;
                continue;
            }
        }
        for (; from < until; from++) out = spell_one(PyUnicode_READ(kind, data, from), out, alone);
    }
    return out;
}

/* ------------------------------------------------------------------------------------------- 2. words */

#define WORD_LOW 0x9E3779B97F4A7C15u  /* no word spells either (a control character, bytes that UTF-8 lacks): */
#define WORD_HIGH 0xD6E8FEB86659FD93u /* a factor of a word's first block is never zero */

INLINE uint64_t load64(const uint8_t *from) {
    uint64_t value;
    memcpy(&value, from, 8);
    return value;
}
INLINE uint64_t hash_block(uint64_t low, uint64_t high, uint64_t before) {
    return fold(low ^ WORD_LOW ^ before, high ^ WORD_HIGH);
}

/* Bytes of a block that belong to a word of so many bytes. Words have no zero byte: no two words look alike then. */
static uint64_t keep[BLOCK + 1][2];

/* The hash of a word of at least a byte; `before` is that of its earlier blocks. Reads up to 15 bytes beyond it. */
INLINE uint64_t hash_word(const uint8_t *word, size_t size, uint64_t before) {
    for (; UNLIKELY(size > BLOCK); word += BLOCK, size -= BLOCK)
        before = hash_block(load64(word), load64(word + 8), before);
    return hash_block(load64(word) & keep[size][0], load64(word + 8) & keep[size][1], before);
}

/* Bit i: byte i is not zero. */
INLINE uint64_t bits_of(const uint8_t *bytes) {
    uint64_t bits = 0;
    for (int i = 0; i < 8; i++) {
        const uint64_t low = 0x7F7F7F7F7F7F7F7Fu, eight = load64(bytes + 8 * i);
        const uint64_t top = (((eight & low) + low) | eight) & ~low;
        bits |= ((top >> 7) * 0x0102040810204080u >> 56) << 8 * i;
    }
    return bits;
}

/* State of a text being read. Buffers have room for what the loops write or read ahead. */
struct reader {
    Py_ssize_t ngram;
    uint64_t *words;          /* the last `ngram` words at most, then those of the piece */
    Py_ssize_t kept;          /* how many of the last are there */
    uint64_t rolled, leaving; /* the shingle of the words kept; what the word that leaves it is multiplied with */
    int alone;
    size_t begun;             /* bytes in `spelt` of a word that the next piece goes on with, 1 to 16 if any */
    uint64_t before;          /* hash of its earlier blocks */
    uint64_t *hashes;         /* shingles of the piece */
    uint8_t buffer[BLOCK + SPELT + AHEAD];
    uint16_t edges[2 * WORDS_MAX];
};

_Static_assert(SPELT - 1 <= UINT16_MAX, "an edge is an offset in what is spelt");
_Static_assert(AHEAD >= 64, "bits_of reads 64 bytes from within what is spelt");
_Static_assert(AHEAD >= BLOCK - 1, "hash_word reads a block from a word's last byte");
_Static_assert(PIECE % STEP == 0 && STEP <= SPELT, "steps of ASCII write a byte a character");

/* Hashes the words of spelt[0..size), which ends in a zero byte; returns their number. */
static Py_ssize_t hash_words(struct reader *r, const uint8_t *spelt, size_t size, uint64_t *out) {
    uint64_t open = 0;
    size_t n = 0;
    for (size_t at = 0; at < size; at += 64) {
        uint64_t bits = bits_of(spelt + at);
        if (size - at < 64) bits &= ((uint64_t)1 << (size - at)) - 1;
        uint64_t edges = bits ^ (bits << 1 | open);
        open = bits >> 63;
        for (; edges; edges &= edges - 1) r->edges[n++] = (uint16_t)(at + (size_t)__builtin_ctzll(edges));
    }
    for (size_t i = 0; i < n; i += 2)
        out[i / 2] = hash_word(spelt + r->edges[i], (size_t)(r->edges[i + 1] - r->edges[i]), 0);
    return (Py_ssize_t)(n / 2);
}

/* ------------------------------------------------------------------------------------------- 3. shingles */

#define NGRAM_MAX 1000 /* words of a shingle */
#define ROLL 0xD1342543DE82EF95u

INLINE uint64_t mix(uint64_t x) {
    x = (x ^ x >> 32) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 29) * 0x94D049BB133111EBu;
    return x ^ x >> 32;
}

/* Puts the shingles that end in the `fresh` words behind those kept to `hashes`; returns their number. */
static Py_ssize_t roll(struct reader *r, Py_ssize_t fresh) {
    const Py_ssize_t all = r->kept + fresh;
    const uint64_t *words = r->words, leaving = r->leaving;
    uint64_t rolled = r->rolled;
    Py_ssize_t i = r->kept, n = 0;
    for (; i < all && i < r->ngram; i++) rolled = rolled * ROLL + words[i];
    if (r->kept < r->ngram && i == r->ngram) r->hashes[n++] = mix(rolled);
    for (; i < all; i++) {
        rolled = rolled * ROLL + (words[i] - words[i - r->ngram] * leaving);
        r->hashes[n++] = mix(rolled);
    }
    r->rolled = rolled;
    r->kept = Py_MIN(all, r->ngram);
    memmove(r->words, r->words + all - r->kept, (size_t)r->kept * sizeof *r->words);
    return n;
}

static struct reader *new_reader(Py_ssize_t ngram) {
    if (!prepared) {
        PyErr_SetString(PyExc_RuntimeError, "prepare() comes first");
        return NULL;
    }
    if (ngram < 1 || ngram > NGRAM_MAX) {
        PyErr_Format(PyExc_ValueError, "a shingle has 1 to %d words, not %zd", NGRAM_MAX, ngram);
        return NULL;
    }
    struct reader *r = PyMem_Calloc(1, sizeof *r);
    if (r == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    r->ngram = ngram;
    r->leaving = 1;
    for (Py_ssize_t i = 0; i < ngram; i++) r->leaving *= ROLL;
    r->words = PyMem_Malloc(((size_t)ngram + WORDS_MAX) * sizeof *r->words);
    r->hashes = PyMem_Malloc(WORDS_MAX * sizeof *r->hashes);
    if (r->words == NULL || r->hashes == NULL) {
        PyMem_Free(r->words);
        PyMem_Free(r->hashes);
        PyMem_Free(r);
        PyErr_NoMemory();
        return NULL;
    }
    return r;
}
static void free_reader(struct reader *r) {
    if (r == NULL) return;
    PyMem_Free(r->words);
    PyMem_Free(r->hashes);
    PyMem_Free(r);
}
static void begin(struct reader *r) {
    r->kept = 0;
    r->rolled = r->before = 0;
    r->begun = 0;
    r->alone = 0;
}

/* Shingles of the characters from..to, the last ones if `last`, in r->hashes; returns their number. */
INLINE Py_ssize_t read_piece(struct reader *r, int kind, const void *data, Py_ssize_t from, Py_ssize_t to, int last) {
    uint8_t *const spelt = r->buffer + BLOCK; /* a zero byte stands before it */
    uint8_t *end = spell(kind, data, from, to, spelt + r->begun, &r->alone);
    if (last) *end++ = 0;
    memset(end, 0, AHEAD);
    uint8_t *whole = end;
    while (whole > spelt && whole[-1] != 0) whole--;

    uint64_t *const fresh = r->words + r->kept;
    uint8_t *word = spelt;
    Py_ssize_t n = 0;
    if (r->before != 0 && whole > spelt) { /* a word that began more than a block ago, and ends here */
        const size_t size = strlen((const char *)spelt);
        fresh[n++] = hash_word(spelt, size, r->before);
        r->before = 0;
        word += size + 1;
    }
    if (word < whole) n += hash_words(r, word, (size_t)(whole - word), fresh + n);

    for (word = whole; end - word > BLOCK; word += BLOCK)
        r->before = hash_block(load64(word), load64(word + 8), r->before);
    r->begun = (size_t)(end - word);
    memmove(spelt, word, r->begun);

    n = roll(r, n);
    if (last && r->kept && r->kept < r->ngram) /* fewer words than a shingle has: all of them are one */
        r->hashes[n++] = mix(r->rolled + (uint64_t)r->kept * WORD_LOW);
    return n;
}

/* Hands the shingles of each piece of a text to `take(context, hashes, number)`, until that returns 0; it may be
   called without the GIL. */
typedef int (*taker)(void *context, const uint64_t *hashes, Py_ssize_t n);

INLINE int read_kind(struct reader *r, int kind, const void *data, Py_ssize_t length, taker take, void *context) {
    begin(r);
    for (Py_ssize_t from = 0; from < length; from += PIECE) {
        const Py_ssize_t to = length - from > PIECE ? from + PIECE : length;
        const Py_ssize_t n = read_piece(r, kind, data, from, to, to == length);
        if (n && !take(context, r->hashes, n)) return 0;
    }
    return 1;
}

/* 0 if `take` gave up, or with an exception set if it is no str. */
static int read_text(struct reader *r, PyObject *text, const char *function, taker take, void *context) {
    if (!is_text(text, function)) return 0;
    const void *data = PyUnicode_DATA(text);
    const Py_ssize_t length = PyUnicode_GET_LENGTH(text);
    int done;
    WITHOUT_GIL(length >= GIL_LENGTH, BY_KIND(text, done = read_kind(r, kind, data, length, take, context)));
    return done;
}

/* ------------------------------------------------------------------------------------------- 4. permutations */

#define LANES 16 /* permutations are padded to a multiple of it */

/* datasketch's scheme "affine32": hashes are mixed once, then a permutation is a * h + b in 32 bits. */
INLINE void premix(uint32_t *hashes, Py_ssize_t n) {
    for (Py_ssize_t i = 0; i < n; i++) {
        uint32_t h = hashes[i];
        h = (h ^ h >> 16) * 0x85EBCA6Bu;
        h = (h ^ h >> 13) * 0xC2B2AE35u;
        hashes[i] = h ^ h >> 16;
    }
}

/* Mixes the hashes in place, and lowers `least[k]` to the least a[k] * h + b[k] of them; `count` permutations, a
   multiple of LANES. */
typedef void permuter(uint32_t *hashes, Py_ssize_t n, const uint32_t *a, const uint32_t *b, uint32_t *least,
                      Py_ssize_t count);

static void permute_portable(uint32_t *restrict hashes, Py_ssize_t n, const uint32_t *restrict a,
                             const uint32_t *restrict b, uint32_t *restrict least, Py_ssize_t count) {
    premix(hashes, n);
    for (Py_ssize_t k = 0; k < count; k += LANES) {
        for (Py_ssize_t i = 0; i < n; i++) {
            const uint32_t h = hashes[i];
            for (int lane = 0; lane < LANES; lane++) {
                const uint32_t value = a[k + lane] * h + b[k + lane];
                least[k + lane] = value < least[k + lane] ? value : least[k + lane];
            }
        }
    }
}

#if defined(RPJ_X86)
/* `vectors` is a constant: 4 vectors of a, b and the least are 12 of the 16 registers, 8 are 24 of the 32 of AVX-512. */
TARGET_AVX2 INLINE void lower_avx2(int vectors, const uint32_t *hashes, Py_ssize_t n, const uint32_t *a, const uint32_t *b,
                            uint32_t *least) {
    __m256i va[4], vb[4], vl[4];
    for (int v = 0; v < vectors; v++) {
        va[v] = _mm256_loadu_si256((const __m256i *)a + v);
        vb[v] = _mm256_loadu_si256((const __m256i *)b + v);
        vl[v] = _mm256_loadu_si256((const __m256i *)least + v);
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        const __m256i h = _mm256_set1_epi32((int)hashes[i]);
        for (int v = 0; v < vectors; v++)
            vl[v] = _mm256_min_epu32(vl[v], _mm256_add_epi32(_mm256_mullo_epi32(va[v], h), vb[v]));
    }
    for (int v = 0; v < vectors; v++) _mm256_storeu_si256((__m256i *)least + v, vl[v]);
}
TARGET_AVX2 static void permute_avx2(uint32_t *hashes, Py_ssize_t n, const uint32_t *a, const uint32_t *b, uint32_t *least,
                              Py_ssize_t count) {
    premix(hashes, n);
    Py_ssize_t k = 0;
    for (; k + 32 <= count; k += 32) lower_avx2(4, hashes, n, a + k, b + k, least + k);
    for (; k < count; k += 8) lower_avx2(1, hashes, n, a + k, b + k, least + k);
}

TARGET_AVX512 INLINE void lower_avx512(int vectors, const uint32_t *hashes, Py_ssize_t n, const uint32_t *a,
                                const uint32_t *b, uint32_t *least) {
    __m512i va[8], vb[8], vl[8];
    for (int v = 0; v < vectors; v++) {
        va[v] = _mm512_loadu_si512((const __m512i *)a + v);
        vb[v] = _mm512_loadu_si512((const __m512i *)b + v);
        vl[v] = _mm512_loadu_si512((const __m512i *)least + v);
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        const __m512i h = _mm512_set1_epi32((int)hashes[i]);
        for (int v = 0; v < vectors; v++)
            vl[v] = _mm512_min_epu32(vl[v], _mm512_add_epi32(_mm512_mullo_epi32(va[v], h), vb[v]));
    }
    for (int v = 0; v < vectors; v++) _mm512_storeu_si512((__m512i *)least + v, vl[v]);
}
TARGET_AVX512 static void permute_avx512(uint32_t *hashes, Py_ssize_t n, const uint32_t *a, const uint32_t *b, uint32_t *least,
                                  Py_ssize_t count) {
    premix(hashes, n);
    Py_ssize_t k = 0;
    for (; k + 128 <= count; k += 128) lower_avx512(8, hashes, n, a + k, b + k, least + k);
    for (; k < count; k += 16) lower_avx512(1, hashes, n, a + k, b + k, least + k);
}
#else
#define permute_avx2 NULL
#define permute_avx512 NULL
#endif

static permuter *const permuters[ALL_PATHS] = {permute_portable, permute_avx2, permute_avx512};

struct signer {
    Py_ssize_t given, count;     /* permutations; that, padded */
    uint32_t *a, *b, *least;
    permuter *call;
    int any;
    uint32_t hashes[WORDS_MAX];
};

static void free_signer(struct signer *s) {
    if (s == NULL) return;
    PyMem_Free(s->a);
    PyMem_Free(s);
}
static struct signer *new_signer(const Py_buffer *a, const Py_buffer *b, permuter *call) {
    if (a->len != b->len || a->len % 4 || a->len == 0) {
        PyErr_SetString(PyExc_ValueError, "a and b have a uint32 a permutation each");
        return NULL;
    }
    struct signer *s = PyMem_Calloc(1, sizeof *s);
    if (s == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    s->given = a->len / 4;
    s->count = (s->given + LANES - 1) / LANES * LANES;
    s->call = call;
    s->a = PyMem_Calloc(3 * (size_t)s->count, sizeof *s->a);
    if (s->a == NULL) {
        free_signer(s);
        PyErr_NoMemory();
        return NULL;
    }
    s->b = s->a + s->count;
    s->least = s->b + s->count;
    memcpy(s->a, a->buf, (size_t)a->len);
    memcpy(s->b, b->buf, (size_t)b->len);
    return s;
}
static void begin_signature(struct signer *s) {
    memset(s->least, 0xFF, (size_t)s->count * sizeof *s->least);
    s->any = 0;
}
static int lower_by_shingles(void *context, const uint64_t *hashes, Py_ssize_t n) {
    struct signer *s = context;
    for (Py_ssize_t i = 0; i < n; i++) s->hashes[i] = (uint32_t)(hashes[i] >> 32);
    s->call(s->hashes, n, s->a, s->b, s->least, s->count);
    s->any = 1;
    return 1;
}

static PyObject *signatures(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *texts, *all = NULL; /* a tuple: a list might change while the GIL is free */
    Py_ssize_t ngram;
    Py_buffer a, b, out, has;
    if (!PyArg_ParseTuple(args, "Ony*y*w*w*:signatures", &texts, &ngram, &a, &b, &out, &has)) return NULL;
    struct reader *r = new_reader(ngram);
    struct signer *s = r == NULL ? NULL : new_signer(&a, &b, permuters[best_path()]);
    int done = 0;
    if (s == NULL) goto end;
    all = PySequence_Tuple(texts);
    if (all == NULL) goto end;
    const Py_ssize_t n = PyTuple_GET_SIZE(all);
    if (has.len != n || out.len / 4 / s->given != n || out.len % (4 * s->given)) {
        PyErr_SetString(PyExc_ValueError, "out and has do not fit the texts");
        goto end;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        begin_signature(s);
        if (!read_text(r, PyTuple_GET_ITEM(all, i), "signatures", lower_by_shingles, s)) goto end;
        uint8_t *row = (uint8_t *)out.buf + i * 4 * s->given;
        if (s->any)
            memcpy(row, s->least, 4 * (size_t)s->given);
        else
            memset(row, 0, 4 * (size_t)s->given);
        ((uint8_t *)has.buf)[i] = (uint8_t)s->any;
    }
    done = 1;
end:
    Py_XDECREF(all);
    free_signer(s);
    free_reader(r);
    PyBuffer_Release(&a);
    PyBuffer_Release(&b);
    PyBuffer_Release(&out);
    PyBuffer_Release(&has);
    if (!done) return NULL;
    Py_RETURN_NONE;
}

static PyObject *sign(PyObject *module, PyObject *args) {
    (void)module;
    Py_buffer hashes, a, b, out;
    PyObject *name;
    if (!PyArg_ParseTuple(args, "y*y*y*w*O:sign", &hashes, &a, &b, &out, &name)) return NULL;
    const int path = path_of(name);
    permuter *const call = path < 0 ? NULL : permuters[path];
    struct signer *s = NULL;
    int done = 0;
    if (call != NULL && (out.len != a.len || hashes.len % 4))
        PyErr_SetString(PyExc_ValueError, "sign(): its arrays do not fit each other");
    else if (call != NULL)
        s = new_signer(&a, &b, call);
    if (s != NULL) {
        begin_signature(s);
        for (Py_ssize_t from = 0, n; from < hashes.len / 4; from += n) {
            n = Py_MIN(hashes.len / 4 - from, PIECE);
            memcpy(s->hashes, (const uint8_t *)hashes.buf + 4 * from, 4 * (size_t)n);
            call(s->hashes, n, s->a, s->b, s->least, s->count);
        }
        memcpy(out.buf, s->least, (size_t)out.len);
        done = 1;
    }
    free_signer(s);
    PyBuffer_Release(&hashes);
    PyBuffer_Release(&a);
    PyBuffer_Release(&b);
    PyBuffer_Release(&out);
    if (!done) return NULL;
    Py_RETURN_NONE;
}

/* ------------------------------------------------------------------------------------------- shingles, bands */

struct gathered { uint64_t *hashes; size_t n, room; };

static int gather(void *context, const uint64_t *hashes, Py_ssize_t n) {
    struct gathered *g = context;
    if (g->room - g->n < (size_t)n) {
        const size_t room = 2 * g->room + (size_t)n;
        uint64_t *more = PyMem_RawRealloc(g->hashes, room * sizeof *more);
        if (more == NULL) return 0;
        g->hashes = more;
        g->room = room;
    }
    memcpy(g->hashes + g->n, hashes, (size_t)n * sizeof *hashes);
    g->n += (size_t)n;
    return 1;
}

static PyObject *shingles(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *text, *out = NULL;
    Py_ssize_t ngram;
    if (!PyArg_ParseTuple(args, "On:shingles", &text, &ngram)) return NULL;
    struct reader *r = new_reader(ngram);
    if (r == NULL) return NULL;
    struct gathered g = {NULL, 0, 0};
    if (read_text(r, text, "shingles", gather, &g))
        out = PyBytes_FromStringAndSize((const char *)g.hashes, (Py_ssize_t)(g.n * sizeof *g.hashes));
    else if (!PyErr_Occurred())
        PyErr_NoMemory();
    PyMem_RawFree(g.hashes);
    free_reader(r);
    return out;
}

static PyObject *band_keys(PyObject *module, PyObject *args) {
    (void)module;
    Py_buffer rows, out;
    Py_ssize_t permutations, bands, width;
    if (!PyArg_ParseTuple(args, "y*nnnw*:band_keys", &rows, &permutations, &bands, &width, &out)) return NULL;
    const int fits = permutations > 0 && permutations <= PY_SSIZE_T_MAX / 8 && bands > 0 && width > 0 &&
                     bands <= permutations / width && rows.len % (4 * permutations) == 0 && out.len / 8 / bands == rows.len / 4 / permutations &&
                     out.len % (8 * bands) == 0;
    if (!fits) PyErr_SetString(PyExc_ValueError, "band_keys(): its arrays and numbers do not fit each other");
    uint8_t *to = out.buf;
    for (const uint8_t *row = rows.buf, *end = row + rows.len; fits && row < end; row += 4 * permutations) {
        const uint8_t *from = row;
        for (Py_ssize_t band = 0; band < bands; band++, to += 8) {
            uint64_t key = mix((uint64_t)band + 1);
            for (Py_ssize_t i = 0; i < width; i++, from += 4) {
                uint32_t value;
                memcpy(&value, from, 4);
                key = fold(key ^ value, WORD_HIGH) + WORD_LOW;
            }
            key = mix(key);
            memcpy(to, &key, 8);
        }
    }
    PyBuffer_Release(&rows);
    PyBuffer_Release(&out);
    if (!fits) return NULL;
    Py_RETURN_NONE;
}

/* ------------------------------------------------------------------------------------------- RedPajama-V2 */

#define PRIME (((uint64_t)1 << 61) - 1)

/* ((a * h + b) mod 2^64 mod (2^61 - 1)) mod 2^32: the product wraps around first, as published (filters/minhash_v2.py). */
static void permute_v2(const uint8_t *hashes, Py_ssize_t n, const uint8_t *a, const uint8_t *b, uint8_t *out, Py_ssize_t count) {
    for (Py_ssize_t p = 0; p < count; p++) {
        uint64_t factor, summand;
        uint32_t least = UINT32_MAX;
        memcpy(&factor, a + 8 * p, 8);
        memcpy(&summand, b + 8 * p, 8);
        for (Py_ssize_t i = 0; i < n; i++) {
            uint32_t hash;
            memcpy(&hash, hashes + 4 * i, 4);
            uint64_t value = factor * hash + summand;
            value = (value & PRIME) + (value >> 61); /* mod the prime, but for the prime itself and up to 6 above */
            const uint32_t low = (uint32_t)(value >= PRIME ? value - PRIME : value);
            if (low < least) least = low;
        }
        memcpy(out + 4 * p, &least, 4);
    }
}

static PyObject *sign_v2(PyObject *module, PyObject *args) {
    (void)module;
    Py_buffer hashes, a, b, out;
    if (!PyArg_ParseTuple(args, "y*y*y*w*:sign_v2", &hashes, &a, &b, &out)) return NULL;
    const Py_ssize_t n = hashes.len / 4, count = a.len / 8;
    const int fits = hashes.len % 4 == 0 && a.len % 8 == 0 && b.len == a.len && out.len == 4 * count;
    if (!fits)
        PyErr_SetString(PyExc_ValueError, "sign_v2(): its arrays do not fit each other");
    else
        WITHOUT_GIL(n >= GIL_LENGTH, permute_v2(hashes.buf, n, a.buf, b.buf, out.buf, count));
    PyBuffer_Release(&hashes);
    PyBuffer_Release(&a);
    PyBuffer_Release(&b);
    PyBuffer_Release(&out);
    if (!fits) return NULL;
    Py_RETURN_NONE;
}

/* ------------------------------------------------------------------------------------------- n-grams of other texts */

/* A sieve is 64-bit words, a power of two of them; a hash has two bits in the one that its top bits name. filters/ngrams.py
   makes it. What passes: text, shingle of it, hash. */
struct sieve {
    const uint64_t *words;
    int shift;
    uint64_t text, shingle;
    struct gathered found;
};

static int sift(void *context, const uint64_t *hashes, Py_ssize_t n) {
    struct sieve *s = context;
    for (Py_ssize_t i = 0; i < n; i++) {
        const uint64_t hash = hashes[i], bits = (uint64_t)1 << (hash & 63) | (uint64_t)1 << (hash >> 6 & 63);
        if (LIKELY((s->words[hash >> s->shift] & bits) != bits)) continue;
        const uint64_t row[3] = {s->text, s->shingle + (uint64_t)i, hash};
        if (!gather(&s->found, row, 3)) return 0;
    }
    s->shingle += (uint64_t)n;
    return 1;
}

static PyObject *sifted(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *texts, *all = NULL, *out = NULL;
    Py_ssize_t ngram;
    Py_buffer words;
    if (!PyArg_ParseTuple(args, "Ony*:sifted", &texts, &ngram, &words)) return NULL;
    struct reader *r = new_reader(ngram);
    struct sieve s = {words.buf, 64, 0, 0, {NULL, 0, 0}};
    const Py_ssize_t size = words.len / 8;
    if (r == NULL) goto end;
    if (size < 2 || size & (size - 1) || words.len % 8 || (uintptr_t)words.buf % 8) {
        PyErr_SetString(PyExc_ValueError, "a sieve has a power of two of uint64, 2 or more");
        goto end;
    }
    for (Py_ssize_t left = size; left > 1; left >>= 1) s.shift--;
    all = PySequence_Tuple(texts);
    if (all == NULL) goto end;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(all); i++) {
        s.text = (uint64_t)i;
        s.shingle = 0;
        if (!read_text(r, PyTuple_GET_ITEM(all, i), "sifted", sift, &s)) {
            if (!PyErr_Occurred()) PyErr_NoMemory();
            goto end;
        }
    }
    out = PyBytes_FromStringAndSize((const char *)s.found.hashes, (Py_ssize_t)(s.found.n * sizeof *s.found.hashes));
end:
    Py_XDECREF(all);
    PyMem_RawFree(s.found.hashes);
    free_reader(r);
    PyBuffer_Release(&words);
    return out;
}

struct spelling { uint8_t *bytes, *buffer; size_t n, room; };

INLINE int spell_all(int kind, const void *data, Py_ssize_t length, struct spelling *s) {
    uint8_t *const spelt = s->buffer + 1;
    int alone = 0;
    for (Py_ssize_t from = 0; from < length; from += PIECE) {
        s->buffer[0] = s->n ? s->bytes[s->n - 1] : 0; /* what a mark at the start belongs to */
        const uint8_t *end = spell(kind, data, from, length - from > PIECE ? from + PIECE : length, spelt, &alone);
        const size_t size = (size_t)(end - spelt);
        if (s->room - s->n < size + 1) { /* one for the zero byte after the last word */
            const size_t room = 2 * s->room + size + 1;
            uint8_t *more = PyMem_RawRealloc(s->bytes, room);
            if (more == NULL) return 0;
            s->bytes = more;
            s->room = room;
        }
        for (const uint8_t *at = spelt; at < end; at++) /* one zero byte between words, none before the first */
            if (*at || (s->n && s->bytes[s->n - 1])) s->bytes[s->n++] = *at;
    }
    if (s->n && s->bytes[s->n - 1]) s->bytes[s->n++] = 0;
    return 1;
}

static PyObject *words_of(PyObject *module, PyObject *text) {
    (void)module;
    if (!is_text(text, "words")) return NULL;
    if (!prepared) {
        PyErr_SetString(PyExc_RuntimeError, "prepare() comes first");
        return NULL;
    }
    const void *data = PyUnicode_DATA(text);
    const Py_ssize_t length = PyUnicode_GET_LENGTH(text);
    struct spelling s = {NULL, PyMem_RawMalloc(1 + SPELT + AHEAD), 0, 0};
    int done = 0;
    if (s.buffer != NULL) WITHOUT_GIL(length >= GIL_LENGTH, BY_KIND(text, done = spell_all(kind, data, length, &s)));
    PyObject *out = done ? PyBytes_FromStringAndSize((const char *)s.bytes, (Py_ssize_t)s.n) : PyErr_NoMemory();
    PyMem_RawFree(s.bytes);
    PyMem_RawFree(s.buffer);
    return out;
}

/* ------------------------------------------------------------------------------------------- module */

static PyMethodDef functions[] = {
    {"prepare", prepare, METH_O, "Take the class of each of the first 0x20000 code points."},
    {"signatures", signatures, METH_VARARGS, "Write the signature of each text, and whether it has a shingle."},
    {"sign", sign, METH_VARARGS, "Write the signature of 32-bit hashes, computed by one of PATHS."},
    {"shingles", shingles, METH_VARARGS, "The 64-bit shingle hashes of a text, in its order: 8 bytes each."},
    {"sifted", sifted, METH_VARARGS, "The shingles of texts that pass a sieve: text, shingle, hash as 8 bytes each."},
    {"words", words_of, METH_O, "The words of a text in lower-case UTF-8, a zero byte after each."},
    {"band_keys", band_keys, METH_VARARGS, "Write a 64-bit key of each band of each signature."},
    {"sign_v2", sign_v2, METH_VARARGS, "Write the signature of 32-bit hashes with RedPajama-V2's permutations."},
    {NULL, NULL, 0, NULL},
};
static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_minhash", "MinHash signatures of texts, in C.", -1, functions, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__minhash(void) {
    for (int size = 0; size <= BLOCK; size++)
        for (int half = 0; half < 2; half++) {
            const int bytes = size - 8 * half;
            keep[size][half] = bytes >= 8 ? UINT64_MAX : bytes > 0 ? ((uint64_t)1 << 8 * bytes) - 1 : 0;
        }
    PyObject *module = with_paths(PyModule_Create(&definition));
    if (module != NULL && PyModule_AddIntMacro(module, NGRAM_MAX) < 0) Py_CLEAR(module);
    return module;
}
