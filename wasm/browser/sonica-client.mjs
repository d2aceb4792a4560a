// A client of a Sonica service for browsers, Node and workers: a clip in, the song out.
//
//   const client = new SonicaClient("https://sonica.example", { kernel: await Kernel.load("/fingerprint.wasm") });
//   const answer = await client.recognizeSamples(samples);
//   if (answer.status === "match") console.log(answer.matches[0].song.title);
//
// With a kernel (sonica-fingerprint.mjs) the fingerprint is sent, a tenth of the audio or less, which nobody can play;
// without one, or where the service reads fingerprints of another version, the audio is. A clip without an answer is
// asked about again at other speeds, a request each: it may be from a turntable, the radio or a DJ.

const FINGERPRINT = "application/vnd.sonica.fingerprint";
const SAMPLE_RATE_HZ = 16_000;
const CLIP_SECONDS_MAX = 20; // what a service uses of a clip
const OTHER_SPEEDS = [0.94, 1.06]; // as in sonica-fingerprint.mjs
const RETRY_SECONDS_MAX = 5; // a service that asks for more than that is for the caller to wait for
const FINGERPRINT_REFUSALS = ["invalid_fingerprint", "unsupported_audio"];

/**
 * @typedef {object} Answer what POST /v1/recognize says; it may have more fields
 * @property {string} request_id
 * @property {"match" | "no_match"} status
 * @property {null | "silence" | "too_short" | "below_threshold"} reason
 * @property {{duration_ms: number, fingerprint_version: number, sha256: string}} query `sha256` is what `known` takes
 * @property {{song: Song, score: number, offset_ms: number, segments: Segment[]}[]} matches
 * @property {boolean} ambiguous
 * @property {boolean} degraded the catalogue is away: some songs have an id and nothing else
 * @property {"edge" | "origin"} tier
 * @property {string} cache
 *
 * @typedef {{id: number, external_id: ?string, title: ?string, artist: ?string, album: ?string, isrc: ?string,
 *   language: ?string, genre: ?string, duration_ms: ?number}} Song
 * @typedef {{query_start_ms: number, query_end_ms: number, song_start_ms: number, song_end_ms: number, speed: number}}
 *   Segment
 * @typedef {Blob | ArrayBuffer | ArrayBufferView} Clip an audio file
 * @typedef {(clip: Clip) => Promise<Float32Array>} Decode
 */

