// The vector of a pasted text, as explorer/terms.py and explorer/basis.py make those of the documents.

const U64 = (1n << 64n) - 1n;
const READ = 4000, BUCKET_BITS = 20n;
// The first 96 bytes of XXH3's default secret; a word has 96 bytes at most.
const SECRET = Uint8Array.from(("b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671fcb79e64eccc0e578825ad07dccff7221"
  + "b8084674f743248ee03590e6813a264c3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8").match(/../g), (hex) => parseInt(hex, 16));

const le = (bytes, at, count) => {
  let value = 0n;
  for (let i = count - 1; i >= 0; i--) value = value << 8n | BigInt(bytes[at + i]);
  return value;
};
const swap = (value, count) => {
  let out = 0n;
  for (let i = 0; i < count; i++) { out = out << 8n | value & 255n; value >>= 8n; }
  return out;
};
const rotl = (value, by) => (value << by | value >> (64n - by)) & U64;
const times = (a, b) => a * b & U64;
const folded = (a, b) => { const product = a * b; return (product ^ product >> 64n) & U64; };
const mixed = (bytes, at, secret) => folded(le(bytes, at, 8) ^ le(SECRET, secret, 8), le(bytes, at + 8, 8) ^ le(SECRET, secret + 8, 8));
const PRIME1 = 0x9E3779B185EBCA87n, PRIME2 = 0xC2B2AE3D27D4EB4Fn, PRIME3 = 0x165667B19E3779F9n;

function avalanche(value) {
  const found = times(value ^ value >> 37n, 0x165667919E3779F9n);
  return found ^ found >> 32n;
}

// XXH3-64 of up to 96 bytes, without a seed.
function xxh3(bytes) {
  const size = bytes.length, length = BigInt(size);
  if (size < 4) {
    let h = BigInt(bytes[0]) << 16n | BigInt(bytes[size >> 1]) << 24n | BigInt(bytes[size - 1]) | length << 8n;
    h ^= le(SECRET, 0, 4) ^ le(SECRET, 4, 4);
    h = times(h ^ h >> 33n, PRIME2);
    h = times(h ^ h >> 29n, PRIME3);
    return h ^ h >> 32n;
  }
  if (size < 9) {
    let h = le(bytes, size - 4, 4) + (le(bytes, 0, 4) << 32n) ^ le(SECRET, 8, 8) ^ le(SECRET, 16, 8);
    h = times(h ^ rotl(h, 49n) ^ rotl(h, 24n), 0x9FB21C651E98DF25n);
    h = times(h ^ ((h >> 35n) + length & U64), 0x9FB21C651E98DF25n);
    return h ^ h >> 28n;
  }
  if (size < 17) {
    const low = le(bytes, 0, 8) ^ le(SECRET, 24, 8) ^ le(SECRET, 32, 8);
    const high = le(bytes, size - 8, 8) ^ le(SECRET, 40, 8) ^ le(SECRET, 48, 8);
    return avalanche(length + swap(low, 8) + high + folded(low, high) & U64);
  }
  let sum = length * PRIME1;
  if (size > 64) sum += mixed(bytes, 32, 64) + mixed(bytes, size - 48, 80);
  if (size > 32) sum += mixed(bytes, 16, 32) + mixed(bytes, size - 32, 48);
  sum += mixed(bytes, 0, 0) + mixed(bytes, size - 16, 16);
  return avalanche(sum & U64);
}

// The words of a text with how often each is there. Scripts without spaces give pairs of characters.
function wordsOf(text) {
  const head = [...text].slice(0, READ).join("").toLowerCase(), counts = new Map();
  const add = (word) => counts.set(word, (counts.get(word) || 0) + 1);
  for (const [word] of head.matchAll(/[\p{L}\p{Nl}\p{No}]{2,24}/gu)) {
    if (word < "\u2e80") { add(word); continue; }
    const letters = [...word];
    for (let i = 0; i + 1 < letters.length; i++) add(letters[i] + letters[i + 1]);
  }
  return counts;
}

const bucketOf = (word) => Number(xxh3(new TextEncoder().encode(word)) & (1n << BUCKET_BITS) - 1n);

async function loadWords(dimensions) {
  const held = await unpack("words");
  if (!held) return null;
  const middle = new Float32Array(held, 0, dimensions);
  const count = (held.byteLength - 4 * dimensions) / (12 + dimensions);
  let at = 4 * dimensions;
  const take = (Kind, size) => {
    const part = new Kind(held, at, size);
    at += size * Kind.BYTES_PER_ELEMENT;
    return part;
  };
  const steps = take(Uint32Array, count), weights = take(Float32Array, count), scales = take(Float32Array, count);
  const axes = take(Int8Array, count * dimensions), places = new Map();
  let bucket = 0;
  steps.forEach((step, i) => places.set(bucket += step, i));
  return { middle, weights, scales, axes, places };
}

// A vector of length 1; null for a text without a word that the map knows.
function vectorOf(text, known) {
  const { middle, weights, scales, axes, places } = known, width = middle.length;
  const counts = new Map(), out = new Float64Array(width);
  for (const [word, count] of wordsOf(text)) {
    const bucket = bucketOf(word);
    counts.set(bucket, (counts.get(bucket) || 0) + count);
  }
  for (const [bucket, count] of counts) {
    const row = places.get(bucket);
    if (row === undefined) continue;
    const value = (1 + Math.log(count)) * weights[row];
    for (let k = 0; k < width; k++) out[k] += value * scales[row] * axes[row * width + k];
  }
  return out.some((value) => value) ? unit(unit(out).map((value, k) => value - middle[k])) : null;
}

function unit(vector) {
  const length = Math.hypot(...vector) || 1;
  return vector.map((value) => value / length);
}

// The cosine of every document with a vector of length 1.
function cosinesWith(vector, data) {
  const width = vector.length, vectors = data.vectors, found = new Float32Array(data.n);
  for (let i = 0; i < data.n; i++) {
    let sum = 0, length = 0;
    for (let k = 0; k < width; k++) {
      const value = vectors[i * width + k];
      sum += value * vector[k];
      length += value * value;
    }
    found[i] = length ? sum / Math.sqrt(length) : 0;
  }
  return found;
}
