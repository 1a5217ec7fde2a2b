/* Perplexity of a document in one pass: CCNet's normalisation, SentencePiece's unigram segmentation, KenLM's score.

   Model(...).measure(text) gives the log10 probability of a text's pieces and how many words they are, to the last bit
   what sentencepiece and kenlm give. filters/piece_model.py and filters/kenlm_file.py read the two files and state what
   each argument is. The stages, all on bytes of UTF-8:

     characters ─► normalised text ─► words, each from a "▁" to the next ─► pieces ─► scores

   What makes it faster than the libraries:
     - No list and no string a piece: what a piece is to KenLM is looked up when the model is loaded.
     - A word of the cache is not segmented again. SentencePiece adds up scores of pieces in single precision from the
       start of the text, and what it rounds depends on the sum so far: the same word may be cut otherwise far into a
       text. So a word is kept with the largest sum for which rounding cannot change the choice (see remember_word),
       and is cut anew beyond; ties are cut anew each time.
     - Pieces are scored in batches, so that what the next ones need of a model larger than the processor's caches is
       on its way.

   The KenLM file is mapped. It may be damaged: every number that is read from it and used as an index is compared with
   what there is, so that a damaged file gives an error or wrong numbers and nothing else. One that is cut short or
   written over in place while it is mapped ends the call in an error (see filters/_fasttext.c, which does the same). */

#include "_text.h"
#include <fcntl.h>
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#if FLT_EVAL_METHOD != 0 || defined(__FAST_MATH__)
#error "filters/_perplexity.c needs floats that are rounded after every operation (SSE2; no -ffast-math)"
#endif

#define ORDER_MAX 6            /* as the package kenlm is compiled */
#define LEVEL_NUMBERS 7        /* of an order of n-grams, see struct level */
#define BATCH 64               /* pieces found before the first is scored */
#define WORD_BYTES 32          /* of a word in the cache */
#define WORD_PIECES 6
#define SETS (1u << 15)        /* of two words, in the cache: 4 MB */
#define QUEUE 16               /* words found before the first is looked up */
#define AHEAD 8                /* pieces between the one that is scored and the one whose n-grams are fetched */
#define PAGE 256               /* characters of a page of glyphs */
#define PAGES (0x110000 / PAGE)
#define GLYPH_BYTES 15
#define CONTEXTUAL 0xFF        /* size of the glyph of a character that its neighbours change */
#define RULE_RESULTS 32        /* prefixes of a text that SentencePiece looks at for a rule of its normaliser */
#define USER_RESULTS 64        /* ... and for a user-defined piece */
#define UNKNOWN_PENALTY 10.0f  /* SentencePiece's score of an unknown character: so much below the lowest of a piece */
#define RESET 100000.0f        /* sum of scores at which SentencePiece (0.2.3) begins again from 0 */
#define NO_WORD UINT32_MAX

static const uint8_t SPACE[3] = {0xE2, 0x96, 0x81}; /* "▁" */

INLINE uint64_t load64(const void *from) { uint64_t x; memcpy(&x, from, sizeof x); return x; }
INLINE uint32_t load32(const void *from) { uint32_t x; memcpy(&x, from, sizeof x); return x; }
INLINE float float_of(uint32_t bits) { float x; memcpy(&x, &bits, sizeof x); return x; }
INLINE uint32_t bits_of(float x) { uint32_t bits; memcpy(&bits, &x, sizeof bits); return bits; }
INLINE float load_float(const void *from) { return float_of(load32(from)); }

/* ---------------------------------------------------------------------------------------------- the model */

/* A trie over bytes as a double array: the child of node n at byte b is cell n.base ^ b, if its parent is n. */
struct cell {
    uint32_t base, parent;
    uint32_t piece;            /* that ends here, or NO_PIECE */
    float score;
};
#define NO_PIECE UINT32_MAX
#define NO_PARENT UINT32_MAX

struct trie { struct cell *cells; uint32_t n; };

/* Its score, its number for KenLM, how many words str.split() sees in it, and where its text is. */
struct piece { float score; uint32_t word; uint16_t count, size; uint32_t at; };
#define PIECE_BYTES 255 /* the most of a piece: each is a level of recursion when the trie is built */

struct word {
    uint64_t key[WORD_BYTES / 8];   /* padded with zeros */
    uint8_t size, n;                /* size 0: empty */
    float limit;                    /* the sum of scores before the word must be nearer to 0 */
    uint32_t piece[WORD_PIECES];
};

/* What there is of an order of n-grams, in entries and bytes from the file's start. Tries only: where the table of its
   pointers' upper bits is (array), how many bits they have beside it, where the values of its quantised numbers are. */
struct level { uint64_t at, entries, array_at, array_entries, inline_bits, prob_at, backoff_at; };
_Static_assert(sizeof(struct level) == LEVEL_NUMBERS * sizeof(uint64_t), "as the reader packs it");

enum kind { PROBING, REST_PROBING, TRIE, QUANT_TRIE, ARRAY_TRIE, QUANT_ARRAY_TRIE }; /* as in the file */

/* How many of the last pieces count for the next one, and what it costs not to find an n-gram with 1, 2, ... of them. */
struct state { float backoff[ORDER_MAX]; int length; };

typedef struct {
    PyObject_HEAD
    /* segmentation */
    struct trie pieces, user_defined;
    struct piece *table;
    uint32_t n_pieces;
    Py_buffer text;                  /* of all pieces, one after the other */
    Py_buffer charsmap;              /* SentencePiece's compiled rules: units of a trie, then what they lead to */
    const uint8_t *rules, *results;
    uint32_t n_rules;
    size_t results_size;
    float unknown;
    int dummy_prefix, squeeze, by_word;
    uint8_t plain[256];              /* of a character of ASCII before another: LETTER or BLANK if no rule is for it */
    struct word *cache;
    PyObject *glyphs, *normalize;
    /* language model */
    Py_buffer file;
    int kind, order, prob_bits, backoff_bits;
    uint64_t vocabulary_at, vocabulary_entries;
    unsigned __int128 inverse[ORDER_MAX];
    uint32_t bound;                  /* words, <unk> included */
    int word_bits;
    struct level level[ORDER_MAX];
    uint32_t begin, end;             /* <s> and </s> */
    struct state start;
    /* the file it is in */
    int fd;
    long long file_size, file_time;
    PyObject *changed, *damaged;     /* tuples: exception and message */
    PyThread_type_lock busy;
} Model;

/* A word in the queue: its text, padded with zeros, and where it stands in the cache if it does. */
struct waiting { uint64_t key[WORD_BYTES / 8]; uint32_t set; uint8_t size; };

/* One text on its way through the model. */
struct run {
    Model *m;
    uint8_t *word;                   /* normalised bytes since the last word was cut */
    size_t size, room;
    uint8_t *unknown;                /* characters that are no piece, up to the next that is */
    size_t unknown_size, unknown_room;
    struct node *nodes;
    size_t nodes_room;
    uint64_t *path;
    size_t path_room;
    size_t bare;                     /* words of a "▁" alone held back: at the end of a text they go */
    struct waiting queue[QUEUE];
    int queued;
    float sum;                       /* of the scores of pieces before the first word of the queue */
    uint32_t ids[ORDER_MAX + BATCH]; /* those before the batch, then the batch */
    int n;
    struct state state;
    float total;
    int64_t pieces, count;
    int failed;                      /* NO_MEMORY or DAMAGED */
    PyObject *list;                  /* where pieces go instead of to KenLM, or NULL */
};
struct node { float score; int32_t start; uint32_t piece; };
enum { NO_MEMORY = 1, DAMAGED };
enum { LETTER = 1, BLANK };

NOINLINE int grow(struct run *r, void *block, size_t *room, size_t wanted, size_t item) {
    void **place = block;
    const size_t larger = wanted + wanted / 2 + 64;
    void *grown = larger > SIZE_MAX / 2 / item ? NULL : PyMem_RawRealloc(*place, larger * item);
    if (grown == NULL) {
        r->failed = NO_MEMORY;
        return 0;
    }
    *place = grown;
    *room = larger;
    return 1;
}

/* ------------------------------------------------------------------------------------------- KenLM: words */

/* MurmurHash64A of Austin Appleby, seed 0: the key of a word in KenLM's vocabulary. */
static uint64_t murmur(const uint8_t *text, size_t size) {
    const uint64_t m = 0xc6a4a7935bd1e995ULL;
    uint64_t h = size * m;
    for (; size >= 8; text += 8, size -= 8) {
        uint64_t k = load64(text) * m;
        k ^= k >> 47;
        h = (h ^ k * m) * m;
    }
    if (size > 0) {
        uint64_t k = 0;
        memcpy(&k, text, size);
        h = (h ^ k) * m;
    }
    h ^= h >> 47;
    h *= m;
    return h ^ h >> 47;
}

