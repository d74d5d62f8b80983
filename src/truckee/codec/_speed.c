/*
 * The inner loops of coding, for processors that have instructions for them.
 *
 * SHA-256 by the SHA extensions, two messages at a time: a round waits for the one before
 * it, so that one message alone leaves half of the unit idle.  Products over GF(256) by
 * table look-ups within a register (PSHUFB), and a loop over a table where there is none.
 *
 * Everything here has its like in Python, which gives the same bytes; see speed.py.  The
 * interpreter is left alone while a call computes: other threads run.
 *
 * Sources: FIPS 180-4; docs/formats/immutable.md, "Hashing" and "Erasure code".
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__GNUC__) && (defined(__x86_64__) || defined(__i386__))
#define HAVE_X86 1
#include <cpuid.h>
#include <immintrin.h>
#else
#define HAVE_X86 0
#endif

#define BLOCK 64   /* bytes that one step of SHA-256 takes */
#define DIGEST 32  /* bytes */
#define SHARES 256 /* at most: one for each value of a byte */
#define PREFIX 64  /* bytes in front of a message, fewer than that */
#define RUNS 3

/* What products are made with. */
enum { PLAIN, SSSE3, AVX2 };

static int product_level = PLAIN;
static int has_sha = 0;

/* ---- SHA-256 ------------------------------------------------------------------------ */

static const uint32_t START[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                  0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

/* Adjacent blocks of one message. */
typedef struct {
    const uint8_t *at;
    size_t blocks;
} Run;

/* A message as blocks: its first bytes with what is in front of them, the middle where it
   stands, and the end with the padding. */
typedef struct {
    uint32_t state[8];
    Run runs[RUNS];
    int next; /* of the runs */
    uint8_t head[BLOCK];
    uint8_t tail[2 * BLOCK];
} Message;

static void
store64(uint8_t *to, uint64_t value)
{
    for (int i = 7; i >= 0; i--, value >>= 8)
        to[i] = (uint8_t)value;
}

static void
digest_of(uint8_t *to, const uint32_t *state)
{
    for (int i = 0; i < 8; i++)
        for (int j = 0; j < 4; j++)
            to[4 * i + j] = (uint8_t)(state[i] >> (24 - 8 * j));
}

#if HAVE_X86

static const uint32_t ROUNDS[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
    0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
    0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
    0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
    0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
    0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
    0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
    0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
    0xc67178f2};

#define SHA_CODE __attribute__((target("sha,sse4.1,ssse3")))

/* The registers hold a state as ABEF and CDGH, the words of a message four by four. */
#define LOAD_STATE(abef, cdgh, state)                                                     \
    do {                                                                                  \
        __m128i lower = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(state)), 0xB1); \
        __m128i upper =                                                                   \
            _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)((state) + 4)), 0x1B);     \
        abef = _mm_alignr_epi8(lower, upper, 8);                                          \
        cdgh = _mm_blend_epi16(upper, lower, 0xF0);                                       \
    } while (0)

#define STORE_STATE(abef, cdgh, state)                                                    \
    do {                                                                                  \
        __m128i feba = _mm_shuffle_epi32(abef, 0x1B);                                     \
        __m128i dchg = _mm_shuffle_epi32(cdgh, 0xB1);                                     \
        _mm_storeu_si128((__m128i *)(state), _mm_blend_epi16(feba, dchg, 0xF0));          \
        _mm_storeu_si128((__m128i *)((state) + 4), _mm_alignr_epi8(dchg, feba, 8));       \
    } while (0)

#define LOAD_WORDS(from, order) _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(from)), order)

/* Four rounds with the words w, and none of the words to come. */
#define FOUR(abef, cdgh, w, k)                                                            \
    do {                                                                                  \
        __m128i sum = _mm_add_epi32(w, k);                                                \
        cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);                                    \
        abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0E));           \
    } while (0)

/* What the words w become sixteen rounds later; x, y and z are those that follow them. */
#define WORDS(w, x, y, z)                                                                 \
    w = _mm_sha256msg2_epu32(                                                             \
        _mm_add_epi32(_mm_sha256msg1_epu32(w, x), _mm_alignr_epi8(z, y, 4)), z)

#define K(i) _mm_load_si128((const __m128i *)(ROUNDS + 4 * (i)))

