/* The inner loops that Python is too slow for. Each equals a plain Python reading, for every code point:

     text_stats(text)   lines, longest line, alphanumeric and alphabetic characters
     simhash64(text)    the 64-bit SimHash of the published books step
     line_hashes(text)  the 64-bit CCNet hash of every line
     window_hashes(words, n)  32 bits of the SHA-1 of every n words in a row

   What a character is (alphanumeric, lower case, ...) is asked of the running Python, once, for the table below.
   tests/test_native.py states the plain readings and compares them over all of Unicode.

     use(path)          take one of PATHS (the fastest last, which is taken at first): for tests, all give the same */

#include "_text.h"

/* ------------------------------------------------------------------------------------------- characters */

enum { ALNUM = 1, ALPHA = 2, BREAK = 4, SPACE = 8 };

#define CAPITAL_I_DOT 0x130 /* the one character whose lower case is two: "i" and U+0307 */

static uint8_t flags_table[BMP];
static uint16_t word_table[BMP]; /* the lower-case character if it is \w, else 0 */
static uint16_t norm_table[BMP]; /* the character of the CCNet line normalisation, 0 where it is deleted */

/* CCNet's 34 punctuation marks without U+FF11: a digit, it is a 0 before marks are deleted. Controls: norm_slow. */
static const uint16_t DELETED[] = {
    0x00AB, 0x00B4, 0x00BB, 0x2013, 0x2014, 0x2019, 0x201C, 0x201D, 0x201E, 0x2026, 0x2236, 0x2501,
    0x25BA, 0x3001, 0x3002, 0x3008, 0x3009, 0x300A, 0x300B, 0x300C, 0x300D, 0x3010, 0x3011, 0xFF01,
    0xFF05, 0xFF08, 0xFF09, 0xFF0C, 0xFF0E, 0xFF1A, 0xFF1B, 0xFF1F, 0xFF5E};

static int flags_slow(Py_UCS4 c) {
    return (Py_UNICODE_ISALNUM(c) ? ALNUM : 0) | (Py_UNICODE_ISALPHA(c) ? ALPHA : 0) |
           (Py_UNICODE_ISLINEBREAK(c) ? BREAK : 0) | (Py_UNICODE_ISSPACE(c) ? SPACE : 0);
}
static Py_UCS4 word_slow(Py_UCS4 c) {
    c = Py_UNICODE_TOLOWER(c);
    return Py_UNICODE_ISALNUM(c) || c == '_' ? c : 0;
}
static Py_UCS4 norm_slow(Py_UCS4 c) {
    if (c < 0x20 || (c >= 0x7F && c < 0xA0)) return 0;
    c = Py_UNICODE_TOLOWER(c);
    return Py_UNICODE_ISDECIMAL(c) ? '0' : c;
}
static void fill_tables(void) {
    for (Py_UCS4 c = 0; c < BMP; c++) {
        flags_table[c] = (uint8_t)flags_slow(c);
        word_table[c] = (uint16_t)word_slow(c);
        norm_table[c] = (uint16_t)norm_slow(c);
    }
    for (size_t i = 0; i < sizeof DELETED / sizeof *DELETED; i++) norm_table[DELETED[i]] = 0;
}
INLINE int flags_of(Py_UCS4 c) { return LIKELY(c < BMP) ? flags_table[c] : flags_slow(c); }
INLINE Py_UCS4 word_of(Py_UCS4 c) { return LIKELY(c < BMP) ? word_table[c] : word_slow(c); }
INLINE Py_UCS4 norm_of(Py_UCS4 c) { return LIKELY(c < BMP) ? norm_table[c] : norm_slow(c); }

/* UTF-8 of c; nothing for c == 0. Branch-free where it matters: ASCII and "deleted". Writes a byte in any case. */
INLINE uint8_t *put_kept(uint8_t *out, Py_UCS4 c) {
    if (LIKELY(c < 0x80)) {
        *out = (uint8_t)c;
        return out + (c != 0);
    }
    return put_utf8(out, c);
}

/* ------------------------------------------------------------------------------------------- text_stats */

struct stats { Py_ssize_t lines, longest, alnum, alpha; };