/* The inverse of a divisor, and the remainder by two multiplications; exact for 64 bits (Lemire et al., Faster remainder
   by direct computation). A division took a third of the time of a look-up. */
static unsigned __int128 inverse_of(uint64_t divisor) { return ~(unsigned __int128)0 / divisor + 1; }
INLINE uint64_t remainder_of(uint64_t x, unsigned __int128 inverse, uint64_t divisor) {
    const unsigned __int128 low = inverse * x;
    const unsigned __int128 carried = ((unsigned __int128)(uint64_t)low * divisor) >> 64;
    return (uint64_t)(((unsigned __int128)(uint64_t)(low >> 64) * divisor + carried) >> 64);
}

/* Where `key` is in a table of `entries` slots of `stride` bytes that begin with a key: linear probing from slot i, which
   is key modulo entries; an empty one is 0. NULL if it is not there; a table without an empty slot is damaged. */
INLINE const uint8_t *probe(const uint8_t *table, uint64_t entries, uint64_t i, size_t stride, uint64_t key, int *failed) {
    for (uint64_t looked = 0; looked < entries; looked++) {
        const uint8_t *slot = table + i * stride;
        const uint64_t found = load64(slot);
        if (found == key) return slot;
        if (found == 0) return NULL;
        if (++i == entries) i = 0;
    }
    *failed = DAMAGED;
    return NULL;
}

static uint32_t word_of(const Model *m, const uint8_t *text, size_t size, int *failed) {
    const uint64_t hash = murmur(text, size);
    const uint8_t *at = (const uint8_t *)m->file.buf + m->vocabulary_at;
    if (m->kind < TRIE) {
        const uint8_t *slot = probe(at, m->vocabulary_entries, hash % m->vocabulary_entries, 12, hash, failed);
        const uint32_t word = slot == NULL ? 0 : load32(slot + 8);
        if (word < m->bound) return word;
        *failed = DAMAGED;
        return 0;
    }
    uint64_t low = 0, high = m->vocabulary_entries;
    while (low < high) {
        const uint64_t middle = low + (high - low) / 2, found = load64(at + 8 * middle);
        if (found == hash) return (uint32_t)middle + 1; /* <unk> is 0, and not in the list */
        if (found < hash) low = middle + 1; else high = middle;
    }
    return 0;
}

/* ----------------------------------------------------------------------------------------- KenLM: n-grams */

struct range { uint64_t begin, end; };

INLINE uint64_t bits_at(const uint8_t *base, uint64_t bit, int width) {
    return load64(base + (bit >> 3)) >> (bit & 7) & ((1ULL << width) - 1);
}

INLINE int has_extension(float backoff) { return bits_of(backoff) != 0x80000000u; } /* any but -0.0 */

/* The n-grams that go on from entry `index` of a middle level: entries of the level above it. */
INLINE struct range next_range(const Model *m, const struct level *level, const uint8_t *base, uint64_t bit, int total,
                               uint64_t index, int *failed) {
    const int width = (int)level->inline_bits;
    struct range range = {bits_at(base, bit, width), bits_at(base, bit + (uint64_t)total, width)};
    if (level->array_entries > 0) {
        const uint8_t *array = (const uint8_t *)m->file.buf + level->array_at;
        uint64_t low = 0, high = level->array_entries; /* the last element that is <= index; the first is 0 */
        while (high - low > 1) {
            const uint64_t middle = low + (high - low) / 2;
            if (load64(array + 8 * middle) <= index) low = middle; else high = middle;
        }
        uint64_t last = low;
        while (last + 1 < level->array_entries && load64(array + 8 * (last + 1)) <= index + 1) last++;
        range.begin |= low << width;
        range.end |= last << width;
    }
    if (UNLIKELY(range.begin > range.end || range.end > level[1].entries)) {
        *failed = DAMAGED;
        range.begin = range.end = 0;
    }
    return range;
}

/* The entry of `word` in a sorted range of a trie's level, or UINT64_MAX. Words below it are at most `bound`. */
INLINE uint64_t find_in_range(const uint8_t *base, int word_bits, int total, struct range range, uint32_t word,
                              uint32_t bound) {
    uint64_t low = range.begin, high = range.end, low_word = 0, high_word = bound;
    for (int step = 0; high - low > 8; step++) { /* words are numbered by a hash, so they lie evenly */
        const double share = step < 8 ? (double)(word - low_word) / (double)(high_word - low_word + 1) : 0.5;
        uint64_t at = low + (uint64_t)(share * (double)(high - low));
        if (at >= high) at = high - 1;
        const uint64_t found = bits_at(base, at * (uint64_t)total, word_bits);
        if (found == word) return at;
        if (found < word) {
            low = at + 1;
            low_word = found;
        } else {
            high = at;
            high_word = found;
        }
    }
    for (; low < high; low++)
        if (bits_at(base, low * (uint64_t)total, word_bits) == word) return low;
    return UINT64_MAX;
}

/* The key of an n-gram that has one word more before it. KenLM adds 1 to a word in 32 bits. */
INLINE uint64_t longer(uint64_t key, uint32_t word) {
    return key * 8978948897894561157ULL ^ (uint64_t)(uint32_t)(1 + word) * 17894857484156487943ULL;
}

/* What follows gives the log10 probability of the last of some words after a state, which becomes that after the word.
   All as KenLM does it: the longest n-gram that is there, and the backoffs of the contexts that are longer, added in
   this order. */
/* Where an n-gram is looked for: the first FETCHED orders are found ahead, so that the memory is on its way. */
struct place { uint64_t key, slot; };
#define FETCHED 2

INLINE float advance_probing(const Model *m, struct state *state, const uint32_t *word, const struct place *places,
                             int *failed) {
    const uint8_t *const file = m->file.buf;
    const size_t rest = m->kind == REST_PROBING ? 4 : 0;
    const uint8_t *weights = file + m->level[0].at + *word * (8 + rest);
    uint32_t prob = load32(weights);
    float backoff[ORDER_MAX];
    int matched = 1, length;
    uint64_t node = 0;
    backoff[0] = load_float(weights + 4);
    length = has_extension(backoff[0]);
    for (int n = 1; n <= state->length && !(prob >> 31); n++) { /* the sign says whether anything goes on to the left */
        const struct level *level = &m->level[n];
        const int is_longest = n == m->order - 1;
        uint64_t slot;
        if (n <= FETCHED) {
            node = places[n - 1].key;
            slot = places[n - 1].slot;
        } else {
            node = longer(node, word[-n]);
            slot = remainder_of(node, m->inverse[n], level->entries);
        }
        const uint8_t *found = probe(file + level->at, level->entries, slot, is_longest ? 12 : 16 + rest, node, failed);
        if (found == NULL) break;
        prob = load32(found + 8);
        matched = n + 1;
        if (is_longest) break;
        backoff[n] = load_float(found + 12);
        if (has_extension(backoff[n])) length = matched;
    }
    /* the longest n-gram's number is as it is, those below have the sign for themselves */
    float score = matched == m->order ? float_of(prob) : float_of(prob | 0x80000000u);
    for (int i = matched - 1; i < state->length; i++) score += state->backoff[i];
    state->length = length;
    for (int i = 0; i < length; i++) state->backoff[i] = backoff[i];
    return score;
}

