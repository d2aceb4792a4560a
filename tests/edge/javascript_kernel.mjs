// Serves sonica-fingerprint.mjs to the tests: a JSON line and bytes in, a JSON line and bytes out.
import { readFileSync, readSync, writeSync } from "node:fs";
import { checkFile, openManifest } from "../../wasm/browser/sonica-bundle.mjs";
import { Kernel, OTHER_SPEEDS } from "../../wasm/browser/sonica-fingerprint.mjs";

const kernel = await Kernel.load(readFileSync(process.argv[2]));

const readExactly = (length) => {
  const buffer = Buffer.alloc(length);
  for (let filled = 0; filled < length; ) {
    const count = readSync(0, buffer, filled, length - filled, null);
    if (count === 0) process.exit(0);
    filled += count;
  }
  return buffer;
};

const readLine = () => {
  const bytes = [];
  for (let byte = readExactly(1)[0]; byte !== 10; byte = readExactly(1)[0]) bytes.push(byte);
  return Buffer.from(bytes).toString();
};

const copied = (payload) => Uint8Array.from(payload);

const calls = {
  version: () => kernel.version,
  extract: (payload, taken) => kernel.extract(new Float32Array(copied(payload).buffer), taken),
  otherSpeeds: () => OTHER_SPEEDS,
  versionOf: async (_payload, url) => (await Kernel.load(url)).version,
  loadHotIndex: (payload) => kernel.loadHotIndex(payload),
  hotIndex: () => kernel.hotIndex,
  hotIndexesAroundALoad: async (payload) => {
    const loading = kernel.loadHotIndex(payload);
    const meanwhile = kernel.hotIndex;
    await loading;
    return [meanwhile, kernel.hotIndex];
  },
  loadTwoHotIndexes: async (payload, firstLength) => {
    const [first, second] = [payload.subarray(0, firstLength), payload.subarray(firstLength)];
    await Promise.all([kernel.loadHotIndex(first), kernel.loadHotIndex(second)]);
    return kernel.hotIndex;
  },
  openManifest: (payload, publicKeys) => openManifest(new TextDecoder().decode(payload), publicKeys),
  checkFile: async (payload, file) => (await checkFile(payload, file)) ?? null,
  recognize: (payload, falseAcceptRate) => kernel.recognize(payload, { falseAcceptRate: falseAcceptRate ?? undefined }),
};

for (;;) {
  const { call, args, length } = JSON.parse(readLine());
  const payload = readExactly(length);
  let result = null;
  let answer = new Uint8Array(0);
  try {
    const returned = await calls[call](payload, ...args);
    if (returned instanceof Uint8Array) answer = returned;
    else result = returned;
  } catch (error) {
    result = { error: error.message };
  }
  writeSync(1, JSON.stringify({ result, length: answer.length }) + "\n");
  for (let sent = 0; sent < answer.length; ) sent += writeSync(1, answer, sent);
}
