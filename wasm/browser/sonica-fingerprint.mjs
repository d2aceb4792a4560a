// Sonica's fingerprint and hot index in JavaScript, over fingerprint.wasm: for browsers, Node and workerd.

export const CONTENT_TYPE = "application/vnd.sonica.fingerprint";
export const SAMPLE_RATE_HZ = 16_000;
export const OTHER_SPEEDS = [0.94, 1.06]; // to ask again at when there is no answer

const MAGIC = 0x50464e53; // "SNFP", little-endian
const HEADER_BYTES = 16;
const CHECKSUM_BYTES = 4;
const THINNING_MAX = 16;

const HASH_BYTES = 32;
const PAGE_BYTES = 65_536;

// As in sonica_fingerprint/fingerprint.py and decision.py.
const STEP_MS = 128;
const SEGMENT_MS = 960;
const EDGE_STEPS = 2;
const SILENCE_DB = 60;
const SPEED_CHANGE_MAX = 0.2;
const OTHER_SPEED_SHARE = 0.1;

/**
 * @typedef {object} Match a song and where in it the clip is, as POST /v1/recognize says it
 * @property {{id: number, external_id: string, title: string, artist: ?string, album: ?string, isrc: ?string,
 *   language: ?string, genre: ?string, duration_ms: number}} song
 * @property {number} score how probable it is that the song is right
 * @property {number} offset_ms where in the song the clip starts
 * @property {Segment[]} segments
 *
 * @typedef {object} Segment a stretch of the clip and the stretch of the song that it is
 * @property {number} query_start_ms
 * @property {number} query_end_ms
 * @property {number} song_start_ms
 * @property {number} song_end_ms
 * @property {number} speed
 *
 * @typedef {object} Answer
 * @property {"match" | "no_match"} status
 * @property {null | "silence" | "too_short" | "below_threshold"} reason
 * @property {Match[]} matches
 *
 * @typedef {{version: string, songs: number, segments: number, sha256: string}} HotIndexSummary
 */

/** The kernel, for one clip at a time: calls do not await, so requests cannot get in each other's way. */
export class Kernel {
  #module;
  #exports;
  #hotIndex = null;
  #loadsBegun = 0;
  #loadInPlace = 0;

  /**
   * Load fingerprint.wasm. Where bytes may not be compiled (workerd), import the module and construct with it.
   * @param {string | URL | BufferSource} urlOrBytes
   * @returns {Promise<Kernel>}
   */
  static async load(urlOrBytes) {
    const given = typeof urlOrBytes === "string" || urlOrBytes instanceof URL;
    return new Kernel(await WebAssembly.compile(given ? await fetched(urlOrBytes) : urlOrBytes));
  }

  /** @param {WebAssembly.Module} module compiled fingerprint.wasm */
  constructor(module) {
    this.#module = module;
    this.#exports = new WebAssembly.Instance(module, {}).exports;
  }

  /** @returns {number} of the fingerprints that this kernel makes and reads */
  get version() {
    return this.#exports.fingerprint_version();
  }