INLINE void count(int kind, const void *data, Py_ssize_t length, struct stats *out) {
    Py_ssize_t start = 0, alnum = 0, alpha = 0;
    for (Py_ssize_t i = 0; i < length; i++) {
        const Py_UCS4 c = PyUnicode_READ(kind, data, i);
        const int flags = flags_of(c);
        alnum += flags & ALNUM;
        alpha += (flags & ALPHA) / ALPHA;
        if (UNLIKELY(flags & BREAK)) {
            if (i - start > out->longest) out->longest = i - start;
            if (c == '\r' && i + 1 < length && PyUnicode_READ(kind, data, i + 1) == '\n') i++;
            start = i + 1;
            out->lines++;
        }
    }
    if (start < length) {
        if (length - start > out->longest) out->longest = length - start;
        out->lines++;
    }
    out->alnum = alnum;
    out->alpha = alpha;
}

static PyObject *text_stats(PyObject *module, PyObject *text) {
    (void)module;
    if (!is_text(text, "text_stats")) return NULL;
    struct stats s = {0, 0, 0, 0};
    const Py_ssize_t length = PyUnicode_GET_LENGTH(text);
    WITHOUT_GIL(length >= GIL_LENGTH, BY_KIND(text, count(kind, PyUnicode_DATA(text), length, &s)));
    return Py_BuildValue("(nnnn)", s.lines, s.longest, s.alnum, s.alpha);
}

/* -------------------------------------------------------------------------------------------- simhash64 */

/* Features are all windows of 6 characters; a window is at most 24 bytes of UTF-8, so its MD5 is one block of which
   only words 0-6 and the length vary. 16 windows go through MD5 side by side in the lanes of a vector, two vectors at
   a time because one alone would wait for its own results. Of each digest, words 2 and 3 are the feature's 64 bits.

   How often each bit was set is counted in bit slices: plane[p] holds bit p of 16 x 32 counters, and sixteen new
   vectors go in with one carry-save adder tree, a few instructions each instead of 64 additions a window. */

#define WINDOW 6
#define LANES 16
#define STEP (2 * LANES)     /* windows through MD5 at once */
#define GROUP (8 * STEP)     /* windows for one adder tree: 16 vectors a word */
#define PLANES 16
#define GROUPS_MAX 4095      /* groups until a counter of PLANES bits could overflow: 16 * 4095 < 2**16 */
#define BATCH (16 * GROUP)   /* windows between two refills of the buffer */
#define WORDS 7              /* message words a window can reach: 24 bytes and the 0x80 after them */

typedef uint32_t vec __attribute__((vector_size(4 * LANES)));

struct simhash {
    vec plane[2][PLANES];
    uint64_t count[64];
    uint64_t windows;
    int groups;
    size_t chars, used;                       /* what is in the buffer */
    uint32_t start[BATCH + WINDOW + STEP];    /* where each character begins in it */
    uint8_t buffer[4 * (BATCH + WINDOW) + 64];
};

/* The last window of a full buffer begins BATCH - 1 characters in, and so do the unused lanes beside it at most. */
_Static_assert(BATCH % STEP == 0 && sizeof(((struct simhash *)0)->start) / sizeof(uint32_t) >= BATCH + WINDOW,
               "a step of windows looks at the starts of its characters and of the one after");
_Static_assert(sizeof(((struct simhash *)0)->buffer) >= 4 * (BATCH + WINDOW - 1) + 4 * WORDS,
               "a window is read in WORDS words, wherever it begins");
_Static_assert(16 * GROUPS_MAX < 1 << PLANES, "counters of PLANES bits");

#define F(b, c, d) ((d) ^ ((b) & ((c) ^ (d))))
#define G(b, c, d) ((c) ^ ((d) & ((b) ^ (c))))
#define H(b, c, d) ((b) ^ (c) ^ (d))
#define I(b, c, d) ((c) ^ ((b) | ~(d)))
#define ROUND(f, a, b, c, d, i, k, s)                                                  \
    for (int v = 0; v < 2; v++) {                                                      \
        a[v] += f(b[v], c[v], d[v]) + ((i) < words ? w[(i) % WORDS][v] + (k)           \
                                      : (i) == 14 ? w[WORDS][v] + (k) : zero + (k));   \
        a[v] = ROTATE(32, a[v], s) + b[v];                                                 \
    }
#define ROUNDS(f, i0, i1, i2, i3, k0, k1, k2, k3, s0, s1, s2, s3)                      \
    ROUND(f, a, b, c, d, i0, k0, s0) ROUND(f, d, a, b, c, i1, k1, s1)                  \
    ROUND(f, c, d, a, b, i2, k2, s2) ROUND(f, b, c, d, a, i3, k3, s3)

