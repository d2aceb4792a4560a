// Keeps the kernel at the bundle that is published; one that is not whole leaves the bundle before in its place.

const POINTER_KEY = "hot/current";
const HASH_BYTES = 32; // a bundle ends with its SHA-256, which names it

/** Looks in KV for what is published, and fetches it from R2. */
export class BundleWatch {
  #kernel;
  #lookedAt = -Infinity;

  /** @param {import("../../../wasm/browser/sonica-fingerprint.mjs").Kernel} kernel */
  constructor(kernel) {
    this.#kernel = kernel;
  }

  /** Look again when it is time to; what there is to load is loaded behind the request that `ctx` serves. */
  poll(env, ctx) {
    if (Date.now() - this.#lookedAt < 1000 * Number(env.HOT_POLL_SECONDS)) return;
    this.#lookedAt = Date.now();
    ctx.waitUntil(this.#refresh(env).catch((error) => log("bundle_refused", { why: String(error) })));
  }

  /** Throws for a bundle that is not there, not whole or another than the pointer says. */
  async #refresh(env) {
    const pointer = await env.HOT_POINTERS.get(POINTER_KEY, "json");
    if (pointer === null || pointer.sha256 === this.#kernel.hotIndex?.sha256) return;
    const bundle = await fetched(env, pointer);
    const sha256 = hex(bundle.slice(-HASH_BYTES));
    if (sha256 !== pointer.sha256) throw new Error(`bundle ${pointer.key} is ${sha256}, not ${pointer.sha256}`);
    log("bundle_loaded", await this.#kernel.loadHotIndex(bundle));
  }
}

/** Sizes are looked at first: the bundles before and after and this copy have to fit an isolate's 128 MB. */
async function fetched(env, { key, bytes }) {
  if (!(bytes <= Number(env.HOT_BUNDLE_BYTES_MAX))) throw new RangeError(`${bytes} bytes are too many for a bundle`);
  const stored = await env.HOT_BUNDLES.get(key);
  if (stored === null) throw new Error(`there is no bundle ${key}`);
  if (stored.size !== bytes) throw new Error(`bundle ${key} has ${stored.size} bytes, not ${bytes}`);
  return new Uint8Array(await stored.arrayBuffer());
}

function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function log(event, values) {
  console.log(JSON.stringify({ event, ...values }));
}
