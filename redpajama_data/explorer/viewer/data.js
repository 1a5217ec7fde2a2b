"use strict";
// The data of the page: unpacked once, in columns. Text of documents is only ever set as textContent.

const byId = (id) => document.getElementById(id);

async function unpack(id) {
  const held = byId(id);
  if (!held) return null;
  const packed = atob(held.textContent);
  held.remove();
  const bytes = new Uint8Array(packed.length);
  for (let i = 0; i < packed.length; i++) bytes[i] = packed.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

async function unpackJson(id) {
  const data = await unpack(id);
  return data && JSON.parse(new TextDecoder().decode(data));
}

async function load() {
  const about = await unpackJson("about");
  const n = about.rows;
  const columns = await unpack("columns");
  let at = 0;
  const take = (Kind, size) => {
    const part = new Kind(columns.slice(at, at + size * Kind.BYTES_PER_ELEMENT));
    at += size * Kind.BYTES_PER_ELEMENT;
    return part;
  };
  const data = { about, n, axes: {}, kinds: {}, numbers: {} };
  for (const name of about.axes) data.axes[name] = take(Uint16Array, n);
  for (const name of Object.keys(about.kinds)) data.kinds[name] = take(Uint16Array, n);
  for (const name of about.numbers) data.numbers[name] = take(Float32Array, n);
  data.cards = await unpackJson("cards");
  data.vectors = new Int8Array(await unpack("vectors"));
  data.words = await loadWords(about.dimensions);
  data.texts = await unpackJson("texts");
  // Above the limit texts are beside the page, for `rpj explore --serve`; a page from disk asks nobody for them.
  data.served = !data.texts && location.protocol.startsWith("http");
  return data;
}

async function fetchJson(path) {
  const answer = await fetch(path, { credentials: "omit" });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

// Text and meta of a document; null where they are not to be had.
async function textOf(data, i) {
  if (data.texts) return data.texts[i];
  return data.served ? fetchJson(`text/${i}`) : null;
}

// The documents that have all the words, as a mask; null for no words. Without texts: in title and address.
async function found(data, words) {
  const asked = words.toLowerCase().split(/\s+/).filter(Boolean);
  if (!asked.length) return null;
  const mask = new Uint8Array(data.n);
  if (data.served) {
    for (const i of await fetchJson(`search?q=${encodeURIComponent(asked.join(" "))}`)) mask[i] = 1;
    return mask;
  }
  for (let i = 0; i < data.n; i++) {
    const card = data.cards[i];
    const where = [card.title, card.url, data.texts ? data.texts[i].text : ""].join("\n").toLowerCase();
    mask[i] = asked.every((word) => where.includes(word)) ? 1 : 0;
  }
  return mask;
}

// The documents with the largest cosine to one: vectors have equal length, but for rounding.
function nearest(data, i, count) {
  const width = data.about.dimensions, vectors = data.vectors;
  const best = [];
  for (let j = 0; j < data.n; j++) {
    if (j === i) continue;
    let sum = 0, length = 0;
    for (let k = 0; k < width; k++) {
      const value = vectors[j * width + k];
      sum += value * vectors[i * width + k];
      length += value * value;
    }
    const cosine = length ? sum / Math.sqrt(length) : -1e9;
    if (best.length < count || cosine > best[best.length - 1][0]) {
      let place = best.length;
      while (place && best[place - 1][0] < cosine) place--;
      best.splice(place, 0, [cosine, j]);
      if (best.length > count) best.pop();
    }
  }
  let own = 0;
  for (let k = 0; k < width; k++) own += vectors[i * width + k] ** 2;
  return best.map(([cosine, j]) => [own ? cosine / Math.sqrt(own) : 0, j]);
}