  /**
   * Fingerprint a whole clip.
   * @param {Float32Array} samples mono, 16 kHz, full scale 1
   * @param {{speed?: number}} [taken] how fast the clip is taken to play, whole per cents; it is slowed by that first
   * @returns {Uint8Array} the wire format of sonica_fingerprint/codec.py, of the type CONTENT_TYPE
   */
  extract(samples, { speed = 1 } = {}) {
    if (!(samples instanceof Float32Array)) throw new TypeError("samples must be a Float32Array");
    const records = [];
    this.#exports.reset();
    for (const part of speed === 1 ? [samples] : this.#slowed(samples, speed)) {
      for (const count of this.#written(part)) records.push(this.#segments(this.#exports.push(count)));
    }
    records.push(this.#segments(this.#exports.finish()));
    const durationMs = Math.floor((samples.length * 1000) / SAMPLE_RATE_HZ);
    return encoded(records, this.#exports.segment_bytes(), { version: this.version, durationMs, speed });
  }

  /**
   * Take a bundle of `sonica index build --hot`, once all of it has been checked; until then the one before answers.
   * @param {Uint8Array | ArrayBuffer} bundle is copied
   * @returns {Promise<HotIndexSummary>} rejected for what is no whole bundle of this kernel's version
   */
  async loadHotIndex(bundle) {
    const turn = ++this.#loadsBegun;
    const loaded = await HotIndex.open(this.#module, bundle instanceof Uint8Array ? bundle : new Uint8Array(bundle));
    if (turn > this.#loadInPlace) {
      // Else one that began later has been faster.
      this.#hotIndex = loaded;
      this.#loadInPlace = turn;
    }
    return loaded.summary;
  }

  /** @returns {HotIndexSummary | null} what the bundle in place says of itself */
  get hotIndex() {
    return this.#hotIndex?.summary ?? null;
  }

  /**
   * Find a clip among the songs of the hot index.
   * @param {Uint8Array} fingerprint as `extract` makes it; throws for what is none
   * @param {{falseAcceptRate?: number}} [demand] share of unknown clips that may be answered; the bundle's unless given
   * @returns {Answer | null} null without a hot index, and for clips that are too long for one: ask the origin
   */
  recognize(fingerprint, { falseAcceptRate } = {}) {
    const query = decoded(fingerprint, this.version);
    return this.#hotIndex ? this.#hotIndex.recognize(query, falseAcceptRate) : null;
  }

  /** Return the parts of the samples, slowed. */
  #slowed(samples, speed) {
    const percent = Math.round(100 * speed);
    if (percent / 100 !== speed || Math.abs(percent - 100) > 100 * SPEED_CHANGE_MAX) {
      throw new RangeError(`speed ${speed} is not one of whole per cents within 1 +- ${SPEED_CHANGE_MAX}`);
    }
    this.#exports.resample_start(100, percent);
    const parts = [];
    for (const count of this.#written(samples)) parts.push(this.#resampled(this.#exports.resample_push(count)));
    parts.push(this.#resampled(this.#exports.resample_finish()));
    return parts;
  }

  /** Write the samples into the kernel's input, a portion at a time; yield how many lie there. */
  *#written(samples) {
    const portion = this.#exports.input_samples_max();
    for (let start = 0; start < samples.length; start += portion) {
      const part = samples.subarray(start, start + portion);
      new Float32Array(this.#exports.memory.buffer, this.#exports.input_buffer(), part.length).set(part);
      yield part.length;
    }
  }

  #resampled(count) {
    return new Float32Array(this.#exports.memory.buffer, this.#exports.resampled_buffer(), count).slice();
  }

  /** Copy segments out of the kernel, each its level and then its embedding. */
  #segments(count) {
    const length = count * this.#exports.segment_bytes();
    return new Uint8Array(this.#exports.memory.buffer, this.#exports.output_buffer(), length).slice();
  }
}

async function fetched(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url} answers ${response.status}`);
  return response.arrayBuffer();
}

function encoded(records, recordBytes, { version, durationMs, speed }) {
  const segments = records.reduce((sum, record) => sum + record.length, 0) / recordBytes;
  const body = new Uint8Array(HEADER_BYTES + segments * recordBytes + CHECKSUM_BYTES);
  const view = new DataView(body.buffer);
  view.setUint32(0, MAGIC, true);
  view.setUint8(4, version);
  view.setUint8(5, 1); // thinning
  view.setInt16(6, Math.round(1000 * (speed - 1)), true);
  view.setUint32(8, durationMs, true);
  view.setUint32(12, segments, true);
  let segment = 0;
  for (const record of records) {
    for (let at = 0; at < record.length; at += recordBytes, segment += 1) {
      body[HEADER_BYTES + segment] = record[at];
      body.set(record.subarray(at + 1, at + recordBytes), HEADER_BYTES + segments + segment * (recordBytes - 1));
    }
  }
  const end = body.length - CHECKSUM_BYTES;
  view.setUint32(end, crc32(body.subarray(0, end)), true);
  return body;
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let remainder = byte;
  for (let bit = 0; bit < 8; bit += 1) remainder = remainder & 1 ? (remainder >>> 1) ^ 0xedb88320 : remainder >>> 1;
  return remainder;
});

/** CRC-32 of ISO 3309, as zlib's. */
function crc32(bytes) {
  let remainder = 0xffffffff;
  for (const byte of bytes) remainder = CRC_TABLE[(remainder ^ byte) & 0xff] ^ (remainder >>> 8);
  return ~remainder >>> 0;
}

/** Read the wire form, as sonica_fingerprint/codec.py does. */
function decoded(body, version) {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  if (body.length < HEADER_BYTES + CHECKSUM_BYTES) throw new Error(`${body.length} bytes are too few for a fingerprint`);
  if (view.getUint32(0, true) !== MAGIC) throw new Error("the bytes do not start like a fingerprint");
  const found = view.getUint8(4);
  if (found !== version) throw new Error(`fingerprint version ${found}; this kernel reads ${version}`);
  const [thinning, durationMs, segments] = [view.getUint8(5), view.getUint32(8, true), view.getUint32(12, true)];
  const thousandths = view.getInt16(6, true);
  const speed = (1000 + thousandths) / 1000;
  if (Math.abs(thousandths) > 1000 * SPEED_CHANGE_MAX) throw new Error(`speed ${speed} is beyond 1 +- ${SPEED_CHANGE_MAX}`);
  const end = body.length - CHECKSUM_BYTES;
  if (end !== HEADER_BYTES + segments * 129) throw new Error(`${body.length} bytes do not fit ${segments} segments`);
  if (thinning < 1 || thinning > THINNING_MAX) throw new Error(`thinning ${thinning} is not within 1..${THINNING_MAX}`);
  if (segments * thinning * STEP_MS > durationMs * speed + THINNING_MAX * STEP_MS) {
    throw new Error(`${segments} segments do not fit into ${durationMs} ms`);
  }
  if (view.getUint32(end, true) !== crc32(body.subarray(0, end))) throw new Error("the checksum does not fit");
  const levels = body.subarray(HEADER_BYTES, HEADER_BYTES + segments);
  return { levels, embeddings: body.subarray(HEADER_BYTES + segments, end), durationMs, thinning, speed };
}

/** Keep the segments that start before so many seconds. */
function first(query, seconds) {
  const kept = Math.max(0, Math.ceil(((seconds * query.speed * 1000) / STEP_MS + EDGE_STEPS) / query.thinning));
  return {
    levels: query.levels.subarray(0, kept),
    embeddings: query.embeddings.subarray(0, kept * 128),
    durationMs: Math.min(query.durationMs, Math.round(seconds * 1000)),
    thinning: query.thinning,
    speed: query.speed,
  };
}

/** A bundle (sonica_fingerprint/bundle.py) in a kernel of its own, so that it goes when the next one comes. */
class HotIndex {
  #exports;
  #details;
  #calibration;

  static async open(module, bundle) {
    const { exports } = new WebAssembly.Instance(module, {});
    const start = exports.memory.buffer.byteLength;
    exports.memory.grow(Math.ceil(bundle.length / PAGE_BYTES));
    const copy = new Uint8Array(exports.memory.buffer, start, bundle.length);
    copy.set(bundle);
    if (exports.open_bundle(start, bundle.length) !== 0) {
      const version = exports.fingerprint_version();
      throw new Error(`the ${bundle.length} bytes are no whole bundle of fingerprint version ${version}`);
    }
    const end = copy.length - HASH_BYTES;
    const hash = hex(new Uint8Array(await crypto.subtle.digest("SHA-256", copy.subarray(0, end))));
    if (hash !== hex(copy.subarray(end))) throw new Error("the hash does not fit: the bundle was damaged on its way");
    return new HotIndex(exports, copy, hash);
  }

  constructor(exports, bundle, sha256) {
    const view = new DataView(bundle.buffer, bundle.byteOffset, bundle.byteLength);
    const [songs, segments, detailsBytes] = [8, 12, 16].map((at) => view.getUint32(at, true));
    const end = bundle.length - HASH_BYTES;
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bundle.subarray(end - detailsBytes, end));
    this.#exports = exports;
    this.#details = checkedDetails(JSON.parse(text), songs);
    this.#calibration = new Calibration(this.#details.calibration, this.#details.catalogue_segments);
    this.summary = Object.freeze({ version: this.#details.index_version, songs, segments, sha256 });
  }

  recognize(wholeQuery, falseAcceptRate = this.#details.limits.false_accept_rate) {
    const query = first(wholeQuery, this.#details.limits.clip_seconds_max);
    if (query.levels.length > this.#exports.query_segments_max()) return null;
    if (query.levels.length === 0) return answer([], "too_short");
    if (query.levels.every((level) => level >= SILENCE_DB)) return answer([], "silence");
    const alignments = this.#search(query);
    if (alignments.length === 0) return answer([], "below_threshold");
    const same = (one, other) => this.#exports.same_recording(one.place, other.place) === 1;
    const accepted = decide(query, alignments, same, { falseAcceptRate, calibration: this.#calibration });
    return answer(accepted.map((found) => this.#match(query, found)), "below_threshold");
  }

  /** Return each song's best alignment, most similar first. */
  #search(query) {
    const memory = new Uint8Array(this.#exports.memory.buffer, this.#exports.query_buffer());
    memory.set(query.levels);
    memory.set(query.embeddings, query.levels.length);
    const limit = this.#details.limits.candidates_max;
    const count = Math.max(0, this.#exports.search(query.levels.length, query.thinning, limit));
    const bytes = this.#exports.alignment_bytes();
    const view = new DataView(this.#exports.memory.buffer, this.#exports.alignments_buffer(), count * bytes);
    return Array.from({ length: count }, (_, place) => ({
      place,
      similarity: view.getFloat64(place * bytes, true),
      sharpness: view.getFloat64(place * bytes + 8, true),
      speed: view.getFloat32(place * bytes + 16, true),
      offsetMs: view.getInt32(place * bytes + 20, true) * STEP_MS,
      song: view.getUint32(place * bytes + 24, true),
    }));
  }

  #match(query, { song: ordinal, speed: aligned, offsetMs, score }) {
    const song = this.#details.songs[ordinal];
    const speed = query.speed * aligned;
    const songEndMs = offsetMs + Math.round(query.durationMs * speed);
    const beyondMs = Math.max(0, songEndMs - song.duration_ms); // the clip goes on where the song has ended
    const shownSpeed = Math.round(speed * 1000) / 1000;
    const segment = {
      query_start_ms: Math.max(0, -Math.round(offsetMs / speed)),
      query_end_ms: query.durationMs - Math.round(beyondMs / shownSpeed),
      song_start_ms: Math.max(0, offsetMs),
      song_end_ms: songEndMs - beyondMs,
      speed: shownSpeed,
    };
    return { song, score: Math.round(score * 1e4) / 1e4, offset_ms: offsetMs, segments: [segment] };
  }
}

function answer(matches, reason) {
  return matches.length ? { status: "match", reason: null, matches } : { status: "no_match", reason, matches };
}

function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function checkedDetails(details, songs) {
  const { clip_seconds_max, candidates_max, false_accept_rate } = details.limits;
  const numbers = [clip_seconds_max, candidates_max, false_accept_rate, details.catalogue_segments];
  const known = typeof details.index_version === "string" && details.songs.length === songs;
  if (!known || !numbers.every((number) => number > 0) || !details.songs.every((song) => song.duration_ms >= 0)) {
    throw new Error(`the details are not those of ${songs} songs`);
  }
  return details;
}

/** Return the songs that are the answer, each with its score, as sonica_fingerprint/decision.py does. */
function decide(query, songs, sameRecording, { falseAcceptRate, calibration }) {
  const seconds = secondsHeard(query);
  const score = (song, rival) => calibration.probability(song, rival, seconds);
  const [most, second] = [songs[0].similarity, songs[1]?.similarity ?? 0];
  const scores = songs.map((song, place) => score(song, place === 0 ? second : most));
  const best = songs[scores.indexOf(Math.max(...scores))];
  const shared = [best, ...songs.filter((song) => song !== best && sameRecording(best, song))];
  const rival = songs.find((song) => !shared.includes(song))?.similarity ?? 0;
  const ranked = shared.map((song) => ({ ...song, score: score(song, rival) }));
  const rate = falseAcceptRate * (query.speed === 1 ? 1 : OTHER_SPEED_SHARE);
  return ranked[0].score >= calibration.scoreMin(seconds, rate) ? ranked : [];
}

/** How much of the query is not silent: what is made up around the edges does not count. */
function secondsHeard({ levels, thinning }) {
  const loud = levels.reduce((count, level) => count + (level < SILENCE_DB ? 1 : 0), 0);
  return (SEGMENT_MS + Math.max(0, loud * thinning - 1 - 2 * EDGE_STEPS) * STEP_MS) / 1000;
}

/** From evidence to probability, as sonica_fingerprint/calibration.py does, by the numbers that the bundle holds. */
class Calibration {
  #curves;
  #limits;
  #logGrowth;

  constructor({ curves, catalogue_segments, margin_max, rate_max, log_growth_max }, segments) {
    this.#curves = curves;
    this.#limits = { margin_max, rate_max };
    this.#logGrowth = Math.max(-log_growth_max, Math.log(Math.max(1, segments) / catalogue_segments));
    const rate = Math.min(rate_max, 0.01);
    const tried = [this.scoreMin(1, rate), this.probability({ similarity: 0.5, sharpness: 0.5 }, 0, 1)];
    if (!tried.every((score) => score >= 0 && score <= 1)) throw new Error("the calibration is none");
  }

  probability({ similarity, sharpness }, rival, seconds) {
    const margin = Math.max(-this.#limits.margin_max, Math.min(this.#limits.margin_max, similarity - rival));
    const logOdds = (curve) =>
      curve.intercept + curve.similarity * similarity + curve.margin * margin + curve.sharpness * sharpness;
    return logistic(this.#byLength(seconds, logOdds) - this.#logGrowth);
  }

  /** The score from which a match of a clip this long is accepted. */
  scoreMin(seconds, falseAcceptRate) {
    const rate = Math.log(Math.min(this.#limits.rate_max, falseAcceptRate / Math.exp(this.#logGrowth)));
    return logistic(this.#byLength(seconds, (curve) => logOddsMin(curve, rate)) - this.#logGrowth);
  }

  #byLength(seconds, value) {
    return interpolated(Math.log(seconds), this.#curves.map((curve) => [Math.log(curve.seconds), value(curve)]));
  }
}

function logOddsMin(curve, logRate) {
  const points = curve.thresholds.map((threshold) => [Math.log(threshold.false_accept_rate), threshold.log_odds]);
  const [[rarest, highest], [next, lower]] = points;
  if (logRate < rarest) return highest + ((highest - lower) * (rarest - logRate)) / (next - rarest);
  return interpolated(logRate, points);
}

function logistic(logOdds) {
  return 1 / (1 + Math.exp(-Math.max(-50, Math.min(50, logOdds))));
}

function interpolated(x, points) {
  if (x <= points[0][0]) return points[0][1];
  for (let n = 1; n < points.length; n += 1) {
    const [[left, low], [right, high]] = [points[n - 1], points[n]];
    if (x <= right) return low + ((high - low) * (x - left)) / (right - left);
  }
  return points.at(-1)[1];
}