INLINE float advance_trie(const Model *m, struct state *state, const uint32_t *word, int *failed) {
    const uint8_t *const file = m->file.buf;
    const int quantised = m->kind == QUANT_TRIE || m->kind == QUANT_ARRAY_TRIE;
    const int middle_bits = quantised ? m->prob_bits + m->backoff_bits : 63, longest_bits = quantised ? m->prob_bits : 31;
    const uint8_t *entry = file + m->level[0].at + (uint64_t)*word * 16;
    struct range range = {load64(entry + 8), load64(entry + 24)};
    float prob = load_float(entry), backoff[ORDER_MAX];
    int matched = 1, length;
    backoff[0] = load_float(entry + 4);
    length = has_extension(backoff[0]);
    if (UNLIKELY(range.begin > range.end || range.end > m->level[1].entries)) {
        *failed = DAMAGED;
        range.begin = range.end = 0;
    }
    for (int n = 1; n <= state->length && range.begin != range.end; n++) {
        const struct level *level = &m->level[n];
        const uint8_t *base = file + level->at;
        const int is_longest = n == m->order - 1;
        const int total = m->word_bits + (is_longest ? longest_bits : middle_bits + (int)level->inline_bits);
        const uint64_t at = find_in_range(base, m->word_bits, total, range, word[-n], m->bound);
        if (at == UINT64_MAX) break;
        const uint64_t bit = at * (uint64_t)total + (uint64_t)m->word_bits;
        matched = n + 1;
        if (is_longest) {
            prob = quantised ? load_float(file + level->prob_at + 4 * bits_at(base, bit, m->prob_bits))
                             : float_of((uint32_t)bits_at(base, bit, 31) | 0x80000000u);
            break;
        }
        if (quantised) {
            const uint64_t number = bits_at(base, bit, m->backoff_bits);
            prob = load_float(file + level->prob_at + 4 * bits_at(base, bit + (uint64_t)m->backoff_bits, m->prob_bits));
            backoff[n] = load_float(file + level->backoff_at + 4 * number);
        } else {
            prob = float_of((uint32_t)bits_at(base, bit, 31) | 0x80000000u);
            backoff[n] = float_of((uint32_t)bits_at(base, bit + 31, 32));
        }
        if (has_extension(backoff[n])) length = matched;
        if (n == state->length) break;
        range = next_range(m, level, base, bit + (uint64_t)middle_bits, total, at, failed);
    }
    for (int i = matched - 1; i < state->length; i++) prob += state->backoff[i];
    state->length = length;
    for (int i = 0; i < length; i++) state->backoff[i] = backoff[i];
    return prob;
}

/* Find out where the n-grams that end in a word may be, and have the slots on their way. */
INLINE void fetch_probing(const Model *m, const uint32_t *word, struct place *places) {
    const size_t stride = m->kind == REST_PROBING ? 20 : 16;
    uint64_t key = *word;
    for (int n = 1; n <= FETCHED && n < m->order; n++) {
        const struct level *level = &m->level[n];
        key = longer(key, word[-n]);
        const uint64_t slot = remainder_of(key, m->inverse[n], level->entries);
        __builtin_prefetch((const uint8_t *)m->file.buf + level->at + slot * (n == m->order - 1 ? 12 : stride));
        places[n - 1] = (struct place){key, slot};
    }
}

/* Score the pieces of the batch. KenLM adds them up in single precision. */
static void score_batch(struct run *r) {
    const Model *m = r->m;
    const uint32_t *ids = r->ids + ORDER_MAX;
    struct state state = r->state;
    float total = r->total;
    if (m->kind < TRIE) {
        struct place places[AHEAD][FETCHED];
        for (int i = 0; i < AHEAD && i < r->n; i++) fetch_probing(m, ids + i, places[i]);
        for (int i = 0; i < r->n && !r->failed; i++) { /* a look-up in a full table takes its time, once */
            struct place *own = places[i % AHEAD];
            total += advance_probing(m, &state, ids + i, own, &r->failed);
            if (i + AHEAD < r->n) fetch_probing(m, ids + i + AHEAD, own);
        }
    } else {
        for (int i = 0; i < r->n && !r->failed; i++) total += advance_trie(m, &state, ids + i, &r->failed);
    }
    r->state = state;
    r->total = total;
    memmove(r->ids, r->ids + r->n, ORDER_MAX * sizeof *r->ids);
    r->n = 0;
}

INLINE void add_id(struct run *r, uint32_t id) {
    const size_t stride = r->m->kind < TRIE ? 8 : 16; /* near enough for rest costs */
    __builtin_prefetch((const uint8_t *)r->m->file.buf + r->m->level[0].at + id * stride);
    r->ids[ORDER_MAX + r->n++] = id;
    if (UNLIKELY(r->n == BATCH)) score_batch(r);
}

/* -------------------------------------------------------------------------------------------------- pieces */

static size_t char_size(uint8_t first) { /* of UTF-8 by its first byte; 1 for one that is none */
    static const uint8_t sizes[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 4};
    return sizes[first >> 4];
}

/* How many words str.split() makes of UTF-8. */
static uint32_t words_in(const uint8_t *text, size_t size) {
    uint32_t words = 0;
    int within = 0;
    for (size_t i = 0; i < size;) {
        const size_t n = Py_MIN(char_size(text[i]), size - i);
        Py_UCS4 c = n == 1 ? text[i] : n == 2 ? text[i] & 0x1F : n == 3 ? text[i] & 0xF : text[i] & 7;
        for (size_t k = 1; k < n; k++) c = c << 6 | (text[i + k] & 0x3F);
        const int blank = Py_UNICODE_ISSPACE(c);
        words += !blank && !within;
        within = !blank;
        i += n;
    }
    return words;
}

static void add_to_list(struct run *r, const uint8_t *text, size_t size) {
    PyObject *piece = PyUnicode_DecodeUTF8((const char *)text, (Py_ssize_t)size, "replace");
    if (piece == NULL || PyList_Append(r->list, piece) < 0) r->failed = NO_MEMORY;
    Py_XDECREF(piece);
}

/* Unknown characters that follow each other are one piece, which KenLM may know. */
NOINLINE void end_unknown(struct run *r) {
    if (r->list != NULL)
        add_to_list(r, r->unknown, r->unknown_size);
    else
        add_id(r, word_of(r->m, r->unknown, r->unknown_size, &r->failed));
    r->count += words_in(r->unknown, r->unknown_size);
    r->pieces++;
    r->unknown_size = 0;
}

NOINLINE void add_unknown(struct run *r, const uint8_t *text, size_t size) {
    const size_t wanted = r->unknown_size + size;
    if (wanted > r->unknown_room && !grow(r, &r->unknown, &r->unknown_room, wanted, 1)) return;
    memcpy(r->unknown + r->unknown_size, text, size);
    r->unknown_size = wanted;
}

INLINE void add_piece(struct run *r, uint32_t number) {
    const struct piece *piece = &r->m->table[number];
    if (UNLIKELY(r->unknown_size > 0)) end_unknown(r);
    if (UNLIKELY(r->list != NULL))
        add_to_list(r, (const uint8_t *)r->m->text.buf + piece->at, piece->size);
    else
        add_id(r, piece->word);
    r->count += piece->count;
    r->pieces++;
}

/* Cut a text into the pieces of the highest sum of scores: SentencePiece's Viterbi search, comparison by comparison.
   A sum that is RESET away from 0 begins again there. */
static void cut(struct run *r, const uint8_t *text, size_t size) {
    const Model *m = r->m;
    const struct cell *cells = m->pieces.cells;
    if (size > INT32_MAX || (size + 1 > r->nodes_room && !grow(r, &r->nodes, &r->nodes_room, size + 1, sizeof *r->nodes)) ||
        (size + 1 > r->path_room && !grow(r, &r->path, &r->path_room, size + 1, sizeof *r->path))) {
        r->failed = NO_MEMORY;
        return;
    }
    struct node *nodes = r->nodes;
    for (size_t i = 0; i <= size; i++) nodes[i].start = -1;
    nodes[0].score = r->sum;
    size_t frontier = 0;
    for (size_t from = 0; from < size;) {
        float before = nodes[from].score;
        if (UNLIKELY(before < -RESET || before > RESET)) {
            for (size_t i = from; i <= frontier; i++)
                if (i == from || nodes[i].start != -1) nodes[i].score -= before;
            before = 0;
        }
        const size_t letter = Py_MIN(char_size(text[from]), size - from);
        int has_letter = 0;
        uint32_t at = 0;
        for (size_t to = from; to < size;) {
            const uint32_t child = cells[at].base ^ text[to++];
            if (cells[child].parent != at) break;
            at = child;
            if (cells[at].piece == NO_PIECE) continue;
            if (to > frontier) frontier = to;
            const float score = cells[at].score + before;
            if (nodes[to].start == -1 || score > nodes[to].score)
                nodes[to] = (struct node){score, (int32_t)from, cells[at].piece};
            has_letter |= to - from == letter;
        }
        if (!has_letter) {
            const size_t to = from + letter;
            if (to > frontier) frontier = to;
            const float score = m->unknown + before;
            if (nodes[to].start == -1 || score > nodes[to].score)
                nodes[to] = (struct node){score, (int32_t)from, NO_PIECE};
        }
        from += letter;
    }
    size_t n = 0;
    for (size_t end = size; end > 0; end = (size_t)nodes[end].start) r->path[n++] = end;
    r->sum = nodes[size].score;
    for (size_t start = 0; n > 0;) {
        const size_t end = (size_t)r->path[--n];
        if (nodes[end].piece == NO_PIECE)
            add_unknown(r, text + start, end - start);
        else
            add_piece(r, nodes[end].piece);
        start = end;
    }
}