SHA_CODE static void
one_run(uint32_t *state, const uint8_t *from, size_t blocks)
{
    const __m128i order = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
    __m128i abef, cdgh;
    LOAD_STATE(abef, cdgh, state);
    for (; blocks; blocks--, from += BLOCK) {
        __m128i abef0 = abef, cdgh0 = cdgh;
        __m128i w0 = LOAD_WORDS(from, order), w1 = LOAD_WORDS(from + 16, order);
        __m128i w2 = LOAD_WORDS(from + 32, order), w3 = LOAD_WORDS(from + 48, order);
        for (int i = 0; i < 12; i += 4) {
            FOUR(abef, cdgh, w0, K(i));
            WORDS(w0, w1, w2, w3);
            FOUR(abef, cdgh, w1, K(i + 1));
            WORDS(w1, w2, w3, w0);
            FOUR(abef, cdgh, w2, K(i + 2));
            WORDS(w2, w3, w0, w1);
            FOUR(abef, cdgh, w3, K(i + 3));
            WORDS(w3, w0, w1, w2);
        }
        FOUR(abef, cdgh, w0, K(12));
        FOUR(abef, cdgh, w1, K(13));
        FOUR(abef, cdgh, w2, K(14));
        FOUR(abef, cdgh, w3, K(15));
        abef = _mm_add_epi32(abef, abef0);
        cdgh = _mm_add_epi32(cdgh, cdgh0);
    }
    STORE_STATE(abef, cdgh, state);
}

#define BOTH(wa, wb, k)                                                                   \
    do {                                                                                  \
        FOUR(abef_a, cdgh_a, wa, k);                                                      \
        FOUR(abef_b, cdgh_b, wb, k);                                                      \
    } while (0)

SHA_CODE static void
two_runs(uint32_t *state_a, const uint8_t *a, uint32_t *state_b, const uint8_t *b,
         size_t blocks)
{
    const __m128i order = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
    __m128i abef_a, cdgh_a, abef_b, cdgh_b;
    LOAD_STATE(abef_a, cdgh_a, state_a);
    LOAD_STATE(abef_b, cdgh_b, state_b);
    for (; blocks; blocks--, a += BLOCK, b += BLOCK) {
        __m128i abef_a0 = abef_a, cdgh_a0 = cdgh_a, abef_b0 = abef_b, cdgh_b0 = cdgh_b;
        __m128i a0 = LOAD_WORDS(a, order), a1 = LOAD_WORDS(a + 16, order);
        __m128i a2 = LOAD_WORDS(a + 32, order), a3 = LOAD_WORDS(a + 48, order);
        __m128i b0 = LOAD_WORDS(b, order), b1 = LOAD_WORDS(b + 16, order);
        __m128i b2 = LOAD_WORDS(b + 32, order), b3 = LOAD_WORDS(b + 48, order);
        for (int i = 0; i < 12; i += 4) {
            BOTH(a0, b0, K(i));
            WORDS(a0, a1, a2, a3);
            WORDS(b0, b1, b2, b3);
            BOTH(a1, b1, K(i + 1));
            WORDS(a1, a2, a3, a0);
            WORDS(b1, b2, b3, b0);
            BOTH(a2, b2, K(i + 2));
            WORDS(a2, a3, a0, a1);
            WORDS(b2, b3, b0, b1);
            BOTH(a3, b3, K(i + 3));
            WORDS(a3, a0, a1, a2);
            WORDS(b3, b0, b1, b2);
        }
        BOTH(a0, b0, K(12));
        BOTH(a1, b1, K(13));
        BOTH(a2, b2, K(14));
        BOTH(a3, b3, K(15));
        abef_a = _mm_add_epi32(abef_a, abef_a0);
        cdgh_a = _mm_add_epi32(cdgh_a, cdgh_a0);
        abef_b = _mm_add_epi32(abef_b, abef_b0);
        cdgh_b = _mm_add_epi32(cdgh_b, cdgh_b0);
    }
    STORE_STATE(abef_a, cdgh_a, state_a);
    STORE_STATE(abef_b, cdgh_b, state_b);
}

#else /* never called: has_sha is 0 */

static void
one_run(uint32_t *state, const uint8_t *from, size_t blocks)
{
    (void)state, (void)from, (void)blocks;
}

static void
two_runs(uint32_t *state_a, const uint8_t *a, uint32_t *state_b, const uint8_t *b,
         size_t blocks)
{
    (void)state_a, (void)a, (void)state_b, (void)b, (void)blocks;
}

#endif

/* Set a message up: *held* bytes, fewer than a block, that came before; then the data.
   With *closed* the padding follows, of a message of *total* bytes; without it the bytes
   that fill no block are left over, and returned: they are in the tail. */
