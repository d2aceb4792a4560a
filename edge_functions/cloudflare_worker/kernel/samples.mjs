// PCM frames of any rate and layout become mono samples at 16 kHz, as the origin makes them.

const RATE_HZ = 16_000;
const FULL_SCALE_MAX = 32; // floats beyond it are scaled like integers, which the origin knows how to mend
const ZERO_CROSSINGS = 48; // on either side of the middle: telephone clips come out as soxr makes them, cosine 0.9999
const CUTOFF = 0.955; // of the lower Nyquist frequency
const KAISER_BETA = 8; // side lobes 80 dB down
const FILTER_TAPS_MAX = 131_072; // exact for every common rate (11,025 Hz needs 640 x 102); others round the phase

/** @type {Record<string, (view: DataView, at: number, little: boolean) => number>} what reads a sample */
const READERS = {
  u8: (view, at) => (view.getUint8(at) - 128) / 128,
  s16: (view, at, little) => view.getInt16(at, little) / 32_768,
  s24: (view, at) => ((view.getInt8(at + 2) << 16) | view.getUint16(at, true)) / 8_388_608,
  s32: (view, at, little) => view.getInt32(at, little) / 2_147_483_648,
  f32: (view, at, little) => view.getFloat32(at, little),
};

/**
 * @typedef {{form: string, rate_hz: number, channels: number, big_endian: boolean}} Form as sonica_fingerprint.pcm.Pcm
 * @param {ArrayBuffer} data interleaved samples; a frame cut in two is dropped
 * @param {Form} form
 * @returns {Float32Array | null} mono, 16 kHz, full scale 1; null for samples that are no finite numbers of that scale
 */
export function monoSamples(data, form) {
  const mono = mixed(new DataView(data), form);
  return mono && (form.rate_hz === RATE_HZ ? mono : resampled(mono, form.rate_hz));
}

function mixed(view, { form, channels, big_endian }) {
  const bytes = Number(form.slice(1)) / 8;
  const read = READERS[form];
  const mono = new Float32Array(Math.floor(view.byteLength / (bytes * channels)));
  for (let frame = 0, at = 0; frame < mono.length; frame += 1) {
    let sum = 0;
    for (let channel = 0; channel < channels; channel += 1, at += bytes) {
      const sample = read(view, at, !big_endian);
      if (!(Math.abs(sample) <= FULL_SCALE_MAX)) return null;
      sum += sample;
    }
    mono[frame] = sum / channels;
  }
  return mono;
}

/** Band-limited interpolation: a windowed sinc around each sample of the output, no delay, as long as soxr's. */
function resampled(samples, rateHz) {
  const { phases, reach, taps } = filter(rateHz);
  const width = 2 * reach;
  const output = new Float32Array(Math.round((samples.length * RATE_HZ) / rateHz));
  for (let n = 0; n < output.length; n += 1) {
    const position = Math.round((n * rateHz * phases) / RATE_HZ); // in phases of an input sample
    const first = Math.floor(position / phases) - reach + 1;
    const phase = (position % phases) * width - first;
    const end = Math.min(samples.length, first + width);
    let sum = 0;
    for (let at = Math.max(0, first); at < end; at += 1) sum += samples[at] * taps[phase + at];
    output[n] = sum;
  }
  return output;
}

let latest = { rateHz: 0, phases: 1, reach: 0, taps: new Float32Array() }; // clips come at a rate or two

function filter(rateHz) {
  if (latest.rateHz === rateHz) return latest;
  const scale = Math.min(1, RATE_HZ / rateHz) * CUTOFF; // cut-off in Nyquists of the input
  const reach = Math.ceil(ZERO_CROSSINGS / scale);
  const phases = Math.min(RATE_HZ / greatestCommonDivisor(RATE_HZ, rateHz), Math.floor(FILTER_TAPS_MAX / (2 * reach)));
  const taps = new Float32Array(phases * 2 * reach);
  for (let phase = 0; phase < phases; phase += 1) {
    for (let tap = 0; tap < 2 * reach; tap += 1) {
      const distance = tap - reach + 1 - phase / phases;
      taps[phase * 2 * reach + tap] = scale * sinc(scale * distance) * kaiser(distance / reach);
    }
  }
  latest = { rateHz, phases, reach, taps };
  return latest;
}

const sinc = (x) => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));
const kaiser = (x) => (Math.abs(x) > 1 ? 0 : bessel(KAISER_BETA * Math.sqrt(1 - x * x)) / bessel(KAISER_BETA));
const greatestCommonDivisor = (a, b) => (b === 0 ? a : greatestCommonDivisor(b, a % b));

/** The modified Bessel function of order zero, by its power series. */
function bessel(x) {
  let sum = 1;
  for (let term = 1, k = 1; term > 1e-9 * sum; k += 1) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}