/* Words 2 and 3 of 32 MD5 digests. w[0..words) is the message, w[WORDS] its length in bits, all else is 0. */
INLINE void md5(const vec w[WORDS + 1][2], const int words, vec out_c[2], vec out_d[2]) {
    const vec zero = {0};
    vec a[2], b[2], c[2], d[2];
    for (int v = 0; v < 2; v++) {
        a[v] = zero + 0x67452301u; b[v] = zero + 0xEFCDAB89u; c[v] = zero + 0x98BADCFEu; d[v] = zero + 0x10325476u;
    }
    ROUNDS(F, 0, 1, 2, 3, 0xD76AA478u, 0xE8C7B756u, 0x242070DBu, 0xC1BDCEEEu, 7, 12, 17, 22)
    ROUNDS(F, 4, 5, 6, 7, 0xF57C0FAFu, 0x4787C62Au, 0xA8304613u, 0xFD469501u, 7, 12, 17, 22)
    ROUNDS(F, 8, 9, 10, 11, 0x698098D8u, 0x8B44F7AFu, 0xFFFF5BB1u, 0x895CD7BEu, 7, 12, 17, 22)
    ROUNDS(F, 12, 13, 14, 15, 0x6B901122u, 0xFD987193u, 0xA679438Eu, 0x49B40821u, 7, 12, 17, 22)
    ROUNDS(G, 1, 6, 11, 0, 0xF61E2562u, 0xC040B340u, 0x265E5A51u, 0xE9B6C7AAu, 5, 9, 14, 20)
    ROUNDS(G, 5, 10, 15, 4, 0xD62F105Du, 0x02441453u, 0xD8A1E681u, 0xE7D3FBC8u, 5, 9, 14, 20)
    ROUNDS(G, 9, 14, 3, 8, 0x21E1CDE6u, 0xC33707D6u, 0xF4D50D87u, 0x455A14EDu, 5, 9, 14, 20)
    ROUNDS(G, 13, 2, 7, 12, 0xA9E3E905u, 0xFCEFA3F8u, 0x676F02D9u, 0x8D2A4C8Au, 5, 9, 14, 20)
    ROUNDS(H, 5, 8, 11, 14, 0xFFFA3942u, 0x8771F681u, 0x6D9D6122u, 0xFDE5380Cu, 4, 11, 16, 23)
    ROUNDS(H, 1, 4, 7, 10, 0xA4BEEA44u, 0x4BDECFA9u, 0xF6BB4B60u, 0xBEBFBC70u, 4, 11, 16, 23)
    ROUNDS(H, 13, 0, 3, 6, 0x289B7EC6u, 0xEAA127FAu, 0xD4EF3085u, 0x04881D05u, 4, 11, 16, 23)
    ROUNDS(H, 9, 12, 15, 2, 0xD9D4D039u, 0xE6DB99E5u, 0x1FA27CF8u, 0xC4AC5665u, 4, 11, 16, 23)
    ROUNDS(I, 0, 7, 14, 5, 0xF4292244u, 0x432AFF97u, 0xAB9423A7u, 0xFC93A039u, 6, 10, 15, 21)
    ROUNDS(I, 12, 3, 10, 1, 0x655B59C3u, 0x8F0CCC92u, 0xFFEFF47Du, 0x85845DD1u, 6, 10, 15, 21)
    ROUNDS(I, 8, 15, 6, 13, 0x6FA87E4Fu, 0xFE2CE6E0u, 0xA3014314u, 0x4E0811A1u, 6, 10, 15, 21)
    ROUNDS(I, 4, 11, 2, 9, 0xF7537E82u, 0xBD3AF235u, 0x2AD7D2BBu, 0xEB86D391u, 6, 10, 15, 21)
    for (int v = 0; v < 2; v++) {
        out_c[v] = c[v] + 0x98BADCFEu;
        out_d[v] = d[v] + 0x10325476u;
    }
}

/* low, high = the two-bit sums of x + y + z */
#define ADD(high, low, x, y, z)                       \
    do {                                              \
        const vec half = (x) ^ (y);                   \
        high = ((x) & (y)) | (half & (z));            \
        low = half ^ (z);                             \
    } while (0)

INLINE void add_16(vec plane[PLANES], const vec in[16]) {
    vec carry[16];
    for (int i = 0; i < 16; i++) carry[i] = in[i];
    int p = 0;
    for (int n = 16; n > 1; n /= 2, p++)
        for (int i = 0; i < n / 2; i++) ADD(carry[i], plane[p], plane[p], carry[2 * i], carry[2 * i + 1]);
    vec up = carry[0];
    for (; p < PLANES; p++) {
        const vec next = plane[p] & up;
        plane[p] ^= up;
        up = next;
    }
}