static size_t
begin(Message *message, const uint8_t *held, size_t held_size, const uint8_t *data,
      size_t size, uint64_t total, int closed)
{
    size_t taken = 0, middle, rest, blocks;
    message->next = 0;
    memset(message->runs, 0, sizeof message->runs);
    if (held_size) {
        taken = size < BLOCK - held_size ? size : BLOCK - held_size;
        memcpy(message->head, held, held_size);
        if (taken)
            memcpy(message->head + held_size, data, taken);
        held_size += taken;
        if (held_size == BLOCK) {
            message->runs[0] = (Run){message->head, 1};
            held_size = 0;
        }
    }
    middle = (size - taken) / BLOCK;
    message->runs[1] = (Run){data + taken, middle};
    taken += middle * BLOCK;
    /* Either the head is not full, and all data is in it, or it was. */
    if (held_size)
        memcpy(message->tail, message->head, held_size);
    rest = size - taken;
    if (rest)
        memcpy(message->tail + held_size, data + taken, rest);
    rest += held_size;
    if (!closed)
        return rest;
    blocks = rest + 9 <= BLOCK ? 1 : 2;
    message->tail[rest] = 0x80;
    memset(message->tail + rest + 1, 0, blocks * BLOCK - rest - 1);
    store64(message->tail + blocks * BLOCK - 8, total * 8);
    message->runs[2] = (Run){message->tail, blocks};
    return 0;
}

/* Set up the whole message that is the digest of *state*. */
static void
begin_second(Message *message, const uint32_t *state)
{
    uint8_t first[DIGEST];
    digest_of(first, state);
    memcpy(message->state, START, sizeof START);
    begin(message, first, DIGEST, first, 0, DIGEST, 1);
}

static Run *
next_run(Message *message)
{
    while (message->next < RUNS && !message->runs[message->next].blocks)
        message->next++;
    return message->next < RUNS ? &message->runs[message->next] : NULL;
}

static void
advance(Run *run, size_t blocks)
{
    run->at += blocks * BLOCK;
    run->blocks -= blocks;
}

/* Something to hash, and what is in front of it. */
typedef struct {
    const uint8_t *prefix;
    size_t prefix_size; /* fewer than PREFIX */
    const uint8_t *at;
    size_t size;
} Piece;

/* Pieces that wait, and where their hashes go, 32 bytes each. */
typedef struct {
    const Piece *pieces;
    size_t count;
    uint8_t *to;
} Queue;

/* One of the two messages under way. */
typedef struct {
    Message message;
    uint8_t *to; /* NULL: its hash is not for the queue, or it is idle */
    int second;  /* it is the hash of the hash now */
} Lane;

/* Return what the lane does next, of the next piece when it is done with one; or NULL. */
static Run *
next_of(Lane *lane, Queue *queue)
{
    for (Run *run; !(run = next_run(&lane->message));) {
        const Piece *piece = queue->pieces;
        if (lane->to && !lane->second) {
            begin_second(&lane->message, lane->message.state);
            lane->second = 1;
            continue;
        }
        if (lane->to)
            digest_of(lane->to, lane->message.state);
        lane->to = NULL;
        if (!queue->count)
            return NULL;
        memcpy(lane->message.state, START, sizeof START);
        begin(&lane->message, piece->prefix, piece->prefix_size, piece->at, piece->size,
              piece->prefix_size + piece->size, 1);
        lane->to = queue->to;
        lane->second = 0;
        queue->pieces++;
        queue->count--;
        queue->to += DIGEST;
    }
    return &lane->message.runs[lane->message.next];
}

/* Hash all that waits, and what is in the lanes already. */
static void
hash_all(Lane *a, Lane *b, Queue *queue)
{
    for (;;) {
        Run *of_a = next_of(a, queue), *of_b = next_of(b, queue);
        if (of_a && of_b) {
            size_t blocks = of_a->blocks < of_b->blocks ? of_a->blocks : of_b->blocks;
            two_runs(a->message.state, of_a->at, b->message.state, of_b->at, blocks);
            advance(of_a, blocks);
            advance(of_b, blocks);
        } else if (of_a || of_b) {
            Run *left = of_a ? of_a : of_b;
            one_run((of_a ? a : b)->message.state, left->at, left->blocks);
            advance(left, left->blocks);
        } else {
            return;
        }
    }
}

static void
make_idle(Lane *lane)
{
    lane->message.next = RUNS;
    lane->to = NULL;
}

/* Hash pieces, each behind its prefix, and then its hash again: 32 bytes each. */
static void
hash_pieces(const Piece *pieces, size_t count, uint8_t *to)
{
    Lane a, b;
    Queue queue = {pieces, count, to};
    make_idle(&a);
    make_idle(&b);
    hash_all(&a, &b, &queue);
}

/* ---- GF(256) ------------------------------------------------------------------------ */

/* For each factor its products with 0 to 15, and with 0, 16, 32 … 240. */
#define TABLE 32

