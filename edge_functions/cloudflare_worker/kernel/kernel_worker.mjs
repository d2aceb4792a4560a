// The kernel behind a service binding: no Python can compile WebAssembly in workerd, a JS Worker imports it compiled.
import { WorkerEntrypoint } from "cloudflare:workers";

import { Kernel } from "../../../wasm/browser/sonica-fingerprint.mjs";
import module from "../../../wasm/sonica_fingerprint/fingerprint.wasm";
import { BundleWatch } from "./bundle_watch.mjs";
import { monoSamples } from "./samples.mjs";

const kernel = new Kernel(module);
const bundles = new BundleWatch(kernel);

/** Takes and gives what crosses RPC by one copy. What holds the kernel does not await: requests cannot interleave. */
export default class KernelWorker extends WorkerEntrypoint {
  /**
   * Fingerprint interleaved samples.
   * @param {ArrayBuffer} data
   * @param {import("./samples.mjs").Form} form
   * @param {number} [speed] how fast the clip is taken to play
   * @returns {ArrayBuffer | null} the wire format; null for samples that the origin has to look at
   */
  extract(data, form, speed = 1) {
    const samples = monoSamples(data, form);
    return samples && kernel.extract(samples, { speed }).buffer;
  }

  /**
   * Look a fingerprint up among the popular songs.
   * @param {ArrayBuffer} fingerprint the wire format
   * @returns {object | null} the answer and the `index_version` that it is from; null when only the origin can say
   */
  recognize(fingerprint) {
    const answer = kernel.recognize(new Uint8Array(fingerprint));
    return answer && { ...answer, index_version: kernel.hotIndex.version };
  }

  /** @returns {import("../../../wasm/browser/sonica-fingerprint.mjs").HotIndexSummary | null} of the bundle in place */
  hotIndex() {
    bundles.poll(this.env, this.ctx);
    return kernel.hotIndex;
  }

  /** A Worker has to have one; nothing but RPC leads here. */
  fetch() {
    return new Response("Not found", { status: 404 });
  }
}
