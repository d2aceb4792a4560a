// Times the hot index in Node: node time_hot_index.mjs WASM BUNDLE REPEATS FINGERPRINT... prints JSON.
import { readFileSync } from "node:fs";
import { Kernel } from "../../wasm/browser/sonica-fingerprint.mjs";

const [wasm, bundlePath, repeats, ...queries] = process.argv.slice(2);

const cpuMs = async (work) => {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
};

const median = (values) => values.sort((one, other) => one - other)[Math.floor(values.length / 2)];

const kernel = await Kernel.load(readFileSync(wasm));
const bundle = readFileSync(bundlePath);
const loadMs = await cpuMs(() => kernel.loadHotIndex(bundle));
const searches = [];
for (const path of queries) {
  const fingerprint = new Uint8Array(readFileSync(path));
  const spent = [];
  for (let turn = 0; turn <= Number(repeats); turn += 1) spent.push(await cpuMs(() => kernel.recognize(fingerprint)));
  const answer = kernel.recognize(fingerprint);
  searches.push({ firstMs: spent[0], medianMs: median(spent.slice(1)), song: answer?.matches[0]?.song.external_id ?? null });
}
const { rss, arrayBuffers } = process.memoryUsage();
console.log(JSON.stringify({ loadMs, searches, rss, arrayBuffers }));