static uint8_t
times(uint8_t a, uint8_t b)
{
    unsigned product = 0, shifted = a;
    for (; b; b >>= 1, shifted <<= 1) {
        if (shifted & 0x100)
            shifted ^= 0x11d;
        if (b & 1)
            product ^= shifted;
    }
    return (uint8_t)product;
}

static void
fill_tables(uint8_t *tables, const uint8_t *factors, size_t count)
{
    for (size_t i = 0; i < count; i++, tables += TABLE)
        for (uint8_t j = 0; j < 16; j++) {
            tables[j] = times(factors[i], j);
            tables[16 + j] = times(factors[i], (uint8_t)(j << 4));
        }
}

/* Each of these makes the bytes from *start* of all targets and returns where it ended.
   The tables stand row by row. */

static size_t
plain_product(const uint8_t *tables, size_t k, const uint8_t *const *from, size_t rows,
              uint8_t *const *to, size_t start, size_t size)
{
    for (size_t row = 0; row < rows; row++, tables += k * TABLE)
        for (size_t i = 0; i < k; i++) {
            uint8_t all[256];
            const uint8_t *table = tables + i * TABLE, *source = from[i];
            uint8_t *target = to[row];
            if (size - start < 32) {
                for (size_t at = start; at < size; at++) {
                    uint8_t value = table[source[at] & 15] ^ table[16 + (source[at] >> 4)];
                    target[at] = i ? target[at] ^ value : value;
                }
                continue;
            }
            for (int value = 0; value < 256; value++)
                all[value] = table[value & 15] ^ table[16 + (value >> 4)];
            if (i)
                for (size_t at = start; at < size; at++)
                    target[at] ^= all[source[at]];
            else
                for (size_t at = start; at < size; at++)
                    target[at] = all[source[at]];
        }
    return size;
}

#if HAVE_X86

__attribute__((target("ssse3"))) static size_t
ssse3_product(const uint8_t *tables, size_t k, const uint8_t *const *from, size_t rows,
              uint8_t *const *to, size_t start, size_t size)
{
    const __m128i low = _mm_set1_epi8(15);
    size_t at = start;
    for (; at + 16 <= size; at += 16) {
        const uint8_t *table = tables;
        for (size_t row = 0; row < rows; row++) {
            __m128i sum = _mm_setzero_si128();
            for (size_t i = 0; i < k; i++, table += TABLE) {
                __m128i data = _mm_loadu_si128((const __m128i *)(from[i] + at));
                __m128i below = _mm_and_si128(data, low);
                __m128i above = _mm_and_si128(_mm_srli_epi16(data, 4), low);
                __m128i first = _mm_loadu_si128((const __m128i *)table);
                __m128i second = _mm_loadu_si128((const __m128i *)(table + 16));
                sum = _mm_xor_si128(sum, _mm_shuffle_epi8(first, below));
                sum = _mm_xor_si128(sum, _mm_shuffle_epi8(second, above));
            }
            _mm_storeu_si128((__m128i *)(to[row] + at), sum);
        }
    }
    return at;
}

#define AVX2_CODE __attribute__((target("avx2")))

/* Rows that are made in one pass over the sources: as many as there are registers for. */
#define PASS 4

AVX2_CODE static inline __attribute__((always_inline)) void
avx2_rows(const uint8_t *tables, size_t k, const uint8_t *const *from, size_t rows,
          uint8_t *const *to, size_t start, size_t end)
{
    const __m256i low = _mm256_set1_epi8(15);
    for (size_t at = start; at < end; at += 32) {
        __m256i sums[PASS];
        for (size_t row = 0; row < rows; row++)
            sums[row] = _mm256_setzero_si256();
        for (size_t i = 0; i < k; i++) {
            __m256i data = _mm256_loadu_si256((const __m256i *)(from[i] + at));
            __m256i below = _mm256_and_si256(data, low);
            __m256i above = _mm256_and_si256(_mm256_srli_epi16(data, 4), low);
            for (size_t row = 0; row < rows; row++) {
                const __m128i *table = (const __m128i *)(tables + (row * k + i) * TABLE);
                __m256i first = _mm256_broadcastsi128_si256(_mm_loadu_si128(table));
                __m256i second = _mm256_broadcastsi128_si256(_mm_loadu_si128(table + 1));
                sums[row] = _mm256_xor_si256(sums[row], _mm256_shuffle_epi8(first, below));
                sums[row] = _mm256_xor_si256(sums[row], _mm256_shuffle_epi8(second, above));
            }
        }
        for (size_t row = 0; row < rows; row++)
            _mm256_storeu_si256((__m256i *)(to[row] + at), sums[row]);
    }
}