/* The message words of STEP windows of 6 ASCII characters: 6 bytes, 0x80, zeros. */
INLINE void load_ascii(const uint8_t *text, vec w[WORDS + 1][2]) {
    uint32_t *out = (uint32_t *)w;
    for (int i = 0; i < STEP; i++) {
        out[i] = text[i] | (uint32_t)text[i + 1] << 8 | (uint32_t)text[i + 2] << 16 | (uint32_t)text[i + 3] << 24;
        out[STEP + i] = text[i + 4] | (uint32_t)text[i + 5] << 8 | 0x800000u;
        out[WORDS * STEP + i] = 8 * WINDOW;
    }
}

/* The same for windows of any characters that fit in `words` words, gathered one by one. */
INLINE void load_any(const uint8_t *text, const uint32_t *start, const int words, vec w[WORDS + 1][2]) {
    static const uint8_t mask[8 * WORDS] = {[0 ... 4 * WORDS - 1] = 0xFF};
    static const uint8_t mark[8 * WORDS] = {[4 * WORDS] = 0x80};
    uint32_t *out = (uint32_t *)w;
    for (int lane = 0; lane < STEP; lane++) {
        const uint32_t from = start[lane], bytes = start[lane + WINDOW] - from;
        for (int i = 0; i < words; i++) {
            uint32_t word, keep, end;
            memcpy(&word, text + from + 4 * i, 4);
            memcpy(&keep, mask + 4 * WORDS - bytes + 4 * i, 4);
            memcpy(&end, mark + 4 * WORDS - bytes + 4 * i, 4);
            out[i * STEP + lane] = (word & keep) | end;
        }
        out[WORDS * STEP + lane] = 8 * bytes;
    }
}

/* Add up to GROUP windows to the counters. */
INLINE void group_body(struct simhash *s, size_t first, size_t windows) {
    vec c[16], d[16], w[WORDS + 1][2];
    for (size_t step = 0; step < 8; step++) {
        const uint32_t *start = s->start + first + step * STEP;
        vec *to_c = c + 2 * step, *to_d = d + 2 * step;
        if (step * STEP >= windows) {
            memset(to_c, 0, 2 * sizeof(vec));
            memset(to_d, 0, 2 * sizeof(vec));
            continue;
        }
        const size_t reach = STEP + WINDOW - 1;
        if (first + step * STEP + reach <= s->chars && start[reach] - start[0] == reach) { /* a byte a character */
            load_ascii(s->buffer + start[0], w);
            md5((const vec(*)[2])w, 2, to_c, to_d);
        } else {
            uint32_t longest = 0;
            for (int lane = 0; lane < STEP; lane++) {
                const uint32_t bytes = start[lane + WINDOW] - start[lane];
                longest = bytes > longest ? bytes : longest;
            }
            if (longest < 12) { /* Latin script with its accents: 3 words hold it and the 0x80 */
                load_any(s->buffer, start, 3, w);
                md5((const vec(*)[2])w, 3, to_c, to_d);
            } else {
                load_any(s->buffer, start, WORDS, w);
                md5((const vec(*)[2])w, WORDS, to_c, to_d);
            }
        }
        for (size_t lane = windows - step * STEP; lane < STEP; lane++)
            ((uint32_t *)to_c)[lane] = ((uint32_t *)to_d)[lane] = 0;
    }
    add_16(s->plane[0], c);
    add_16(s->plane[1], d);
}

static void group_plain(struct simhash *s, size_t first, size_t windows) { group_body(s, first, windows); }
#if defined(RPJ_X86)
TARGET_AVX2
static void group_avx2(struct simhash *s, size_t first, size_t windows) { group_body(s, first, windows); }
TARGET_AVX512
static void group_avx512(struct simhash *s, size_t first, size_t windows) { group_body(s, first, windows); }
#else
#define group_avx2 NULL
#define group_avx512 NULL
#endif

static void (*const groups[ALL_PATHS])(struct simhash *, size_t, size_t) = {group_plain, group_avx2, group_avx512};
static void (*group)(struct simhash *, size_t, size_t) = group_plain;

/* Empty the planes into the 64 counters: bit i of digest word j (bytes 8-15 of the digest, big-endian). */
static void flush_planes(struct simhash *s) {
    for (int j = 0; j < 2; j++)
        for (int p = 0; p < PLANES; p++)
            for (int lane = 0; lane < LANES; lane++)
                for (uint32_t left = s->plane[j][p][lane]; left; left &= left - 1) {
                    const int i = __builtin_ctz(left);
                    s->count[(j ? 24 : 56) - i / 8 * 8 + i % 8] += (uint64_t)1 << p;
                }
    memset(s->plane, 0, sizeof s->plane);
    s->groups = 0;
}