/* Keep how a word is cut, with the limit for the sum before it up to which it is cut so.

   Scores are added here in double precision: exact, for these. Let M be the largest sum that occurs in the word. Each
   addition in single precision is off by at most M * 2**-24, a sum of k pieces by k times that; two candidates that
   differ by more than twice as much are compared alike. Candidates that were not chosen on the way do not matter.
   Half of that, to be safe. Words with unknown characters, ties and more pieces than fit have the limit 0. */
static void remember_word(const Model *m, struct word *kept, const uint8_t *text, size_t size) {
    const struct cell *cells = m->pieces.cells;
    double best[WORD_BYTES + 1], second[WORD_BYTES + 1], widest = 0;
    int start[WORD_BYTES + 1];
    uint32_t piece[WORD_BYTES + 1];
    size_t letters = 0;
    for (size_t i = 0; i <= size; i++) {
        start[i] = -1;
        best[i] = second[i] = -INFINITY;
    }
    best[0] = 0;
    kept->n = 0;
    kept->limit = 0;
    for (size_t from = 0; from < size; letters++) {
        const size_t letter = Py_MIN(char_size(text[from]), size - from);
        int has_letter = 0;
        uint32_t at = 0;
        for (size_t to = from; to < size;) {
            const uint32_t child = cells[at].base ^ text[to++];
            if (cells[child].parent != at) break;
            at = child;
            if (cells[at].piece == NO_PIECE) continue;
            const double score = best[from] + (double)cells[at].score;
            if (start[to] == -1 || score > best[to]) {
                second[to] = best[to];
                best[to] = score;
                start[to] = (int)from;
                piece[to] = cells[at].piece;
            } else if (score > second[to]) {
                second[to] = score;
            }
            has_letter |= to - from == letter;
        }
        if (!has_letter) return;
        from += letter;
        if (fabs(best[from]) > widest) widest = fabs(best[from]);
    }
    double margin = INFINITY;
    size_t n = 0;
    uint32_t reversed[WORD_PIECES];
    for (int end = (int)size; end > 0; end = start[end]) {
        if (n == WORD_PIECES) return;
        reversed[n++] = piece[end];
        if (best[end] - second[end] < margin) margin = best[end] - second[end];
    }
    const double limit = fmin(margin * (1 << 22) / (double)letters, RESET - 1) - 2 * widest - 1;
    if (!(limit > 0)) return;
    while (n > 0) kept->piece[kept->n++] = reversed[--n];
    kept->limit = (float)limit;
}

/* Pieces of a word of the queue. */
INLINE void add_word(struct run *r, const struct waiting *waiting) {
    const Model *m = r->m;
    struct word *set = &m->cache[2 * (size_t)waiting->set], *word = set;
    const int is_first = set[0].size == waiting->size && memcmp(set[0].key, waiting->key, sizeof set->key) == 0;
    if (UNLIKELY(!is_first)) {
        word = set + 1;
        if (word->size != waiting->size || memcmp(word->key, waiting->key, sizeof word->key) != 0) {
            memcpy(word->key, waiting->key, sizeof word->key); /* the first is the more frequent one, and stays */
            word->size = waiting->size;
            remember_word(m, word, (const uint8_t *)waiting->key, waiting->size);
        } else {
            const struct word first = set[0];
            set[0] = set[1];
            set[1] = first;
            word = set;
        }
    }
    if (UNLIKELY(!(fabsf(r->sum) < word->limit))) {
        cut(r, (const uint8_t *)waiting->key, waiting->size);
        return;
    }
    for (int i = 0; i < word->n; i++) {
        r->sum += m->table[word->piece[i]].score;
        add_piece(r, word->piece[i]);
    }
}

static void add_queued(struct run *r) {
    for (int i = 0; i < r->queued && !r->failed; i++) add_word(r, &r->queue[i]);
    r->queued = 0;
}

/* Put a word of up to 32 bytes into the queue. 32 bytes are read. */
INLINE void queue_word(struct run *r, const uint64_t key[WORD_BYTES / 8], size_t size) {
    static const uint8_t mask[2 * WORD_BYTES] = {
#define ONES 255, 255, 255, 255, 255, 255, 255, 255
        ONES, ONES, ONES, ONES};
#undef ONES
    struct waiting *waiting = &r->queue[r->queued++];
    uint64_t *const kept = waiting->key;
    for (int i = 0; i < WORD_BYTES / 8; i++) kept[i] = key[i] & load64(mask + WORD_BYTES - size + 8 * i);
    const uint64_t hash = fold(kept[0] ^ 0x9E3779B97F4A7C15ULL, kept[1] ^ 0xC2B2AE3D27D4EB4FULL) ^
                          fold(kept[2] ^ 0x165667B19E3779F9ULL, kept[3] ^ 0x27D4EB2F165667C5ULL);
    waiting->size = (uint8_t)size;
    waiting->set = (uint32_t)(hash ^ hash >> 32) % SETS;
    __builtin_prefetch(&r->m->cache[2 * (size_t)waiting->set]);
    if (UNLIKELY(r->queued == QUEUE)) add_queued(r);
}

/* -------------------------------------------------------------------------------------- SentencePiece's rules */

/* Both kinds of rules give the longest prefix of a text: its size, 0 for none. */

/* A piece that the user defined stays as it is. */
INLINE size_t user_defined_prefix(const Model *m, const uint8_t *text, const uint8_t *stop) {
    const struct cell *cells = m->user_defined.cells;
    size_t longest = 0;
    int results = 0;
    uint32_t at = 0;
    if (m->user_defined.n == 0) return 0;
    for (const uint8_t *next = text; next < stop && results < USER_RESULTS;) {
        const uint32_t child = cells[at].base ^ *next++;
        if (cells[child].parent != at) break;
        at = child;
        if (cells[at].piece == NO_PIECE) continue;
        longest = (size_t)(next - text);
        results++;
    }
    return longest;
}

/* A unit of the trie of rules (Darts): its label, whether a value follows, and where its children are. */
INLINE uint32_t label_of(uint32_t unit) { return unit & (0x80000000u | 0xFF); }
INLINE int has_value(uint32_t unit) { return unit >> 8 & 1; }
INLINE uint32_t offset_of(uint32_t unit) { return unit >> 10 << ((unit & 1u << 9) >> 6); }

/* What the longest rule for a prefix of a text leads to goes into *result. */
INLINE size_t rule_prefix(const Model *m, const uint8_t *text, const uint8_t *stop, const uint8_t **result) {
    size_t longest = 0;
    int results = 0;
    *result = NULL;
    if (m->n_rules == 0) return 0;
    uint32_t at = offset_of(load32(m->rules));
    for (const uint8_t *next = text; next < stop && results < RULE_RESULTS; next++) {
        at ^= *next;
        if (at >= m->n_rules) break;
        const uint32_t unit = load32(m->rules + 4 * (size_t)at);
        if (label_of(unit) != *next) break;
        at ^= offset_of(unit);
        if (at >= m->n_rules) break;
        if (!has_value(unit)) continue;
        const uint32_t value = load32(m->rules + 4 * (size_t)at) & 0x7FFFFFFF;
        longest = (size_t)(next - text) + 1;
        *result = value < m->results_size ? m->results + value : NULL;
        results++;
    }
    return longest > 0 && *result == NULL ? 0 : longest;
}

/* The size of the valid character of UTF-8 that a text begins with, or 0. */
static size_t valid_char(const uint8_t *text, const uint8_t *stop) {
    const size_t n = char_size(*text);
    if (*text < 0x80) return 1;
    if (*text < 0xC2 || *text > 0xF4 || (size_t)(stop - text) < n) return 0;
    for (size_t i = 1; i < n; i++)
        if ((text[i] & 0xC0) != 0x80) return 0;
    if ((text[0] == 0xE0 && text[1] < 0xA0) || (text[0] == 0xED && text[1] > 0x9F) ||
        (text[0] == 0xF0 && text[1] < 0x90) || (text[0] == 0xF4 && text[1] > 0x8F))
        return 0;
    return n;
}