AVX2_CODE static size_t
avx2_product(const uint8_t *tables, size_t k, const uint8_t *const *from, size_t rows,
             uint8_t *const *to, size_t start, size_t size)
{
    size_t end = start + (size - start) / 32 * 32;
    for (; rows >= PASS; rows -= PASS, to += PASS, tables += PASS * k * TABLE)
        avx2_rows(tables, k, from, PASS, to, start, end);
    switch (rows) {
    case 3: avx2_rows(tables, k, from, 3, to, start, end); break;
    case 2: avx2_rows(tables, k, from, 2, to, start, end); break;
    case 1: avx2_rows(tables, k, from, 1, to, start, end); break;
    }
    return end;
}

#endif

static void
product(int level, const uint8_t *tables, size_t k, const uint8_t *const *from, size_t rows,
        uint8_t *const *to, size_t size)
{
    size_t done = 0;
#if HAVE_X86
    if (level == AVX2)
        done = avx2_product(tables, k, from, rows, to, done, size);
    else if (level == SSSE3)
        done = ssse3_product(tables, k, from, rows, to, done, size);
#endif
    if (done < size)
        plain_product(tables, k, from, rows, to, done, size);
}

/* ---- What Python sees --------------------------------------------------------------- */

/* Calls over fewer bytes keep the interpreter: giving it away costs more. */
#define SHORT 2048

/* The bytes of several objects; what is held here is released by release(). */
typedef struct {
    Py_ssize_t count;
    size_t bytes; /* of all */
    Py_buffer *views;
} Buffers;

static void
release(Buffers *held)
{
    for (Py_ssize_t i = 0; i < held->count; i++)
        PyBuffer_Release(&held->views[i]);
    PyMem_Free(held->views);
}

/* Take the buffers of a sequence of objects.  Return 0, or -1 with an error set. */
static int
hold(Buffers *held, PyObject *items)
{
    PyObject *all = PySequence_Tuple(items);
    Py_ssize_t count = all ? PyTuple_GET_SIZE(all) : 0;
    *held = (Buffers){0, 0, NULL};
    if (!all)
        return -1;
    held->views = PyMem_Calloc((size_t)count + 1, sizeof(Py_buffer));
    if (!held->views) {
        Py_DECREF(all);
        PyErr_NoMemory();
        return -1;
    }
    for (; held->count < count; held->count++) {
        Py_buffer *view = &held->views[held->count];
        /* The view keeps the object alive. */
        if (PyObject_GetBuffer(PyTuple_GET_ITEM(all, held->count), view, PyBUF_SIMPLE))
            break;
        held->bytes += (size_t)view->len;
    }
    Py_DECREF(all);
    if (held->count == count)
        return 0;
    release(held);
    return -1;
}

static uint8_t *
text_of(PyObject *bytes)
{
    return (uint8_t *)PyBytes_AS_STRING(bytes);
}

/* Copy to *at*; return what is behind it. */
static uint8_t *
put(uint8_t *at, const void *from, size_t size)
{
    if (size)
        memcpy(at, from, size);
    return at + size;
}

static int
refuse(const char *why)
{
    PyErr_SetString(PyExc_ValueError, why);
    return -1;
}

static int
check_sha(Py_ssize_t prefix)
{
    if (!has_sha)
        return refuse("this processor has no instructions for SHA-256");
    if (prefix >= PREFIX)
        return refuse("a prefix is longer than 63 bytes");
    return 0;
}

/* Compute with the interpreter given to others, if it is worth it. */
#define COMPUTE(bytes, work)                                                              \
    do {                                                                                  \
        PyThreadState *others = (bytes) < SHORT ? NULL : PyEval_SaveThread();             \
        work;                                                                             \
        if (others)                                                                       \
            PyEval_RestoreThread(others);                                                 \
    } while (0)

PyDoc_STRVAR(hashes_doc, "hashes(prefixes, pieces): the hash of each piece, joined.");

static PyObject *
speed_hashes(PyObject *module, PyObject *args)
{
    PyObject *front_items, *items, *found = NULL;
    Buffers fronts, held;
    Piece *pieces = NULL;
    (void)module;
    if (!PyArg_ParseTuple(args, "OO", &front_items, &items) || hold(&fronts, front_items))
        return NULL;
    if (hold(&held, items)) {
        release(&fronts);
        return NULL;
    }
    if (fronts.count != held.count) {
        refuse("there is not one prefix for each piece");
        goto done;
    }
    pieces = PyMem_Calloc((size_t)held.count + 1, sizeof *pieces);
    if (!pieces) {
        PyErr_NoMemory();
        goto done;
    }
    for (Py_ssize_t i = 0; i < held.count; i++) {
        Py_buffer *front = &fronts.views[i], *piece = &held.views[i];
        if (check_sha(front->len))
            goto done;
        pieces[i] = (Piece){front->buf, (size_t)front->len, piece->buf, (size_t)piece->len};
    }
    found = PyBytes_FromStringAndSize(NULL, held.count * DIGEST);
    if (found)
        COMPUTE(held.bytes, hash_pieces(pieces, (size_t)held.count, text_of(found)));
done:
    PyMem_Free(pieces);
    release(&held);
    release(&fronts);
    return found;
}