/* Hash the first `windows` windows of the buffer; the 5 characters after them stay for the next batch. */
static void hash_windows(struct simhash *s, size_t windows) {
    for (size_t i = s->chars; i < s->chars + WINDOW + STEP && i < sizeof s->start / 4; i++)
        s->start[i] = (uint32_t)s->used;
    for (size_t first = 0; first < windows; first += GROUP) {
        group(s, first, windows - first < GROUP ? windows - first : GROUP);
        if (++s->groups == GROUPS_MAX) flush_planes(s);
    }
    s->windows += windows;
    const uint32_t from = s->start[windows];
    if (windows < s->chars) {
        for (size_t i = windows; i < s->chars; i++) s->start[i - windows] = s->start[i] - from;
        memmove(s->buffer, s->buffer + from, s->used - from);
        s->chars -= windows;
        s->used -= from;
    }
}

INLINE void feed(int kind, const void *data, Py_ssize_t from, Py_ssize_t to, struct simhash *s) {
    while (from < to) {
        const size_t room = BATCH + WINDOW - 1 - s->chars;
        const Py_ssize_t until = (size_t)(to - from) > room ? from + (Py_ssize_t)room : to;
        uint32_t *start = s->start + s->chars;
        uint8_t *const buffer = s->buffer, *end = buffer + s->used;
        for (; from < until; from++) {
            const Py_UCS4 c = word_of(PyUnicode_READ(kind, data, from));
            *start = (uint32_t)(end - buffer);
            end = put_kept(end, c);
            start += c != 0;
        }
        const size_t chars = s->chars = (size_t)(start - s->start);
        s->used = (size_t)(end - buffer);
        if (chars == BATCH + WINDOW - 1) hash_windows(s, BATCH);
    }
}

static PyObject *simhash64(PyObject *module, PyObject *text) {
    (void)module;
    if (!is_text(text, "simhash64")) return NULL;
    void *memory = PyMem_Calloc(1, sizeof(struct simhash) + sizeof(vec)); /* loops read beyond what they use */
    if (memory == NULL) return PyErr_NoMemory();
    struct simhash *s = (void *)(((uintptr_t)memory + sizeof(vec) - 1) / sizeof(vec) * sizeof(vec));

    /* In pieces that end after a newline, which no lower-casing rule looks across: memory does not grow with the text. */
    const Py_ssize_t length = PyUnicode_GET_LENGTH(text);
    const int kind_1 = PyUnicode_KIND(text) == PyUnicode_1BYTE_KIND, is_long = length >= GIL_LENGTH;
    for (Py_ssize_t from = 0, to; from < length; from = to) {
        Py_ssize_t sigma = -1;
        to = length;
        if (!kind_1) {
            const Py_ssize_t newline = length - from > 65536 ? PyUnicode_FindChar(text, '\n', from + 65536, length, 1) : -1;
            if (newline >= 0) to = newline + 1;
            sigma = PyUnicode_FindChar(text, CAPITAL_SIGMA, from, to, 1);
            if (newline == -2 || sigma == -2) goto failed;
        }
        if (sigma < 0) {
            WITHOUT_GIL(is_long, BY_KIND(text, feed(kind, PyUnicode_DATA(text), from, to, s)));
        } else {
            PyObject *low = lowered(PyUnicode_Substring(text, from, to));
            if (low == NULL) goto failed;
            WITHOUT_GIL(is_long, BY_KIND(low, feed(kind, PyUnicode_DATA(low), 0, PyUnicode_GET_LENGTH(low), s)));
            Py_DECREF(low);
        }
    }
    if (s->windows == 0 || s->chars >= WINDOW) /* a text shorter than a window is one feature */
        hash_windows(s, s->chars >= WINDOW ? s->chars - WINDOW + 1 : 1);
    flush_planes(s);
    uint64_t hash = 0;
    for (int i = 0; i < 64; i++) hash |= (uint64_t)(2 * s->count[i] > s->windows) << i;
    PyMem_Free(memory);
    return PyLong_FromUnsignedLongLong(hash);
failed:
    PyMem_Free(memory);
    return NULL;
}

/* ------------------------------------------------------------------------------------------ line_hashes */

#define SHA_BLOCK 64
#define LINE_PIECE 1024 /* characters normalised between two looks at the buffer */

struct sha1 {
    uint32_t h[5];
    uint64_t bytes; /* hashed so far, without those in the buffer */
    uint8_t buffer[SHA_BLOCK + 8 * LINE_PIECE];
};