/* What a text begins with, as SentencePiece normalises it: returns how many bytes that is, puts where the result is. */
INLINE size_t rewritten(const Model *m, const uint8_t *text, const uint8_t *stop, const uint8_t **result, size_t *size) {
    static const uint8_t replacement[] = "\xEF\xBF\xBD";
    size_t taken = user_defined_prefix(m, text, stop);
    *result = text;
    *size = taken;
    if (taken > 0) return taken;
    if ((taken = rule_prefix(m, text, stop, result)) > 0) {
        *size = strlen((const char *)*result); /* the results end in a zero byte, which the reader has checked */
        return taken;
    }
    *result = text;
    if ((taken = *size = valid_char(text, stop)) > 0) return taken;
    *result = replacement;
    *size = 3;
    return 1;
}

/* --------------------------------------------------------------------------------------------------- words */

INLINE int has_room(struct run *r, size_t more) { /* and for a whole key */
    const size_t wanted = r->size + more + WORD_BYTES;
    return LIKELY(wanted <= r->room) || grow(r, &r->word, &r->room, wanted, 1);
}

static void add_bare(struct run *r) {
    static const uint64_t bare[WORD_BYTES / 8] = {0x8196E2};
    for (; r->bare > 0 && !r->failed; r->bare--) queue_word(r, bare, sizeof SPACE);
}

INLINE int is_bare(const struct run *r) { return r->size == 3 && (load32(r->word) & 0xFFFFFF) == 0x8196E2; }

/* A word is whole. One that is a "▁" alone waits: it goes if nothing else comes after it. */
static void end_word(struct run *r) {
    if (is_bare(r)) {
        r->bare++;
    } else {
        if (r->bare > 0) add_bare(r);
        if (r->size <= WORD_BYTES && r->m->by_word) {
            uint64_t key[WORD_BYTES / 8];
            memcpy(key, r->word, sizeof key);
            queue_word(r, key, r->size);
        } else {
            add_queued(r);
            cut(r, r->word, r->size);
        }
    }
    r->size = 0;
}

INLINE void add_space(struct run *r) {
    if (r->size > 0 && r->m->by_word) end_word(r);
    if (!has_room(r, 3)) return;
    memcpy(r->word + r->size, SPACE, 3);
    r->size += 3;
}

static void add_rewritten(struct run *r, const uint8_t *result, size_t size) {
    for (size_t i = 0; i < size;) {
        const size_t n = Py_MIN(char_size(result[i]), size - i);
        if (result[i] == ' ' || (n == 3 && memcmp(result + i, SPACE, 3) == 0)) {
            add_space(r);
        } else {
            if (!has_room(r, n)) return;
            memcpy(r->word + r->size, result + i, n);
            r->size += n;
        }
        i += n;
    }
}

/* Normalise by SentencePiece's rules, cut into pieces, score: `text` is what CCNet's normalisation left. 32 bytes can be
   read after it. */
static void measure_normal(struct run *r, const uint8_t *text, const uint8_t *stop) {
    const Model *m = r->m;
    const uint8_t *result;
    size_t size, taken;
    while (m->squeeze && text < stop) { /* spaces before everything */
        taken = rewritten(m, text, stop, &result, &size);
        if (size != 1 || *result != ' ') break;
        text += taken;
    }
    if (text == stop) return;
    if (m->dummy_prefix) add_space(r);
    int after_space = m->squeeze;
    while (text < stop && LIKELY(!r->failed)) {
        const uint8_t *end = text;
        while (end < stop && m->plain[*end] == LETTER) end++;
        const int is_whole = end == stop || m->plain[*end] == BLANK;
        end -= !is_whole && *end >= 0x80 && end > text; /* with what follows there may be a rule for it */
        if (end > text) {
            const size_t n = (size_t)(end - text);
            after_space = 0;
            if (LIKELY(is_whole && n <= WORD_BYTES - 3 && is_bare(r) && m->by_word)) {
                const uint64_t key[] = {load64(text) << 24 | 0x8196E2, load64(text + 5), load64(text + 13), load64(text + 21)};
                if (UNLIKELY(r->bare > 0)) add_bare(r);
                queue_word(r, key, n + 3);
                r->size = 0;
            } else {
                if (!has_room(r, n)) return;
                memcpy(r->word + r->size, text, n);
                r->size += n;
            }
            text = end;
            continue;
        }
        if (LIKELY(m->plain[*text] == BLANK && (text + 1 == stop || text[1] < 0x80))) {
            if (!after_space) add_space(r);
            after_space = m->squeeze;
            text++;
            continue;
        }
        taken = rewritten(m, text, stop, &result, &size);
        text += taken;
        while (after_space && size > 0 && *result == ' ') {
            result++;
            size--;
        }
        if (size > 0) {
            after_space = m->squeeze && result[size - 1] == ' ';
            add_rewritten(r, result, size);
        }
    }
    if (m->squeeze && !m->by_word)
        while (r->size >= 3 && memcmp(r->word + r->size - 3, SPACE, 3) == 0) r->size -= 3;
    if (r->size > 0) end_word(r);
    if (!m->squeeze) add_bare(r);
    add_queued(r);
    if (r->unknown_size > 0) end_unknown(r);
}

/* -------------------------------------------------------------------------------- CCNet's normalisation */

/* What becomes of a character by filters.ccnet_normalize, asked of it a page of 256 at a time when one is first met:
   UTF-8, or CONTEXTUAL for one whose neighbours play a part (a capital sigma, marks that change places). */
struct glyph { uint8_t size, bytes[GLYPH_BYTES]; };
static struct glyph *glyphs[PAGES];
static uint8_t ascii[0x80]; /* the same for these; 0: nothing */

static int load_page(const Model *m, Py_UCS4 page) {
    PyObject *data = PyObject_CallFunction(m->glyphs, "I", (unsigned)page);
    if (data == NULL) return 0;
    int done = 0;
    struct glyph *loaded = NULL;
    if (!PyBytes_Check(data) || PyBytes_GET_SIZE(data) != PAGE * sizeof *loaded) {
        PyErr_SetString(PyExc_ValueError, "a page of glyphs has 256 of 16 bytes");
    } else if ((loaded = PyMem_RawMalloc(PAGE * sizeof *loaded)) == NULL) {
        PyErr_NoMemory();
    } else {
        memcpy(loaded, PyBytes_AS_STRING(data), PAGE * sizeof *loaded);
        done = 1;
        for (int i = 0; i < PAGE; i++) {
            done &= loaded[i].size <= GLYPH_BYTES || loaded[i].size == CONTEXTUAL;
            if (page == 0 && i < 0x80) {
                done &= loaded[i].size <= 1;
                ascii[i] = loaded[i].size == 0 ? 0 : loaded[i].bytes[0];
            }
        }
        if (!done) PyErr_SetString(PyExc_ValueError, "a glyph has at most 15 bytes, of ASCII one");
    }
    Py_DECREF(data);
    if (!done || glyphs[page] != NULL) { /* Python code ran: it may have come here too */
        PyMem_RawFree(loaded);
        return done;
    }
    glyphs[page] = loaded;
    return 1;
}

/* Load the pages of a text; *size becomes the bytes of its glyphs at most. 1: they are there; 0: a character needs its
   neighbours; -1: an exception is set. */
INLINE int load_pages(const Model *m, int kind, const void *data, Py_ssize_t length, size_t *size) {
    size_t bytes = 0;
    int alone = 1;
    for (Py_ssize_t i = 0; i < length; i++) {
        const Py_UCS4 c = PyUnicode_READ(kind, data, i);
        if (UNLIKELY(glyphs[c / PAGE] == NULL) && !load_page(m, c / PAGE)) return -1;
        const int n = glyphs[c / PAGE][c % PAGE].size;
        bytes += (size_t)n;
        alone &= n != CONTEXTUAL;
    }
    *size = bytes;
    return alone;
}

/* 16 characters of ASCII of which none is deleted: as letters in lower case, digits as 0. Returns whether that is all. */
typedef uint8_t sixteen __attribute__((vector_size(16)));
INLINE int put_sixteen(uint8_t *out, sixteen c) {
    const sixteen other = (sixteen)(c - 0x20 > 0x5E), upper = (sixteen)(c - 'A' < 26), figure = (sixteen)(c - '0' < 10);
    c = (c | (upper & 0x20)) & ~(figure & 0x0F);
    memcpy(out, &c, sizeof c);
    uint64_t halves[2];
    memcpy(halves, &other, sizeof halves);
    return (halves[0] | halves[1]) == 0;
}