PyDoc_STRVAR(row_doc, "row_above(front, between, behind, row): the hashes of pairs of 32.");

/* Each pair is a message: front, 32 bytes, between, 32 bytes, behind. */
static PyObject *
speed_row_above(PyObject *module, PyObject *args)
{
    Py_buffer front, between, behind, row;
    PyObject *found = NULL;
    uint8_t *texts = NULL;
    Piece *pieces = NULL;
    size_t count, size;
    (void)module;
    if (!PyArg_ParseTuple(args, "y*y*y*y*", &front, &between, &behind, &row))
        return NULL;
    if (check_sha(front.len) || check_sha(between.len) || check_sha(behind.len))
        goto done;
    if (row.len % (2 * DIGEST)) {
        refuse("the row has no whole number of pairs");
        goto done;
    }
    count = (size_t)row.len / (2 * DIGEST);
    size = (size_t)(front.len + between.len + behind.len) + 2 * DIGEST;
    texts = PyMem_Calloc(count + 1, size);
    pieces = PyMem_Calloc(count + 1, sizeof *pieces);
    found = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(count * DIGEST));
    if (!texts || !pieces || !found) {
        Py_CLEAR(found);
        PyErr_NoMemory();
        goto done;
    }
    for (size_t i = 0; i < count; i++) {
        const uint8_t *pair = (const uint8_t *)row.buf + i * 2 * DIGEST;
        uint8_t *text = texts + i * size, *at = text;
        pieces[i] = (Piece){text, 0, text, size};
        at = put(at, front.buf, (size_t)front.len);
        at = put(at, pair, DIGEST);
        at = put(at, between.buf, (size_t)between.len);
        at = put(at, pair + DIGEST, DIGEST);
        put(at, behind.buf, (size_t)behind.len);
    }
    COMPUTE(row.len, hash_pieces(pieces, count, text_of(found)));
done:
    PyMem_Free(texts);
    PyMem_Free(pieces);
    PyBuffer_Release(&front);
    PyBuffer_Release(&between);
    PyBuffer_Release(&behind);
    PyBuffer_Release(&row);
    return found;
}

PyDoc_STRVAR(tables_doc, "tables(factors): what product and encode take of them.");

static PyObject *
speed_tables(PyObject *module, PyObject *args)
{
    Py_buffer factors;
    PyObject *found = NULL;
    (void)module;
    if (!PyArg_ParseTuple(args, "y*", &factors))
        return NULL;
    if (factors.len > SHARES * SHARES)
        refuse("there are more than 65536 factors");
    else
        found = PyBytes_FromStringAndSize(NULL, factors.len * TABLE);
    if (found)
        fill_tables(text_of(found), factors.buf, (size_t)factors.len);
    PyBuffer_Release(&factors);
    return found;
}

/* A product of matrices. */
typedef struct {
    const uint8_t *tables;
    size_t k, rows, size; /* size: bytes of a block */
    const uint8_t *from[SHARES];
    uint8_t *to[SHARES];
} Product;

/* Check that *tables* are of rows for k blocks of *size* bytes, and make room for what
   they become.  Return bytes, or NULL with an error set. */
static PyObject *
prepare(Product *work, const Py_buffer *tables, Py_ssize_t k, size_t size)
{
    PyObject *made;
    if (k < 1 || k > SHARES) {
        refuse("there are not 1 to 256 blocks");
        return NULL;
    }
    if (tables->len % (k * TABLE) || tables->len / (k * TABLE) > SHARES) {
        refuse("the tables are of no rows for so many blocks");
        return NULL;
    }
    work->tables = tables->buf;
    work->k = (size_t)k;
    work->rows = (size_t)(tables->len / (k * TABLE));
    work->size = size;
    if (size > PY_SSIZE_T_MAX / SHARES)
        return PyErr_NoMemory();
    made = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(work->rows * size));
    for (size_t row = 0; made && row < work->rows; row++)
        work->to[row] = text_of(made) + row * size;
    return made;
}

static void
compute(int level, const Product *work)
{
    product(level, work->tables, work->k, work->from, work->rows, work->to, work->size);
}