/* A character has at most 4 bytes; a block begun before it, and after it the 0x80, the size and the rest of a block. */
_Static_assert(sizeof(((struct sha1 *)0)->buffer) >= SHA_BLOCK - 1 + 4 * LINE_PIECE + 9 + SHA_BLOCK - 1,
               "a piece of a line and its padding");

static void sha1_blocks_plain(uint32_t h[5], const uint8_t *block, size_t blocks) {
    for (; blocks; blocks--, block += SHA_BLOCK) {
        uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
        for (int i = 0; i < 16; i++) {
            memcpy(w + i, block + 4 * i, 4);
            w[i] = __builtin_bswap32(w[i]);
        }
        for (int i = 16; i < 80; i++) w[i] = ROTATE(32, w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
        for (int i = 0; i < 80; i++) {
            const uint32_t f = i < 20   ? F(b, c, d) + 0x5A827999u
                               : i < 40 ? H(b, c, d) + 0x6ED9EBA1u
                               : i < 60 ? ((b & c) | (d & (b | c))) + 0x8F1BBCDCu
                                        : H(b, c, d) + 0xCA62C1D6u;
            const uint32_t next = ROTATE(32, a, 5) + f + e + w[i];
            e = d; d = c; c = ROTATE(32, b, 30); b = a; a = next;
        }
        h[0] += a; h[1] += b; h[2] += c; h[3] += d; h[4] += e;
    }
}
static void (*sha1_blocks)(uint32_t *, const uint8_t *, size_t) = sha1_blocks_plain;

#if defined(RPJ_X86)
/* Four rounds an instruction: w0 are the four message words in use, w1..w3 those before them, oldest first. */
#define SHA_4(i, w0, w1, w2, w3)                                                                 \
    if ((i) >= 4) w0 = _mm_sha1msg2_epu32(_mm_xor_si128(_mm_sha1msg1_epu32(w0, w1), w2), w3);    \
    e = (i) ? _mm_sha1nexte_epu32(e, w0) : _mm_add_epi32(e, w0);                                 \
    last = abcd;                                                                                 \
    abcd = _mm_sha1rnds4_epu32(abcd, e, (i) / 5);                                                \
    e = last;
#define SHA_16(i) SHA_4(i, m0, m1, m2, m3) SHA_4(i + 1, m1, m2, m3, m0) SHA_4(i + 2, m2, m3, m0, m1) SHA_4(i + 3, m3, m0, m1, m2)

TARGET_SHA
static void sha1_blocks_ni(uint32_t h[5], const uint8_t *block, size_t blocks) {
    const __m128i reverse = _mm_set_epi64x(0x0001020304050607LL, 0x08090A0B0C0D0E0FLL);
    __m128i abcd = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)h), 0x1B), e = _mm_set_epi32((int)h[4], 0, 0, 0);
    for (; blocks; blocks--, block += SHA_BLOCK) {
        const __m128i abcd_0 = abcd, e_0 = e;
        __m128i last, m0, m1, m2, m3;
        m0 = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)block), reverse);
        m1 = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(block + 16)), reverse);
        m2 = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(block + 32)), reverse);
        m3 = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(block + 48)), reverse);
        SHA_16(0) SHA_16(4) SHA_16(8) SHA_16(12) SHA_16(16)
        e = _mm_sha1nexte_epu32(e, e_0);
        abcd = _mm_add_epi32(abcd, abcd_0);
    }
    _mm_storeu_si128((__m128i *)h, _mm_shuffle_epi32(abcd, 0x1B));
    h[4] = (uint32_t)_mm_extract_epi32(e, 3);
}
#else
#define sha1_blocks_ni sha1_blocks_plain
#endif

/* Hash the whole blocks of the buffer, which holds `held` bytes; returns what is left in it. */
static size_t sha1_drain(struct sha1 *sha, size_t held) {
    const size_t whole = held / SHA_BLOCK * SHA_BLOCK;
    if (whole) {
        sha1_blocks(sha->h, sha->buffer, whole / SHA_BLOCK);
        memmove(sha->buffer, sha->buffer + whole, held - whole);
        sha->bytes += whole;
    }
    return held - whole;
}

static const uint32_t SHA_INITIAL[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};

/* Hash the last `held` bytes, less than the buffer holds with a block more, and what pads them. */
static void sha1_end(struct sha1 *sha, size_t held) {
    const uint64_t bits = __builtin_bswap64(8 * (sha->bytes + held));
    const size_t padded = (held + 9 + SHA_BLOCK - 1) / SHA_BLOCK * SHA_BLOCK;
    sha->buffer[held] = 0x80;
    memset(sha->buffer + held + 1, 0, padded - held - 9);
    memcpy(sha->buffer + padded - 8, &bits, 8);
    sha1_blocks(sha->h, sha->buffer, padded / SHA_BLOCK);
}

