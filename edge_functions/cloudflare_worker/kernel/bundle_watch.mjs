// Keeps the kernel at the bundle that is published; whatever is wrong with one leaves the bundle before in its place.

import { checkFile, openManifest, sha256 } from "../../../wasm/browser/sonica-bundle.mjs";

const CHANNEL = "hot"; // of the bucket's, which is laid out as backend/bundles/BUNDLES.md says

/** Looks in R2 for what is published, and fetches it. */
export class BundleWatch {
  #kernel;
  #lookedAt = -Infinity;
  #isLooking = false; // a bundle too many would not fit
  #inPlace = { sha256: "", sequence: 0 }; // of the manifest

  /** @param {import("../../../wasm/browser/sonica-fingerprint.mjs").Kernel} kernel */
  constructor(kernel) {
    this.#kernel = kernel;
  }

  /** Look again when it is time to; what there is to load is loaded behind the request that `ctx` serves. */
  poll(env, ctx) {
    if (this.#isLooking || Date.now() - this.#lookedAt < 1000 * Number(env.HOT_POLL_SECONDS)) return;
    this.#lookedAt = Date.now();
    this.#isLooking = true;
    ctx.waitUntil(this.#look(env));
  }

  async #look(env) {
    try {
      await this.#refresh(env);
    } catch (error) {
      log("bundle_refused", { why: String(error) });
    } finally {
      this.#isLooking = false;
    }
  }

  /** Throws for a bundle that is not there, not whole, not signed by whom it should be, or older than what is here. */
  async #refresh(env) {
    const pointer = await stored(env, "current");
    if (pointer === null) return;
    const { sha256: hash, kept } = await pointer.json();
    if (hash === this.#inPlace.sha256) return;
    const manifest = await this.#manifest(env, kept[0], hash);
    const bundle = await fetched(env, manifest.files[0]);
    const loaded = await this.#kernel.loadHotIndex(bundle);
    this.#inPlace = { sha256: hash, sequence: manifest.sequence };
    log("bundle_loaded", { sequence: manifest.sequence, ...loaded });
  }

  async #manifest(env, name, hash) {
    const sealed = await (await present(env, `manifests/${name}`)).text();
    if ((await sha256(new TextEncoder().encode(sealed))) !== hash) throw new Error(`manifest ${name} is another`);
    const manifest = await openManifest(sealed, env.HOT_PUBLIC_KEYS);
    if (manifest.channel !== CHANNEL) throw new Error(`manifest ${name} is of the channel ${manifest.channel}`);
    if (manifest.sequence <= this.#inPlace.sequence) {
      throw new Error(`bundle ${manifest.sequence} is older than ${this.#inPlace.sequence}, which is in place`);
    }
    return manifest;
  }
}

/** Sizes are looked at first: the bundles before and after and this copy have to fit an isolate's 128 MB. */
async function fetched(env, file) {
  if (!(file.bytes <= Number(env.HOT_BUNDLE_BYTES_MAX))) throw new RangeError(`${file.bytes} bytes are too many`);
  const object = await present(env, `files/${file.sha256}`);
  if (object.size !== file.bytes) throw new Error(`the bundle has ${object.size} bytes, not ${file.bytes}`);
  const body = new Uint8Array(await object.arrayBuffer());
  await checkFile(body, file);
  return body;
}

async function present(env, name) {
  const object = await stored(env, name);
  if (object === null) throw new Error(`there is no ${name}`);
  return object;
}

function stored(env, name) {
  return env.HOT_BUNDLES.get(`${env.HOT_PREFIX}${CHANNEL}/${name}`);
}

function log(event, values) {
  console.log(JSON.stringify({ event, ...values }));
}