PyDoc_STRVAR(product_doc, "product(tables, blocks[, level]): rows times blocks, joined.");

static PyObject *
speed_product(PyObject *module, PyObject *args)
{
    Py_buffer tables;
    PyObject *items, *found = NULL;
    int level = product_level;
    Buffers held;
    Product work;
    (void)module;
    if (!PyArg_ParseTuple(args, "y*O|i", &tables, &items, &level))
        return NULL;
    if (hold(&held, items)) {
        PyBuffer_Release(&tables);
        return NULL;
    }
    if (level < PLAIN || level > product_level) {
        refuse("this processor has no such level");
        goto done;
    }
    found = prepare(&work, &tables, held.count,
                    held.count ? (size_t)held.views[0].len : 0);
    if (!found)
        goto done;
    for (size_t i = 0; i < work.k; i++) {
        if ((size_t)held.views[i].len != work.size) {
            refuse("the blocks are not all of one length");
            Py_CLEAR(found);
            goto done;
        }
        work.from[i] = held.views[i].buf;
    }
    COMPUTE(held.bytes, compute(level, &work));
done:
    release(&held);
    PyBuffer_Release(&tables);
    return found;
}

/* Make the check blocks of a segment and hash all its blocks. */
static void
encode(const Product *work, const Py_buffer *prefix, Piece *pieces, uint8_t *hashes)
{
    const uint8_t *front = prefix->buf;
    size_t size = (size_t)prefix->len;
    compute(product_level, work);
    for (size_t i = 0; i < work->k; i++)
        pieces[i] = (Piece){front, size, work->from[i], work->size};
    for (size_t i = 0; i < work->rows; i++)
        pieces[work->k + i] = (Piece){front, size, work->to[i], work->size};
    hash_pieces(pieces, work->k + work->rows, hashes);
}

PyDoc_STRVAR(encode_doc, "encode(segment, k, tables, prefix): (check blocks, hashes).");

static PyObject *
speed_encode(PyObject *module, PyObject *args)
{
    Py_buffer segment, tables, prefix;
    PyObject *blocks = NULL, *hashes = NULL, *found = NULL;
    Py_ssize_t k;
    Product work;
    Piece pieces[2 * SHARES];
    (void)module;
    if (!PyArg_ParseTuple(args, "y*ny*y*", &segment, &k, &tables, &prefix))
        return NULL;
    if (check_sha(prefix.len))
        goto done;
    if (k < 1 || segment.len % k) {
        refuse("the segment is not k blocks of one length");
        goto done;
    }
    blocks = prepare(&work, &tables, k, (size_t)(segment.len / k));
    if (!blocks)
        goto done;
    for (size_t i = 0; i < work.k; i++)
        work.from[i] = (const uint8_t *)segment.buf + i * work.size;
    hashes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(work.k + work.rows) * DIGEST);
    if (!hashes)
        goto done;
    COMPUTE(segment.len, encode(&work, &prefix, pieces, text_of(hashes)));
    found = PyTuple_Pack(2, blocks, hashes);
done:
    Py_XDECREF(blocks);
    Py_XDECREF(hashes);
    PyBuffer_Release(&segment);
    PyBuffer_Release(&tables);
    PyBuffer_Release(&prefix);
    return found;
}

/* A hash that goes on over many calls: what Python keeps of it, as bytes. */
typedef struct {
    uint64_t size; /* bytes so far */
    uint32_t state[8];
    uint8_t held[BLOCK]; /* the last of them, size % BLOCK */
} Flat;

PyDoc_STRVAR(flat_doc, "flat(prefix): a hash to go on with, of nothing behind the prefix.");

static PyObject *
speed_flat(PyObject *module, PyObject *args)
{
    Py_buffer prefix;
    PyObject *found = NULL;
    Flat flat;
    (void)module;
    if (!PyArg_ParseTuple(args, "y*", &prefix))
        return NULL;
    if (!check_sha(prefix.len)) {
        memset(&flat, 0, sizeof flat);
        flat.size = (uint64_t)prefix.len;
        memcpy(flat.state, START, sizeof START);
        memcpy(flat.held, prefix.buf, (size_t)prefix.len);
        found = PyBytes_FromStringAndSize((const char *)&flat, sizeof flat);
    }
    PyBuffer_Release(&prefix);
    return found;
}