/* 16 characters from a place on, those beyond 255 as 255. */
INLINE sixteen sixteen_at(int kind, const void *data, Py_ssize_t from) {
    sixteen c;
    if (kind == PyUnicode_1BYTE_KIND) {
        memcpy(&c, (const uint8_t *)data + from, sizeof c);
    } else {
        uint8_t narrow[16];
        for (int i = 0; i < 16; i++) {
            const uint16_t wide = ((const uint16_t *)data)[from + i];
            narrow[i] = (uint8_t)(wide > 255 ? 255 : wide);
        }
        memcpy(&c, narrow, sizeof c);
    }
    return c;
}

/* Write the glyphs of a text without the white space around it. Returns the end. */
INLINE uint8_t *put_glyphs(uint8_t *out, int kind, const void *data, Py_ssize_t length) {
    Py_ssize_t from = 0;
    while (from < length && Py_UNICODE_ISSPACE(PyUnicode_READ(kind, data, from))) from++;
    while (from < length && Py_UNICODE_ISSPACE(PyUnicode_READ(kind, data, length - 1))) length--;
    for (; from < length; from++) {
        for (; kind != PyUnicode_4BYTE_KIND && length - from >= 16 && put_sixteen(out, sixteen_at(kind, data, from)); from += 16)
            out += 16;
        if (from == length) break;
        const Py_UCS4 c = PyUnicode_READ(kind, data, from);
        if (LIKELY(c < 0x80)) {
            *out = ascii[c];
            out += ascii[c] != 0;
            continue;
        }
        const struct glyph *glyph = &glyphs[c / PAGE][c % PAGE];
        memcpy(out, glyph->bytes, GLYPH_BYTES);
        out += glyph->size;
    }
    return out;
}

/* ----------------------------------------------------------------------------------------------- the calls */

static void raise_error(PyObject *error) { PyErr_SetObject(PyTuple_GET_ITEM(error, 0), PyTuple_GET_ITEM(error, 1)); }

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
    raise_error(m->changed);
    return 0;
}

static void begin_run(struct run *r, Model *m) {
    *r = (struct run){.m = m, .state = m->start};
    for (int i = 0; i < ORDER_MAX; i++) r->ids[i] = m->begin;
    if (!PyThread_acquire_lock(m->busy, NOWAIT_LOCK)) { /* the cache of words is one for all threads */
        PyThreadState *const waiting = PyEval_SaveThread();
        PyThread_acquire_lock(m->busy, WAIT_LOCK);
        PyEval_RestoreThread(waiting);
    }
}

/* Returns 0 with an exception set when the run has failed. */
static int end_run(struct run *r) {
    PyThread_release_lock(r->m->busy);
    PyMem_RawFree(r->word);
    PyMem_RawFree(r->unknown);
    PyMem_RawFree(r->nodes);
    PyMem_RawFree(r->path);
    if (PyErr_Occurred()) return 0;
    if (r->failed == NO_MEMORY) {
        PyErr_NoMemory();
        return 0;
    }
    if (!is_unchanged(r->m)) return 0;
    if (r->failed || !isfinite(r->total)) {
        raise_error(r->m->damaged);
        return 0;
    }
    return 1;
}

/* Where a read beyond the end of a file that was cut short goes on, for each thread; NULL: nowhere. */
static __thread sigjmp_buf *cut_short;
static struct sigaction before_ours;

static void on_sigbus(int number) {
    static volatile sig_atomic_t passed_on;
    (void)number;
    if (cut_short != NULL) siglongjmp(*cut_short, 1);
    /* Not ours: the read is done again, for whoever was asked before; should it come back, for nobody. */
    const struct sigaction nobody = {.sa_handler = SIG_DFL};
    sigaction(SIGBUS, passed_on ? &nobody : &before_ours, NULL);
    passed_on = 1;
}
static void catch_sigbus(void) { /* again for each model: others may have taken it since */
    struct sigaction ours = {.sa_handler = on_sigbus, .sa_flags = SA_NODEFER}, now;
    sigemptyset(&ours.sa_mask);
    if (sigaction(SIGBUS, NULL, &now) < 0 || now.sa_handler == on_sigbus) return;
    before_ours = now;
    sigaction(SIGBUS, &ours, NULL);
}

/* Nothing in a run calls Python while it reads the file, so that the jump out of a read leaves nothing behind. */
#define WITH_FILE(r, call)                      \
    do {                                        \
        sigjmp_buf here;                        \
        if (sigsetjmp(here, 0) == 0) {          \
            cut_short = &here;                  \
            call;                               \
        } else {                                \
            (r)->failed = DAMAGED;              \
        }                                       \
        cut_short = NULL;                       \
    } while (0)

static void end_sentence(struct run *r) {
    add_id(r, r->m->end);
    score_batch(r);
}

static void run_on(struct run *r, const uint8_t *text, size_t size) {
    measure_normal(r, text, text + size);
    if (r->list == NULL && !r->failed) end_sentence(r);
}
static void measure_text(struct run *r, const uint8_t *text, size_t size) { WITH_FILE(r, run_on(r, text, size)); }

/* A text through all stages, pieces to KenLM or to r->list. Returns 0 with an exception set. */
static int run_text(struct run *r, Model *m, PyObject *text, PyObject *list) {
    Py_ssize_t length = PyUnicode_GET_LENGTH(text);
    const void *data = PyUnicode_DATA(text);
    int alone = -1;
    size_t room = (size_t)length, size = 0;
    if (m->n_pieces == 0) {
        PyErr_SetString(PyExc_ValueError, "this model has no pieces");
        return 0;
    }
    if (PyUnicode_IS_ASCII(text) && glyphs[0] != NULL)
        alone = 1;
    else
        BY_KIND(text, alone = load_pages(m, kind, data, length, &room));
    if (alone < 0) return 0;
    PyObject *normal = NULL;
    const char *utf8 = NULL;
    if (!alone) {
        Py_ssize_t bytes = 0;
        normal = PyObject_CallFunctionObjArgs(m->normalize, text, NULL);
        if (normal != NULL) utf8 = PyUnicode_AsUTF8AndSize(normal, &bytes);
        if (utf8 == NULL) {
            Py_XDECREF(normal);
            return 0;
        }
        room = size = (size_t)bytes;
    }
    uint8_t *own = PyMem_RawMalloc(room + GLYPH_BYTES + WORD_BYTES); /* a glyph is written and a word read as a whole */
    if (own == NULL) {
        Py_XDECREF(normal);
        PyErr_NoMemory();
        return 0;
    }
    if (alone)
        BY_KIND(text, size = (size_t)(put_glyphs(own, kind, data, length) - own));
    else
        memcpy(own, utf8, size);
    memset(own + size, 0, WORD_BYTES);
    Py_XDECREF(normal);
    begin_run(r, m);
    r->list = list;
    WITHOUT_GIL(list == NULL && length >= GIL_LENGTH, measure_text(r, own, size));
    const int done = end_run(r);
    PyMem_RawFree(own);
    return done;
}

static PyObject *measure(PyObject *self, PyObject *text) {
    struct run r;
    if (!is_text(text, "measure")) return NULL;
    if (!run_text(&r, (Model *)self, text, NULL)) return NULL;
    if (r.pieces == 0) Py_RETURN_NONE;
    return Py_BuildValue("(dL)", (double)r.total, (long long)r.count);
}

static PyObject *pieces(PyObject *self, PyObject *text) {
    struct run r;
    PyObject *list;
    if (!is_text(text, "pieces")) return NULL;
    if ((list = PyList_New(0)) == NULL) return NULL;
    if (!run_text(&r, (Model *)self, text, list)) Py_CLEAR(list);
    return list;
}

/* The words between blanks of a sentence, as kenlm cuts it; it ends at a zero byte. */
static void cut_words(struct run *r, const uint8_t *text) {
    for (;;) {
        while (*text == ' ' || (*text >= '\t' && *text <= '\r')) text++;
        if (*text == 0) break;
        const uint8_t *start = text;
        while (*text != 0 && *text != ' ' && !(*text >= '\t' && *text <= '\r')) text++;
        add_id(r, word_of(r->m, start, (size_t)(text - start), &r->failed));
    }
    end_sentence(r);
}
static void score_words(struct run *r, const uint8_t *text) { WITH_FILE(r, cut_words(r, text)); }

static PyObject *score(PyObject *self, PyObject *sentence) {
    struct run r;
    const char *utf8 = PyUnicode_AsUTF8(sentence);
    if (utf8 == NULL) return NULL;
    begin_run(&r, (Model *)self);
    WITHOUT_GIL(PyUnicode_GET_LENGTH(sentence) >= GIL_LENGTH, score_words(&r, (const uint8_t *)utf8));
    return end_run(&r) ? PyFloat_FromDouble((double)r.total) : NULL;
}