/* SHA-1 of the normalised characters [from, to), its first 8 bytes to `out`. False at a lone surrogate. */
INLINE int hash_stripped(int kind, const void *data, Py_ssize_t from, Py_ssize_t to, uint8_t *out, struct sha1 *sha) {
    memcpy(sha->h, SHA_INITIAL, sizeof SHA_INITIAL);
    sha->bytes = 0;
    size_t held = 0;
    while (from < to) {
        const Py_ssize_t until = to - from > LINE_PIECE ? from + LINE_PIECE : to;
        uint8_t *end = sha->buffer + held;
        for (; from < until; from++) {
            const Py_UCS4 raw = PyUnicode_READ(kind, data, from);
            end = put_kept(end, norm_of(raw));
            if (kind != PyUnicode_1BYTE_KIND && UNLIKELY(raw == CAPITAL_I_DOT)) end = put_utf8(end, 0x307);
            if (kind != PyUnicode_1BYTE_KIND && UNLIKELY((raw & ~0x7FFu) == 0xD800)) return 0;
        }
        held = (size_t)(end - sha->buffer);
        if (from < to) held = sha1_drain(sha, held);
    }
    sha1_end(sha, held);
    for (int i = 0; i < 2; i++) {
        const uint32_t word = __builtin_bswap32(sha->h[i]);
        memcpy(out + 4 * i, &word, 4);
    }
    return 1;
}

/* The hash of the line [from, to), which has a capital sigma. -1 with an exception set, else as hash_stripped. */
INLINE int hash_lowered(PyObject *text, Py_ssize_t from, Py_ssize_t to, uint8_t *out, struct sha1 *sha) {
    PyObject *low = lowered(PyUnicode_Substring(text, from, to));
    if (low == NULL) return -1;
    int whole;
    BY_KIND(low, whole = hash_stripped(kind, PyUnicode_DATA(low), 0, PyUnicode_GET_LENGTH(low), out, sha));
    Py_DECREF(low);
    return whole;
}

/* Hashes of all lines to `out`. If `sigmas`, lines with a capital sigma go through str.lower. 1; or -1 with an exception
   set; or 0 at a line with a lone surrogate, which is bad[0]..bad[1] then. */
INLINE int hash_lines(int kind, PyObject *text, int sigmas, uint8_t *out, struct sha1 *sha, Py_ssize_t bad[2]) {
    const void *data = PyUnicode_DATA(text);
    const Py_ssize_t length = PyUnicode_GET_LENGTH(text);
    for (Py_ssize_t from = 0, end; from <= length; from = end + 1, out += 8) {
        end = find_char(kind, data, '\n', from, length);
        if (end < 0) end = length;
        Py_ssize_t to = end;
        while (from < to && flags_of(PyUnicode_READ(kind, data, from)) & SPACE) from++;
        while (from < to && flags_of(PyUnicode_READ(kind, data, to - 1)) & SPACE) to--;
        const int whole = UNLIKELY(sigmas) && find_char(kind, data, CAPITAL_SIGMA, from, to) >= 0
                              ? hash_lowered(text, from, to, out, sha)
                              : hash_stripped(kind, data, from, to, out, sha);
        if (whole <= 0) {
            bad[0] = from;
            bad[1] = to;
            return whole;
        }
    }
    return 1;
}

INLINE Py_ssize_t count_newlines(int kind, const void *data, Py_ssize_t length) {
    Py_ssize_t newlines = 0;
    for (Py_ssize_t i = 0; i < length; i++) newlines += PyUnicode_READ(kind, data, i) == '\n';
    return newlines;
}

static PyObject *line_hashes(PyObject *module, PyObject *text) {
    (void)module;
    if (!is_text(text, "line_hashes")) return NULL;
    const void *data = PyUnicode_DATA(text);
    const Py_ssize_t length = PyUnicode_GET_LENGTH(text);
    Py_ssize_t lines = 1, bad[2];
    int sigmas = 0, done;
    BY_KIND(text, lines += count_newlines(kind, data, length);
            sigmas = kind != PyUnicode_1BYTE_KIND && find_char(kind, data, CAPITAL_SIGMA, 0, length) >= 0);
    PyObject *out = PyBytes_FromStringAndSize(NULL, 8 * lines);
    if (out == NULL) return NULL;
    uint8_t *const to = (uint8_t *)PyBytes_AS_STRING(out);
    struct sha1 sha;
    /* str.lower needs the GIL: to take it line by line would cost more than it gives */
    WITHOUT_GIL(length >= GIL_LENGTH && !sigmas, BY_KIND(text, done = hash_lines(kind, text, sigmas, to, &sha, bad)));
    if (done > 0) return out;
    Py_DECREF(out);
    if (done == 0) { /* the line has no UTF-8: the encoder says so */
        PyObject *line = PyUnicode_Substring(text, bad[0], bad[1]);
        PyObject *encoded = line == NULL ? NULL : PyUnicode_AsUTF8String(line);
        Py_XDECREF(line);
        Py_XDECREF(encoded);
    }
    return NULL;
}