/* Hash data for itself under a prefix, into *to*, and go on with *flat* over it. */
static void
absorb(Flat *flat, const Py_buffer *data, const Py_buffer *prefix, uint8_t *to)
{
    size_t size = (size_t)data->len, left;
    Piece piece = {prefix->buf, (size_t)prefix->len, data->buf, size};
    Queue queue = {&piece, 1, to};
    Lane whole, own;
    make_idle(&own);
    /* It takes the only piece, so that the other lane keeps what it has. */
    next_of(&own, &queue);
    whole.to = NULL;
    memcpy(whole.message.state, flat->state, sizeof flat->state);
    left = begin(&whole.message, flat->held, flat->size % BLOCK, data->buf, size, 0, 0);
    hash_all(&whole, &own, &queue);
    flat->size += size;
    memcpy(flat->state, whole.message.state, sizeof flat->state);
    memcpy(flat->held, whole.message.tail, left);
}

/* Copy what Python kept of a flat hash.  Return 0, or -1 with an error set. */
static int
read_flat(Flat *flat, const Py_buffer *kept)
{
    if (check_sha(0))
        return -1;
    if (kept->len != sizeof *flat)
        return refuse("this is no hash to go on with");
    memcpy(flat, kept->buf, sizeof *flat);
    return 0;
}

PyDoc_STRVAR(absorb_doc, "absorb(flat, data, prefix): (flat, hash of data).");

static PyObject *
speed_absorb(PyObject *module, PyObject *args)
{
    Py_buffer kept, data, prefix;
    PyObject *found = NULL;
    Flat flat;
    uint8_t digest[DIGEST];
    (void)module;
    if (!PyArg_ParseTuple(args, "y*y*y*", &kept, &data, &prefix))
        return NULL;
    if (!check_sha(prefix.len) && !read_flat(&flat, &kept)) {
        COMPUTE((size_t)data.len, absorb(&flat, &data, &prefix, digest));
        found = Py_BuildValue("y#y#", (const char *)&flat, (Py_ssize_t)sizeof flat,
                              (const char *)digest, (Py_ssize_t)DIGEST);
    }
    PyBuffer_Release(&kept);
    PyBuffer_Release(&data);
    PyBuffer_Release(&prefix);
    return found;
}

PyDoc_STRVAR(end_doc, "end(flat): the hash of all that it went over.");

static PyObject *
speed_end(PyObject *module, PyObject *args)
{
    Py_buffer kept;
    PyObject *found = NULL;
    Flat flat;
    Lane lane, idle;
    uint8_t digest[DIGEST];
    Queue none = {NULL, 0, NULL};
    (void)module;
    if (!PyArg_ParseTuple(args, "y*", &kept))
        return NULL;
    if (!read_flat(&flat, &kept)) {
        make_idle(&idle);
        lane.to = digest;
        lane.second = 0;
        memcpy(lane.message.state, flat.state, sizeof flat.state);
        begin(&lane.message, flat.held, flat.size % BLOCK, flat.held, 0, flat.size, 1);
        hash_all(&lane, &idle, &none);
        found = PyBytes_FromStringAndSize((const char *)digest, DIGEST);
    }
    PyBuffer_Release(&kept);
    return found;
}

static PyMethodDef methods[] = {
    {"hashes", speed_hashes, METH_VARARGS, hashes_doc},
    {"row_above", speed_row_above, METH_VARARGS, row_doc},
    {"tables", speed_tables, METH_VARARGS, tables_doc},
    {"product", speed_product, METH_VARARGS, product_doc},
    {"encode", speed_encode, METH_VARARGS, encode_doc},
    {"flat", speed_flat, METH_VARARGS, flat_doc},
    {"absorb", speed_absorb, METH_VARARGS, absorb_doc},
    {"end", speed_end, METH_VARARGS, end_doc},
    {NULL, NULL, 0, NULL},
};

static void
look_at_processor(void)
{
#if HAVE_X86
    unsigned a, b, c, d;
    __builtin_cpu_init();
    if (__builtin_cpu_supports("ssse3"))
        product_level = SSSE3;
    if (__builtin_cpu_supports("avx2"))
        product_level = AVX2;
    if (__builtin_cpu_supports("sse4.1") && __get_cpuid_count(7, 0, &a, &b, &c, &d))
        has_sha = b >> 29 & 1;
#endif
}

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "_speed", .m_size = -1, .m_methods = methods,
    .m_doc = "The inner loops of coding; see speed.py.",
};

PyMODINIT_FUNC
PyInit__speed(void)
{
    const char *pure = getenv("TRUCKEE_PURE");
    PyObject *module;
    if (pure && *pure) {
        PyErr_SetString(PyExc_ImportError, "TRUCKEE_PURE is set");
        return NULL;
    }
    look_at_processor();
    module = PyModule_Create(&definition);
    if (module && (PyModule_AddIntConstant(module, "LEVEL", product_level) ||
                   PyModule_AddObjectRef(module, "SHA", has_sha ? Py_True : Py_False)))
        Py_CLEAR(module);
    return module;
}