/* ------------------------------------------------------------------------------------------- loading: trie */

struct builder {
    struct trie *trie;
    uint8_t *used;              /* a byte a cell */
    uint32_t room, first_free;
    const uint8_t *text;
    const uint32_t *ends;
    const uint8_t *kinds;
    const float *scores;
    int only_kind;              /* -1: pieces of every kind */
};

static int add_block(struct builder *b) {
    const uint32_t n = b->trie->n;
    if (n >= UINT32_MAX / 2 - 256) return 0;
    if (n + 256 > b->room) {
        const uint32_t room = 2 * n + 1024;
        struct cell *cells = PyMem_Realloc(b->trie->cells, room * sizeof *cells);
        if (cells == NULL) return 0;
        b->trie->cells = cells;
        uint8_t *used = PyMem_Realloc(b->used, room);
        if (used == NULL) return 0;
        b->used = used;
        b->room = room;
    }
    for (uint32_t i = n; i < n + 256; i++) {
        b->trie->cells[i] = (struct cell){0, NO_PARENT, NO_PIECE, 0};
        b->used[i] = 0;
    }
    b->trie->n = n + 256;
    return 1;
}

/* A base with which the cells of all labels are free. Looks at few places, so that no set of pieces takes long. */
static int find_base(struct builder *b, const uint8_t *labels, int n, uint32_t *base) {
    while (b->first_free < b->trie->n && b->used[b->first_free]) b->first_free++;
    const uint32_t recent = b->trie->n > 8 * 256 ? b->trie->n - 8 * 256 : 0;
    for (uint32_t from = Py_MAX(b->first_free, recent);; from++) {
        if (from >= b->trie->n) {
            from = b->trie->n;
            if (!add_block(b)) return 0;
        }
        if (b->used[from]) continue;
        *base = from ^ labels[0];
        int fits = 1;
        for (int i = 1; i < n && fits; i++) fits = !b->used[*base ^ labels[i]];
        if (fits) return 1;
    }
}

/* Children of a node: the pieces [low, high) share the first `depth` bytes, which lead to it. They are sorted. */
static int add_children(struct builder *b, uint32_t node, uint32_t low, uint32_t high, uint32_t depth) {
    uint8_t labels[256];
    uint32_t starts[257], base;
    int n = 0;
    for (uint32_t i = low; i < high; i++) {
        const uint32_t at = i == 0 ? 0 : b->ends[i - 1], size = b->ends[i] - at;
        if (b->only_kind >= 0 && b->kinds[i] != b->only_kind) continue;
        if (size == depth) {
            b->trie->cells[node].piece = i;
            b->trie->cells[node].score = b->scores[i];
        } else if (n == 0 || labels[n - 1] != b->text[at + depth]) {
            labels[n] = b->text[at + depth];
            starts[n++] = i;
        }
    }
    if (n == 0) return 1;
    starts[n] = high;
    if (!find_base(b, labels, n, &base)) return 0;
    b->trie->cells[node].base = base;
    for (int i = 0; i < n; i++) {
        b->used[base ^ labels[i]] = 1;
        b->trie->cells[base ^ labels[i]].parent = node;
    }
    for (int i = 0; i < n; i++)
        if (!add_children(b, base ^ labels[i], starts[i], starts[i + 1], depth + 1)) return 0;
    return 1;
}

static int build_trie(struct builder *b, uint32_t n_pieces) {
    if (!add_block(b)) return 0;
    b->used[0] = 1; /* the root, whose parent no cell is */
    b->first_free = 1;
    return add_children(b, 0, 0, n_pieces, 0);
}

/* The root's children: which characters of ASCII begin no rule that ends in ASCII, and no user-defined piece. */
static void find_plain(Model *m) {
    for (uint32_t c = 1; c < 0x80; c++) {
        const uint8_t text[2] = {(uint8_t)c, 0};
        const uint8_t *result;
        m->plain[c] = c == ' ' ? BLANK : LETTER;
        if (m->user_defined.n > 0 && m->user_defined.cells[m->user_defined.cells[0].base ^ c].parent == 0)
            m->plain[c] = 0;
        if (m->n_rules == 0) continue;
        if (rule_prefix(m, text, text + 1, &result) > 0) m->plain[c] = 0;
        uint32_t at = offset_of(load32(m->rules)) ^ c;
        if (at >= m->n_rules) continue;
        const uint32_t unit = load32(m->rules + 4 * (size_t)at);
        if (label_of(unit) != c) continue;
        at ^= offset_of(unit);
        for (uint32_t next = 1; next < 0x80; next++)
            if ((at ^ next) < m->n_rules && label_of(load32(m->rules + 4 * (size_t)(at ^ next))) == next) m->plain[c] = 0;
    }
}

/* ---------------------------------------------------------------------------------------------- the class */

static void dealloc(PyObject *self) {
    Model *m = (Model *)self;
    PyBuffer_Release(&m->text);
    PyBuffer_Release(&m->charsmap);
    PyBuffer_Release(&m->file);
    PyMem_Free(m->pieces.cells);
    PyMem_Free(m->user_defined.cells);
    PyMem_Free(m->table);
    free(m->cache);
    if (m->busy != NULL) PyThread_free_lock(m->busy);
    if (m->fd >= 0) close(m->fd);
    Py_XDECREF(m->glyphs);
    Py_XDECREF(m->normalize);
    Py_XDECREF(m->changed);
    Py_XDECREF(m->damaged);
    Py_TYPE(self)->tp_free(self);
}

static int width_of(uint64_t most) { /* bits of numbers up to it */
    int bits = 0;
    for (; most > 0; most >>= 1) bits++;
    return bits;
}

/* Whether so many items of so many bits lie in the file. */
static int lies_within(const Model *m, uint64_t at, unsigned __int128 items, uint64_t bits) {
    const uint64_t size = (uint64_t)m->file.len;
    return at <= size && items <= size && (items * bits + 7) / 8 <= size - at;
}

/* Whether everything of the language model lies in its file, whatever is in it. */
static int words_fit(Model *m) {
    const int quantised = m->kind == QUANT_TRIE || m->kind == QUANT_ARRAY_TRIE;
    const uint64_t rest = m->kind == REST_PROBING ? 4 : 0, first = m->level[0].entries;
    if (m->kind < PROBING || m->kind > QUANT_ARRAY_TRIE || m->order < 2 || m->order > ORDER_MAX) return 0;
    if (m->bound < 1 || m->bound > first + 1 || first > UINT32_MAX - 2) return 0;
    m->word_bits = width_of(first);
    if (quantised && (m->prob_bits < 1 || m->prob_bits > 25 || m->backoff_bits < 1 || m->backoff_bits > 25)) return 0;
    if (m->kind < TRIE) {
        if (m->vocabulary_entries < 1 || !lies_within(m, m->vocabulary_at, m->vocabulary_entries, 12 * 8)) return 0;
        if (!lies_within(m, m->level[0].at, first + 1, 8 * (8 + rest))) return 0;
    } else {
        if (m->vocabulary_entries + 1 != m->bound || !lies_within(m, m->vocabulary_at, m->vocabulary_entries, 64)) return 0;
        if (!lies_within(m, m->level[0].at, first + 2, 8 * 16)) return 0;
    }
    for (int i = 1; i < m->order; i++) {
        const struct level *level = &m->level[i];
        const int longest = i == m->order - 1;
        if (m->kind < TRIE) {
            if (level->entries < 1 || !lies_within(m, level->at, level->entries, 8 * (longest ? 12 : 16 + rest))) return 0;
            continue;
        }
        const int weights = quantised ? m->prob_bits + (longest ? 0 : m->backoff_bits) : longest ? 31 : 63;
        const uint64_t inline_bits = longest ? 0 : level->inline_bits;
        if (inline_bits > 57 || (longest && level->array_entries > 0)) return 0;
        /* 8 bytes are read at any bit of an entry, and of the one after the last */
        const unsigned __int128 items = (unsigned __int128)level->entries + 1;
        if (!lies_within(m, level->at, items, (uint64_t)(m->word_bits + weights) + inline_bits)) return 0;
        const uint64_t bytes = (uint64_t)((items * ((uint64_t)(m->word_bits + weights) + inline_bits) + 7) / 8);
        if (!lies_within(m, level->at, (unsigned __int128)bytes + 8, 8)) return 0;
        if (!lies_within(m, level->array_at, level->array_entries, 64)) return 0;
        if (quantised && !lies_within(m, level->prob_at, 1ULL << m->prob_bits, 32)) return 0;
        if (quantised && !longest && !lies_within(m, level->backoff_at, 1ULL << m->backoff_bits, 32)) return 0;
    }
    return 1;
}