/* ------------------------------------------------------------------------------------------ window_hashes */

/* Hashes of all `n` words in a row to `out`; words are parted by one blank, and there are `n` at least. */
static void hash_word_windows(const uint8_t *from, const uint8_t *const last, Py_ssize_t n, uint8_t *out) {
    struct sha1 sha;
    const uint8_t *end = from - 1; /* of the last word of a window */
    for (Py_ssize_t i = 0; i < n; i++) {
        const uint8_t *const blank = memchr(end + 1, ' ', (size_t)(last - (end + 1)));
        end = blank != NULL ? blank : last;
    }
    for (;; out += 4) {
        const size_t size = (size_t)(end - from), whole = size / SHA_BLOCK * SHA_BLOCK;
        memcpy(sha.h, SHA_INITIAL, sizeof SHA_INITIAL);
        sha1_blocks(sha.h, from, whole / SHA_BLOCK);
        sha.bytes = whole;
        memcpy(sha.buffer, from + whole, size - whole);
        sha1_end(&sha, size - whole);
        const uint32_t first = __builtin_bswap32(sha.h[0]);
        memcpy(out, &first, 4);
        if (end == last) return;
        from = (const uint8_t *)memchr(from, ' ', (size_t)(last - from)) + 1; /* a window has a blank behind it */
        const uint8_t *const blank = memchr(end + 1, ' ', (size_t)(last - (end + 1)));
        end = blank != NULL ? blank : last;
    }
}

static PyObject *window_hashes(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *words;
    Py_ssize_t n, count = 1;
    if (!PyArg_ParseTuple(args, "Sn:window_hashes", &words, &n)) return NULL;
    const uint8_t *const from = (const uint8_t *)PyBytes_AS_STRING(words), *const last = from + PyBytes_GET_SIZE(words);
    for (const uint8_t *at = from; at < last; at++) count += *at == ' ';
    if (n < 1) {
        PyErr_Format(PyExc_ValueError, "window_hashes(): a window has a word at least, not %zd", n);
        return NULL;
    }
    if (from == last || count < n) return PyBytes_FromStringAndSize(NULL, 0);
    PyObject *out = PyBytes_FromStringAndSize(NULL, 4 * (count - n + 1));
    if (out != NULL)
        WITHOUT_GIL(last - from >= GIL_LENGTH, hash_word_windows(from, last, n, (uint8_t *)PyBytes_AS_STRING(out)));
    return out;
}

/* ------------------------------------------------------------------------------------------------ module */

static void choose(enum path path) {
    group = groups[path];
    sha1_blocks = path > PORTABLE && has_sha() ? sha1_blocks_ni : sha1_blocks_plain;
}
static PyObject *use(PyObject *module, PyObject *name) {
    (void)module;
    const int path = path_of(name);
    if (path < 0) return NULL;
    choose((enum path)path);
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"text_stats", text_stats, METH_O,
     "(lines, longest line, alphanumeric, alphabetic): lines as str.splitlines() has them, all in characters."},
    {"simhash64", simhash64, METH_O,
     "64-bit SimHash of all 6-character windows of the lower-cased text's word characters (MD5, last 8 bytes)."},
    {"line_hashes", line_hashes, METH_O,
     "CCNet's hash of every line of a text split at newlines: 8 bytes a line, little-endian u64."},
    {"window_hashes", window_hashes, METH_VARARGS,
     "SHA-1 of every n words in a row, of words parted by a blank each: its first 4 bytes, u32 little-endian."},
    {"use", use, METH_O, "Take one of PATHS from now on."},
    {NULL, NULL, 0, NULL},
};
static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_native", "The inner loops of the filters, in C.", -1, functions, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__native(void) {
    fill_tables();
    choose(best_path());
    if (has_sha()) sha1_blocks = sha1_blocks_ni; /* without AVX2 too */
    return with_paths(PyModule_Create(&definition));
}