/** Why there is no answer: a problem of the service (RFC 9457), or none when nothing that speaks Sonica answered. */
export class SonicaError extends Error {
  /** @param {string} message @param {{status?: number, code?: string, requestId?: string, retryAfterSeconds?: number, cause?: unknown}} details */
  constructor(message, { status = 0, code = "unreachable", requestId, retryAfterSeconds, cause } = {}) {
    super(message, { cause });
    this.name = "SonicaError";
    /** HTTP's, 0 when nothing answered. */
    this.status = status;
    /** The service's stable word for it; `unreachable`, `timeout`. */
    this.code = code;
    this.requestId = requestId;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

/** Asks one service. */
export class SonicaClient {
  #url;
  #kernel;
  #decode;
  #otherSpeeds;
  #headers;
  #timeoutMs;
  #fetch;

  /**
   * @param {string | URL} url of the service
   * @param {object} options
   * @param {{extract(samples: Float32Array, taken?: {speed: number}): Uint8Array}} [options.kernel] for fingerprints
   * @param {Decode} [options.decode] makes 16 kHz mono samples of an audio file, `decodeWithWebAudio` in browsers
   * @param {number[]} [options.otherSpeeds] to ask again at, a request each, when there is no answer; [] for none
   * @param {string} [options.token] an API key or a JWT
   * @param {number} [options.timeoutMs] of one try
   * @param {typeof fetch} [options.fetch]
   */
  constructor(url, options = {}) {
    const { kernel, decode, otherSpeeds = OTHER_SPEEDS, token, timeoutMs = 20_000, fetch = globalThis.fetch } = options;
    this.#url = String(url).replace(/\/+$/, "");
    this.#kernel = kernel;
    this.#decode = decode;
    this.#otherSpeeds = otherSpeeds;
    this.#headers = token ? { authorization: `Bearer ${token}` } : {};
    this.#timeoutMs = timeoutMs;
    this.#fetch = (...given) => fetch(...given);
  }

  /**
   * Recognize an audio file of any format that the service reads.
   * @param {Clip} clip @param {{signal?: AbortSignal}} [options] @returns {Promise<Answer>} @throws {SonicaError}
   */
  async recognize(clip, { signal } = {}) {
    return this.#postLightly(await this.#samplesOf(clip), { body: clip, type: "application/octet-stream" }, signal);
  }

  /**
   * Recognize samples.
   * @param {Float32Array} samples mono, 16 kHz, full scale 1
   * @param {{signal?: AbortSignal}} [options] @returns {Promise<Answer>} @throws {SonicaError}
   */
  async recognizeSamples(samples, { signal } = {}) {
    const used = samples.subarray(0, CLIP_SECONDS_MAX * SAMPLE_RATE_HZ);
    const audio = { body: l16(used), type: `audio/L16;rate=${SAMPLE_RATE_HZ};channels=1` };
    return this.#postLightly(used, audio, signal);
  }

  /**
   * Recognize a fingerprint in the wire format, as `Kernel.extract` makes it.
   * @param {Uint8Array} fingerprint @param {{signal?: AbortSignal}} [options]
   * @returns {Promise<Answer>} @throws {SonicaError}
   */
  async recognizeFingerprint(fingerprint, { signal } = {}) {
    return this.#post({ body: fingerprint, type: FINGERPRINT }, signal);
  }

  /**
   * Ask what the service, or a cache on the way, knows of a fingerprint.
   * @param {string} key `query.sha256` of an answer
   * @param {{signal?: AbortSignal}} [options] @returns {Promise<Answer | null>} null when nothing is known
   * @throws {SonicaError}
   */
  async known(key, { signal } = {}) {
    try {
      return await this.#answer(`/v1/match/${encodeURIComponent(key)}`, {}, signal);
    } catch (error) {
      if (error.code === "match_not_found") return null;
      throw error;
    }
  }

  /** A file that cannot be decoded here is the service's to judge. */
  async #samplesOf(clip) {
    if (!this.#decode || !this.#kernel) return null;
    try {
      return (await this.#decode(clip)).subarray(0, CLIP_SECONDS_MAX * SAMPLE_RATE_HZ);
    } catch {
      return null;
    }
  }

  /** Post fingerprints of the samples; the audio where none can be made, or none is taken by the service. */
  async #postLightly(samples, audio, signal) {
    if (!this.#kernel || !samples?.length) return this.#post(audio, signal);
    let answer;
    try {
      answer = await this.recognizeFingerprint(this.#kernel.extract(samples), { signal });
    } catch (error) {
      if (!FINGERPRINT_REFUSALS.includes(error.code)) throw error;
      return this.#post(audio, signal);
    }
    return answer.reason === "below_threshold" ? ((await this.#atOtherSpeeds(samples, signal)) ?? answer) : answer;
  }

  /** Ask about the clip as if it played too fast or too slowly; null where that names no song either. */
  async #atOtherSpeeds(samples, signal) {
    try {
      for (const speed of this.#otherSpeeds) {
        const answer = await this.recognizeFingerprint(this.#kernel.extract(samples, { speed }), { signal });
        if (answer.status === "match") return answer;
      }
    } catch (error) {
      if (!(error instanceof SonicaError)) throw error; // else there is an answer already
    }
    return null;
  }

  #post({ body, type }, signal) {
    return this.#answer("/v1/recognize", { method: "POST", body, headers: { "content-type": type } }, signal);
  }

  /** Ask, and once more when the service is busy or away: asking changes nothing there. */
  async #answer(path, request, signal) {
    try {
      return await this.#asked(path, request, signal);
    } catch (error) {
      const seconds = error.retryAfterSeconds ?? 1;
      if (![0, 429, 503].includes(error.status) || error.code === "timeout" || seconds > RETRY_SECONDS_MAX) throw error;
      await pause(seconds * 1000, signal);
      return this.#asked(path, request, signal);
    }
  }

  async #asked(path, request, signal) {
    const timeout = AbortSignal.timeout(this.#timeoutMs);
    const headers = { accept: "application/json", ...this.#headers, ...request.headers };
    const either = signal ? AbortSignal.any([signal, timeout]) : timeout;
    try {
      const response = await this.#fetch(this.#url + path, { ...request, headers, signal: either });
      return understood(response, await response.text(), this.#url);
    } catch (cause) {
      if (cause instanceof SonicaError || signal?.aborted) throw cause;
      const code = timeout.aborted ? "timeout" : "unreachable";
      throw new SonicaError(`${this.#url} does not answer: ${cause.message}`, { code, cause });
    }
  }
}

/**
 * Decode an audio file in a browser: 16 kHz, the mean of the channels.
 * @type {Decode}
 */
export async function decodeWithWebAudio(clip) {
  const bytes = await new Response(clip).arrayBuffer();
  const sound = await new OfflineAudioContext(1, 1, SAMPLE_RATE_HZ).decodeAudioData(bytes);
  const channels = Array.from({ length: sound.numberOfChannels }, (_, channel) => sound.getChannelData(channel));
  return channels[0].map((_, at) => channels.reduce((sum, samples) => sum + samples[at], 0) / channels.length);
}

function understood(response, text, url) {
  let document = null;
  try {
    document = JSON.parse(text);
  } catch {
    // said below
  }
  if (response.ok && document?.status) return document;
  if (response.ok || !document?.code) {
    throw new SonicaError(`what answers at ${url} is not Sonica: status ${response.status}`, { code: "not_sonica", status: response.status });
  }
  const stated = response.headers.get("retry-after");
  throw new SonicaError(document.detail ?? document.title ?? document.code, {
    status: response.status,
    code: document.code,
    requestId: document.request_id,
    retryAfterSeconds: /^\d+$/.test(stated ?? "") ? Number(stated) : undefined,
  });
}

/** 16-bit integers, big-endian (RFC 2586). */
function l16(samples) {
  const view = new DataView(new ArrayBuffer(samples.length * 2));
  samples.forEach((sample, at) => view.setInt16(at * 2, Math.max(-32768, Math.min(32767, Math.round(sample * 32768)))));
  return view.buffer;
}

async function pause(milliseconds, signal) {
  signal?.throwIfAborted();
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", stop, { once: true });
  });
}