/* Whether the pieces are sorted, each once, and not too long; the rules end in a zero byte. */
static int pieces_fit(const Model *m, const Py_buffer *ends, const Py_buffer *kinds, const Py_buffer *scores) {
    const uint64_t n = (uint64_t)kinds->len;
    if (n > UINT32_MAX / 2 || (uint64_t)ends->len != 4 * n || (uint64_t)scores->len != 4 * n) return 0;
    if (m->text.len > UINT32_MAX) return 0;
    const uint8_t *text = m->text.buf;
    uint32_t before = 0, from = 0;
    for (uint64_t i = 0; i < n; i++) {
        const uint32_t end = load32((const char *)ends->buf + 4 * i);
        if (end <= from || end > m->text.len || end - from > PIECE_BYTES) return 0;
        if (i > 0) {
            const uint32_t shorter = Py_MIN(from - before, end - from);
            const int order = memcmp(text + before, text + from, shorter);
            if (order > 0 || (order == 0 && from - before >= end - from)) return 0;
        }
        before = from;
        from = end;
    }
    if (m->charsmap.buf == NULL) return 1;
    if (m->charsmap.len < 4) return 0;
    const uint8_t *data = m->charsmap.buf;
    const uint64_t bytes = load32(data);
    return bytes % 4 == 0 && bytes > 0 && bytes + 4 < (uint64_t)m->charsmap.len && data[m->charsmap.len - 1] == 0;
}

static int load_pieces(Model *m, const Py_buffer *ends, const Py_buffer *kinds, const Py_buffer *scores) {
    m->n_pieces = (uint32_t)kinds->len;
    if (m->charsmap.buf != NULL) {
        const uint8_t *data = m->charsmap.buf;
        m->n_rules = load32(data) / 4;
        m->rules = data + 4;
        m->results = m->rules + 4 * (size_t)m->n_rules;
        m->results_size = (size_t)m->charsmap.len - 4 - 4 * (size_t)m->n_rules;
    }
    if ((m->table = PyMem_Calloc((size_t)m->n_pieces + 1, sizeof *m->table)) == NULL) return 0;
    if ((m->cache = aligned_alloc(64, 2 * SETS * sizeof *m->cache)) == NULL) return 0;
    memset(m->cache, 0, 2 * SETS * sizeof *m->cache);
    struct builder builder = {&m->pieces, NULL, 0, 0, m->text.buf, ends->buf, kinds->buf, scores->buf, -1};
    int done = build_trie(&builder, m->n_pieces);
    PyMem_Free(builder.used);
    if (!done) return 0;
    if (memchr(kinds->buf, 1, m->n_pieces) != NULL) {
        builder = (struct builder){&m->user_defined, NULL, 0, 0, m->text.buf, ends->buf, kinds->buf, scores->buf, 1};
        done = build_trie(&builder, m->n_pieces);
        PyMem_Free(builder.used);
        if (!done) return 0;
    }
    find_plain(m);
    return 1;
}

/* What each piece is to KenLM. Returns whether the vocabulary can be read. */
static int number_pieces(Model *m, const Py_buffer *ends, const Py_buffer *scores) {
    const uint8_t *text = m->text.buf;
    int failed = 0;
    if (m->kind < TRIE) {
        for (int i = 1; i < m->order; i++) m->inverse[i] = inverse_of(m->level[i].entries);
    }
    for (uint32_t i = 0, from = 0; i < m->n_pieces && !failed; i++) {
        const uint32_t end = load32((const char *)ends->buf + 4 * (size_t)i);
        m->table[i] = (struct piece){load_float((const char *)scores->buf + 4 * (size_t)i),
                                     word_of(m, text + from, end - from, &failed),
                                     (uint16_t)words_in(text + from, end - from), (uint16_t)(end - from), from};
        from = end;
    }
    m->begin = word_of(m, (const uint8_t *)"<s>", 3, &failed);
    m->end = word_of(m, (const uint8_t *)"</s>", 4, &failed);
    const size_t stride = m->kind == PROBING ? 8 : m->kind == REST_PROBING ? 12 : 16;
    m->start.length = 1;
    m->start.backoff[0] = load_float((const uint8_t *)m->file.buf + m->level[0].at + m->begin * stride + 4);
    return !failed;
}

static PyObject *new_model(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"pieces", "ends", "kinds", "scores", "unknown", "charsmap", "dummy_prefix", "squeeze",
                            "by_word", "glyphs", "normalize", "words", "kind", "bound", "vocabulary", "prob_bits",
                            "backoff_bits", "levels", "file", "changed", "damaged", NULL};
    Py_buffer ends, kinds, scores, levels;
    PyObject *file;
    int fd = -1, done = 0;
    Model *m = (Model *)type->tp_alloc(type, 0);
    if (m == NULL) return NULL;
    m->fd = -1;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "$y*y*y*y*fz*pppOOy*iI(KK)iiy*OO!O!:Model", names, &m->text, &ends, &kinds,
                                     &scores, &m->unknown, &m->charsmap, &m->dummy_prefix, &m->squeeze, &m->by_word,
                                     &m->glyphs, &m->normalize, &m->file, &m->kind, &m->bound, &m->vocabulary_at,
                                     &m->vocabulary_entries, &m->prob_bits, &m->backoff_bits, &levels, &file, &PyTuple_Type,
                                     &m->changed, &PyTuple_Type, &m->damaged)) {
        m->glyphs = m->normalize = m->changed = m->damaged = NULL;
        memset(&m->text, 0, sizeof m->text); /* the parser has released them */
        memset(&m->charsmap, 0, sizeof m->charsmap);
        memset(&m->file, 0, sizeof m->file);
        Py_DECREF(m);
        return NULL;
    }
    Py_INCREF(m->glyphs);
    Py_INCREF(m->normalize);
    Py_INCREF(m->changed);
    Py_INCREF(m->damaged);
    if ((m->busy = PyThread_allocate_lock()) == NULL) {
        PyErr_NoMemory();
        goto end;
    }
    if (PyTuple_GET_SIZE(m->changed) != 2 || PyTuple_GET_SIZE(m->damaged) != 2 || !PyTuple_Check(file)) {
        PyErr_SetString(PyExc_TypeError, "Model() takes pairs of an exception and a message, and a tuple for its file");
        goto end;
    }
    if (!PyArg_ParseTuple(file, "iLL", &fd, &m->file_size, &m->file_time)) goto end;
    if ((m->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0)) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        goto end;
    }
    m->order = (int)(levels.len / (Py_ssize_t)sizeof(struct level));
    if (m->order <= ORDER_MAX && levels.len % (Py_ssize_t)sizeof(struct level) == 0)
        memcpy(m->level, levels.buf, (size_t)levels.len);
    else
        m->order = 0;
    if (!words_fit(m) || !pieces_fit(m, &ends, &kinds, &scores)) {
        PyErr_SetString(PyExc_ValueError, "its parts do not fit each other");
        goto end;
    }
    if (kinds.len > 0 && !load_pieces(m, &ends, &kinds, &scores)) {
        PyErr_NoMemory();
        goto end;
    }
    if (!number_pieces(m, &ends, &scores)) {
        PyErr_SetString(PyExc_ValueError, "its vocabulary is damaged");
        goto end;
    }
    catch_sigbus();
    done = 1;
end:
    PyBuffer_Release(&ends);
    PyBuffer_Release(&kinds);
    PyBuffer_Release(&scores);
    PyBuffer_Release(&levels);
    if (!done) Py_CLEAR(m);
    return (PyObject *)m;
}

static PyMethodDef methods[] = {
    {"measure", measure, METH_O, "(log10 probability, words) of a text; None for one without pieces."},
    {"pieces", pieces, METH_O, "The pieces of a text, as measure() cuts it."},
    {"score", score, METH_O, "The log10 probability of words between blanks, with <s> before and </s> after them."},
    {NULL, NULL, 0, NULL},
};
static PyTypeObject model_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "filters._perplexity.Model",
    .tp_basicsize = sizeof(Model),
    .tp_dealloc = dealloc,
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_doc = "A SentencePiece and a KenLM model of a language.",
    .tp_methods = methods,
    .tp_new = new_model,
};
static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_perplexity", "Perplexity with SentencePiece and KenLM models, in C.", -1, NULL, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__perplexity(void) {
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
