// Runs wasm/browser/sonica-client.mjs for the tests: a document of calls in, a line of results out.
import { readFileSync } from "node:fs";
import { SonicaClient, decodeWithWebAudio } from "../../../wasm/browser/sonica-client.mjs";
import { Kernel } from "../../../wasm/browser/sonica-fingerprint.mjs";

const { url, wasm, options = {}, calls } = JSON.parse(readFileSync(0, "utf8"));
const kernel = wasm ? await Kernel.load(readFileSync(wasm)) : undefined;

// What a browser has and Node has not: a decoder, here of 16-bit stereo at 16 kHz.
globalThis.OfflineAudioContext = class {
  async decodeAudioData(bytes) {
    const values = new Int16Array(bytes.slice(44));
    const channel = (first) => Float32Array.from({ length: values.length / 2 }, (_, at) => values[2 * at + first] / 32768);
    return { numberOfChannels: 2, getChannelData: channel };
  }
};

const bytesOf = (call) => Buffer.from(call.bytes, "base64");
const samplesOf = (call) => new Float32Array(new Uint8Array(bytesOf(call)).buffer);
const decode = options.webAudio ? decodeWithWebAudio : undefined;
const client = new SonicaClient(url, { ...options, kernel, decode });

const results = [];
for (const call of calls) {
  const signal = call.abortAfterMs === undefined ? undefined : AbortSignal.timeout(call.abortAfterMs);
  try {
    if (call.call === "recognize") results.push(await client.recognize(bytesOf(call), { signal }));
    else if (call.call === "recognizeSamples") results.push(await client.recognizeSamples(samplesOf(call), { signal }));
    else if (call.call === "recognizeFingerprint") results.push(await client.recognizeFingerprint(bytesOf(call), { signal }));
    else results.push(await client.known(call.key, { signal }));
  } catch (error) {
    results.push({ error: error.name, message: error.message, code: error.code, status: error.status, requestId: error.requestId });
  }
}
console.log(JSON.stringify(results));
